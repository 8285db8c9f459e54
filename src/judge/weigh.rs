//! Each rule by itself: whether it holds, and which facts it read.

use cedar_policy::{AuthorizationError, Authorizer, Entities, PolicySet, Request, ResourceConstraint};

use super::Question;
use super::policy::Rule;
use super::vocabulary::{FACTS, Value};
use crate::model::Facts;

/// A rule, weighed.
#[derive(Clone, Debug)]
pub struct Weighed<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// Whether it holds.
    pub held: Held,
    /// What its conditions read, as `context.task.declared`, in the table's order; nothing where the call has no such fact.
    pub reads: Vec<(String, Option<Value>)>,
}

/// Whether a rule holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Held {
    /// It does.
    Yes,
    /// It does not.
    No,
    /// It cannot be evaluated, which is a no.
    Erred(String),
}

impl<'a> Weighed<'a> {
    pub(super) fn of(
        rule: &'a Rule,
        question: &Question<'_>,
        facts: &Facts,
        (request, entities): (&Request, &Entities),
    ) -> Result<Self, String> {
        let alone = PolicySet::from_policies([rule.policy.clone()]).map_err(|error| error.to_string())?;
        let response = Authorizer::new().is_authorized(request, &alone, entities);
        let mut errors = response.diagnostics().errors().map(|error| match error {
            AuthorizationError::PolicyEvaluationError(error) => error.inner().to_string(),
        });
        let held = match errors.next() {
            Some(error) => Held::Erred(error),
            None if response.diagnostics().reason().next().is_some() => Held::Yes,
            None => Held::No,
        };
        Ok(Self { rule, held, reads: reads(rule, question, facts) })
    }
}

/// What a rule can see of a call.
fn reads(rule: &Rule, question: &Question<'_>, facts: &Facts) -> Vec<(String, Option<Value>)> {
    let mentions = &rule.mentions;
    let seen = mentions.facts.iter().filter_map(|place| FACTS.get(*place));
    let mut reads: Vec<(String, Option<Value>)> =
        seen.map(|fact| (format!("context.{}", fact.path()), (fact.read)(facts))).collect();
    let argument = |name: &str| (format!("context.args.{name}"), facts.args.get(name).map(Value::from));
    match &mentions.args {
        Some(args) => reads.extend(args.iter().map(|name| argument(name))),
        None => reads.extend(facts.args.keys().map(|name| argument(name))),
    }
    if mentions.resource || !matches!(rule.policy.resource_constraint(), ResourceConstraint::Any) {
        reads.push(("resource".to_owned(), Some(Value::Text(question.resource.to_owned()))));
    }
    reads
}
