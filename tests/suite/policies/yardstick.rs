//! What a verdict must be: every rule, every fact, every entity, Cedar's own authorizer.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Entities, Entity, EntityUid, Policy, PolicyId, PolicySet,
    Request, Response, RestrictedExpression, Schema,
};
use countersign::judge::vocabulary::{FACTS, Value};
use countersign::judge::{Policies, Question, Source};
use countersign::model::{Ask, Code, Decision as Kind, Digest, Facts, Finding, Would};

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
    /// What it would be, with the rules in shadow.
    pub would: Option<Would>,
}

/// What these policies decide.
pub fn told(policies: &Policies, asked: &Asked) -> Told {
    let outcome = policies.decide(&Question::of(&asked.call()), &asked.facts);
    Told {
        rules: outcome.rules.to_vec(),
        findings: outcome.findings.to_vec(),
        ttl: outcome.ttl,
        would: outcome.would.clone(),
    }
}

/// All rules, unindexed.
pub struct Yardstick<'a> {
    rules: BTreeMap<&'a str, &'a Rule>,
    /// Without the rules in shadow, and with them: all, and those that permit.
    sets: [(PolicySet, PolicySet); 2],
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
            sets: [false, true].map(|shadow| {
                let counts = |rule: &&Rule| shadow || !rule.shadow;
                (set(&counts), set(&|rule| counts(rule) && rule.permits))
            }),
            world: world(&schema),
            schema,
        }
    }

    /// What must come out, to the letter.
    pub fn outcome(&self, asked: &Asked) -> Told {
        let [decided, shadow] = self.sets.each_ref().map(|sets| self.under(sets, asked));
        let would =
            (verdict(&shadow) != verdict(&decided)).then(|| Would { decision: verdict(&shadow), rules: shadow.rules });
        Told { would, ..decided }
    }

    fn under(&self, (all, permits): &(PolicySet, PolicySet), asked: &Asked) -> Told {
        let (tool, _) = asked.action.split_once('/').unwrap();
        let resource = uid("Resource", &format!("{tool}/{}", asked.resource));
        let (principal, action) = (uid("Agent", asked.agent), uid("Action", asked.action));
        // With the schema: facts that are not of the types that policies were checked against are an error here.
        let request = Request::new(principal, action, resource, context(&asked.facts), Some(&self.schema)).unwrap();
        let answer = |set: &PolicySet| Authorizer::new().is_authorized(&request, set, &self.world);
        let response = answer(all);
        let errors = errors(&response);
        if !errors.is_empty() {
            let reason = || Some("the rule could not be evaluated");
            return no(errors.into_iter().map(|rule| Finding::new(rule, Code::Denied, reason())).collect());
        }
        let ids: BTreeSet<String> = response.diagnostics().reason().map(ToString::to_string).collect();
        let rules = || ids.iter().map(|id| self.rules[id.as_str()]);
        if response.decision() == Decision::Allow {
            return self.yes(&response);
        }
        let agreed = &asked.facts.approval.rules;
        let mut findings: Vec<Finding> = rules()
            .filter(|rule| !(rule.asks() && agreed.contains_key(&rule.id)))
            .map(|rule| Finding {
                rule: rule.id.clone(),
                code: if rule.asks() {
                    Code::NeedsApproval
                } else {
                    rule.code.map_or(Code::Denied, |code| Code::from_name(code).unwrap())
                },
                reason: rule.reason.map(str::to_owned),
                ask: rule.asks().then(|| Ask { who: "ana".to_owned(), rule: rule.digest() }),
                opaque: false,
            })
            .collect();
        if findings.iter().all(|finding| finding.code.decision() != Kind::Deny) {
            let permitted = answer(permits);
            if permitted.decision() == Decision::Deny {
                findings.push(Finding::new("default", Code::Denied, Some("no rule permits this")));
            } else if findings.is_empty() {
                return self.yes(&permitted);
            }
        }
        no(findings)
    }

    fn yes(&self, response: &Response) -> Told {
        let ids: BTreeSet<String> = response.diagnostics().reason().map(ToString::to_string).collect();
        let seconds = ids.iter().filter_map(|id| self.rules[id.as_str()].ttl).min().unwrap_or(60);
        let ttl = Duration::from_secs(seconds);
        Told { rules: ids.into_iter().collect(), findings: Vec::new(), ttl, would: None }
    }
}

fn verdict(told: &Told) -> Kind {
    told.findings.iter().map(|finding| finding.code.decision()).max().unwrap_or(Kind::Allow)
}

fn errors(response: &Response) -> BTreeSet<String> {
    let id = |error: &AuthorizationError| match error {
        AuthorizationError::PolicyEvaluationError(error) => error.policy_id().to_string(),
    };
    response.diagnostics().errors().map(id).collect()
}

fn no(findings: Vec<Finding>) -> Told {
    Told {
        rules: findings.iter().map(|finding| finding.rule.clone()).collect(),
        findings,
        ttl: Duration::ZERO,
        would: None,
    }
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
