//! The two doors: bound, carried, closed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use http::HeaderValue;
use http::uri::Scheme;
use ring::rand::SystemRandom;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime;
use tokio::sync::{mpsc, watch};

use super::export::{Export, Exporting};
use super::tls::acceptor;
use super::{EachBetween, StartError, Walk, checkpoints, desk};
use crate::config::{Config, Door};
use crate::forward::{Dial, HyperUpstream, Resolver, Upstream, tls};
use crate::mediate::Mediator;
use crate::model::{Clock, Tool};
use crate::record::Reader;
use crate::serve::admin::{Admin, Sources};
use crate::serve::checked::Names;
use crate::serve::gateway::Gateway;
use crate::serve::oauth::Oauth;
use crate::serve::{self, Listener, Places, Sessions, serve};
use crate::telemetry::{Finished, Source};

/// How long each step on the way to a tool may take.
const DIAL: Duration = Duration::from_secs(5);

/// Connections that agents may have at most, where the configuration does not say.
const CONNECTIONS: usize = 4_096;

/// Connections that reviewers may have.
const REVIEWERS: usize = 64;

/// Descriptors kept for the lineage, the doors, the resolver: what is there before any call.
const RESERVE: usize = 128;

/// What lies behind the agent's door beside the walk.
pub(super) struct Inside {
    /// How many connections agents may have.
    pub(super) connections: usize,
    /// The face of the tokens that tools get.
    pub(super) oauth: Arc<Oauth>,
    /// Where the time comes from.
    pub(super) clock: Clock,
    /// Our name in `Via`.
    pub(super) pseudonym: Arc<str>,
    /// Put before the way to the tools.
    pub(super) upstream: Option<EachBetween<dyn Upstream>>,
    /// Where it is told that somebody is asked.
    pub(super) webhook: Option<Arc<Tool>>,
    /// Who is logged in at the pages.
    pub(super) sessions: Arc<Sessions>,
    /// What checks the lineage's checkpoints.
    pub(super) vkey: String,
    /// Spans that are to be sent.
    pub(super) finished: Option<mpsc::Receiver<Finished>>,
}

/// Doors that are open.
pub(super) struct Doors {
    /// The agent's, if it has an address.
    pub(super) agent: Option<SocketAddr>,
    /// The admin's, if it has an address.
    pub(super) admin: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
    admin_door: tokio::task::JoinHandle<io::Result<()>>,
    desk: tokio::task::JoinHandle<()>,
    sender: Option<Sender>,
    export: Option<Exporting>,
}

/// Who sends checkpoints out, and what stops it.
type Sender = (tokio::task::JoinHandle<()>, watch::Sender<bool>);

/// Binds both doors before either is opened. Gives the doors, and the ways to the tools that calls take from there.
pub(super) fn open(
    config: &Config,
    walk: &Walk,
    mut inside: Inside,
) -> Result<(Doors, Vec<Arc<HyperUpstream>>), StartError> {
    let door = bind("agent", &config.listen.agent, config.listen.socket_mode)?;
    let other = bind("admin", &config.listen.admin, 0o600)?;
    let (agent, admin) = (door.address(), other.address());
    let tls = tls(roots(), inside.clock.clone()).map_err(|error| StartError::Machine(error.to_string()))?;
    let via = HeaderValue::from_str(&format!("1.1 {}", inside.pseudonym))
        .map_err(|error| StartError::Machine(error.to_string()))?;
    let own = agent.into_iter().chain(admin).collect();
    let dial = Dial { resolver: Resolver::system(), own, tls, patience: DIAL, via };
    let (stop, stopped) = watch::channel(false);
    let sender = (!config.lineage.checkpoints.is_empty()).then(|| {
        let (lineage, places) = (config.lineage.path.clone(), config.lineage.checkpoints.clone());
        let (send, closed) = watch::channel(false);
        (tokio::spawn(checkpoints::send(lineage, places, dial.clone(), closed)), send)
    });
    let notices: Option<(Arc<Tool>, Arc<dyn Upstream>)> =
        inside.webhook.take().map(|tool| (tool, Arc::new(HyperUpstream::new(dial.clone())) as Arc<dyn Upstream>));
    let desk = tokio::spawn(desk::keep(walk.memory.clone(), walk.rail.clone(), notices));
    let export = export(config, walk, &mut inside, &dial);
    let hosts = host_names(admin, &[]);
    let shown = serve::Door {
        answers: Arc::new(Admin::new(
            hosts,
            sources(config, &inside, mediator(walk, Arc::new(HyperUpstream::new(dial.clone()))), stopped.clone()),
        )),
        places: Places::new(REVIEWERS),
        tls: None,
        metrics: walk.metrics.clone(),
        stop: stopped.clone(),
    };
    let admin_door = tokio::spawn(serve(other, shown));
    let places = Places::new(inside.connections);
    let agents_tls = config.listen.tls.as_ref().map(acceptor).transpose()?;
    let count = config.listen.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let (mut workers, mut ways) = (Vec::new(), Vec::new());
    for number in 0..count {
        let way = Arc::new(HyperUpstream::new(dial.clone()));
        ways.push(way.clone());
        let mut upstream: Arc<dyn Upstream> = way;
        if let Some(between) = &inside.upstream {
            upstream = between(upstream);
        }
        let gateway = Gateway {
            mediator: mediator(walk, upstream),
            clock: inside.clock.clone(),
            names: Names {
                hosts: host_names(agent, &config.listen.hosts),
                pseudonym: inside.pseudonym.clone(),
                scheme: if agents_tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP },
            },
            oauth: inside.oauth.clone(),
            random: SystemRandom::new(),
            stop: stopped.clone(),
        };
        let listener = door.share().map_err(|error| StartError::Machine(error.to_string()))?;
        let (metrics, stop) = (walk.metrics.clone(), stopped.clone());
        let door =
            serve::Door { answers: Arc::new(gateway), places: places.clone(), tls: agents_tls.clone(), metrics, stop };
        workers.push(worker(number, listener, door)?);
    }
    Ok((Doors { agent, admin, stop, workers, admin_door, desk, sender, export }, ways))
}

