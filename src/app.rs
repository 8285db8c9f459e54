//! The only place that names concrete types: from a configuration to doors that are open.

mod keys;
mod load;
mod secrets;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use ring::rand::SystemRandom;
use tokio::runtime;
use tokio::sync::watch;

pub use self::load::{Parts, load};
pub use self::secrets::SecretError;
use crate::config::{Config, ConfigError, Door, IssuerKind, SyncFile};
use crate::forward::{Dial, HyperUpstream, Resolver, Upstream, tls};
use crate::mediate::Mediator;
use crate::memory::Memory;
use crate::mint::{Issuer, Issuers, JwtIssuer, JwtOptions, KeyRing, NoCredential, Schedule, StaticSecret};
use crate::model::{Clock, Task, Timestamp};
use crate::record::{self, Lineage, Options, Rail, Reader, Sealer, SqliteLineage, Sync};
use crate::revoke::Reaper;
use crate::serve::admin::{Admin, Sources};
use crate::serve::gateway::Gateway;
use crate::serve::{Listener, serve};
use crate::telemetry::Metrics;

/// How long calls under way may take to end when the sidecar stops, before they are cut.
const DRAIN: Duration = Duration::from_secs(10);

/// How long an issuer may take.
const ISSUER: Duration = Duration::from_secs(5);

/// How long each step on the way to a tool may take.
const DIAL: Duration = Duration::from_secs(5);

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
    /// A policy makes no sense.
    #[error(transparent)]
    Policy(#[from] crate::judge::PolicyError),
    /// A secret cannot be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
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
    pub lineage: Option<Box<dyn FnOnce(Arc<dyn Lineage>) -> Arc<dyn Lineage> + Send>>,
    /// The way to the tools, made once for each worker.
    pub upstream: Option<Arc<dyn Fn(Arc<dyn Upstream>) -> Arc<dyn Upstream> + Send + std::marker::Sync>>,
    /// Where the time comes from.
    pub clock: Option<Clock>,
}

/// A sidecar whose doors are open.
pub struct Running {
    /// The agent's door, if it has an address.
    pub agent: Option<SocketAddr>,
    /// The admin door, if it has an address.
    pub admin: Option<SocketAddr>,
    /// What checks the lineage's checkpoints.
    pub vkey: String,
    stop: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
    admin_door: tokio::task::JoinHandle<io::Result<()>>,
    memory: Arc<Memory>,
    reaper: Arc<Reaper>,
    store: Arc<SqliteLineage>,
}

/// The machine's clock.
pub fn wall_clock() -> Clock {
    Clock::new(|| Timestamp::from(SystemTime::now()))
}

