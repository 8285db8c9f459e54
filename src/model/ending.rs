//! How a call ended, and how its credential did.

use serde::{Deserialize, Serialize};

use super::Digest;

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
