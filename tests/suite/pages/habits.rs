//! The page of an agent's habits: what it shows, and what its forms put in force.

use serde_json::{Value, json};

use super::super::baselines::office::{DAY, HOUR, MONDAY, Office, RITA, SAM, office};
use super::super::common::invariants;
use super::*;

const ALL: &str = "@id(\"all\") permit(principal, action, resource);";

/// Would leave the place that it is put in.
const HOSTILE: &str = "%3Ccanary-x%3E%22'%E2%80%AEcanary";

const TOO_LONG: usize = 12;

/// An agent whose habits of four days are in force; that has begun something else since, and ended a task just now.
pub async fn at_work() -> Office {
    let office = office(ALL, "tasks = 2\ndays = 2\nhold = \"1h\"\nenough = 3").await;
    for day in 0..4 {
        office.at(MONDAY + day * (DAY + HOUR));
        office.usual().await;
    }
    office.learned(4).await;
    office.at(MONDAY + 4 * DAY);
    office.ratified().await;
    for day in 5..7 {
        office.at(MONDAY + day * DAY);
        let task = office.open(&["ana@corp.example"]).await;
        for name in (0..TOO_LONG).map(|number| format!("draft-{number}")).chain([HOSTILE.to_owned()]) {
            let read = office.call(&task, &format!("GET /tracker/notes/{name}"), &Value::Null).await;
            assert_eq!(read.status, 200, "{read:?}");
        }
        let paid = office.call(&task, "POST /tracker/pay", &json!({ "to": "ana@corp.example" })).await;
        assert_eq!(paid.status, 200, "{paid:?}");
        office.end(&task).await;
    }
    office.learned(6).await;
    office.at(MONDAY + 8 * DAY);
    office.usual().await;
    office.learned(7).await;
    office
}

/// What a hidden field of the page holds.
fn hidden<'a>(page: &'a str, name: &str) -> &'a str {
    let begin = format!("name=\"{name}\" value=\"");
    let (_, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("no `{name}`: {page}"));
    rest.split_once('"').unwrap().0
}

#[tokio::test]
async fn the_page_of_an_agent_tells_what_it_usually_does_and_what_it_has_begun_to_do() {
    let office = at_work().await;
    let sam = Session::of(&office.sidecar, SAM).await;
    let agents = sam.get(&office.sidecar, "agents").await.body;
    assert!(agents.contains("Baseline version <strong>1</strong>, drift"), "{agents}");
    assert!(agents.contains(&format!("href=\"{}/agents/helper\"", sam.place)), "{agents}");
    let page = sam.get(&office.sidecar, "agents/helper").await.body;
    for told in [
        "What <bdi>helper</bdi> usually does",
        "<bdi>sam</bdi>",
        "<strong>4 tasks</strong>",
        "<strong>Ready: </strong>",
        "<code><bdi>tracker/mail.send</bdi></code><span class=\"faint\"> in 4 of 4 tasks</span>",
        "<em class=\"faint\">at first</em>",
        "<code><bdi>tracker/today</bdi></code>",
        "<code><bdi>tracker/mail.send body:/to</bdi></code><span class=\"faint\"> 1 value</span>",
        "<strong>1 more task</strong> held back: 1 ended less than 60 min ago",
        "<span class=\"faint\">action </span><code><bdi>tracker/bill.pay</bdi></code>",
        " more</summary>",
        "Put this draft in force",
    ] {
        assert!(page.contains(told), "`{told}` is not told: {page}");
    }
    for detector in ["hour", "rate", "size", "step"] {
        assert!(page.contains(&format!("(<code>{detector}</code>)")), "four tasks cannot tell `{detector}`: {page}");
    }
    assert_eq!(page.matches("<td data-heat=").count(), 2 * 24, "a day of one tool in force, and one in the draft");
    assert_eq!(page.matches("<span class=\"unseen\">0</span>").count(), (24 - 4) + (24 - 4), "and four hours of work");
    assert_eq!(sam.get(&office.sidecar, "agents/nobody").await.status, 404);
}

#[tokio::test]
async fn what_cannot_be_told_yet_is_the_same_for_who_looks_and_for_what_judges() {
    let mut office = at_work().await;
    let shown = office.shown().await;
    assert_eq!(shown["in_force"]["baseline"]["insufficient"], json!(["hour", "rate", "size", "step"]), "{shown:#}");
    assert_eq!((&shown["draft"]["held"], &shown["draft"]["doubted"]), (&json!(1), &json!(0)));
    let task = office.open(&["ana@corp.example"]).await;
    let sent = office.call(&task, "POST /tracker/send", &json!({ "to": "ana@corp.example" })).await;
    assert_eq!(office.facts(&sent).await["insufficient"], shown["in_force"]["baseline"]["insufficient"]);
    invariants::hold(&mut office.sidecar).await;
}

