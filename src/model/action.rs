//! What a call really does.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Critical, Label, Pointer};

/// The action a call takes, read off the call itself.
#[derive(Clone, Debug)]
pub struct Action {
    /// The tool it belongs to.
    pub tool: Arc<str>,
    /// Its full name: `github/issues.create`.
    pub name: Arc<str>,
    /// What it does to the world.
    pub effect: Effect,
    /// What it acts on, under the tool: `github/octo/hello`.
    pub resource: String,
    /// The argument values the catalog shows to policies.
    pub arguments: BTreeMap<Arc<str>, Argument>,
    /// What stands in its sinks.
    pub critical: Vec<Critical>,
    /// Labels that its answer puts on the task.
    pub yields: Arc<[Label]>,
    /// What is where in its answer.
    pub fields: Arc<[Field]>,
    /// Strings of a JSON answer that are turned to the door where they lead to the tool.
    pub rewrite: Arc<[Pointer]>,
}

impl Action {
    /// The name without the tool: `issues.create`.
    pub fn short_name(&self) -> &str {
        self.name.strip_prefix(&*self.tool).and_then(|rest| rest.strip_prefix('/')).unwrap_or(&self.name)
    }

    /// The resource without the tool: `octo/hello`.
    pub fn short_resource(&self) -> &str {
        self.resource.strip_prefix(&*self.tool).and_then(|rest| rest.strip_prefix('/')).unwrap_or(&self.resource)
    }
}

/// A part of an answer, and who stands behind it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Field {
    /// Where it is.
    pub at: Pointer,
    /// Who stands behind it.
    pub label: Label,
}

/// What an action does to the world.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// Looks, changes nothing.
    Read,
    /// Makes or changes something.
    Write,
    /// Removes something.
    Delete,
    /// Tells somebody something.
    Send,
    /// Costs money.
    Spend,
    /// Runs code.
    Execute,
}

impl Effect {
    /// Every effect, in order.
    pub const ALL: [Self; 6] = [Self::Read, Self::Write, Self::Delete, Self::Send, Self::Spend, Self::Execute];

    /// As catalogs, policies and records name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Delete => "delete",
            Self::Send => "send",
            Self::Spend => "spend",
            Self::Execute => "execute",
        }
    }

    /// Whether it changes nothing.
    pub const fn is_read(self) -> bool {
        match self {
            Self::Read => true,
            Self::Write | Self::Delete | Self::Send | Self::Spend | Self::Execute => false,
        }
    }
}

/// A value of one of the types a policy can compare.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(untagged)]
pub enum Argument {
    /// A whole number of 64 bits.
    Long(i64),
    /// True or false.
    Bool(bool),
    /// Text.
    Text(String),
    /// Up to four digits behind the point, as Cedar's `decimal` counts; kept as text.
    Decimal(String),
}
