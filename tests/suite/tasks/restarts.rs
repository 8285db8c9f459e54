//! What a restart keeps: how often grants, chains and limits were used, exactly.

use serde_json::{Value, json};

use super::{ALL, READ, WRITE, ask, child, sidecar, text, within};
use crate::suite::common::sidecar::Sidecar;

const CHAIN: &str = "intent = \"always\"\n[agents.helper.chain]\nmax_calls = 6\nmax_repeats = 3\n\
                     [[agents.helper.limits]]\nper = \"tool\"\nrequests = 7\nwindow = \"1h\"";

/// The statuses of so many calls, one after the other.
async fn statuses(sidecar: &Sidecar, request: &str, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(sidecar.send(request).await.status);
    }
    statuses
}

fn numbered(request: &str, number: usize) -> String {
    request.replace("/7", &format!("/{number}"))
}

#[tokio::test]
async fn of_n_calls_that_were_granted_a_restart_after_k_leaves_the_rest() {
    for used in 0..=3 {
        let mut sidecar = sidecar(ALL, "intent = \"always\"").await;
        let task = sidecar.open_task(r#"{"actions":[{"action":"tracker/comments.create","max":3}]}"#).await;
        let write = within(WRITE, text(&task, "token"));
        assert_eq!(statuses(&sidecar, &write, used).await, vec![200; used]);
        sidecar.restart().await;
        sidecar.restart().await;
        let rest = statuses(&sidecar, &write, 4).await;
        assert_eq!(rest.iter().filter(|status| **status == 200).count(), 3 - used, "{rest:?}");
        sidecar.stop().await;
    }
}

#[tokio::test]
async fn chains_windows_and_labels_are_what_they_were() {
    let mut sidecar = sidecar(ALL, CHAIN).await;
    let opening =
        json!({ "actions": [{ "action": "tracker/comments.create" }, { "action": "tracker/issues.get" }] }).to_string();
    let task = sidecar.open_task(&opening).await;
    let write = within(WRITE, text(&task, "token"));
    // Four times the same is once and three repeats.
    assert_eq!(statuses(&sidecar, &write, 2).await, [200, 200]);
    sidecar.restart().await;
    assert_eq!(statuses(&sidecar, &write, 3).await, [200, 200, 429], "the third and fourth");
    sidecar.restart().await;
    assert_eq!(statuses(&sidecar, &write, 1).await, [429]);
    let five = within(&numbered(WRITE, 5), text(&task, "token"));
    assert_eq!(statuses(&sidecar, &five, 1).await, [200]);
    sidecar.restart().await;
    let six = within(&numbered(WRITE, 6), text(&task, "token"));
    assert_eq!(statuses(&sidecar, &six, 2).await, [200, 429], "the sixth call of the task was its last");
    let other = sidecar.open_task(&opening).await;
    let (read, write) = (within(READ, text(&other, "token")), within(WRITE, text(&other, "token")));
    assert_eq!(statuses(&sidecar, &read, 1).await, [200]);
    sidecar.restart().await;
    let reached = sidecar.send(&write).await;
    assert_eq!((reached.status, reached.json().get("rule")), (429, None), "seven calls to the tool; and it has read");
    sidecar.stop().await;
}

#[tokio::test]
async fn a_task_that_took_nothing_in_is_as_clean_as_it_was() {
    let policy = "@id(\"all\") permit(principal, action, resource);
         @id(\"t\") forbid(principal, action in Action::\"effect:write\", resource) when { context.labels.contains(\"untrusted\") };";
    let mut sidecar = sidecar(policy, "intent = \"never\"").await;
    let [clean, other] = [sidecar.open_task("{}").await, sidecar.open_task("{}").await];
    let in_both = [within(WRITE, text(&clean, "token")), within(WRITE, text(&other, "token"))];
    assert_eq!(sidecar.send(&in_both[0]).await.status, 200);
    assert_eq!(sidecar.send(&within(READ, text(&other, "token"))).await.status, 200);
    sidecar.restart().await;
    assert_eq!(sidecar.send(&in_both[0]).await.status, 200);
    assert_eq!(sidecar.send(&in_both[1]).await.status, 403, "this one has read a stranger's words");
    sidecar.stop().await;
}

#[tokio::test]
async fn what_children_took_and_left_is_what_it_was() {
    let mut sidecar = sidecar(ALL, "intent = \"always\"").await;
    let task = sidecar.open_task(r#"{"actions":[{"action":"tracker/comments.create","max":9}]}"#).await;
    let line = |max: u32| json!([{ "action": "tracker/comments.create", "max": max }]);
    let open = async |sidecar: &Sidecar, max: u32| -> Value {
        ask(sidecar, true, ("POST", ""), &child(text(&task, "task"), &line(max))).await.json()
    };
    let (kept, ended) = (open(&sidecar, 3).await, open(&sidecar, 4).await);
    let write = |task: &Value| within(WRITE, text(task, "token"));
    assert_eq!(statuses(&sidecar, &write(&kept), 1).await, [200]);
    assert_eq!(statuses(&sidecar, &write(&ended), 2).await, [200, 200]);
    assert_eq!(ask(&sidecar, true, ("DELETE", &format!("/{}", text(&ended, "task"))), &json!({})).await.status, 204);
    sidecar.restart().await;
    // Nine, of which three are lent and two were used by what is over.
    let left = statuses(&sidecar, &write(&task), 5).await;
    assert_eq!(left, [200, 200, 200, 200, 422]);
    assert_eq!(statuses(&sidecar, &write(&kept), 3).await, [200, 200, 422]);
    assert_eq!(statuses(&sidecar, &write(&ended), 1).await, [409]);
    sidecar.stop().await;
}

#[tokio::test]
async fn of_what_was_erased_the_worst_is_true() {
    let mut sidecar = sidecar(ALL, "intent = \"always\"\n[agents.helper.chain]\nmax_repeats = 1").await;
    let opening = json!({ "actions": [
        { "action": "tracker/comments.create", "resource": "octo/hello", "max": 3 },
        { "action": "tracker/comments.create", "resource": "octo/other", "max": 1 },
    ] });
    let task = sidecar.open_task(&opening.to_string()).await;
    let write = within(WRITE, text(&task, "token"));
    let call = sidecar.send(&write).await.call();
    sidecar.story(call, "ended").await;
    sidecar.stop().await;
    let (lineage, keys) = (sidecar.lineage(), sidecar.folder.path().join("keys"));
    let erased = tokio::task::spawn_blocking(move || countersign::app::erase(&lineage, &keys, call, "").unwrap());
    let erased = erased.await.unwrap();
    assert!(!erased.is_empty());
    sidecar.restart().await;
    // Nobody knows which of the two lines it used, so both; nor what it was, so any call repeats it.
    let other = write.replace("octo/hello", "octo/other");
    assert_eq!(statuses(&sidecar, &other, 1).await, [422]);
    assert_eq!(statuses(&sidecar, &numbered(&write, 9), 2).await, [200, 429]);
    sidecar.stop().await;
}
