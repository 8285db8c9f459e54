//! What an agent writes, in each place where it can, as a page shows it.

use super::*;

/// Leaves a place that it is put in raw, wherever that is.
const CANARY: &str = "</bdi><canary-x>\\\"><canary-y onload='z'>&lt;canary";

/// What reorders, hides or ends what is around it, as UTF-8.
const UNSEEN: &str = "\u{202e}\u{2066}\u{200b}\u{feff}\u{e0041}";

/// A call with this purpose, to this path, with this body.
fn call(method: &str, path: &str, purpose: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: HOST\r\nagent-intent: action=\"comments.create\", purpose=\"{purpose}\"\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn nothing_that_an_agent_writes_leaves_its_place_in_a_page() {
    let sidecar = sidecar().await;
    let encoded = percent_encoding::utf8_percent_encode(UNSEEN, percent_encoding::NON_ALPHANUMERIC).to_string();
    let canary = "%3Ccanary-x%3E%22'canary";
    let calls = [
        call("POST", "/tracker/repos/octo/hello/issues/7/comments", CANARY, "{\"title\":\"a\"}"),
        call("POST", &format!("/tracker/repos/{canary}/{encoded}/issues/7/comments"), CANARY, "{\"title\":\"b\"}"),
        call("GET", &format!("/tracker/repos/{canary}/{encoded}/issues/7"), CANARY, ""),
        call("GET", &format!("/tracker/{canary}?{canary}"), CANARY, ""),
        call("GET", &format!("/{canary}/{encoded}"), CANARY, ""),
    ];
    let mut ids = Vec::new();
    for call in &calls {
        let answer = sidecar.send(call).await;
        ids.extend(answer.header("countersign-call").map(str::to_owned));
    }
    let task = serde_json::json!({ "goal": "x", "on_behalf_of": format!("<canary-x>{UNSEEN}\"'"), "actions": [] });
    let task = sidecar.open_task(&task.to_string()).await;
    let headers = format!("host: HOST\r\nagent-task: {}\r\n", task["token"].as_str().unwrap());
    let answer = sidecar.send(&READ.replace("host: HOST\r\n", &headers)).await;
    ids.push(answer.call().to_string());
    let ana = Session::of(&sidecar, ANA).await;
    let why = "why=%3Ccanary-x%3E%E2%80%AE%1B%5B2J";
    assert_eq!(ana.post(&sidecar, "agents/helper/quarantine", why).await.status, 303);
    assert!(ids.len() >= 4, "{ids:?}");
    let stories = ids.iter().map(|id| format!("calls/{id}"));
    let fixed = ["calls", "refusals", "asks", "agents", "lineage"].map(str::to_owned);
    let odd = [
        "calls?agent=%3Ccanary-x%3E%22&tool=%22%3E%3Ccanary-x%3E",
        "calls?task=%3Ccanary-x%3E",
        "calls?before=%3Ccanary-x%3E",
    ];
    let mut shown = 0;
    for page in stories.chain(fixed).chain(odd.map(str::to_owned)) {
        let answer = ana.get(&sidecar, &page).await;
        assert!([200, 400].contains(&answer.status), "{page}: {answer:?}");
        assert!(!answer.body.contains("<canary") && !answer.body.contains("\"canary"), "{page}: {}", answer.body);
        for unseen in UNSEEN.chars().chain(['\u{1b}']) {
            assert!(!answer.body.contains(unseen), "{page} holds {}", unseen.escape_unicode());
        }
        shown += usize::from(answer.body.contains("&lt;canary-x&gt;") || answer.body.contains("%3Ccanary-x"));
    }
    assert!(shown >= 8, "the canary is shown on {shown} pages, so this shows something");
}
