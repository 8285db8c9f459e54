//! The run: everything is started once, then measured in rounds, one after the other, so that what moves on the machine
//! moves all of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::child::{Core, Server, role};
use super::load::{Order, Outcome};
use super::rules::More;
use super::sidecar::{FORBIDDEN, PERMITTED, Setup, Sidecar};

/// How long, how often, and of what.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Rounds.
    pub rounds: u32,
    /// Before anything is counted, in milliseconds.
    pub warm_ms: u64,
    /// While it is counted, in milliseconds.
    pub count_ms: u64,
    /// Commits of the store alone in a round.
    pub commits: u32,
    /// Numbers of connections for the first table; the last one is also that of the others.
    pub connections: Vec<usize>,
    /// The `countersign` that is measured.
    pub program: PathBuf,
    /// Answers that stream are measured, and nothing else.
    pub stream: bool,
    /// So many live tasks are measured, and nothing else.
    pub tasks: Option<u32>,
    /// Bytes of the long one.
    pub long: u64,
    /// Only what has one of these in its name, and `bare`; all if there are none.
    pub only: Vec<String>,
}

/// Everything that was measured.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Measured {
    /// By name and connections, one for each round.
    pub outcomes: BTreeMap<String, Vec<Outcome>>,
    /// Half of the commits of the store alone took so many µs, one for each round.
    pub commits: Vec<f64>,
    /// `/proc/loadavg` before each round.
    pub loads: Vec<String>,
}

impl Measured {
    /// Of one name and number of connections.
    pub fn of(&self, name: &str, connections: usize) -> &[Outcome] {
        self.outcomes.get(&key(name, connections)).map_or(&[], Vec::as_slice)
    }
}

/// How outcomes are found again.
pub fn key(name: &str, connections: usize) -> String {
    format!("{name} @ {connections}")
}

/// What all sidecars have in common but for what their names say.
pub const USUAL: Setup =
    Setup { sync: "full", issuer: "jwt", more: More::None, counting: false, others: 20, log: "warn", told: None };

/// Those of the first table.
pub const WALKS: [(&str, Setup); 5] = [
    ("full, jwt", USUAL),
    ("normal, jwt", Setup { sync: "normal", ..USUAL }),
    ("full, none", Setup { issuer: "none", ..USUAL }),
    ("normal, none", Setup { sync: "normal", issuer: "none", ..USUAL }),
    ("full, jwt, traced", Setup { told: Some(0), ..USUAL }),
];

/// Those of the table of rules; `full, jwt` is the first of them.
pub const RULES: [(&str, Setup); 8] = [
    ("200 scoped", Setup { more: More::Scoped(180), ..USUAL }),
    ("2000 scoped", Setup { more: More::Scoped(1_980), ..USUAL }),
    ("200 unscoped", Setup { more: More::Unscoped(180), ..USUAL }),
    ("20, counting", Setup { counting: true, ..USUAL }),
    ("200 scoped, counting", Setup { more: More::Scoped(180), counting: true, ..USUAL }),
    ("2000 scoped, counting", Setup { more: More::Scoped(1_980), counting: true, ..USUAL }),
    ("200 unscoped, counting", Setup { more: More::Unscoped(180), counting: true, ..USUAL }),
    ("20, 500 agents", Setup { others: 500, ..USUAL }),
];

/// One that logs as it does by default, for refusals.
const LOGGING: (&str, Setup) = ("full, jwt, logging", Setup { log: "info", ..USUAL });

/// One thing that calls are sent to.
struct Subject {
    name: String,
    port: u16,
    pid: u32,
    path: &'static str,
    task: Option<String>,
    status: u16,
    connections: Vec<usize>,
}

/// What serves while a run lasts.
#[derive(Default)]
struct Cast {
    folder: PathBuf,
    upstream: u16,
    /// Takes whatever is posted to it.
    receiver: u16,
    subjects: Vec<Subject>,
    servers: Vec<Server>,
}

impl Plan {
    /// Starts everything, measures it, ends it. `tell` is told what goes on.
    pub fn run(&self, folder: &Path, tell: &mut dyn FnMut(&str)) -> Result<Measured> {
        let cast = self.start(folder, tell)?;
        let mut measured = Measured::default();
        for round in 1..=self.rounds {
            let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
            tell(&format!("round {round} of {}, load {}", self.rounds, load.trim()));
            measured.loads.push(load.trim().to_owned());
            measured.commits.push(self.commit_p50(folder)?);
            for connections in &self.connections {
                for subject in cast.subjects.iter().filter(|subject| subject.connections.contains(connections)) {
                    let outcome = self.load(subject, *connections).with_context(|| key(&subject.name, *connections))?;
                    measured.outcomes.entry(key(&subject.name, *connections)).or_default().push(outcome);
                }
            }
        }
        Ok(measured)
    }

