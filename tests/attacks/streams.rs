//! F1 and the declared exception: answers that stream, and bodies that stream past unread, counted and broken off.

use std::time::Duration;

use countersign::app::Seams;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::suite::common::invariants;
use crate::suite::common::sidecar::{READ, Sidecar, Wanted};
use crate::suite::common::tool::PARTS;

const UPLOADS: &str = concat!(
    include_str!("../../examples/demo/tracker.toml"),
    "[actions.\"files.put\"]\nmatch = \"PUT /files/{name}\"\neffect = \"write\"\n\
                       resource = \"{name}\"\nbody = \"stream\"\n"
);

fn put(head: &str) -> String {
    format!("PUT /tracker/files/a HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n{head}\r\n")
}

async fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(15), stream.read_to_end(&mut bytes)).await.expect("an end");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn an_answer_passes_as_it_comes() {
    let mut sidecar = Sidecar::usual().await;
    sidecar.tool.in_body.close();
    let mut stream = sidecar.begin(READ).await;
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(PARTS[0]) {
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_buf(&mut seen)).await;
        assert_ne!(read.expect("the first part, while the second is held back").unwrap(), 0);
    }
    sidecar.tool.in_body.release();
    assert!(rest(stream).await.contains(PARTS[1]));
    sidecar.wait_for("ended", 1).await;
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn a_body_streams_past_unread_and_is_told_by_the_ending() {
    let wanted = Wanted { catalog: UPLOADS, issuer: "calls", ..Wanted::default() };
    let mut sidecar = Sidecar::start(wanted, Seams::default()).await;
    for (head, first, second) in [
        ("content-length: 10\r\n", "hello", "world"),
        (
            "transfer-encoding: chunked\r\ntrailer: authorization\r\n",
            "5\r\nhello\r\n",
            "5\r\nworld\r\n0\r\nauthorization: evil\r\n\r\n",
        ),
    ] {
        let before = sidecar.tool.begun();
        let mut stream = sidecar.begin(&put(head)).await;
        stream.write_all(first.as_bytes()).await.unwrap();
        sidecar.tool.has_begun(before + 1).await;
        stream.write_all(second.as_bytes()).await.unwrap();
        let answer = rest(stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let seen = sidecar.tool.seen().pop().unwrap();
        assert_eq!(seen.body(), "helloworld");
        let token = seen.headers()["authorization"].to_str().unwrap();
        let claims = base64_json(token.split('.').nth(1).unwrap());
        assert!(claims["authorization_details"][0].get("content_digest").is_none(), "nobody had read it: {claims}");
        let call = answer.lines().find_map(|line| line.strip_prefix("countersign-call: ")).unwrap().parse().unwrap();
        let story = sidecar.story(call, "ended").await;
        assert_eq!(story.first("permitted").unwrap().entry["facts"]["body"], "unread");
        let ended = story.last("ended").unwrap();
        assert_eq!((&ended.entry["sent"]["bytes"], &ended.entry["sent"]["whole"]), (&10.into(), &true.into()));
        let digest = countersign::model::Digest::of(b"helloworld").to_string();
        assert_eq!(ended.private.as_ref().unwrap()["content"], digest);
    }
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn a_stream_that_is_badly_framed_too_long_or_broken_off_is_no_whole_request_to_the_tool() {
    let wanted = Wanted { catalog: UPLOADS, tool: "max_body = \"1KiB\"", ..Wanted::default() };
    let mut sidecar = Sidecar::start(wanted, Seams::default()).await;
    let long = format!("{}\r\n", "x".repeat(2_000));
    for (head, body, status) in [
        ("transfer-encoding: chunked\r\n", "3\nabc", 400),
        ("transfer-encoding: chunked\r\n", &*format!("7d0\r\n{long}0\r\n\r\n"), 413),
        ("content-length: 2000\r\n", &*long, 413),
    ] {
        let mut stream = sidecar.begin(&put(head)).await;
        let _ = stream.write_all(body.as_bytes()).await;
        let answer = rest(stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {answer}");
    }
    // One that hangs up in the middle.
    let before = sidecar.tool.begun();
    let mut stream = sidecar.begin(&put("content-length: 10\r\n")).await;
    stream.write_all(b"hello").await.unwrap();
    sidecar.tool.has_begun(before + 1).await;
    drop(stream);
    let stories = sidecar.wait_for("ended", 4).await;
    for story in stories {
        let ended = &story.last("ended").unwrap().entry;
        assert_ne!(ended["ending"], "completed", "{ended}");
        assert_eq!(ended["credential"]["revocation"], "confirmed", "{ended}");
    }
    assert!(sidecar.tool.seen().iter().all(|seen| seen.body().is_empty()), "a part was taken for the whole");
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn a_stream_that_pauses_is_broken_off() {
    let mut sidecar = Sidecar::start(Wanted { catalog: UPLOADS, ..Wanted::default() }, Seams::default()).await;
    let mut stream = sidecar.begin(&put("content-length: 10\r\n")).await;
    stream.write_all(b"hello").await.unwrap();
    let answer = rest(stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(sidecar.tool.seen().iter().all(|seen| seen.body().is_empty()), "a part was taken for the whole");
    sidecar.wait_for("ended", 1).await;
    invariants::hold(&mut sidecar).await;
}

fn base64_json(part: &str) -> serde_json::Value {
    use base64::Engine as _;
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}
