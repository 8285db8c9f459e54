//! What is logged, of panics too: lines of ours, in which nobody else has a word that could be taken for more.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign::app::{self, Seams};
use countersign::config::Config;
use countersign::forward::{AnswerBody, RequestBody, Upstream, UpstreamError};
use countersign::model::{BoxFuture, Tool as ToolNoun};
use countersign::telemetry::{self, LONGEST_LINE, LONGEST_VALUE};
use http::{Request, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{CANARY, TRACE, answering, assert_absent};
use crate::attacks::nobody::{Folder, Program, config};
use crate::suite::common::sidecar::{Answer, FRAMEWORK, READ, Wanted, lay_out};
use crate::suite::common::tool::Tool;

/// A way to the tool that fails with the credential in its hands.
struct Panics;

impl Upstream for Panics {
    fn send(
        &self,
        _: &Arc<ToolNoun>,
        request: Request<RequestBody>,
    ) -> BoxFuture<'_, Result<Response<AnswerBody>, UpstreamError>> {
        let token = request.headers()["authorization"].to_str().unwrap().to_owned();
        Box::pin(async move { panic!("{CANARY} {token}") })
    }
}

const PANICS: &str = "COUNTERSIGN_TEST_PANICS";

/// Not a test by itself: the process that the test below starts. It tells its door on standard output.
#[tokio::test]
async fn child_process_that_panics() {
    let Ok(folder) = std::env::var(PANICS) else { return };
    telemetry::install("trace", app::wall_clock()).unwrap();
    let text = fs::read_to_string(Path::new(&folder).join("countersign.toml")).unwrap();
    let config = Config::parse(&text, Path::new(&folder)).unwrap();
    let seams = Seams { upstream: Some(Box::new(|_| Arc::new(Panics))), ..Seams::default() };
    let running = app::start(&config, &text, seams).await.unwrap();
    println!("\ndoor {}", running.agent.unwrap());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_panic_tells_its_place_and_nothing_of_what_it_held() {
    let folder = tempfile::tempdir().unwrap();
    lay_out(folder.path(), "http://127.0.0.1:1", &Wanted { issuer: "calls", ..Wanted::default() });
    let log = folder.path().join("log");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "attacks::leakage::logs::child_process_that_panics", "--nocapture"]);
    command.env(PANICS, folder.path()).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.stderr(fs::File::create(&log).unwrap()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let door = tokio::task::spawn_blocking(move || {
        lines.find_map(|line| line.unwrap().strip_prefix("door ").map(str::to_owned)).expect("the child tells its door")
    });
    let door = door.await.unwrap();
    for _ in 0..2 {
        let mut stream = tokio::net::TcpStream::connect(&door).await.unwrap();
        stream.write_all(READ.replace("HOST", &door).as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let answer = Answer::parse(&bytes);
        let terse = json!({
            "instance": format!("/calls/{}", answer.call()),
            "code": "internal",
            "decision": "unavailable",
            "retryable": true,
        });
        assert_eq!((answer.status, answer.json()), (500, terse), "{answer:?}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let log = fs::read_to_string(log).unwrap();
    let panics: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .filter(|line| line["message"].as_str().is_some_and(|message| message.starts_with("a panic")))
        .collect();
    assert_eq!(panics.len(), 2, "{log}");
    assert!(panics[0]["at"].as_str().unwrap().contains("attacks/leakage/logs.rs:"), "{}", panics[0]);
    assert_eq!(panics[0]["level"], "ERROR");
    assert!(panics[0]["thread"].as_str().unwrap().starts_with("calls-"), "{}", panics[0]);
    assert_absent(CANARY, log.as_bytes(), "the log");
    assert!(!log.contains("Bearer ") && !log.contains("eyJ"), "{log}");
}

#[tokio::test]
async fn no_secret_is_logged_at_any_level() {
    let tool = answering("HTTP/1.1 200 OK\r\nset-cookie: CANARY-of-the-tools-cookie-0123456789\r\ncontent-length: 40\r\n\r\nCANARY-of-the-tools-answer-0123456789xyz").await;
    let more = "[issuers.standing]\nkind = \"static\"\nsecret = { env = \"STANDING\" }\n";
    let text = config(&tool, more).replace("issuer = \"calls\"", "issuer = \"standing\"");
    let program = Program::start(Folder::new(&text), &[TRACE, ("STANDING", CANARY)]).await;
    let task = program.open_task().await;
    let basic = STANDARD.encode(format!("x:{task}"));
    let body = "{\"body\":\"CANARY-of-the-agents-body-0123456789\"}";
    let post = format!(
        "POST /tracker/repos/octo/hello/issues/7/comments HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let with = |lines: &str| READ.replace("host: HOST", &format!("host: HOST\r\n{lines}"));
    for (request, status) in [
        (READ.to_owned(), 200),
        (post, 200),
        (with(&format!("agent-task: {task}\r\nauthorization: Bearer CANARY-of-the-agent-0123456789")), 200),
        (with(&format!("authorization: Basic {basic}")), 200),
        (with("agent-task: CANARY-of-another-task-0123456789"), 409),
        (with("cookie: CANARY-of-the-agents-cookie-0123456789"), 200),
        (with("authorization: Basic CANARY-of-the-agent-0123456789"), 400),
        (with("x-unclear: CANARY-of-the-agents-header-0123456789\u{e9}"), 400),
        (READ.replace("/issues/7", "/issues/7/CANARY-of-the-agents-path-0123456789"), 404),
        (READ.replace("/issues/7", "/issues/7?access_token=CANARY-of-the-agents-query-0123456789"), 400),
        (format!("DELETE /-/tasks/{task} HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\r\n"), 409),
        (with("connection: CANARY-of-the-agents-option-0123456789"), 200),
    ] {
        let answer = program.send(&request).await;
        assert_eq!(answer.status, status, "{request}: {answer:?}");
    }
    let (_, log) = program.stop();
    assert!(log.contains("a call was refused"), "{log}");
    for secret in [CANARY, &task, FRAMEWORK] {
        assert_absent(secret, log.as_bytes(), "the log");
    }
    assert!(!log.contains("CANARY"), "{log}");
}

#[tokio::test]
async fn no_agent_can_write_a_line_of_the_log() {
    let tool = Tool::start().await;
    let program = Program::start(Folder::new(&config(&tool.origin, "")), &[TRACE]).await;
    let hostile = "\\n{\\\"fake\\\":1}\\u001b]2;x\\u0007\u{7f}\u{85}\u{9b}31m\u{2028}\u{2029}\u{202e}\u{2066}";
    for name in [hostile.to_owned(), hostile.repeat(500), "x".repeat(60_000)] {
        let body = format!("{{\"{name}\":1}}");
        let opening = format!(
            "POST /-/tasks HTTP/1.1\r\nhost: HOST\r\nauthorization: Bearer {FRAMEWORK}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(program.send(&opening).await.status, 400);
    }
    let refused = program.lines().iter().filter(|line| line["message"] == "a call was refused").count();
    assert_eq!(refused, 3);
    let (_, log) = program.stop();
    for line in log.split_inclusive('\n') {
        assert!(line.len() <= LONGEST_LINE, "{} bytes", line.len());
        assert!(line.trim_end_matches('\n').bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line:?}");
        let read: BTreeMap<String, Value> = serde_json::from_str(line).unwrap();
        assert!(!read.contains_key("fake"), "{line}");
        for (name, value) in read.iter().filter(|(name, _)| *name != "cut") {
            assert!(value.to_string().len() <= LONGEST_VALUE * 3, "{name} is long: {line}");
        }
    }
    assert_eq!(log.matches("\"cut\":{\"why\":{\"bytes\":").count(), 2, "{log}");
}
