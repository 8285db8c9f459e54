//! How much a set of policies interrupts.

use serde::Deserialize;

/// Which of two files is loaded where a policy comes in both: `NAME.strict.cedar` or `NAME.balanced.cedar`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Nothing passes that nobody stands behind.
    #[default]
    Strict,
    /// What can be undone and was read where its owner said passes.
    Balanced,
}

impl Preset {
    /// As the configuration and file names have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Balanced => "balanced",
        }
    }

    /// Whether a file of this name is the other preset's.
    pub fn leaves_out(self, file: &str) -> bool {
        let other = match self {
            Self::Strict => Self::Balanced,
            Self::Balanced => Self::Strict,
        };
        file.split('.').skip(1).any(|part| part == other.name())
    }
}
