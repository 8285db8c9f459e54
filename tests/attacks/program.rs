//! The same bench around the real program: for what only a process of its own shows, its log, its memory, its files.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use countersign::record::Reader;
use serde_json::Value;

use super::bench::wanted;
use crate::suite::common::invariants;
use crate::suite::common::raw::Raw;
use crate::suite::common::sidecar::{Wanted, lay_out};
use crate::suite::common::spellings::canary;
use crate::suite::common::wire::{Agent, Answer};

/// Bytes of memory that a sidecar of a test may take at its worst.
const MEMORY: usize = 256 << 20;

/// `countersign serve` on a folder of its own, with one standing secret for its tool.
pub struct Program {
    pub folder: tempfile::TempDir,
    pub a: Arc<Raw>,
    pub b: Arc<Raw>,
    /// The standing secret.
    pub canary: String,
    agent: Agent,
    admin: String,
    vkey: String,
    checkpoints: Vec<String>,
    descriptors: usize,
    child: Child,
}

impl Program {
    pub async fn usual() -> Self {
        Self::start(wanted(), &[]).await
    }

    /// With further variables in its environment.
    pub async fn start(wanted: Wanted, environment: &[(&str, &str)]) -> Self {
        let command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        Self::run(command, wanted, environment).await
    }

    /// Started by another program, such as `prlimit`.
    pub async fn under(starter: &[&str], wanted: Wanted) -> Self {
        let mut command = Command::new(starter[0]);
        command.args(&starter[1..]).arg(env!("CARGO_BIN_EXE_countersign"));
        Self::run(command, wanted, &[]).await
    }

    async fn run(mut command: Command, wanted: Wanted, environment: &[(&str, &str)]) -> Self {
        let (a, b, canary) = (Raw::start().await, Raw::start().await, canary());
        let folder = tempfile::tempdir().unwrap();
        let more =
            format!("[issuers.standing]\nkind = \"static\"\nsecret = {{ file = \"secret.token\" }}\n{}", wanted.more);
        let mut files = wanted.files.clone();
        files.push(("secret.token", canary.clone()));
        lay_out(folder.path(), &a.origin, &Wanted { issuer: "standing", more, files, ..wanted });
        std::fs::create_dir(folder.path().join("tmp")).unwrap();
        command.envs(environment.iter().copied());
        let (child, opened) = serve(command, folder.path()).await;
        let text = |name: &str| opened[name].as_str().unwrap().to_owned();
        let agent = Agent::new(text("agent").parse().unwrap());
        let descriptors = descriptors(child.id());
        let first = Reader::open(&folder.path().join("lineage.db")).unwrap().checkpoint().unwrap();
        let checkpoints = first.into_iter().collect();
        Self { a, b, canary, agent, admin: text("admin"), vkey: text("vkey"), checkpoints, descriptors, child, folder }
    }

    pub fn agent(&self) -> &Agent {
        &self.agent
    }

