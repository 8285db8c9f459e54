//! The rules that can hold for some pairs of an agent and an action, and what Cedar's answers under them come to.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use cedar_policy::{
    AuthorizationError, Authorizer, Decision as Answer, Entities, PolicySet, Request, ResourceConstraint, Response,
};

use super::by_default;
use super::mention::Mentions;
use super::policy::{Rule, longest_ttl};
use crate::model::{ApprovalFacts, Code, Decision, Finding, Would};

/// What was decided, and by which rules.
#[derive(Debug, Eq, PartialEq)]
pub struct Outcome {
    /// The rules that determined it.
    pub rules: Arc<[String]>,
    /// Why not; empty if it is permitted.
    pub findings: Arc<[Finding]>,
    /// The narrowest `@ttl` of the rules that permit it.
    pub ttl: Duration,
    /// What it would be if the rules in shadow counted, where that is something else.
    pub would: Option<Would>,
}

impl Outcome {
    /// A no, for these reasons.
    pub fn no(findings: Vec<Finding>) -> Self {
        let rules = findings.iter().map(|finding| finding.rule.clone()).collect();
        Self { rules, findings: findings.into(), ttl: Duration::ZERO, would: None }
    }

    /// The verdict: of its findings, the kind that wins.
    pub fn decision(&self) -> Decision {
        self.findings.iter().map(|finding| finding.code.decision()).max().unwrap_or(Decision::Allow)
    }
}

/// Rules, compiled apart by what they are for.
pub struct Subset {
    /// What decides.
    enforced: Sets,
    /// The same and the rules in shadow, if there are any.
    shadow: Option<Sets>,
    by_id: HashMap<String, Rule>,
    /// What any of them can see.
    pub mentions: Mentions,
}

/// Some rules; and of these, the ones that permit: would it pass if it waited, or if somebody agreed?
#[derive(Default)]
struct Sets {
    all: PolicySet,
    permits: PolicySet,
}

impl Sets {
    fn add(&mut self, rule: &Rule) -> Result<(), String> {
        if rule.permits() {
            self.permits.add(rule.policy.clone()).map_err(|error| error.to_string())?;
        }
        self.all.add(rule.policy.clone()).map_err(|error| error.to_string())
    }
}

impl Subset {
    /// Of these rules.
    pub fn new<'a>(rules: impl Iterator<Item = &'a Rule> + Clone) -> Result<Self, String> {
        let mut shadow = rules.clone().any(|rule| rule.shadow).then(Sets::default);
        let (mut enforced, mut by_id, mut mentions) = (Sets::default(), HashMap::new(), Mentions::none());
        for rule in rules {
            if !rule.shadow {
                enforced.add(rule)?;
            }
            if let Some(shadow) = &mut shadow {
                shadow.add(rule)?;
            }
            mentions.merge(&rule.mentions);
            mentions.resource |= !matches!(rule.policy.resource_constraint(), ResourceConstraint::Any);
            by_id.insert(rule.id.clone(), rule.clone());
        }
        Ok(Self { enforced, shadow, by_id, mentions })
    }

    /// Whether this rule is one of them.
    pub fn has(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    /// What these rules decide; and what they would, with those in shadow.
    pub fn outcome(&self, request: &Request, entities: &Entities, approval: &ApprovalFacts) -> Outcome {
        let decided = self.of(&self.enforced, request, entities, approval);
        let shadow = self.shadow.as_ref().map(|shadow| self.of(shadow, request, entities, approval));
        let would = shadow
            .filter(|shadow| shadow.decision() != decided.decision())
            .map(|shadow| Would { decision: shadow.decision(), rules: shadow.rules.to_vec() });
        Outcome { would, ..decided }
    }

    /// Cedar skips a policy that errs, even a `forbid`; here any error is a deny.
    fn of(&self, sets: &Sets, request: &Request, entities: &Entities, approval: &ApprovalFacts) -> Outcome {
        let response = Authorizer::new().is_authorized(request, &sets.all, entities);
        let errors: BTreeSet<String> = response
            .diagnostics()
            .errors()
            .map(|error| match error {
                AuthorizationError::PolicyEvaluationError(error) => error.policy_id().to_string(),
            })
            .collect();
        if !errors.is_empty() {
            let erred = |rule| Finding::new(rule, Code::Denied, Some("the rule could not be evaluated"));
            return Outcome::no(errors.into_iter().map(erred).collect());
        }
        if response.decision() == Answer::Allow {
            return self.yes(&response);
        }
        let answered = |rule: &Rule| rule.ask.is_some() && approval.rules.contains_key(&rule.id);
        let mut findings: Vec<Finding> =
            self.determining(&response).into_values().filter(|rule| !answered(rule)).map(finding).collect();
        if findings.iter().any(|finding| finding.code.decision() == Decision::Deny) {
            return Outcome::no(findings);
        }
        // To wait, or to be agreed to, must help: it does not if no rule permits the call anyway.
        let permitted = Authorizer::new().is_authorized(request, &sets.permits, entities);
        match permitted.decision() {
            Answer::Allow if findings.is_empty() => self.yes(&permitted),
            Answer::Allow => Outcome::no(findings),
            Answer::Deny => {
                findings.push(by_default());
                Outcome::no(findings)
            }
        }
    }

    fn yes(&self, response: &Response) -> Outcome {
        let determining = self.determining(response);
        Outcome {
            ttl: determining.values().filter_map(|rule| rule.ttl).min().unwrap_or(longest_ttl()),
            rules: determining.into_keys().collect(),
            findings: Arc::new([]),
            would: None,
        }
    }

    fn determining(&self, response: &Response) -> BTreeMap<String, &Rule> {
        let rules = response.diagnostics().reason().filter_map(|id| self.by_id.get_key_value(&id.to_string()));
        rules.map(|(id, rule)| (id.clone(), rule)).collect()
    }
}

fn finding(rule: &Rule) -> Finding {
    let Rule { id, code, reason, ask, opaque, .. } = rule;
    Finding { rule: id.clone(), code: *code, reason: reason.clone(), ask: ask.clone(), opaque: *opaque }
}
