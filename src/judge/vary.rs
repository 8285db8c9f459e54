//! Facts other than they are: one fact set to a value, as a case wants it or a counterfactual tries it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cedar_policy::{Context, RestrictedExpression};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::Policies;
use super::known::meant;
use super::vocabulary::{FACTS, Fact, Kind, Value, nearest_fact};
use crate::model::{Argument, Digest, Exceeded, Facts};

/// The words a text or a set may hold, where these are a closed list; empty where they are not.
pub const fn words(path: &str) -> &'static [&'static str] {
    match path.as_bytes() {
        b"intent.source" => &["header", "task", "none"],
        b"task.opened_by" => &["framework", "self", "nobody"],
        b"workload.kind" => &["token", "uid", "process"],
        b"labels" => &["untrusted", "private", "trusted"],
        b"baseline.unusual" | b"baseline.insufficient" => &["hour", "rate", "size", "step"],
        b"body" => &["whole", "unread", "none"],
        _ => &[],
    }
}

/// The fact with this path, such as `task.declared`.
pub fn fact(path: &str) -> Option<&'static Fact> {
    FACTS.iter().find(|fact| fact.path() == path)
}

/// Sets a fact. The error says what is wrong with the value, in words that go behind the fact's name.
pub fn put(facts: &mut Facts, path: &str, value: Value) -> Result<(), String> {
    let Some(fact) = fact(path) else {
        let near = nearest_fact(path).map(|near| format!("; did you mean `context.{near}`?"));
        return Err(format!("is no fact{}", near.unwrap_or_default()));
    };
    match (fact.kind, value) {
        (Kind::Bool, Value::Bool(truth)) => put_truth(facts, path, truth),
        (Kind::Long | Kind::MaybeLong, Value::Long(number)) => put_number(facts, path, number),
        (Kind::Text | Kind::MaybeText, Value::Text(text)) => put_text(facts, path, text),
        (Kind::Set, Value::Set(items)) => {
            items.iter().try_for_each(|item| check(path, item))?;
            put_set(facts, path, items.into_iter().collect())
        }
        (kind, value) => Err(format!("is a `{}`, and {value} is none", kind.name())),
    }
}

/// Takes away a fact that not every call has. False if there is no such fact.
pub fn remove(facts: &mut Facts, path: &str) -> bool {
    if let Some(name) = path.strip_prefix("args.") {
        facts.args.remove(name);
    } else if let Some(detector) = path.strip_prefix("baseline.").and_then(|name| name.strip_suffix("_p")) {
        facts.baseline.chances.remove(detector);
    } else if path == "task.on_behalf_of" {
        facts.task.on_behalf_of = None;
    } else {
        return false;
    }
    true
}

fn put_truth(facts: &mut Facts, path: &str, truth: bool) -> Result<(), String> {
    let place = match path {
        "intent.declared" => &mut facts.intent.declared,
        "intent.matches" => &mut facts.intent.matches,
        "intent.purpose_present" => &mut facts.intent.purpose_present,
        "task.present" => &mut facts.task.present,
        "task.declared" => &mut facts.task.declared,
        "task.overflow" => &mut facts.task.overflow,
        "task.alarmed" => &mut facts.task.alarmed,
        "agent.quarantined" => &mut facts.agent.quarantined,
        "agent.break_glass" => &mut facts.agent.break_glass,
        "baseline.ready" => &mut facts.baseline.ready,
        "baseline.novel_action" => &mut facts.baseline.novel_action,
        "baseline.novel_step" => &mut facts.baseline.novel_step,
        "baseline.novel_resource" => &mut facts.baseline.novel_resource,
        "baseline.novel_source" => &mut facts.baseline.novel_source,
        "baseline.novel_destination" => &mut facts.baseline.novel_destination,
        "baseline.odd_hour" => return Err("follows from `baseline.unusual`; set that".to_owned()),
        "approval.present" => return Err("follows from `approval.rules`; set that".to_owned()),
        _ => return Err("cannot be set".to_owned()),
    };
    *place = truth;
    Ok(())
}

