//! All that a judgement may know. What a policy sees of it, and under which names, stands in `docs/facts.md`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Argument, CallId, Digest, IntentSource, Label, OpenedBy};

/// The facts of one call. A verdict depends on nothing else. Serialised, they are what a record tells to everyone; what is
/// private is left out.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// What was declared, against what is done.
    pub intent: IntentFacts,
    /// The task it is done in.
    pub task: TaskFacts,
    /// The workload that does it.
    pub workload: WorkloadFacts,
    /// What reviewers have said of the agent.
    #[serde(default, skip_serializing_if = "AgentFacts::is_usual")]
    pub agent: AgentFacts,
    /// What the task has taken in.
    pub labels: BTreeSet<Label>,
    /// Who stands behind the values that the call is aimed at.
    #[serde(default, skip_serializing_if = "ValueFacts::is_absent")]
    pub values: ValueFacts,
    /// What came before in this task.
    pub chain: ChainFacts,
    /// What it is beside what its agent usually does.
    #[serde(default, skip_serializing_if = "BaselineFacts::is_absent")]
    pub baseline: BaselineFacts,
    /// The limits that this call would exceed, by name.
    pub limits: BTreeMap<String, Exceeded>,
    /// What somebody has agreed to for this call.
    #[serde(default, skip_serializing_if = "ApprovalFacts::is_absent")]
    pub approval: ApprovalFacts,
    /// When.
    pub time: Time,
    /// What comes behind the head: `whole`, `unread` or `none`.
    pub body: Cow<'static, str>,
    /// The argument values the catalog shows. Private: a record tells them under a commitment.
    #[serde(skip)]
    pub args: BTreeMap<Arc<str>, Argument>,
}

impl Facts {
    /// Those of a call with which everything is in order: its task was opened by a framework that declared it, its process
    /// is known, nothing was taken in before, it is Tuesday, ten o'clock. What a case of a policy does not say is as here.
    pub fn usual() -> Self {
        Self {
            intent: IntentFacts { declared: true, source: IntentSource::Task, matches: true, purpose_present: true },
            task: TaskFacts {
                present: true,
                opened_by: OpenedBy::Framework,
                declared: true,
                depth: 0,
                age_s: 60,
                overflow: false,
                alarmed: false,
                denials: 0,
                on_behalf_of: None,
            },
            workload: WorkloadFacts { kind: Cow::Borrowed("process"), strength: 3 },
            agent: AgentFacts::default(),
            labels: BTreeSet::new(),
            values: ValueFacts::default(),
            chain: ChainFacts {
                calls: 0,
                repeats: 0,
                concurrent: 0,
                fan_out: 0,
                privilege_s: 0,
                actions: BTreeSet::new(),
            },
            baseline: BaselineFacts::default(),
            limits: BTreeMap::new(),
            approval: ApprovalFacts::default(),
            time: Time { hour: 10, weekday: 2 },
            body: Cow::Borrowed("whole"),
            args: BTreeMap::new(),
        }
    }
}

/// What was declared, against what is done.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IntentFacts {
    /// An intent was declared, in a header or by the task's grant.
    pub declared: bool,
    /// `header`, `task` or `none`.
    pub source: IntentSource,
    /// What was declared is what is done.
    pub matches: bool,
    /// A purpose was given.
    pub purpose_present: bool,
}

/// The task a call is done in.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, which policies name")]
pub struct TaskFacts {
    /// The call names a task; otherwise it is the agent's implicit one.
    pub present: bool,
    /// `framework`, `self` or `nobody`.
    pub opened_by: OpenedBy,
    /// The task's grant covers this action on this resource, and its count is not used up.
    pub declared: bool,
    /// How many tasks stand above it.
    pub depth: i64,
    /// Seconds since it was opened.
    pub age_s: i64,
    /// The grant names this action on this resource, and does not count as far as this call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overflow: bool,
    /// That has happened in it before: one of the calls that were counted may have been a stranger's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alarmed: bool,
    /// Calls that were denied in it so far.
    #[serde(default, skip_serializing_if = "is_none")]
    pub denials: i64,
    /// The person or system it is for, if its opener said. Private: a record tells it under a commitment.
    #[serde(skip)]
    pub on_behalf_of: Option<String>,
}

