//! An agent that hangs up, at every point where the walk waits: nothing is minted that is not ended, and every ending is
//! recorded.

use std::sync::Arc;

use countersign::app::Seams;
use countersign::model::Lifetime;
use serde_json::Value;

use super::common::gate::{Gate, GatedLineage};
use super::common::invariants;
use super::common::sidecar::{READ, Sidecar, Wanted};
use super::common::tool::PARTS;

/// A sidecar whose lineage stops before and behind the records of one kind.
async fn gated(kind: &'static str, lifetime: Lifetime) -> (Sidecar, Gate, Gate) {
    let (before, behind) = (Gate::open(), Gate::open());
    let (b, a) = (before.clone(), behind.clone());
    let seams = Seams {
        lineage: Some(Box::new(move |inner| Arc::new(GatedLineage { inner, kind, before: b, behind: a }))),
        ..Seams::default()
    };
    (Sidecar::start(Wanted { lifetime, ..Wanted::default() }, seams).await, before, behind)
}

/// Calls, hangs up when the gate is reached, opens the gate. Gives the ending's record.
async fn hang_up_at(sidecar: &Sidecar, gate: &Gate) -> Value {
    gate.close();
    let stream = sidecar.begin(READ).await;
    gate.reached(1).await;
    drop(stream);
    // The door has to notice before the walk goes on.
    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    gate.release();
    let stories = sidecar.wait_for("ended", 1).await;
    stories[0].last("ended").unwrap().entry.clone()
}

fn expect(ended: &Value, ending: &str, revocation: &str) {
    assert_eq!(ended["ending"], ending, "{ended}");
    assert_eq!(ended["credential"]["revocation"], revocation, "{ended}");
}

#[tokio::test]
async fn a_call_goes_all_the_way_and_its_credential_is_ended_at_the_head() {
    let mut sidecar = Sidecar::usual().await;
    let answer = sidecar.send(READ).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.contains("forty-two"));
    let story = sidecar.story(answer.call(), "ended").await;
    let kinds: Vec<&str> = story.records.iter().map(countersign::record::Stored::kind).collect();
    assert_eq!(kinds, ["permitted", "minted", "ended"]);
    expect(&story.last("ended").unwrap().entry, "completed", "confirmed");
    assert_eq!(story.last("ended").unwrap().entry["answer"]["bytes"], PARTS.concat().len());
    let seen = sidecar.tool.seen();
    assert_eq!(seen[0].headers()["authorization"], *format!("Bearer {}", sidecar.vault.secret(1)));
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn hanging_up_while_the_verdict_is_recorded_mints_nothing() {
    for behind in [false, true] {
        let (mut sidecar, before, after) = gated("permitted", Lifetime::Head).await;
        let ended = hang_up_at(&sidecar, if behind { &after } else { &before }).await;
        expect(&ended, "abandoned", "not_needed");
        assert_eq!((sidecar.vault.minted(), sidecar.tool.seen().len()), (0, 0));
        invariants::hold(&mut sidecar).await;
    }
}

#[tokio::test]
async fn hanging_up_while_a_credential_is_minted_revokes_it() {
    let mut sidecar = Sidecar::usual().await;
    let gate = sidecar.vault.before_mint.clone();
    let ended = hang_up_at(&sidecar, &gate).await;
    expect(&ended, "abandoned", "confirmed");
    assert_eq!((sidecar.vault.minted(), sidecar.tool.seen().len()), (1, 0));
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn hanging_up_while_a_handle_is_recorded_revokes_it() {
    for behind in [false, true] {
        let (mut sidecar, before, after) = gated("minted", Lifetime::Head).await;
        let ended = hang_up_at(&sidecar, if behind { &after } else { &before }).await;
        expect(&ended, "abandoned", "confirmed");
        assert_eq!((sidecar.vault.minted(), sidecar.tool.seen().len()), (1, 0));
        invariants::hold(&mut sidecar).await;
    }
}

#[tokio::test]
async fn hanging_up_before_the_answers_head_aborts_and_revokes() {
    for lifetime in [Lifetime::Head, Lifetime::End] {
        let mut sidecar = Sidecar::start(Wanted { lifetime, ..Wanted::default() }, Seams::default()).await;
        let gate = sidecar.tool.before_head.clone();
        let ended = hang_up_at(&sidecar, &gate).await;
        expect(&ended, "abandoned", "confirmed");
        assert_eq!(sidecar.tool.seen().len(), 1);
        invariants::hold(&mut sidecar).await;
    }
}

#[tokio::test]
async fn hanging_up_in_the_middle_of_the_body_is_abandoning_it() {
    for lifetime in [Lifetime::Head, Lifetime::End] {
        let mut sidecar = Sidecar::start(Wanted { lifetime, ..Wanted::default() }, Seams::default()).await;
        sidecar.tool.in_body.close();
        let stream = sidecar.begin(READ).await;
        sidecar.tool.in_body.reached(1).await;
        // A credential that is checked once is ended though the answer goes on; one that is needed throughout is not.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        assert_eq!(sidecar.vault.live(), usize::from(lifetime == Lifetime::End));
        drop(stream);
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        sidecar.tool.in_body.release();
        let stories = sidecar.wait_for("ended", 1).await;
        let ended = &stories[0].last("ended").unwrap().entry;
        expect(ended, "abandoned", "confirmed");
        assert_eq!(ended["answer"]["bytes"], PARTS[0].len());
        invariants::hold(&mut sidecar).await;
    }
}

#[tokio::test]
async fn hanging_up_while_a_credential_is_revoked_changes_nothing() {
    let mut sidecar = Sidecar::usual().await;
    sidecar.vault.before_revoke.close();
    sidecar.tool.in_body.close();
    let stream = sidecar.begin(READ).await;
    sidecar.vault.before_revoke.reached(1).await;
    drop(stream);
    tokio::time::sleep(std::time::Duration::from_millis(150)).await;
    sidecar.tool.in_body.release();
    sidecar.vault.before_revoke.release();
    let stories = sidecar.wait_for("ended", 1).await;
    expect(&stories[0].last("ended").unwrap().entry, "abandoned", "confirmed");
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn hanging_up_gives_the_concurrency_slot_back() {
    let agent = "intent = \"never\"\nchain = { max_concurrent = 1 }";
    let mut sidecar = Sidecar::start(Wanted { agent, ..Wanted::default() }, Seams::default()).await;
    let gate = sidecar.tool.before_head.clone();
    gate.close();
    let stream = sidecar.begin(READ).await;
    gate.reached(1).await;
    let refused = sidecar.send(READ).await;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (429, Some("chain_limit_reached")));
    drop(stream);
    sidecar.wait_for("ended", 1).await;
    gate.release();
    assert_eq!(sidecar.send(READ).await.status, 200);
    invariants::hold(&mut sidecar).await;
}
