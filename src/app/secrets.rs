//! Secrets from where the configuration says they are. They are read here and nowhere else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::file::{LARGEST, open};
use super::{Environment, StartError};
use crate::config::{Agent, Config, IssuerKind, Rule, SecretFrom};
use crate::identify::{AgentProofs, All, Attestor, TokenRule};
use crate::model::{AgentName, Askers, Digest, Reviewer, Reviewers, Secret};

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
    /// It could not be told from other words.
    #[error(
        "the secret from {from} has fewer than {least} bytes, so it could not be masked in answers; use a longer one"
    )]
    Short {
        /// Where from.
        from: String,
        /// What it needs.
        least: usize,
    },
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
pub(super) fn secret(from: &SecretFrom, environment: &Environment) -> Result<Secret, SecretError> {
    let bytes = match from {
        SecretFrom::Env(name) => environment.get(name).ok_or_else(|| SecretError::Unset(name.clone()))?,
        SecretFrom::File(path) => private_file(path)?,
        SecretFrom::Systemd(name) => {
            let folder = std::env::var_os("CREDENTIALS_DIRECTORY").ok_or(SecretError::NoCredentials)?;
            let path = PathBuf::from(folder).join(name);
            open(&path).and_then(whole).map_err(unreadable(&path))?
        }
    };
    let end = bytes.iter().rposition(|byte| !byte.is_ascii_whitespace()).map_or(0, |last| last + 1);
    let secret = Secret::new(bytes.get(..end).unwrap_or_default());
    if end == 0 { Err(SecretError::Empty(described(from))) } else { Ok(secret) }
}

/// What is in a file that nobody but its owner can read: the very file whose mode was looked at.
pub(super) fn private_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let file = open(path).map_err(unreadable(path))?;
    let mode = file.metadata().map_err(unreadable(path))?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretError::Open { path: path.display().to_string(), mode });
    }
    whole(file).map_err(unreadable(path))
}

