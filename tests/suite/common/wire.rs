//! HTTP/1.1 as raw bytes: a strict reader that shares no code with the house's, and an agent that says exactly what it
//! is told.
//!
//! The reader takes the one form that every reader agrees about (RFC 9112): CRLF, tokens, visible ASCII, one length or
//! one `chunked`, no extensions, no trailers. What it calls malformed, somebody could read in another way.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::model::CallId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A request or an answer, read strictly.
#[derive(Clone, Debug)]
pub struct Message {
    /// The first line.
    pub start: String,
    /// Names in lower case, values trimmed, in order.
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Bytes of the head, with the empty line.
    pub head: usize,
    /// Bytes of all of it.
    pub length: usize,
}

/// Why bytes are no message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Flaw {
    /// More may come.
    Incomplete,
    /// Whatever comes.
    Malformed(String),
}

/// What a message is read as.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Request,
    Answer,
    /// The answer to a HEAD.
    Bodiless,
}

impl Message {
    /// Reads the first message of these bytes.
    pub fn read(bytes: &[u8], kind: Kind) -> Result<Self, Flaw> {
        let end = bytes.windows(4).position(|end| end == b"\r\n\r\n");
        let Some(end) = end else {
            let bare = bytes.iter().enumerate().any(|(at, byte)| *byte == b'\n' && (at == 0 || bytes[at - 1] != b'\r'));
            return Err(if bare { malformed("a bare line feed") } else { Flaw::Incomplete });
        };
        let head = std::str::from_utf8(&bytes[..end]).map_err(|_| malformed("a byte that is not ASCII"))?;
        let mut lines = head.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        check_start(&start, kind)?;
        let fields = lines.map(read_field).collect::<Result<Vec<_>, _>>()?;
        let mut message = Self { start, fields, body: Vec::new(), head: end + 4, length: end + 4 };
        if kind == Kind::Request && message.all("host").len() != 1 {
            return Err(malformed("not exactly one host"));
        }
        message.read_body(&bytes[end + 4..], kind)?;
        Ok(message)
    }

    /// Every value of a field.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    pub fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or_default()
    }

    pub fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    pub fn status(&self) -> u16 {
        self.target().parse().unwrap_or(0)
    }

    fn read_body(&mut self, rest: &[u8], kind: Kind) -> Result<(), Flaw> {
        let (lengths, codings) = (self.all("content-length"), self.all("transfer-encoding"));
        let bodiless = kind == Kind::Bodiless || kind == Kind::Answer && matches!(self.status(), 100..=199 | 204 | 304);
        match (&lengths[..], &codings[..]) {
            _ if lengths.len() + codings.len() > 1 => Err(malformed("framed in more than one way")),
            _ if bodiless => Ok(()),
            ([], []) if kind == Kind::Request => Ok(()),
            ([], []) => Err(malformed("an answer without framing")),
            ([length], _) => {
                let digits = length.bytes().all(|byte| byte.is_ascii_digit());
                let length: usize = length.parse().ok().filter(|_| digits).ok_or_else(|| malformed("its length"))?;
                self.body = rest.get(..length).ok_or(Flaw::Incomplete)?.to_vec();
                self.length += length;
                Ok(())
            }
            (_, ["chunked"]) => self.read_chunks(rest),
            _ => Err(malformed("its transfer coding")),
        }
    }

    fn read_chunks(&mut self, mut rest: &[u8]) -> Result<(), Flaw> {
        loop {
            let line = rest.windows(2).position(|end| end == b"\r\n").ok_or(Flaw::Incomplete)?;
            let size = std::str::from_utf8(&rest[..line]).unwrap_or_default();
            let digits = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_hexdigit());
            let size = usize::from_str_radix(size, 16).ok().filter(|_| digits);
            let size = size.ok_or_else(|| malformed("the size of a chunk"))?;
            let data = rest.get(line + 2..line + 2 + size).ok_or(Flaw::Incomplete)?;
            let end = rest.get(line + 2 + size..line + 4 + size).ok_or(Flaw::Incomplete)?;
            if end != b"\r\n" {
                return Err(malformed(if size == 0 { "a trailer" } else { "the end of a chunk" }));
            }
            self.body.extend_from_slice(data);
            self.length += line + 4 + size;
            rest = &rest[line + 4 + size..];
            if size == 0 {
                return Ok(());
            }
        }
    }
}

fn malformed(what: &str) -> Flaw {
    Flaw::Malformed(what.to_owned())
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn check_start(start: &str, kind: Kind) -> Result<(), Flaw> {
    let parts: Vec<&str> = start.splitn(3, ' ').collect();
    let well = match (kind, &parts[..]) {
        (Kind::Request, [method, target, "HTTP/1.1"]) => {
            is_token(method) && target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic())
        }
        (Kind::Answer | Kind::Bodiless, ["HTTP/1.0" | "HTTP/1.1", status, ..]) => {
            status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit())
        }
        _ => false,
    };
    if well { Ok(()) } else { Err(Flaw::Malformed(format!("the first line: {start:?}"))) }
}

fn read_field(line: &str) -> Result<(String, String), Flaw> {
    let (name, value) = line.split_once(':').ok_or_else(|| Flaw::Malformed(format!("a field: {line:?}")))?;
    let plain = value.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    if !is_token(name) || !plain {
        return Err(Flaw::Malformed(format!("a field: {line:?}")));
    }
    Ok((name.to_ascii_lowercase(), value.trim_matches([' ', '\t']).to_owned()))
}

