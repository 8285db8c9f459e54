//! The only place that names concrete types: from a configuration to doors that are open.

mod checkpoints;
mod conceal;
mod desk;
mod doors;
mod export;
mod habits;
mod file;
mod keys;
mod history;
mod issuers;
mod load;
mod look;
mod material;
mod post;
mod recall;
mod reload;
mod secrets;
mod tls;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::runtime;
use tokio::sync::mpsc;

pub use self::conceal::{ConcealError, Environment, conceal};
pub use self::file::read;
pub use self::history::{History, Recalled};
pub use self::load::{Parts, load};
pub use self::material::{Material, files};
pub use self::reload::Reloaded;
pub use self::secrets::SecretError;
use crate::config::{Config, ConfigError, SyncFile, Telemetry};
use crate::forward::Upstream;
use crate::mediate::{Current, Rulebook};
use crate::memory::{self, Memory, RoomRule, Shelf};
use crate::mint::{Issuer, Issuers};
use crate::model::{CallId, Clock, Timestamp};
use crate::record::{self, Limbo, Lineage, Options, Rail, Rotate, Sealer, SqliteLineage, Sync};
use crate::revoke::Reaper;
use crate::serve::Sessions;
use crate::serve::oauth::Oauth;
use crate::telemetry::{Finished, Metrics, Sampling, Spans};

/// How long calls under way may take to end when the sidecar stops, before they are cut.
const DRAIN: Duration = Duration::from_secs(10);

/// Of the room for calls, the most that one agent of several may take, in hundredths.
const SHARE: usize = 50;

/// How often a checkpoint is signed while records come.
const SIGNED_EVERY: Duration = Duration::from_secs(1);

/// How long an issuer may take.
const ISSUER: Duration = Duration::from_secs(5);