fn put_number(facts: &mut Facts, path: &str, number: i64) -> Result<(), String> {
    let (place, within) = match path {
        "task.depth" => (&mut facts.task.depth, 0..=i64::MAX),
        "task.age_s" => (&mut facts.task.age_s, 0..=i64::MAX),
        "task.denials" => (&mut facts.task.denials, 0..=i64::MAX),
        "workload.strength" => (&mut facts.workload.strength, 0..=i64::MAX),
        "chain.calls" => (&mut facts.chain.calls, 0..=i64::MAX),
        "chain.repeats" => (&mut facts.chain.repeats, 0..=i64::MAX),
        "chain.concurrent" => (&mut facts.chain.concurrent, 0..=i64::MAX),
        "chain.fan_out" => (&mut facts.chain.fan_out, 0..=i64::MAX),
        "chain.privilege_s" => (&mut facts.chain.privilege_s, 0..=i64::MAX),
        "baseline.drift" => (&mut facts.baseline.drift, 0..=100),
        "baseline.hour_p" => (chance(facts, "hour"), 1..=10_000),
        "baseline.rate_p" => (chance(facts, "rate"), 1..=10_000),
        "baseline.size_p" => (chance(facts, "size"), 1..=10_000),
        "baseline.step_p" => (chance(facts, "step"), 1..=10_000),
        "time.hour" => (&mut facts.time.hour, 0..=23),
        "time.weekday" => (&mut facts.time.weekday, 1..=7),
        _ => return Err("cannot be set".to_owned()),
    };
    if !within.contains(&number) {
        return Err(format!("is never {number}"));
    }
    *place = number;
    Ok(())
}

fn chance<'a>(facts: &'a mut Facts, detector: &'static str) -> &'a mut i64 {
    facts.baseline.chances.entry(detector.into()).or_insert(10_000)
}

fn put_text(facts: &mut Facts, path: &str, text: String) -> Result<(), String> {
    check(path, &text)?;
    match path {
        "intent.source" => facts.intent.source = word(&text)?,
        "task.opened_by" => facts.task.opened_by = word(&text)?,
        "task.on_behalf_of" => facts.task.on_behalf_of = Some(text),
        "workload.kind" => facts.workload.kind = Cow::Owned(text),
        "body" => facts.body = Cow::Owned(text),
        _ => return Err("cannot be set".to_owned()),
    }
    Ok(())
}

fn put_set(facts: &mut Facts, path: &str, items: Vec<String>) -> Result<(), String> {
    match path {
        "labels" => facts.labels = items.iter().map(|item| word(item)).collect::<Result<_, _>>()?,
        "chain.actions" => facts.chain.actions = items.into_iter().map(Into::into).collect(),
        "limits" => {
            let reached = |name| (name, Exceeded { limit: 0, retry_after_ms: None });
            facts.limits = items.into_iter().map(reached).collect();
        }
        "baseline.unusual" => facts.baseline.unusual = items.into_iter().map(Into::into).collect(),
        "baseline.insufficient" => facts.baseline.insufficient = items.into_iter().map(Into::into).collect(),
        "values.critical" => facts.values.critical = named(items),
        // A sink that nobody stands behind is one of those that somebody must.
        "values.unattested" => {
            facts.values.critical.extend(named(items.clone()));
            facts.values.unattested = items.into_iter().map(|sink| (sink.into(), None)).collect();
        }
        "values.delegated" => facts.values.delegated = named(items),
        "values.quoted" => facts.values.quoted = named(items),
        "values.attested" => return Err("follows from `values.critical` and `values.unattested`; set those".to_owned()),
        // What the rule says now: the reader of a case cannot know a digest.
        "approval.rules" => {
            facts.approval.rules = items.into_iter().map(|rule| (rule, Digest([0; 32]))).collect();
        }
        _ => return Err("cannot be set".to_owned()),
    }
    Ok(())
}

