//! Group I: what an agent is told, what is recorded, what prints. None of it quotes a secret, a stranger, or the house.

mod logs;

use std::fs;
use std::io::{Read as _, Seek as _};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use countersign::app::Seams;
use countersign::model::{Code, Credential, Decision, Digest, Evidence, Handle, Peer, Placement, Secret};
use countersign::record::{Lineage, Receipt, Record, Unavailable};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::nobody::{Folder, Program, config, is_root};
use crate::suite::common::invariants;
use crate::suite::common::sidecar::{Answer, FRAMEWORK, READ, Sidecar, Wanted};
use crate::suite::common::tool::Tool;
use crate::suite::common::vault::Mood;

const CANARY: &str = "CANARY-7d793037a0760186574b0282f2f435e7";

const TRACE: (&str, &str) = ("COUNTERSIGN_LOG", "trace");

/// A tool that answers every request with these bytes and hangs up; with none, it waits.
async fn answering(bytes: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                if bytes.is_empty() {
                    tokio::time::sleep(Duration::from_secs(20)).await;
                }
                let _ = stream.write_all(bytes.as_bytes()).await;
            });
        }
    });
    format!("http://{address}")
}

/// All that an agent whose task holds nothing untrusted is told with this code, where there is no more to say.
fn fixed(code: Code, answer: &Answer) -> Value {
    json!({
        "type": format!("/-/problems/{code}"),
        "title": code.title(),
        "status": code.status(),
        "instance": format!("/calls/{}", answer.call()),
        "code": code.name(),
        "decision": code.decision().name(),
        "retryable": code.decision() == Decision::Unavailable,
        "suggestions": [code.help()],
    })
}

fn assert_fixed(answer: &Answer, code: Code) {
    assert_eq!((answer.status, answer.json()), (code.status(), fixed(code, answer)));
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let mut names: Vec<&str> = answer.head.lines().skip(1).filter_map(|line| line.split(':').next()).collect();
    names.sort_unstable();
    assert_eq!(names, ["connection", "content-length", "content-type", "countersign-call", "date"], "{answer:?}");
}

/// It stands nowhere in `text`, in no usual spelling.
fn assert_absent(secret: &str, text: &[u8], place: &str) {
    let mut spellings = vec![secret.to_owned(), hex::encode(secret), hex::encode_upper(secret)];
    spellings.push(percent_encoding::percent_encode(secret.as_bytes(), percent_encoding::NON_ALPHANUMERIC).to_string());
    // Base64 of it within something else begins at one of three places.
    for before in ["", "a", "ab"] {
        let whole = format!("{before}{secret}");
        let inner = if before.is_empty() { 0 } else { 4 }..whole.len() / 3 * 4;
        for encoded in [STANDARD.encode(&whole), URL_SAFE_NO_PAD.encode(&whole)] {
            spellings.push(encoded.get(inner.clone()).unwrap().to_owned());
        }
    }
    // A few letters of base64 stand everywhere.
    for spelling in spellings.into_iter().filter(|spelling| spelling.len() > 7 || spelling == secret) {
        let found = text.windows(spelling.len()).position(|window| window == spelling.as_bytes());
        let around = found.map(|at| String::from_utf8_lossy(&text[at.saturating_sub(80)..text.len().min(at + 120)]));
        assert!(around.is_none(), "`{secret}` is in {place}, as `{spelling}`: {around:?}");
    }
}

#[tokio::test]
async fn what_goes_wrong_on_the_way_to_a_tool_is_told_in_words_of_ours() {
    let plain = answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let garbage = answering(
        "HTTP/1.1 200 OK\r\nx-key: CANARY-7d793037\r\ncontent-length: CANARY-7d793037a0760186574b0282f2f435e7\r\n\r\n",
    )
    .await;
    let encoded = answering(
        "HTTP/1.1 200 OK\r\ncontent-encoding: CANARY-7d793037a0760186574b0282f2f435e7\r\ncontent-length: 1\r\n\r\nx",
    )
    .await;
    let silent = answering("").await;
    let loopback = "networks = [\"127.0.0.0/8\"]\nplaintext = true";
    for (upstream, listed, code) in [
        (plain.replace("http:", "https:"), "networks = [\"127.0.0.0/8\"]", Code::UpstreamFailed),
        ("https://localhost:1".to_owned(), "networks = [\"127.0.0.0/8\", \"::1/128\"]", Code::UpstreamFailed),
        (plain.replace("http:", "https:"), "", Code::EgressBlocked),
        ("https://localhost:1".to_owned(), "", Code::EgressBlocked),
        (garbage, loopback, Code::UpstreamFailed),
        (encoded.clone(), loopback, Code::UpstreamFailed),
        (silent, "networks = [\"127.0.0.0/8\"]\nplaintext = true\nmax_call = \"300ms\"", Code::UpstreamTimeout),
    ] {
        let text = config(&upstream, "").replace(loopback, listed);
        let program = Program::start(Folder::new(&text), &[TRACE]).await;
        let answer = program.send(READ).await;
        assert_eq!(answer.status, code.status(), "{upstream} {listed}: {answer:?} {}", program.log());
        if upstream == encoded {
            // Its head had come, and with it whatever the tool says: the task holds a stranger's words.
            assert_eq!(answer.json().as_object().unwrap().len(), 4, "{answer:?}");
        } else {
            assert_fixed(&answer, code);
        }
        assert_absent(CANARY, program.log().as_bytes(), "the log");
    }
}

