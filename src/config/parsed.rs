//! The configuration as used: typed, defaulted, checked once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::agent::Agent;
use super::people::{Approvals, Reviewer, approvals, reviewers};
use super::{Bytes, File, IssuerFile, ListenFile, SecretFile, SyncFile, Telemetry, asked, directory, elsewhere, tool};
use crate::model::{Algorithm, Preset, Tool};

/// The whole configuration.
#[derive(Debug)]
pub struct Config {
    /// Where the doors are.
    pub listen: Listen,
    /// Where keys lie.
    pub keys: PathBuf,
    /// Where records go.
    pub lineage: Lineage,
    /// Where policies lie.
    pub policies: PathBuf,
    /// Which of them, where there are two.
    pub preset: Preset,
    /// Files of values that agents may use, by name.
    pub directories: BTreeMap<String, PathBuf>,
    /// How questions are asked.
    pub approvals: Approvals,
    /// Who may look.
    pub reviewers: BTreeMap<String, Reviewer>,
    /// Who may call.
    pub agents: Vec<Agent>,
    /// What may be called.
    pub tools: Vec<ToolConfig>,
    /// Who lends credentials.
    pub issuers: BTreeMap<Arc<str>, IssuerKind>,
    /// Who is sent spans and metrics.
    pub telemetry: Telemetry,
}

/// The doors.
#[derive(Debug)]
pub struct Listen {
    /// For agents.
    pub agent: Door,
    /// What the agents' door proves itself with, if it speaks TLS.
    pub tls: Option<DoorTls>,
    /// For reviewers and operators.
    pub admin: Door,
    /// Further `Host` names to answer to.
    pub hosts: Vec<String>,
    /// The mode of the agent's socket: who may connect. Who is believed is `identify`'s.
    pub socket_mode: u32,
    /// Threads that carry calls.
    pub workers: Option<usize>,
    /// Connections that agents may have.
    pub connections: Option<usize>,
    /// Bytes of requests that may be held whole at a time.
    pub buffer: usize,
}

/// Where a door is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Door {
    /// An address, of loopback unless it is exposed.
    Tcp(SocketAddr),
    /// A path.
    Unix(PathBuf),
}

/// A certificate chain and its key, both in PEM.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DoorTls {
    /// The chain, the door's own certificate first.
    pub certificate: PathBuf,
    /// Its key, readable by its owner alone.
    pub key: PathBuf,
}

/// Where records go, and how.
#[derive(Debug)]
pub struct Lineage {
    /// The file.
    pub path: PathBuf,
    /// When an acknowledged record is safe.
    pub sync: SyncFile,
    /// How long a call waits for its record.
    pub deadline: Duration,
    /// Records that may wait.
    pub queue: usize,
    /// Refusals alike that are written one by one within a second.
    pub repeats: usize,
    /// Bytes on the disk that are kept for endings.
    pub reserve: u64,
    /// Where checkpoints are sent.
    pub checkpoints: Vec<Elsewhere>,
    /// Bytes of it in use at which records are moved into an archive.
    pub rotate_size: Option<u64>,
    /// How old its earliest record may become before that.
    pub rotate_age: Option<Duration>,
}

/// A place outside the lineage that a checkpoint is sent to.
#[derive(Clone, Debug)]
pub enum Elsewhere {
    /// A file, which holds the latest one.
    File(PathBuf),
    /// A server, which gets each by POST.
    Url(Arc<Tool>),
}

impl Lineage {
    /// The files that checkpoints are sent to.
    pub fn checkpoint_files(&self) -> Vec<PathBuf> {
        let file = |place: &Elsewhere| match place {
            Elsewhere::File(path) => Some(path.clone()),
            Elsewhere::Url(_) => None,
        };
        self.checkpoints.iter().filter_map(file).collect()
    }
}

/// Where a secret comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SecretFrom {
    /// An environment variable.
    Env(String),
    /// A file that only its owner can read.
    File(PathBuf),
    /// A credential that systemd hands over.
    Systemd(String),
}

