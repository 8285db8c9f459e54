//! People as configured: who may look and agree, and how they are asked.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use super::parsed::{ConfigError, SecretFrom, wrong};
use super::{ApprovalsFile, AskFile, May, ReviewerFile};
use crate::memory::DeskRule;

/// Seconds a call may be held until somebody agrees: agents and what they are built on wait for about as long.
const LONGEST_HOLD: u64 = 300;

/// Someone who may look.
#[derive(Debug)]
pub struct Reviewer {
    /// What proves them.
    pub token: SecretFrom,
    /// What they may do.
    pub may: BTreeSet<May>,
    /// What rules that ask may call them, beside their name.
    pub roles: BTreeSet<String>,
}

/// How questions are asked.
#[derive(Clone, Debug)]
pub struct Approvals {
    /// How often, and how long they wait.
    pub rule: DeskRule,
    /// Where it is told that one waits: an address, which is a secret.
    pub webhook: Option<SecretFrom>,
}

impl ReviewerFile {
    pub(super) fn parse(self, base: &Path) -> Reviewer {
        let Self { token, may, roles } = self;
        Reviewer { token: token.parse(base), may: may.into_iter().collect(), roles: roles.into_iter().collect() }
    }
}

pub(super) fn approvals(file: ApprovalsFile, base: &Path) -> Result<Approvals, ConfigError> {
    if file.hold_s == 0 || file.hold_s > LONGEST_HOLD {
        return Err(wrong("approvals.hold_s", format!("a call is held for up to {LONGEST_HOLD} seconds")));
    }
    let hold = match file.ask {
        AskFile::Return => None,
        AskFile::Hold => Some(Duration::from_secs(file.hold_s)),
    };
    let rule = DeskRule { per_hour: file.max_per_hour, wait: file.wait.0, valid: file.valid.0, hold };
    Ok(Approvals { rule, webhook: file.notify.map(|notify| notify.webhook.parse(base)) })
}