/// The room is made first: a buffer that grows leaves copies behind.
fn whole(file: File) -> std::io::Result<Zeroizing<Vec<u8>>> {
    let length = file.metadata()?.len();
    if length > LARGEST {
        return Err(std::io::Error::other("it is too large to be a secret"));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1));
    file.take(LARGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(path: &Path) -> impl Fn(std::io::Error) -> SecretError {
    let path = path.display().to_string();
    move |error| SecretError::File { path: path.clone(), error }
}

/// What proves agents, openers, reviewers and tools that ask.
fn proving(config: &Config) -> impl Iterator<Item = &SecretFrom> {
    let tokens = config.agents.iter().flat_map(|agent| agent.identify.iter().chain(&agent.open_tasks)).flat_map(tokens);
    let tools = config.tools.iter().filter_map(|tool| tool.introspect.as_ref());
    tokens.chain(config.reviewers.values().map(|reviewer| &reviewer.token)).chain(tools)
}

/// The files that hold what proves somebody.
pub(super) fn files(config: &Config) -> Vec<PathBuf> {
    let file = |from: &SecretFrom| match from {
        SecretFrom::File(path) => Some(path.clone()),
        SecretFrom::Env(_) | SecretFrom::Systemd(_) => None,
    };
    proving(config).filter_map(file).collect()
}

/// Digest over everything that proves somebody, to see whether it is still the same.
pub(super) fn tokens_digest(config: &Config, environment: &Environment) -> Result<Digest, SecretError> {
    let mut all = Vec::new();
    for from in proving(config) {
        all.extend_from_slice(&secret(from, environment)?.digest().0);
    }
    Ok(Digest::of(&all))
}

/// The environment variables that hold secrets.
pub(super) fn variables(config: &Config) -> BTreeSet<&str> {
    let issuers = config.issuers.values().filter_map(|issuer| match issuer {
        IssuerKind::Static { secret, .. } => Some(secret),
        IssuerKind::None | IssuerKind::Jwt { .. } => None,
    });
    let variables = proving(config).chain(issuers).chain(&config.approvals.webhook).filter_map(|from| match from {
        SecretFrom::Env(name) => Some(name.as_str()),
        SecretFrom::File(_) | SecretFrom::Systemd(_) => None,
    });
    variables.collect()
}

fn described(from: &SecretFrom) -> String {
    match from {
        SecretFrom::Env(name) => format!("the environment variable `{name}`"),
        SecretFrom::File(path) => format!("`{}`", path.display()),
        SecretFrom::Systemd(name) => format!("systemd's credential `{name}`"),
    }
}

/// Reads a secret that is lent to calls as it is. It has to be found in answers, among words that are none.
pub(super) fn lent(from: &SecretFrom, environment: &Environment) -> Result<Secret, SecretError> {
    let lent = secret(from, environment)?;
    if lent.is_short() { Err(SecretError::Short { from: described(from), least: Secret::SHORTEST }) } else { Ok(lent) }
}

/// Reads every other secret, so that `check` says what a start would.
pub(super) fn check(config: &Config, environment: &Environment) -> Result<(), SecretError> {
    config.issuers.values().try_for_each(|issuer| match issuer {
        IssuerKind::Static { secret: from, .. } => lent(from, environment).map(drop),
        IssuerKind::None | IssuerKind::Jwt { .. } => Ok(()),
    })
}

/// No token may both be an agent's proof and open tasks, in whatever file it lies.
fn keep_apart(config: &Config, environment: &Environment) -> Result<(), SecretError> {
    let digests = |rules: &dyn Fn(&Agent) -> &[Rule]| -> Result<BTreeMap<Digest, String>, SecretError> {
        let mut found = BTreeMap::new();
        for from in config.agents.iter().flat_map(rules).flat_map(tokens) {
            found.insert(secret(from, environment)?.digest(), described(from));
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
pub(super) fn proofs(
    config: &Config,
    environment: &Environment,
) -> Result<BTreeMap<AgentName, AgentProofs>, StartError> {
    keep_apart(config, environment)?;
    let mut agents = BTreeMap::new();
    for agent in &config.agents {
        let all = |rules: &[Rule]| {
            rules.iter().map(|rule| attestor(&agent.name, rule, environment)).collect::<Result<Vec<_>, SecretError>>()
        };
        let proofs = AgentProofs { identify: all(&agent.identify)?, open_tasks: all(&agent.open_tasks)? };
        agents.insert(agent.name.clone(), proofs);
    }
    Ok(agents)
}

fn attestor(agent: &AgentName, rule: &Rule, environment: &Environment) -> Result<Box<dyn Attestor>, SecretError> {
    Ok(match rule {
        Rule::Peer(peer) => Box::new(peer.clone()),
        Rule::Token(from) => {
            let weak =
                |why: crate::identify::WeakToken| SecretError::Weak { from: described(from), why: why.to_string() };
            Box::new(TokenRule::new(agent, &secret(from, environment)?).map_err(weak)?)
        }
        Rule::All(rules) => Box::new(All::new(
            rules.iter().map(|rule| attestor(agent, rule, environment)).collect::<Result<Vec<_>, _>>()?,
        )),
    })
}

/// The reviewers, by the digests of their tokens. Two with the same token could not be told apart.
pub(super) fn reviewers(config: &Config, environment: &Environment) -> Result<Reviewers, SecretError> {
    let (mut known, mut seen) = (Vec::new(), BTreeMap::new());
    for (name, reviewer) in &config.reviewers {
        let token = secret(&reviewer.token, environment)?;
        let weak = |why: String| SecretError::Weak { from: described(&reviewer.token), why };
        // The same length is asked of a reviewer's token as of an agent's.
        TokenRule::new(&AgentName(name.as_str().into()), &token).map_err(|why| weak(why.to_string()))?;
        if let Some(other) = seen.insert(token.digest(), name) {
            return Err(weak(format!(
                "it is that of the reviewer `{other}` too, so records could not say who did what"
            )));
        }
        let (may, roles) = (reviewer.may.clone(), reviewer.roles.clone());
        known.push((token.digest(), Reviewer { name: Some(name.clone()), may, roles }));
    }
    Ok(Reviewers::new(known))
}

/// The tools that may ask about our tokens. Whoever holds what proves a tool may be no other tool, and nobody else either.
pub(super) fn askers(config: &Config, environment: &Environment) -> Result<Askers, SecretError> {
    let mut known = BTreeMap::new();
    for tool in &config.tools {
        let Some(from) = &tool.introspect else { continue };
        let (shown, name) = (secret(from, environment)?, &tool.tool.name);
        let weak = |why: String| SecretError::Weak { from: described(from), why };
        TokenRule::new(&AgentName(name.clone()), &shown).map_err(|why| weak(why.to_string()))?;
        let mut same = 0;
        for other in proving(config) {
            same += usize::from(secret(other, environment)?.digest() == shown.digest());
        }
        if same > 1 {
            return Err(weak(
                "it proves somebody else too; a tool that asks about tokens has a secret of its own".to_owned(),
            ));
        }
        known.insert(name.clone(), shown.digest());
    }
    Ok(Askers::new(known))
}
