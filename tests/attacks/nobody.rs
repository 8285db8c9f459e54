//! The real program in a folder of its own. Where the tests run as root, it runs as a user of no rights.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};

use crate::suite::common::sidecar::{Answer, FRAMEWORK};

/// A user who owns nothing.
pub const NOBODY: u32 = 65_534;

const TRACKER: &str = include_str!("../../examples/demo/tracker.toml");

/// How long a start may take, on a machine that builds at the same time.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn is_root() -> bool {
    geteuid().is_root()
}

/// Who the program runs as.
pub fn its_uid() -> u32 {
    if is_root() { NOBODY } else { geteuid().as_raw() }
}

/// A command that runs as the user the program runs as.
pub fn as_its_user(program: impl AsRef<std::ffi::OsStr>) -> Command {
    if is_root() { as_user(NOBODY, program) } else { Command::new(program) }
}

/// A command that runs as another user, which takes root.
pub fn as_user(uid: u32, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.arg(format!("--reuid={uid}")).arg(format!("--regid={uid}")).arg("--clear-groups").arg(program);
    command
}

/// A configuration for one agent, this test's user, and one tool. `more` are whole tables.
pub fn config(tool: &str, more: &str) -> String {
    let uid = geteuid().as_raw();
    format!(
        "[listen]\nagent = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nworkers = 1\n\
         [agents.helper]\nidentify = [{{ peer = {{ uid = {uid} }} }}]\n\
         open_tasks = [{{ token = {{ file = \"framework.token\" }} }}]\ntools = [\"tracker\"]\nintent = \"never\"\n\
         [tools.tracker]\nupstream = \"{tool}\"\ncatalog = \"tracker.toml\"\nissuer = \"calls\"\n\
         networks = [\"127.0.0.0/8\"]\nplaintext = true\n\
         [issuers.calls]\nkind = \"jwt\"\n{more}"
    )
}

/// A folder with what the program needs, belonging to its user and open to nobody else.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new(config: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        fs::create_dir(folder.path("policies")).unwrap();
        folder.write("policies/main.cedar", "@id(\"all\") permit(principal, action, resource);", 0o600);
        folder.write("tracker.toml", TRACKER, 0o600);
        folder.write("framework.token", FRAMEWORK, 0o600);
        folder.write("countersign.toml", config, 0o600);
        // Others may not be let to where the program was built.
        fs::copy(env!("CARGO_BIN_EXE_countersign"), folder.path("countersign")).unwrap();
        fs::set_permissions(folder.path("countersign"), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["", "policies", "countersign"] {
            folder.hand_over(name);
        }
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str, mode: u32) {
        fs::write(self.path(name), text).unwrap();
        self.mode(name, mode);
        self.hand_over(name);
    }

    pub fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// To the program's user.
    pub fn hand_over(&self, name: &str) {
        if is_root() {
            std::os::unix::fs::lchown(self.path(name), Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }

    pub fn serve(&self, environment: &[(&str, &str)]) -> Command {
        let mut command = as_its_user(self.path("countersign"));
        command.arg("--config").arg(self.path("countersign.toml")).arg("serve").current_dir("/");
        command.envs(environment.iter().copied()).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// A start that is to be refused: its exit code and what it says.
    pub fn refused(&self, environment: &[(&str, &str)]) -> (Option<i32>, String) {
        let mut child = self.serve(environment).stderr(Stdio::piped()).spawn().unwrap();
        let started = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if started.elapsed() > PATIENCE {
                child.kill().unwrap();
                let said = String::from_utf8(child.wait_with_output().unwrap().stderr).unwrap();
                panic!("it serves: {said}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let Output { status, stderr, .. } = child.wait_with_output().unwrap();
        (status.code(), String::from_utf8(stderr).unwrap())
    }
}

/// The program, serving.
pub struct Program {
    pub folder: Folder,
    pub agent: String,
    pub admin: String,
    child: Child,
}

impl Program {
    pub async fn start(folder: Folder, environment: &[(&str, &str)]) -> Self {
        let command = folder.serve(environment);
        Self::run(folder, command).await
    }

    /// Starts it and waits until its doors are open. What it logs goes into the folder's `log`.
    pub async fn run(folder: Folder, mut command: Command) -> Self {
        let log = fs::File::create(folder.path("log")).unwrap();
        let child = command.stderr(log).spawn().unwrap();
        let mut program = Self { folder, agent: String::new(), admin: String::new(), child };
        let started = Instant::now();
        loop {
            if let Some(open) = program.lines().into_iter().find(|line| line["message"] == "the doors are open") {
                let door = |name: &str| open[name].as_str().unwrap().to_owned();
                (program.agent, program.admin) = (door("agent"), door("admin"));
                return program;
            }
            assert!(program.child.try_wait().unwrap().is_none(), "it does not serve: {}", program.log());
            assert!(started.elapsed() < PATIENCE, "it does not open its doors: {}", program.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the kernel shows of it.
    pub fn proc(&self, name: &str) -> PathBuf {
        Path::new("/proc").join(self.pid().to_string()).join(name)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path("log")).unwrap()
    }

    /// The lines it has logged so far, each of which must be one.
    pub fn lines(&self) -> Vec<Value> {
        let log = self.log();
        let whole = log.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    /// Sends a request to the agents' door and reads the answer to its end.
    pub async fn send(&self, request: &str) -> Answer {
        send(&self.agent, &self.folder.path("agent.sock"), request).await
    }

    /// Likewise to the admin door.
    pub async fn ask(&self, request: &str) -> Answer {
        send(&self.admin, &self.folder.path("admin.sock"), request).await
    }

    /// A task of the framework; gives its token.
    pub async fn open_task(&self) -> String {
        let opened = self
            .send(&format!(
                "POST /-/tasks HTTP/1.1\r\nhost: HOST\r\nauthorization: Bearer {FRAMEWORK}\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}"
            ))
            .await;
        opened.json()["token"].as_str().unwrap().to_owned()
    }

    /// Asks it to stop, waits until it has, and gives its folder.
    pub fn stop(mut self) -> (Folder, String) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        self.child.wait().unwrap();
        let log = self.log();
        let empty = Folder(tempfile::tempdir().unwrap());
        (std::mem::replace(&mut self.folder, empty), log)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn send(door: &str, socket: &Path, request: &str) -> Answer {
    let (bytes, door) = match door.parse::<SocketAddr>() {
        Ok(address) => (exchange(TcpStream::connect(address).await.unwrap(), request, door).await, door),
        Err(_) => (exchange(UnixStream::connect(socket).await.unwrap(), request, "localhost").await, "a socket"),
    };
    assert!(!bytes.is_empty(), "{door} hung up on {request}");
    Answer::parse(&bytes)
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str, host: &str) -> Vec<u8> {
    stream.write_all(request.replace("HOST", host).as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut bytes)).await;
    read.expect("an answer").unwrap();
    bytes
}
