//! What a record tells of a verdict, in its own words.

use serde::Serialize;

use super::{Decision, Would};

/// A verdict as a record has it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Told {
    /// What was decided.
    pub decision: Decision,
    /// The code it was answered with, if it was a no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The rules that determined it, in order.
    pub rules: Vec<String>,
    /// How long a credential might live by these rules, if it was a yes; absent in records of before this was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// What would have been decided, had the agent's mode or a rule's `@shadow` not kept it from being.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would: Option<Would>,
}

impl Told {
    /// Whether the two are the same, as far as both tell.
    pub fn agrees(&self, other: &Self) -> bool {
        let ttl = |told: &Self| told.ttl_ms.or(self.ttl_ms).or(other.ttl_ms);
        self.decision == other.decision
            && self.code == other.code
            && self.rules == other.rules
            && ttl(self) == ttl(other)
            && self.would == other.would
    }
}