#[tokio::test]
async fn a_draft_is_put_in_force_as_it_was_shown_and_an_earlier_version_put_back() {
    let mut office = at_work().await;
    let sam = Session::of(&office.sidecar, SAM).await;
    let page = sam.get(&office.sidecar, "agents/helper").await.body;
    let (as_of, digest) = (hidden(&page, "as_of"), hidden(&page, "digest"));
    let other = format!("as_of={as_of}&digest={}&why=x", "00".repeat(32));
    let stale = sam.post(&office.sidecar, "agents/helper/ratify", &other).await;
    assert!(stale.status == 409 && stale.body.contains("not what you looked at any more"), "{stale:?}");
    for wrong in ["why=x", "version=one", &format!("as_of={as_of}&digest={digest}&version=1")] {
        assert_eq!(sam.post(&office.sidecar, "agents/helper/ratify", wrong).await.status, 400, "{wrong}");
    }
    assert_eq!(office.sidecar.records("ratified").len(), 1, "nothing has changed yet");

    let seen = format!("as_of={as_of}&digest={digest}&why=it+pays+now");
    let done = sam.post(&office.sidecar, "agents/helper/ratify", &seen).await;
    assert_eq!((done.status, done.header("location")), (303, Some(&*format!("{}/agents/helper", sam.place))));
    let record = office.sidecar.records("ratified").pop().unwrap();
    assert_eq!((&record.entry["by"], &record.private.unwrap()["why"]), (&json!("sam"), &json!("it pays now")));
    let page = sam.get(&office.sidecar, "agents/helper").await.body;
    assert!(page.contains("<strong>6 tasks</strong>") && page.contains("Put version 1 back in force"), "{page}");
    assert!(page.contains("No habit comes or goes"), "{page}");
    assert!(!page.contains("Put version 2 back"), "it is in force: {page}");

    assert_eq!(sam.post(&office.sidecar, "agents/helper/ratify", "version=1&why=too+early").await.status, 303);
    let shown = office.shown().await;
    assert_eq!((&shown["in_force"]["version"], &shown["in_force"]["baseline"]["tasks"]), (&json!(3), &json!(4)));
    assert_eq!(sam.post(&office.sidecar, "agents/helper/ratify", "version=9").await.status, 404);

    assert_eq!(sam.post(&office.sidecar, "agents/helper/reset", "why=a+new+model").await.status, 303);
    let page = sam.get(&office.sidecar, "agents/helper").await.body;
    assert!(page.contains("No baseline is in force") && page.contains("Nothing was learned yet"), "{page}");
    assert!(page.contains("Put version 3 back in force"), "{page}");
    assert_eq!(office.sidecar.records("reset")[0].private.as_ref().unwrap()["why"], "a new model");
    assert!(sam.get(&office.sidecar, "agents").await.body.contains("No baseline."));
    invariants::hold(&mut office.sidecar).await;
}

#[tokio::test]
async fn whoever_may_only_read_finds_no_forms_for_habits_and_changes_nothing() {
    let office = at_work().await;
    let (sam, rita) = (Session::of(&office.sidecar, SAM).await, Session::of(&office.sidecar, RITA).await);
    let page = rita.get(&office.sidecar, "agents/helper").await;
    assert!(page.status == 200 && page.body.contains("does not list <code>approve</code>"), "{page:?}");
    assert!(!page.body.contains("/ratify\"") && !page.body.contains("/reset\""), "{page:?}");
    let seen = sam.get(&office.sidecar, "agents/helper").await.body;
    let draft = format!("as_of={}&digest={}", hidden(&seen, "as_of"), hidden(&seen, "digest"));
    for (to, form) in [("ratify", &*draft), ("ratify", "version=1"), ("reset", "why=x")] {
        let answer = rita.post(&office.sidecar, &format!("agents/helper/{to}"), form).await;
        assert!(answer.status == 403 && answer.body.contains("does not list"), "{to} {form}: {answer:?}");
    }
    // With the right, but by a form that is not ours.
    let (own_form, foreign) = (sam.form(&office.sidecar).await, rita.form(&office.sidecar).await);
    let cookie = format!("cookie: {}\r\n", sam.cookie);
    for (to, more) in [("ratify", "version=1"), ("reset", "why=x")] {
        let line = format!("POST {}/agents/helper/{to}", sam.place);
        for (what, headers, form, status) in [
            ("another session's", own(&office.sidecar), &foreign, 403),
            ("another site's", "origin: http://evil.example\r\n".to_owned(), &own_form, 403),
            ("nobody's", String::new(), &own_form, 403),
        ] {
            let body = format!("form={form}&{more}");
            let answer = send(&office.sidecar, &line, &format!("{cookie}{headers}"), &body).await;
            assert_eq!(answer.status, status, "{to}, {what}: {answer:?}");
        }
        let got = send(&office.sidecar, &line.replace("POST", "GET"), &cookie, "").await;
        assert_eq!(got.status, 405, "nothing changes by GET");
    }
    assert_eq!((office.sidecar.records("ratified").len(), office.sidecar.records("reset").len()), (1, 0));
}

#[tokio::test]
async fn the_name_of_a_thing_that_an_agent_chose_stays_in_its_place_among_its_habits() {
    let office = at_work().await;
    let sam = Session::of(&office.sidecar, SAM).await;
    let page = sam.get(&office.sidecar, "agents/helper").await.body;
    assert!(!page.contains("<canary") && !page.contains('\u{202e}'), "{page}");
    assert!(page.contains("&lt;canary-x&gt;&quot;'\\u{202e}canary</bdi>"), "it is shown, as what it is: {page}");
}
