//! Secrets from where the configuration says they are. They are read here and nowhere else.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::StartError;
use crate::config::{Agent, Config, IssuerKind, May, Rule, SecretFrom};
use crate::identify::{AgentProofs, All, Attestor, TokenRule};
use crate::model::{AgentName, Digest, Secret};

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set.
    #[error("the environment variable `{0}` is not set")]
    Unset(String),
    /// The file cannot be read.
    #[error("`{path}`: {error}")]
    File {
        /// Which.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// Others can read the file.
    #[error("`{path}` can be read by others than its owner (mode {mode:04o}); `chmod 600` it")]
    Open {
        /// Which.
        path: String,
        /// Its mode.
        mode: u32,
    },
    /// systemd handed nothing over.
    #[error("systemd handed over no credentials; `LoadCredential=` in the unit does")]
    NoCredentials,
    /// There is nothing in it.
    #[error("the secret from {0} is empty")]
    Empty(String),
    /// It could be guessed.
    #[error("the token from {from}: {why}")]
    Weak {
        /// Where from.
        from: String,
        /// Why.
        why: String,
    },
}

/// Reads a secret. A line end behind it is not part of it.
pub(super) fn secret(from: &SecretFrom) -> Result<Secret, SecretError> {
    let bytes = match from {
        SecretFrom::Env(name) => {
            std::env::var_os(name).ok_or_else(|| SecretError::Unset(name.clone()))?.into_encoded_bytes()
        }
        SecretFrom::File(path) => private_file(path)?,
        SecretFrom::Systemd(name) => {
            let folder = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or(SecretError::NoCredentials)?;
            let path = PathBuf::from(folder).join(name);
            std::fs::read(&path).map_err(|error| SecretError::File { path: path.display().to_string(), error })?
        }
    };
    let end = bytes.iter().rposition(|byte| !byte.is_ascii_whitespace()).map_or(0, |last| last + 1);
    let secret = Secret::new(bytes.get(..end).unwrap_or_default());
    if end == 0 { Err(SecretError::Empty(described(from))) } else { Ok(secret) }
}

pub(super) fn private_file(path: &Path) -> Result<Vec<u8>, SecretError> {
    let file = |error| SecretError::File { path: path.display().to_string(), error };
    let mode = std::fs::metadata(path).map_err(file)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretError::Open { path: path.display().to_string(), mode });
    }
    std::fs::read(path).map_err(file)
}

fn described(from: &SecretFrom) -> String {
    match from {
        SecretFrom::Env(name) => format!("the environment variable `{name}`"),
        SecretFrom::File(path) => format!("`{}`", path.display()),
        SecretFrom::Systemd(name) => format!("systemd's credential `{name}`"),
    }
}

/// Reads every other secret, so that `check` says what a start would.
pub(super) fn check(config: &Config) -> Result<(), SecretError> {
    reviewers(config, May::Read)?;
    reviewers(config, May::Erase)?;
    config.issuers.values().try_for_each(|issuer| match issuer {
        IssuerKind::Static { secret: from, .. } => secret(from).map(drop),
        IssuerKind::None | IssuerKind::Jwt { .. } => Ok(()),
    })
}

/// No token may both be an agent's proof and open tasks, in whatever file it lies.
fn keep_apart(config: &Config) -> Result<(), SecretError> {
    let digests = |rules: &dyn Fn(&Agent) -> &[Rule]| -> Result<BTreeMap<Digest, String>, SecretError> {
        let mut found = BTreeMap::new();
        for from in config.agents.iter().flat_map(rules).flat_map(tokens) {
            found.insert(secret(from)?.digest(), described(from));
        }
        Ok(found)
    };
    let proving = digests(&|agent| &agent.identify)?;
    let opening = digests(&|agent| &agent.open_tasks)?;
    match opening.iter().find(|(digest, _)| proving.contains_key(digest)) {
        Some((_, from)) => Err(SecretError::Weak {
            from: from.clone(),
            why: "it opens tasks and is an agent's proof too: an agent that can open tasks could declare anything"
                .to_owned(),
        }),
        None => Ok(()),
    }
}

fn tokens(rule: &Rule) -> Vec<&SecretFrom> {
    match rule {
        Rule::Peer(_) => Vec::new(),
        Rule::Token(from) => vec![from],
        Rule::All(rules) => rules.iter().flat_map(tokens).collect(),
    }
}

/// The proofs of every agent, with their secrets.
pub(super) fn proofs(config: &Config) -> Result<BTreeMap<AgentName, AgentProofs>, StartError> {
    keep_apart(config)?;
    let mut agents = BTreeMap::new();
    for agent in &config.agents {
        let all = |rules: &[Rule]| {
            rules.iter().map(|rule| attestor(&agent.name, rule)).collect::<Result<Vec<_>, SecretError>>()
        };
        let proofs = AgentProofs { identify: all(&agent.identify)?, open_tasks: all(&agent.open_tasks)? };
        agents.insert(agent.name.clone(), proofs);
    }
    Ok(agents)
}

fn attestor(agent: &AgentName, rule: &Rule) -> Result<Box<dyn Attestor>, SecretError> {
    Ok(match rule {
        Rule::Peer(peer) => Box::new(peer.clone()),
        Rule::Token(from) => {
            let weak =
                |why: crate::identify::WeakToken| SecretError::Weak { from: described(from), why: why.to_string() };
            Box::new(TokenRule::new(agent, &secret(from)?).map_err(weak)?)
        }
        Rule::All(rules) => {
            Box::new(All::new(rules.iter().map(|rule| attestor(agent, rule)).collect::<Result<Vec<_>, _>>()?))
        }
    })
}

/// Digests of the tokens of those reviewers who may do this.
pub(super) fn reviewers(config: &Config, what: May) -> Result<BTreeMap<String, Digest>, SecretError> {
    let reading = config.reviewers.iter().filter(|(_, reviewer)| reviewer.may.contains(&what));
    let digest = |name: &String, from: &SecretFrom| {
        let token = secret(from)?;
        // The same length is asked of a reviewer's token as of an agent's.
        TokenRule::new(&AgentName(name.as_str().into()), &token)
            .map_err(|why| SecretError::Weak { from: described(from), why: why.to_string() })?;
        Ok(token.digest())
    };
    reading.map(|(name, reviewer)| Ok((name.clone(), digest(name, &reviewer.token)?))).collect()
}
