//! Why a verdict is what it is.

use super::Code;

/// One rule that decided.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Finding {
    /// The rule's id: its `@id`, `config:…` for one compiled from the configuration, `default` if no rule permits.
    pub rule: String,
    /// What kind of no it is.
    pub code: Code,
    /// Why, for the agent: the rule's `@reason`.
    pub reason: Option<String>,
}
