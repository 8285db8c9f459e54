//! A sidecar in this process, in a folder of its own, with real doors on free ports.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use countersign::app::{self, Reloaded, Running, Seams, StartError};
use countersign::config::Config;
use countersign::model::{CallId, Clock, Lifetime};
use countersign::record::{Reader, Stored, Story};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::logged::Logged;
use super::raw::{Raw, Witness};
use super::tool::Tool;
use super::vault::{Vault, VaultIssuer};
use super::wire::Agent;
pub use super::wire::Answer;

pub const TRACKER: &str = include_str!("../../../examples/demo/tracker.toml");

/// What a test wants otherwise than usual.
pub struct Wanted {
    pub policy: &'static str,
    /// Lines for `[listen]`.
    pub listen: &'static str,
    /// Lines that prove `[agents.helper]`; by default, the uid of this process.
    pub identify: String,
    /// Lines for `[agents.helper]`.
    pub agent: &'static str,
    /// Lines for `[tools.tracker]`.
    pub tool: &'static str,
    /// The catalog of `[tools.tracker]`.
    pub catalog: &'static str,
    /// What `[tools.tracker]` is, if not `Sidecar::tool`.
    pub upstream: Option<Arc<Raw>>,
    /// Where `[tools.tracker]` is said to be, if it has another name than its address.
    pub origin: Option<String>,
    /// Lines that say which networks `[tools.tracker]` may be in.
    pub networks: &'static str,
    /// Further lines of the configuration, and files beside it.
    pub more: String,
    pub files: Vec<(&'static str, String)>,
    pub lifetime: Lifetime,
    pub issuer: &'static str,
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            policy: "@id(\"all\") permit(principal, action, resource);",
            agent: "intent = \"never\"",
            listen: "",
            tool: "",
            identify: format!("identify = [{{ peer = {{ uid = {} }} }}]", rustix::process::geteuid().as_raw()),
            catalog: TRACKER,
            upstream: None,
            origin: None,
            networks: "networks = [\"127.0.0.0/8\"]\nplaintext = true",
            more: String::new(),
            files: Vec::new(),
            lifetime: Lifetime::Head,
            issuer: "vault",
        }
    }
}

pub struct Sidecar {
    pub folder: tempfile::TempDir,
    pub door: SocketAddr,
    pub admin: SocketAddr,
    pub tool: Arc<Tool>,
    pub vault: Arc<Vault>,
    /// What may be called beside `tool`.
    pub upstreams: Vec<Arc<Raw>>,
    /// What may not be called.
    pub strangers: Vec<Arc<Raw>>,
    pub logged: Logged,
    pub vkey: String,
    /// The lineage's checkpoints at moments that are past.
    pub checkpoints: Vec<String>,
    /// File descriptors of the process before the doors were opened.
    pub descriptors: usize,
    agent: Agent,
    running: Option<Running>,
    lifetime: Lifetime,
    clock: Option<Clock>,
}

impl Sidecar {
    pub async fn start(wanted: Wanted, seams: Seams) -> Self {
        let logged = Logged::listen();
        let (tool, vault) = (Tool::start().await, Vault::start().await);
        let folder = tempfile::tempdir().unwrap();
        let origin = wanted.upstream.as_ref().map_or(&tool.origin, |raw| &raw.origin);
        let text = lay_out(folder.path(), origin, &wanted);
        let descriptors = descriptors();
        let clock = seams.clock.clone();
        let running = open(folder.path(), &text, seams, &vault.origin, wanted.lifetime).await;
        let upstreams: Vec<Arc<Raw>> = wanted.upstream.into_iter().collect();
        let sidecar = Self {
            lifetime: wanted.lifetime,
            logged,
            descriptors,
            clock,
            ..Self::around(folder, running, tool, vault)
        };
        sidecar.may_call(&upstreams);
        Self { upstreams, ..sidecar }
    }

