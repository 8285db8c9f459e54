//! Step 1 on real sockets: processes that connect, hand on, start others, and pretend.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use countersign::identify::{AgentProofs, All, Attestor, Error, Identify, Observer, PeerRule, TokenRule, observe_tcp};
use countersign::model::{AgentName, Digest, Evidence, Peer, Process, Proof, Secret, Timestamp};
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixListener};

const NOW: Timestamp = Timestamp::from_millis(1_795_324_800_000);
/// How long a process may take to start and connect, on a machine that builds at the same time.
const PATIENCE: Duration = Duration::from_secs(20);
const TOKEN: &str = "b1946ac92492d2347c6235b4d2611184";

/// Connects to the Unix socket `sys.argv[1]`, and then does what the lines on its standard input say.
const CLIENT: &str = r#"
import os, socket, sys, time
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
connection.set_inheritable(True)
for line in sys.stdin:
    word, *rest = line.split()
    if word == "hand-on":   # to a child that keeps the connection, and end
        if os.fork() == 0:
            os.close(0); os.close(1); time.sleep(20)
        os._exit(0)
    if word == "start":     # another program, in place of this one
        os.execv(rest[0], rest)
    if word == "end":
        os._exit(0)
"#;

/// A folder with a socket in it, and the processes that a test starts; they end with it.
struct Door {
    folder: TempDir,
    listener: UnixListener,
    observer: Arc<Observer>,
    started: Vec<Child>,
}