    fn start(&self, folder: &Path, tell: &mut dyn FnMut(&str)) -> Result<Cast> {
        let upstream = Server::start(role(Core::Other, &["upstream"])?)?;
        let at = upstream.port;
        let mut cast = Cast { folder: folder.to_owned(), upstream: at, ..Cast::default() };
        cast.plain("direct", upstream, 200, &self.connections);
        let receiver = Server::start(role(Core::Other, &["receiver"])?)?;
        cast.receiver = receiver.port;
        cast.servers.push(receiver);
        let bare = Server::start(role(Core::Measured, &["bare", &format!("127.0.0.1:{at}")])?)?;
        cast.plain("bare", bare, 200, &self.connections);
        let most = self.connections.last().copied().into_iter().collect::<Vec<_>>();
        for (name, setup) in WALKS {
            self.sidecar(&mut cast, (name, &setup), &self.connections)?;
        }
        for (name, setup) in RULES {
            self.sidecar(&mut cast, (name, &setup), &most)?;
        }
        if self.wants("denied") {
            let refusal = Server::start(role(Core::Measured, &["refusal"])?)?;
            cast.plain("bare refusal", refusal, 403, &most);
            self.sidecar(&mut cast, (LOGGING.0, &LOGGING.1), &[])?;
            cast.denied("full, jwt", "denied", &most);
            cast.denied(LOGGING.0, "denied, logged", &most);
        }
        tell(&format!("{} servers are up", cast.servers.len()));
        Ok(cast)
    }

    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| name.contains(only.as_str()))
    }

    fn sidecar(&self, cast: &mut Cast, (name, setup): (&str, &Setup), connections: &[usize]) -> Result<()> {
        let measured = !connections.is_empty();
        if measured && !self.wants(name) {
            return Ok(());
        }
        let own = cast.folder.join(name.replace([' ', ','], "-"));
        let setup = Setup { told: setup.told.map(|_| cast.receiver), ..setup.clone() };
        let sidecar = Sidecar::start(&self.program, &own, cast.upstream, &setup).with_context(|| name.to_owned())?;
        cast.subjects.push(Subject {
            name: name.to_owned(),
            port: sidecar.server.port,
            pid: sidecar.server.pid(),
            path: PERMITTED,
            task: Some(sidecar.task),
            status: 200,
            connections: connections.to_vec(),
        });
        cast.servers.push(sidecar.server);
        Ok(())
    }

    fn load(&self, subject: &Subject, connections: usize) -> Result<Outcome> {
        let order = Order {
            port: subject.port,
            path: subject.path.to_owned(),
            task: subject.task.clone(),
            status: subject.status,
            connections,
            warm_ms: self.warm_ms,
            count_ms: self.count_ms,
            pid: subject.pid,
        };
        said(&["load", &serde_json::to_string(&order)?], Core::Other)
    }

    fn commit_p50(&self, folder: &Path) -> Result<f64> {
        let folder = folder.display().to_string();
        said(&["commits", &folder, &self.commits.to_string()], Core::Measured)
    }
}

impl Cast {
    fn plain(&mut self, name: &str, server: Server, status: u16, connections: &[usize]) {
        let (port, pid) = (server.port, server.pid());
        let connections = connections.to_vec();
        self.subjects.push(Subject {
            name: name.to_owned(),
            port,
            pid,
            path: "/repos/octo/hello/issues/get/7",
            task: None,
            status,
            connections,
        });
        self.servers.push(server);
    }

    /// The same sidecar, asked for what a rule forbids.
    fn denied(&mut self, of: &str, name: &str, connections: &[usize]) {
        let Some(of) = self.subjects.iter().find(|subject| subject.name == of) else { return };
        let (port, pid, task) = (of.port, of.pid, of.task.clone());
        let connections = connections.to_vec();
        self.subjects.push(Subject {
            name: name.to_owned(),
            port,
            pid,
            path: FORBIDDEN,
            task,
            status: 403,
            connections,
        });
    }
}

/// What this program says in another role.
pub fn said<T: serde::de::DeserializeOwned>(arguments: &[&str], core: Core) -> Result<T> {
    let output = role(core, arguments)?.stderr(std::process::Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("`{}` failed", arguments.join(" "));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}
