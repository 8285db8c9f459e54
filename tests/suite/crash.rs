//! The sidecar is killed (SIGKILL, a process of its own) at each point where a crash could orphan something. After the
//! next start nothing was minted unrecorded, every credential is ended or known to be open, and every call has an ending.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use countersign::app::Seams;
use countersign::model::Lifetime;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::common::gate::{Gate, GatedLineage};
use super::common::invariants;
use super::common::sidecar::{FRAMEWORK, READ, Sidecar, Wanted, lay_out, open};
use super::common::tool::Tool;
use super::common::vault::Vault;

/// What the child process is told, in its environment.
const FOLDER: &str = "COUNTERSIGN_TEST_FOLDER";
const VAULT: &str = "COUNTERSIGN_TEST_VAULT";
const GATED: &str = "COUNTERSIGN_TEST_GATED";

/// Not a test by itself: the process that the tests below start and kill. It tells its door on standard error.
#[tokio::test]
async fn child_process_that_is_killed() {
    let (Ok(folder), Ok(vault)) = (std::env::var(FOLDER), std::env::var(VAULT)) else { return };
    let mut seams = Seams::default();
    if let Ok(kind) = std::env::var(GATED) {
        // The record of this kind never gets to the store: the process dies while it waits here.
        let before = Gate::open();
        before.close();
        let kind: &'static str = if kind == "minted" { "minted" } else { "ended" };
        seams.lineage = Some(Box::new(move |inner| {
            Arc::new(GatedLineage { inner, kind, before: before.clone(), behind: Gate::open() })
        }));
    }
    let text = std::fs::read_to_string(Path::new(&folder).join("countersign.toml")).unwrap();
    let running = open(Path::new(&folder), &text, seams, &vault, Lifetime::Head).await;
    eprintln!("door {}", running.agent.unwrap());
    std::future::pending::<()>().await;
}

struct Scene {
    folder: tempfile::TempDir,
    tool: Arc<Tool>,
    vault: Arc<Vault>,
    child: Child,
    door: String,
}

impl Scene {
    async fn set(gated: Option<&str>) -> Self {
        let (tool, vault) = (Tool::start().await, Vault::start().await);
        let folder = tempfile::tempdir().unwrap();
        lay_out(folder.path(), &tool.origin, &Wanted::default());
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "suite::crash::child_process_that_is_killed", "--nocapture"]);
        command.env(FOLDER, folder.path()).env(VAULT, &vault.origin).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::piped());
        if let Some(kind) = gated {
            command.env(GATED, kind);
        }
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let door = tokio::task::spawn_blocking(move || {
            lines
                .find_map(|line| line.unwrap().strip_prefix("door ").map(str::to_owned))
                .expect("the child tells its door")
        });
        let door = door.await.unwrap();
        Self { folder, tool, vault, child, door }
    }

    async fn call(&self) -> TcpStream {
        let mut stream = TcpStream::connect(&self.door).await.unwrap();
        stream.write_all(READ.replace("HOST", &self.door).as_bytes()).await.unwrap();
        stream
    }

    /// Kills the process, opens the gates, and starts a sidecar on what is left.
    async fn kill_and_start_again(mut self) -> Sidecar {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        for gate in
            [&self.vault.before_mint, &self.vault.behind_mint, &self.vault.before_revoke, &self.tool.before_head]
        {
            gate.release();
        }
        // A vault goes on with what it was asked even if the one who asked is gone.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let text = std::fs::read_to_string(self.folder.path().join("countersign.toml")).unwrap();
        let running = open(self.folder.path(), &text, Seams::default(), &self.vault.origin, Lifetime::Head).await;
        Sidecar::around(self.folder, running, self.tool, self.vault)
    }
}

/// The ending of the one call there is.
async fn ending(sidecar: &Sidecar) -> Value {
    let stories = sidecar.wait_for("ended", 1).await;
    assert_eq!(stories.len(), 1, "{stories:?}");
    stories[0].last("ended").unwrap().entry.clone()
}

fn expect(ended: &Value, revocation: &str) {
    assert_eq!(ended["ending"], "unknown", "{ended}");
    assert_eq!(ended["credential"]["revocation"], revocation, "{ended}");
}

#[tokio::test]
async fn killed_between_permit_and_mint() {
    let scene = Scene::set(None).await;
    scene.vault.before_mint.close();
    let _stream = scene.call().await;
    scene.vault.before_mint.reached(1).await;
    assert_eq!(scene.vault.minted(), 0);
    let sidecar = scene.kill_and_start_again().await;
    // The vault went on and minted, and nobody knows the name of it: that is said, and the issuer is quarantined.
    let ended = ending(&sidecar).await;
    expect(&ended, "unknown");
    assert!(ended["credential"]["expires_at"].is_string());
    assert_eq!(sidecar.send(READ).await.status, 503);
    assert!(sidecar.tool.seen().is_empty());
}

