//! One call as the API tells it, and the parts of it that several pages show.

use maud::{Markup, html};
use serde_json::Value;

use super::words::{at, span, text, value, words};
use crate::model::Revocation;
use crate::record::{CredentialNote, Ended, Permitted};

/// A call's records, looked at for what they say of it.
#[derive(Clone, Copy)]
pub(super) struct Story<'a> {
    records: &'a [Value],
    /// The record that says what was decided; `null` if none does.
    pub(super) verdict: &'a Value,
}

/// What was decided, or stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Verdict<'a> {
    /// `allow`, `ask`, `deny` …
    pub(super) decision: &'a str,
    /// A sign for it, for whoever sees no colours.
    pub(super) sign: &'static str,
}

impl<'a> Story<'a> {
    pub(super) fn of(story: &'a Value) -> Self {
        let records = at(story, "/records").as_array().map_or(&[][..], Vec::as_slice);
        let verdict = ["permitted", "refused", "asked", "repeated"].iter().find_map(|kind| first(records, kind));
        Self { records, verdict: verdict.unwrap_or(&Value::Null) }
    }

    pub(super) fn records(&self) -> &'a [Value] {
        self.records
    }

    /// The last record of a kind.
    pub(super) fn last(&self, kind: &str) -> Option<&'a Value> {
        self.records.iter().rfind(|record| text(record, "/entry/kind") == Some(kind))
    }

    /// What the verdict says under a name, for everybody.
    pub(super) fn entry(&self, name: &str) -> &'a Value {
        self.verdict.get("entry").and_then(|entry| entry.get(name)).unwrap_or(&Value::Null)
    }

    /// What it says among its private fields.
    pub(super) fn private(&self, name: &str) -> &'a Value {
        at(self.verdict, "/private").get(name).unwrap_or(&Value::Null)
    }

    /// The same, shown; or that it was erased.
    pub(super) fn told(&self, name: &str) -> Markup {
        if self.is_erased() {
            html! { em.faint { "erased" } }
        } else {
            value(self.private(name))
        }
    }

    pub(super) fn is_erased(&self) -> bool {
        !self.verdict.is_null() && at(self.verdict, "/private").is_null()
    }

    pub(super) fn kind(&self) -> &'a str {
        text(self.verdict, "/entry/kind").unwrap_or_default()
    }

    pub(super) fn decided(&self) -> Verdict<'a> {
        let decision = match self.kind() {
            "permitted" => "allow",
            "asked" => "ask",
            _ => self.entry("decision").as_str().unwrap_or("unknown"),
        };
        let sign = match decision {
            "allow" => "✓",
            "ask" => "?",
            "throttle" => "≈",
            "deny" => "✗",
            _ => "!",
        };
        Verdict { decision, sign }
    }

    /// The rules that decided.
    pub(super) fn rules(&self) -> Vec<&'a str> {
        match self.entry("rules") {
            Value::Array(rules) => rules.iter().filter_map(Value::as_str).collect(),
            Value::Object(rules) => rules.keys().map(String::as_str).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        }
    }

    pub(super) fn permitted(&self) -> Option<Permitted> {
        (self.kind() == "permitted").then(|| read(self.verdict)).flatten()
    }

    pub(super) fn ended(&self) -> Option<Ended> {
        self.last("ended").and_then(read)
    }

    /// The last place in the tree that lists go by.
    pub(super) fn place(&self) -> u64 {
        at(self.verdict, "/seq").as_u64().unwrap_or(0)
    }
}

fn first<'a>(records: &'a [Value], kind: &str) -> Option<&'a Value> {
    records.iter().find(|record| text(record, "/entry/kind") == Some(kind))
}

fn read<T: serde::de::DeserializeOwned>(record: &Value) -> Option<T> {
    serde_json::from_value(record.get("entry")?.clone()).ok()
}

/// A verdict as a badge.
pub(super) fn badge(verdict: Verdict<'_>) -> Markup {
    let Verdict { decision, sign } = verdict;
    html! { span.badge data-is=(decision) { span aria-hidden="true" { (sign) } " " (words(decision)) } }
}

/// What was decided and by which rules, in two lines.
pub(super) fn decision(story: &Story<'_>) -> Markup {
    let would = at(story.entry("would"), "/decision").as_str();
    html! {
        (badge(story.decided()))
        @if let Some(would) = would { " " span.badge data-is="would" { "would be " (words(would)) } }
        div.under { @for (place, rule) in story.rules().iter().enumerate() { @if place > 0 { ", " } code { (words(rule)) } } }
    }
}

/// What was lent and for how long, in two lines.
pub(super) fn credential(story: &Story<'_>) -> Markup {
    let Some(permitted) = story.permitted() else { return html! { span.faint { "none was minted" } } };
    let ended = story.ended();
    let note = ended.as_ref().map(|ended| &ended.credential);
    let used = note.and_then(|note| Some(note.ended_at?.since(note.minted_at?).as_millis()));
    let good = note.and_then(CredentialNote::privilege).map(|good| good.as_millis());
    html! {
        (words(&permitted.credential.kind))
        @if let Some(used) = used { ", lent for " (span(used)) }
        div.under {
            @match (&ended, note, good) {
                (None, ..) => @match permitted.credential.expires_at {
                    Some(until) => { "until " (super::words::time(&until.to_string())) }
                    None => "still lent",
                },
                (Some(_), Some(note), Some(good)) => { (outcome(note.revocation)) ", good for " (span(good)) }
                (Some(_), Some(note), None) => (outcome(note.revocation)),
                (Some(_), None, _) => {},
            }
        }
    }
}

/// What became of a credential, in words.
pub(super) const fn outcome(revocation: Revocation) -> &'static str {
    match revocation {
        Revocation::NotNeeded => "nothing to end",
        Revocation::Confirmed => "ended, confirmed",
        Revocation::Expired => "expired by itself",
        Revocation::Unsupported => "ends by itself",
        Revocation::Failed => "could not be ended",
        Revocation::Unknown => "not known whether it ended",
    }
}

/// How it ended, or how it stands.
pub(super) fn ending(story: &Story<'_>) -> Markup {
    if let Some(ended) = story.ended() {
        let status = ended.answer.as_ref().map(|answer| answer.status);
        return html! { (ended.ending.name()) @if let Some(status) = status { " with " (status) } };
    }
    match story.kind() {
        "permitted" => html! { strong { "under way" } },
        "asked" => match story.last("resolved") {
            Some(resolved) => value(at(resolved, "/entry/answer")),
            None => html! { "waits for " (value(story.entry("who"))) },
        },
        _ => html! {
            code { (value(story.entry("code"))) }
            @if let Some(count) = story.entry("count").as_u64() { " × " (count) }
        },
    }
}
