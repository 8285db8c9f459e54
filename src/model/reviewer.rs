//! People who look at what was done and decide what may be: by what they are known, and what each may do.

use std::collections::BTreeSet;

use serde::Deserialize;
use subtle::ConstantTimeEq as _;

use super::Digest;

/// What a reviewer may do.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "snake_case")]
pub enum May {
    /// Look at calls and their records.
    Read,
    /// Erase what is private in them.
    Erase,
    /// Stop an agent or a call, and let an agent go on.
    Quarantine,
    /// Agree to calls, or not.
    Approve,
    /// Break the glass for an agent, and review what was done then.
    BreakGlass,
}

impl May {
    /// Everything there is.
    pub const ALL: [Self; 5] = [Self::Read, Self::Erase, Self::Quarantine, Self::Approve, Self::BreakGlass];

    /// As the configuration spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Erase => "erase",
            Self::Quarantine => "quarantine",
            Self::Approve => "approve",
            Self::BreakGlass => "break_glass",
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
    /// What rules that ask may call them, beside their name.
    pub roles: BTreeSet<String>,
}

impl Reviewer {
    /// What records call whoever owns the lineage.
    pub const OPERATOR: &str = "operator";

    /// Whoever owns the lineage: may do everything.
    pub fn operator() -> Self {
        Self { name: None, may: BTreeSet::from(May::ALL), roles: BTreeSet::new() }
    }

    /// What records call them.
    pub fn by(&self) -> &str {
        self.name.as_deref().unwrap_or(Self::OPERATOR)
    }
}

/// Every reviewer, known by the digest of a token.
#[derive(Clone, Debug, Default)]
pub struct Reviewers(Vec<(Digest, Reviewer)>);

impl Reviewers {
    /// Each with the digest of a token.
    pub fn new(known: Vec<(Digest, Reviewer)>) -> Self {
        Self(known)
    }

    /// The digest of the token of whoever has this name.
    pub fn token_of(&self, name: &str) -> Option<Digest> {
        let found = self.0.iter().find(|(_, reviewer)| reviewer.name.as_deref() == Some(name));
        found.map(|(token, _)| *token)
    }

    /// Whoever shows this token. A wrong one takes as long as a right one.
    pub fn by_token(&self, shown: &Digest) -> Option<Reviewer> {
        let found = self.0.iter().fold(
            None,
            |found, (known, reviewer)| {
                if bool::from(known.0.ct_eq(&shown.0)) { Some(reviewer) } else { found }
            },
        );
        found.cloned()
    }
}
