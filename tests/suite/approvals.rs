//! Somebody has to agree: questions, answers, and what an answer is good for.

mod bound;
mod people;

use std::time::Duration;

use countersign::app::Seams;
use countersign::model::CallId;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::common::invariants;
use super::common::sidecar::{Answer, FRAMEWORK, Sidecar, Wanted, all};

const ASKS: &str = "@id(\"all\") permit(principal, action, resource);\n\
    @id(\"ask-writes\") @ask(\"security\") @reason(\"somebody looks at what is written\")\n\
    forbid(principal, action in Action::\"effect:write\", resource);\n";

const ANA: &str = "reviewer-ana-0123456789abcdef0123456789abcdef";
const BEN: &str = "reviewer-ben-0123456789abcdef0123456789abcdef";
const EVE: &str = "reviewer-eve-0123456789abcdef0123456789abcdef";

const PEOPLE: &str = "[reviewers.ana]\ntoken = { file = \"ana.token\" }\nmay = [\"read\", \"approve\", \"break_glass\"]\n\
    roles = [\"security\"]\n\
    [reviewers.ben]\ntoken = { file = \"ben.token\" }\nmay = [\"read\", \"approve\", \"break_glass\"]\nroles = [\"owners\"]\n\
    [reviewers.eve]\ntoken = { file = \"eve.token\" }\nmay = [\"read\"]\nroles = [\"security\"]\n";

/// What asks, with these people; `more` is further configuration.
fn asking(policy: &'static str, more: &str) -> Wanted {
    Wanted {
        policy,
        more: format!("{PEOPLE}{more}"),
        files: vec![("ana.token", ANA.to_owned()), ("ben.token", BEN.to_owned()), ("eve.token", EVE.to_owned())],
        ..Wanted::default()
    }
}

async fn started(policy: &'static str, more: &str) -> Sidecar {
    Sidecar::start(asking(policy, more), Seams::default()).await
}

