//! Tasks that go wrong elsewhere than in their own calls: in a child, by a quarantine, before a restart, by asking for more.

use serde_json::{Value, json};

use super::office::{MINUTE, MONDAY, Office, SAM, USUAL, office};
use super::{ALL, VALUES};
use crate::suite::common::invariants;

const NO_MORE: &str = concat!(
    include_str!("../../../policies/values.strict.cedar"),
    "@id(\"all\") permit(principal, action, resource);
     @id(\"no-more\") forbid(principal, action == Action::\"task:amend\", resource);"
);

impl Office {
    async fn below(&self, parent: &Value, values: &[&str], actions: &Value) -> Value {
        let child = json!({ "goal": "part of it", "parent": parent["task"], "values": values, "actions": actions });
        self.sidecar.open_task(&child.to_string()).await
    }

    /// Of these tasks, exactly this one has shown something; it ends last.
    async fn only(&self, task: &Value) {
        self.end(task).await;
        let wanted = task["task"].as_str().unwrap();
        let shown = || -> Vec<String> {
            let records = self.sidecar.records("learned");
            records.iter().map(|record| record.entry["task"].as_str().unwrap().to_owned()).collect()
        };
        for _ in 0..200 {
            if shown().iter().any(|task| task == wanted) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(shown(), [wanted]);
    }

    async fn clean(&self) -> Value {
        let task = self.open(&["ana@corp.example"]).await;
        self.send_to(&task, "ana", 200).await;
        task
    }

    async fn send_to(&self, task: &Value, whom: &str, status: u16) -> Value {
        let host = if whom == "ana" { "corp" } else { "evil" };
        let answer = self.call(task, "POST /tracker/send", &json!({ "to": format!("{whom}@{host}.example") })).await;
        assert_eq!(answer.status, status, "{answer:?}");
        if status == 200 { Value::Null } else { answer.json() }
    }
}

#[tokio::test]
async fn what_a_child_did_on_a_strangers_word_is_not_learned_from_its_parent() {
    let mut office = office(ALL, "hold = \"1ms\"").await;
    let parent = office.clean().await;
    let child = office.below(&parent, &[], &json!([])).await;
    assert_eq!(office.call(&child, "GET /tracker/inbox", &Value::Null).await.status, 200);
    office.send_to(&child, "eve", 200).await;
    office.end(&child).await;
    office.end(&parent).await;
    // A child that did more than its grant counts.
    let mail = |max: u32| json!([{ "action": "tracker/mail.send", "resource": "mail", "max": max }]);
    let opening = json!({ "agent": "helper", "values": ["ana@corp.example"], "actions": mail(5) });
    let parent = office.sidecar.open_task(&opening.to_string()).await;
    office.send_to(&parent, "ana", 200).await;
    let child = office.below(&parent, &[], &mail(1)).await;
    office.send_to(&child, "ana", 200).await;
    office.send_to(&child, "ana", 200).await;
    office.end(&child).await;
    office.end(&parent).await;
    let task = office.clean().await;
    office.only(&task).await;
    invariants::hold(&mut office.sidecar).await;
}

#[tokio::test]
async fn what_somebody_refused_a_child_is_not_learned_from_its_parent_and_what_ends_with_its_parent_teaches_nothing() {
    let mut office = office(VALUES, "hold = \"1ms\"").await;
    let parent = office.clean().await;
    let child = office.below(&parent, &[], &json!([])).await;
    let asked = office.send_to(&child, "eve", 428).await;
    let deny = format!("POST /v1/approvals/{}/deny", asked["approval"]["id"].as_str().unwrap());
    assert_eq!(office.sidecar.ask(&deny, SAM, "{}").await.status, 200);
    office.end(&child).await;
    office.end(&parent).await;
    let parent = office.clean().await;
    let child = office.below(&parent, &["ana@corp.example"], &json!([])).await;
    office.send_to(&child, "ana", 200).await;
    office.only(&parent).await;
    invariants::hold(&mut office.sidecar).await;
}

#[tokio::test]
async fn a_task_in_which_its_agent_was_quarantined_teaches_nothing_when_it_ends_afterwards() {
    let mut office = office(ALL, "hold = \"24h\"").await;
    let task = office.clean().await;
    for what in ["quarantine", "release"] {
        let line = format!("POST /v1/agents/helper/{what}");
        assert_eq!(office.sidecar.ask(&line, SAM, "").await.status, 200, "{what}");
    }
    office.at(MONDAY + MINUTE);
    office.end(&task).await;
    let task = office.clean().await;
    office.only(&task).await;
    invariants::hold(&mut office.sidecar).await;
}

#[tokio::test]
async fn a_task_that_a_restart_has_come_before_or_that_asked_for_more_than_it_may_teaches_nothing() {
    let mut office = office(NO_MORE, "hold = \"1ms\"").await;
    let task = office.open(&["ana@corp.example"]).await;
    office.sidecar.restart().await;
    // Whether anything was denied in it before is not known any more.
    office.send_to(&task, "ana", 200).await;
    office.end(&task).await;
    let task = office.clean().await;
    let body = json!({ "actions": [{ "action": "tracker/bill.pay", "resource": "money", "max": 1 }] }).to_string();
    let (id, length) = (task["task"].as_str().unwrap(), body.len());
    let request = format!(
        "POST /-/tasks/{id}/amendments HTTP/1.1\r\nhost: HOST\r\nauthorization: Bearer {USUAL}\r\nconnection: close\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    assert_eq!(office.sidecar.send(&request).await.status, 403);
    office.end(&task).await;
    let task = office.clean().await;
    office.only(&task).await;
    invariants::hold(&mut office.sidecar).await;
}
