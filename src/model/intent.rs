//! What the agent says it wants. Untrusted words.

use serde::{Deserialize, Serialize};

/// A declared intent.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Intent {
    /// The action it says it takes, without the tool: `issues.create`.
    pub action: Option<String>,
    /// The resource it says it acts on.
    pub resource: Option<String>,
    /// Why, in its own words.
    pub purpose: Option<String>,
    /// Where the words came from.
    pub source: IntentSource,
}

/// Where a declared intent came from.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentSource {
    /// The `Agent-Intent` header.
    Header,
    /// The task's grant names the action.
    Task,
    /// Nobody said anything.
    #[default]
    None,
}

impl IntentSource {
    /// As policies and records name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Task => "task",
            Self::None => "none",
        }
    }
}