/// A tool, and what stands beside it.
#[derive(Debug)]
pub struct ToolConfig {
    /// The tool.
    pub tool: Arc<Tool>,
    /// Its catalog.
    pub catalog: CatalogFrom,
    /// What it proves itself with when it asks about a token.
    pub introspect: Option<SecretFrom>,
}

/// Where a catalog is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum CatalogFrom {
    /// In the program, under this name.
    Embedded(Arc<str>),
    /// In this file.
    File(PathBuf),
}

/// What lends credentials.
#[derive(Debug)]
pub enum IssuerKind {
    /// Nothing: the tool wants none.
    None,
    /// One standing secret.
    Static {
        /// The secret.
        secret: SecretFrom,
        /// The header it goes into.
        header: HeaderName,
        /// What stands before it.
        prefix: String,
    },
    /// Our own signed tokens.
    Jwt {
        /// The `iss` claim.
        issuer: Option<String>,
        /// The `aud` claim.
        audience: Option<String>,
        /// The header it goes into.
        header: Option<HeaderName>,
        /// What they are signed by.
        algorithm: Algorithm,
        /// How long a key signs.
        rotate: Option<Duration>,
        /// Whether its tools ask about the tokens they get, so that a token can be ended.
        asked: bool,
    },
}

/// What is wrong, where in the file, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is no TOML, or has a key that there is not.
    #[error("{0}")]
    Syntax(String),
    /// A value makes no sense.
    #[error("`{key}`: {why}")]
    Value {
        /// The key.
        key: String,
        /// What is wrong with it, and what to do.
        why: String,
    },
}

/// The error for a key.
pub(super) fn wrong(key: impl Into<String>, why: impl std::fmt::Display) -> ConfigError {
    ConfigError::Value { key: key.into(), why: why.to_string() }
}

impl Config {
    /// Reads a configuration. Paths in it are relative to `base`, the folder it lies in.
    pub fn parse(text: &str, base: &Path) -> Result<Self, ConfigError> {
        let file: File =
            toml::from_str(text).map_err(|error| ConfigError::Syntax(error.to_string().trim_end().to_owned()))?;
        let mut issuers: BTreeMap<Arc<str>, IssuerKind> = file
            .issuers
            .into_iter()
            .map(|(name, issuer)| Ok((named("issuers", &name)?, issuer.parse(&name, base)?)))
            .collect::<Result<_, _>>()?;
        let tools: Vec<ToolConfig> = file
            .tools
            .into_iter()
            .map(|(name, tool)| tool::parse(&name, tool, base, &issuers))
            .collect::<Result<_, _>>()?;
        let directories = directory::parse(file.directories, &file.agents, base)?;
        asked::note(&tools, &mut issuers)?;
        let known: BTreeSet<Arc<str>> = tools.iter().map(|tool| tool.tool.name.clone()).collect();
        Ok(Self {
            listen: Listen {
                agent: agents_door(&file.listen, base)?,
                tls: file
                    .listen
                    .tls
                    .map(|tls| DoorTls { certificate: base.join(tls.certificate), key: base.join(tls.key) }),
                admin: door("listen.admin", &file.listen.admin, base)?,
                hosts: file.listen.hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect(),
                socket_mode: socket_mode(&file.listen.socket_mode)?,
                workers: file.listen.workers.filter(|workers| *workers > 0),
                connections: file.listen.connections.filter(|connections| *connections > 0),
                buffer: file.listen.buffer.0,
            },
            keys: base.join(file.keys.dir),
            lineage: Lineage {
                path: base.join(file.lineage.path),
                sync: file.lineage.sync,
                deadline: file.lineage.deadline.0,
                queue: file.lineage.queue.max(2),
                repeats: file.lineage.repeats,
                reserve: file.lineage.reserve.0 as u64,
                rotate_size: file.lineage.rotate_size.map(|Bytes(bytes)| bytes as u64),
                rotate_age: file.lineage.rotate_age.map(|span| span.0),
                checkpoints: elsewhere::parse(file.lineage.checkpoints, base)?,
            },
            policies: base.join(file.policies.dir),
            preset: file.policies.preset,
            directories,
            approvals: approvals(file.approvals, base)?,
            reviewers: reviewers(file.reviewers, base)?,
            agents: file
                .agents
                .into_iter()
                .map(|(name, agent)| agent.parse(&name, &known, base))
                .collect::<Result<_, _>>()?,
            tools,
            issuers,
            telemetry: elsewhere::telemetry(file.telemetry)?,
        })
    }
}

