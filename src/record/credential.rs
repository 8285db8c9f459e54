//! What a record says of a credential: what will be minted, and how that ended.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Revocation, Timestamp};

/// What will be minted, written down before it is.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct CredentialPlan {
    /// The issuer's name.
    pub issuer: String,
    /// The issuer's kind.
    pub kind: String,
    /// By what name it can be ended.
    pub handle: HandleNote,
    /// When it ends by itself at the latest; absent for a standing secret, and where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// What is known of a credential's name before it is minted.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HandleNote {
    /// There will be nothing to end.
    Nothing,
    /// This will be its name.
    Named(String),
    /// The issuer will say; a `Minted` record will hold it, sealed.
    Sealed,
}

/// How a credential ended.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct CredentialNote {
    /// What is known of its end.
    pub revocation: Revocation,
    /// When it was minted; absent if it never was, as far as is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minted_at: Option<Timestamp>,
    /// When its end was confirmed, or it was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// When it ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

impl CredentialNote {
    /// How long it was good for anything, as far as that is known: until its end was confirmed, or it ended by itself.
    pub fn privilege(&self) -> Option<Duration> {
        let until = match self.revocation {
            Revocation::Confirmed | Revocation::Expired => self.ended_at,
            Revocation::Unsupported | Revocation::Failed | Revocation::Unknown => self.expires_at,
            Revocation::NotNeeded => None,
        }?;
        self.minted_at.map(|minted| until.since(minted))
    }

    /// How long it was alive, as far as is known at `now`: until its end was confirmed, or else until it ends by itself.
    pub fn alive(&self, now: Timestamp) -> Duration {
        let Some(minted) = self.minted_at else { return Duration::ZERO };
        let end = match self.revocation {
            Revocation::Confirmed => self.ended_at.or(self.expires_at),
            Revocation::NotNeeded
            | Revocation::Expired
            | Revocation::Unsupported
            | Revocation::Failed
            | Revocation::Unknown => self.expires_at.or(self.ended_at),
        };
        end.unwrap_or(now).since(minted)
    }
}
