//! The part of the facts that some rules can see: as a key to remember a verdict by, and as Cedar's context.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Context, RestrictedExpression};

use super::Question;
use super::mention::Mentions;
use super::vocabulary::{FACTS, Value};
use crate::model::Facts;

/// What the rules of one index entry can see of a call, read once.
pub struct View {
    facts: Vec<(usize, Option<Value>)>,
    args: Vec<(String, Value)>,
    resource: Option<String>,
}

impl View {
    /// Reads what is mentioned, in the table's order.
    pub fn new(mentions: &Mentions, question: &Question<'_>, facts: &Facts) -> Self {
        let read = |index: &usize| FACTS.get(*index).map(|fact| (*index, (fact.read)(facts)));
        let wanted = |name: &str| mentions.args.as_ref().is_none_or(|args| args.contains(name));
        Self {
            facts: mentions.facts.iter().filter_map(read).collect(),
            args: facts
                .args
                .iter()
                .filter(|(name, _)| wanted(name))
                .map(|(name, value)| (name.to_string(), value.into()))
                .collect(),
            resource: mentions.resource.then(|| question.resource.to_owned()),
        }
    }

    /// Bytes that are the same exactly if everything in the view is: each part says its kind and its length.
    pub fn key(&self) -> Box<[u8]> {
        let mut key = Vec::with_capacity(64);
        for (index, value) in &self.facts {
            key.extend_from_slice(&(*index as u64).to_le_bytes());
            value_key(value.as_ref(), &mut key);
        }
        for (name, value) in &self.args {
            text_key(b'a', name, &mut key);
            value_key(Some(value), &mut key);
        }
        if let Some(resource) = &self.resource {
            text_key(b'r', resource, &mut key);
        }
        key.into()
    }

    /// The same as Cedar reads it. The error is Cedar's, for a decimal it does not take.
    pub fn context(&self) -> Result<Context, String> {
        let mut groups: BTreeMap<&str, Vec<(String, RestrictedExpression)>> = BTreeMap::new();
        let mut pairs: Vec<(String, RestrictedExpression)> = Vec::new();
        for (index, value) in &self.facts {
            let Some(fact) = FACTS.get(*index) else { continue };
            let members = match fact.group {
                "" => &mut pairs,
                // There even if this fact is not: `context.task has on_behalf_of` asks the record, which must be one.
                group => groups.entry(group).or_default(),
            };
            members.extend(value.as_ref().map(|value| (fact.name.to_owned(), expression(value))));
        }
        groups.insert("args", self.args.iter().map(|(name, value)| (name.clone(), expression(value))).collect());
        for (group, members) in groups {
            let record = RestrictedExpression::new_record(members).map_err(|error| error.to_string())?;
            pairs.push((group.to_owned(), record));
        }
        Context::from_pairs(pairs).map_err(|error| error.to_string())
    }
}

fn expression(value: &Value) -> RestrictedExpression {
    match value {
        Value::Bool(truth) => RestrictedExpression::new_bool(*truth),
        Value::Long(number) => RestrictedExpression::new_long(*number),
        Value::Text(text) => RestrictedExpression::new_string(text.clone()),
        Value::Decimal(text) => RestrictedExpression::new_decimal(text),
        Value::Set(items) => RestrictedExpression::new_set(items.iter().cloned().map(RestrictedExpression::new_string)),
    }
}

fn value_key(value: Option<&Value>, key: &mut Vec<u8>) {
    match value {
        None => key.push(b'-'),
        Some(Value::Bool(truth)) => key.push(if *truth { b'1' } else { b'0' }),
        Some(Value::Long(number)) => {
            key.push(b'l');
            key.extend_from_slice(&number.to_le_bytes());
        }
        Some(Value::Text(text)) => text_key(b't', text, key),
        Some(Value::Decimal(text)) => text_key(b'd', text, key),
        Some(Value::Set(items)) => set_key(items, key),
    }
}

fn text_key(kind: u8, text: &str, key: &mut Vec<u8>) {
    key.push(kind);
    key.extend_from_slice(&(text.len() as u64).to_le_bytes());
    key.extend_from_slice(text.as_bytes());
}

fn set_key(items: &BTreeSet<String>, key: &mut Vec<u8>) {
    key.push(b's');
    key.extend_from_slice(&(items.len() as u64).to_le_bytes());
    for item in items {
        text_key(b't', item, key);
    }
}
