//! Every fact that policies can read, where it comes from and what it means.

use super::{Fact, Kind, Value};
use crate::model::Facts;

const fn fact(
    group: &'static str,
    name: &'static str,
    kind: Kind,
    meaning: &'static str,
    read: fn(&Facts) -> Option<Value>,
) -> Fact {
    Fact { group, name, kind, meaning, read }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn set<'a>(items: impl Iterator<Item = &'a str>) -> Value {
    Value::Set(items.map(str::to_owned).collect())
}

fn chance(facts: &Facts, detector: &str) -> Option<Value> {
    facts.baseline.chances.get(detector).copied().map(Value::Long)
}

/// Every fact but `args`, whose members the catalog names for each action.
pub const FACTS: [Fact; 49] = [
    fact(
        "intent",
        "declared",
        Kind::Bool,
        "The agent declared an intent in `Agent-Intent`, or its task's grant names the action.",
        |f| Some(Value::Bool(f.intent.declared)),
    ),
    fact("intent", "source", Kind::Text, "Where the intent came from: `header`, `task` or `none`.", |f| {
        Some(text(f.intent.source.name()))
    }),
    fact("intent", "matches", Kind::Bool, "The declared action and resource are what the call does.", |f| {
        Some(Value::Bool(f.intent.matches))
    }),
    fact("intent", "purpose_present", Kind::Bool, "A purpose was given. Its words are never read by a rule.", |f| {
        Some(Value::Bool(f.intent.purpose_present))
    }),
    fact(
        "task",
        "present",
        Kind::Bool,
        "The call names a task. Otherwise it is in its agent's implicit one, with an empty grant.",
        |f| Some(Value::Bool(f.task.present)),
    ),
    fact(
        "task",
        "opened_by",
        Kind::Text,
        "`framework` if a proof in `open_tasks` opened it, `self` if the agent did, `nobody` if it is implicit.",
        |f| Some(text(f.task.opened_by.name())),
    ),
    fact(
        "task",
        "declared",
        Kind::Bool,
        "The task's grant covers this action on this resource, and its count is not used up.",
        |f| Some(Value::Bool(f.task.declared)),
    ),
    fact("task", "depth", Kind::Long, "How many tasks stand above it.", |f| Some(Value::Long(f.task.depth))),
    fact("task", "age_s", Kind::Long, "Seconds since it was opened.", |f| Some(Value::Long(f.task.age_s))),
    fact(
        "task",
        "overflow",
        Kind::Bool,
        "The task's grant covers this action on this resource, but its count is used up.",
        |f| Some(Value::Bool(f.task.overflow)),
    ),
    fact(
        "task",
        "alarmed",
        Kind::Bool,
        "A call of this task was more than its grant counted: one of those that were counted may have been a stranger's.",
        |f| Some(Value::Bool(f.task.alarmed)),
    ),
    fact("task", "denials", Kind::Long, "Calls of this task that were denied so far.", |f| {
        Some(Value::Long(f.task.denials))
    }),
    fact("task", "on_behalf_of", Kind::MaybeText, "The person or system it is for, as its opener said.", |f| {
        f.task.on_behalf_of.clone().map(Value::Text)
    }),
    fact(
        "workload",
        "kind",
        Kind::Text,
        "The strongest way the caller was proven: `token`, `uid` or `process`.",
        |f| Some(text(&f.workload.kind)),
    ),
    fact(
        "workload",
        "strength",
        Kind::Long,
        "1: it holds a string. 2: it runs as a user. 3: it is one known process. One more if several proofs agree.",
        |f| Some(Value::Long(f.workload.strength)),
    ),
    fact("agent", "quarantined", Kind::Bool, "A reviewer has stopped the agent.", |f| {
        Some(Value::Bool(f.agent.quarantined))
    }),
    fact(
        "agent",
        "break_glass",
        Kind::Bool,
        "A reviewer has broken the glass for the agent: for some minutes, with a justification, to be reviewed afterwards.",
        |f| Some(Value::Bool(f.agent.break_glass)),
    ),
    fact(
        "",
        "labels",
        Kind::Set,
        "What the task has taken in so far: `untrusted`, `private`. A label stays until the task is over.",
        |f| Some(set(f.labels.iter().map(|label| label.name()))),
    ),
    fact(
        "values",
        "critical",
        Kind::Set,
        "Sinks of the call, such as `body:/recipients`, with a value that somebody must stand behind.",
        |f| Some(set(f.values.critical.iter().map(|sink| &**sink))),
    ),
    fact(
        "values",
        "attested",
        Kind::Set,
        "Those of them of whose values somebody stands behind each: whoever opened the task, a trusted field of an answer, \
         a directory, a habit, or somebody who has agreed to it before.",
        |f| Some(set(f.values.attested().map(|sink| &**sink))),
    ),
    fact(
        "values",
        "unattested",
        Kind::Set,
        "The others: nobody knows on whose word the agent has one of their values.",
        |f| Some(set(f.values.unattested.keys().map(|sink| &**sink))),
    ),
    fact(
        "values",
        "delegated",
        Kind::Set,
        "Those of the unattested whose values stand in answers that whoever opened the task had named.",
        |f| Some(set(f.values.delegated.iter().map(|sink| &**sink))),
    ),
    fact(
        "values",
        "quoted",
        Kind::Set,
        "Those of the unattested whose values are links without a query that stand in what the task has read.",
        |f| Some(set(f.values.quoted.iter().map(|sink| &**sink))),
    ),
    fact("chain", "calls", Kind::Long, "Calls permitted so far in this task.", |f| Some(Value::Long(f.chain.calls))),
    fact(
        "chain",
        "repeats",
        Kind::Long,
        "Permitted calls so far in this task with the same action and the very same bytes.",
        |f| Some(Value::Long(f.chain.repeats)),
    ),
    fact("chain", "concurrent", Kind::Long, "Calls of this task under way, this one not counted.", |f| {
        Some(Value::Long(f.chain.concurrent))
    }),
    fact("chain", "fan_out", Kind::Long, "How many different tools were called so far in this task.", |f| {
        Some(Value::Long(f.chain.fan_out))
    }),
    fact(
        "chain",
        "privilege_s",
        Kind::Long,
        "Seconds that credentials were alive for calls of this task, added up; counted when a call has ended.",
        |f| Some(Value::Long(f.chain.privilege_s)),
    ),
    fact("chain", "actions", Kind::Set, "Full names of the actions permitted so far in this task.", |f| {
        Some(set(f.chain.actions.iter().map(AsRef::as_ref)))
    }),
    fact(
        "baseline",
        "ready",
        Kind::Bool,
        "A baseline of the agent is in force, and was learned from enough tasks.",
        |f| Some(Value::Bool(f.baseline.ready)),
    ),
    fact("baseline", "novel_action", Kind::Bool, "It is ready, and the agent does not do this.", |f| {
        Some(Value::Bool(f.baseline.novel_action))
    }),
    fact(
        "baseline",
        "novel_step",
        Kind::Bool,
        "It is ready, and the agent does not do this behind what it did before in the task.",
        |f| Some(Value::Bool(f.baseline.novel_step)),
    ),
    fact("baseline", "novel_resource", Kind::Bool, "It is ready, and the agent does not act on this.", |f| {
        Some(Value::Bool(f.baseline.novel_resource))
    }),
    fact(
        "baseline",
        "novel_source",
        Kind::Bool,
        "It is ready, and the agent does not run as this workload, as this program or at this address.",
        |f| Some(Value::Bool(f.baseline.novel_source)),
    ),
    fact(
        "baseline",
        "novel_destination",
        Kind::Bool,
        "It is ready, and a value in a sink of kind `destination` is no habit of the agent.",
        |f| Some(Value::Bool(f.baseline.novel_destination)),
    ),
    fact(
        "baseline",
        "odd_hour",
        Kind::Bool,
        "At this hour of the week (UTC) the agent does so little that the budget of false alarms calls it unusual.",
        |f| Some(Value::Bool(f.baseline.unusual.contains("hour"))),
    ),
    fact(
        "baseline",
        "unusual",
        Kind::Set,
        "Which of `hour`, `rate` (calls in a minute), `size` (of the body) and `step` are so unusual.",
        |f| Some(set(f.baseline.unusual.iter().map(AsRef::as_ref))),
    ),
    fact(
        "baseline",
        "insufficient",
        Kind::Set,
        "Which of them cannot be told yet: too few tasks for the budget, or less than four weeks.",
        |f| Some(set(f.baseline.insufficient.iter().map(AsRef::as_ref))),
    ),
    fact(
        "baseline",
        "hour_p",
        Kind::MaybeLong,
        "The chance that a usual task does as much, in ten-thousandths.",
        |f| chance(f, "hour"),
    ),
    fact("baseline", "rate_p", Kind::MaybeLong, "The same, of the calls in this minute.", |f| chance(f, "rate")),
    fact("baseline", "size_p", Kind::MaybeLong, "The same, of the body's bytes.", |f| chance(f, "size")),
    fact("baseline", "step_p", Kind::MaybeLong, "The same, of this action behind the last one.", |f| chance(f, "step")),
    fact(
        "baseline",
        "drift",
        Kind::Long,
        "In how many of a hundred of the agent's last 40 tasks something was new or unusual; 0 before there are 10.",
        |f| Some(Value::Long(f.baseline.drift)),
    ),
    fact("", "limits", Kind::Set, "Names of the limits that this call would exceed, such as `triage.limits.0`.", |f| {
        Some(set(f.limits.keys().map(String::as_str)))
    }),
    fact("approval", "present", Kind::Bool, "Somebody has agreed to this call, and to nothing else.", |f| {
        Some(Value::Bool(!f.approval.is_absent()))
    }),
    fact(
        "approval",
        "rules",
        Kind::Set,
        "The `@ask` rules that were agreed to, if they say the same as they did then. They no longer ask.",
        |f| Some(set(f.approval.rules.keys().map(String::as_str))),
    ),
    fact("time", "hour", Kind::Long, "Hour of the day in UTC, 0 to 23.", |f| Some(Value::Long(f.time.hour))),
    fact("time", "weekday", Kind::Long, "Day of the week in UTC, 1 (Monday) to 7 (Sunday).", |f| {
        Some(Value::Long(f.time.weekday))
    }),
    fact(
        "",
        "body",
        Kind::Text,
        "`whole` if there is a body (it was read whole before judgement), `unread` if it streams, `none` if there is not.",
        |f| Some(text(&f.body)),
    ),
];
