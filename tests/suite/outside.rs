//! What leaves the house: the tree as it is served, receipts, checkpoints that are sent elsewhere; and erasing by the door.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign::app::Seams;
use countersign::record::{Checkpoint, Verdict, verify};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::common::sidecar::{Answer, READ, Sidecar, Wanted, lay_out, open};
use super::common::tool::Tool;
use super::common::vault::Vault;
use crate::store::fixture::Place;
use crate::store::shim::{Disk, Order};

const REVIEWER: &str = "a-reviewer-s-token-for-tests-1234";

async fn ask(door: SocketAddr, request: &str) -> (u16, Vec<u8>) {
    let mut stream = TcpStream::connect(door).await.unwrap();
    let request = request.replace("HOST", &door.to_string());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer");
    let status = String::from_utf8_lossy(&bytes[9..12]).parse().unwrap();
    (status, bytes.split_off(end + 4))
}

async fn get(door: SocketAddr, path: &str) -> (u16, Vec<u8>) {
    ask(door, &format!("GET {path} HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\r\n")).await
}

async fn with_token(door: SocketAddr, method: &str, path: &str) -> (u16, Vec<u8>) {
    let head = format!("{method} {path} HTTP/1.1\r\nhost: HOST\r\nauthorization: Bearer {REVIEWER}\r\n");
    ask(door, &format!("{head}content-length: 0\r\nconnection: close\r\n\r\n")).await
}

/// A sidecar with a reviewer and some more lines under `[lineage]`.
async fn sidecar(lines: &str) -> Sidecar {
    let (tool, vault) = (Tool::start().await, Vault::start().await);
    let folder = tempfile::tempdir().unwrap();
    let wanted = Wanted { issuer: "calls", ..Wanted::default() };
    let text = lay_out(folder.path(), &tool.origin, &wanted);
    let token = folder.path().join("ana.token");
    std::fs::write(&token, REVIEWER).unwrap();
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let text = text.replace("[lineage]\n", &format!("[lineage]\n{lines}\n"))
        + "[reviewers.ana]\ntoken = { file = \"ana.token\" }\nmay = [\"read\", \"erase\"]\n";
    std::fs::write(folder.path().join("countersign.toml"), &text).unwrap();
    let running = open(folder.path(), &text, Seams::default(), &vault.origin, wanted.lifetime).await;
    Sidecar::around(folder, running, tool, vault)
}

