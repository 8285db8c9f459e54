//! What a record says: one thing that happened, as a leaf of the tree.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::credential::{CredentialNote, CredentialPlan};
use super::facts::FactsNote;
use super::habits::{Learned, Ratified, Reset};
use super::people::{Amended, Asked, GlassBroken, NotLoaded, Quarantined, Released, Resolved, Reviewed};
use crate::model::{CallId, Digest, Ending, Revocation, TaskId, Timestamp, Would};

/// One thing that happened.
///
/// The event is public to everyone who may read the lineage and can never be taken out. What is private lies apart,
/// under a salted commitment, and can be erased without breaking the tree.
#[derive(Clone, Debug)]
pub struct Record {
    /// When.
    pub at: Timestamp,
    /// The call it belongs to.
    pub call: Option<CallId>,
    /// The task it belongs to.
    pub task: Option<TaskId>,
    /// What happened.
    pub event: Event,
    /// Fields of which the leaf holds only commitments.
    pub private: BTreeMap<&'static str, Value>,
}

/// The kinds of records.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// What judges from here on was loaded.
    Loaded(Loaded),
    /// A call was permitted. Its credential is minted after this.
    Permitted(Box<Permitted>),
    /// A call was refused.
    Refused(Box<Refused>),
    /// An issuer told the name of the credential it minted.
    Minted(Minted),
    /// A permitted call ended.
    Ended(Ended),
    /// A credential whose end was open at the call's ending has ended.
    Settled(Settled),
    /// A task was opened.
    Opened(Opened),
    /// A task was ended.
    Closed(Closed),
    /// Refusals that were counted rather than written one by one.
    Repeated(Repeated),
    /// Private fields were erased.
    Erased(Erased),
    /// A call waits for somebody to agree.
    Asked(Box<Asked>),
    /// What somebody said to that, or that nobody said anything.
    Resolved(Resolved),
    /// A task's grant has become another one.
    Amended(Amended),
    /// An agent was stopped.
    Quarantined(Quarantined),
    /// It may go on.
    Released(Released),
    /// The glass was broken for an agent.
    GlassBroken(GlassBroken),
    /// Somebody has looked at what was done while it was.
    Reviewed(Reviewed),
    /// What was to be loaded makes no sense, so what was loaded before goes on.
    NotLoaded(NotLoaded),
    /// A task ended cleanly, and shows what its agent does.
    Learned(Box<Learned>),
    /// A baseline of an agent is in force.
    Ratified(Ratified),
    /// An agent has no baseline any more.
    Reset(Reset),
}

impl Event {
    /// As the record spells its kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Loaded(_) => "loaded",
            Self::Permitted(_) => "permitted",
            Self::Refused(_) => "refused",
            Self::Minted(_) => "minted",
            Self::Ended(_) => "ended",
            Self::Settled(_) => "settled",
            Self::Opened(_) => "opened",
            Self::Closed(_) => "closed",
            Self::Repeated(_) => "repeated",
            Self::Erased(_) => "erased",
            Self::Asked(_) => "asked",
            Self::Resolved(_) => "resolved",
            Self::Amended(_) => "amended",
            Self::Quarantined(_) => "quarantined",
            Self::Released(_) => "released",
            Self::GlassBroken(_) => "glass_broken",
            Self::Reviewed(_) => "reviewed",
            Self::NotLoaded(_) => "not_loaded",
            Self::Learned(_) => "learned",
            Self::Ratified(_) => "ratified",
            Self::Reset(_) => "reset",
        }
    }

    /// Whether somebody waits for it: what must be durable before the next step.
    pub const fn is_awaited(&self) -> bool {
        match self {
            Self::Loaded(_)
            | Self::Permitted(_)
            | Self::Minted(_)
            | Self::Opened(_)
            | Self::Closed(_)
            | Self::Erased(_)
            | Self::Asked(_)
            | Self::Resolved(_)
            | Self::Amended(_)
            | Self::Quarantined(_)
            | Self::Released(_)
            | Self::GlassBroken(_)
            | Self::Reviewed(_)
            | Self::NotLoaded(_)
            | Self::Ratified(_)
            | Self::Reset(_) => true,
            Self::Refused(_) | Self::Ended(_) | Self::Settled(_) | Self::Repeated(_) | Self::Learned(_) => false,
        }
    }
}

/// What was loaded, by digest; the texts lie in the store under these digests.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Loaded {
    /// Digest over all of the below: what a `Permitted` names as `policies`.
    pub version: Digest,
    /// Each file by what it is and its name: `policy:policies/main.cedar`, `catalog:tickets`, `schema`, `config`.
    pub parts: BTreeMap<String, Digest>,
    /// Version of the program.
    pub program: String,
    /// Version of Cedar.
    pub cedar: String,
    /// The texts, for the store; not part of the leaf.
    #[serde(skip)]
    pub texts: BTreeMap<Digest, String>,
}

