//! Step 3: facts in, a verdict out. Cedar decides; nothing else does.

mod case;
mod compile;
mod counterfactual;
mod index;
mod known;
mod literals;
mod mention;
mod nesting;
mod policy;
mod schema;
mod settle;
mod stranger;
mod subset;
mod suggest;
mod vary;
mod view;
pub mod vocabulary;
mod weigh;

use std::sync::Arc;
use std::time::Duration;

pub use self::case::{Case, CaseError, StandIns, Tried, Unread, read_cases};
pub use self::compile::{AgentRules, IntentRule, compile};
pub use self::counterfactual::{Counterfactuals, Step, counterfactuals};
pub use self::index::{AgentShape, Policies, Question};
pub use self::policy::{PolicyError, Rule, Source, longest_ttl};
pub use self::schema::{AMEND, ActionShape, schema};
pub use self::settle::{Settled, TOO_OFTEN, speaker, too_often};
pub use self::subset::Outcome;
pub use self::suggest::{Observed, suggest};
pub use self::weigh::{Held, Weighed};
use crate::memory::{Reservation, Slot};
use crate::model::{Call, Code, Decision, Digest, Facts, Finding, Scope, Timestamp, Would};

/// Judges a call by what is known of it. Pure: the same policies and facts give the same verdict.
pub fn judge(policies: &Policies, call: Box<Call>, mut facts: Facts, reservation: Reservation) -> Verdict {
    policies.keep_agreed(&mut facts);
    let mode = policies.mode(&call.caller.agent);
    let settled = policies.settle(&Question::of(&call), &facts, mode);
    let decision = settled.decision();
    let no = |call, facts, findings| No { call, facts, findings, policies: policies.version() };
    match decision {
        Decision::Allow => {
            let Settled { rules, findings: _, ttl, would } = settled;
            let scope = scope(&call, ttl, reservation.task_left(call.received_at));
            let (policies, facts) = (policies.version(), Arc::new(facts));
            Verdict::Allow(Box::new(Permit { call, facts, rules, ttl, would, scope, policies, reservation }))
        }
        Decision::Ask => Verdict::Ask(Box::new(Pending { no: no(call, facts, settled.findings), reservation })),
        Decision::Throttle => Verdict::Throttle(Box::new(no(call, facts, settled.findings))),
        Decision::Deny | Decision::Unavailable => Verdict::Deny(Box::new(no(call, facts, settled.findings))),
    }
}

/// Whether a call that other policies have permitted is permitted by these, by what was known when it was judged.
pub fn stands(policies: &Policies, question: &Question<'_>, facts: &Facts) -> bool {
    let mut facts = facts.clone();
    policies.keep_agreed(&mut facts);
    policies.settle(question, &facts, policies.mode(question.agent)).findings.is_empty()
}

/// A permitted call whose agent a reviewer has stopped since.
pub fn stopped(permit: Box<Permit>) -> Box<No> {
    let Permit { call, facts, policies, .. } = *permit;
    let mut facts = Arc::unwrap_or_clone(facts);
    facts.agent.quarantined = true;
    Box::new(No { call, facts, findings: Arc::new([by_quarantine()]), policies })
}

/// What was decided.
#[derive(Debug)]
pub enum Verdict {
    /// It may be made.
    Allow(Box<Permit>),
    /// It may, once somebody agrees.
    Ask(Box<Pending>),
    /// Not now.
    Throttle(Box<No>),
    /// No.
    Deny(Box<No>),
}

/// The proof that a call was judged and may be made. Only `judge` builds one, and it owns the judged request, so that
/// the bytes judged are the bytes sent.
#[derive(Debug)]
pub struct Permit {
    call: Box<Call>,
    facts: Arc<Facts>,
    rules: Arc<[String]>,
    ttl: Duration,
    would: Option<Would>,
    scope: Scope,
    policies: Digest,
    reservation: Reservation,
}

impl Permit {
    /// The call as it was judged.
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// The facts it was judged by.
    pub fn facts(&self) -> &Arc<Facts> {
        &self.facts
    }

    /// The rules that permit it.
    pub fn rules(&self) -> &[String] {
        &self.rules
    }

    /// What would have been decided, had the agent's mode or a rule's `@shadow` not kept it from being.
    pub fn would(&self) -> Option<&Would> {
        self.would.as_ref()
    }

    /// How long a credential may live by the rules; the task may end before.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// What a credential for it may be.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// What was loaded when it was judged.
    pub fn policies(&self) -> Digest {
        self.policies
    }

    /// When a credential for it ends at the latest.
    pub fn expires_at(&self, now: Timestamp) -> Timestamp {
        now.after(self.scope.ttl)
    }

    /// It is recorded: what was reserved is used, and its place is held until the call is over.
    pub fn spend(self) -> (Box<Call>, Scope, Slot) {
        let slot = self.reservation.spend(&self.call, self.facts, self.would.is_none());
        (self.call, self.scope, slot)
    }
}

/// The proof that a call was judged and may be made once somebody agrees. What it would use stays reserved for it.
#[derive(Debug)]
pub struct Pending {
    /// The call, and the rules that ask.
    pub no: No,
    /// What is held for it.
    pub reservation: Reservation,
}

/// The proof that a call was judged and may not be made.
#[derive(Debug)]
pub struct No {
    /// The call as it was judged.
    pub call: Box<Call>,
    /// The facts it was judged by.
    pub facts: Facts,
    /// Every rule that said no, in order; at least one.
    pub findings: Arc<[Finding]>,
    /// What was loaded when it was judged.
    pub policies: Digest,
}

impl No {
    /// The finding that speaks for all: a deny before a throttle before an ask, among equals the first by rule.
    pub fn first(&self) -> Option<&Finding> {
        speaker(&self.findings)
    }

    /// How long to wait, if waiting helps: until the last of the limits that are reached has room.
    pub fn retry_after_ms(&self) -> Option<u64> {
        self.facts.limits.values().filter_map(|exceeded| exceeded.retry_after_ms).max()
    }
}

/// The narrowest of the action, the rules' `@ttl` and what is left of the task.
fn scope(call: &Call, ttl: Duration, task_left: Option<Duration>) -> Scope {
    Scope {
        audience: call.tool.origin(),
        action: call.action.name.to_string(),
        resource: call.action.resource.clone(),
        ttl: task_left.map_or(ttl, |left| left.min(ttl)),
    }
}

/// What the rule says that every configuration is compiled to.
fn by_quarantine() -> Finding {
    Finding::new(compile::QUARANTINE, Code::Quarantined, Some(compile::STOPPED))
}

/// The finding where no rule permits.
fn by_default() -> Finding {
    Finding::new("default", Code::Denied, Some("no rule permits this"))
}