/// The workload that calls.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadFacts {
    /// The strongest way it was proven: `token`, `uid` or `process`.
    pub kind: Cow<'static, str>,
    /// How much the proof is worth: 1 can be copied, 2 is a user, 3 is one process; one more if several agree.
    pub strength: i64,
}

/// What reviewers have said of an agent.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AgentFacts {
    /// It was stopped.
    #[serde(default)]
    pub quarantined: bool,
    /// The glass is broken for it: for a short while, and with a justification that is recorded.
    #[serde(default)]
    pub break_glass: bool,
}

impl AgentFacts {
    /// Nothing is said of it.
    pub const fn is_usual(&self) -> bool {
        !self.quarantined && !self.break_glass
    }
}

/// What somebody has agreed to for a call.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ApprovalFacts {
    /// The rules that had asked, each by the digest of what it said then: a rule that says something else by now asks again.
    pub rules: BTreeMap<String, Digest>,
}

impl ApprovalFacts {
    /// Nobody has agreed to anything.
    pub fn is_absent(&self) -> bool {
        self.rules.is_empty()
    }
}

/// Who stands behind the values that a call is aimed at. Sinks are named by where they are.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ValueFacts {
    /// Sinks with a value that somebody must stand behind.
    pub critical: BTreeSet<Arc<str>>,
    /// Those of them of which nobody stands behind some value; and the call by whose answer it was seen, if it was.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unattested: BTreeMap<Arc<str>, Option<CallId>>,
    /// Those of these of which every such value stands in an answer that whoever opened the task had named.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub delegated: BTreeSet<Arc<str>>,
    /// Those of these of which every such value is a plain link that stands in something the task has read.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub quoted: BTreeSet<Arc<str>>,
}

impl ValueFacts {
    /// The call is aimed at nothing in particular.
    pub fn is_absent(&self) -> bool {
        self.critical.is_empty()
    }

    /// Sinks of whose values somebody stands behind each.
    pub fn attested(&self) -> impl Iterator<Item = &Arc<str>> {
        self.critical.iter().filter(|sink| !self.unattested.contains_key(*sink))
    }
}

/// What came before in this task.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ChainFacts {
    /// Calls permitted so far in this task.
    pub calls: i64,
    /// Permitted calls so far with the same action and the same bytes.
    pub repeats: i64,
    /// Calls of this task that are under way, this one not counted.
    pub concurrent: i64,
    /// Different tools called so far.
    #[serde(default)]
    pub fan_out: i64,
    /// Seconds that credentials of calls that are over were alive.
    #[serde(default)]
    pub privilege_s: i64,
    /// Actions permitted so far.
    pub actions: BTreeSet<Arc<str>>,
}

/// What a call is beside what its agent usually does. Nothing is new or unusual before enough is known.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, which policies name")]
pub struct BaselineFacts {
    /// Which of the agent's baselines is in force; 0 if none is.
    pub version: i64,
    /// It was learned from enough tasks.
    pub ready: bool,
    /// The agent does not do this.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub novel_action: bool,
    /// It does not do this behind what it did before in this task.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub novel_step: bool,
    /// It does not act on this.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub novel_resource: bool,
    /// It does not run as this workload.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub novel_source: bool,
    /// A value in a sink of kind `destination` is no habit of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub novel_destination: bool,
    /// The chance that a usual task gets as far as this call, in ten-thousandths, by detector: `hour`, `rate`, `size`, `step`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub chances: BTreeMap<Cow<'static, str>, i64>,
    /// Detectors whose chance is below what the budget of false alarms allows.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unusual: BTreeSet<Cow<'static, str>>,
    /// Detectors that have seen too little to say anything.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub insufficient: BTreeSet<Cow<'static, str>>,
    /// Of the agent's last tasks, in how many of a hundred something was new or unusual.
    #[serde(default, skip_serializing_if = "is_none")]
    pub drift: i64,
}

impl BaselineFacts {
    /// There is no baseline.
    pub const fn is_absent(&self) -> bool {
        self.version == 0
    }
}

/// A limit that is reached.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Exceeded {
    /// How much the limit allows.
    pub limit: u64,
    /// Milliseconds until a call fits again, if waiting helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// When a call is made, in UTC.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Time {
    /// 0 to 23.
    pub hour: i64,
    /// 1 is Monday, 7 is Sunday.
    pub weekday: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
const fn is_none(count: &i64) -> bool {
    *count == 0
}
