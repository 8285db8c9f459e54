//! The bench: a sidecar between an agent that says any bytes it likes, an upstream that keeps every byte it gets, and a
//! stranger's upstream that must never be spoken to.

use std::fmt::Write as _;
use std::sync::Arc;

use countersign::app::Seams;
use countersign::record::{Stored, Story};

use crate::suite::common::invariants;
use crate::suite::common::raw::Raw;
use crate::suite::common::sidecar::{Sidecar, Wanted};
use crate::suite::common::wire::{Agent, Answer, Exchange, Message};

pub const CATALOG: &str = include_str!("tracker.toml");

/// Everything is permitted but what is deleted, and spending more than 100.
pub const POLICY: &str = "@id(\"all\") permit(principal, action, resource);\n\
     @id(\"no-admin\") forbid(principal, action in Action::\"effect:delete\", resource);\n\
     @id(\"no-riches\") forbid(principal, action == Action::\"tracker/pay\", resource)\n\
     unless { context.args has amount && context.args.amount <= 100 };";

pub struct Bench {
    pub sidecar: Sidecar,
    /// What may be called, as `/tracker/…`.
    pub a: Arc<Raw>,
    /// The stranger.
    pub b: Arc<Raw>,
}

impl Bench {
    pub async fn usual() -> Self {
        Self::start(wanted(), Seams::default()).await
    }

    /// With one worker, so that whatever is kept of a connection is there for the next call.
    pub async fn single() -> Self {
        Self::start(Wanted { listen: "workers = 1", ..wanted() }, Seams::default()).await
    }

    pub async fn start(wanted: Wanted, seams: Seams) -> Self {
        let (a, b) = (Raw::start().await, Raw::start().await);
        let mut sidecar = Sidecar::start(Wanted { upstream: Some(a.clone()), ..wanted }, seams).await;
        sidecar.strangers.push(b.clone());
        Self { sidecar, a, b }
    }

    pub fn agent(&self) -> &Agent {
        self.sidecar.agent()
    }

    /// Says these bytes, which are so many requests; gives what came of it.
    pub async fn exchange(&self, bytes: impl AsRef<[u8]>, answers: usize) -> Exchange {
        self.agent().exchange(bytes, answers).await
    }

    pub async fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        self.agent().ask(request).await
    }

    /// These bytes get one answer of this status and the connection is closed; nobody is called, nothing is minted.
    pub async fn is_turned_away(&self, bytes: impl AsRef<[u8]>, status: u16) -> Exchange {
        let shown = String::from_utf8_lossy(&bytes.as_ref()[..bytes.as_ref().len().min(300)]).into_owned();
        let before = (self.a.requests().len(), self.sidecar.vault.minted());
        let exchange = self.exchange(bytes, 1).await;
        assert_eq!(exchange.statuses(), [status], "{shown}\n{exchange:?}");
        assert!(exchange.closed, "left open: {shown}");
        assert_eq!((self.a.requests().len(), self.sidecar.vault.minted()), before, "{shown}");
        exchange
    }

    /// The requests that came through, and the stories of the calls they were, in order.
    pub async fn calls(&self, count: usize) -> Vec<(Message, Story)> {
        let mut stories = self.sidecar.wait_for("ended", count).await;
        stories.retain(|story| story.first("permitted").is_some());
        let arrived = self.a.arrived();
        assert_eq!(arrived.len(), count, "{:?}", self.a.requests());
        let story = |call| stories.iter().find(|story| story.call == Some(call)).cloned().unwrap();
        arrived.into_iter().map(|arrived| (arrived.message, story(arrived.lent[0].0))).collect()
    }

    /// Stops it, and checks everything that holds after every test.
    pub async fn hold(mut self) {
        invariants::hold(&mut self.sidecar).await;
    }
}

/// A sidecar of this folder's catalog and policy.
pub fn wanted() -> Wanted {
    Wanted { catalog: CATALOG, policy: POLICY, ..Wanted::default() }
}

/// A request at the tool's door, with these further lines of head, on a connection that closes.
pub fn request(line: &str, fields: &[&str], body: &str) -> String {
    let mut text = format!("{line} HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n");
    for field in fields {
        let _ = write!(text, "{field}\r\n");
    }
    text + "\r\n" + body
}

pub fn get(target: &str) -> String {
    request(&format!("GET {target}"), &[], "")
}

/// A POST of JSON.
pub fn post(target: &str, body: &str) -> String {
    let length = format!("content-length: {}", body.len());
    request(&format!("POST {target}"), &["content-type: application/json", &length], body)
}

/// What the record of a verdict says of a call: its method, its target, the digest of its body.
pub fn judged(verdict: &Stored) -> (String, String, String) {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let private = |name| text(invariants::private(verdict, name));
    (text(&verdict.entry["method"]), private("target"), private("content"))
}

#[tokio::test]
async fn what_goes_through_is_what_was_judged() {
    let bench = Bench::usual().await;
    let answer = bench.ask(post("/tracker/notes?x=1", r#"{"a":1}"#)).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"well":true}"#));
    let (seen, story) = bench.calls(1).await.remove(0);
    let digest = countersign::model::Digest::of(br#"{"a":1}"#).to_string();
    assert_eq!(judged(story.first("permitted").unwrap()), ("POST".into(), "/notes?x=1".into(), digest));
    assert_eq!((seen.start.as_str(), &seen.body[..]), ("POST /notes?x=1 HTTP/1.1", &br#"{"a":1}"#[..]));
    assert_eq!(seen.all("authorization"), [format!("Bearer {}", bench.sidecar.vault.secret(1))]);
    bench.hold().await;
}