/// Why the sidecar does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A file it names cannot be read.
    #[error("`{path}`: {error}")]
    File {
        /// Which.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// A catalog makes no sense.
    #[error("{path}: {error}")]
    Catalog {
        /// Which.
        path: String,
        /// Why.
        error: crate::understand::CatalogError,
    },
    /// A tool names a catalog that does not come with the program.
    #[error(
        "tools.{tool}.catalog: there is no catalog `{name}` in this program, which has {known}; a file's name holds a dot or a slash"
    )]
    NoCatalog {
        /// Of which tool.
        tool: String,
        /// What it names.
        name: String,
        /// What there is.
        known: String,
    },
    /// A policy makes no sense.
    #[error(transparent)]
    Policy(#[from] crate::judge::PolicyError),
    /// A rule asks somebody who is not there.
    #[error(
        "a rule has `@ask(\"{0}\")`, and no reviewer may answer: give one `may = [\"approve\"]`, and this as its name or among its `roles`"
    )]
    Unanswerable(String),
    /// A secret cannot be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The process cannot be hidden from others.
    #[error(transparent)]
    Conceal(#[from] ConcealError),
    /// The signing keys cannot be used.
    #[error(transparent)]
    Key(#[from] crate::mint::KeyError),
    /// The lineage cannot be opened.
    #[error(transparent)]
    Store(#[from] record::StoreError),
    /// What was loaded could not be recorded.
    #[error(transparent)]
    Record(#[from] record::Unavailable),
    /// A door cannot be opened.
    #[error("the door at {door} cannot be opened: {error}")]
    Door {
        /// Where.
        door: String,
        /// Why.
        error: io::Error,
    },
    /// Something the machine did not give.
    #[error("{0}")]
    Machine(String),
}

/// Real parts that a test or a demonstration puts in the place of others. By default, none.
#[derive(Default)]
pub struct Seams {
    /// Issuers by name, beside or instead of those configured.
    pub issuers: BTreeMap<String, Arc<dyn Issuer>>,
    /// Put between the rail and the store.
    pub lineage: Option<Between<dyn Lineage>>,
    /// The way to the tools, made once for each worker.
    pub upstream: Option<EachBetween<dyn Upstream>>,
    /// Where the time comes from.
    pub clock: Option<Clock>,
    /// Where `{ env = "…" }` secrets come from.
    pub environment: Environment,
}

/// Puts something between the house and the real part.
pub type Between<T> = Box<dyn FnOnce(Arc<T>) -> Arc<T> + Send>;

/// The same, once for each worker.
pub type EachBetween<T> = Box<dyn Fn(Arc<T>) -> Arc<T> + Send>;

/// What every call meets, but for the way to the tools, which each worker has for itself.
#[derive(Clone)]
struct Walk {
    rulebook: Arc<Current>,
    memory: Arc<Memory>,
    rail: Arc<Rail>,
    issuers: Arc<Issuers>,
    reaper: Arc<Reaper>,
    metrics: Arc<Metrics>,
    spans: Spans,
}

/// A sidecar whose doors are open.
pub struct Running {
    /// The agent's door, if it has an address.
    pub agent: Option<SocketAddr>,
    /// The admin door, if it has an address.
    pub admin: Option<SocketAddr>,
    /// What checks the lineage's checkpoints.
    pub vkey: String,
    doors: doors::Doors,
    reload: Arc<reload::Reload>,
    rulebook: Arc<Current>,
    memory: Arc<Memory>,
    reaper: Arc<Reaper>,
    rail: Arc<Rail>,
    store: Arc<SqliteLineage>,
    sessions: Arc<Sessions>,
}

/// The machine's clock.
pub fn wall_clock() -> Clock {
    Clock::new(|| Timestamp::from(SystemTime::now()))
}

/// Opens the doors. Runs on the current tokio runtime, which carries the admin door and the ends of credentials; calls
/// are carried by threads of their own.
pub async fn start(config: &Config, config_text: &str, seams: Seams) -> Result<Running, StartError> {
    let Seams { issuers: others, lineage, upstream, clock, environment } = seams;
    let clock = clock.unwrap_or_else(wall_clock);
    let Parts { rulebook, tokens, loaded, compiled: _ } = load(config, config_text, &environment)?;
    let (store, limbo, vkey) = open_store(config, clock.clone())?;
    let written: Arc<dyn Lineage> = store.clone();
    let lineage = match lineage {
        Some(between) => between(written),
        None => written,
    };
    let rail = Rail::new(lineage, clock.clone(), config.lineage.deadline);
    rail.commit(record::loaded(loaded, clock.now())).await?;
    let connections = doors::connections(config);
    let memory = remembered(config, connections, (&rulebook, &limbo), (&rail, clock.now()))?;
    let issuers::Configured { mut by_name, published, lent } =
        issuers::Configured::of(config, &environment, clock.now())?;
    by_name.extend(others.into_iter().map(|(name, issuer)| (Arc::from(name), issuer)));
    let sealer = Arc::new(Sealer::new(&keys::store_key(&config.keys)?)?);
    let issuers = Arc::new(Issuers::new(by_name, sealer.clone(), ISSUER));
    let reaper = Reaper::new(runtime::Handle::current());
    reaper.sweep(limbo, &issuers, &sealer, &rail);
    let rings = published.iter().map(|(_, ring)| ring.clone()).collect();
    tokio::spawn(issuers::turn_keys(rings, clock.clone()));
    let metrics = Arc::new(Metrics::new().map_err(|error| StartError::Machine(error.to_string()))?);
    let (spans, finished) = spans(&config.telemetry, &metrics);
    let walk = Walk {
        rulebook: Arc::new(Current::new(rulebook, clock.now())),
        memory: memory.clone(),
        rail: rail.clone(),
        issuers,
        reaper: reaper.clone(),
        metrics,
        spans,
    };
    let webhook = desk::place(&config.approvals, &environment)?;
    let oauth = Arc::new(Oauth::new(published, lent));
    let (sessions, rulebook, pseudonym) = (Arc::new(Sessions::default()), walk.rulebook.clone(), pseudonym(&vkey));
    let (shared, key) = (sessions.clone(), vkey.clone());
    let inside = doors::Inside {
        connections,
        oauth,
        clock,
        pseudonym,
        upstream,
        webhook,
        sessions: shared,
        vkey: key,
        finished,
    };
    let (doors, upstreams) = doors::open(config, &walk, inside)?;
    let reload = reload::Reload::new(config, tokens, walk, environment, upstreams);
    let (agent, admin) = (doors.agent, doors.admin);
    Ok(Running { agent, admin, vkey, doors, reload, rulebook, memory, reaper, rail, store, sessions })
}

/// What is remembered of the runs before this one.
fn remembered(
    config: &Config,
    connections: usize,
    (rulebook, limbo): (&Rulebook, &Limbo),
    (rail, now): (&Arc<Rail>, Timestamp),
) -> Result<Arc<Memory>, StartError> {
    let room = RoomRule { calls: connections, bytes: config.listen.buffer, share: share(config) };
    let memory = Arc::new(Memory::new(room, shelf(&config.lineage.path)?));
    let reader = record::Reader::open(&config.lineage.path)?;
    let agents: Vec<_> = config.agents.iter().map(|agent| agent.name.clone()).collect();
    recall::recall(&reader, &memory, rulebook, (&limbo.tasks, &agents), now)?;
    desk::recall(&reader, &memory, rail)?;
    habits::recall(&reader, &memory, &agents)?;
    for agent in reader.quarantined()? {
        memory.quarantine(&crate::model::AgentName(agent.into()), || ());
    }
    Ok(memory)
}

/// Where tasks lay aside what they have heard: beside the lineage.
fn shelf(lineage: &Path) -> Result<Shelf, StartError> {
    let mut folder = lineage.as_os_str().to_owned();
    folder.push("-tasks");
    let wrong = |error| StartError::File { path: folder.to_string_lossy().into_owned(), error };
    Shelf::within(Path::new(&folder), memory::ROOM).map_err(wrong)
}

/// Where calls' spans begin, and where they are handed on to; nothing of it, if nobody receives them.
fn spans(telemetry: &Telemetry, metrics: &Arc<Metrics>) -> (Spans, Option<mpsc::Receiver<Finished>>) {
    if telemetry.otlp.is_none() {
        return (Spans::default(), None);
    }
    let sampling = Sampling { part: telemetry.sample, follow: telemetry.follow };
    let (spans, finished) = Spans::new(sampling, metrics.clone());
    (spans, Some(finished))
}

/// What one agent may take of the room for calls, in hundredths.
fn share(config: &Config) -> usize {
    if config.agents.len() > 1 { SHARE } else { 100 }
}

/// The name we bear in `Via`: the same after a restart, another for each lineage.
fn pseudonym(vkey: &str) -> Arc<str> {
    let digest = crate::model::Digest::of(vkey.as_bytes()).to_string();
    format!("countersign-{}", digest.chars().take(12).collect::<String>()).into()
}

fn open_store(config: &Config, clock: Clock) -> Result<(Arc<SqliteLineage>, Limbo, String), StartError> {
    let signer = keys::lineage_signer(&config.keys)?;
    let vkey = signer.vkey();
    checkpoints::compare(&config.lineage, signer.verifier())?;
    let sync = match config.lineage.sync {
        SyncFile::Full => Sync::Full,
        SyncFile::Normal => Sync::Normal,
    };
    let crate::config::Lineage { path, queue, repeats, reserve, rotate_size, rotate_age, .. } = &config.lineage;
    let rotate = Rotate { bytes: *rotate_size, age: *rotate_age };
    let (path, signed_every) = (path.clone(), SIGNED_EVERY);
    let options = Options { path, sync, room: *queue, whole: *repeats, reserve: *reserve, signed_every, rotate };
    let (store, limbo) = SqliteLineage::open(options, signer, clock)?;
    Ok((store, limbo, vkey))
}

impl Running {
    /// The address of a page that logs in whoever opens it first: a reviewer, or the operator. `None` if there is no such
    /// reviewer, or no browser can reach the admin door.
    pub fn login(&self, reviewer: Option<&str>) -> Option<String> {
        let reviewer = match reviewer {
            Some(name) => Some(self.rulebook.now().reviewers.token_of(name)?),
            None => None,
        };
        let (admin, key) = (self.admin?, self.sessions.link(reviewer, self.rail.now())?);
        Some(format!("http://{admin}/login?key={key}"))
    }

    /// Loads the configuration in this file and all it names anew, if that makes sense as a whole; else nothing of it.
    pub async fn reload(&self, file: &Path) -> Result<Reloaded, StartError> {
        self.reload.reload(file).await
    }

    /// Does so from here on whenever the files have changed, and on SIGHUP, until what this gives is dropped or aborted.
    pub fn follow(&self, file: &Path) -> io::Result<impl Future<Output = ()> + Send + use<>> {
        let bell = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?;
        Ok(self.reload.clone().follow(file.to_owned(), bell))
    }

    /// Stops: no more connections, calls under way get some seconds, then they are cut; credentials are ended, the
    /// lineage is closed. True if everything was brought to its end.
    pub async fn stop(self) -> bool {
        let Self { mut doors, memory, reaper, rail, store, .. } = self;
        if !doors.close(DRAIN, || memory.stop()).await {
            tracing::warn!("calls under way did not end by themselves; they were cut");
        }
        // What still waits was kept here and nowhere else.
        let now = rail.now();
        for about in memory.desk().cancel(|_| true) {
            rail.note(record::resolved(&about, record::Answer::Cancelled, None, "the sidecar stops", now));
        }
        let ended = reaper.idle(DRAIN).await;
        let _ = tokio::task::spawn_blocking(move || store.close()).await;
        doors.close_sender().await;
        ended
    }
}

/// Erases what is private in the records of a call, and records that. Gives the records; the lineage must be at rest.
pub fn erase(lineage: &Path, keys: &Path, call: CallId, why: &str) -> Result<Vec<u64>, StartError> {
    let (sync, room) = (Sync::Full, 8);
    let (path, signed_every) = (lineage.to_owned(), SIGNED_EVERY);
    let options = Options { path, sync, room, whole: 0, reserve: 0, signed_every, rotate: Rotate::default() };
    let (store, _) = SqliteLineage::open(options, keys::lineage_signer(keys)?, wall_clock())?;
    let records = record::Reader::open(lineage)?.erasable(call)?;
    if !records.is_empty() {
        let record = record::erased(call, records.clone(), "operator", why, wall_clock().now());
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| StartError::Machine(error.to_string()))?;
        runtime.block_on(store.append(record))?;
    }
    store.close();
    Ok(records)
}

/// What checks the checkpoints of a configuration's lineage.
pub fn vkey(config: &Config) -> Result<String, StartError> {
    Ok(keys::lineage_signer(&config.keys)?.vkey())
}
