//! What a verdict must be: every rule, every fact, every entity, Cedar's own authorizer.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Entities, Entity, EntityUid, Policy, PolicyId, PolicySet,
    Request, Response, RestrictedExpression, Schema,
};
use countersign::judge::vocabulary::{FACTS, Value};
use countersign::judge::{Policies, Source};
use countersign::model::{Code, Decision as Kind, Digest, Facts, Finding};

use super::written::{AGENTS, Asked, RESOURCES, Rule, actions, agents};

/// Loads rules as files, one a slice.
pub fn load(files: &[&[Rule]]) -> Policies {
    let texts: Vec<String> = files.iter().map(|rules| rules.iter().map(Rule::text).collect()).collect();
    let sources: Vec<Source> = texts
        .iter()
        .enumerate()
        .map(|(place, text)| Source { name: format!("{place}.cedar"), text: text.clone() })
        .collect();
    match Policies::load(&sources, &agents(), &actions(), Digest([7; 32])) {
        Ok(policies) => policies,
        Err(error) => panic!("{error}\n{}", texts.concat()),
    }
}

/// What was decided, or is to be.
#[derive(Debug, Eq, PartialEq)]
pub struct Told {
    pub rules: Vec<String>,
    pub findings: Vec<Finding>,
    pub ttl: Duration,
}

/// What these policies decide.
pub fn told(policies: &Policies, asked: &Asked) -> Told {
    let outcome = policies.decide(&asked.call(), &asked.facts);
    Told { rules: outcome.rules.to_vec(), findings: outcome.findings.to_vec(), ttl: outcome.ttl }
}

/// All rules, unindexed.
pub struct Yardstick<'a> {
    rules: BTreeMap<&'a str, &'a Rule>,
    all: PolicySet,
    permits: PolicySet,
    schema: Schema,
    world: Entities,
}

impl<'a> Yardstick<'a> {
    pub fn new(rules: &'a [Rule], schema: &str) -> Self {
        let set = |kept: &dyn Fn(&&Rule) -> bool| {
            let parsed = rules
                .iter()
                .filter(kept)
                .map(|rule| Policy::parse(Some(PolicyId::new(&rule.id)), rule.text()).unwrap());
            PolicySet::from_policies(parsed).unwrap()
        };
        let schema: Schema = schema.parse().unwrap();
        Self {
            rules: rules.iter().map(|rule| (rule.id.as_str(), rule)).collect(),
            all: set(&|_| true),
            permits: set(&|rule| rule.permits),
            world: world(&schema),
            schema,
        }
    }

    /// What must come out, to the letter.
    pub fn outcome(&self, asked: &Asked) -> Told {
        let (tool, _) = asked.action.split_once('/').unwrap();
        let resource = uid("Resource", &format!("{tool}/{}", asked.resource));
        let (principal, action) = (uid("Agent", asked.agent), uid("Action", asked.action));
        // With the schema: facts that are not of the types that policies were checked against are an error here.
        let request = Request::new(principal, action, resource, context(&asked.facts), Some(&self.schema)).unwrap();
        let answer = |set: &PolicySet| Authorizer::new().is_authorized(&request, set, &self.world);
        let response = answer(&self.all);
        let errors = errors(&response);
        if !errors.is_empty() {
            let reason = || Some("the rule could not be evaluated".to_owned());
            return no(errors.into_iter().map(|rule| Finding { rule, code: Code::Denied, reason: reason() }).collect());
        }
        let ids: BTreeSet<String> = response.diagnostics().reason().map(ToString::to_string).collect();
        let rules = || ids.iter().map(|id| self.rules[id.as_str()]);
        if response.decision() == Decision::Allow {
            let seconds = rules().filter_map(|rule| rule.ttl).min().unwrap_or(60);
            return Told { rules: ids.into_iter().collect(), findings: Vec::new(), ttl: Duration::from_secs(seconds) };
        }
        let mut findings: Vec<Finding> = rules()
            .map(|rule| Finding {
                rule: rule.id.clone(),
                code: rule.code.map_or(Code::Denied, |code| Code::from_name(code).unwrap()),
                reason: rule.reason.map(str::to_owned),
            })
            .collect();
        let waiting_might_help = findings.iter().all(|finding| finding.code.decision() == Kind::Throttle);
        if waiting_might_help && answer(&self.permits).decision() == Decision::Deny {
            let reason = Some("no rule permits this".to_owned());
            findings.push(Finding { rule: "default".to_owned(), code: Code::Denied, reason });
        }
        no(findings)
    }
}

fn errors(response: &Response) -> BTreeSet<String> {
    let id = |error: &AuthorizationError| match error {
        AuthorizationError::PolicyEvaluationError(error) => error.policy_id().to_string(),
    };
    response.diagnostics().errors().map(id).collect()
}

fn no(findings: Vec<Finding>) -> Told {
    Told { rules: findings.iter().map(|finding| finding.rule.clone()).collect(), findings, ttl: Duration::ZERO }
}

fn uid(kind: &str, id: &str) -> EntityUid {
    format!("{kind}::\"{id}\"").parse().unwrap()
}

/// Every agent, group, tool, resource and action there is.
fn world(schema: &Schema) -> Entities {
    let mut entities = Vec::new();
    for group in ["support", "staff", "nobody"] {
        entities.push(Entity::new_no_attrs(uid("Group", group), HashSet::new()));
    }
    for (agent, groups, _) in AGENTS {
        entities
            .push(Entity::new_no_attrs(uid("Agent", agent), groups.iter().map(|group| uid("Group", group)).collect()));
    }
    for tool in ["github", "git", "chat", "ledger"] {
        entities.push(Entity::new_no_attrs(uid("Tool", tool), HashSet::new()));
        for resource in RESOURCES {
            entities.push(Entity::new_no_attrs(
                uid("Resource", &format!("{tool}/{resource}")),
                HashSet::from([uid("Tool", tool)]),
            ));
        }
    }
    schema.action_entities().unwrap().add_entities(entities, None).unwrap()
}

/// Every fact, each in its place.
fn context(facts: &Facts) -> Context {
    let mut records: BTreeMap<&str, BTreeMap<String, RestrictedExpression>> =
        BTreeMap::from([("args", BTreeMap::new())]);
    for fact in &FACTS {
        let record = records.entry(fact.group).or_default();
        if let Some(value) = (fact.read)(facts) {
            record.insert(fact.name.to_owned(), expression(value));
        }
    }
    for (name, value) in &facts.args {
        records.get_mut("args").unwrap().insert(name.to_string(), expression(value.into()));
    }
    let mut pairs: BTreeMap<String, RestrictedExpression> = records.remove("").unwrap_or_default();
    for (group, record) in records {
        pairs.insert(group.to_owned(), RestrictedExpression::new_record(record).unwrap());
    }
    Context::from_pairs(pairs).unwrap()
}

fn expression(value: Value) -> RestrictedExpression {
    match value {
        Value::Bool(truth) => RestrictedExpression::new_bool(truth),
        Value::Long(number) => RestrictedExpression::new_long(number),
        Value::Text(text) => RestrictedExpression::new_string(text),
        Value::Decimal(text) => RestrictedExpression::new_decimal(text),
        Value::Set(items) => RestrictedExpression::new_set(items.into_iter().map(RestrictedExpression::new_string)),
    }
}
