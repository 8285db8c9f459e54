//! People as configured: who may look and agree, and how they are asked.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use super::parsed::{ConfigError, SecretFrom, named, wrong};
use super::{ApprovalsFile, AskFile, ReviewerFile};
use crate::memory::DeskRule;
use crate::model::{May, Reviewer as Known};

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

/// Records name who decided something, so no reviewer is called what records call somebody else.
pub(super) fn reviewers(
    files: BTreeMap<String, ReviewerFile>,
    base: &Path,
) -> Result<BTreeMap<String, Reviewer>, ConfigError> {
    let reviewer = |(name, file): (String, ReviewerFile)| {
        named("reviewers", &name)?;
        if [Known::OPERATOR, "opener", "policy"].contains(&name.as_str()) {
            return Err(wrong(format!("reviewers.{name}"), "records call somebody else so; take another name"));
        }
        let ReviewerFile { token, may, roles } = file;
        let (may, roles) = (may.into_iter().collect(), roles.into_iter().collect());
        Ok((name, Reviewer { token: token.parse(base), may, roles }))
    };
    files.into_iter().map(reviewer).collect()
}

pub(super) fn approvals(file: ApprovalsFile, base: &Path) -> Result<Approvals, ConfigError> {
    if file.hold_s == 0 || file.hold_s > LONGEST_HOLD {
        return Err(wrong("approvals.hold_s", format!("a call is held for up to {LONGEST_HOLD} seconds")));
    }
    let hold = match file.ask {
        AskFile::Return => None,
        AskFile::Hold => Some(Duration::from_secs(file.hold_s)),
    };
    let ApprovalsFile { max_per_hour: per_hour, wait, valid, remember, .. } = file;
    let rule = DeskRule { per_hour, wait: wait.0, valid: valid.0, remember: remember.0, hold };
    Ok(Approvals { rule, webhook: file.notify.map(|notify| notify.webhook.parse(base)) })
}
