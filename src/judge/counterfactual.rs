//! What would have to be otherwise for the verdict to be another: found by deciding again, not by reasoning.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::literals::{Compared, Literal, compared};
use super::vary::{fact, put, remove, words};
use super::vocabulary::{FACTS, Value};
use super::{Policies, Question, Settled};
use crate::model::{Argument, Decision, Facts, Mode};

/// Changes that are made at a time, at most.
const MOST: usize = 3;

/// Verdicts that are reached on the way, at most.
const PATIENCE: usize = 40_000;

/// Answers that are given, at most.
const ENOUGH: usize = 3;

/// One fact, other than it is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Step {
    /// It has another value, or one at all.
    Put(String, Option<Value>, Value),
    /// It is not there.
    Absent(String, Value),
    /// The set holds this, too.
    With(String, String),
    /// The set does not hold this.
    Without(String, String),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put(path, Some(from), to) => write!(f, "context.{path} is {to}, not {from}"),
            Self::Put(path, None, to) => write!(f, "context.{path} is {to}, not absent"),
            Self::Absent(path, from) => write!(f, "context.{path} is absent, not {from}"),
            Self::With(path, item) => write!(f, "context.{path} holds {item:?}"),
            Self::Without(path, item) => write!(f, "context.{path} does not hold {item:?}"),
        }
    }
}

/// The smallest changes that turn a yes into a no, or a no into a yes.
#[derive(Debug)]
pub struct Counterfactuals {
    /// Each some changes that do it together, and the verdict then. All have the same size: nothing smaller does it.
    pub found: Vec<(Vec<Step>, Settled)>,
    /// Whether everything up to the size of what was found, or up to three changes, was tried.
    pub exhausted: bool,
}

/// Looks for them, one change before two before three. The values tried are those that the rules compare with, both sides
/// of each bound, and the words a fact may be.
pub fn counterfactuals(policies: &Policies, question: &Question<'_>, facts: &Facts) -> Counterfactuals {
    let yes = |facts: &Facts| policies.settle(question, facts, Mode::Enforce);
    let was = yes(facts).decision() == Decision::Allow;
    let steps = steps(policies, question, facts);
    let (mut found, mut tried) = (Vec::new(), 0);
    for size in 1..=MOST {
        let mut chosen: Vec<usize> = (0..size).collect();
        while chosen.last().is_some_and(|last| *last < steps.len()) {
            let changes: Vec<&Step> = chosen.iter().filter_map(|place| steps.get(*place)).collect();
            if apart(&changes) {
                tried += 1;
                let mut changed = facts.clone();
                if changes.iter().all(|step| step.make(&mut changed)) {
                    let settled = yes(&changed);
                    if (settled.decision() == Decision::Allow) != was {
                        found.push((changes.into_iter().cloned().collect(), settled));
                    }
                }
            }
            if found.len() >= ENOUGH || tried >= PATIENCE {
                return Counterfactuals { exhausted: tried < PATIENCE || !found.is_empty(), found };
            }
            advance(&mut chosen, steps.len());
        }
        if !found.is_empty() {
            break;
        }
    }
    Counterfactuals { found, exhausted: true }
}

/// The next choice of as many places; past the last one, none of them is a place.
fn advance(chosen: &mut [usize], of: usize) {
    let size = chosen.len();
    for turn in (0..size).rev() {
        let most = of.saturating_sub(size - turn);
        let Some(place) = chosen.get_mut(turn) else { return };
        if *place < most {
            *place += 1;
            let first = *place;
            for (further, place) in chosen.iter_mut().skip(turn + 1).enumerate() {
                *place = first + further + 1;
            }
            return;
        }
    }
    if let Some(last) = chosen.last_mut() {
        *last = of;
    }
}

/// No fact is given two values. A set may well gain and lose several things.
fn apart(changes: &[&Step]) -> bool {
    let mut paths = BTreeSet::new();
    changes.iter().all(|step| match step {
        Step::Put(path, ..) | Step::Absent(path, _) => paths.insert(path),
        Step::With(..) | Step::Without(..) => true,
    })
}

impl Step {
    /// Makes the change. False if the fact can never be so.
    fn make(&self, facts: &mut Facts) -> bool {
        match self {
            Self::Put(path, _, to) => match path.strip_prefix("args.") {
                Some(name) => argument(to).map(|value| facts.args.insert(Arc::from(name), value)).is_some(),
                None => put(facts, path, to.clone()).is_ok(),
            },
            Self::Absent(path, _) => remove(facts, path),
            Self::With(path, item) => change_set(facts, path, |items| items.insert(item.clone())),
            Self::Without(path, item) => change_set(facts, path, |items| items.remove(item)),
        }
    }
}

fn change_set(facts: &mut Facts, path: &str, change: impl FnOnce(&mut BTreeSet<String>) -> bool) -> bool {
    let Some(Value::Set(mut items)) = fact(path).and_then(|fact| (fact.read)(facts)) else { return false };
    change(&mut items) && put(facts, path, Value::Set(items)).is_ok()
}

