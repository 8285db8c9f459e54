//! What agents usually do: learned from clean tasks alone, put in force by people alone, and what is not like an agent then
//! (METHOD §4, ATTACKS N4; attacks by hour, rate, source and size, of which no public trace tells).

mod validity;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use countersign::app::Seams;
use countersign::model::{Clock, Timestamp};
use countersign::record::Stored;
use serde_json::{Value, json};

use super::common::invariants;
use super::common::raw::Raw;
use super::common::sidecar::{FRAMEWORK, Sidecar, Wanted};
use super::common::wire::Answer;

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

[actions."notes.share"]
match = "POST /share/{name}"
effect = "write"
resource = "{name}"
"#;

const HABITS: &str = concat!(
    include_str!("../../policies/habits.strict.cedar"),
    "@id(\"all\") permit(principal, action, resource);\
     @id(\"no-shares\") forbid(principal, action == Action::\"tracker/notes.share\", resource);"
);
const VALUES: &str =
    concat!(include_str!("../../policies/values.strict.cedar"), "@id(\"all\") permit(principal, action, resource);");
const ALL: &str = "@id(\"all\") permit(principal, action, resource);";

const SAM: &str = "a-token-of-sam-who-approves-here";
const RITA: &str = "a-token-of-rita-who-reads-here";
const USUAL: &str = "a-token-of-the-agent-as-it-runs";
const SPARE: &str = "a-token-of-the-agent-nobody-uses";

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// A Monday, nine o'clock: 2026-11-23.
const MONDAY: i64 = 1_795_424_400_000;

struct Office {
    sidecar: Sidecar,
    now: Arc<AtomicI64>,
}