impl Door {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(folder.path().join("client.py"), CLIENT).unwrap();
        let listener = UnixListener::bind(folder.path().join("door.sock")).unwrap();
        fs::set_permissions(folder.path().join("door.sock"), fs::Permissions::from_mode(0o777)).unwrap();
        Self { folder, listener, observer: Observer::new(), started: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.folder.path()).unwrap().join(name)
    }

    /// Python, running the client.
    fn client(&self) -> Command {
        let mut command = Command::new(python());
        command.args(["-u", "client.py", "door.sock"]).current_dir(self.folder.path());
        command
    }

    /// Starts `command`, waits for it to connect, and looks at it.
    async fn meet(&mut self, mut command: Command) -> Peer {
        self.started.push(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
        let accepted = tokio::time::timeout(PATIENCE, self.listener.accept()).await;
        let (stream, _) = accepted.expect("the client did not connect").unwrap();
        let peer = self.observer.unix(&stream).await.unwrap();
        // A process is known by its pin, not by its connection, which may close.
        drop(stream);
        peer
    }

    /// Says a line to the process that was started last.
    fn say(&mut self, line: &str) {
        let input = self.started.last_mut().unwrap().stdin.as_mut().unwrap();
        writeln!(input, "{line}").unwrap();
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        for process in &mut self.started {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// The interpreter itself; what is on the path may be a script that starts it.
fn python() -> PathBuf {
    let output = Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output().unwrap();
    fs::canonicalize(String::from_utf8(output.stdout).unwrap().trim()).unwrap()
}

fn process(peer: &Peer) -> &Process {
    match peer {
        Peer::Process(process) => process,
        Peer::Loopback { .. } | Peer::Remote(_) => panic!("not a process: {peer:?}"),
    }
}

fn believed(rule: &PeerRule, peer: &Arc<Peer>) -> bool {
    rule.attest(&Evidence { peer: Arc::clone(peer), bearer: None }, NOW).is_some()
}

/// Whether `holds` becomes true within five seconds.
fn soon(holds: impl Fn() -> bool) -> bool {
    (0..500).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        holds()
    })
}

fn own_uid() -> u32 {
    fs::metadata("/proc/self").unwrap().uid()
}

fn is_root() -> bool {
    let root = own_uid() == 0;
    if !root {
        eprintln!("left out: it takes root to run as another user");
    }
    root
}

fn agent(name: &str) -> AgentName {
    AgentName(name.into())
}

#[tokio::test]
async fn a_process_is_seen_as_the_kernel_sees_it() {
    let mut door = Door::new();
    let peer = door.meet(door.client()).await;
    let process = process(&peer);
    let exe = process.exe.as_ref().unwrap();
    assert_eq!((process.pid, process.uid), (door.started[0].id(), own_uid()));
    assert_eq!(exe.path, python());
    assert_eq!(exe.sha256, Digest::of(&fs::read(python()).unwrap()));
    assert_eq!(process.script.as_deref(), Some(door.path("client.py").as_path()));
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    assert_eq!(process.cgroup.as_deref(), own.lines().find_map(|line| line.strip_prefix("0::")));
    assert!(process.pidfd.is_some() && process.started.is_some());
}

#[tokio::test]
async fn a_folder_is_no_script() {
    let mut door = Door::new();
    fs::create_dir(door.path("agent")).unwrap();
    fs::write(door.path("agent/__main__.py"), CLIENT).unwrap();
    let mut client = Command::new(python());
    client.args(["agent", "door.sock"]).current_dir(door.folder.path());
    let peer = door.meet(client).await;
    assert_eq!(process(&peer).script, None);
}

#[tokio::test]
async fn a_digest_is_that_of_the_file_each_time_it_changes() {
    let mut door = Door::new();
    let copy = door.path("interpreter");
    for extra in ["", "one more line"] {
        // Another inode under the same name: a running file cannot be written to.
        let mut content = fs::read(python()).unwrap();
        content.extend(extra.as_bytes());
        let _ = fs::remove_file(&copy);
        fs::write(&copy, &content).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        for _ in 0..2 {
            let mut client = Command::new(&copy);
            client.env("PYTHONHOME", home()).args(["client.py", "door.sock"]).current_dir(door.folder.path());
            let peer = door.meet(client).await;
            assert_eq!(process(&peer).exe.as_ref().unwrap().sha256, Digest::of(&content));
        }
    }
}

/// Where the interpreter's library lies, for a copy of it that lies elsewhere.
fn home() -> PathBuf {
    python().parent().and_then(Path::parent).unwrap().to_owned()
}

#[tokio::test]
async fn a_connection_handed_on_does_not_hand_on_who_made_it() {
    let mut door = Door::new();
    let peer = Arc::new(door.meet(door.client()).await);
    let rules = [
        PeerRule { uid: Some(own_uid()), ..PeerRule::default() },
        PeerRule { exe: Some(python()), ..PeerRule::default() },
        PeerRule { script: Some(door.path("client.py")), ..PeerRule::default() },
    ];
    assert!(rules.iter().all(|rule| believed(rule, &peer)));
    door.say("hand-on");
    // It has ended, but nobody has waited for it yet: its pid still stands for it.
    assert!(soon(|| !rules.iter().any(|rule| believed(rule, &peer))), "the child is taken for its parent");
    door.started[0].wait().unwrap();
    assert!(!rules.iter().any(|rule| believed(rule, &peer)));
}

#[tokio::test]
async fn a_process_that_ended_before_it_was_looked_at_is_nobody() {
    let door = Door::new();
    let mut client = door.client().stdin(Stdio::piped()).spawn().unwrap();
    let accepted = tokio::time::timeout(PATIENCE, door.listener.accept()).await;
    let (stream, _) = accepted.expect("the client did not connect").unwrap();
    client.stdin.as_mut().unwrap().write_all(b"end\n").unwrap();
    client.wait().unwrap();
    let peer = Arc::new(door.observer.unix(&stream).await.unwrap());
    let seen = process(&peer);
    assert!(seen.exe.is_none() && seen.cgroup.is_none() && seen.script.is_none());
    assert!(!believed(&PeerRule { uid: Some(own_uid()), ..PeerRule::default() }, &peer));
}

#[tokio::test]
async fn starting_another_program_ends_what_the_first_one_proved() {
    let mut door = Door::new();
    let peer = Arc::new(door.meet(door.client()).await);
    let uid = PeerRule { uid: Some(own_uid()), ..PeerRule::default() };
    let exe = PeerRule { exe: Some(python()), ..uid.clone() };
    let sha256 = PeerRule { sha256: Some(Digest::of(&fs::read(python()).unwrap())), ..uid.clone() };
    assert!([&uid, &exe, &sha256].into_iter().all(|rule| believed(rule, &peer)));
    door.say("start /bin/sleep 20");
    assert!(soon(|| !believed(&exe, &peer)), "sleep is taken for python");
    assert!(!believed(&sha256, &peer));
    assert!(believed(&uid, &peer), "it still is the same process of the same user");
}

#[tokio::test]
async fn a_file_under_a_trusted_name_in_a_namespace_of_its_own_is_another_file() {
    let mut door = Door::new();
    let trusted = door.path("trusted");
    fs::copy("/bin/sleep", &trusted).unwrap();
    let mut pretender = Command::new("unshare");
    let script = format!("mount --bind {} {1} && exec {1} client.py door.sock", python().display(), trusted.display());
    pretender.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
    pretender.env("PYTHONHOME", home()).current_dir(door.folder.path());
    let may = Command::new("unshare").args(["--user", "--map-root-user", "--mount", "true"]).status();
    if !may.is_ok_and(|status| status.success()) {
        eprintln!("left out: this machine does not let users make namespaces");
        return;
    }
    let peer = Arc::new(door.meet(pretender).await);
    assert_eq!(process(&peer).exe.as_ref().unwrap().path, trusted, "the kernel shows the name it has there");
    assert!(believed(&PeerRule { uid: Some(own_uid()), ..PeerRule::default() }, &peer));
    assert!(!believed(&PeerRule { exe: Some(trusted), ..PeerRule::default() }, &peer));
}

#[tokio::test]
async fn a_linked_name_is_the_file_it_leads_to() {
    let mut door = Door::new();
    let link = door.path("linked");
    std::os::unix::fs::symlink(python(), &link).unwrap();
    let peer = Arc::new(door.meet(door.client()).await);
    assert!(believed(&PeerRule { exe: Some(link), ..PeerRule::default() }, &peer));
}

#[tokio::test]
async fn another_user_is_another_user() {
    if !is_root() {
        return;
    }
    let mut door = Door::new();
    // Its working folder and interpreter may be closed to it; the socket's path is enough.
    let mut client = Command::new("setpriv");
    client.args(["--reuid=12345", "--regid=23456", "--clear-groups", "perl", "-MIO::Socket::UNIX", "-e"]);
    client.arg("$s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die; sleep 20").arg(door.path("door.sock"));
    let peer = Arc::new(door.meet(client).await);
    let seen = process(&peer);
    assert_eq!((seen.uid, seen.gid), (12345, 23456));
    assert!(believed(&PeerRule { uid: Some(12345), gid: Some(23456), ..PeerRule::default() }, &peer));
    assert!(!believed(&PeerRule { uid: Some(0), ..PeerRule::default() }, &peer));
}

#[tokio::test]
async fn a_loopback_peer_is_known_by_its_user() {
    if !is_root() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let local = listener.local_addr().unwrap();
    // No name is looked up, since another user may not read the interpreter's library.
    let program = "import os, socket, sys, time; os.setuid(int(sys.argv[2])); s = socket.socket(); \
                   s.connect(('127.0.0.1', int(sys.argv[1]))); time.sleep(20)";
    for uid in [0, 12345] {
        let mut client = Command::new(python());
        let mut client = client.args(["-c", program, &local.port().to_string(), &uid.to_string()]).spawn().unwrap();
        let accepted = tokio::time::timeout(PATIENCE, listener.accept()).await;
        let peer = Arc::new(observe_tcp(accepted.expect("the client did not connect").unwrap().1, local));
        client.kill().unwrap();
        client.wait().unwrap();
        assert!(believed(&PeerRule { uid: Some(uid), ..PeerRule::default() }, &peer), "{peer:?}");
        assert!(!believed(&PeerRule { uid: Some(uid + 1), ..PeerRule::default() }, &peer));
    }
}

/// A socket that was closed belongs to nobody; older kernels say uid 0, and nobody must become root by hanging up.
#[tokio::test]
async fn a_loopback_peer_that_hung_up_is_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let local = listener.local_addr().unwrap();
    let mut client = std::net::TcpStream::connect(local).unwrap();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    drop(client);
    let (_stream, address) = listener.accept().await.unwrap();
    assert!(matches!(observe_tcp(address, local), Peer::Loopback { uid: None, .. }));
}