#[tokio::test]
async fn what_a_tool_says_of_its_own_failure_is_the_tools_answer() {
    let tool =
        answering("HTTP/1.1 500 Oh\r\ncontent-length: 21\r\nx-key: CANARY-7d79\r\n\r\nthe database is away ").await;
    let program = Program::start(Folder::new(&config(&tool, "")), &[TRACE]).await;
    let answer = program.send(READ).await;
    assert_eq!((answer.status, answer.body.as_str()), (500, "the database is away "));
    assert_eq!(answer.header("x-key"), None);
    assert!(!program.log().contains("the database is away"), "{}", program.log());
}

#[tokio::test]
async fn what_an_issuer_says_reaches_neither_agent_nor_record() {
    for mood in [Mood::Refuses, Mood::Garbles, Mood::Overgrants] {
        let mut sidecar = Sidecar::usual().await;
        sidecar.vault.be(mood);
        let answer = sidecar.send(READ).await;
        let code = if mood == Mood::Overgrants { Code::IssuerOvergrant } else { Code::IssuerUnavailable };
        let mut told = fixed(code, &answer);
        told["retryable"] = (code == Code::IssuerUnavailable).into();
        assert_eq!((answer.status, answer.json()), (503, told), "{mood:?}");
        let ended = sidecar.story(answer.call(), "ended").await.last("ended").unwrap().entry.clone();
        if mood == Mood::Refuses {
            // What the vault says quotes `hunter2`.
            assert_eq!(ended["why"], "the issuer refused: the vault says no (status 403)");
            invariants::hold(&mut sidecar).await;
        }
        sidecar.stop().await;
        for file in ["lineage.db", "lineage.db-wal"] {
            let bytes = fs::read(sidecar.folder.path().join(file)).unwrap_or_default();
            assert_absent("hunter2", &bytes, file);
            assert_absent("<html>", &bytes, file);
        }
    }
}

/// A lineage whose disk says where it is.
struct Down(Arc<dyn Lineage>);

const DISK: &str = "unable to open /var/lib/countersign-on-host-7/lineage.db";

impl Lineage for Down {
    fn append(&self, record: Record) -> Receipt {
        if record.event.kind() == "permitted" {
            return Box::pin(std::future::ready(Err(Unavailable::Failed(DISK.to_owned()))));
        }
        self.0.append(record)
    }

    fn trouble(&self) -> Option<String> {
        Some(DISK.to_owned())
    }
}

