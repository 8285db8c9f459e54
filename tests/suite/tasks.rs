//! Tasks at the door: opened, opened in one another, amended, ended; and what of it a restart keeps.

mod amendments;
mod restarts;

use std::time::Duration;

use countersign::app::Seams;
use countersign::memory::OWN_A_SECOND;
use countersign::model::{Clock, TaskId, Timestamp};
use countersign::record::Stored;
use serde_json::{Value, json};

use super::common::invariants;
use super::common::sidecar::{FRAMEWORK, READ, Sidecar, Wanted};
use super::common::wire::Answer;

const WRITE: &str = "POST /tracker/repos/octo/hello/issues/7/comments HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\
                     content-length: 0\r\n\r\n";

/// A sidecar with this policy beside a permit for every call.
async fn sidecar(policy: &'static str, agent: &'static str) -> Sidecar {
    Sidecar::start(Wanted { agent, policy, issuer: "calls", ..Wanted::default() }, Seams::default()).await
}

const ALL: &str = "@id(\"all\") permit(principal, action, resource);";

/// The request in the task of this token.
fn within(request: &str, token: &str) -> String {
    request.replace("connection", &format!("agent-task: {token}\r\nconnection"))
}

/// Asks something of a task: as the framework, or as the agent that this process is.
async fn ask(sidecar: &Sidecar, framework: bool, what: (&str, &str), body: &Value) -> Answer {
    let (method, path) = what;
    let proof = if framework { format!("authorization: Bearer {FRAMEWORK}\r\n") } else { String::new() };
    let body = body.to_string();
    let request = format!(
        "{method} /-/tasks{path} HTTP/1.1\r\nhost: HOST\r\n{proof}connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    sidecar.send(&request).await
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no `{name}` in {value}"))
}

/// What was recorded of a task, of this kind.
fn recorded(sidecar: &Sidecar, task: &str, kind: &str) -> Vec<Stored> {
    let of = |record: &Stored| record.kind() == kind && record.entry["task"] == task;
    sidecar.reader().records(0, 10_000).unwrap().into_iter().filter(of).collect()
}

fn child(parent: &str, actions: &Value) -> Value {
    json!({ "goal": "part of it", "parent": parent, "actions": actions })
}

#[tokio::test]
async fn a_child_is_never_wider_than_its_parent() {
    let mut sidecar = sidecar(ALL, "intent = \"never\"\n[agents.helper.chain]\nmax_depth = 2").await;
    let opening = json!({
        "goal": "g", "on_behalf_of": "ana", "ttl": 100, "values": ["ana@example.com", "7"],
        "actions": [{ "action": "tracker/issues.get", "max": 4 }, { "action": "tracker/comments.create", "resource": "octo/hello" }],
    });
    let parent = ask(&sidecar, true, ("POST", ""), &opening).await.json();
    let read = |max: u32| json!([{ "action": "tracker/issues.get", "resource": "octo/hello", "max": max }]);
    let token = text(&parent, "token");
    for (framework, body, expected) in [
        (true, child(text(&parent, "task"), &read(5)), 403),
        (false, child(token, &read(5)), 403),
        (false, child(text(&parent, "task"), &read(1)), 409),
        (true, child("cst_none", &read(1)), 409),
        (true, child(token, &json!([{ "action": "tracker/comments.create" }])), 403),
        (true, json!({ "parent": token, "values": ["8"] }), 403),
        (true, json!({ "parent": token, "on_behalf_of": "bob" }), 403),
        (true, json!({ "values": vec!["x"; 257] }), 400),
        (true, json!({ "values": ["x".repeat(8_193)] }), 400),
    ] {
        let answer = ask(&sidecar, framework, ("POST", ""), &body).await;
        assert_eq!(answer.status, expected, "{body}: {answer:?}");
    }
    let longer = json!({ "parent": text(&parent, "task"), "ttl": 3_000, "values": ["7"], "actions": read(2) });
    let below = ask(&sidecar, true, ("POST", ""), &longer).await.json();
    assert_eq!(below["expires_at"], parent["expires_at"], "it is over no later");
    let opened = &recorded(&sidecar, text(&below, "task"), "opened")[0];
    assert_eq!((&opened.entry["depth"], &opened.entry["opened_by"]), (&json!(1), &json!("framework")));
    assert_eq!(opened.entry["parent"], parent["task"]);
    assert_eq!(invariants::private(opened, "on_behalf_of"), "ana");
    assert_eq!(invariants::private(opened, "values").as_array().unwrap().len(), 1);
    // The agent goes on from there, by the token of the task it works in, and is trusted no more for it.
    let own = ask(&sidecar, false, ("POST", ""), &child(text(&below, "token"), &read(1))).await.json();
    let opened = &recorded(&sidecar, text(&own, "task"), "opened")[0];
    assert_eq!((&opened.entry["depth"], &opened.entry["opened_by"]), (&json!(2), &json!("self")));
    let deeper = ask(&sidecar, true, ("POST", ""), &child(text(&own, "task"), &json!([]))).await;
    assert_eq!((deeper.status, &deeper.json()["code"]), (429, &json!("chain_limit_reached")));
    assert_eq!(ask(&sidecar, true, ("DELETE", &format!("/{}", text(&parent, "task"))), &json!({})).await.status, 204);
    for task in [&parent, &below, &own] {
        assert_eq!(sidecar.send(&within(READ, text(task, "token"))).await.status, 409);
    }
    sidecar.stop().await;
    for (task, by) in [(&parent, "opener"), (&below, "parent"), (&own, "parent")] {
        assert_eq!(recorded(&sidecar, text(task, "task"), "closed")[0].entry["by"], by);
    }
}

#[tokio::test]
async fn who_opens_below_an_agents_own_task_is_trusted_no_more_than_that() {
    let mut sidecar = sidecar(ALL, "intent = \"never\"").await;
    let own = ask(&sidecar, false, ("POST", ""), &json!({ "values": ["ana@example.com"] })).await.json();
    let below = ask(&sidecar, true, ("POST", ""), &child(text(&own, "task"), &json!([]))).await.json();
    for task in [&own, &below] {
        let opened = &recorded(&sidecar, text(task, "task"), "opened")[0];
        assert_eq!(opened.entry["opened_by"], "self");
        assert_eq!(invariants::private(opened, "values"), &Value::Null, "an agent vouches for nothing");
    }
    sidecar.stop().await;
}

#[tokio::test]
async fn an_agent_opens_so_many_tasks_for_itself_and_none_that_is_too_large() {
    let now = Timestamp::from_millis(1_795_324_800_123);
    let seams = Seams { clock: Some(Clock::new(move || now)), ..Seams::default() };
    let mut sidecar = Sidecar::start(Wanted { policy: ALL, ..Wanted::default() }, seams).await;
    let open = async |framework: bool, body: Value| ask(&sidecar, framework, ("POST", ""), &body).await;
    for _ in 0..OWN_A_SECOND {
        assert_eq!(open(false, json!({ "goal": "one more" })).await.status, 201);
    }
    let over = open(false, json!({ "goal": "one more" })).await;
    assert_eq!(over.code(), (429, "chain_limit_reached".to_owned()), "{over:?}");
    assert!(over.json()["detail"].as_str().unwrap().contains("opened for itself"), "{over:?}");
    assert_eq!(open(true, json!({ "goal": "one more" })).await.status, 201);
    let long = "x".repeat(20_000);
    let line = json!({ "action": "tracker/issues.get", "resource": long });
    assert_eq!(open(true, json!({ "actions": [line] })).await.status, 201);
    let large = open(true, json!({ "actions": [line, line] })).await;
    assert_eq!(large.code(), (400, "request_unclear".to_owned()), "{large:?}");
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn answers_tell_what_is_left_of_the_limits_that_apply() {
    let limits = "intent = \"never\"\n[[agents.helper.limits]]\nper = \"agent\"\nrequests = 2\nwindow = \"1h\"\n\
                  [[agents.helper.limits]]\nper = \"action\"\nrequests = 9\nwindow = \"1500ms\"\n\
                  [agents.helper.chain]\nmax_repeats = 0";
    let mut sidecar = sidecar(ALL, limits).await;
    let first = sidecar.send(READ).await;
    let policy = "\"helper.limits.0\";q=2;w=3600, \"helper.limits.1\";q=9;w=2";
    assert_eq!((first.status, first.header("ratelimit-policy")), (200, Some(policy)), "{first:?}");
    let left = first.header("ratelimit").unwrap();
    assert!(left.starts_with("\"helper.limits.0\";r=1;t=3600, \"helper.limits.1\";r=8;t="), "{left}");
    sfv::Parser::new(left).parse::<sfv::List>().unwrap();
    sfv::Parser::new(policy).parse::<sfv::List>().unwrap();
    let repeated = sidecar.send(READ).await;
    assert_eq!((repeated.status, repeated.json()["code"].as_str()), (429, Some("chain_limit_reached")));
    let chain = ", \"helper.chain.max_repeats\";q=1";
    assert_eq!(repeated.header("ratelimit-policy").unwrap(), format!("{policy}{chain}"), "{repeated:?}");
    assert!(repeated.header("ratelimit").unwrap().ends_with(", \"helper.chain.max_repeats\";r=0"));
    assert!(
        repeated.json().get("rule").is_none(),
        "the task has read a stranger's words; names of limits are no secret"
    );
    assert_eq!(sidecar.send(WRITE).await.status, 200);
    let reached = sidecar.send(&WRITE.replace("/7/", "/8/")).await;
    assert_eq!((reached.status, reached.json()["code"].as_str()), (429, Some("limit_reached")));
    assert!(reached.header("ratelimit").unwrap().starts_with("\"helper.limits.0\";r=0;t="));
    assert!(reached.header("retry-after").is_some());
    sidecar.stop().await;
    let mut without = self::sidecar(ALL, "intent = \"never\"").await;
    let answer = without.send(READ).await;
    assert!(answer.header("ratelimit").is_none() && answer.header("ratelimit-policy").is_none());
    without.stop().await;
}

#[tokio::test]
async fn the_time_that_credentials_were_alive_is_bounded() {
    let policy = "@id(\"all\") @ttl(\"2s\") permit(principal, action, resource);";
    let mut sidecar = sidecar(policy, "intent = \"never\"\n[agents.helper.chain]\nmax_privilege_seconds = 4").await;
    let token = sidecar.open_task("{}").await["token"].as_str().unwrap().to_owned();
    let mut made = 0;
    // Such a token cannot be ended early: it is alive for its two seconds.
    let refused = loop {
        let answer = sidecar.send(&within(READ, &token)).await;
        if answer.status != 200 || made > 5 {
            break answer;
        }
        made += 1;
        sidecar.wait_for("ended", made).await;
    };
    // Its end is in whole seconds, so each was alive for one to two of them.
    assert!((2..=4).contains(&made), "{made}");
    assert_eq!((refused.status, refused.json()["code"].as_str()), (429, Some("chain_limit_reached")));
    sidecar.restart().await;
    assert_eq!(sidecar.send(&within(READ, &token)).await.status, 429, "a restart gives no time back");
    sidecar.stop().await;
    let id: TaskId = text(&json!(recorded(&sidecar, &task_of(&sidecar), "opened")[0].entry), "task").parse().unwrap();
    let facts = &recorded(&sidecar, &id.to_string(), "permitted")[1].entry["facts"]["chain"];
    assert!((1..=2).contains(&facts["privilege_s"].as_i64().unwrap()) && facts["fan_out"] == 1, "{facts}");
}

#[tokio::test]
async fn an_agent_that_hangs_up_leaves_no_place_taken_in_its_task_nor_above() {
    let mut sidecar = sidecar(ALL, "intent = \"never\"\n[agents.helper.chain]\nmax_concurrent = 2").await;
    let parent = sidecar.open_task("{}").await;
    let below = ask(&sidecar, true, ("POST", ""), &child(text(&parent, "task"), &json!([]))).await.json();
    for round in 0..24 {
        // In the middle of whatever it is: with the tool holding its answer back, and without.
        if round % 2 == 0 {
            sidecar.tool.before_head.close();
        } else {
            sidecar.tool.before_head.release();
        }
        let stream = sidecar.begin(&within(READ, text(&below, "token"))).await;
        tokio::time::sleep(Duration::from_millis(round % 7)).await;
        drop(stream);
    }
    sidecar.tool.before_head.release();
    for _ in 0..200 {
        let under_way = |kind| recorded(&sidecar, text(&below, "task"), kind).len();
        if under_way("permitted") == under_way("ended") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    for task in [&below, &parent] {
        let answer = sidecar.send(&within(READ, text(task, "token"))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let story = sidecar.story(answer.call(), "permitted").await;
        assert_eq!(story.records[0].entry["facts"]["chain"]["concurrent"], 0);
    }
    sidecar.stop().await;
}

/// The one task that was opened.
fn task_of(sidecar: &Sidecar) -> String {
    let records = sidecar.reader().records(0, 1_000).unwrap();
    let opened = records.iter().find(|record| record.kind() == "opened").unwrap();
    opened.entry["task"].as_str().unwrap().to_owned()
}
