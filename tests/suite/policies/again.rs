//! Recorded calls judged again: by what judged them, and by drafts.

use std::fs;

use countersign::model::Digest;
use serde_json::json;

use super::recorded::{Asks, HELPER, POLICY, ask, json, run, start, traffic};
use crate::suite::common::sidecar::Sidecar;

/// All the traffic, under two versions of the policies.
async fn two_versions() -> Sidecar {
    let mut sidecar = start().await;
    traffic(&sidecar).await;
    let changed = POLICY.replace("@ttl(\"7s\")", "@ttl(\"5s\")").replace("\"100.0\"", "\"0.5\"");
    fs::write(sidecar.folder.path().join("policies/main.cedar"), changed).unwrap();
    sidecar.restart().await;
    let (call, status) = ask(&sidecar, "GET /tracker/repos/octo/hello/issues/6", &HELPER).await;
    assert_eq!(status, 200, "{:?}", sidecar.reader().story(call).unwrap());
    ask(&sidecar, "POST /tracker/bills/rent", &Asks { agent: "free", body: r#"{"amount":"1.0"}"#, ..HELPER }).await;
    sidecar.stop().await;
    sidecar
}

#[tokio::test]
async fn every_recorded_verdict_comes_out_the_same_again() {
    let sidecar = two_versions().await;
    let (code, told) = json(sidecar.folder.path(), &["policy", "replay"]);
    assert_eq!((code, &told["different"]), (0, &json!([])), "{told:#}");
    assert_eq!(told["same"], 24, "{told:#}");
    assert_eq!(told["left_out"], json!({ "refused before any rule was asked": 2 }));
    // Every kind of verdict was among them, and what modes and shadows make of one.
    let decided = sidecar.reader().decided(countersign::model::Timestamp::from_millis(0)).unwrap();
    let kinds: std::collections::BTreeSet<&str> = decided.iter().map(|it| it.told.decision.name()).collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["allow", "ask", "deny", "throttle"]);
    assert!(decided.iter().filter(|it| it.told.would.is_some()).count() >= 5, "{decided:#?}");
    let lives: std::collections::BTreeSet<u64> = decided.iter().filter_map(|it| it.told.ttl_ms).collect();
    assert_eq!(lives.into_iter().collect::<Vec<_>>(), [3_000, 5_000, 7_000, 60_000]);
}

#[tokio::test]
async fn a_verdict_that_comes_out_otherwise_is_told() {
    let sidecar = two_versions().await;
    // As if another version of the program read the same texts in another way.
    let db = rusqlite::Connection::open(sidecar.lineage()).unwrap();
    let change = |from: &str, to: &str| {
        let text = POLICY.replace(from, to);
        let changed = db
            .execute(
                "UPDATE texts SET body = ? WHERE digest = ?",
                rusqlite::params![text, Digest::of(POLICY.as_bytes()).0],
            )
            .unwrap();
        assert_eq!(changed, 1);
        let (code, told) = json(sidecar.folder.path(), &["policy", "replay"]);
        (code, told["different"].as_array().unwrap().len())
    };
    for (from, to, different) in [
        ("@ttl(\"7s\")", "@ttl(\"8s\")", 6),
        ("lessThan(decimal(\"100.0\"))", "lessThan(decimal(\"50.0\"))", 1),
        ("@id(\"title\")", "@id(\"titled\")", 1),
        ("\"tracker/octo/secret\"", "\"tracker/octo/hello\"", 12),
        ("on_behalf_of == \"ana\"", "on_behalf_of == \"bo\"", 2),
    ] {
        let (code, found) = change(from, to);
        assert_eq!((code, found), (1, different), "{from} → {to}");
    }
    assert_eq!(change("", "").0, 0);
}

#[tokio::test]
async fn what_cannot_be_judged_again_is_counted_and_not_guessed() {
    let mut sidecar = start().await;
    let (call, _) = ask(&sidecar, "GET /tracker/repos/octo/hello/issues/7", &HELPER).await;
    let (unknown, _) = ask(&sidecar, "GET /tracker/nothing/at/all", &HELPER).await;
    for _ in 0..100 {
        ask(&sidecar, "GET /tracker/repos/octo/secret/issues/7", &HELPER).await;
    }
    sidecar.stop().await;
    let folder = sidecar.folder.path();
    assert_eq!(run(folder, &["lineage", "erase", &call.to_string()]).0, 0);
    let (code, told) = json(folder, &["policy", "replay"]);
    assert_eq!(code, 0, "{told:#}");
    let left_out = told["left_out"].as_object().unwrap();
    let counted = left_out.get("counted with refusals like them, without facts of their own");
    assert_eq!(left_out["their private fields were erased"], 1);
    // How many are written one by one depends on how fast they come.
    assert_eq!(
        told["same"].as_u64().unwrap() + counted.and_then(serde_json::Value::as_u64).unwrap_or(0),
        100,
        "{told:#}"
    );
    let (code, printed) = run(folder, &["policy", "explain", &call.to_string()]);
    assert_eq!(code, 1);
    assert!(printed.contains("their private fields were erased"), "{printed}");
    let (code, printed) = run(folder, &["policy", "explain", &unknown.to_string()]);
    assert_eq!(code, 1);
    assert!(printed.contains("refused before any rule was asked\n  recorded   deny (action_unknown)"), "{printed}");
    assert!(printed.contains("\n  because    "), "{printed}");
}

#[tokio::test]
async fn a_draft_tells_what_it_would_change_and_for_whom() {
    let mut sidecar = start().await;
    traffic(&sidecar).await;
    sidecar.stop().await;
    let folder = sidecar.folder.path();
    fs::create_dir(folder.join("draft")).unwrap();
    let draft = POLICY.replace("\"100.0\"", "\"50.0\"").replace("@id(\"boss\") @ask(\"ana\")", "@id(\"boss\")")
        + "@id(\"never\") forbid(principal, action, resource) when { context.task.depth > 7 };";
    fs::write(folder.join("draft/main.cedar"), draft).unwrap();
    let (code, told) = json(folder, &["policy", "replay", "--policies", "draft"]);
    assert_eq!((code, &told["calls"]), (0, &json!(22)), "{told:#}");
    let kind = |change: &serde_json::Value| format!("{} {}", change["from"]["decision"], change["to"]["decision"]);
    let changes: Vec<String> = told["changes"].as_array().unwrap().iter().map(kind).collect();
    assert_eq!(changes, ["\"allow\" \"deny\"", "\"ask\" \"deny\""], "{told:#}");
    assert_eq!(told["never_decided"], json!(["never", "small"]));
    assert_eq!(told["lenient"], json!(["free", "quiet"]));
    // Were every agent in mode `enforce`, those in other modes would lose something, too.
    let (_, told) = json(folder, &["policy", "replay", "--policies", "draft", "--enforce"]);
    assert_eq!(told["changes"].as_array().unwrap().len(), 5, "{told:#}");
    let (code, printed) = run(folder, &["policy", "replay", "--policies", "draft"]);
    assert_eq!(code, 0);
    for line in [
        "2 of 22 calls would change\n",
        "  allow → deny: 1\n    helper: tracker/bills.pay on tracker/rent, by default\n      countersign lineage show 0",
        "  ask → deny: 1\n",
        "  decided none of them: never, small\n",
        "  left out: 2 refused before any rule was asked\n",
    ] {
        assert!(printed.contains(line), "no `{line}` in {printed}");
    }
    // The files that are loaded: nothing changes, and no rule does; then one does.
    assert!(run(folder, &["policy", "diff"]).1.starts_with("rules: the same as were loaded last\n0 of 22 calls"));
    let (_, printed) = run(folder, &["policy", "diff", "--policies", "draft", "--since", "1h"]);
    assert!(printed.starts_with("rules new: never\nrules changed: boss, small\n2 of 22 calls"), "{printed}");
    assert!(run(folder, &["policy", "diff", "--since", "1ms"]).1.contains("0 of 0 calls"));
    assert_eq!(run(folder, &["policy", "diff", "--since", "yesterday"]).0, 2);
}
