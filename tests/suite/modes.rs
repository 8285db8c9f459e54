//! What becomes of a no in each mode: `enforce`, `shadow`, `observe`. Whatever the mode, who asks must be proven, what is
//! asked must be readable in one way, and it must be recorded.

mod drafted;

use std::sync::Arc;

use countersign::app::Seams;
use countersign::record::{Lineage, Receipt, Record, Unavailable};
use serde_json::json;

use super::common::invariants::{self, private};
use super::common::sidecar::{READ, Sidecar, Wanted};

const COMMENT: &str = "POST /tracker/repos/octo/hello/issues/7/comments HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\
     content-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

/// Reading is permitted; of writing nothing is said.
const POLICY: &str = "@id(\"reads\") permit(principal, action in Action::\"effect:read\", resource);";

async fn sidecar(mode: &'static str, issuer: &'static str) -> Sidecar {
    let agent = match mode {
        "enforce" => "[[agents.helper.limits]]\nper = \"agent\"\nrequests = 1\nwindow = \"1h\"",
        "shadow" => "mode = \"shadow\"\n[[agents.helper.limits]]\nper = \"agent\"\nrequests = 1\nwindow = \"1h\"",
        _ => "mode = \"observe\"\n[[agents.helper.limits]]\nper = \"agent\"\nrequests = 1\nwindow = \"1h\"",
    };
    Sidecar::start(Wanted { agent, policy: POLICY, issuer, ..Wanted::default() }, Seams::default()).await
}

#[tokio::test]
async fn what_would_have_been_refused_is_made_and_told_where_nothing_is_enforced() {
    for mode in ["enforce", "shadow", "observe"] {
        let mut sidecar = sidecar(mode, "vault").await;
        let first = sidecar.send(READ).await;
        assert_eq!(first.status, 200, "{first:?}");
        let permitted = sidecar.story(first.call(), "ended").await.first("permitted").unwrap().clone();
        assert!(permitted.entry.get("would").is_none(), "{permitted:?}");
        // A limit; an intent that is missing; nothing that permits it.
        let said = "agent-intent: action=\"comments.create\", purpose=\"to say so\"\r\nconnection";
        for (request, refused, decision, rules) in [
            (READ.to_owned(), 429, "throttle", json!(["config:helper.limits.0"])),
            (COMMENT.to_owned(), 422, "deny", json!(["config:helper.intent.missing", "config:helper.limits.0"])),
            (COMMENT.replace("connection", said), 403, "deny", json!(["config:helper.limits.0", "default"])),
        ] {
            let answer = sidecar.send(&request).await;
            if mode == "enforce" {
                assert_eq!(answer.status, refused, "{answer:?}");
                continue;
            }
            assert_eq!(answer.status, 200, "{mode}: {answer:?}");
            let permitted = sidecar.story(answer.call(), "ended").await.first("permitted").unwrap().entry.clone();
            assert_eq!(permitted["would"], json!({ "decision": decision, "rules": rules }), "{mode}: {permitted}");
        }
        invariants::hold(&mut sidecar).await;
    }
}