async fn until<T>(what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..200 {
        if let Some(found) = found().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("not within five seconds: {what}");
}

#[tokio::test]
async fn the_tree_is_served_to_all_and_its_entries_to_reviewers() {
    let mut sidecar = sidecar("").await;
    let call = sidecar.send(READ).await.call();
    sidecar.story(call, "ended").await;
    let note = until("a checkpoint over three records", async || {
        let (status, body) = get(sidecar.admin, "/checkpoint").await;
        let note = String::from_utf8(body).unwrap();
        (status == 200 && Checkpoint::parse(&note).unwrap().size >= 3).then_some(note)
    });
    let Checkpoint { size, root, .. } = Checkpoint::parse(&note.await).unwrap();
    let (status, tile) = get(sidecar.admin, &format!("/tile/0/000.p/{size}")).await;
    assert_eq!((status, tile.len() as u64), (200, size * 32));
    let entries = format!("/tile/entries/000.p/{size}");
    assert_eq!(get(sidecar.admin, &entries).await.0, 401, "entries name agents and actions");
    let (status, bundle) = with_token(sidecar.admin, "GET", &entries).await;
    assert!(status == 200 && bundle.windows(9).any(|bytes| bytes == b"permitted"));
    for path in ["/tile/0/001", "/tile/0/0", "/tile/0/000.p/0", "/tile/64/000", "/tile/0/000.p/255", "/tile/x"] {
        assert_eq!(get(sidecar.admin, path).await.0, 404, "{path}");
    }
    let proof = format!("/v1/calls/{call}/proof");
    assert_eq!(get(sidecar.admin, &proof).await.0, 401);
    let (_, body) = with_token(sidecar.admin, "GET", &proof).await;
    let proofs: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let receipt = proofs["proofs"][0]["proof"].as_str().unwrap();
    assert!(receipt.starts_with("c2sp.org/tlog-proof@v1\n"), "{proofs}");
    assert_eq!(proofs["proofs"][0]["kind"], "permitted");
    sidecar.stop().await;
    assert_eq!(sidecar.reader().root(size).unwrap(), root);
}

#[tokio::test]
async fn what_is_private_is_erased_by_the_door_and_a_record_says_so() {
    let mut sidecar = sidecar("").await;
    let call = sidecar.send(READ).await.call();
    sidecar.story(call, "ended").await;
    let path = format!("/v1/calls/{call}/erase");
    assert_eq!(
        ask(
            sidecar.admin,
            &format!("POST {path} HTTP/1.1\r\nhost: HOST\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        )
        .await
        .0,
        401
    );
    assert_eq!(with_token(sidecar.admin, "GET", &path).await.0, 405, "reading changes nothing");
    let (status, body) = with_token(sidecar.admin, "POST", &path).await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    let story = sidecar.story(call, "erased").await;
    assert_eq!(story.last("erased").unwrap().entry["by"], "ana");
    assert!(
        story.records.iter().all(|record| record.private.as_ref().is_none_or(serde_json::Map::is_empty)),
        "{story:?}"
    );
    assert_eq!(with_token(sidecar.admin, "POST", &path).await.0, 404, "there is nothing left");
    sidecar.stop().await;
    let report = verify(&sidecar.reader(), None, None);
    assert!(report.is_intact() && report.erased >= 1, "{report:?}");
}

/// A server that keeps what is posted to it.
async fn collector() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keeping = kept.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = vec![0; 4096];
            let mut length = 0;
            while !String::from_utf8_lossy(&bytes[..length]).contains("\n— ") || bytes[length - 1] != b'\n' {
                length += stream.read(&mut bytes[length..]).await.unwrap();
            }
            keeping.lock().unwrap().push(String::from_utf8_lossy(&bytes[..length]).into_owned());
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        }
    });
    (origin, kept)
}

#[tokio::test]
async fn checkpoints_are_sent_elsewhere_and_a_lineage_that_fell_behind_them_is_not_opened() {
    let (origin, kept) = collector().await;
    let mut sidecar = sidecar(&format!("checkpoints = [\"sent.note\", \"{origin}/log\"]")).await;
    let file = sidecar.folder.path().join("sent.note");
    sidecar.send(READ).await;
    until("a checkpoint in the file", async || std::fs::read_to_string(&file).ok()).await;
    let older = sidecar.folder.path().join("older.db");
    sidecar.stop().await;
    std::fs::copy(sidecar.lineage(), &older).unwrap();
    let first = std::fs::read_to_string(&file).unwrap();
    let size = sidecar.reader().size().unwrap();
    assert_eq!(Checkpoint::parse(&first).unwrap().size, size, "the last one is sent when it stops");
    let posted = kept.lock().unwrap().clone();
    assert!(
        posted[0].starts_with("POST /log HTTP/1.1\r\n") && posted.iter().any(|post| post.ends_with(&first)),
        "{posted:?}"
    );
    sidecar.restart().await;
    sidecar.send(READ).await;
    sidecar.stop().await;
    let report = verify(&sidecar.reader(), Some(&std::fs::read_to_string(&file).unwrap()), None);
    assert!(report.is_intact() && report.against.is_some(), "{report:?}");
    // Somebody puts the older copy back.
    std::fs::copy(&older, sidecar.lineage()).unwrap();
    let report = verify(&sidecar.reader(), Some(&std::fs::read_to_string(&file).unwrap()), None);
    assert!(matches!(report.verdict, Verdict::Broken { .. }), "{report:?}");
    let text = std::fs::read_to_string(sidecar.folder.path().join("countersign.toml")).unwrap();
    let config = countersign::config::Config::parse(&text, sidecar.folder.path()).unwrap();
    let Err(refused) = countersign::app::start(&config, &text, Seams::default()).await else { panic!("it opened") };
    assert!(refused.to_string().contains("rolled back"), "{refused}");
}

