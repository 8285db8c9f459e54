//! What agents usually do: learned from clean tasks alone, put in force by people alone, and what is not like an agent then
//! (METHOD §4, ATTACKS N4; attacks by hour, rate, source and size, of which no public trace tells).

pub mod office;
mod spoiled;
mod taught;
mod validity;

use serde_json::{Value, json};

use self::office::{DAY, HOUR, MINUTE, MONDAY, RITA, SAM, SPARE, USUAL, office, rule};
use super::common::invariants;

const HABITS: &str =
    concat!(include_str!("../../policies/habits.strict.cedar"), "@id(\"all\") permit(principal, action, resource);");
const VALUES: &str =
    concat!(include_str!("../../policies/values.strict.cedar"), "@id(\"all\") permit(principal, action, resource);");
const ALL: &str = "@id(\"all\") permit(principal, action, resource);";

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
    assert_eq!(office.shown().await["in_force"]["baseline"]["insufficient"], json!([]), "all four can tell");

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
    office.at(MONDAY + 9 * 7 * DAY + HOUR);
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
    office.at(MONDAY + 9 * 7 * DAY + HOUR + MINUTE);
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
    invariants::hold(&mut office.sidecar).await;
}

#[tokio::test]
async fn what_a_rule_forbids_stays_forbidden_however_usual_it_is() {
    let mut office = office(HABITS, "tasks = 1\ndays = 1\nhold = \"1h\"\nenough = 1").await;
    office.usual().await;
    office.learned(1).await;
    office.at(MONDAY + DAY);
    office.ratified().await;
    let no_mail = "@id(\"no-mail\") forbid(principal, action in Action::\"effect:send\", resource);";
    office.sidecar.edit("policies/main.cedar", "@id(\"all\")", &format!("{no_mail}@id(\"all\")"));
    office.sidecar.reload().await.unwrap();
    let task = office.open(&["ana@corp.example"]).await;
    let denied = office.call(&task, "POST /tracker/send", &json!({ "to": "ana@corp.example" })).await;
    assert_eq!((denied.status, rule(&denied)), (403, "no-mail".into()));
    assert_eq!(office.facts(&denied).await["ready"], true);
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
    assert_eq!(shown["draft"]["doubted"], 1, "{shown:#}");
    invariants::hold(&mut office.sidecar).await;
}

#[tokio::test]
async fn what_is_older_than_the_window_is_no_habit_any_more() {
    let mut office = office(ALL, "tasks = 1\ndays = 1\nhold = \"1h\"\nwindow = \"10d\"").await;
    office.usual().await;
    office.at(MONDAY + 5 * DAY);
    office.usual().await;
    office.learned(2).await;
    office.at(MONDAY + 6 * DAY);
    assert_eq!(office.shown().await["draft"]["baseline"]["tasks"], 2);
    office.at(MONDAY + 11 * DAY);
    assert_eq!(office.shown().await["draft"]["baseline"]["tasks"], 1);
    invariants::hold(&mut office.sidecar).await;
}

#[tokio::test]
async fn drift_tells_in_how_many_of_the_last_tasks_something_was_new() {
    let mut office = office(ALL, "tasks = 1\ndays = 1\nhold = \"1h\"\nenough = 1").await;
    office.usual().await;
    office.learned(1).await;
    office.at(MONDAY + DAY);
    office.ratified().await;
    let pay = json!({ "to": "ana@corp.example" });
    for number in 0..9 {
        let task = office.open(&["ana@corp.example"]).await;
        let line = if number < 4 { "POST /tracker/pay" } else { "POST /tracker/send" };
        assert_eq!(office.call(&task, line, &pay).await.status, 200);
        office.end(&task).await;
    }
    office.learned(10).await;
    assert_eq!(office.shown().await["in_force"]["drift"], 0, "nine tasks are too few to tell");
    office.usual().await;
    office.learned(11).await;
    assert_eq!(office.shown().await["in_force"]["drift"], 40);
    office.sidecar.restart().await;
    assert_eq!(office.shown().await["in_force"]["drift"], 40, "whatever restarts");
    // The last forty tell.
    for _ in 0..36 {
        office.usual().await;
    }
    office.learned(47).await;
    assert_eq!(office.shown().await["in_force"]["drift"], 0);
    invariants::hold(&mut office.sidecar).await;
}
