//! What a record says of people's decisions: questions and answers, grants, quarantine, broken glass; and of what was not
//! loaded, for them to know.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::FactsNote;
use crate::model::{ApprovalId, Digest, Timestamp};

/// A call waits for somebody to agree: it was judged, and its bytes are kept.
///
/// Private fields: those of `permitted`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Asked {
    /// The question's name.
    pub approval: ApprovalId,
    /// `ask`.
    pub decision: String,
    /// Who asked for the call.
    pub agent: String,
    /// The action's full name.
    pub action: String,
    /// What it does.
    pub effect: String,
    /// The method.
    pub method: String,
    /// The rules that ask, each with the digest of what it says.
    pub rules: BTreeMap<String, Digest>,
    /// The roles of which one may answer each.
    pub who: BTreeSet<String>,
    /// What an answer is bound to: digest over the agent, the tool's origin, method, target, headers and body.
    pub bound: Digest,
    /// When the question is over by itself.
    pub expires_at: Timestamp,
    /// The facts it was judged by, but for those that are private.
    pub facts: FactsNote,
    /// What was loaded when it was judged.
    pub policies: Digest,
}

/// A question is answered, or over. Private fields: `why`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Resolved {
    /// The question.
    pub approval: ApprovalId,
    /// How.
    pub answer: Answer,
    /// The reviewer who said so; absent if nobody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// What became of a question.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// One of several who are asked agreed; the others still have to.
    Agreed,
    /// All who were asked agreed.
    Approved,
    /// Somebody did not.
    Denied,
    /// Nobody said anything in time, or the sidecar was stopped meanwhile.
    Expired,
    /// The agent, its task or the rule that asked is gone.
    Cancelled,
}

impl Answer {
    /// As records spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agreed => "agreed",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A task's grant has become another one. Private fields: `grant` and `values`, whole as they are from here on.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Amended {
    /// The agent.
    pub agent: String,
    /// Which grant of the task this is; the one it was opened with is 1.
    pub version: u32,
    /// Who decided it: `opener`, `policy`, or the approval that somebody gave.
    pub by: String,
    /// The rules that allowed it, where it was judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// What was loaded when it was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policies: Option<Digest>,
    /// The facts it was judged by, for the first of its lines, but for those that are private.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<FactsNote>,
}

/// An agent was stopped. Private fields: `why`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Quarantined {
    /// The agent.
    pub agent: String,
    /// Who stopped it.
    pub by: String,
}

/// An agent may go on. Private fields: `why`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Released {
    /// The agent.
    pub agent: String,
    /// Who let it.
    pub by: String,
}

/// The glass was broken for an agent: policies that look for it let it pass. Private fields: `why`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct GlassBroken {
    /// The agent.
    pub agent: String,
    /// Who broke it.
    pub by: String,
    /// Until when.
    pub until: Timestamp,
}

/// Somebody has looked at what was done while the glass was broken. Private fields: `note`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Reviewed {
    /// The place of the `glass_broken` in the tree.
    pub record: u64,
    /// Who looked.
    pub by: String,
}

/// What was to be loaded makes no sense. Private fields: `why`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct NotLoaded {
    /// What was loaded before, and goes on.
    pub policies: Digest,
}
