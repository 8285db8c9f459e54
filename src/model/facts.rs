//! All that a judgement may know. What a policy sees of it, and under which names, stands in `docs/facts.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use super::Argument;

/// The facts of one call. A verdict depends on nothing else. Serialised, they are what a record tells to everyone; what is
/// private is left out.
#[derive(Clone, Debug, Serialize)]
pub struct Facts {
    /// What was declared, against what is done.
    pub intent: IntentFacts,
    /// The task it is done in.
    pub task: TaskFacts,
    /// The workload that does it.
    pub workload: WorkloadFacts,
    /// What the task has taken in.
    pub labels: BTreeSet<&'static str>,
    /// What came before in this task.
    pub chain: ChainFacts,
    /// The limits that this call would exceed, by name.
    pub limits: BTreeMap<String, Exceeded>,
    /// When.
    pub time: Time,
    /// Whether there is a body: `whole` or `none`.
    pub body: &'static str,
    /// The argument values the catalog shows. Private: a record tells them under a commitment.
    #[serde(skip)]
    pub args: BTreeMap<Arc<str>, Argument>,
}

/// What was declared, against what is done.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct IntentFacts {
    /// An intent was declared, in a header or by the task's grant.
    pub declared: bool,
    /// `header`, `task` or `none`.
    pub source: &'static str,
    /// What was declared is what is done.
    pub matches: bool,
    /// A purpose was given.
    pub purpose_present: bool,
}

/// The task a call is done in.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct TaskFacts {
    /// The call names a task; otherwise it is the agent's implicit one.
    pub present: bool,
    /// `framework`, `self` or `nobody`.
    pub opened_by: &'static str,
    /// The task's grant covers this action on this resource, and its count is not used up.
    pub declared: bool,
    /// How many tasks stand above it.
    pub depth: i64,
    /// Seconds since it was opened.
    pub age_s: i64,
    /// The person or system it is for, if its opener said. Private: a record tells it under a commitment.
    #[serde(skip)]
    pub on_behalf_of: Option<String>,
}

/// The workload that calls.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct WorkloadFacts {
    /// The strongest way it was proven: `token`, `uid` or `process`.
    pub kind: &'static str,
    /// How much the proof is worth: 1 can be copied, 2 is a user, 3 is one process; one more if several agree.
    pub strength: i64,
}

/// What came before in this task.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct ChainFacts {
    /// Calls permitted so far in this task.
    pub calls: i64,
    /// Permitted calls so far with the same action and the same bytes.
    pub repeats: i64,
    /// Calls of this task that are under way, this one not counted.
    pub concurrent: i64,
    /// Actions permitted so far.
    pub actions: BTreeSet<Arc<str>>,
}

/// A limit that is reached.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Exceeded {
    /// How much the limit allows.
    pub limit: u64,
    /// Milliseconds until a call fits again, if waiting helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// When a call is made, in UTC.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Time {
    /// 0 to 23.
    pub hour: i64,
    /// 1 is Monday, 7 is Sunday.
    pub weekday: i64,
}