/// Writes a comment with this title; further header lines end with a line end.
fn write(title: &str, headers: &str) -> String {
    let body = format!("{{\"title\":\"{title}\"}}");
    format!(
        "POST /tracker/repos/octo/hello/issues/7/comments HTTP/1.1\r\nhost: HOST\r\ncontent-type: application/json\r\n{headers}\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn resume(id: &str) -> String {
    format!("POST /-/approvals/{id}/resume HTTP/1.1\r\nhost: HOST\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

/// The question that a call waits for.
fn question(answer: &Answer) -> String {
    assert_eq!((answer.status, answer.json()["code"].as_str()), (428, Some("needs_approval")), "{answer:?}");
    let approval = answer.json()["approval"].clone();
    assert_eq!(approval["url"], format!("/-/approvals/{}", approval["id"].as_str().unwrap()));
    approval["id"].as_str().unwrap().to_owned()
}

/// What the reviewers' door says to one of them.
pub async fn tell(sidecar: &Sidecar, token: &str, request: &str, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(sidecar.admin).await.unwrap();
    let text = format!(
        "{request} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        sidecar.admin,
        body.len()
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let answer = Answer::parse(&bytes);
    (answer.status, serde_json::from_str(&answer.body).unwrap_or(Value::Null))
}

async fn approve(sidecar: &Sidecar, token: &str, id: &str) -> u16 {
    tell(sidecar, token, &format!("POST /v1/approvals/{id}/approve"), "{\"why\":\"looked at it\"}").await.0
}

async fn deny(sidecar: &Sidecar, token: &str, id: &str) -> u16 {
    tell(sidecar, token, &format!("POST /v1/approvals/{id}/deny"), "{}").await.0
}

async fn kinds(sidecar: &Sidecar, call: CallId, last: &str) -> Vec<String> {
    sidecar.story(call, last).await.records.iter().map(|record| record.kind().to_owned()).collect()
}

#[tokio::test]
async fn what_is_agreed_to_is_made_once_with_the_bytes_that_were_kept() {
    let mut sidecar = started(ASKS, "").await;
    let asked = sidecar.send(&write("kept", "")).await;
    let (id, call) = (question(&asked), asked.call());
    assert_eq!(asked.json()["rule"], "ask-writes");
    assert_eq!(asked.json()["detail"], "somebody looks at what is written");
    assert_eq!((sidecar.vault.minted(), sidecar.tool.seen().len()), (0, 0));
    let early = sidecar.send(&resume(&id)).await;
    assert_eq!(question(&early), id, "nobody has answered yet");
    assert_eq!(approve(&sidecar, ANA, &id).await, 200);
    assert_eq!((sidecar.vault.minted(), sidecar.tool.seen().len()), (0, 0), "an answer makes no call");
    let made = sidecar.send(&resume(&id)).await;
    assert_eq!((made.status, made.call()), (200, call), "{made:?}");
    assert_eq!(sidecar.tool.seen()[0].body(), "{\"title\":\"kept\"}");
    let again = sidecar.send(&resume(&id)).await;
    assert_eq!(again.code(), (403, "denied".to_owned()), "it is used");
    assert_eq!((sidecar.vault.minted(), sidecar.tool.seen().len()), (1, 1));
    let story = kinds(&sidecar, call, "ended").await;
    assert_eq!(story, ["asked", "resolved", "permitted", "minted", "ended"]);
    let permitted = sidecar.story(call, "permitted").await.first("permitted").unwrap().clone();
    assert!(permitted.entry["facts"]["approval"]["rules"]["ask-writes"].is_string(), "{permitted:?}");
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn the_same_call_sent_again_is_made_by_the_same_yes_once() {
    let mut sidecar = started(ASKS, "").await;
    let id = question(&sidecar.send(&write("again", "")).await);
    let same = sidecar.send(&write("again", "")).await;
    assert_eq!(question(&same), id, "the same call asks the same question");
    let with = format!("agent-approval: {id}\r\n");
    assert_eq!(question(&sidecar.send(&write("again", &with)).await), id, "nobody has answered yet");
    assert_eq!(approve(&sidecar, ANA, &id).await, 200);
    let made = sidecar.send(&write("again", &with)).await;
    assert_eq!(made.status, 200, "{made:?}");
    let more = sidecar.send(&write("again", &with)).await;
    assert_eq!(more.code(), (403, "denied".to_owned()));
    assert_eq!(
        sidecar.send(&resume(&id)).await.code(),
        (403, "denied".to_owned()),
        "nor is the one that was kept made"
    );
    assert_eq!(sidecar.tool.seen().len(), 1);
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn of_fifty_at_once_one_has_the_yes() {
    let mut sidecar = started(ASKS, "").await;
    for resumed in [true, false] {
        let title = format!("race {resumed}");
        let id = question(&sidecar.send(&write(&title, "")).await);
        assert_eq!(approve(&sidecar, ANA, &id).await, 200);
        let request = if resumed { resume(&id) } else { write(&title, &format!("agent-approval: {id}\r\n")) };
        let before = sidecar.tool.seen().len();
        let answers = all((0..50).map(|_| sidecar.send(&request))).await;
        let made = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!((made, sidecar.tool.seen().len() - before), (1, 1), "{resumed}");
        assert!(answers.iter().all(|answer| [200, 403].contains(&answer.status)), "{answers:?}");
    }
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn held_a_call_waits_for_its_answer_and_others_do_not() {
    let mut sidecar = started(ASKS, "[approvals]\nask = \"hold\"\nhold_s = 30\nmax_per_hour = 1000\n").await;
    let waiting = async {
        let answers = all((0..100).map(|number| {
            let request = write(&format!("held {number}"), "");
            let sidecar = &sidecar;
            async move { sidecar.send(&request).await }
        }));
        answers.await
    };
    let agreeing = async {
        let mut agreed = 0;
        for _ in 0..400 {
            let read = sidecar.send(super::common::sidecar::READ).await;
            assert_eq!(read.status, 200, "others go on");
            let (_, listed) = tell(&sidecar, ANA, "GET /v1/approvals", "").await;
            for question in listed["approvals"].as_array().unwrap() {
                if question["state"] == "waiting" {
                    assert_eq!(approve(&sidecar, ANA, question["id"].as_str().unwrap()).await, 200);
                    agreed += 1;
                }
            }
            if agreed == 100 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{agreed} of 100 questions");
    };
    let (answers, ()) = tokio::join!(waiting, agreeing);
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    let (id, story) = (answers[0].call(), kinds(&sidecar, answers[0].call(), "ended").await);
    assert_eq!(story, ["asked", "resolved", "permitted", "minted", "ended"], "{id}");
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn whoever_hangs_up_while_a_call_is_held_leaves_a_question_and_no_call() {
    let mut sidecar = started(ASKS, "[approvals]\nask = \"hold\"\nhold_s = 30\n").await;
    let stream = sidecar.begin(&write("gone", "")).await;
    let mut looks = 0;
    let id = loop {
        looks += 1;
        assert!(looks < 500, "no question");
        let (_, listed) = tell(&sidecar, ANA, "GET /v1/approvals", "").await;
        if let Some(id) = listed["approvals"][0]["id"].as_str() {
            break id.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    drop(stream);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(approve(&sidecar, ANA, &id).await, 200);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!((sidecar.vault.minted(), sidecar.tool.seen().len()), (0, 0));
    assert_eq!(sidecar.send(&resume(&id)).await.status, 200, "it comes back for it");
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn a_stop_ends_what_waits_and_a_restart_finds_nothing_to_resume() {
    let mut sidecar = started(ASKS, "").await;
    let asked = sidecar.send(&write("waits", "")).await;
    let id = question(&asked);
    sidecar.restart().await;
    let story = sidecar.story(asked.call(), "resolved").await;
    assert_eq!(story.last("resolved").unwrap().entry["answer"], "cancelled");
    assert_eq!(approve(&sidecar, ANA, &id).await, 404);
    assert_eq!(sidecar.send(&resume(&id)).await.code(), (403, "denied".to_owned()));
    let _ = FRAMEWORK;
    invariants::hold(&mut sidecar).await;
}
