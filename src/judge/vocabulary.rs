//! What a policy sees of a call: one table, from which come the schema, the Cedar context and `docs/facts.md`.

mod table;

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

pub use self::table::FACTS;
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
    /// `Long`, and not every call has one.
    MaybeLong,
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
            Self::MaybeLong => "Long, optional",
            Self::Set => "Set<String>",
        }
    }

    /// Whether a call may lack it.
    pub const fn is_optional(self) -> bool {
        match self {
            Self::MaybeText | Self::MaybeLong => true,
            Self::Bool | Self::Long | Self::Text | Self::Set => false,
        }
    }

    /// As a Cedar schema spells the attribute: name, perhaps a question mark, type.
    pub fn attribute(self, name: &str) -> String {
        match self {
            Self::Bool => format!("{name}: Bool"),
            Self::Long => format!("{name}: Long"),
            Self::Text => format!("{name}: String"),
            Self::MaybeText => format!("{name}?: String"),
            Self::MaybeLong => format!("{name}?: Long"),
            Self::Set => format!("{name}: Set<String>"),
        }
    }
}
