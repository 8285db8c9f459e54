//! When what a call needs is away, slow or wrong: nothing is minted unrecorded, every ending is known, none assumed.

use std::sync::Arc;
use std::time::Duration;

use countersign::app::Seams;
use countersign::model::Lifetime;
use countersign::record::{Lineage, Receipt, Record, Story, Unavailable};

use super::common::invariants;
use super::common::sidecar::{FRAMEWORK, READ, Sidecar, Wanted, open};
use super::common::vault::Mood;

/// A lineage that takes no verdicts.
struct Down {
    inner: Arc<dyn Lineage>,
    why: Unavailable,
}

impl Lineage for Down {
    fn append(&self, record: Record) -> Receipt {
        if record.event.kind() == "permitted" {
            return Box::pin(std::future::ready(Err(self.why.clone())));
        }
        self.inner.append(record)
    }

    fn trouble(&self) -> Option<String> {
        Some(self.why.to_string())
    }
}

#[tokio::test]
async fn without_a_record_there_is_no_credential_and_no_call() {
    for why in [Unavailable::Failed("disk full".to_owned()), Unavailable::Full] {
        let seams = Seams { lineage: Some(Box::new(move |inner| Arc::new(Down { inner, why }))), ..Seams::default() };
        let mut sidecar = Sidecar::start(Wanted::default(), seams).await;
        let refused = sidecar.send(READ).await;
        assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("record_unavailable")));
        assert!(!refused.body.contains("disk full"), "{refused:?}");
        assert_eq!((sidecar.vault.minted(), sidecar.tool.seen().len()), (0, 0));
        invariants::hold(&mut sidecar).await;
    }
}

#[tokio::test]
async fn a_store_that_is_held_up_refuses_within_the_deadline_and_then_goes_on() {
    let mut sidecar = Sidecar::usual().await;
    assert_eq!(sidecar.send(READ).await.status, 200);
    let holder = rusqlite::Connection::open(sidecar.lineage()).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = sidecar.send(READ).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("record_unavailable")));
    assert_eq!((sidecar.vault.minted(), sidecar.tool.seen().len()), (1, 1));
    holder.execute_batch("ROLLBACK").unwrap();
    drop(holder);
    let mut status = 0;
    for _ in 0..50 {
        status = sidecar.send(READ).await.status;
        if status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(status, 200, "the store never came back");
    // The verdict was taken back before it was written, or ended where it stands: the store knows which.
    let story =
        invariants::stories(&sidecar.reader()).into_iter().find(|story| story.call == Some(refused.call())).unwrap();
    match story.first("refused") {
        Some(taken_back) => assert_eq!(taken_back.entry["code"], "record_unavailable"),
        None => assert_eq!(story.last("ended").unwrap().entry["ending"], "abandoned"),
    }
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn an_issuer_that_says_no_costs_nothing() {
    let mut sidecar = Sidecar::usual().await;
    sidecar.vault.be(Mood::Refuses);
    let refused = sidecar.send(READ).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("issuer_unavailable")));
    assert!(!refused.body.contains("hunter2"), "{refused:?}");
    let ended = sidecar.story(refused.call(), "ended").await.last("ended").unwrap().entry.clone();
    assert_eq!(
        (ended["ending"].as_str(), ended["credential"]["revocation"].as_str()),
        (Some("failed"), Some("not_needed"))
    );
    // It said no clearly, so it may be asked again at once.
    sidecar.vault.be(Mood::Well);
    assert_eq!(sidecar.send(READ).await.status, 200);
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn an_issuer_that_is_not_there_costs_nothing_and_falls_back_to_nothing() {
    let (tool, folder) = (super::common::tool::Tool::start().await, tempfile::tempdir().unwrap());
    let text = super::common::sidecar::lay_out(folder.path(), &tool.origin, &Wanted::default());
    // Port 1 of this machine: nobody listens there.
    let running = open(folder.path(), &text, Seams::default(), "http://127.0.0.1:1", Lifetime::Head).await;
    let vault = super::common::vault::Vault::start().await;
    let mut sidecar = Sidecar::around(folder, running, tool, vault);
    let refused = sidecar.send(READ).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("issuer_unavailable")));
    assert!(sidecar.tool.seen().is_empty());
    // Nobody knows whether a connection that broke minted something: its name was never learned.
    let ended = sidecar.story(refused.call(), "ended").await.last("ended").unwrap().entry.clone();
    assert_eq!(
        (ended["ending"].as_str(), ended["credential"]["revocation"].as_str()),
        (Some("failed"), Some("unknown"))
    );
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn a_credential_whose_name_was_never_learned_quarantines_its_issuer_across_a_restart() {
    let mut sidecar = Sidecar::usual().await;
    sidecar.vault.be(Mood::Garbles);
    let refused = sidecar.send(READ).await;
    assert_eq!(refused.status, 503);
    let ended = sidecar.story(refused.call(), "ended").await.last("ended").unwrap().entry.clone();
    assert_eq!(ended["credential"]["revocation"], "unknown");
    assert!(ended["credential"]["expires_at"].is_string(), "unknown until when? {ended}");
    sidecar.vault.be(Mood::Well);
    let quarantined = sidecar.send(READ).await;
    assert_eq!((quarantined.status, quarantined.json()["code"].as_str()), (503, Some("issuer_unavailable")));
    assert_eq!(sidecar.vault.minted(), 1, "a quarantined issuer is not asked");
    sidecar.restart().await;
    assert_eq!(sidecar.send(READ).await.status, 503, "a restart forgets no quarantine");
    assert_eq!((sidecar.vault.minted(), sidecar.tool.seen().len()), (1, 0));
}