#[tokio::test]
async fn a_restart_forgets_no_limit_and_nothing_that_was_taken_in() {
    let agent = "intent = \"never\"\n[[agents.helper.limits]]\nper = \"agent\"\nrequests = 3\nwindow = \"1h\"";
    let policy = "@id(\"all\") permit(principal, action, resource);
         @id(\"clean\") forbid(principal, action in Action::\"effect:write\", resource) when { context.labels.contains(\"untrusted\") };";
    let wanted = Wanted { agent, policy, issuer: "calls", ..Wanted::default() };
    let mut sidecar = Sidecar::start(wanted, Seams::default()).await;
    let write = "POST /tracker/repos/octo/hello/issues/7/comments HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(sidecar.send(write).await.status, 200);
    assert_eq!(sidecar.send(READ).await.status, 200, "an issue was written by a stranger");
    assert_eq!(sidecar.send(write).await.status, 403);
    sidecar.restart().await;
    assert_eq!(sidecar.send(write).await.status, 403, "what it has read, it has read");
    assert_eq!(sidecar.send(READ).await.status, 200);
    assert_eq!(sidecar.send(READ).await.status, 429, "three calls are three calls");
    sidecar.stop().await;
}

/// The program itself, on a disk that takes ten seconds for a sync.
#[tokio::test]
async fn on_a_slow_disk_calls_are_refused_within_the_deadline_and_reach_no_tool() {
    let place = Place::new();
    let disk = Disk::under(&place);
    let tool = Tool::start().await;
    let folder = place.folder.path().join("config");
    std::fs::create_dir(&folder).unwrap();
    let text = lay_out(&folder, &tool.origin, &Wanted { issuer: "calls", ..Wanted::default() });
    let lineage = format!("[lineage]\npath = {:?}\n", disk.folder.join("lineage.db"));
    std::fs::write(folder.join("countersign.toml"), text.replace("[lineage]\n", &lineage)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.arg("--config").arg(folder.join("countersign.toml")).arg("serve");
    command.env("NO_COLOR", "1").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    disk.carry(&mut command, false);
    let mut child = Killed(command.spawn().unwrap());
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.0.stderr.take().unwrap()));
    let door = tokio::task::spawn_blocking(move || {
        let mut lines = lines.map_while(Result::ok);
        let line = lines.find(|line| line.contains("the doors are open")).expect("it starts");
        // Whoever writes to a pipe that nobody reads is killed.
        std::thread::Builder::new().name("log".into()).spawn(move || lines.for_each(drop)).unwrap();
        let (_, rest) = line.split_once("\"agent\":\"").expect("it tells its door");
        rest.split('"').next().unwrap().parse::<SocketAddr>().unwrap()
    });
    let door = door.await.unwrap();
    let send = async || Answer::parse(&ask_raw(door, READ).await);
    assert_eq!(send().await.status, 200);
    assert_eq!(tool.seen().len(), 1);
    disk.tell(Order::SyncMs, 10_000);
    let start = std::time::Instant::now();
    for _ in 0..2 {
        let answer = send().await;
        assert_eq!((answer.status, &answer.json()["code"]), (503, &"record_unavailable".into()), "{answer:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert_eq!(tool.seen().len(), 1, "nothing was forwarded");
    disk.tell(Order::SyncMs, 0);
    until("it is well again", async || (send().await.status == 200).then_some(())).await;
    drop(child);
    let reader = countersign::record::Reader::open(&disk.folder.join("lineage.db")).unwrap();
    assert!(verify(&reader, None, None).is_intact());
}

/// A process that does not outlive the test, however that ends.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn ask_raw(door: SocketAddr, request: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(door).await.unwrap();
    stream.write_all(request.replace("HOST", &door.to_string()).as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    bytes
}
