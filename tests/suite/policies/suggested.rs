//! Drafts out of what was seen, and explanations of what was decided.

use std::fmt::Write as _;
use std::fs;

use serde_json::Value;

use super::recorded::{Asks, HELPER, ask, json, run, start, traffic};

#[tokio::test]
async fn a_draft_lets_all_that_was_seen_pass_and_nothing_else() {
    let mut sidecar = start().await;
    let free = Asks { agent: "free", ..HELPER };
    let wicked = "POST /tracker/files/x%22%20%7C%7C%20%E2%82%AC/send";
    for (line, body) in [
        ("GET /tracker/repos/octo/hello/issues/1", ""),
        ("GET /tracker/repos/octo/other/issues/2", ""),
        ("POST /tracker/bills/rent", r#"{"amount":"5.0"}"#),
        (wicked, r#"{"to":"x"}"#),
    ] {
        for _ in 0..2 {
            let (call, status) = ask(&sidecar, line, &Asks { body, ..free }).await;
            assert_eq!(status, 200, "{line}: {:?}", sidecar.reader().story(call).unwrap());
        }
    }
    for number in 0..7 {
        assert_eq!(ask(&sidecar, &format!("GET /tracker/files/{number}"), &free).await.1, 200);
    }
    assert_eq!(ask(&sidecar, "GET /tracker/files/x", &HELPER).await.1, 200);
    sidecar.stop().await;
    let folder = sidecar.folder.path();
    // For an agent that need not declare anything: what the configuration forbids is not the draft's to permit.
    let config = fs::read_to_string(folder.join("countersign.toml")).unwrap();
    fs::write(
        folder.join("countersign.toml"),
        config.replace("mode = \"observe\"", "mode = \"observe\"\nintent = \"never\""),
    )
    .unwrap();
    let (code, draft) = run(folder, &["policy", "suggest", "--agent", "free"]);
    assert_eq!(code, 0, "{draft}");
    assert!(draft.contains("// Judged by it, in mode `enforce`, 15 of them pass.\n"), "{draft}");
    for line in [
        "// 4 calls, e.g. 0",
        "// 2 calls, e.g. 0",
        "on 7 resources, so the tool is named\n",
        "resource in Tool::\"tracker\");\n",
        "when { [Resource::\"tracker/octo/hello\", Resource::\"tracker/octo/other\"].contains(resource) };\n",
        "permit(principal == Agent::\"free\", action == Action::\"tracker/bills.pay\", resource == Resource::\"tracker/rent\");\n",
    ] {
        assert!(draft.contains(line), "no `{line}` in {draft}");
    }
    assert!(!draft.contains("helper") && draft.matches("permit(principal").count() == 4, "{draft}");
    fs::create_dir(folder.join("draft")).unwrap();
    fs::write(folder.join("draft/free.cedar"), &draft).unwrap();
    let replay = ["policy", "replay", "--policies", "draft", "--enforce", "--agent", "free"];
    let (code, told) = json(folder, &replay);
    assert_eq!((code, told["changes"].as_array().unwrap().len(), &told["calls"]), (0, 0, &Value::from(15)), "{told:#}");
    assert_eq!(told["never_decided"].as_array().unwrap().len(), 0, "{told:#}");
    nothing_else_passes(folder, &draft);
}

/// What was not seen does not pass: another agent, action, or resource where these were few.
fn nothing_else_passes(folder: &std::path::Path, draft: &str) {
    let mut cases = String::new();
    for (agent, action, resource, expect) in [
        ("free", "tracker/issues.get", "octo/hello", "allow"),
        ("free", "tracker/issues.get", "octo/third", "deny"),
        ("free", "tracker/files.get", "another", "allow"),
        ("free", "tracker/comments.create", "octo/hello", "deny"),
        ("free", "tracker/bills.pay", "other", "deny"),
        ("free", "tracker/files.send", "a", "deny"),
        ("helper", "tracker/files.get", "x", "deny"),
        ("quiet", "tracker/issues.get", "octo/hello", "deny"),
    ] {
        write!(
            cases,
            "[[case]]\nname = \"{agent} {action} {resource}\"\nagent = \"{agent}\"\naction = \"{action}\"\nresource = \"{resource}\"\nexpect = \"{expect}\"\n"
        )
        .unwrap();
    }
    fs::write(folder.join("policies/main.cedar"), draft).unwrap();
    fs::write(folder.join("policies/main.cases.toml"), cases).unwrap();
    let (code, printed) = run(folder, &["policy", "test"]);
    assert_eq!(code, 0, "{printed}");
}

#[tokio::test]
async fn an_explanation_names_every_rule_and_what_would_turn_the_verdict() {
    let mut sidecar = start().await;
    let opened =
        sidecar.open_task(r#"{"goal":"pay","on_behalf_of":"bo","actions":[{"action":"tracker/bills.pay"}]}"#).await;
    let task = opened["token"].as_str().unwrap();
    let in_task = Asks { task, ..HELPER };
    let pay = "POST /tracker/bills/rent";
    let (asked, _) = ask(&sidecar, pay, &Asks { body: r#"{"amount":"50.0"}"#, ..in_task }).await;
    let (dear, _) = ask(&sidecar, pay, &Asks { body: r#"{"amount":"200.0"}"#, ..in_task }).await;
    let (read, _) = ask(&sidecar, "GET /tracker/repos/octo/hello/issues/5", &in_task).await;
    sidecar.story(read, "ended").await;
    traffic(&sidecar).await;
    sidecar.stop().await;
    let folder = sidecar.folder.path();
    let explain = |call: countersign::model::CallId| json(folder, &["policy", "explain", &call.to_string()]).1;
    let turns = |told: &Value| -> Vec<Vec<String>> {
        told["otherwise"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| serde_json::from_value(it["if"].clone()).unwrap())
            .collect()
    };
    // Somebody agrees, or it is for somebody else.
    assert_eq!(
        turns(&explain(asked)),
        [["context.task.on_behalf_of is \"ana\", not \"bo\""], ["context.approval.rules holds \"boss\""]]
    );
    // One change is not enough here.
    let told = explain(dear);
    let both = |first: &str| {
        vec![first.to_owned(), "context.args.amount is decimal(\"99.9999\"), not decimal(\"200.0\")".to_owned()]
    };
    assert!(turns(&told).contains(&both("context.task.on_behalf_of is \"ana\", not \"bo\"")), "{told:#}");
    assert!(turns(&told).iter().all(|steps| steps.len() == 2), "{told:#}");
    // A yes, turned into a no.
    let told = explain(read);
    assert_eq!(told["rules_say"]["decision"], "allow");
    assert!(!turns(&told).is_empty() && turns(&told).iter().all(|steps| steps.len() == 1), "{told:#}");
    for otherwise in told["otherwise"].as_array().unwrap() {
        assert_ne!(otherwise["then"]["decision"], "allow", "{otherwise:#}");
    }
    let (code, printed) = run(folder, &["policy", "explain", &asked.to_string()]);
    assert_eq!(code, 0);
    for line in [
        "helper asks for tracker/bills.pay on tracker/rent\n  recorded   ask (needs_approval) by boss\n",
        "  ✓ boss (asks ana, main.cedar), and decided\n      context.task.on_behalf_of = \"bo\"\n",
        "  ✓ small (permits, main.cedar)\n      context.args.amount = decimal(\"50.0\")\n",
        "  · urgent (permits, main.cedar) does not hold\n      context.args.urgent = absent\n",
        "it would be otherwise if context.task.on_behalf_of is \"ana\", not \"bo\"\n  then allow by small",
    ] {
        assert!(printed.contains(line), "no `{line}` in {printed}");
    }
    // By what lies on disk now, it is another story.
    fs::write(folder.join("policies/main.cedar"), "@id(\"all\") permit(principal, action, resource);").unwrap();
    let (_, printed) = run(folder, &["policy", "explain", "--current", &asked.to_string()]);
    assert!(
        printed.contains("  recorded   ask (needs_approval) by boss\n  the rules  allow by all, for 60000 ms\n"),
        "{printed}"
    );
}

#[tokio::test]
async fn every_counterfactual_is_a_decision_and_none_smaller_is_passed_over() {
    // Whatever was recorded: what is said to turn it turns it, by the same policies, on the same facts but for that.
    let mut sidecar = start().await;
    traffic(&sidecar).await;
    sidecar.stop().await;
    let folder = sidecar.folder.path();
    let (mut explained, mut turned) = (0, 0);
    for decided in sidecar.reader().decided(countersign::model::Timestamp::from_millis(0)).unwrap() {
        let Some(call) = decided.call.filter(|_| decided.basis.is_ok()) else { continue };
        let (code, told) = json(folder, &["policy", "explain", &call.to_string()]);
        assert_eq!(code, 0, "{told:#}");
        explained += 1;
        let was = told["rules_say"]["decision"] == "allow";
        let otherwise = told["otherwise"].as_array().unwrap();
        turned += usize::from(!otherwise.is_empty());
        assert!(otherwise.iter().all(|it| (it["then"]["decision"] == "allow") != was), "{told:#}");
        let sizes: std::collections::BTreeSet<usize> =
            otherwise.iter().map(|it| it["if"].as_array().unwrap().len()).collect();
        assert!(sizes.len() <= 1, "{told:#}");
    }
    assert!(explained >= 20 && turned >= 15, "{explained} explained, {turned} turned");
}