/// Opens the doors. Runs on the current tokio runtime, which carries the admin door and the ends of credentials; calls
/// are carried by threads of their own.
pub async fn start(config: &Config, config_text: &str, seams: Seams) -> Result<Running, StartError> {
    let clock = seams.clock.unwrap_or_else(wall_clock);
    let parts = load(config, config_text)?;
    let signer = keys::lineage_signer(&config.keys)?;
    let sealer = Arc::new(Sealer::new(&keys::store_key(&config.keys)?)?);
    let vkey = signer.vkey();
    let sync = match config.lineage.sync {
        SyncFile::Full => Sync::Full,
        SyncFile::Normal => Sync::Normal,
    };
    let options = Options { path: config.lineage.path.clone(), sync, room: config.lineage.queue };
    let (store, limbo) = SqliteLineage::open(options, signer, clock.clone())?;
    let lineage: Arc<dyn Lineage> = store.clone();
    let lineage = seams.lineage.map_or(lineage.clone(), |between| between(lineage));
    let rail = Rail::new(lineage, clock.clone(), config.lineage.deadline);
    rail.commit(record::loaded(parts.loaded, clock.now())).await?;

    let memory = Arc::new(Memory::new(parts.limits, parts.chains));
    for open in &limbo.tasks {
        if let Some((task, token)) = restored(open) {
            memory.open(task, token, clock.now());
        }
    }
    let mut rings = Vec::new();
    let mut by_name = issuers(config, &mut rings, clock.now())?;
    by_name.extend(seams.issuers.into_iter().map(|(name, issuer)| (Arc::from(name), issuer)));
    let issuers = Arc::new(Issuers::new(by_name, sealer.clone(), ISSUER));
    let reaper = Reaper::new(runtime::Handle::current());
    reaper.sweep(limbo, &issuers, &sealer, &rail);

    let agent = bind("agent", &config.listen.agent, config.listen.socket_mode)?;
    let admin = bind("admin", &config.listen.admin, 0o600)?;
    let own: Arc<[SocketAddr]> = agent.address().into_iter().chain(admin.address()).collect();
    let metrics = Arc::new(Metrics::new().map_err(|error| StartError::Machine(error.to_string()))?);
    let tls = tls(roots(), clock.clone()).map_err(|error| StartError::Machine(error.to_string()))?;
    let dial = Dial { resolver: Resolver::system(), own, tls, patience: DIAL };
    let (stop, stopped) = watch::channel(false);
    let sources = Sources {
        reader: {
            let path = config.lineage.path.clone();
            Box::new(move || Reader::open(&path).map_err(|error| error.to_string()))
        },
        rail: rail.clone(),
        metrics: metrics.clone(),
        readers: secrets::readers(config)?,
        uid: rustix::process::geteuid().as_raw(),
        stop: stopped.clone(),
    };
    let (agent_address, admin_address) = (agent.address(), admin.address());
    let admin_door = tokio::spawn(serve(admin, Arc::new(Admin::new(sources)), metrics.clone(), stopped.clone()));
    tokio::spawn(turn_keys(rings.clone(), clock.clone()));
    let mediator = |upstream| Mediator {
        identify: parts.identify.clone(),
        catalog: parts.catalog.clone(),
        memory: memory.clone(),
        policies: parts.policies.clone(),
        rail: rail.clone(),
        issuers: issuers.clone(),
        reaper: reaper.clone(),
        upstream,
        metrics: metrics.clone(),
    };
    let mut workers = Vec::new();
    let count = config.listen.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    for number in 0..count {
        let upstream: Arc<dyn Upstream> = Arc::new(HyperUpstream::new(dial.clone()));
        let upstream = seams.upstream.as_ref().map_or(upstream.clone(), |between| between(upstream));
        let gateway = Gateway {
            mediator: mediator(upstream),
            clock: clock.clone(),
            hosts: host_names(agent_address, &config.listen.hosts),
            keys: rings.clone(),
            random: SystemRandom::new(),
        };
        let door = agent.share().map_err(|error| StartError::Machine(error.to_string()))?;
        workers.push(worker(number, door, gateway, metrics.clone(), stopped.clone())?);
    }
    Ok(Running { agent: agent_address, admin: admin_address, vkey, stop, workers, admin_door, memory, reaper, store })
}

impl Running {
    /// Stops: no more connections, calls under way get some seconds, then they are cut; credentials are ended, the
    /// lineage is closed. True if everything was brought to its end.
    pub async fn stop(self) -> bool {
        self.stop.send_replace(true);
        let Self { workers, admin_door, memory, reaper, store, .. } = self;
        let mut drained = tokio::task::spawn_blocking(move || workers.into_iter().for_each(|worker| drop(worker.join())));
        if tokio::time::timeout(DRAIN, &mut drained).await.is_err() {
            tracing::warn!("calls under way did not end by themselves; they are cut");
            memory.stop();
            let _ = tokio::time::timeout(DRAIN, drained).await;
        }
        let _ = tokio::time::timeout(Duration::from_secs(1), admin_door).await;
        let ended = reaper.idle(DRAIN).await;
        let _ = tokio::task::spawn_blocking(move || store.close()).await;
        ended
    }
}

/// One thread with a runtime of its own: a call never moves between cores, which a shared runtime pays for.
fn worker(number: usize, door: Listener, gateway: Gateway, metrics: Arc<Metrics>, stop: watch::Receiver<bool>) -> Result<JoinHandle<()>, StartError> {
    let machine = |error: io::Error| StartError::Machine(format!("no thread for calls could be started: {error}"));
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(machine)?;
    let carry = move || {
        if let Err(error) = runtime.block_on(serve(door, Arc::new(gateway), metrics, stop)) {
            tracing::error!(%error, "the agent's door has closed");
        }
    };
    std::thread::Builder::new().name(format!("calls-{number}")).spawn(carry).map_err(machine)
}

