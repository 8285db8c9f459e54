//! What a judgement comes to: what the rules decide, and what the agent's mode makes of it.

use std::sync::Arc;
use std::time::Duration;

use super::{Outcome, Policies, Question, longest_ttl};
use crate::model::{Code, Decision, Facts, Finding, Mode, Told, Would};

/// The limit on questions, as facts and records name it.
pub const TOO_OFTEN: &str = "approvals.max_per_hour";

/// The finding where rules ask and nobody is asked any more.
pub fn too_often() -> Finding {
    let reason = "the people who would be asked were asked often enough";
    Finding::new(format!("config:{TOO_OFTEN}"), Code::LimitReached, Some(reason))
}

/// A verdict before it is bound to a call: all of it that can be reached again from a record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settled {
    /// The rules that determined it, in order.
    pub rules: Arc<[String]>,
    /// Why not, as far as the mode lets it count; empty if the call may be made.
    pub findings: Arc<[Finding]>,
    /// How long a credential may live by the rules; the task may end before. Nothing if the call may not be made.
    pub ttl: Duration,
    /// What would have been decided, had the agent's mode or a rule's `@shadow` not kept it from being.
    pub would: Option<Would>,
}

impl Settled {
    /// The verdict.
    pub fn decision(&self) -> Decision {
        self.findings.iter().map(|finding| finding.code.decision()).max().unwrap_or(Decision::Allow)
    }

    /// In a record's words.
    pub fn told(&self) -> Told {
        let allowed = self.findings.is_empty();
        Told {
            decision: self.decision(),
            code: self.code().map(|code| code.name().to_owned()),
            rules: self.rules.to_vec(),
            ttl_ms: allowed.then(|| u64::try_from(self.ttl.as_millis()).ok()).flatten(),
            would: self.would.clone(),
        }
    }

    /// What becomes of a question where the facts say that people were asked often enough.
    pub fn as_asked(self, facts: &Facts) -> Self {
        if self.decision() != Decision::Ask || !facts.limits.contains_key(TOO_OFTEN) {
            return self;
        }
        let finding = too_often();
        Self { rules: Arc::new([finding.rule.clone()]), findings: Arc::new([finding]), ..self }
    }

    /// What the rules alone say, whatever the mode.
    pub fn by_rules(&self) -> (Decision, &[String]) {
        self.would.as_ref().map_or((self.decision(), &self.rules), |would| (would.decision, &would.rules))
    }

    /// The code it is answered with, if it is a no: that of the finding that speaks for all.
    pub fn code(&self) -> Option<Code> {
        speaker(&self.findings).map(|finding| finding.code)
    }
}

/// The finding that speaks for all: a deny before a throttle before an ask, among equals the first by rule.
pub fn speaker(findings: &[Finding]) -> Option<&Finding> {
    findings.iter().rev().max_by_key(|finding| finding.code.decision())
}

impl Policies {
    /// What was agreed to holds for as long as the rule that asked says the same; what no longer holds is no fact.
    pub fn keep_agreed(&self, facts: &mut Facts) {
        facts.approval.rules.retain(|rule, said| self.asks(rule).is_some_and(|ask| ask.rule == *said));
    }

    /// Decides, and acts on it as `mode` says. Only a quarantine is a no in every mode.
    pub fn settle(&self, question: &Question<'_>, facts: &Facts, mode: Mode) -> Settled {
        let outcome = self.decide(question, facts);
        let counts = |finding: &&Finding| mode.enforces() || finding.code == Code::Quarantined;
        let all = outcome.findings.iter().all(|finding| counts(&finding));
        let findings: Arc<[Finding]> =
            if all { outcome.findings.clone() } else { outcome.findings.iter().filter(counts).cloned().collect() };
        if findings.is_empty() {
            let would = outcome.would.clone().or_else(|| would(&outcome));
            let ttl = if outcome.findings.is_empty() { outcome.ttl } else { longest_ttl() };
            return Settled { rules: outcome.rules.clone(), findings, ttl, would };
        }
        let rules = if all { outcome.rules.clone() } else { findings.iter().map(|it| it.rule.clone()).collect() };
        Settled { rules, findings, ttl: Duration::ZERO, would: None }
    }
}

/// A no that is none, because of the agent's mode.
fn would(outcome: &Outcome) -> Option<Would> {
    let would = || Would { decision: outcome.decision(), rules: outcome.rules.to_vec() };
    (!outcome.findings.is_empty()).then(would)
}
