//! What a policy sees of a call: one table, from which come the schema, the Cedar context and `docs/facts.md`.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use super::known::nearest;
use crate::model::{Argument, Facts};

/// One fact that policies can read as `context.GROUP.NAME`, or `context.NAME` where the group is empty.
pub struct Fact {
    /// The record it stands in; empty if it stands in none.
    pub group: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// What it means, for `docs/facts.md`.
    pub meaning: &'static str,
    /// Its value for a call; nothing if the call has none.
    pub read: fn(&Facts) -> Option<Value>,
}

impl Fact {
    /// As policies write it behind `context.`.
    pub fn path(&self) -> String {
        if self.group.is_empty() { self.name.to_owned() } else { format!("{}.{}", self.group, self.name) }
    }
}

/// The types facts have in Cedar.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// `Bool`
    Bool,
    /// `Long`
    Long,
    /// `String`
    Text,
    /// `String`, and not every call has one: a policy asks `has` first.
    MaybeText,
    /// `Set<String>`
    Set,
}

/// The value of a fact, in a form that can be compared, hashed and handed to Cedar.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A number.
    Long(i64),
    /// Text.
    Text(String),
    /// A decimal, as text.
    Decimal(String),
    /// A set of texts.
    Set(BTreeSet<String>),
}

/// As Cedar writes it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::Long(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Decimal(text) => write!(f, "decimal({text:?})"),
            Self::Set(items) => {
                let items: Vec<String> = items.iter().map(|item| format!("{item:?}")).collect();
                write!(f, "[{}]", items.join(", "))
            }
        }
    }
}

impl From<&Argument> for Value {
    fn from(argument: &Argument) -> Self {
        match argument {
            Argument::Long(number) => Self::Long(*number),
            Argument::Bool(truth) => Self::Bool(*truth),
            Argument::Text(text) => Self::Text(text.clone()),
            Argument::Decimal(text) => Self::Decimal(text.clone()),
        }
    }
}

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

/// Every fact but `args`, whose members the catalog names for each action.
pub const FACTS: [Fact; 35] = [
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
         a directory, or somebody who has agreed to it before.",
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

/// The groups and single facts, each once, in the table's order.
pub fn groups() -> Vec<(&'static str, Vec<&'static Fact>)> {
    let mut groups: Vec<(&'static str, Vec<&'static Fact>)> = Vec::new();
    for fact in &FACTS {
        let key = if fact.group.is_empty() { fact.name } else { fact.group };
        match groups.iter_mut().find(|(name, _)| *name == key) {
            Some((_, facts)) => facts.push(fact),
            None => groups.push((key, vec![fact])),
        }
    }
    groups
}

/// The fact that this was probably meant to be: a whole group where no member is named.
pub fn nearest_fact(path: &str) -> Option<String> {
    let paths: Vec<String> = FACTS.iter().map(Fact::path).collect();
    if path.contains('.') {
        return nearest(path, paths.iter().map(String::as_str)).map(str::to_owned);
    }
    nearest(path, groups().into_iter().map(|(name, _)| name).chain(["args"])).map(str::to_owned)
}

/// `docs/facts.md`, from the table. A test holds the file to it.
pub fn page() -> String {
    let mut page = String::from(
        "# What a policy sees\n\n\
         `principal` is `Agent::\"triage\"`, in its `Group`s. `action` is `Action::\"github/issues.create\"`, in \
         `Action::\"tool:github\"` and `Action::\"effect:write\"` (read, write, delete, send, spend, execute). `resource` is \
         `Resource::\"github/octo/hello\"`, in `Tool::\"github\"`.\n\n\
         There is one action more, `Action::\"task:amend\"`: an agent asks, with its own proof, that a task's grant have a \
         line more. It is in no `tool:` and no `effect:` group. `resource` is what the line names, in its tool, and \
         `context.args` tells the rest: `action` and `effect` (always there), and `max` (a `Long`, if the line counts). A \
         `permit` without an action in its scope does not permit it, so that whoever permits everything has not permitted \
         that grants grow; a `forbid` without one forbids it, too. `context.intent` says declared and matching: asking is \
         declaring. Nothing is reached under `context.limits`.\n\n\
         `context` holds the facts below, for every action; policies are checked against their types when they are loaded \
         (`countersign check --schema` prints the schema). This page is generated from the table that the schema and the \
         judgement use; a fact that is not on it does not exist, and a policy that names one is refused at load.\n\n\
         The last column is the value a fact has in a case (`policies.md`) that does not say another.\n\n\
         | fact | type | meaning | usual |\n|---|---|---|---|\n",
    );
    let usual = Facts::usual();
    for fact in &FACTS {
        let value = (fact.read)(&usual).map_or_else(|| "absent".to_owned(), |value| format!("`{value}`"));
        let _ = writeln!(page, "| `context.{}` | `{}` | {} | {value} |", fact.path(), fact.kind.name(), fact.meaning);
    }
    page.push_str(
        "| `context.args.NAME` | as the catalog says | A value the catalog lists under the action's `facts`: `String` unless it \
         says `long`, `decimal` or `bool`. A call may lack it, so ask `context.args has NAME` first. | absent |\n",
    );
    page
}

impl Kind {
    /// As `docs/facts.md` names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "Bool",
            Self::Long => "Long",
            Self::Text => "String",
            Self::MaybeText => "String, optional",
            Self::Set => "Set<String>",
        }
    }

    /// As a Cedar schema spells the attribute: name, perhaps a question mark, type.
    pub fn attribute(self, name: &str) -> String {
        match self {
            Self::Bool => format!("{name}: Bool"),
            Self::Long => format!("{name}: Long"),
            Self::Text => format!("{name}: String"),
            Self::MaybeText => format!("{name}?: String"),
            Self::Set => format!("{name}: Set<String>"),
        }
    }
}