fn argument(value: &Value) -> Option<Argument> {
    match value {
        Value::Bool(truth) => Some(Argument::Bool(*truth)),
        Value::Long(number) => Some(Argument::Long(*number)),
        Value::Text(text) => Some(Argument::Text(text.clone())),
        Value::Decimal(text) => Some(Argument::Decimal(text.clone())),
        Value::Set(_) => None,
    }
}

/// Every change worth trying: of facts that the rules which could hold can see.
fn steps(policies: &Policies, question: &Question<'_>, facts: &Facts) -> Vec<Step> {
    let rules = policies.weigh(question, facts).unwrap_or_default();
    let literals: Compared = rules.iter().flat_map(|weighed| compared(&weighed.rule.policy)).collect();
    let with = |path: &str| {
        let of = path.to_owned();
        literals.iter().filter(move |(compared, _)| *compared == of).map(|(_, literal)| literal)
    };
    let seen: BTreeSet<usize> = rules.iter().flat_map(|weighed| &weighed.rule.mentions.facts).copied().collect();
    let mut steps = Vec::new();
    for fact in seen.iter().filter_map(|place| FACTS.get(*place)) {
        let (path, value) = (fact.path(), (fact.read)(facts));
        if let Some(Value::Set(items)) = &value {
            let asking = rules.iter().filter(|it| path == "approval.rules" && it.rule.ask.is_some());
            let texts = with(&path).filter_map(text).chain(asking.map(|it| it.rule.id.clone()));
            let texts: BTreeSet<String> = texts.collect();
            steps.extend(items.iter().map(|item| Step::Without(path.clone(), item.clone())));
            steps.extend(texts.difference(items).map(|item| Step::With(path.clone(), item.clone())));
            continue;
        }
        let known = words(&path).iter().map(|word| Value::Text((*word).to_owned()));
        let flipped = matches!(&value, Some(Value::Bool(_))).then(|| value == Some(Value::Bool(false)));
        let tried = known.chain(flipped.map(Value::Bool)).chain(with(&path).flat_map(around));
        steps.extend(puts(&path, value.as_ref(), tried));
        if fact.kind.is_optional() {
            steps.extend(value.map(|value| Step::Absent(path, value)));
        }
    }
    steps.extend(of_arguments(policies, question, facts, &literals));
    steps
}

fn of_arguments(policies: &Policies, question: &Question<'_>, facts: &Facts, literals: &Compared) -> Vec<Step> {
    let mut steps = Vec::new();
    let shape = policies.action(question.action).map(|action| &action.args);
    for (name, kind) in shape.into_iter().flatten() {
        let path = format!("args.{name}");
        let value = facts.args.get(name).map(Value::from);
        let literals = literals.iter().filter(|(compared, _)| *compared == path).flat_map(|(_, it)| around(it));
        let flips = (*kind == "Bool").then_some([Value::Bool(true), Value::Bool(false)]).into_iter().flatten();
        let fits = |value: &Value| match value {
            Value::Bool(_) => *kind == "Bool",
            Value::Long(_) => *kind == "Long",
            Value::Text(_) => *kind == "String",
            Value::Decimal(_) => *kind == "decimal",
            Value::Set(_) => false,
        };
        steps.extend(puts(&path, value.as_ref(), literals.chain(flips).filter(fits)));
        steps.extend(value.map(|value| Step::Absent(path, value)));
    }
    steps
}

fn puts(path: &str, from: Option<&Value>, to: impl Iterator<Item = Value>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for to in to.filter(|to| Some(to) != from) {
        let step = Step::Put(path.to_owned(), from.cloned(), to);
        if !steps.contains(&step) {
            steps.push(step);
        }
    }
    steps
}

/// A value, and of a number those beside it.
fn around(literal: &Literal) -> Vec<Value> {
    match literal {
        Literal::Long(number) => [Some(*number), number.checked_sub(1), number.checked_add(1)]
            .into_iter()
            .flatten()
            .map(Value::Long)
            .collect(),
        Literal::Text(_) => vec![literal.into()],
        Literal::Decimal(text) => beside(text).into_iter().map(Value::Decimal).collect(),
    }
}

/// A decimal, and the nearest ones: Cedar's have four digits behind the point.
fn beside(text: &str) -> Vec<String> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let number = format!("{whole}{part:0<4}").parse::<i64>().ok();
    let nearest = number.into_iter().flat_map(|number| [number.checked_sub(1), number.checked_add(1)]).flatten();
    let told = nearest.map(|number| {
        let sign = if number < 0 { "-" } else { "" };
        let digits = number.unsigned_abs();
        format!("{sign}{}.{:04}", digits / 10_000, digits % 10_000)
    });
    std::iter::once(text.to_owned()).chain(told).collect()
}

fn text(literal: &Literal) -> Option<String> {
    match literal {
        Literal::Text(text) => Some(text.clone()),
        Literal::Long(_) | Literal::Decimal(_) => None,
    }
}
