//! How an agent's verdicts are acted on.

use serde::{Deserialize, Serialize};

use super::Decision;

/// What becomes of a no.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It is a no.
    #[default]
    Enforce,
    /// It is recorded, and the call is made all the same. Only a quarantine still says no.
    Shadow,
    /// The same; and what no catalog knows is recorded as `unclassified`, and made if no credential is minted for it.
    Observe,
}

impl Mode {
    /// Whether a no is one.
    pub const fn enforces(self) -> bool {
        match self {
            Self::Enforce => true,
            Self::Shadow | Self::Observe => false,
        }
    }
}

/// What would have been decided, had the agent's mode or a rule's `@shadow` not kept it from being.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Would {
    /// The verdict.
    pub decision: Decision,
    /// The rules that determine it.
    pub rules: Vec<String>,
}