fn socket_mode(text: &str) -> Result<u32, ConfigError> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777);
    mode.ok_or_else(|| wrong("listen.socket_mode", format!("`{text}` is no mode such as `0660`")))
}

/// A name that may stand in a path, a rule and a record: `a-z`, `0-9`, `-` and `_`, beginning with a letter or digit.
pub(super) fn named(table: &str, name: &str) -> Result<Arc<str>, ConfigError> {
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    if begins && name.len() <= 64 && name.bytes().all(fine) {
        return Ok(name.into());
    }
    Err(wrong(
        format!("{table}.{name}"),
        "a name has up to 64 of `a-z`, `0-9`, `-` and `_`, and begins with a letter or digit",
    ))
}

/// Beyond loopback, anybody may knock: that has to be said, and wants TLS and a name to be called by.
fn agents_door(listen: &ListenFile, base: &Path) -> Result<Door, ConfigError> {
    let key = "listen.agent";
    if listen.tls.is_some() && listen.agent.starts_with("unix:") {
        return Err(wrong("listen.tls", "a Unix socket needs no TLS; leave it out"));
    }
    if !listen.expose {
        return door(key, &listen.agent, base);
    }
    let address: SocketAddr = listen
        .agent
        .parse()
        .map_err(|_| wrong("listen.expose", "only an address such as `192.0.2.7:7080` can be exposed; leave it out"))?;
    if listen.tls.is_none() || listen.hosts.is_empty() {
        return Err(wrong(
            "listen.expose",
            "beyond loopback, agents' proofs are read by anybody on the way: set `listen.tls`, and the names agents call the door by under `listen.hosts`",
        ));
    }
    Ok(Door::Tcp(address))
}

fn door(key: &str, text: &str, base: &Path) -> Result<Door, ConfigError> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(Door::Unix(base.join(path)));
    }
    let address: SocketAddr = text
        .parse()
        .map_err(|_| wrong(key, format!("`{text}` is neither `unix:PATH` nor an address such as `127.0.0.1:7080`")))?;
    let loopback = match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_loopback(),
    };
    if loopback {
        Ok(Door::Tcp(address))
    } else {
        Err(wrong(key, "this is beyond loopback; only the agents' door can be exposed, with `expose = true` and `tls`"))
    }
}

impl SecretFile {
    pub(super) fn parse(self, base: &Path) -> SecretFrom {
        match self {
            Self::Env(name) => SecretFrom::Env(name),
            Self::File(path) => SecretFrom::File(base.join(path)),
            Self::Systemd(name) => SecretFrom::Systemd(name),
        }
    }
}

impl IssuerFile {
    fn parse(self, name: &str, base: &Path) -> Result<IssuerKind, ConfigError> {
        let header = |header: Option<String>| {
            header.map(|header| tool::header_name(&format!("issuers.{name}.header"), &header)).transpose()
        };
        Ok(match self {
            Self::None => IssuerKind::None,
            Self::Static { secret, header: name, prefix } => {
                let header = header(name)?.unwrap_or(http::header::AUTHORIZATION);
                let usual = if header == http::header::AUTHORIZATION { "Bearer " } else { "" };
                IssuerKind::Static {
                    secret: secret.parse(base),
                    prefix: prefix.unwrap_or_else(|| usual.to_owned()),
                    header,
                }
            }
            Self::Jwt { issuer, audience, header: name, algorithm, rotate } => {
                let (header, rotate) = (header(name)?, rotate.map(|span| span.0));
                IssuerKind::Jwt { issuer, audience, header, algorithm, rotate, asked: false }
            }
        })
    }
}
