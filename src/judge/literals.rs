//! The values that a policy compares facts with, read off its syntax tree.

use std::collections::BTreeSet;

use cedar_policy::Policy;
use serde_json::Value as Json;

use super::mention::rooted;
use super::vocabulary::Value;

/// A fact's path behind `context.`, and a value that some rule compares it with.
pub type Compared = BTreeSet<(String, Literal)>;

/// A value as it stands in a policy.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Literal {
    /// A number.
    Long(i64),
    /// A text, be it compared whole or looked for in a set.
    Text(String),
    /// A decimal.
    Decimal(String),
}

impl From<&Literal> for Value {
    fn from(literal: &Literal) -> Self {
        match literal {
            Literal::Long(number) => Self::Long(*number),
            Literal::Text(text) => Self::Text(text.clone()),
            Literal::Decimal(text) => Self::Decimal(text.clone()),
        }
    }
}

/// What the conditions of a policy compare with what.
pub fn compared(policy: &Policy) -> Compared {
    let mut found = Compared::new();
    if let Some(conditions) = policy.to_json().ok().as_ref().and_then(|tree| tree.get("conditions")?.as_array()) {
        conditions.iter().filter_map(|condition| condition.get("body")).for_each(|body| walk(body, &mut found));
    }
    found
}

/// Each comparison by itself: below `&&`, `||`, `!` and `if`, whatever stands together is compared.
fn walk(node: &Json, found: &mut Compared) {
    let Some((operator, operands)) = node.as_object().and_then(|node| node.iter().next()) else { return };
    if ["&&", "||", "!", "if-then-else"].contains(&operator.as_str()) {
        operands.as_object().into_iter().flat_map(|parts| parts.values()).for_each(|part| walk(part, found));
        return;
    }
    let (mut paths, mut literals) = (BTreeSet::new(), BTreeSet::new());
    gather(node, &mut paths, &mut literals);
    for path in paths {
        found.extend(literals.iter().map(|literal| (path.clone(), literal.clone())));
    }
}

fn gather(node: &Json, paths: &mut BTreeSet<String>, literals: &mut BTreeSet<Literal>) {
    match node {
        Json::Object(parts) => {
            for (operator, operands) in parts {
                match (operator.as_str(), operands) {
                    (".", _) => {
                        let mut path = Vec::new();
                        if rooted(operands, &mut path) == Some("context") {
                            paths.insert(path.join("."));
                        } else {
                            gather(operands, paths, literals);
                        }
                    }
                    ("Value", Json::Number(number)) => literals.extend(number.as_i64().map(Literal::Long)),
                    ("Value", Json::String(text)) => {
                        literals.insert(Literal::Text(text.clone()));
                    }
                    ("decimal", arguments) => {
                        let text = arguments.pointer("/0/Value").and_then(Json::as_str);
                        literals.extend(text.map(|text| Literal::Decimal(text.to_owned())));
                    }
                    _ => gather(operands, paths, literals),
                }
            }
        }
        Json::Array(items) => items.iter().for_each(|item| gather(item, paths, literals)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_found_with_what_they_are_compared_with() {
        let text = r#"permit(principal, action, resource) when {
            (context.time.hour < 7 || context.time.hour >= 19) && context.labels.containsAny(["private", "untrusted"])
            && !(context.args has amount && context.args.amount.lessThan(decimal("3.50"))) && context.body == "whole" };"#;
        let found = compared(&Policy::parse(None, text).unwrap());
        let told: Vec<String> =
            found.iter().map(|(path, literal)| format!("{path} {}", Value::from(literal))).collect();
        assert_eq!(
            told,
            [
                "args.amount decimal(\"3.50\")",
                "body \"whole\"",
                "labels \"private\"",
                "labels \"untrusted\"",
                "time.hour 7",
                "time.hour 19"
            ]
        );
    }
}