/// A sidecar whose clock stands where a test puts it.
async fn office(policy: &'static str, rule: &str) -> Office {
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
    fn at(&self, time: i64) {
        self.now.store(time, Ordering::Relaxed);
    }

    async fn open(&self, values: &[&str]) -> Value {
        self.sidecar.open_task(&json!({ "goal": "as always", "agent": "helper", "values": values }).to_string()).await
    }

    async fn call(&self, task: &Value, line: &str, body: &Value) -> Answer {
        self.call_as(USUAL, task, line, body).await
    }

    async fn call_as(&self, token: &str, task: &Value, line: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let (task, length) = (task["token"].as_str().unwrap(), body.len());
        let request = format!(
            "{line} HTTP/1.1\r\nhost: HOST\r\nauthorization: Bearer {token}\r\nagent-task: {task}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        self.sidecar.send(&request).await
    }

    async fn end(&self, task: &Value) {
        let id = task["task"].as_str().unwrap();
        let request = format!(
            "DELETE /-/tasks/{id} HTTP/1.1\r\nhost: HOST\r\nauthorization: Bearer {FRAMEWORK}\r\nconnection: close\r\n\r\n"
        );
        let ended = self.sidecar.send(&request).await;
        assert_eq!(ended.status, 204, "{ended:?}");
    }

    /// What this agent does all day: it looks something up, and writes to Ana.
    async fn usual(&self) {
        let task = self.open(&["ana@corp.example"]).await;
        assert_eq!(self.call(&task, "GET /tracker/notes/today", &Value::Null).await.status, 200);
        let sent =
            self.call(&task, "POST /tracker/send", &json!({ "to": "ana@corp.example", "text": "as always" })).await;
        assert_eq!(sent.status, 200, "{sent:?}");
        self.end(&task).await;
    }

    /// So many weeks, four tasks a day from nine on, from Monday to Friday.
    async fn work(&self, weeks: i64) {
        let begin = self.now.load(Ordering::Relaxed);
        for (week, day) in (0..weeks).flat_map(|week| (0..5).map(move |day| (week, day))) {
            for hour in 0..4 {
                self.at(begin + (week * 7 + day) * DAY + hour * HOUR);
                self.usual().await;
            }
        }
        self.at(begin + weeks * 7 * DAY);
    }

    async fn shown(&self) -> Value {
        let answer = self.sidecar.ask("GET /v1/baselines/helper", RITA, "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    async fn ratify(&self, token: &str, what: &Value) -> Answer {
        self.sidecar.ask("POST /v1/baselines/helper/ratify", token, &what.to_string()).await
    }

    /// A reviewer looks at the draft, and puts it in force.
    async fn ratified(&self) -> Value {
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
    async fn learned(&self, count: usize) -> Vec<Stored> {
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
    async fn facts(&self, answer: &Answer) -> Value {
        let kind = match answer.status {
            200 => "permitted",
            428 => "asked",
            _ => "refused",
        };
        let story = self.sidecar.story(answer.call(), kind).await;
        story.first(kind).unwrap().entry["facts"]["baseline"].clone()
    }
}

fn rule(answer: &Answer) -> String {
    answer.json()["rule"].as_str().unwrap_or_default().to_owned()
}

const RULE: &str = "alarms_per_week = 2.0";

#[tokio::test]
async fn what_is_not_like_the_agent_is_asked_about_and_what_is_as_always_is_not() {
    let mut office = office(HABITS, RULE).await;
    office.work(8).await;
    office.learned(160).await;
    let night = MONDAY + 8 * 7 * DAY - DAY - 6 * HOUR;
    let send = json!({ "to": "ana@corp.example", "text": "as always" });
    // Nothing is in force, so nothing is odd: Sunday, three o'clock.
    office.at(night);
    let task = office.open(&["ana@corp.example"]).await;
    let sent = office.call(&task, "POST /tracker/send", &send).await;
    assert_eq!((sent.status, office.facts(&sent).await), (200, Value::Null));
    office.at(MONDAY + 8 * 7 * DAY);
    office.ratified().await;

    office.usual().await;
    let as_always = office.open(&["ana@corp.example"]).await;
    office.call(&as_always, "GET /tracker/notes/today", &Value::Null).await;
    let sent = office.call(&as_always, "POST /tracker/send", &send).await;
    let facts = office.facts(&sent).await;
    assert_eq!((sent.status, &facts["ready"], facts.get("unusual")), (200, &json!(true), None), "{facts}");
    assert_eq!(facts["chances"].as_object().unwrap().len(), 4, "all four can tell: {facts}");

    // The hour.
    office.at(night + 7 * DAY);
    let task = office.open(&["ana@corp.example"]).await;
    assert_eq!(office.call(&task, "GET /tracker/notes/today", &Value::Null).await.status, 200, "it may look");
    let odd = office.call(&task, "POST /tracker/send", &send).await;
    assert_eq!((odd.status, rule(&odd)), (428, "unusual-hour".into()));
    assert!(office.facts(&odd).await["unusual"].to_string().contains("hour"));
    office.at(MONDAY + 9 * 7 * DAY);

    // The source: another proof of the same agent.
    let task = office.open(&["ana@corp.example"]).await;
    assert_eq!(office.call_as(SPARE, &task, "GET /tracker/notes/today", &Value::Null).await.status, 200);
    let stranger = office.call_as(SPARE, &task, "POST /tracker/send", &send).await;
    assert_eq!((stranger.status, rule(&stranger)), (428, "new-source".into()));

    // The size: all at once.
    let task = office.open(&["ana@corp.example"]).await;
    office.call(&task, "GET /tracker/notes/today", &Value::Null).await;
    let heap = json!({ "to": "ana@corp.example", "text": "x".repeat(5_000) });
    let heavy = office.call(&task, "POST /tracker/send", &heap).await;
    assert_eq!((heavy.status, rule(&heavy)), (428, "unusual-size".into()));

    // The action, after a stranger's words.
    let task = office.open(&["ana@corp.example"]).await;
    let pay = json!({ "to": "ana@corp.example" });
    assert_eq!(office.call(&task, "POST /tracker/pay", &pay).await.status, 200, "no stranger has spoken yet");
    office.call(&task, "GET /tracker/inbox", &Value::Null).await;
    let paid = office.call(&task, "POST /tracker/pay", &pay).await;
    assert_eq!(paid.status, 428);
    let facts = office.facts(&paid).await;
    assert_eq!(
        (&facts["novel_action"], &facts["novel_step"], &facts["novel_resource"]),
        (&json!(true), &json!(true), &json!(true))
    );

    // The rate: who copies everything only reads, and reads fast.
    let task = office.open(&["ana@corp.example"]).await;
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(office.call(&task, "GET /tracker/notes/today", &Value::Null).await.status);
    }
    assert_eq!(answers, [200, 200, 429, 429, 429, 429], "two in a minute are usual");
    // A baseline allows nothing: what a rule forbids stays forbidden, if it was done every day before that rule came.
    office.sidecar.edit(
        "policies/main.cedar",
        "@id(\"no-shares\")",
        "@id(\"no-mail\") forbid(principal, action in Action::\"effect:send\", resource); @id(\"no-shares\")",
    );
    office.sidecar.reload().await.unwrap();
    let denied = office.call(&as_always, "POST /tracker/send", &send).await;
    assert_eq!((denied.status, rule(&denied)), (403, "no-mail".into()));
    invariants::hold(&mut office.sidecar).await;
}

#[tokio::test]
async fn what_was_planted_in_any_number_of_tasks_never_becomes_a_habit() {
    let mut office = office(ALL, "tasks = 1\ndays = 1\nhold = \"1ms\"\nenough = 1").await;
    let evil = json!({ "to": "eve@evil.example", "text": "as ordered" });
    for day in 0..50 {
        office.at(MONDAY + day * DAY);
        let task = office.open(&["ana@corp.example"]).await;
        assert_eq!(office.call(&task, "GET /tracker/inbox", &Value::Null).await.status, 200);
        assert_eq!(office.call(&task, "POST /tracker/send", &evil).await.status, 200, "no rule stops it here");
        office.end(&task).await;
    }
    office.at(MONDAY + 60 * DAY);
    // One task before any stranger's words, on nobody's word: it shows what was done, and no value.
    let task = office.open(&[]).await;
    assert_eq!(office.call(&task, "POST /tracker/send", &evil).await.status, 200);
    office.end(&task).await;
    office.at(MONDAY + 61 * DAY);
    assert_eq!(office.learned(1).await.len(), 1, "fifty tasks have shown nothing");
    office.ratified().await;
    let shown = office.shown().await;
    assert_eq!(shown["in_force"]["baseline"]["values"], json!({}), "{shown:#}");
    // What somebody's word stood behind does.
    office.usual().await;
    office.at(MONDAY + 62 * DAY);
    office.learned(2).await;
    office.ratified().await;
    let shown = office.shown().await;
    assert_eq!(shown["in_force"]["baseline"]["values"], json!({ "tracker/mail.send body:/to": 1 }), "{shown:#}");
    invariants::hold(&mut office.sidecar).await;
}

#[tokio::test]
async fn a_task_in_which_anything_was_wrong_shows_nothing() {
    let mut office = office(VALUES, "hold = \"1ms\"").await;
    let (ana, eve) = (json!({ "to": "ana@corp.example" }), json!({ "to": "eve@evil.example" }));
    // A question that nobody answered, and one that somebody said no to.
    let task = office.open(&["ana@corp.example"]).await;
    office.call(&task, "POST /tracker/send", &ana).await;
    let asked = office.call(&task, "POST /tracker/send", &eve).await;
    assert_eq!(asked.status, 428);
    let id = asked.json()["approval"]["id"].as_str().unwrap().to_owned();
    assert_eq!(office.sidecar.ask(&format!("POST /v1/approvals/{id}/deny"), SAM, "{}").await.status, 200);
    office.end(&task).await;
    // A denial.
    let task = office.open(&["ana@corp.example"]).await;
    office.call(&task, "POST /tracker/send", &ana).await;
    office.call(&task, "GET /tracker/notes/today", &Value::Null).await;
    office.call(&task, "GET /tracker/inbox", &Value::Null).await;
    assert_eq!(office.call(&task, "POST /tracker/send", &eve).await.status, 403);
    office.end(&task).await;
    // Ended by a reviewer, and not by whoever opened it.
    let task = office.open(&["ana@corp.example"]).await;
    office.call(&task, "POST /tracker/send", &ana).await;
    let end = format!("POST /v1/tasks/{}/end", task["task"].as_str().unwrap());
    assert_eq!(office.sidecar.ask(&end, SAM, "").await.status, 200);
    // In which nothing was done.
    let task = office.open(&["ana@corp.example"]).await;
    office.end(&task).await;
    // One that a restart has come between: what it did before is not all known any more.
    let task = office.open(&["ana@corp.example"]).await;
    office.call(&task, "POST /tracker/send", &ana).await;
    office.sidecar.restart().await;
    office.call(&task, "POST /tracker/send", &ana).await;
    office.end(&task).await;
    // And one with which nothing is wrong, so that the others had their time.
    let task = office.open(&["ana@corp.example"]).await;
    assert_eq!(office.call(&task, "POST /tracker/send", &ana).await.status, 200);
    office.end(&task).await;
    assert_eq!(office.learned(1).await.len(), 1);
    invariants::hold(&mut office.sidecar).await;
}

#[tokio::test]
async fn a_habit_stands_behind_a_value_and_behind_no_payment_unless_a_person_agreed() {
    let mut office = office(VALUES, "tasks = 2\ndays = 2\nhold = \"1h\"").await;
    let ana = json!({ "to": "ana@corp.example" });
    for day in 0..2 {
        office.at(MONDAY + day * DAY);
        let task = office.open(&["ana@corp.example"]).await;
        for line in ["POST /tracker/send", "POST /tracker/pay"] {
            assert_eq!(office.call(&task, line, &ana).await.status, 200, "{line}");
        }
        office.end(&task).await;
    }
    office.learned(2).await;
    // The last of them ended a moment ago: it does not count yet.
    assert_eq!(office.shown().await["draft"]["baseline"]["tasks"], 1);
    office.at(MONDAY + 2 * DAY);
    office.ratified().await;
    let task = office.open(&[]).await;
    assert_eq!(office.call(&task, "POST /tracker/send", &ana).await.status, 200, "it writes to her every day");
    assert_eq!(office.call(&task, "POST /tracker/send", &json!({ "to": "eve@evil.example" })).await.status, 428);
    assert_eq!(
        office.call(&task, "POST /tracker/pay", &ana).await.status,
        428,
        "that she is paid every day says nothing"
    );
    for day in 3..5 {
        office.at(MONDAY + day * DAY);
        let task = office.open(&[]).await;
        let asked = office.call(&task, "POST /tracker/pay", &ana).await;
        assert_eq!(asked.status, 428, "the day before is forgotten by now");
        let id = asked.json()["approval"]["id"].as_str().unwrap().to_owned();
        assert_eq!(office.sidecar.ask(&format!("POST /v1/approvals/{id}/approve"), SAM, "{}").await.status, 200);
        let resume = format!(
            "POST /-/approvals/{id}/resume HTTP/1.1\r\nhost: HOST\r\nauthorization: Bearer {USUAL}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        );
        assert_eq!(office.sidecar.send(&resume).await.status, 200);
        office.end(&task).await;
    }
    office.learned(4).await;
    office.at(MONDAY + 6 * DAY);
    office.ratified().await;
    let task = office.open(&[]).await;
    assert_eq!(office.call(&task, "POST /tracker/pay", &ana).await.status, 200, "a person agreed to that, twice");
    invariants::hold(&mut office.sidecar).await;
}

#[tokio::test]
async fn people_put_in_force_what_they_looked_at_and_can_go_back() {
    let mut office = office(HABITS, "tasks = 1\ndays = 1\nhold = \"1h\"\nenough = 1").await;
    let empty = office.shown().await;
    let draft =
        |shown: &Value| json!({ "draft": { "as_of": shown["draft"]["as_of"], "digest": shown["draft"]["digest"] } });
    assert_eq!(office.ratify(SAM, &draft(&empty)).await.status, 409, "nothing was learned yet");
    office.usual().await;
    office.learned(1).await;
    office.at(MONDAY + DAY);
    let seen = office.shown().await;
    assert_eq!(office.ratify(RITA, &draft(&seen)).await.status, 403, "who may only read ratifies nothing");
    assert_eq!(office.ratify(SAM, &json!({})).await.status, 400);
    assert_eq!(office.ratify(SAM, &json!({ "version": 1 })).await.status, 404);
    let other = json!({ "draft": { "as_of": seen["draft"]["as_of"], "digest": "00".repeat(32) } });
    assert_eq!(office.ratify(SAM, &other).await.status, 409, "that is not what was shown");
    // What has come meanwhile changes nothing about what was looked at.
    office.at(MONDAY + DAY + 1);
    assert_eq!(office.ratify(SAM, &draft(&seen)).await.json()["version"], 1);
    // Another habit, and another version.
    let task = office.open(&["ana@corp.example"]).await;
    office.call(&task, "POST /tracker/pay", &json!({ "to": "ana@corp.example" })).await;
    office.end(&task).await;
    office.learned(2).await;
    office.at(MONDAY + 2 * DAY);
    let shown = office.shown().await;
    assert_eq!(shown["difference"]["added"]["actions"], json!(["tracker/bill.pay"]), "{shown:#}");
    assert_eq!(office.ratify(SAM, &draft(&shown)).await.json()["version"], 2);
    assert_eq!(office.ratify(SAM, &json!({ "version": 1, "why": "too early" })).await.json()["version"], 3);
    office.sidecar.restart().await;
    let shown = office.shown().await;
    assert_eq!((&shown["in_force"]["version"], shown["history"].as_array().unwrap().len()), (&json!(3), 3));
    let actions = shown["in_force"]["baseline"]["actions"].as_object().unwrap();
    assert!(!actions.contains_key("tracker/bill.pay"), "{actions:?}");
    // Reset: nothing is in force, and what was shown before counts no more, whatever restarts.
    assert_eq!(office.sidecar.ask("POST /v1/baselines/helper/reset", RITA, "").await.status, 403);
    assert_eq!(
        office.sidecar.ask("POST /v1/baselines/helper/reset", SAM, "{\"why\":\"a new version of it\"}").await.status,
        200
    );
    office.sidecar.restart().await;
    let shown = office.shown().await;
    assert_eq!((&shown["in_force"], &shown["draft"]["baseline"]["tasks"]), (&Value::Null, &json!(0)));
    assert_eq!(office.sidecar.ask("GET /v1/baselines/nobody", SAM, "").await.status, 404);
    let kinds = ["ratified", "reset"].map(|kind| office.sidecar.records(kind).len());
    assert_eq!(kinds, [3, 1]);
    invariants::hold(&mut office.sidecar).await;
}

#[tokio::test]
async fn what_ended_shortly_before_a_quarantine_is_never_learned() {
    let mut office = office(ALL, "tasks = 1\ndays = 1\nhold = \"24h\"\nenough = 1").await;
    office.usual().await;
    office.at(MONDAY + 2 * DAY);
    office.usual().await;
    office.learned(2).await;
    office.at(MONDAY + 2 * DAY + HOUR);
    assert_eq!(office.sidecar.ask("POST /v1/agents/helper/quarantine", SAM, "").await.status, 200);
    office.at(MONDAY + 10 * DAY);
    let shown = office.shown().await;
    assert_eq!((&shown["draft"]["baseline"]["tasks"], &shown["draft"]["held"]), (&json!(1), &json!(1)), "{shown:#}");
    invariants::hold(&mut office.sidecar).await;
}
