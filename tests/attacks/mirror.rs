//! A tool that answers whatever bytes a test wants, made of what it was sent, behind a sidecar whose credentials the
//! test chooses.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::app::{self, Running, Seams};
use countersign::config::Config;
use countersign::judge::Permit;
use countersign::mint::{Issuer, IssuerError, Order, Plan};
use countersign::model::{BoxFuture, Credential, Handle, Lifetime, Placement, Secret, Timestamp};
use countersign::record::{Filter, HandleNote, Reader};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// What the tool answers, piece by piece.
pub enum Piece {
    Bytes(Vec<u8>),
    /// Until the test lets it go on.
    Wait,
}

type Says = Arc<dyn Fn(&str) -> Vec<Piece> + Send + Sync>;

/// An issuer of one secret that can be ended.
pub struct Lender {
    pub secret: &'static str,
    pub prefix: &'static str,
    pub lifetime: Lifetime,
    pub revoked: AtomicUsize,
}

pub struct Mirror {
    pub door: SocketAddr,
    pub origin: String,
    pub lender: Arc<Lender>,
    pub go_on: Arc<Semaphore>,
    seen: Arc<Mutex<Vec<String>>>,
    folder: tempfile::TempDir,
    running: Option<Running>,
}

const CATALOG: &str = "[actions.get]\nmatch = \"GET /{*path}\"\neffect = \"read\"\nresource = \"{path}\"\n\
     rewrite = [\"/url\", \"/items/*/html_url\"]\n\
     [actions.post]\nmatch = \"POST /{*path}\"\neffect = \"write\"\nresource = \"{path}\"\n";

impl Mirror {
    pub async fn of(secret: &'static str, says: impl Fn(&str) -> Vec<Piece> + Send + Sync + 'static) -> Self {
        Self::start(Lender::new(secret), says).await
    }

    pub async fn start(lender: Lender, says: impl Fn(&str) -> Vec<Piece> + Send + Sync + 'static) -> Self {
        let (seen, go_on) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Semaphore::new(0)));
        let origin = serve(Arc::new(says), seen.clone(), go_on.clone()).await;
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        std::fs::create_dir(folder.path().join("policies")).unwrap();
        file("policies/main.cedar", "@id(\"all\") permit(principal, action, resource);");
        file("tool.toml", CATALOG);
        let text = configuration(&origin);
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        let config = Config::parse(&text, folder.path()).unwrap();
        let (lender, mut seams) = (Arc::new(lender), Seams::default());
        seams.issuers.insert("lender".to_owned(), lender.clone());
        let running = app::start(&config, &text, seams).await.unwrap();
        Self { door: running.agent.unwrap(), origin, lender, go_on, seen, folder, running: Some(running) }
    }

    /// The requests as they came, heads and bodies.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(&format!("GET /tool{path} HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\r\n")).await
    }

    pub async fn send(&self, request: &str) -> Answer {
        let mut stream = self.begin(request).await;
        let mut bytes = Vec::new();
        let reading = stream.read_to_end(&mut bytes);
        // A connection that is broken off may be reset.
        let _ = tokio::time::timeout(Duration::from_secs(20), reading).await.expect("an answer");
        Answer::parse(&bytes)
    }

    pub async fn begin(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.door).await.unwrap();
        stream.write_all(request.replace("HOST", &self.door.to_string()).as_bytes()).await.unwrap();
        stream
    }

    /// The record of how a call ended; of the last one, if its answer broke off before it said which it was.
    pub async fn ended(&self, answer: &Answer) -> Value {
        let call = answer.header("countersign-call").map(|call| call.parse().unwrap());
        for _ in 0..400 {
            let reader = Reader::open(&self.folder.path().join("lineage.db")).unwrap();
            let story = match call {
                Some(call) => reader.story(call).unwrap(),
                None => reader.calls(&Filter { limit: 1, ..Filter::default() }).unwrap().pop(),
            };
            if let Some(ended) = story.and_then(|story| Some(story.first("ended")?.entry.clone())) {
                return ended;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("no ending of {call:?} came");
    }

    /// Stops, and sees that the secret lies in no file.
    pub async fn stop(mut self) {
        assert!(self.running.take().unwrap().stop().await);
        let file = std::fs::read(self.folder.path().join("lineage.db")).unwrap();
        let secret = self.lender.secret.as_bytes();
        assert!(!file.windows(secret.len()).any(|window| window == secret), "the secret lies in the lineage");
    }
}

fn configuration(origin: &str) -> String {
    let uid = rustix::process::geteuid().as_raw();
    format!(
        "[listen]\nagent = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[lineage]\ndeadline = \"5s\"\n\
         [agents.helper]\nidentify = [{{ peer = {{ uid = {uid} }} }}]\ntools = [\"tool\"]\nintent = \"never\"\n\
         [tools.tool]\nupstream = \"{origin}/base\"\ncatalog = \"tool.toml\"\nissuer = \"lender\"\n\
         networks = [\"127.0.0.0/8\"]\nplaintext = true\nanswer_headers = [\"x-said\"]\n[issuers.lender]\nkind = \"none\"\n"
    )
}

/// Answers every connection's requests; gives where.
pub async fn serve(says: Says, seen: Arc<Mutex<Vec<String>>>, go_on: Arc<Semaphore>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (says, seen, go_on) = (says.clone(), seen.clone(), go_on.clone());
            tokio::spawn(async move {
                while let Some(request) = read_request(&mut stream).await {
                    seen.lock().unwrap().push(request.clone());
                    if !say(&mut stream, says(&request), &go_on).await {
                        return;
                    }
                }
            });
        }
    });
    origin
}