#[tokio::test]
async fn a_process_and_its_token_prove_more_than_either() {
    let mut door = Door::new();
    let peer = Arc::new(door.meet(door.client()).await);
    let token = |name: &str| TokenRule::new(&agent(name), &Secret::new(TOKEN)).unwrap();
    let exe = PeerRule { exe: Some(python()), ..PeerRule::default() };
    let both = All::new(vec![Box::new(token("ana")), Box::new(exe.clone())]);
    let one = |name: &str, proof: Box<dyn Attestor>| {
        (agent(name), AgentProofs { identify: vec![proof], open_tasks: Vec::new() })
    };
    let asks = |bearer: Option<&str>| Evidence { peer: Arc::clone(&peer), bearer: bearer.map(Secret::new) };

    let identify = Identify::new(BTreeMap::from([one("ana", Box::new(both))]));
    let caller = identify.caller(&asks(Some(TOKEN)), NOW).unwrap();
    assert_eq!(caller.workload.proofs, [Proof::Process, Proof::Token]);
    assert_eq!((caller.workload.kind(), caller.workload.strength()), ("process", 4));
    assert_eq!(caller.workload.id, format!("token:ana/8f0a8821 exe:{}", python().display()));
    assert!(matches!(identify.caller(&asks(None), NOW), Err(Error::Nobody(_))));
    assert!(matches!(identify.caller(&asks(Some("wrong")), NOW), Err(Error::Nobody(_))));

    let identify = Identify::new(BTreeMap::from([one("ana", Box::new(token("ana"))), one("ben", Box::new(exe))]));
    assert_eq!(identify.caller(&asks(None), NOW).unwrap().agent, agent("ben"));
    let several = identify.caller(&asks(Some(TOKEN)), NOW).unwrap_err();
    assert_eq!(several, Error::Several(vec![agent("ana"), agent("ben")]));
}
