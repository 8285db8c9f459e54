//! Verdicts read back: what each was reached from, as far as a record still tells.

use serde_json::{Map, Value};

use super::StoreError;
use super::event::{Loaded, Permitted, Refused, Repeated};
use super::people::Asked;
use super::query::{Reader, Stored};
use crate::model::{AMEND, CallId, Decision, Digest, Facts, Timestamp, Told};

/// Records that are read at a time.
const PAGE: usize = 512;

/// A verdict as it was recorded.
#[derive(Clone, Debug)]
pub struct Decided {
    /// When.
    pub at: Timestamp,
    /// The call, if the record names one.
    pub call: Option<CallId>,
    /// Who asked, if that was proven.
    pub agent: Option<String>,
    /// The action's full name, if it was understood.
    pub action: Option<String>,
    /// What was decided.
    pub told: Told,
    /// What it was reached from, or why that is not known.
    pub basis: Result<Basis, Lost>,
    /// How many calls the record stands for.
    pub count: u64,
}

/// What a verdict was reached from.
#[derive(Clone, Debug)]
pub struct Basis {
    /// What was loaded.
    pub policies: Digest,
    /// What the call acts on, under its tool.
    pub resource: String,
    /// The facts; the argument values stand apart.
    pub facts: Facts,
    /// The argument values, of which the action's catalog knows the types.
    pub args: Map<String, Value>,
}

/// Why a verdict cannot be reached again.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Lost {
    /// It was refused before any rule was asked.
    NotJudged,
    /// It was counted with refusals like it, and its facts were not kept.
    Counted,
    /// It is a question about a task's grant, of several lines perhaps, and not about a call.
    Amendment,
    /// Its private fields were erased.
    Erased,
    /// Its facts were cut from the record, which was too long, or are of a version that this one does not know.
    Unread,
}

impl Lost {
    /// In words, for whoever asks why it is not replayed.
    pub const fn why(self) -> &'static str {
        match self {
            Self::NotJudged => "refused before any rule was asked",
            Self::Counted => "counted with refusals like them, without facts of their own",
            Self::Amendment => "about a task's grant and not about a call",
            Self::Erased => "their private fields were erased",
            Self::Unread => "their facts are not there in a form this version knows",
        }
    }
}

impl Reader {
    /// Every verdict since then, in order.
    pub fn decided(&self, since: Timestamp) -> Result<Vec<Decided>, StoreError> {
        let (mut found, mut next) = (Vec::new(), 0);
        loop {
            let page = self.records(next, PAGE)?;
            let Some(last) = page.last() else { return Ok(found) };
            next = last.seq.saturating_add(1);
            found.extend(page.iter().filter_map(decided).filter(|decided| decided.at >= since));
        }
    }

    /// What a call was decided by: the last of its verdicts.
    pub fn decided_of(&self, call: CallId) -> Result<Option<Decided>, StoreError> {
        let records = self.story(call)?.map(|story| story.records).unwrap_or_default();
        Ok(records.iter().rev().find_map(decided))
    }

    /// Everything that was ever loaded, in order.
    pub fn all_loaded(&self) -> Result<Vec<Loaded>, StoreError> {
        let mut found = Vec::new();
        self.through(0..u64::MAX, &mut |db, part| {
            let which = "kind = 'loaded' AND records.seq >= ? AND records.seq < ? ORDER BY records.seq";
            let range = rusqlite::params![super::sqlite::schema::row(part.start), super::sqlite::schema::row(part.end)];
            let records = super::query::stored(db, which, range)?;
            found.extend(records.into_iter().filter_map(|record| serde_json::from_value(record.entry).ok()));
            Ok(())
        })?;
        Ok(found)
    }
}

fn decided(record: &Stored) -> Option<Decided> {
    let entry = || record.entry.clone();
    let (agent, action, told, facts, count) = match record.kind() {
        "permitted" => {
            let it: Permitted = serde_json::from_value(entry()).ok()?;
            let told =
                Told { decision: Decision::Allow, code: None, rules: it.rules, ttl_ms: it.ttl_ms, would: it.would };
            (Some(it.agent), Some(it.action), told, Ok(it.policies), 1)
        }
        "asked" => {
            let it: Asked = serde_json::from_value(entry()).ok()?;
            let code = Some(crate::model::Code::NeedsApproval.name().to_owned());
            let rules = it.rules.into_keys().collect();
            let told = Told { decision: Decision::Ask, code, rules, ttl_ms: None, would: None };
            let policies = if it.action == AMEND { Err(Lost::Amendment) } else { Ok(it.policies) };
            (Some(it.agent), Some(it.action), told, policies, 1)
        }
        "refused" => {
            let it: Refused = serde_json::from_value(entry()).ok()?;
            let decision = serde_json::from_value(it.decision.into()).ok()?;
            let told = Told { decision, code: Some(it.code), rules: it.rules, ttl_ms: None, would: None };
            // A request has a method; what has none here was cut down to a stub.
            let lost = if it.method.is_empty() { Lost::Unread } else { Lost::NotJudged };
            (it.agent, it.action, told, it.policies.ok_or(lost), 1)
        }
        "repeated" => {
            let it: Repeated = serde_json::from_value(entry()).ok()?;
            let decision = serde_json::from_value(it.decision.into()).ok()?;
            let told = Told { decision, code: Some(it.code), rules: it.rules, ttl_ms: None, would: None };
            (it.agent, it.action, told, Err(Lost::Counted), it.count)
        }
        _ => return None,
    };
    let text = |name: &str| record.entry.get(name).cloned().and_then(|value| serde_json::from_value(value).ok());
    let at = record.entry.get("at").cloned().and_then(|at| serde_json::from_value(at).ok())?;
    let basis = facts.and_then(|policies| basis(record, policies));
    Some(Decided { at, call: text("call"), agent, action, told, basis, count })
}

fn basis(record: &Stored, policies: Digest) -> Result<Basis, Lost> {
    let private = record.private.as_ref().ok_or(Lost::Erased)?;
    let told = record.entry.get("facts").cloned().ok_or(Lost::Unread)?;
    let mut facts: Facts = serde_json::from_value(told).map_err(|_| Lost::Unread)?;
    let text = |name: &str| private.get(name).and_then(Value::as_str).map(str::to_owned);
    facts.task.on_behalf_of = text("on_behalf_of");
    let resource = text("resource").ok_or(Lost::Unread)?;
    let args = private.get("args").and_then(Value::as_object).cloned().unwrap_or_default();
    Ok(Basis { policies, resource, facts, args })
}