/// Whether all of it could be said.
async fn say(stream: &mut TcpStream, pieces: Vec<Piece>, go_on: &Semaphore) -> bool {
    for (number, piece) in pieces.into_iter().enumerate() {
        if number > 0 {
            // So that what comes in pieces is read in pieces.
            tokio::time::sleep(Duration::from_millis(4)).await;
        }
        match piece {
            Piece::Bytes(bytes) if stream.write_all(&bytes).await.is_err() => return false,
            Piece::Bytes(_) => {}
            Piece::Wait => go_on.acquire().await.unwrap().forget(),
        }
    }
    true
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some(text);
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// A header's value in a request or an answer.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_once(": "));
    lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// An answer in one piece.
pub fn whole(head: &str, body: &[u8]) -> Vec<Piece> {
    let head = format!("HTTP/1.1 200 OK\r\n{head}content-length: {}\r\n\r\n", body.len());
    vec![Piece::Bytes([head.as_bytes(), body].concat())]
}

/// An answer in chunks, each in a piece of its own, and its end in one more.
pub fn chunked(head: &str, chunks: &[&[u8]]) -> Vec<Piece> {
    let head = format!("HTTP/1.1 200 OK\r\n{head}transfer-encoding: chunked\r\n\r\n");
    let chunk = |chunk: &&[u8]| Piece::Bytes([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    let head = std::iter::once(Piece::Bytes(head.into_bytes()));
    head.chain(chunks.iter().map(chunk)).chain([Piece::Bytes(b"0\r\n\r\n".to_vec())]).collect()
}

impl Lender {
    pub fn new(secret: &'static str) -> Self {
        Self { secret, prefix: "Bearer ", lifetime: Lifetime::Head, revoked: AtomicUsize::new(0) }
    }

    /// How often its credential was ended.
    pub fn revoked(&self) -> usize {
        self.revoked.load(Ordering::SeqCst)
    }
}

impl Issuer for Lender {
    fn kind(&self) -> &'static str {
        "test_lender"
    }

    fn plan(&self, permit: &Permit, now: Timestamp) -> Plan {
        Plan { handle: HandleNote::Named("the one".to_owned()), expires_at: Some(permit.expires_at(now)) }
    }

    fn lifetime(&self) -> Lifetime {
        self.lifetime
    }

    fn can_revoke(&self) -> bool {
        true
    }

    fn mint<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Result<Credential, IssuerError>> {
        let credential = Credential {
            secret: Secret::new(self.secret),
            handle: Handle::Named("the one".to_owned()),
            expires_at: order.plan.expires_at,
            placement: Placement::Header { name: http::header::AUTHORIZATION, prefix: self.prefix.to_owned() },
        };
        Box::pin(async { Ok(credential) })
    }

    fn revoke<'a>(&'a self, _: &'a Handle) -> BoxFuture<'a, Result<(), IssuerError>> {
        self.revoked.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(()) })
    }
}

/// An answer as the agent got it.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
    /// It came to the end that its head promised.
    pub is_whole: bool,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else {
            // Broken off before its head was sent.
            return Self { status: 0, head: String::new(), body: Vec::new(), is_whole: false };
        };
        let (head, mut rest) = (String::from_utf8(bytes[..end].to_vec()).unwrap(), &bytes[end + 4..]);
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let (mut body, mut is_whole) = (Vec::new(), false);
        if header(&head, "transfer-encoding").is_some() {
            while let Some(line) = rest.windows(2).position(|end| end == b"\r\n") {
                let length = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
                is_whole = length == 0;
                let chunk = &rest[line + 2..];
                body.extend_from_slice(&chunk[..length.min(chunk.len())]);
                rest = chunk.get(length + 2..).unwrap_or_default();
            }
        } else {
            body.extend_from_slice(rest);
            is_whole = header(&head, "content-length").is_some_and(|length| length == rest.len().to_string());
        }
        Self { status, head, body, is_whole }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