    pub async fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        self.agent.ask(request).await
    }

    pub fn reader(&self) -> Reader {
        Reader::open(&self.folder.path().join("lineage.db")).unwrap()
    }

    /// Everything it has written to its standard output and error.
    pub fn log(&self) -> String {
        std::fs::read_to_string(log_file(self.folder.path())).unwrap()
    }

    /// The most memory it ever took, in bytes.
    pub fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
    }

    /// The time it has spent on cores so far.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks = |at: usize| fields[at].parse::<u64>().unwrap();
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
    }

    pub async fn metrics(&self) -> Answer {
        let admin = Agent::new(self.admin.parse().unwrap());
        admin.ask("GET /metrics HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\r\n").await
    }

    /// Starts it again in its folder, after it has stopped.
    pub async fn start_again(&mut self) {
        self.checkpoints.extend(self.reader().checkpoint().unwrap());
        let command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        let (child, opened) = serve(command, self.folder.path()).await;
        self.child = child;
        self.agent.door = opened["agent"].as_str().unwrap().parse().unwrap();
        opened["admin"].as_str().unwrap().clone_into(&mut self.admin);
        self.descriptors = descriptors(self.child.id());
    }

    /// Stops it, and checks everything that holds after every test.
    pub async fn hold(mut self) {
        let metrics = self.metrics().await;
        assert_eq!(metrics.status, 200, "it does not live: {}", self.log());
        assert!(self.memory() < MEMORY, "{} bytes of memory", self.memory());
        self.gives_descriptors_back().await;
        self.checkpoints.extend(self.reader().checkpoint().unwrap());
        self.stop().await;
        let reader = self.reader();
        let stories = invariants::stories(&reader);
        invariants::assert_each_has_its_records(&stories);
        let permitted = stories.iter().filter(|story| story.first("permitted").is_some()).count();
        assert!(self.a.requests().len() <= permitted, "{} requests, {permitted} permitted", self.a.requests().len());
        assert_eq!((self.a.malformed(), self.b.connections()), (Vec::new(), 0));
        invariants::assert_lineage(&reader, &self.checkpoints, &self.vkey);
        assert!(!self.log().contains("panicked"), "{}", self.log());
        invariants::assert_answers(&self.agent.heard(), &stories);
        let mut told: Vec<(String, Vec<u8>)> = vec![("the metrics".to_owned(), metrics.body.into_bytes())];
        told.extend(self.agent.heard().into_iter().map(|bytes| ("an answer".to_owned(), bytes)));
        invariants::gather(self.folder.path(), &mut told);
        invariants::assert_nothing_tells(&told, &self.canary);
    }

    /// Tells it to stop, and waits until it has.
    pub async fn stop(&mut self) {
        self.tell_to_stop();
        self.has_stopped().await;
    }

    /// SIGTERM.
    pub fn tell_to_stop(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// Waits until it has ended, and well.
    pub async fn has_stopped(&mut self) {
        for _ in 0..600 {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "{status}: {}", self.log());
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it does not stop: {}", self.log());
    }

    /// What is left open beside the connections it keeps to its tool.
    async fn gives_descriptors_back(&self) {
        let mut open = 0;
        for _ in 0..80 {
            open = descriptors(self.child.id());
            if open <= self.descriptors + self.a.connections().min(64) + 2 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{open} file descriptors are open, {} were at first", self.descriptors);
    }
}

impl Drop for Program {
    /// A test that fails leaves nothing running.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `countersign serve` in its folder, and the log's line about its open doors.
async fn serve(mut command: Command, folder: &Path) -> (Child, Value) {
    command.args(["serve", "--config"]).arg(folder.join("countersign.toml"));
    command.env("COUNTERSIGN_LOG", "trace").env("TMPDIR", folder.join("tmp"));
    let log = std::fs::File::create(log_file(folder)).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let mut child = command.spawn().unwrap();
    let opened = opened(&mut child, folder).await;
    (child, opened)
}

fn log_file(folder: &Path) -> PathBuf {
    folder.join("program.log")
}

fn descriptors(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}

/// The log's line about the open doors.
async fn opened(child: &mut Child, folder: &Path) -> Value {
    for _ in 0..400 {
        let log = std::fs::read_to_string(log_file(folder)).unwrap_or_default();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        if let Some(line) = lines.into_iter().find(|line| line["message"] == "the doors are open") {
            return line;
        }
        assert!(child.try_wait().unwrap().is_none(), "it did not start: {log}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("its doors did not open");
}

#[tokio::test]
async fn the_real_program_lends_a_secret_and_tells_nobody() {
    let program = Program::usual().await;
    for _ in 0..3 {
        assert_eq!(program.ask(super::bench::get("/tracker/notes")).await.status, 200);
    }
    assert_eq!(program.ask(super::bench::get("/tracker/admin")).await.code(), (403, "denied".to_owned()));
    let seen = program.a.requests();
    assert!(seen.iter().all(|seen| seen.all("authorization") == [format!("Bearer {}", program.canary)]), "{seen:?}");
    assert_eq!(seen.len(), 3);
    program.hold().await;
}
