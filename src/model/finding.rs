//! Why a verdict is what it is.

use super::{Code, Digest};

/// One rule that decided.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Finding {
    /// The rule's id: its `@id`, `config:…` for one compiled from the configuration, `default` if no rule permits.
    pub rule: String,
    /// What kind of no it is.
    pub code: Code,
    /// Why, for the agent: the rule's `@reason`.
    pub reason: Option<String>,
    /// Whose yes the rule asks for, if it asks.
    pub ask: Option<Ask>,
    /// The rule's `@opaque`: the agent learns neither its name nor its reason.
    pub opaque: bool,
}

/// What a rule asks.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Ask {
    /// The role of those who may say yes.
    pub who: String,
    /// Digest of the rule as it stands: what a yes is bound to.
    pub rule: Digest,
}

impl Ask {
    /// Whom a rule asks that names nobody: any reviewer who may approve.
    pub const ANYBODY: &str = "anybody";
}

impl Finding {
    /// That of a rule which says no more than this.
    pub fn new(rule: impl Into<String>, code: Code, reason: Option<&str>) -> Self {
        Self { rule: rule.into(), code, reason: reason.map(str::to_owned), ask: None, opaque: false }
    }

    /// What the agent may read of it: the rule and its reason.
    pub fn shown(&self) -> Option<(&str, Option<&str>)> {
        (!self.opaque).then_some((self.rule.as_str(), self.reason.as_deref()))
    }
}