#[tokio::test]
async fn killed_between_mint_and_its_record() {
    let scene = Scene::set(Some("minted")).await;
    let _stream = scene.call().await;
    scene.vault.behind_mint.reached(1).await;
    // The answer is on its way to the issuer; its record never gets to the store.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!((scene.vault.live(), scene.tool.seen().len()), (1, 0));
    let sidecar = scene.kill_and_start_again().await;
    let ended = ending(&sidecar).await;
    expect(&ended, "unknown");
    assert_eq!(sidecar.send(READ).await.status, 503, "its issuer is quarantined until it must have expired");
    assert!(sidecar.tool.seen().is_empty(), "a credential whose name is not recorded is not used");
}

#[tokio::test]
async fn killed_between_send_and_revoke() {
    let scene = Scene::set(None).await;
    scene.tool.before_head.close();
    let _stream = scene.call().await;
    scene.tool.before_head.reached(1).await;
    assert_eq!(scene.vault.live(), 1);
    let mut sidecar = scene.kill_and_start_again().await;
    let ended = ending(&sidecar).await;
    expect(&ended, "confirmed");
    assert_eq!(sidecar.vault.live(), 0, "the next start ended it");
    assert_eq!(sidecar.send(READ).await.status, 200);
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn killed_between_revoke_and_the_record_of_the_ending() {
    let scene = Scene::set(Some("ended")).await;
    let mut stream = scene.call().await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    scene.vault.before_revoke.reached(1).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(scene.vault.live(), 0);
    let mut sidecar = scene.kill_and_start_again().await;
    let ended = ending(&sidecar).await;
    // It cannot know what the agent got, so it does not say; the vault confirms a second time.
    expect(&ended, "confirmed");
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn killed_while_a_grant_is_used_and_nothing_of_it_comes_back() {
    let scene = Scene::set(None).await;
    let send = async |door: &str, request: &str| {
        let mut stream = TcpStream::connect(door).await.unwrap();
        stream.write_all(request.replace("HOST", door).as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    };
    let body = r#"{"actions":[{"action":"tracker/comments.create","max":2}]}"#;
    let opened = send(
        &scene.door,
        &format!(
            "POST /-/tasks HTTP/1.1\r\nhost: HOST\r\nauthorization: Bearer {FRAMEWORK}\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        ),
    )
    .await;
    let opened: Value = serde_json::from_str(opened.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let write = format!(
        "POST /tracker/repos/octo/hello/issues/7/comments HTTP/1.1\r\nhost: HOST\r\nagent-task: {}\r\nconnection: close\r\n\
         content-length: 0\r\n\r\n",
        opened["token"].as_str().unwrap()
    );
    assert!(send(&scene.door, &write).await.starts_with("HTTP/1.1 200"));
    // The second is permitted, and the process dies before it knows what came of it.
    scene.tool.before_head.close();
    let mut stream = TcpStream::connect(&scene.door).await.unwrap();
    stream.write_all(write.replace("HOST", &scene.door).as_bytes()).await.unwrap();
    scene.tool.before_head.reached(2).await;
    let mut sidecar = scene.kill_and_start_again().await;
    sidecar.wait_for("ended", 2).await;
    let answer = sidecar.send(&write).await;
    assert_eq!(answer.status, 200, "the policy of this scene permits it, granted or not: {answer:?}");
    let third = sidecar.story(answer.call(), "ended").await;
    let facts = &third.first("permitted").unwrap().entry["facts"];
    assert_eq!((&facts["task"]["declared"], &facts["chain"]["calls"]), (&false.into(), &2.into()), "{facts}");
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn killed_at_random_moments_under_load() {
    let rounds = if std::env::var_os("COUNTERSIGN_LONG").is_some() { 200 } else { 6 };
    for round in 0..rounds {
        let scene = Scene::set(None).await;
        let calling = async {
            for _ in 0..400 {
                let Ok(mut stream) = TcpStream::connect(&scene.door).await else { return };
                let _ = stream.write_all(READ.replace("HOST", &scene.door).as_bytes()).await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        };
        let _ = tokio::time::timeout(Duration::from_millis(20 + 37 * (round % 7)), calling).await;
        let mut sidecar = scene.kill_and_start_again().await;
        let minted = sidecar.vault.minted();
        let permitted =
            invariants::stories(&sidecar.reader()).iter().filter(|story| story.first("permitted").is_some()).count();
        assert!(minted <= permitted, "{minted} minted, {permitted} recorded");
        sidecar.wait_for("ended", permitted).await;
        // What was minted in the moment of the kill, and never told, is open until it expires; it is one at most.
        assert!(sidecar.vault.live() <= 1, "{} live", sidecar.vault.live());
        let unknown = invariants::stories(&sidecar.reader())
            .iter()
            .filter(|story| {
                story.last("ended").is_some_and(|ended| ended.entry["credential"]["revocation"] == "unknown")
            })
            .count();
        assert!(sidecar.vault.live() <= unknown, "a live credential that no record knows of");
        assert!(sidecar.stop().await);
        assert!(countersign::record::verify(&sidecar.reader(), None, None).is_intact());
    }
}