/// A permitted call.
///
/// Private fields: `workload`, `resource`, `purpose`, `declared`, `target`, `content`, `args`, `on_behalf_of`, `details`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Permitted {
    /// Who asked.
    pub agent: String,
    /// The call it follows from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<CallId>,
    /// The action's full name.
    pub action: String,
    /// What it does.
    pub effect: String,
    /// The tool's origin: the credential's audience.
    pub audience: String,
    /// The method.
    pub method: String,
    /// Bytes of the body; absent where it was not read before the call was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// The agent sent a credential of its own along, which was not sent on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub brought_credential: bool,
    /// The facts, but for those that are private.
    pub facts: FactsNote,
    /// The rules that permitted it.
    pub rules: Vec<String>,
    /// How long a credential may live by these rules, in milliseconds; its task may end before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// What would have been decided, had the agent's mode or a rule's `@shadow` not kept it from being.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would: Option<Would>,
    /// What was loaded when it was judged.
    pub policies: Digest,
    /// What will be minted.
    pub credential: CredentialPlan,
}

/// A credential's name, learned from its issuer and sealed under the store's key.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Minted {
    /// The issuer's name.
    pub issuer: String,
    /// The sealed name, base64.
    pub handle: String,
    /// When the credential ends by itself.
    pub expires_at: Option<Timestamp>,
}

/// A refused call: whatever was known of it by then.
///
/// Private fields: `peer`, `workload`, `resource`, `purpose`, `declared`, `target`, `args`, `on_behalf_of`, `why`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Refused {
    /// The code of the answer.
    pub code: String,
    /// `deny`, `throttle` or `unavailable`.
    pub decision: String,
    /// The rules that refused it.
    pub rules: Vec<String>,
    /// Who asked, if that was proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The method.
    pub method: String,
    /// The action's full name, if it was understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The facts, if it was judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub facts: Option<FactsNote>,
    /// What was loaded when it was judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policies: Option<Digest>,
}

/// How a permitted call ended. Private fields: `answer_digest`; `content`, where the body was not read before.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Ended {
    /// How.
    pub ending: Ending,
    /// Why, if it did not simply complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What was sent behind the head, where that was not known when the call was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<SentNote>,
    /// What the upstream answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<AnswerNote>,
    /// The credential's secret stood in the answer. It was masked there, and the credential ended at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub echo: bool,
    /// How the credential ended.
    pub credential: CredentialNote,
}

/// What streamed to the upstream.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SentNote {
    /// Bytes.
    pub bytes: u64,
    /// Whether it was sent to its end.
    pub whole: bool,
}

/// An answer, as far as it was passed on.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct AnswerNote {
    /// The status code.
    pub status: u16,
    /// Bytes of the body.
    pub bytes: u64,
}

/// What became of a credential whose end was open when its call ended.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Settled {
    /// The issuer's name.
    pub issuer: String,
    /// How it ended at last.
    pub revocation: Revocation,
}

/// A task was opened. Private fields: `goal`, `on_behalf_of`, `grant`, `values`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Opened {
    /// The agent that may call in it.
    pub agent: String,
    /// `framework` or `self`.
    pub opened_by: String,
    /// Digest of the task's token.
    pub token: Digest,
    /// The task it came out of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<TaskId>,
    /// How many tasks stand above it.
    pub depth: u32,
    /// When it is over by itself.
    pub expires_at: Option<Timestamp>,
}

/// A task was ended.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Closed {
    /// Who ended it: `opener`, `agent`, `operator`, or `parent` where the task it came out of was ended.
    pub by: String,
}

/// Refusals that are alike in all these fields, beyond those that were written one by one. Its own time is that of the last.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Repeated {
    /// The code of the answers.
    pub code: String,
    /// `deny`, `throttle` or `unavailable`.
    pub decision: String,
    /// The rules that refused them.
    pub rules: Vec<String>,
    /// Who asked, if that was proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The action's full name, if it was understood.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// How many: exactly.
    pub count: u64,
    /// When the first of them was refused.
    pub since: Timestamp,
    /// The first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<CallId>,
    /// The last of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<CallId>,
}

/// Private fields were erased: the commitments stay, and nobody can open them any more. Private fields: `why`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Erased {
    /// The records whose private fields are gone, by their places in the tree.
    pub records: Vec<u64>,
    /// Who asked for it.
    pub by: String,
}