#[tokio::test]
async fn what_the_store_says_does_not_reach_an_agent() {
    let seams = Seams { lineage: Some(Box::new(|inner| Arc::new(Down(inner)))), ..Seams::default() };
    let mut sidecar = Sidecar::start(Wanted::default(), seams).await;
    assert_fixed(&sidecar.send(READ).await, Code::RecordUnavailable);
    let mut stream = tokio::net::TcpStream::connect(sidecar.admin).await.unwrap();
    let ready = format!("GET /readyz HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", sidecar.admin);
    stream.write_all(ready.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let ready = Answer::parse(&bytes);
    assert_eq!((ready.status, ready.body.as_str()), (503, "the lineage cannot be written\n"));
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn who_is_not_believed_is_not_told_why() {
    let tool = Tool::start().await;
    let text = config(&tool.origin, "").replace("{ peer = { uid", "{ peer = { exe = \"/opt/secret-agent\", uid");
    let program = Program::start(Folder::new(&text), &[TRACE]).await;
    let answer =
        program.send(&READ.replace("host: HOST", &format!("host: HOST\r\nauthorization: Bearer {CANARY}"))).await;
    assert_eq!((answer.status, answer.json()), (401, fixed(Code::CallerUnproven, &answer)));
    assert!(program.log().contains("a call was refused"), "{}", program.log());
    assert_absent(CANARY, program.log().as_bytes(), "the log");
}

#[tokio::test]
async fn details_are_about_what_the_agent_sent_and_nothing_else() {
    let mut sidecar = Sidecar::usual().await;
    let get = |path: &str| READ.replace("/tracker/repos/octo/hello/issues/7", path);
    let header = |line: &str| READ.replace("host: HOST", &format!("host: HOST\r\n{line}"));
    for (request, detail) in [
        (get("/nothing/here"), "the first segment of the path names no tool of this agent"),
        (get("/tracker/nothing"), "no action of the tool's catalog matches this method and path"),
        (header("agent-parent-call: x"), "`Agent-Parent-Call` is no call id"),
        (header("origin: https://evil.test"), "this door is not for browsers"),
        (
            header("authorization: Digest x"),
            "`Authorization` is neither `Bearer` (the agent's proof) nor `Basic` (a task)",
        ),
        (READ.replace("HOST", "evil.test"), "`Host` is none of this door's names"),
    ] {
        let answer = sidecar.send(&request).await;
        let code = Code::from_name(answer.json()["code"].as_str().unwrap()).unwrap();
        let mut told = fixed(code, &answer);
        told["detail"] = detail.into();
        assert_eq!(answer.json(), told, "{request}");
    }
    invariants::hold(&mut sidecar).await;
}

#[test]
fn nothing_that_holds_a_secret_prints_it() {
    let secret = || Secret::new(CANARY);
    let peer = Arc::new(Peer::Remote("192.0.2.7:9".parse().unwrap()));
    let credential = Credential {
        secret: secret(),
        handle: Handle::Sealed(secret()),
        expires_at: None,
        placement: Placement::Header { name: http::header::AUTHORIZATION, prefix: "Bearer ".to_owned() },
    };
    let standing = countersign::mint::StaticSecret::new(&secret(), http::header::AUTHORIZATION, "Bearer ".to_owned());
    let bytes = format!("{:?}", &CANARY.as_bytes()[..6]);
    for printed in [
        format!("{:?}", secret()),
        format!("{:#?}", Evidence { peer, bearer: Some(secret()) }),
        format!("{credential:?}"),
        format!("{standing:?}"),
    ] {
        assert!(printed.contains("secret"), "{printed}");
        assert!(!printed.contains("CANARY") && !printed.contains(bytes.trim_end_matches(']')), "{printed}");
    }
}

#[tokio::test]
async fn what_can_be_guessed_is_not_recorded_under_a_digest_that_anybody_can_make() {
    let mut sidecar = Sidecar::usual().await;
    let body = "{\"body\":\"4711\"}";
    let post = format!(
        "POST /tracker/repos/octo/hello/issues/7/comments HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = sidecar.send(&post).await;
    assert_eq!(answer.status, 200);
    let story = sidecar.story(answer.call(), "ended").await;
    // The leaves, which are published and kept; what lies beside them can be erased.
    let leaves = story.records.iter().map(|record| record.entry.to_string()).collect::<String>();
    for guessed in [body, "4711", "\"4711\"", "\"octo/hello\"", "/repos/octo/hello/issues/7/comments", "octo/hello"] {
        let digest = Digest::of(guessed.as_bytes());
        for spelling in [digest.to_string(), STANDARD.encode(digest.0), URL_SAFE_NO_PAD.encode(digest.0)] {
            assert!(!leaves.contains(&spelling), "the digest of `{guessed}` is in {leaves}");
        }
        assert!(guessed.len() < 5 || !leaves.contains(guessed), "`{guessed}` is in {leaves}");
    }
    invariants::hold(&mut sidecar).await;
}

/// Best effort: the libraries that carry requests do not wipe their buffers. What is found is reported.
#[tokio::test]
async fn what_is_left_in_memory_after_a_call_is_counted() {
    if !is_root() {
        return println!("left out: it takes root to look into the memory of a process that hides it");
    }
    let tool = Tool::start().await;
    let program = Program::start(Folder::new(&config(&tool.origin, "")), &[]).await;
    let task = program.open_task().await;
    for _ in 0..20 {
        let request = READ.replace("host: HOST", &format!("host: HOST\r\nagent-task: {task}"));
        assert_eq!(program.send(&request).await.status, 200);
    }
    let minted: Vec<String> = tool
        .seen()
        .iter()
        .map(|seen| seen.headers()["authorization"].to_str().unwrap().rsplit('.').next().unwrap().to_owned())
        .collect();
    let memory = memory(&program);
    let count = |text: &str| memory.windows(text.len()).filter(|window| *window == text.as_bytes()).count();
    assert!(count("a call was refused") > 0, "the memory was not read");
    let left = minted.iter().filter(|signature| count(signature) > 0).count();
    println!("in memory after 20 calls: {left} of 20 minted tokens, the task's token {} times", count(&task));
    println!("and the framework's token {} times", count(FRAMEWORK));
    assert!(left <= 4, "{left} of 20 minted tokens are still in memory");
}

/// All that it may write to.
fn memory(program: &Program) -> Vec<u8> {
    let maps = fs::read_to_string(program.proc("maps")).unwrap();
    let mut file = fs::File::open(program.proc("mem")).unwrap();
    let mut all = Vec::new();
    for line in maps.lines().filter(|line| !line.contains("[v") && !line.contains("lineage.db")) {
        let mut words = line.split_whitespace();
        let (from, to) = words.next().unwrap().split_once('-').unwrap();
        let [from, to] = [from, to].map(|number| u64::from_str_radix(number, 16).unwrap());
        if !words.next().unwrap().starts_with('r') || to - from > 1 << 30 {
            continue;
        }
        file.seek(std::io::SeekFrom::Start(from)).unwrap();
        let _ = (&mut file).take(to - from).read_to_end(&mut all);
    }
    all
}
