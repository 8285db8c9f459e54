//! What the demo says.

use std::io::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::Request;
use serde_json::Value;

use crate::model::Timestamp;
use crate::record::{Report, Stored, Story};

/// Prints a line; a reader that has gone away stops nothing.
macro_rules! say {
    ($($text:tt)*) => {{ let _ = writeln!(std::io::stdout(), $($text)*); }};
}

pub(super) fn opening(door: &str) {
    say!(
        "Countersign demo: a sidecar at {door}, two tools that verify every credential, and an agent that holds none."
    );
}

pub(super) fn act(number: u32, title: &str, what: &str) {
    say!("\n{number}. {title}\n   {what}");
}

pub(super) fn said(who: &str, words: &str) {
    say!("   {who} says: \"{words}\"");
}

pub(super) fn got(status: u16, problem: &Value) {
    say!("   the agent gets {status}: {problem}");
}

/// One call as the lineage tells it.
pub(super) fn call(story: &Story) {
    let Some(verdict) = story.first("permitted").or_else(|| story.first("refused")) else { return };
    let allowed = verdict.kind() == "permitted";
    let private =
        |name: &str| verdict.private.as_ref().and_then(|private| private.get(name)).cloned().unwrap_or_default();
    let resource = private("resource").as_str().unwrap_or_default().to_owned();
    say!("   {} {} on {resource}", if allowed { "✓" } else { "✗" }, text(&verdict.entry, "/action"));
    let person = private("on_behalf_of").as_str().map(|person| format!(", for {person}")).unwrap_or_default();
    say!("       asked by    {} ({}){person}", text(&verdict.entry, "/agent"), text(&private("workload"), "/id"));
    let declared = private("declared");
    let source = text(&verdict.entry, "/facts/intent/source");
    if !declared.is_null() {
        say!("       declared    {} on {} ({source})", text(&declared, "/action"), text(&declared, "/resource"));
    }
    say!("       verdict     {}: {}", if allowed { "allow" } else { "deny" }, rules(&verdict.entry));
    match story.last("ended") {
        Some(ended) => credential(verdict, ended),
        None => say!("       credential  none was minted"),
    }
}

fn credential(permitted: &Stored, ended: &Stored) {
    let at = |pointer: &str| {
        ended.entry.pointer(pointer).and_then(|value| serde_json::from_value::<Timestamp>(value.clone()).ok())
    };
    let kind = text(&permitted.entry, "/credential/kind");
    let (Some(minted), Some(over)) = (at("/credential/minted_at"), at("/credential/ended_at")) else { return };
    let lent = over.since(minted).as_millis();
    let dies = at("/credential/expires_at").map_or_else(String::new, |end| {
        format!(", dead by itself {:.1} s after it was minted", end.since(minted).as_secs_f64())
    });
    say!("       credential  {kind}, good for this call only: lent for {lent} ms{dies}");
    let status = ended.entry.pointer("/answer/status").map(Value::to_string).unwrap_or_default();
    say!("       ended       {} with {status}", text(&ended.entry, "/ending"));
}

/// What stands in a stolen token that binds it to one call.
pub(super) fn claims(stolen: &Request<Bytes>) {
    let value = stolen.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let payload = value.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok()).unwrap_or_default();
    let claims: Value = serde_json::from_slice(&payload).unwrap_or_default();
    let details = |name: &str| text(&claims, &format!("/authorization_details/0/{name}"));
    say!(
        "   the token says: only {} {} with {}",
        text(&claims, "/authorization_details/0/actions/0"),
        details("target"),
        details("content_digest")
    );
}

pub(super) fn thief(what: &str, status: u16, answer: &Bytes) {
    say!("   ✗ {what}\n       the tool answers {status}: {}", String::from_utf8_lossy(answer));
}

pub(super) fn kept((door, admin, login): (&str, &str, &str), folder: &Path) {
    say!(
        "\nStill serving. The agent's door is {door}, the admin door http://{admin} (try /metrics, /readyz); files are in {}.",
        folder.display()
    );
    say!("The pages, for whoever opens this first within ten minutes: {login}");
    say!("Ctrl-C ends it and removes them.");
}

pub(super) fn lineage(report: &Report) {
    say!("\nThe lineage holds {} records under the root {}.", report.size, report.root);
    match &report.verdict {
        crate::record::Verdict::Intact => {
            say!("verify: intact. {} checkpoints fit; no outside checkpoint was given.", report.checkpoints);
        }
        crate::record::Verdict::Broken { what, .. } => say!("verify: BROKEN: {what}"),
    }
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or("-").to_owned()
}

fn rules(entry: &Value) -> String {
    let rules = entry.get("rules").and_then(Value::as_array);
    rules.map_or_else(String::new, |rules| rules.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "))
}