#[tokio::test]
async fn what_no_catalog_knows_passes_where_it_is_observed_and_nothing_is_minted_for_it() {
    // The vault stands in for an issuer that the configuration says is none.
    for (mode, issuer, passes) in [
        ("enforce", "vault", false),
        ("shadow", "vault", false),
        ("observe", "vault", true),
        ("observe", "calls", false),
    ] {
        let mut sidecar = sidecar(mode, issuer).await;
        for (method, effect) in [
            ("GET", "read"),
            ("HEAD", "read"),
            ("OPTIONS", "read"),
            ("DELETE", "delete"),
            ("POST", "write"),
            ("PUT", "write"),
            ("PATCH", "write"),
        ] {
            let request = format!(
                "{method} /tracker/what/is%20this?x=1 HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            );
            if method == "HEAD" {
                let status = sidecar.send(&request).await.status;
                assert_eq!(status, if passes { 200 } else { 404 });
                continue;
            }
            let answer = sidecar.send(&request).await;
            if !passes {
                assert_eq!(answer.code(), (404, "action_unknown".to_owned()), "{mode} {issuer}");
                continue;
            }
            assert_eq!(answer.status, 200, "{answer:?}");
            let permitted = sidecar.story(answer.call(), "ended").await.first("permitted").unwrap().clone();
            assert_eq!(
                (&permitted.entry["action"], &permitted.entry["effect"]),
                (&"tracker/unclassified".into(), &effect.into())
            );
            assert_eq!(permitted.entry["would"], json!({"decision": "deny", "rules": ["default"]}));
            assert_eq!(private(&permitted, "resource"), "tracker/what/is%20this");
        }
        // What it brings is a stranger's, so from here on no more is said than must be.
        if passes {
            let terse = sidecar.send("GET /nothing/here HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\r\n").await;
            assert!(terse.json().get("title").is_none(), "{terse:?}");
        }
        invariants::hold(&mut sidecar).await;
    }
}

#[tokio::test]
async fn what_is_no_call_is_none_in_any_mode() {
    for mode in ["shadow", "observe"] {
        let mut sidecar = sidecar(mode, "vault").await;
        for (request, status, code) in [
            (READ.replace("/issues/7", "/%2e%2e/7"), 400, "request_unclear"),
            (READ.replace("/tracker/", "/nothing/"), 404, "tool_unknown"),
            (READ.replace("GET", "TRACE"), 405, "method_unknown"),
            (READ.replace("connection", "agent-task: nobodys\r\nconnection"), 409, "task_over"),
            (COMMENT.replace("{}", "{{"), 400, "request_unclear"),
        ] {
            assert_eq!(sidecar.send(&request).await.code(), (status, code.to_owned()), "{mode}: {request}");
        }
        assert_eq!((sidecar.vault.minted(), sidecar.tool.seen().len()), (0, 0));
        invariants::hold(&mut sidecar).await;
    }
}

#[tokio::test]
async fn whoever_proves_nothing_is_nobody_in_any_mode() {
    let agent = "intent = \"never\"\nmode = \"observe\"";
    let wanted =
        Wanted { agent, identify: "identify = [{ peer = { uid = 4000000000 } }]".to_owned(), ..Wanted::default() };
    let mut sidecar = Sidecar::start(wanted, Seams::default()).await;
    assert_eq!(sidecar.send(READ).await.code(), (401, "caller_unproven".to_owned()));
    invariants::hold(&mut sidecar).await;
}

/// A lineage that takes no verdicts.
struct Down(Arc<dyn Lineage>);

impl Lineage for Down {
    fn append(&self, record: Record) -> Receipt {
        if record.event.kind() == "permitted" {
            return Box::pin(std::future::ready(Err(Unavailable::Full)));
        }
        self.0.append(record)
    }

    fn trouble(&self) -> Option<String> {
        None
    }
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_made_in_any_mode() {
    for agent in ["mode = \"shadow\"", "mode = \"observe\""] {
        let seams = Seams { lineage: Some(Box::new(|inner| Arc::new(Down(inner)))), ..Seams::default() };
        let mut sidecar = Sidecar::start(Wanted { agent, ..Wanted::default() }, seams).await;
        let paths = ["/tracker/repos/octo/hello/issues/7", "/tracker/what"];
        for path in paths.into_iter().take(if agent.contains("observe") { 2 } else { 1 }) {
            let refused = sidecar.send(&READ.replace("/tracker/repos/octo/hello/issues/7", path)).await;
            assert_eq!(refused.code(), (503, "record_unavailable".to_owned()));
        }
        assert_eq!((sidecar.vault.minted(), sidecar.tool.seen().len()), (0, 0));
        invariants::hold(&mut sidecar).await;
    }
}
