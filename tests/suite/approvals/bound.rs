//! What an answer is bound to: every byte that matters, the agent, where it goes, and what the rules said.

use super::*;

/// A request with a body.
fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: HOST\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

const JSON: &str = "content-type: application/json\r\n";
const ISSUES: &str = "/tracker/repos/octo/hello/issues/7/comments";

#[tokio::test]
async fn a_yes_is_for_no_other_body_path_query_or_header() {
    let mut sidecar = started(ASKS, "").await;
    let body = "{\"title\":\"agreed\"}";
    let id = question(&sidecar.send(&request("POST", ISSUES, JSON, body)).await);
    assert_eq!(approve(&sidecar, ANA, &id).await, 200);
    let with = format!("{JSON}agent-approval: {id}\r\n");
    let other = [
        request("POST", ISSUES, &with, "{\"title\":\"agreee\"}"),
        request("POST", ISSUES, &with, "{\"title\":\"agreed\" }"),
        request("POST", &format!("{ISSUES}?x=1"), &with, body),
        request("POST", "/tracker/repos/octo/other/issues/7/comments", &with, body),
        request("POST", ISSUES, &format!("{with}prefer: respond-async\r\n"), body),
        request("POST", ISSUES, &format!("{with}idempotency-key: 2\r\n"), body),
        request("POST", ISSUES, &format!("content-type: text/json\r\nagent-approval: {id}\r\n"), body),
    ];
    for changed in other {
        let answer = sidecar.send(&changed).await;
        assert_eq!(answer.code(), (403, "denied".to_owned()), "{changed}\n{answer:?}");
    }
    assert_eq!((sidecar.vault.minted(), sidecar.tool.seen().len()), (0, 0));
    let tracing =
        format!("{with}traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nuser-agent: x\r\n");
    assert_eq!(
        sidecar.send(&request("POST", ISSUES, &tracing, body)).await.status,
        200,
        "what says nothing may differ"
    );
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn a_yes_ends_with_its_time_and_a_question_with_its_own() {
    let mut sidecar = started(ASKS, "[approvals]\nwait = \"1s\"\nvalid = \"1s\"\n").await;
    let late = sidecar.send(&write("late", "")).await;
    let id = question(&late);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(approve(&sidecar, ANA, &id).await, 404, "the question is over");
    let story = sidecar.story(late.call(), "resolved").await;
    assert_eq!(story.last("resolved").unwrap().entry["answer"], "expired");
    let id = question(&sidecar.send(&write("late again", "")).await);
    assert_eq!(approve(&sidecar, ANA, &id).await, 200);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(sidecar.send(&resume(&id)).await.code(), (403, "denied".to_owned()), "the yes is over");
    assert_eq!(sidecar.tool.seen().len(), 0);
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn what_was_agreed_to_is_judged_again_by_what_is_known_now() {
    // What its task has read by then forbids it.
    let policy = "@id(\"all\") permit(principal, action, resource);\n\
        @id(\"ask-writes\") @ask(\"security\") forbid(principal, action in Action::\"effect:write\", resource);\n\
        @id(\"no-tainted\") forbid(principal, action in Action::\"effect:write\", resource)\n\
        when { context.labels.contains(\"untrusted\") };\n";
    let mut sidecar = started(policy, "").await;
    let asked = sidecar.send(&write("clean", "")).await;
    let id = question(&asked);
    assert_eq!(approve(&sidecar, ANA, &id).await, 200);
    assert_eq!(sidecar.send(crate::suite::common::sidecar::READ).await.status, 200, "reads a stranger's words");
    let answer = sidecar.send(&resume(&id)).await;
    assert_eq!((answer.code(), answer.call()), ((403, "denied".to_owned()), asked.call()));
    let refused = sidecar.story(asked.call(), "refused").await.last("refused").unwrap().clone();
    assert_eq!(refused.entry["rules"], serde_json::json!(["no-tainted"]));
    assert_eq!(sidecar.tool.seen().len(), 1, "what was read, and no more");
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn a_task_that_is_over_takes_its_questions_along() {
    let mut sidecar = started(ASKS, "").await;
    let task = sidecar.open_task("{\"goal\":\"x\"}").await;
    let token = task["token"].as_str().unwrap();
    let asked = sidecar.send(&write("task", &format!("agent-task: {token}\r\n"))).await;
    let id = question(&asked);
    let end = format!(
        "DELETE /-/tasks/{} HTTP/1.1\r\nhost: HOST\r\nauthorization: Bearer {FRAMEWORK}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        task["task"].as_str().unwrap()
    );
    assert_eq!(sidecar.send(&end).await.status, 204);
    assert_eq!(sidecar.story(asked.call(), "resolved").await.last("resolved").unwrap().entry["answer"], "cancelled");
    assert_eq!(approve(&sidecar, ANA, &id).await, 404);
    assert_eq!(sidecar.send(&resume(&id)).await.code(), (403, "denied".to_owned()));
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn what_waits_takes_no_place_of_a_limit_twice() {
    let wanted = Wanted {
        agent: "intent = \"never\"\n[[agents.helper.limits]]\nper = \"agent\"\nrequests = 1\nwindow = \"1h\"",
        ..asking(ASKS, "")
    };
    let mut sidecar = Sidecar::start(wanted, Seams::default()).await;
    let id = question(&sidecar.send(&write("one", "")).await);
    assert_eq!(sidecar.send(&write("two", "")).await.code(), (429, "limit_reached".to_owned()), "its place is taken");
    assert_eq!(approve(&sidecar, ANA, &id).await, 200);
    assert_eq!(sidecar.send(&resume(&id)).await.status, 200, "a resumed call keeps what was reserved");
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn a_no_gives_back_what_was_held() {
    let wanted = Wanted {
        agent: "intent = \"never\"\n[[agents.helper.limits]]\nper = \"agent\"\nrequests = 1\nwindow = \"1h\"",
        ..asking(ASKS, "")
    };
    let mut sidecar = Sidecar::start(wanted, Seams::default()).await;
    let id = question(&sidecar.send(&write("one", "")).await);
    assert_eq!(deny(&sidecar, ANA, &id).await, 200);
    assert_eq!(sidecar.send(&resume(&id)).await.code(), (403, "denied".to_owned()));
    assert_eq!(sidecar.send(crate::suite::common::sidecar::READ).await.status, 200, "the place is free again");
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn what_no_rule_permits_asks_nobody() {
    let policy = "@id(\"reads\") permit(principal, action in Action::\"effect:read\", resource);\n\
        @id(\"ask-writes\") @ask(\"security\") forbid(principal, action in Action::\"effect:write\", resource);\n";
    let mut sidecar = started(policy, "").await;
    assert_eq!(sidecar.send(&write("never", "")).await.code(), (403, "denied".to_owned()));
    let (_, listed) = tell(&sidecar, ANA, "GET /v1/approvals", "").await;
    assert_eq!(listed["approvals"], serde_json::json!([]));
    invariants::hold(&mut sidecar).await;
}
