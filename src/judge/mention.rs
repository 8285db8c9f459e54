//! Which facts a policy can see: read off its own syntax tree. What is not understood counts as everything.

use std::collections::BTreeSet;

use cedar_policy::Policy;
use serde_json::Value as Json;

use super::vocabulary::FACTS;

/// What the conditions of policies mention. A fact that is not in here cannot change their result.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Mentions {
    /// Places in the table of facts.
    pub facts: BTreeSet<usize>,
    /// Argument names; `None` stands for all of them.
    pub args: Option<BTreeSet<String>>,
    /// The resource itself, and not only its tool.
    pub resource: bool,
}

impl Mentions {
    /// Nothing yet.
    pub fn none() -> Self {
        Self { facts: BTreeSet::new(), args: Some(BTreeSet::new()), resource: false }
    }

    /// Everything there is.
    pub fn all() -> Self {
        Self { facts: (0..FACTS.len()).collect(), args: None, resource: true }
    }

    /// What either of the two mentions.
    pub fn merge(&mut self, other: &Self) {
        self.facts.extend(&other.facts);
        self.resource |= other.resource;
        self.args = match (self.args.take(), &other.args) {
            (Some(mut mine), Some(theirs)) => {
                mine.extend(theirs.iter().cloned());
                Some(mine)
            }
            (None, _) | (_, None) => None,
        };
    }

    /// The rules that were agreed to: what every rule that asks can see.
    pub fn approval(&mut self) {
        self.path(&["approval", "rules"]);
    }

    fn path(&mut self, path: &[&str]) {
        match path {
            ["args"] => self.args = None,
            ["args", name, ..] => {
                if let Some(args) = &mut self.args {
                    args.insert((*name).to_owned());
                }
            }
            [group] => self.facts.extend(places(|g, n| if g.is_empty() { n == *group } else { g == *group })),
            [group, name, ..] => {
                self.facts.extend(places(|g, n| (g == *group && n == *name) || (g.is_empty() && n == *group)));
            }
            [] => *self = Self::all(),
        }
    }
}

fn places(wanted: impl Fn(&str, &str) -> bool) -> impl Iterator<Item = usize> {
    FACTS.iter().enumerate().filter(move |(_, fact)| wanted(fact.group, fact.name)).map(|(index, _)| index)
}

/// What the conditions of `policy` mention. Its scope is the index's business.
pub fn mentions(policy: &Policy) -> Mentions {
    let mut found = Mentions::none();
    let understood = policy.to_json().ok().and_then(|tree| {
        tree.get("conditions")?.as_array()?.iter().try_for_each(|condition| walk(condition.get("body")?, &mut found))
    });
    if understood.is_some() { found } else { Mentions::all() }
}

/// Operators whose operands are `left` and `right`, or `arg`, or a list, or named parts: descending is enough.
const PLAIN: [&str; 27] = [
    "!",
    "neg",
    "==",
    "!=",
    "in",
    "<",
    "<=",
    ">",
    ">=",
    "&&",
    "||",
    "+",
    "-",
    "*",
    "contains",
    "containsAll",
    "containsAny",
    "isEmpty",
    "if-then-else",
    "Set",
    "like",
    "is",
    "decimal",
    "ip",
    "lessThan",
    "lessThanOrEqual",
    "greaterThan",
];

/// `None`: something was not understood.
fn walk(node: &Json, found: &mut Mentions) -> Option<()> {
    let node = node.as_object()?;
    let mut members = node.iter();
    let (operator, operands) = members.next()?;
    if members.next().is_some() {
        return None;
    }
    match operator.as_str() {
        "Value" => Some(()),
        "Var" => match operands.as_str()? {
            "principal" | "action" => Some(()),
            "resource" => {
                found.resource = true;
                Some(())
            }
            _ => None,
        },
        "." | "has" => {
            let mut path = Vec::new();
            match rooted(operands, &mut path) {
                Some("context") => {
                    found.path(&path);
                    Some(())
                }
                Some("resource") => {
                    found.resource = true;
                    Some(())
                }
                Some("principal" | "action") => Some(()),
                Some(_) | None => walk(operands.get("left")?, found),
            }
        }
        "Record" => operands.as_object()?.values().try_for_each(|value| walk(value, found)),
        plain if PLAIN.contains(&plain) => descend(operands, found),
        _ => None,
    }
}

fn descend(operands: &Json, found: &mut Mentions) -> Option<()> {
    match operands {
        Json::Array(items) => items.iter().try_for_each(|item| walk(item, found)),
        Json::Object(parts) => parts.iter().try_for_each(|(name, part)| match name.as_str() {
            "left" | "right" | "arg" | "if" | "then" | "else" | "in" => walk(part, found),
            "pattern" | "entity_type" => Some(()),
            _ => None,
        }),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => None,
    }
}

/// `context.task.age_s` → `["task", "age_s"]` and `context`.
pub fn rooted<'a>(operands: &'a Json, path: &mut Vec<&'a str>) -> Option<&'a str> {
    let attribute = operands.get("attr")?.as_str()?;
    let left = operands.get("left")?.as_object()?;
    let (operator, inner) = left.iter().next()?;
    let root = match operator.as_str() {
        "Var" => inner.as_str(),
        "." => rooted(inner, path),
        _ => None,
    }?;
    path.push(attribute);
    Some(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(condition: &str) -> Mentions {
        mentions(&Policy::parse(None, format!("permit(principal, action, resource) when {{ {condition} }};")).unwrap())
    }

    fn names(mentions: &Mentions) -> Vec<String> {
        mentions.facts.iter().map(|index| format!("{}.{}", FACTS[*index].group, FACTS[*index].name)).collect()
    }

    #[test]
    fn only_what_stands_there_is_mentioned() {
        let found = of(
            r#"context.task.declared && context.labels.contains("private") || !(context.args has amount && context.args.amount.lessThan(decimal("3.0")))"#,
        );
        assert_eq!(names(&found), ["task.declared", ".labels"]);
        assert_eq!(found.args, Some(BTreeSet::from(["amount".to_owned()])));
        assert!(!found.resource);
        assert_eq!(of("true"), Mentions::none());
        assert_eq!(names(&of("context has task")).len(), 9);
        assert_eq!(names(&of("context.time == {hour: 1, weekday: 2}")).len(), 2);
        assert_eq!(
            names(&of(r#"if context.body like "w*" then principal is Agent else [1].contains(context.chain.calls)"#)),
            ["chain.calls", ".body"]
        );
        assert!(of(r#"resource == Resource::"x""#).resource);
        assert_eq!(of("context.args == {}").args, None);
    }

    #[test]
    fn what_is_not_understood_counts_as_everything() {
        assert_eq!(of("context == {}"), Mentions::all());
        assert_eq!(of("{a: context}.a has b"), Mentions::all());
        assert_eq!(of(r#"ip("127.0.0.1").isLoopback()"#), Mentions::all());
    }

    #[test]
    fn a_record_member_named_like_an_operator_is_no_operator() {
        assert_eq!(names(&of(r#"{"Var": context.body}["Var"] == "whole""#)), [".body"]);
    }
}
