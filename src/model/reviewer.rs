//! People who look at what was done and decide what may be: by what they are known, and what each may do.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use subtle::ConstantTimeEq as _;

use super::Digest;

/// What a reviewer may do.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "lowercase")]
pub enum May {
    /// Look at calls and their records.
    Read,
    /// Erase what is private in them.
    Erase,
    /// Stop an agent or a call, and let an agent go on.
    Quarantine,
}

impl May {
    /// Everything there is.
    pub const ALL: [Self; 3] = [Self::Read, Self::Erase, Self::Quarantine];

    /// As the configuration spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Erase => "erase",
            Self::Quarantine => "quarantine",
        }
    }
}

/// Somebody at the admin door.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reviewer {
    /// The configuration's name for them; none for the operator, who is whoever owns the lineage anyway.
    pub name: Option<String>,
    /// What they may do.
    pub may: BTreeSet<May>,
}

impl Reviewer {
    /// What records call whoever owns the lineage.
    pub const OPERATOR: &str = "operator";

    /// Whoever owns the lineage: may do everything.
    pub fn operator() -> Self {
        Self { name: None, may: BTreeSet::from(May::ALL) }
    }

    /// What records call them.
    pub fn by(&self) -> &str {
        self.name.as_deref().unwrap_or(Self::OPERATOR)
    }
}

/// Every reviewer, known by the digest of a token.
#[derive(Clone, Debug, Default)]
pub struct Reviewers(BTreeMap<String, (Digest, BTreeSet<May>)>);

impl Reviewers {
    /// By name, with the digest of each one's token and what they may do.
    pub fn new(known: BTreeMap<String, (Digest, BTreeSet<May>)>) -> Self {
        Self(known)
    }

    /// Whoever shows this token. A wrong one takes as long as a right one.
    pub fn by_token(&self, shown: &Digest) -> Option<Reviewer> {
        self.0.iter().fold(None, |found, (name, (known, may))| {
            let is = bool::from(known.0.ct_eq(&shown.0));
            if is { Some(Reviewer { name: Some(name.clone()), may: may.clone() }) } else { found }
        })
    }
}