    /// What is running already.
    pub fn around(folder: tempfile::TempDir, running: Running, tool: Arc<Tool>, vault: Arc<Vault>) -> Self {
        let (door, admin) = (running.agent.unwrap(), running.admin.unwrap());
        let vkey = running.vkey.clone();
        let sidecar = Self {
            folder,
            door,
            admin,
            tool,
            vault,
            upstreams: Vec::new(),
            strangers: Vec::new(),
            logged: Logged::default(),
            vkey,
            checkpoints: Vec::new(),
            descriptors: usize::MAX - 2,
            agent: Agent::new(door),
            running: Some(running),
            lifetime: Lifetime::Head,
            clock: None,
        };
        sidecar.tool.witnessed_by(sidecar.witness());
        let first = sidecar.reader().checkpoint().unwrap();
        Self { checkpoints: first.into_iter().collect(), ..sidecar }
    }

    /// These ask the vault and the lineage about the credentials they get.
    pub fn may_call(&self, upstreams: &[Arc<Raw>]) {
        for raw in upstreams {
            raw.witnessed_by(self.witness());
        }
    }

    fn witness(&self) -> Witness {
        Witness { vault: self.vault.clone(), lineage: self.lineage() }
    }

    /// The agent on this host.
    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Stops, and starts again on the same folder.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.checkpoints.extend(self.reader().checkpoint().unwrap());
        let text = std::fs::read_to_string(self.folder.path().join("countersign.toml")).unwrap();
        let seams = Seams { clock: self.clock.clone(), ..Seams::default() };
        let running = open(self.folder.path(), &text, seams, &self.vault.origin, self.lifetime).await;
        (self.door, self.admin) = (running.agent.unwrap(), running.admin.unwrap());
        self.agent.door = self.door;
        self.running = Some(running);
    }

    /// Opens a task as the framework.
    pub async fn open_task(&self, body: &str) -> serde_json::Value {
        let length = body.len();
        let request = format!(
            "POST /-/tasks HTTP/1.1\r\nhost: HOST\r\nauthorization: Bearer {FRAMEWORK}\r\nconnection: close\r\n\
             content-length: {length}\r\n\r\n{body}"
        );
        let opened = self.send(&request).await;
        assert_eq!(opened.status, 201, "{opened:?}");
        opened.json()
    }

    pub async fn usual() -> Self {
        Self::start(Wanted::default(), Seams::default()).await
    }

    pub fn lineage(&self) -> PathBuf {
        self.folder.path().join("lineage.db")
    }

    pub fn reader(&self) -> Reader {
        Reader::open(&self.lineage()).unwrap()
    }

    /// A file of its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file of its folder, for its owner alone.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::write(self.path(name), text).unwrap();
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Writes what stands in a file of its folder, changed.
    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "{text}");
        self.write(name, text.replace(from, to));
    }

    /// Has what lies there loaded anew.
    pub async fn reload(&self) -> Result<Reloaded, StartError> {
        self.running.as_ref().unwrap().reload(&self.path("countersign.toml")).await
    }

    /// The link that logs in at the pages.
    pub fn login(&self, reviewer: Option<&str>) -> Option<String> {
        self.running.as_ref().unwrap().login(reviewer)
    }

    /// Asks the admin door, as `GET /v1/agents` or `POST …` with these words, as whoever holds this token.
    pub async fn ask(&self, line: &str, token: &str, words: &str) -> Answer {
        let length = words.len();
        let request = format!(
            "{line} HTTP/1.1\r\nhost: HOST\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\
             content-length: {length}\r\n\r\n{words}"
        );
        Agent::new(self.admin).ask(request).await
    }

    /// What its metrics say of one of them.
    pub async fn metric(&self, name: &str) -> usize {
        let text =
            Agent::new(self.admin).ask("GET /metrics HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\r\n").await.body;
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}: {text}"));
        line.trim().parse().unwrap()
    }

    /// Every record of one kind.
    pub fn records(&self, kind: &str) -> Vec<Stored> {
        let mut records = self.reader().records(0, 100_000).unwrap();
        records.retain(|record| record.kind() == kind);
        records
    }

    /// Closes the doors in order. True if everything came to its end.
    pub async fn stop(&mut self) -> bool {
        match self.running.take() {
            Some(running) => running.stop().await,
            None => true,
        }
    }

    /// Sends a request and reads the answer up to its end.
    pub async fn send(&self, request: &str) -> Answer {
        let mut stream = self.begin(request).await;
        let mut bytes = Vec::new();
        tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes))
            .await
            .expect("an answer")
            .unwrap();
        let answer = Answer::parse(&bytes);
        self.agent.hears(bytes);
        answer
    }

    /// Sends a request; dropping the stream is hanging up.
    pub async fn begin(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.door).await.unwrap();
        stream.write_all(request.replace("HOST", &self.door.to_string()).as_bytes()).await.unwrap();
        stream
    }

    /// The story of a call once it holds a record of this kind.
    pub async fn story(&self, call: CallId, kind: &str) -> Story {
        for _ in 0..400 {
            if let Some(story) = self.reader().story(call).unwrap().filter(|story| story.first(kind).is_some()) {
                return story;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("no `{kind}` record of {call} came: {:?}", self.reader().story(call).unwrap());
    }

    /// The one call there is, once the lineage holds so many records of this kind.
    pub async fn wait_for(&self, kind: &str, count: usize) -> Vec<Story> {
        for _ in 0..400 {
            let stories = super::invariants::stories(&self.reader());
            if stories.iter().flat_map(|story| &story.records).filter(|record| record.kind() == kind).count() >= count {
                return stories;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{count} records `{kind}` did not come: {:?}", super::invariants::stories(&self.reader()));
    }
}

/// All of them at a time.
pub async fn all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, done) in &mut waiting {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(cx)
            {
                *done = Some(value);
            }
        }
        if waiting.iter().all(|(_, done)| done.is_some()) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    waiting.into_iter().filter_map(|(_, done)| done).collect()
}

pub const READ: &str = "GET /tracker/repos/octo/hello/issues/7 HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\r\n";

/// The same folder, doors opened again.
pub async fn open(folder: &Path, text: &str, mut seams: Seams, vault: &str, lifetime: Lifetime) -> Running {
    let config = Config::parse(text, folder).unwrap();
    let issuer = VaultIssuer { origin: vault.to_owned(), lifetime };
    seams.issuers.insert("vault".to_owned(), Arc::new(issuer));
    app::start(&config, text, seams).await.unwrap()
}

/// Writes a sidecar's files; gives its configuration.
pub fn lay_out(folder: &Path, tool: &str, wanted: &Wanted) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir(folder.join("policies")).unwrap();
    std::fs::write(folder.join("policies/main.cedar"), wanted.policy).unwrap();
    std::fs::write(folder.join("tracker.toml"), wanted.catalog).unwrap();
    std::fs::write(folder.join("framework.token"), FRAMEWORK).unwrap();
    std::fs::set_permissions(folder.join("framework.token"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let asked = ("asked.token", "a-token-of-whoever-is-asked-in-tests".to_owned());
    for (name, text) in wanted.files.iter().chain([&asked]) {
        std::fs::write(folder.join(name), text).unwrap();
        std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    let Wanted { agent, listen, tool: lines, issuer, identify, networks, more, .. } = wanted;
    let tool = wanted.origin.as_deref().unwrap_or(tool);
    let text = format!(
        "[listen]\nagent = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n{listen}\n\
         [lineage]\ndeadline = \"500ms\"\n\
         [agents.helper]\n{identify}\n\
         open_tasks = [{{ token = {{ file = \"framework.token\" }} }}]\ntools = [\"tracker\"]\n{agent}\n\
         [reviewers.asked]\ntoken = {{ file = \"asked.token\" }}\nmay = [\"approve\"]\nroles = [\"ana\", \"lead\"]\n\
         [tools.tracker]\nupstream = \"{tool}\"\ncatalog = \"tracker.toml\"\nissuer = \"{issuer}\"\n\
         {networks}\n{lines}\n\
         [issuers.vault]\nkind = \"none\"\n[issuers.calls]\nkind = \"jwt\"\n{more}\n"
    );
    std::fs::write(folder.join("countersign.toml"), &text).unwrap();
    text
}

pub const FRAMEWORK: &str = "a-framework-token-for-tests";

/// File descriptors of this process.
pub fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}