/// An answer as it came over the wire.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    /// Without its framing; as far as it came, if it broke off.
    pub body: String,
}

impl Answer {
    /// The first answer of these bytes, whole or not.
    pub fn parse(bytes: &[u8]) -> Self {
        if let Ok(message) = Message::read(bytes, Kind::Answer) {
            return Self::of(&message, bytes);
        }
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_owned(), body: body.to_owned() }
    }

    fn of(message: &Message, bytes: &[u8]) -> Self {
        let head = String::from_utf8_lossy(&bytes[..message.head - 4]).into_owned();
        Self { status: message.status(), head, body: String::from_utf8_lossy(&message.body).into_owned() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    pub fn call(&self) -> CallId {
        self.header("countersign-call").unwrap_or_else(|| panic!("{self:?}")).parse().unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Status and code of a refusal.
    pub fn code(&self) -> (u16, String) {
        (self.status, self.json()["code"].as_str().unwrap_or_default().to_owned())
    }
}

/// An agent: it knows a door, and keeps everything it hears there.
#[derive(Clone, Debug)]
pub struct Agent {
    pub door: SocketAddr,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Agent {
    pub fn new(door: SocketAddr) -> Self {
        Self { door, heard: Arc::default() }
    }

    /// What was heard on each connection that is over.
    pub fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().unwrap().clone()
    }

    /// Keeps what was heard in another way.
    pub fn hears(&self, bytes: Vec<u8>) {
        self.heard.lock().unwrap().push(bytes);
    }

    /// Opens a connection.
    pub async fn line(&self) -> Line {
        let stream = TcpStream::connect(self.door).await.unwrap();
        Line { agent: self.clone(), stream: Some(stream), read: Vec::new(), taken: 0 }
    }

    /// Says `bytes` on a connection of its own, and reads so many answers; and whatever else comes, for a moment or, if an
    /// answer said so, until the connection closes. `HOST` stands for the door's own name.
    pub async fn exchange(&self, bytes: impl AsRef<[u8]>, answers: usize) -> Exchange {
        let mut line = self.line().await;
        line.say(bytes).await;
        let mut found = Vec::new();
        while found.len() < answers
            && let Some(answer) = line.answer().await
        {
            found.push(answer);
        }
        let closing = found.last().is_none_or(|last| last.header("connection") == Some("close"));
        let patience = Duration::from_millis(if closing { 5_000 } else { 150 });
        let mut closed = false;
        while let Ok(more) = timeout(patience, line.answer()).await {
            closed = more.is_none();
            found.extend(more);
            if closed {
                break;
            }
        }
        Exchange { answers: found, closed, rest: line.rest().to_vec() }
    }

    /// Says one request and reads its one answer.
    pub async fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut exchange = self.exchange(request, 1).await;
        assert_eq!(exchange.answers.len(), 1, "{exchange:?}");
        exchange.answers.remove(0)
    }
}

/// What came of a connection.
#[derive(Debug)]
pub struct Exchange {
    pub answers: Vec<Answer>,
    /// The door closed it.
    pub closed: bool,
    /// What came and is no answer.
    pub rest: Vec<u8>,
}

impl Exchange {
    pub fn statuses(&self) -> Vec<u16> {
        self.answers.iter().map(|answer| answer.status).collect()
    }
}

/// One connection of an agent. Dropping it is hanging up.
#[derive(Debug)]
pub struct Line {
    agent: Agent,
    stream: Option<TcpStream>,
    read: Vec<u8>,
    taken: usize,
}

impl Line {
    /// Says these bytes as they are, but for `HOST`. A door that no longer listens is not an error.
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = with_host(bytes.as_ref(), self.agent.door);
        if let Some(stream) = &mut self.stream {
            let _ = stream.write_all(&bytes).await;
        }
    }

    /// No more will be said; what comes is still heard.
    pub async fn end(&mut self) {
        if let Some(stream) = &mut self.stream {
            let _ = stream.shutdown().await;
        }
    }

    /// The next answer; `None` if the door closes before one is whole.
    pub async fn answer(&mut self) -> Option<Answer> {
        self.answer_as(Kind::Answer).await
    }

    /// The next answer, which belongs to a request of this kind.
    pub async fn answer_as(&mut self, kind: Kind) -> Option<Answer> {
        loop {
            match Message::read(self.rest(), kind) {
                Ok(message) => {
                    let answer = Answer::of(&message, self.rest());
                    self.taken += message.length;
                    return Some(answer);
                }
                Err(Flaw::Malformed(what)) => panic!("{what} in {:?}", String::from_utf8_lossy(self.rest())),
                Err(Flaw::Incomplete) => {}
            }
            if !self.hear().await {
                return None;
            }
        }
    }

    /// Hears what comes next; false if the door has closed.
    pub async fn hear(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let more = timeout(Duration::from_secs(20), stream.read_buf(&mut self.read)).await;
        if more.expect("an answer or an end").unwrap_or(0) > 0 {
            return true;
        }
        self.stream = None;
        false
    }

    /// What was heard and is not part of an answer yet.
    pub fn rest(&self) -> &[u8] {
        &self.read[self.taken..]
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.agent.hears(std::mem::take(&mut self.read));
    }
}

fn with_host(bytes: &[u8], door: SocketAddr) -> Vec<u8> {
    let door = door.to_string();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len() + 32), 0);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"HOST") {
            out.extend_from_slice(door.as_bytes());
            at += 4;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    out
}
