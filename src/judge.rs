//! Step 3: facts in, a verdict out. Cedar decides; nothing else does.

mod compile;
mod index;
mod mention;
mod nesting;
mod policy;
mod schema;
mod view;
pub mod vocabulary;

use std::sync::Arc;
use std::time::Duration;

pub use self::compile::{AgentRules, IntentRule, compile};
pub use self::index::{AgentShape, Policies};
pub use self::policy::{PolicyError, Source, longest_ttl};
pub use self::schema::{ActionShape, schema};
use crate::memory::{Reservation, Slot};
use crate::model::{Call, Code, Decision, Digest, Facts, Finding, Scope, Timestamp};

/// Judges a call by what is known of it. Pure: the same policies and facts give the same verdict.
pub fn judge(policies: &Policies, call: Call, facts: Facts, reservation: Reservation) -> Verdict {
    let outcome = policies.decide(&call, &facts);
    if outcome.findings.is_empty() {
        let scope = scope(&call, outcome.ttl, reservation.task_left(call.received_at));
        let rules = outcome.rules.clone();
        return Verdict::Allow(Box::new(Permit {
            call,
            facts,
            rules,
            scope,
            policies: policies.version(),
            reservation,
        }));
    }
    let findings = outcome.findings.clone();
    let throttled = findings.iter().all(|finding| finding.code.decision() == Decision::Throttle);
    let no = No { call, facts, findings, policies: policies.version() };
    if throttled { Verdict::Throttle(Box::new(no)) } else { Verdict::Deny(Box::new(no)) }
}

/// What was decided.
#[derive(Debug)]
pub enum Verdict {
    /// It may be made.
    Allow(Box<Permit>),
    /// Not now.
    Throttle(Box<No>),
    /// No.
    Deny(Box<No>),
}

/// The proof that a call was judged and may be made. Only `judge` builds one, and it owns the judged request, so that
/// the bytes judged are the bytes sent.
#[derive(Debug)]
pub struct Permit {
    call: Call,
    facts: Facts,
    rules: Arc<[String]>,
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
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The rules that permit it.
    pub fn rules(&self) -> &[String] {
        &self.rules
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
    pub fn spend(self) -> (Call, Scope, Slot) {
        (self.call, self.scope, self.reservation.spend())
    }
}

/// The proof that a call was judged and may not be made.
#[derive(Debug)]
pub struct No {
    /// The call as it was judged.
    pub call: Call,
    /// The facts it was judged by.
    pub facts: Facts,
    /// Every rule that said no, in order; at least one.
    pub findings: Arc<[Finding]>,
    /// What was loaded when it was judged.
    pub policies: Digest,
}

impl No {
    /// The finding that speaks for all: a deny before a throttle, otherwise the first by rule.
    pub fn first(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.code.decision() == Decision::Deny).or_else(|| self.findings.first())
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

/// The finding where no rule permits.
fn by_default() -> Finding {
    Finding { rule: "default".to_owned(), code: Code::Denied, reason: Some("no rule permits this".to_owned()) }
}
