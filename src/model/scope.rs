//! What a credential is asked for: this call and nothing else.

use std::time::Duration;

/// The narrowest of what policy, task and intent allow.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Scope {
    /// The origin the credential is for: scheme, host and port.
    pub audience: String,
    /// The action's full name.
    pub action: String,
    /// The resource, under the tool.
    pub resource: String,
    /// How long it may live at most.
    pub ttl: Duration,
}