fn named(items: Vec<String>) -> BTreeSet<Arc<str>> {
    items.into_iter().map(Into::into).collect()
}

fn check(path: &str, word: &str) -> Result<(), String> {
    let known = words(path);
    if known.is_empty() || known.contains(&word) {
        return Ok(());
    }
    Err(format!("is never `{word}`; there are `{}`{}", known.join("`, `"), meant(word, known.iter().copied())))
}

fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(Json::from(text)).map_err(|_| format!("is never `{text}`"))
}

impl Policies {
    /// Argument values out of JSON, in the types that the action's catalog gives them. The error names the argument.
    pub fn arguments<'a>(
        &self,
        action: &str,
        values: impl IntoIterator<Item = (&'a String, &'a Json)>,
    ) -> Result<BTreeMap<Arc<str>, Argument>, String> {
        let known = self.action(action).map(|shape| &shape.args);
        let mut arguments = BTreeMap::new();
        for (name, value) in values {
            let Some((name, kind)) = known.and_then(|args| args.get_key_value(name.as_str())) else {
                let names = known.into_iter().flat_map(|args| args.keys().map(AsRef::as_ref));
                return Err(format!("`args.{name}` is no argument of `{action}`{}", meant(name, names)));
            };
            let argument =
                argument(kind, value).ok_or_else(|| format!("`args.{name}` is a `{kind}`, and {value} is none"))?;
            arguments.insert(name.clone(), argument);
        }
        Ok(arguments)
    }
}

fn argument(kind: &str, value: &Json) -> Option<Argument> {
    match (kind, value) {
        ("Long", Json::Number(number)) => number.as_i64().map(Argument::Long),
        ("Bool", Json::Bool(truth)) => Some(Argument::Bool(*truth)),
        ("decimal", Json::String(text)) => {
            Context::from_pairs([(String::new(), RestrictedExpression::new_decimal(text))]).ok()?;
            Some(Argument::Decimal(text.clone()))
        }
        ("String", Json::String(text)) => Some(Argument::Text(text.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Something else than the usual, for every fact there is.
    fn other(fact: &Fact) -> Value {
        let path = fact.path();
        let word = words(&path).last().map_or("x", |word| word).to_owned();
        match fact.kind {
            Kind::Bool => Value::Bool((fact.read)(&Facts::usual()) != Some(Value::Bool(true))),
            Kind::Long | Kind::MaybeLong => Value::Long(5),
            Kind::Text | Kind::MaybeText => Value::Text(if path == "workload.kind" { "uid".to_owned() } else { word }),
            Kind::Set => Value::Set([word].into()),
        }
    }

    #[test]
    fn every_fact_can_be_set_and_reads_back() {
        let follows = ["approval.present", "values.attested", "baseline.odd_hour"];
        for fact in FACTS.iter().filter(|fact| !follows.contains(&fact.path().as_str())) {
            let (mut facts, value) = (Facts::usual(), other(fact));
            assert_ne!((fact.read)(&facts), Some(value.clone()), "{}", fact.path());
            put(&mut facts, &fact.path(), value.clone()).unwrap_or_else(|why| panic!("{} {why}", fact.path()));
            assert_eq!((fact.read)(&facts), Some(value), "{}", fact.path());
        }
    }

    #[test]
    fn what_a_fact_never_is_is_refused() {
        let mut facts = Facts::usual();
        let mut wrong = |path, value| put(&mut facts, path, value).unwrap_err();
        assert_eq!(wrong("task.delcared", Value::Bool(true)), "is no fact; did you mean `context.task.declared`?");
        assert_eq!(wrong("time.hour", Value::Long(24)), "is never 24");
        assert_eq!(wrong("time.hour", Value::Bool(true)), "is a `Long`, and true is none");
        assert_eq!(
            wrong("labels", Value::Set(["untrustd".to_owned()].into())),
            "is never `untrustd`; there are `untrusted`, `private`, `trusted`; did you mean `untrusted`?"
        );
        assert_eq!(facts, Facts::usual());
    }
}