impl Doors {
    /// No more connections; calls under way get `patience` and are then `cut`. False if they had to be.
    pub(super) async fn close(&mut self, patience: Duration, cut: impl FnOnce()) -> bool {
        self.stop.send_replace(true);
        let workers = std::mem::take(&mut self.workers);
        let mut drained =
            tokio::task::spawn_blocking(move || workers.into_iter().for_each(|worker| drop(worker.join())));
        let by_themselves = tokio::time::timeout(patience, &mut drained).await.is_ok();
        if !by_themselves {
            cut();
            let _ = tokio::time::timeout(patience, drained).await;
        }
        let _ = tokio::time::timeout(Duration::from_secs(1), &mut self.admin_door).await;
        self.desk.abort();
        by_themselves
    }

    /// The lineage is closed, so its last checkpoint is signed: sends it, too, and what is left of telemetry.
    pub(super) async fn close_sender(self) {
        if let Some((sending, stop)) = self.sender {
            stop.send_replace(true);
            let _ = tokio::time::timeout(Duration::from_secs(3), sending).await;
        }
        if let Some(export) = self.export {
            export.end().await;
        }
    }
}

/// Begins to send spans and metrics, if anybody receives them.
fn export(config: &Config, walk: &Walk, inside: &mut Inside, dial: &Dial) -> Option<Exporting> {
    let (to, finished) = config.telemetry.otlp.clone().zip(inside.finished.take())?;
    let source = Source { instance: inside.pseudonym.to_string(), started: inside.clock.now() };
    let export = Export {
        to,
        upstream: Arc::new(HyperUpstream::new(dial.clone())),
        source,
        metrics: walk.metrics.clone(),
        clock: inside.clock.clone(),
        every: config.telemetry.every,
    };
    Some(export.begin(finished))
}

fn mediator(walk: &Walk, upstream: Arc<dyn Upstream>) -> Mediator {
    let Walk { rulebook, memory, rail, issuers, reaper, metrics, spans } = walk.clone();
    let (judging, carrying) = Default::default();
    Mediator { rulebook, memory, rail, issuers, reaper, upstream, metrics, spans, judging, carrying }
}

fn sources(config: &Config, inside: &Inside, mediator: Mediator, stop: watch::Receiver<bool>) -> Sources {
    let path = config.lineage.path.clone();
    Sources {
        reader: Box::new(move || Reader::open(&path)),
        rail: mediator.rail.clone(),
        rulebook: mediator.rulebook.clone(),
        memory: mediator.memory.clone(),
        deciding: tokio::sync::Mutex::new(()),
        metrics: mediator.metrics.clone(),
        mediator,
        uid: rustix::process::geteuid().as_raw(),
        sessions: inside.sessions.clone(),
        vkey: inside.vkey.clone(),
        verified: tokio::sync::Mutex::new(None),
        stop,
    }
}

/// How many connections agents may have: each may want another one to its tool, so there is a descriptor for both, and
/// some are left for everything else. The process takes as many descriptors as it is allowed.
pub(super) fn connections(config: &Config) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = current != maximum && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    let descriptors = if raised { maximum } else { current };
    let wanted = config.listen.connections.unwrap_or(CONNECTIONS);
    let Some(descriptors) = descriptors.and_then(|count| usize::try_from(count).ok()) else { return wanted };
    let possible = descriptors.saturating_sub(RESERVE.min(descriptors / 2)) / 2;
    if config.listen.connections.is_some_and(|wanted| wanted > possible) {
        tracing::warn!(descriptors, connections = possible, "fewer connections than configured: descriptors are short");
    }
    wanted.min(possible).max(1)
}

/// One thread with a runtime of its own: a call never moves between cores, which a shared runtime pays for.
fn worker(number: usize, listener: Listener, door: serve::Door<Gateway>) -> Result<JoinHandle<()>, StartError> {
    let machine = |error: io::Error| StartError::Machine(format!("no thread for calls could be started: {error}"));
    let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(machine)?;
    let carry = move || {
        if let Err(error) = runtime.block_on(serve(listener, door)) {
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
