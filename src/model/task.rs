//! What somebody asked an agent to do, and what that allows it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Action, AgentName, Given, TaskId, Timestamp};

/// The action of asking that a task's grant have a line more. It is in no group, and a `permit` that names no action does
/// not permit it.
pub const AMEND: &str = "task:amend";

/// A task as it was opened and amended. What happens in it is remembered apart (`memory`).
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Task {
    /// Its id; for an implicit task, derived from the agent's name.
    pub id: TaskId,
    /// The one agent that may call in it.
    pub agent: AgentName,
    /// Who opened it.
    pub opened_by: OpenedBy,
    /// The person or system it is for, as its opener says.
    pub on_behalf_of: Option<String>,
    /// What is to be reached, in the opener's words.
    pub goal: String,
    /// What it declares: as it was opened with, and what was added since. Lines are added, and never changed or taken out.
    pub grant: Vec<Grant>,
    /// Which grant this is: 1 as it was opened with, one more with each amendment.
    pub version: u32,
    /// The values its opener vouches for.
    pub values: Arc<Given>,
    /// The task it came out of.
    pub parent: Option<TaskId>,
    /// How many parents stand above it.
    pub depth: u32,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it is over by itself; an implicit task is never over.
    pub expires_at: Option<Timestamp>,
}

/// One line of a grant: an action, perhaps on one resource only, perhaps a number of times only.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The action's full name: `github/issues.create`.
    pub action: Arc<str>,
    /// The resource without the tool; any, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// How many calls it covers; any number, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
}

impl Grant {
    /// Whether the line names this action on this resource. Counting is memory's.
    pub fn covers(&self, action: &Action) -> bool {
        self.action == action.name
            && self.resource.as_deref().is_none_or(|resource| resource == action.short_resource())
    }

    /// Whether whatever this line covers, the other covers too, and it is counted if that is.
    pub fn is_within(&self, wider: &Self) -> bool {
        self.action == wider.action
            && (wider.resource.is_none() || self.resource == wider.resource)
            && (wider.max.is_none() || self.max.is_some())
    }
}

/// Who opened a task. What the agent opened for itself attests nothing.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OpenedBy {
    /// A proof listed in the agent's `open_tasks`.
    Framework,
    /// The agent, with its own proof.
    #[serde(rename = "self")]
    Agent,
    /// Nobody: the agent's implicit task.
    Nobody,
}

impl OpenedBy {
    /// As policies and records name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Framework => "framework",
            Self::Agent => "self",
            Self::Nobody => "nobody",
        }
    }
}

/// What a task has taken in.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// It is not for everybody's eyes.
    Private,
    /// A system of record vouches for it.
    Trusted,
    /// Somebody outside may have written it.
    Untrusted,
}

impl Label {
    /// As catalogs, policies and records name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Untrusted => "untrusted",
            Self::Trusted => "trusted",
            Self::Private => "private",
        }
    }
}
