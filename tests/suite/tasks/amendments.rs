//! A grant grows by an amendment that stands in the lineage, and by nothing else.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use super::{ALL, READ, WRITE, ask, child, recorded, sidecar, text, within};
use crate::suite::approvals::tell;
use crate::suite::common::invariants;
use crate::suite::common::sidecar::{Sidecar, all};

const AGENT: &str = "intent = \"always\"";

/// Permits what the test names; a blanket permit stands beside it.
macro_rules! policy {
    ($rule:literal) => {
        concat!("@id(\"all\") permit(principal, action, resource);\n", $rule)
    };
}

async fn amend(sidecar: &Sidecar, framework: bool, task: &Value, body: &Value) -> crate::suite::common::wire::Answer {
    ask(sidecar, framework, ("POST", &format!("/{}/amendments", text(task, "task"))), body).await
}

fn write(resource: &str) -> Value {
    json!({ "actions": [{ "action": "tracker/comments.create", "resource": resource }] })
}

#[tokio::test]
async fn whoever_opens_tasks_amends_them_at_once() {
    let mut sidecar = sidecar(ALL, AGENT).await;
    let task = sidecar.open_task(r#"{"actions":[{"action":"tracker/issues.get"}],"values":["a"]}"#).await;
    let token = text(&task, "token").to_owned();
    assert_eq!(sidecar.send(&within(WRITE, &token)).await.status, 422);
    let more = json!({ "actions": [{ "action": "tracker/comments.create", "max": 2 }], "values": ["b"] });
    let amended = amend(&sidecar, true, &task, &more).await;
    assert_eq!((amended.status, &amended.json()["version"]), (200, &json!(2)), "{amended:?}");
    assert_eq!(sidecar.send(&within(WRITE, &token)).await.status, 200);
    let record = &recorded(&sidecar, text(&task, "task"), "amended")[0];
    assert_eq!((&record.entry["by"], &record.entry["version"]), (&json!("opener"), &json!(2)));
    assert_eq!(invariants::private(record, "grant").as_array().unwrap().len(), 2, "whole as it is from here on");
    assert_eq!(invariants::private(record, "values").as_array().unwrap().len(), 2);
    sidecar.restart().await;
    assert_eq!(sidecar.send(&within(WRITE, &token)).await.status, 200, "after a restart, it holds");
    assert_eq!(sidecar.send(&within(WRITE, &token)).await.status, 422, "and so does what was used of it");
    let third = amend(&sidecar, true, &task, &more).await;
    assert_eq!(third.json()["version"], 3);
    sidecar.stop().await;
}

#[tokio::test]
async fn who_permits_everything_has_not_permitted_that_grants_grow() {
    let mut sidecar = sidecar(ALL, AGENT).await;
    let task = sidecar.open_task("{}").await;
    let refused = amend(&sidecar, false, &task, &write("octo/hello")).await;
    assert_eq!((refused.status, &refused.json()["rule"]), (403, &json!("default")), "{refused:?}");
    assert_eq!(sidecar.send(&within(WRITE, text(&task, "token"))).await.status, 422);
    assert!(recorded(&sidecar, text(&task, "task"), "amended").is_empty());
    sidecar.stop().await;
    let refusals = recorded(&sidecar, text(&task, "task"), "refused");
    assert_eq!(refusals[0].entry["rules"], json!(["default"]));
}

#[tokio::test]
async fn an_agent_gets_what_a_rule_that_names_it_permits() {
    let policy = policy!(
        "@id(\"grow\") permit(principal == Agent::\"helper\", action == Action::\"task:amend\", resource in Tool::\"tracker\")
             when { context.args.effect == \"write\" && context.args has max && context.args.max < 3 };
         @id(\"clean\") @reason(\"it has read a stranger's words\") forbid(principal, action == Action::\"task:amend\", resource)
             when { context.labels.contains(\"untrusted\") };
         @id(\"not-there\") forbid(principal, action, resource == Resource::\"tracker/octo/secret\");"
    );
    let mut sidecar = sidecar(policy, AGENT).await;
    let task = sidecar.open_task(r#"{"actions":[{"action":"tracker/issues.get"}]}"#).await;
    let line =
        |resource: &str, max: u32| json!({ "action": "tracker/comments.create", "resource": resource, "max": max });
    for (actions, rule) in [
        (json!([line("octo/hello", 3)]), "default"),
        (json!([line("octo/secret", 1)]), "not-there"),
        (json!([line("octo/hello", 1), line("octo/secret", 1)]), "not-there"),
        (json!([{ "action": "tracker/issues.get", "resource": "octo/hello", "max": 1 }]), "default"),
    ] {
        let refused = amend(&sidecar, false, &task, &json!({ "actions": actions })).await;
        assert_eq!((refused.status, &refused.json()["rule"]), (403, &json!(rule)), "{actions}: {refused:?}");
    }
    let granted = amend(&sidecar, false, &task, &json!({ "actions": [line("octo/hello", 1)] })).await;
    assert_eq!((granted.status, &granted.json()["version"]), (200, &json!(2)), "what was refused bears no number");
    let record = recorded(&sidecar, text(&task, "task"), "amended").remove(0);
    assert_eq!((&record.entry["by"], &record.entry["rules"]), (&json!("policy"), &json!(["grow"])));
    assert_eq!(record.entry["facts"]["task"]["opened_by"], "framework");
    assert_eq!(sidecar.send(&within(WRITE, text(&task, "token"))).await.status, 200);
    // From here on it has read a stranger's words, and policy knows.
    assert_eq!(sidecar.send(&within(READ, text(&task, "token"))).await.status, 200);
    let refused = amend(&sidecar, false, &task, &json!({ "actions": [line("octo/hello", 1)] })).await;
    let members: BTreeSet<String> = refused.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!((refused.status, members.len()), (403, 4), "and who reads along learns nothing: {refused:?}");
    sidecar.stop().await;
    let refusals = recorded(&sidecar, text(&task, "task"), "refused");
    assert_eq!(refusals.last().unwrap().entry["rules"], json!(["clean"]));
}

#[tokio::test]
async fn an_amendment_that_is_asked_about_waits_for_somebody() {
    let policy = policy!(
        "@id(\"may\") permit(principal, action == Action::\"task:amend\", resource);
         @id(\"ask\") @ask(\"lead\") forbid(principal, action == Action::\"task:amend\", resource);"
    );
    let mut sidecar = sidecar(policy, AGENT).await;
    let task = sidecar.open_task("{}").await;
    let asked = amend(&sidecar, false, &task, &write("octo/hello")).await;
    assert_eq!((asked.status, &asked.json()["code"]), (428, &json!("needs_approval")), "{asked:?}");
    let id = asked.json()["approval"]["id"].as_str().unwrap().to_owned();
    let same = amend(&sidecar, false, &task, &write("octo/hello")).await;
    assert_eq!(same.json()["approval"]["id"], json!(id), "the same lines ask the same question");
    let again = async |resource: &str| {
        let body = write(resource).to_string();
        let request = format!(
            "POST /-/tasks/{}/amendments HTTP/1.1\r\nhost: HOST\r\nagent-approval: {id}\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{body}",
            text(&task, "task"),
            body.len()
        );
        sidecar.send(&request).await
    };
    assert_eq!(again("octo/hello").await.status, 428, "nobody has answered yet");
    assert!(recorded(&sidecar, text(&task, "task"), "amended").is_empty());
    let approve = format!("POST /v1/approvals/{id}/approve");
    assert_eq!(tell(&sidecar, "a-token-of-whoever-is-asked-in-tests", &approve, "{}").await.0, 200);
    assert!(recorded(&sidecar, text(&task, "task"), "amended").is_empty(), "an answer widens nothing");
    assert_eq!(again("octo/other").await.code(), (403, "denied".to_owned()), "nor is it for other lines");
    assert_eq!(sidecar.send(&within(WRITE, text(&task, "token"))).await.status, 422);
    let resume = format!(
        "POST /-/approvals/{id}/resume HTTP/1.1\r\nhost: HOST\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    assert_eq!(sidecar.send(&resume).await.status, 403, "nothing is kept that could be resumed");
    assert_eq!(again("octo/hello").await.status, 200);
    assert_eq!(again("octo/hello").await.code(), (403, "denied".to_owned()), "once");
    assert_eq!(sidecar.send(&within(WRITE, text(&task, "token"))).await.status, 200);
    let amended = recorded(&sidecar, text(&task, "task"), "amended");
    assert_eq!((amended.len(), &amended[0].entry["by"]), (1, &json!(id)));
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_a_child_is_amended_within_its_parent() {
    let policy = policy!("@id(\"may\") permit(principal, action == Action::\"task:amend\", resource);");
    let mut sidecar = sidecar(policy, AGENT).await;
    let task = sidecar.open_task(r#"{"actions":[{"action":"tracker/comments.create","max":2}]}"#).await;
    for (framework, body) in [
        (false, json!({ "values": ["a"] })),
        (false, json!({ "actions": [{ "action": "tracker/comments.create" }] })),
        (true, json!({})),
        (true, json!({ "actions": [{ "action": "tracker/nothing" }] })),
        (true, json!({ "actions": vec![json!({ "action": "tracker/issues.get" }); 256] })),
    ] {
        let answer = amend(&sidecar, framework, &task, &body).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
    }
    // A child is amended within its parent, whoever asks.
    let below = ask(&sidecar, true, ("POST", ""), &child(text(&task, "task"), &json!([]))).await.json();
    for framework in [true, false] {
        let line = |max: u32| json!({ "actions": [{ "action": "tracker/comments.create", "resource": "octo/hello", "max": max }] });
        assert_eq!(amend(&sidecar, framework, &below, &line(3)).await.status, 403);
        assert_eq!(amend(&sidecar, framework, &below, &line(1)).await.status, 200);
    }
    assert_eq!(sidecar.send(&within(WRITE, text(&task, "token"))).await.status, 422, "both are lent");
    let values = amend(&sidecar, true, &below, &json!({ "values": ["a"] })).await;
    assert_eq!(values.status, 403);
    sidecar.stop().await;
}

#[tokio::test]
async fn of_fifty_amendments_at_once_none_is_lost() {
    let mut sidecar = sidecar(ALL, AGENT).await;
    let task = sidecar.open_task("{}").await;
    let bodies: Vec<Value> = (0..50).map(|number| write(&format!("octo/{number}"))).collect();
    let answers = all(bodies.iter().map(|body| amend(&sidecar, true, &task, body))).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    let records = recorded(&sidecar, text(&task, "task"), "amended");
    let versions: Vec<u64> = records.iter().map(|record| record.entry["version"].as_u64().unwrap()).collect();
    assert_eq!(versions, (2..=51).collect::<Vec<_>>(), "one after the other, in the order they are recorded");
    let mut before: Vec<Value> = Vec::new();
    for record in &records {
        let grant = invariants::private(record, "grant").as_array().unwrap().clone();
        assert!(grant.len() == before.len() + 1 && grant.starts_with(&before), "each holds all that came before");
        before = grant;
    }
    for number in [0, 49] {
        let write = WRITE.replace("octo/hello", &format!("octo/{number}"));
        assert_eq!(sidecar.send(&within(&write, text(&task, "token"))).await.status, 200);
    }
    sidecar.stop().await;
}

/// Whatever an agent asks, and whatever comes of it: the grant that holds is the one in the last record.
#[test]
fn an_amendment_never_widens_silently() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let policy = policy!(
        "@id(\"some\") permit(principal, action == Action::\"task:amend\", resource == Resource::\"tracker/octo/hello\")
             unless { context.args has max && context.args.max > 1 };"
    );
    let sidecar = runtime.block_on(sidecar(policy, AGENT));
    let resources = prop_oneof![
        Just(json!("octo/hello")),
        Just(json!("octo/other")),
        Just(json!("octo/hello/")),
        Just(json!("*")),
        Just(json!("")),
        Just(Value::Null)
    ];
    let actions = prop_oneof![
        Just("tracker/comments.create"),
        Just("tracker/issues.get"),
        Just("tracker/*"),
        Just("task:amend"),
        Just("")
    ];
    let max = prop_oneof![Just(Value::Null), (0_u32..4).prop_map(|max| json!(max)), Just(json!(-1))];
    let line = (actions, resources, max)
        .prop_map(|(action, resource, max)| json!({ "action": action, "resource": resource, "max": max }));
    let asked = prop::collection::vec(prop::collection::vec(line, 0..3), 1..4);
    let config = ProptestConfig { cases: 24, ..ProptestConfig::default() };
    let held = TestRunner::new(config).run(&asked, |asked| {
        runtime.block_on(async {
            let task = sidecar.open_task(r#"{"actions":[{"action":"tracker/issues.get","max":1}]}"#).await;
            for lines in asked {
                let _ = amend(&sidecar, false, &task, &json!({ "actions": lines })).await;
                let last = recorded(&sidecar, text(&task, "task"), "amended").pop();
                let written = last.as_ref().map_or(json!([{ "action": "tracker/issues.get", "max": 1 }]), |last| {
                    invariants::private(last, "grant").clone()
                });
                for (request, action) in [(WRITE, "tracker/comments.create"), (READ, "tracker/issues.get")] {
                    for repository in ["octo/hello", "octo/other"] {
                        let covers = |line: &Value| {
                            line["action"] == action && (line["resource"].is_null() || line["resource"] == repository)
                        };
                        let covered = written.as_array().unwrap().iter().any(covers);
                        let call = within(&request.replace("octo/hello", repository), text(&task, "token"));
                        let made = sidecar.send(&call).await.status == 200;
                        prop_assert!(covered || !made, "{action} on {repository} was made under {written}");
                    }
                }
            }
            Ok(())
        })
    });
    held.unwrap();
}
