//! Calls under way when other rules come: judged again, and cut where they are not permitted any more.

use std::sync::Arc;
use std::time::Duration;

use countersign::app::Seams;
use countersign::model::Lifetime;
use tokio::io::AsyncReadExt as _;

use super::{READ, Sidecar, Wanted, invariants, wanted};
use crate::suite::common::gate::{Gate, GatedLineage};
use crate::suite::common::raw::Raw;
use crate::suite::common::spellings::holds;

/// What is done to the files, and whether a call of `tracker/issues.get` may go on after.
const CHANGES: &[(&str, &str, &str, bool)] = &[
    ("policies/main.cedar", "\"no-writes\"", "\"no-writing\"", true),
    ("policies/main.cedar", "effect:write", "effect:read", false),
    // Somebody has to agree to it now, and nobody has.
    (
        "policies/main.cedar",
        "@id(\"no-writes\") forbid(principal, action in Action::\"effect:write\"",
        "@ask @id(\"ask\") forbid(principal, action in Action::\"effect:read\"",
        false,
    ),
    ("countersign.toml", "[agents.helper]", "[agents.other]", false),
    ("countersign.toml", "tools = [\"tracker\"]", "tools = []", false),
    ("countersign.toml", "networks = [\"127.0.0.0/8\"]", "networks = [\"127.0.0.0/8\", \"10.0.0.0/8\"]", false),
    ("countersign.toml", "upstream = \"http://127.0.0.1", "upstream = \"http://127.0.0.2", false),
    ("countersign.toml", "issuer = \"vault\"", "issuer = \"calls\"", false),
    ("countersign.toml", "intent = \"never\"", "intent = \"always\"", false),
    ("countersign.toml", "intent = \"never\"", "intent = \"always\"\nmode = \"shadow\"", true),
    ("countersign.toml", "intent = \"never\"", "intent = \"never\"\ngroups = [\"support\"]", true),
    ("tracker.toml", "[actions.\"issues.get\"]", "[actions.\"issues.read\"]", false),
    ("tracker.toml", "yields", "facts = { n = \"path:number\" }\nyields", true),
];

#[tokio::test]
async fn what_the_new_rules_do_not_permit_is_cut_and_the_rest_goes_on() {
    for lifetime in [Lifetime::Head, Lifetime::End] {
        let mut sidecar = Sidecar::start(Wanted { lifetime, ..wanted() }, Seams::default()).await;
        for (number, (file, from, to, goes_on)) in CHANGES.iter().enumerate() {
            // One waits for its head, one is in the middle of its body.
            let begun = sidecar.tool.begun();
            sidecar.tool.in_body.close();
            let mut in_body = sidecar.agent().line().await;
            in_body.say(READ).await;
            while !holds(in_body.rest(), b"answer") {
                assert!(in_body.hear().await);
            }
            sidecar.tool.before_head.close();
            let mut at_head = sidecar.agent().line().await;
            at_head.say(READ).await;
            sidecar.tool.has_begun(begun + 2).await;
            let original = std::fs::read(sidecar.path(file)).unwrap();
            sidecar.edit(file, from, to);
            sidecar.reload().await.unwrap_or_else(|error| panic!("{to}: {error}"));
            sidecar.wait_for("ended", 2 * number + if *goes_on { 0 } else { 2 }).await;
            sidecar.tool.before_head.release();
            sidecar.tool.in_body.release();
            for line in [&mut in_body, &mut at_head] {
                while line.hear().await {}
                assert_eq!(holds(line.rest(), b"forty-two"), *goes_on, "{to}");
            }
            // A reload by which nothing is forbidden cuts nobody.
            sidecar.write(file, original);
            sidecar.reload().await.unwrap();
            let stories = sidecar.wait_for("ended", 2 * number + 2).await;
            let endings = stories.iter().take(2).map(|story| story.last("ended").unwrap().entry.clone());
            for ended in endings {
                let ending = if *goes_on { "completed" } else { "revoked" };
                assert_eq!(
                    (ended["ending"].as_str(), ended["credential"]["revocation"].as_str()),
                    (Some(ending), Some("confirmed")),
                    "{to}"
                );
            }
        }
        invariants::hold(&mut sidecar).await;
    }
}

/// Between the verdict and its record, and between the record and the walk's next step.
#[tokio::test]
async fn a_call_that_is_judged_by_the_old_rules_and_recorded_after_the_new_ones_is_not_minted_for() {
    for behind in [false, true] {
        let gates = [Gate::open(), Gate::open()];
        let [before, after] = gates.clone();
        let between = move |inner| Arc::new(GatedLineage { inner, kind: "permitted", before, behind: after });
        let seams = Seams { lineage: Some(Box::new(|inner| between(inner))), ..Seams::default() };
        let mut sidecar = Sidecar::start(wanted(), seams).await;
        let gate = &gates[usize::from(behind)];
        gate.close();
        let mut call = sidecar.begin(READ).await;
        gate.reached(1).await;
        sidecar.edit("policies/main.cedar", "effect:write", "effect:read");
        sidecar.reload().await.unwrap();
        gate.release();
        let mut bytes = Vec::new();
        call.read_to_end(&mut bytes).await.unwrap();
        let answer = super::super::common::wire::Answer::parse(&bytes);
        assert_eq!(answer.code(), (409, "task_over".to_owned()));
        sidecar.agent().hears(bytes);
        let ended = sidecar.story(answer.call(), "ended").await.last("ended").unwrap().entry.clone();
        assert_eq!((&ended["ending"], &ended["credential"]["revocation"]), (&"revoked".into(), &"not_needed".into()));
        assert_eq!((sidecar.vault.minted(), sidecar.tool.seen().len()), (0, 0));
        invariants::hold(&mut sidecar).await;
    }
}

#[tokio::test]
async fn d7_a_connection_is_not_used_again_once_its_address_is_not_allowed_any_more() {
    let raw = Raw::start().await;
    let listen = "workers = 1";
    let mut sidecar =
        Sidecar::start(Wanted { upstream: Some(raw.clone()), listen, ..wanted() }, Seams::default()).await;
    assert_eq!([sidecar.send(READ).await.status, sidecar.send(READ).await.status], [200; 2]);
    assert_eq!(raw.connections(), 1, "it is kept for the next call");
    sidecar.edit("countersign.toml", "127.0.0.0/8", "10.0.0.0/8");
    sidecar.reload().await.unwrap();
    assert_eq!(sidecar.send(READ).await.code(), (403, "egress_blocked".to_owned()));
    sidecar.edit("countersign.toml", "10.0.0.0/8", "127.0.0.0/8");
    sidecar.reload().await.unwrap();
    assert_eq!(sidecar.send(READ).await.status, 200);
    assert_eq!(raw.connections(), 2);
    // Nor by whoever asks for nothing: it is closed by then.
    sidecar.edit("countersign.toml", "127.0.0.0/8", "10.0.0.0/8");
    sidecar.reload().await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(raw.open(), 0);
    invariants::hold(&mut sidecar).await;
}
