//! How a call ended, and how its credential did.

use serde::{Deserialize, Serialize};

use super::{Digest, Tally};

/// How a permitted call ended, and what is known of it by then.
pub struct Outcome {
    /// How.
    pub ending: Ending,
    /// Why, if it did not simply complete.
    pub why: Option<String>,
    /// What was sent behind the head, where that was not known when the call was judged.
    pub sent: Option<Tally>,
    /// What the upstream answered.
    pub answered: Option<Answered>,
    /// The credential's secret stood in the answer, where it was masked.
    pub echo: bool,
}

impl Outcome {
    /// An ending of which nothing else is known.
    pub const fn of(ending: Ending) -> Self {
        Self { ending, why: None, sent: None, answered: None, echo: false }
    }
}

/// How a permitted call ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The answer was passed on to its end.
    Completed,
    /// Minting, sending or answering failed.
    Failed,
    /// The agent hung up.
    Abandoned,
    /// The call ran out of its time.
    Expired,
    /// It was cut off on purpose.
    Revoked,
    /// The sidecar stopped.
    Shutdown,
    /// The sidecar died while it ran: what the upstream did is not known.
    Unknown,
}

impl Ending {
    /// As records spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Shutdown => "shutdown",
            Self::Unknown => "unknown",
        }
    }
}

/// What is known of a credential's end. Never assumed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Revocation {
    /// There was no credential.
    NotNeeded,
    /// The issuer confirmed that it is ended.
    Confirmed,
    /// Its time had run out before it could be ended.
    Expired,
    /// This kind cannot be ended early: it ends when its time runs out, which is recorded.
    Unsupported,
    /// The issuer did not confirm. The grant is quarantined and the ending tried again.
    Failed,
    /// Minted perhaps, and its name never learned: quarantined until it must have expired.
    Unknown,
}

impl Revocation {
    /// As records spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotNeeded => "not_needed",
            Self::Confirmed => "confirmed",
            Self::Expired => "expired",
            Self::Unsupported => "unsupported",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }

    /// Whether nothing more has to be done about the credential.
    pub const fn is_settled(self) -> bool {
        match self {
            Self::NotNeeded | Self::Confirmed | Self::Expired | Self::Unsupported => true,
            Self::Failed | Self::Unknown => false,
        }
    }
}

/// What the upstream answered, as far as it was passed on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Answered {
    /// The status code.
    pub status: u16,
    /// Bytes of the body.
    pub bytes: u64,
    /// SHA-256 over these bytes.
    pub digest: Digest,
}
