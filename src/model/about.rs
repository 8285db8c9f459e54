//! What somebody is asked: all of a call that they see, and the rules that ask.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::{AgentName, ApprovalId, Argument, CallId, Digest, Effect, Facts, TaskId, Timestamp};

/// What a reviewer is asked about. They see all of it, and none of it changes.
#[derive(Clone, Debug, Serialize)]
pub struct About {
    /// The question's name.
    pub id: ApprovalId,
    /// The call.
    pub call: CallId,
    /// Its task.
    pub task: TaskId,
    /// Who asks for it.
    pub agent: AgentName,
    /// On whose behalf.
    pub on_behalf_of: Option<String>,
    /// The action's full name.
    pub action: Arc<str>,
    /// What it does.
    pub effect: Effect,
    /// What it acts on, under its tool.
    pub resource: String,
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Why, in the agent's own words. Nobody has to believe them.
    pub purpose: Option<String>,
    /// The facts it was judged by.
    pub facts: Facts,
    /// The argument values that the catalog shows.
    pub args: BTreeMap<Arc<str>, Argument>,
    /// The rules that ask: whom, and why.
    pub rules: BTreeMap<String, Asking>,
    /// Digest of all that an answer is bound to.
    pub bound: Digest,
    /// Since when it waits.
    pub asked_at: Timestamp,
    /// When it is over by itself.
    pub expires_at: Timestamp,
}

/// What one rule asks.
#[derive(Clone, Debug, Serialize)]
pub struct Asking {
    /// The role of those who may answer.
    pub who: String,
    /// The rule's `@reason`.
    pub reason: Option<String>,
    /// Digest of what the rule says.
    pub rule: Digest,
}
