//! The configuration as written: one TOML file, unknown keys are errors.

mod agent;
mod asked;
mod baseline;
mod directory;
mod elsewhere;
mod fixed;
mod parsed;
mod people;
mod size;
mod tool;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::model::Preset;

pub use self::agent::{Agent, Rule};
pub use self::elsewhere::{Telemetry, webhook};
pub use self::parsed::{
    CatalogFrom, Config, ConfigError, Door, DoorTls, Elsewhere, IssuerKind, Lineage, Listen, SecretFrom, ToolConfig,
};
pub use self::people::{Approvals, Reviewer};
pub use self::size::{Bytes, Remembered, Span};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    #[serde(default)]
    listen: ListenFile,
    #[serde(default)]
    keys: KeysFile,
    #[serde(default)]
    lineage: LineageFile,
    #[serde(default)]
    policies: PoliciesFile,
    #[serde(default)]
    approvals: ApprovalsFile,
    #[serde(default)]
    directories: BTreeMap<String, DirectoryFile>,
    #[serde(default)]
    reviewers: BTreeMap<String, ReviewerFile>,
    #[serde(default)]
    agents: BTreeMap<String, AgentFile>,
    #[serde(default)]
    tools: BTreeMap<String, ToolFile>,
    #[serde(default)]
    issuers: BTreeMap<String, IssuerFile>,
    #[serde(default)]
    telemetry: TelemetryFile,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ListenFile {
    agent: String,
    admin: String,
    hosts: Vec<String>,
    expose: bool,
    tls: Option<TlsFile>,
    workers: Option<usize>,
    connections: Option<usize>,
    buffer: Bytes,
    socket_mode: String,
}

impl Default for ListenFile {
    fn default() -> Self {
        Self {
            agent: "127.0.0.1:7080".to_owned(),
            admin: "127.0.0.1:7081".to_owned(),
            hosts: Vec::new(),
            expose: false,
            tls: None,
            workers: None,
            connections: None,
            buffer: Bytes(256 << 20),
            socket_mode: "0600".to_owned(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsFile {
    certificate: PathBuf,
    key: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct KeysFile {
    dir: PathBuf,
}

impl Default for KeysFile {
    fn default() -> Self {
        Self { dir: PathBuf::from("keys") }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LineageFile {
    path: PathBuf,
    sync: SyncFile,
    deadline: Span,
    queue: usize,
    repeats: usize,
    reserve: Bytes,
    checkpoints: Vec<String>,
    rotate_size: Option<Bytes>,
    rotate_age: Option<Span>,
}

impl Default for LineageFile {
    fn default() -> Self {
        Self {
            path: PathBuf::from("lineage.db"),
            sync: SyncFile::Full,
            deadline: Span::seconds(2),
            queue: 8_192,
            repeats: 64,
            reserve: Bytes(16 << 20),
            checkpoints: Vec::new(),
            rotate_size: None,
            rotate_age: None,
        }
    }
}

/// When an acknowledged record is safe.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum SyncFile {
    /// It survives the loss of power.
    Full,
    /// It survives a crash of the process, and of the machine up to the last checkpoint.
    Normal,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PoliciesFile {
    dir: PathBuf,
    preset: Preset,
}

impl Default for PoliciesFile {
    fn default() -> Self {
        Self { dir: PathBuf::from("policies"), preset: Preset::default() }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ApprovalsFile {
    notify: Option<NotifyFile>,
    ask: AskFile,
    hold_s: u64,
    max_per_hour: usize,
    wait: Span,
    valid: Span,
    remember: Remembered,
}

/// Values that are known to be an agent's to use, one a line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DirectoryFile {
    file: PathBuf,
}

impl Default for ApprovalsFile {
    fn default() -> Self {
        Self {
            notify: None,
            ask: AskFile::Return,
            hold_s: 60,
            max_per_hour: 12,
            wait: Span::seconds(900),
            valid: Span::seconds(300),
            remember: Remembered::default(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NotifyFile {
    webhook: SecretFile,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TelemetryFile {
    otlp: Option<String>,
    sample: f64,
    follow: bool,
    every: Span,
}

impl Default for TelemetryFile {
    fn default() -> Self {
        Self { otlp: None, sample: 1.0, follow: true, every: Span::seconds(15) }
    }
}

/// What a call does that waits for an answer.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AskFile {
    /// It is refused, and the agent comes back.
    Return,
    /// It is held for a while, and then refused.
    Hold,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReviewerFile {
    token: SecretFile,
    may: Vec<crate::model::May>,
    #[serde(default)]
    roles: Vec<String>,
}

/// Where a secret comes from; never the secret itself.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum SecretFile {
    Env(String),
    File(PathBuf),
    Systemd(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AgentFile {
    identify: Vec<ProofFile>,
    #[serde(default)]
    open_tasks: Vec<ProofFile>,
    tools: Vec<String>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    directories: Vec<String>,
    #[serde(default)]
    mode: crate::model::Mode,
    #[serde(default)]
    intent: crate::judge::IntentRule,
    #[serde(default)]
    limits: Vec<LimitFile>,
    #[serde(default)]
    chain: ChainFile,
    #[serde(default)]
    baseline: baseline::BaselineFile,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum ProofFile {
    Peer(PeerFile),
    Token(SecretFile),
    All(Vec<ProofFile>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PeerFile {
    uid: Option<u32>,
    gid: Option<u32>,
    exe: Option<PathBuf>,
    sha256: Option<crate::model::Digest>,
    cgroup: Option<String>,
    unit: Option<String>,
    script: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitFile {
    per: PerFile,
    requests: u64,
    window: Span,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "lowercase")]
enum PerFile {
    Agent,
    Task,
    Tool,
    Action,
    Workload,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChainFile {
    max_calls: Option<u64>,
    max_depth: Option<u64>,
    max_repeats: Option<u64>,
    max_concurrent: Option<u64>,
    max_privilege_seconds: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolFile {
    upstream: String,
    catalog: String,
    issuer: String,
    #[serde(default)]
    max_call: Option<Span>,
    #[serde(default)]
    max_body: Option<Bytes>,
    #[serde(default)]
    networks: Vec<String>,
    #[serde(default)]
    plaintext: bool,
    #[serde(default)]
    request_headers: Vec<String>,
    #[serde(default)]
    answer_headers: Vec<String>,
    introspect: Option<SecretFile>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum IssuerFile {
    None,
    Static {
        secret: SecretFile,
        #[serde(default)]
        header: Option<String>,
        #[serde(default)]
        prefix: Option<String>,
    },
    Jwt {
        #[serde(default)]
        issuer: Option<String>,
        #[serde(default)]
        audience: Option<String>,
        #[serde(default)]
        header: Option<String>,
        #[serde(default)]
        algorithm: crate::model::Algorithm,
        #[serde(default)]
        rotate: Option<Span>,
    },
}