#[tokio::test]
async fn more_than_was_asked_for_is_ended_unused() {
    let mut sidecar = Sidecar::usual().await;
    sidecar.vault.be(Mood::Overgrants);
    let refused = sidecar.send(READ).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("issuer_overgrant")));
    let ended = sidecar.story(refused.call(), "ended").await.last("ended").unwrap().entry.clone();
    assert_eq!(ended["credential"]["revocation"], "confirmed");
    assert_eq!((sidecar.vault.minted(), sidecar.tool.seen().len()), (1, 0));
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn a_revocation_that_fails_is_told_quarantined_and_tried_again_until_it_is_confirmed() {
    let mut sidecar = Sidecar::usual().await;
    sidecar.vault.be(Mood::KeepsLeases);
    let answer = sidecar.send(READ).await;
    assert_eq!(answer.status, 200);
    let ended = sidecar.story(answer.call(), "ended").await.last("ended").unwrap().entry.clone();
    assert_eq!(
        (ended["ending"].as_str(), ended["credential"]["revocation"].as_str()),
        (Some("completed"), Some("failed"))
    );
    assert_eq!(sidecar.send(READ).await.status, 503, "its issuer is quarantined");
    sidecar.restart().await;
    assert_eq!(sidecar.send(READ).await.status, 503, "a restart forgets no quarantine");
    sidecar.vault.be(Mood::Well);
    let settled = sidecar.story(answer.call(), "settled").await;
    assert_eq!(settled.last("settled").unwrap().entry["revocation"], "confirmed");
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn a_task_that_is_ended_cuts_its_calls_and_ends_their_credentials() {
    let mut sidecar = Sidecar::start(Wanted { lifetime: Lifetime::End, ..Wanted::default() }, Seams::default()).await;
    let opened = sidecar.open_task(r#"{"goal":"g","actions":[{"action":"tracker/issues.get"}]}"#).await;
    let (id, token) = (opened["task"].as_str().unwrap(), opened["token"].as_str().unwrap());
    sidecar.tool.before_head.close();
    let in_task = READ.replace("connection", &format!("agent-task: {token}\r\nconnection"));
    let calling = sidecar.send(&in_task);
    let ending = async {
        sidecar.tool.before_head.reached(1).await;
        sidecar.send(&format!("DELETE /-/tasks/{id} HTTP/1.1\r\nhost: HOST\r\nauthorization: Bearer {FRAMEWORK}\r\nconnection: close\r\n\r\n")).await
    };
    let (cut, ended) = tokio::join!(calling, ending);
    assert_eq!((ended.status, cut.status, cut.json()["code"].as_str()), (204, 409, Some("task_over")));
    let story = sidecar.story(cut.call(), "ended").await;
    assert_eq!(story.last("ended").unwrap().entry["ending"], "revoked");
    assert_eq!(sidecar.send(&in_task).await.status, 409);
    sidecar.tool.before_head.release();
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn a_task_outlives_a_restart_as_it_was() {
    let policy = "@id(\"all\") permit(principal, action, resource);\n\
                  @id(\"t\") forbid(principal, action in Action::\"effect:write\", resource) when { context.labels.contains(\"untrusted\") };";
    let mut sidecar =
        Sidecar::start(Wanted { agent: "intent = \"always\"", policy, ..Wanted::default() }, Seams::default()).await;
    let open =
        r#"{"goal":"g","actions":[{"action":"tracker/issues.get"},{"action":"tracker/comments.create","max":2}]}"#;
    let token = sidecar.open_task(open).await["token"].as_str().unwrap().to_owned();
    let write = "POST /tracker/repos/octo/hello/issues/7/comments HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let with =
        |request: &str, token: &str| request.replace("connection", &format!("agent-task: {token}\r\nconnection"));
    assert_eq!(sidecar.send(&with(write, &token)).await.status, 200);
    sidecar.restart().await;
    assert_eq!(sidecar.send(&with(write, &token)).await.status, 200, "one of two was left");
    assert_eq!(sidecar.send(&with(READ, &token)).await.status, 200, "what it was opened for it may still do");
    sidecar.restart().await;
    assert_eq!(sidecar.send(&with(write, &token)).await.status, 422, "both are used");
    let declared = with(write, &token).replace("agent-task", "agent-intent: action=\"comments.create\"\r\nagent-task");
    assert_eq!(sidecar.send(&declared).await.status, 403, "what it has read, it has read");
    assert_eq!(sidecar.send(&with(READ, "cst_none")).await.status, 409);
    let undeclared = sidecar.send(READ).await;
    assert_eq!((undeclared.status, undeclared.json()["code"].as_str()), (422, Some("intent_missing")));
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn an_answer_that_never_comes_expires_and_is_revoked() {
    let mut sidecar =
        Sidecar::start(Wanted { tool: "max_call = \"300ms\"", ..Wanted::default() }, Seams::default()).await;
    sidecar.tool.before_head.close();
    let late = sidecar.send(READ).await;
    assert_eq!((late.status, late.json()["code"].as_str()), (504, Some("upstream_timeout")));
    let story = sidecar.story(late.call(), "ended").await;
    assert_eq!(story.last("ended").unwrap().entry["ending"], "expired");
    sidecar.tool.before_head.release();
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn an_agent_that_stops_reading_does_not_keep_its_call_open() {
    let wanted = Wanted { tool: "max_call = \"500ms\"", lifetime: Lifetime::End, ..Wanted::default() };
    let mut sidecar = Sidecar::start(wanted, Seams::default()).await;
    sidecar.tool.in_body.close();
    sidecar.tool.flood();
    let stream = sidecar.begin(READ).await;
    sidecar.tool.in_body.reached(1).await;
    sidecar.tool.in_body.release();
    let stories = sidecar.wait_for("ended", 1).await;
    assert_eq!(stories[0].last("ended").unwrap().entry["ending"], "expired");
    assert_eq!(sidecar.vault.live(), 0);
    drop(stream);
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn stopping_cuts_what_does_not_end_by_itself() {
    let mut sidecar = Sidecar::usual().await;
    sidecar.tool.before_head.close();
    let _stream = sidecar.begin(READ).await;
    sidecar.tool.before_head.reached(1).await;
    assert!(sidecar.stop().await, "every credential was ended");
    let stories = invariants::stories(&sidecar.reader());
    assert_eq!(stories[0].last("ended").unwrap().entry["ending"], "shutdown");
    assert_eq!(sidecar.vault.live(), 0);
    sidecar.tool.before_head.release();
}

#[tokio::test]
async fn a_thousand_parallel_calls_at_a_limit_of_ten_admit_exactly_ten() {
    let agent = "intent = \"never\"\n[[agents.helper.limits]]\nper = \"agent\"\nrequests = 10\nwindow = \"1h\"";
    let mut sidecar = Sidecar::start(Wanted { agent, issuer: "calls", ..Wanted::default() }, Seams::default()).await;
    let sidecar_ref = &sidecar;
    let mut statuses = std::collections::BTreeMap::new();
    for _ in 0..10 {
        let batch = (0..100).map(|_| sidecar_ref.send(READ));
        for answer in super::common::sidecar::all(batch).await {
            *statuses.entry(answer.status).or_insert(0) += 1;
            if answer.status == 429 {
                assert!(answer.header("retry-after").is_some());
            }
        }
    }
    assert_eq!(statuses, [(200, 10), (429, 990)].into());
    assert_eq!(sidecar.tool.seen().len(), 10);
    invariants::hold(&mut sidecar).await;
    // Some refusals are written one by one, the rest are counted, and none is left out.
    let count = |story: &Story| {
        let repeated = story.first("repeated").and_then(|record| record.entry["count"].as_u64());
        repeated.unwrap_or(story.first("refused").map_or(0, |_| 1))
    };
    assert_eq!(invariants::stories(&sidecar.reader()).iter().map(count).sum::<u64>(), 990);
}

#[tokio::test]
async fn a_refused_call_gives_its_place_back() {
    let agent = "intent = \"never\"\n[[agents.helper.limits]]\nper = \"agent\"\nrequests = 3\nwindow = \"1h\"";
    let policy = "@id(\"reads\") permit(principal, action in Action::\"effect:read\", resource);";
    let mut sidecar = Sidecar::start(Wanted { policy, agent, ..Wanted::default() }, Seams::default()).await;
    let write = "POST /tracker/repos/octo/hello/issues/7/comments HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    for _ in 0..5 {
        assert_eq!(sidecar.send(write).await.status, 403);
    }
    for _ in 0..3 {
        assert_eq!(sidecar.send(READ).await.status, 200);
    }
    assert_eq!(sidecar.send(READ).await.status, 429);
    invariants::hold(&mut sidecar).await;
}
