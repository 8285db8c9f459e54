//! A sidecar whose clock stands where a test puts it, and an agent that does the same every day.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use countersign::app::Seams;
use countersign::model::{Clock, Timestamp};
use countersign::record::Stored;
use serde_json::{Value, json};

use crate::suite::common::raw::Raw;
use crate::suite::common::sidecar::{FRAMEWORK, Sidecar, Wanted};
use crate::suite::common::wire::Answer;

const DESK: &str = r#"
[actions."notes.read"]
match = "GET /notes/{name}"
effect = "read"
resource = "{name}"
yields = [{ at = "", label = "private" }]

[actions."inbox.read"]
match = "GET /inbox"
effect = "read"
resource = "inbox"
yields = [{ at = "", label = "untrusted" }]

[actions."mail.send"]
match = "POST /send"
effect = "send"
resource = "mail"
sinks = [{ at = "body:/to", kind = "destination" }]

[actions."bill.pay"]
match = "POST /pay"
effect = "spend"
resource = "money"
sinks = [{ at = "body:/to", kind = "destination" }]
"#;

pub const SAM: &str = "a-token-of-sam-who-approves-here";
pub const RITA: &str = "a-token-of-rita-who-reads-here";
pub const USUAL: &str = "a-token-of-the-agent-as-it-runs";
pub const SPARE: &str = "a-token-of-the-agent-nobody-uses";

pub const HOUR: i64 = 3_600_000;
pub const MINUTE: i64 = 60_000;
pub const DAY: i64 = 24 * HOUR;

/// A Monday, nine o'clock: 2026-11-23.
pub const MONDAY: i64 = 1_795_424_400_000;

pub struct Office {
    pub sidecar: Sidecar,
    now: Arc<AtomicI64>,
}

/// A sidecar whose clock stands where a test puts it.
pub async fn office(policy: &'static str, rule: &str) -> Office {
    let more = format!(
        "[reviewers.sam]\ntoken = {{ file = \"sam.token\" }}\nmay = [\"read\", \"approve\", \"quarantine\"]\n\
         roles = [\"owner\", \"on-call\"]\n[reviewers.rita]\ntoken = {{ file = \"rita.token\" }}\nmay = [\"read\"]\n\
         [agents.helper.baseline]\n{rule}\n"
    );
    let file = |name, text: &str| (name, text.to_owned());
    let files =
        vec![file("sam.token", SAM), file("rita.token", RITA), file("usual.token", USUAL), file("spare.token", SPARE)];
    let identify =
        "identify = [{ token = { file = \"usual.token\" } }, { token = { file = \"spare.token\" } }]".to_owned();
    let now = Arc::new(AtomicI64::new(MONDAY));
    let hand = now.clone();
    let clock = Clock::new(move || Timestamp::from_millis(hand.load(Ordering::Relaxed)));
    let wanted = Wanted {
        policy,
        catalog: DESK,
        issuer: "calls",
        upstream: Some(Raw::start().await),
        identify,
        more,
        files,
        ..Wanted::default()
    };
    let sidecar = Sidecar::start(wanted, Seams { clock: Some(clock), ..Seams::default() }).await;
    Office { sidecar, now }
}

impl Office {
    pub fn at(&self, time: i64) {
        self.now.store(time, Ordering::Relaxed);
    }

    pub async fn open(&self, values: &[&str]) -> Value {
        self.sidecar.open_task(&json!({ "goal": "as always", "agent": "helper", "values": values }).to_string()).await
    }

    pub async fn call(&self, task: &Value, line: &str, body: &Value) -> Answer {
        self.call_as(USUAL, task, line, body).await
    }

    pub async fn call_as(&self, token: &str, task: &Value, line: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (task, length) = (task["token"].as_str().unwrap(), body.len());
        let request = format!(
            "{line} HTTP/1.1\r\nhost: HOST\r\nauthorization: Bearer {token}\r\nagent-task: {task}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        self.sidecar.send(&request).await
    }

    pub async fn end(&self, task: &Value) {
        let id = task["task"].as_str().unwrap();
        let request = format!(
            "DELETE /-/tasks/{id} HTTP/1.1\r\nhost: HOST\r\nauthorization: Bearer {FRAMEWORK}\r\nconnection: close\r\n\r\n"
        );
        let ended = self.sidecar.send(&request).await;
        assert_eq!(ended.status, 204, "{ended:?}");
    }

    /// What this agent does all day: it looks something up, and writes to Ana.
    pub async fn usual(&self) {
        let task = self.open(&["ana@corp.example"]).await;
        assert_eq!(self.call(&task, "GET /tracker/notes/today", &Value::Null).await.status, 200);
        let sent =
            self.call(&task, "POST /tracker/send", &json!({ "to": "ana@corp.example", "text": "as always" })).await;
        assert_eq!(sent.status, 200, "{sent:?}");
        self.end(&task).await;
    }

    /// So many weeks, four tasks a day from nine on, from Monday to Friday.
    pub async fn work(&self, weeks: i64) {
        let begin = self.now.load(Ordering::Relaxed);
        for (week, day) in (0..weeks).flat_map(|week| (0..5).map(move |day| (week, day))) {
            for hour in 0..4 {
                self.at(begin + (week * 7 + day) * DAY + hour * HOUR);
                self.usual().await;
            }
        }
        self.at(begin + weeks * 7 * DAY);
    }

    pub async fn shown(&self) -> Value {
        let answer = self.sidecar.ask("GET /v1/baselines/helper", RITA, "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    pub async fn ratify(&self, token: &str, what: &Value) -> Answer {
        self.sidecar.ask("POST /v1/baselines/helper/ratify", token, &what.to_string()).await
    }

    /// A reviewer looks at the draft, and puts it in force.
    pub async fn ratified(&self) -> Value {
        for _ in 0..200 {
            let draft = &self.shown().await["draft"];
            let draft = json!({ "as_of": draft["as_of"], "digest": draft["digest"] });
            let answer = self.ratify(SAM, &json!({ "draft": draft, "why": "looks like it" })).await;
            if answer.status == 200 {
                return answer.json();
            }
            // What has just ended may still be on its way into the lineage.
            assert_eq!(answer.status, 409, "{answer:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the draft never came to rest");
    }

    /// Once so many tasks have shown something.
    pub async fn learned(&self, count: usize) -> Vec<Stored> {
        for _ in 0..200 {
            let records = self.sidecar.records("learned");
            if records.len() >= count {
                return records;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{count} tasks were to show something");
    }

    /// The facts about habits by which a call was judged.
    pub async fn facts(&self, answer: &Answer) -> Value {
        let kind = match answer.status {
            200 => "permitted",
            428 => "asked",
            _ => "refused",
        };
        let story = self.sidecar.story(answer.call(), kind).await;
        story.first(kind).unwrap().entry["facts"]["baseline"].clone()
    }
}

pub fn rule(answer: &Answer) -> String {
    answer.json()["rule"].as_str().unwrap_or_default().to_owned()
}