fn bind(which: &str, door: &Door, mode: u32) -> Result<Listener, StartError> {
    let (bound, door) = match door {
        Door::Tcp(address) => (Listener::tcp(*address), address.to_string()),
        Door::Unix(path) => (Listener::unix(path, mode), path.display().to_string()),
    };
    bound.map_err(|error| StartError::Door { door: format!("{door} ({which})"), error })
}

/// The `Host` values a door on an address answers to; none named, for a Unix socket.
fn host_names(address: Option<SocketAddr>, more: &[String]) -> Vec<String> {
    let Some(address) = address else { return Vec::new() };
    let port = address.port();
    let own = [address.to_string(), format!("localhost:{port}")];
    own.into_iter().chain(more.iter().flat_map(|host| [host.clone(), format!("{host}:{port}")])).collect()
}

fn issuers(config: &Config, rings: &mut Vec<Arc<KeyRing>>, now: Timestamp) -> Result<BTreeMap<Arc<str>, Arc<dyn Issuer>>, StartError> {
    let mut issuers: BTreeMap<Arc<str>, Arc<dyn Issuer>> = BTreeMap::new();
    for (name, kind) in &config.issuers {
        let issuer: Arc<dyn Issuer> = match kind {
            IssuerKind::None => Arc::new(NoCredential),
            IssuerKind::Static { secret, header, prefix } => {
                Arc::new(StaticSecret::new(&secrets::secret(secret)?, header.clone(), prefix.clone()))
            }
            IssuerKind::Jwt { issuer, audience, header, rotate } => {
                let usual = Schedule::default();
                let schedule = Schedule { rotate: rotate.unwrap_or(usual.rotate), ..usual };
                let ring = Arc::new(KeyRing::open(&config.keys.join(format!("issuer-{name}")), schedule, now)?);
                rings.push(ring.clone());
                let issuer = issuer.clone().unwrap_or_else(|| format!("https://countersign.invalid/{name}"));
                Arc::new(JwtIssuer::new(JwtOptions { issuer, audience: audience.clone(), header: header.clone() }, ring))
            }
        };
        issuers.insert(name.clone(), issuer);
    }
    Ok(issuers)
}

async fn turn_keys(rings: Vec<Arc<KeyRing>>, clock: Clock) {
    loop {
        tokio::time::sleep(Duration::from_secs(600)).await;
        for ring in &rings {
            if let Err(error) = ring.turn(clock.now()) {
                tracing::error!(%error, "the signing keys could not be turned; the present one goes on signing");
            }
        }
    }
}

/// The certificate authorities this machine believes. Without any, no TLS connection is made.
fn roots() -> rustls::RootCertStore {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a store of certificate authorities cannot be read");
    }
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        tracing::warn!("this machine has no certificate authorities; tools over https cannot be reached");
    }
    roots
}

/// A task that the last run left open, as its record and payload tell it; nothing if the payload was erased.
fn restored(open: &record::OpenTask) -> Option<(Task, crate::model::Digest)> {
    let text = |name: &str| open.private.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    let task = Task {
        id: open.task,
        agent: crate::model::AgentName(open.opened.agent.as_str().into()),
        opened_by: serde_json::from_value(open.opened.opened_by.as_str().into()).ok()?,
        on_behalf_of: text("on_behalf_of"),
        goal: text("goal")?,
        grant: serde_json::from_value(open.private.get("grant")?.clone()).ok()?,
        parent: open.opened.parent,
        depth: open.opened.depth,
        opened_at: open.at,
        expires_at: open.opened.expires_at,
    };
    Some((task, open.opened.token))
}

/// What checks the checkpoints of a configuration's lineage.
pub fn vkey(config: &Config) -> Result<String, StartError> {
    Ok(keys::lineage_signer(&config.keys)?.vkey())
}
