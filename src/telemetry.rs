//! What is told to those who watch: logs as JSON lines, and counters for `/metrics`.

mod line;
mod log;

use std::collections::BTreeMap;

use prometheus::{Encoder as _, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

pub use self::line::{LONGEST_LINE, LONGEST_VALUE};
pub use self::log::{FilterError, install};
use crate::model::Code;

/// What is counted. Every series is made at start, so that none can be made by what an agent sends.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    completed: IntCounter,
    failed: BTreeMap<Code, IntCounter>,
    refused: BTreeMap<Code, IntCounter>,
    connections: IntGauge,
    glass: IntCounter,
    loads: IntCounter,
    failed_loads: IntCounter,
    outdated: IntGauge,
}

/// Names of metrics, in one place.
#[derive(Clone, Copy, Debug)]
enum Name {
    Calls,
    Connections,
    Glass,
    Loads,
    Outdated,
}

impl Name {
    const fn text(self) -> &'static str {
        match self {
            Self::Calls => "countersign_calls_total",
            Self::Connections => "countersign_connections",
            Self::Glass => "countersign_glass_broken_total",
            Self::Loads => "countersign_loads_total",
            Self::Outdated => "countersign_outdated",
        }
    }

    const fn help(self) -> &'static str {
        match self {
            Self::Calls => "Calls by outcome (answered, failed, refused) and code.",
            Self::Connections => "Connections of agents that are open.",
            Self::Glass => "Times the glass was broken for an agent: each wants a review.",
            Self::Loads => "Times that configuration, policies and catalogs were loaded, or were wrong and were not.",
            Self::Outdated => "1 while what lies on the disk is not what judges, because it could not be loaded.",
        }
    }
}

impl Metrics {
    /// With every counter at nothing.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let calls = IntCounterVec::new(Opts::new(Name::Calls.text(), Name::Calls.help()), &["outcome", "code"])?;
        let connections = IntGauge::new(Name::Connections.text(), Name::Connections.help())?;
        registry.register(Box::new(calls.clone()))?;
        let loads = IntCounterVec::new(Opts::new(Name::Loads.text(), Name::Loads.help()), &["outcome"])?;
        let outdated = IntGauge::new(Name::Outdated.text(), Name::Outdated.help())?;
        let glass = IntCounter::new(Name::Glass.text(), Name::Glass.help())?;
        registry.register(Box::new(connections.clone()))?;
        registry.register(Box::new(loads.clone()))?;
        registry.register(Box::new(outdated.clone()))?;
        registry.register(Box::new(glass.clone()))?;
        let by_code = |outcome: &str| {
            Code::ALL.into_iter().map(|code| (code, calls.with_label_values(&[outcome, code.name()]))).collect()
        };
        Ok(Self {
            completed: calls.with_label_values(&["answered", ""]),
            failed: by_code("failed"),
            refused: by_code("refused"),
            connections,
            glass,
            loads: loads.with_label_values(&["loaded"]),
            failed_loads: loads.with_label_values(&["failed"]),
            outdated,
            registry,
        })
    }

    /// A permitted call was answered, or failed with this code.
    pub fn permitted(&self, failed: Option<Code>) {
        match failed {
            None => self.completed.inc(),
            Some(code) => self.failed.get(&code).into_iter().for_each(IntCounter::inc),
        }
    }

    /// A call was refused with this code.
    pub fn refused(&self, code: Code) {
        self.refused.get(&code).into_iter().for_each(IntCounter::inc);
    }

    /// The glass was broken for an agent.
    pub fn glass_broken(&self) {
        self.glass.inc();
    }

    /// What lies on the disk judges from here on.
    pub fn loaded(&self) {
        self.loads.inc();
        self.outdated.set(0);
    }

    /// What lies on the disk could not be loaded.
    pub fn not_loaded(&self) {
        self.failed_loads.inc();
        self.outdated.set(1);
    }

    /// What lies on the disk is what judges already.
    pub fn is_loaded(&self) {
        self.outdated.set(0);
    }

    /// A connection was opened; it is counted until the guard is dropped.
    pub fn connected(&self) -> Connected {
        self.connections.inc();
        Connected(self.connections.clone())
    }

    /// All of it in Prometheus' text format 0.0.4.
    pub fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        // Writing to memory does not fail; a family that cannot be written would be left out.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        text
    }
}

/// An open connection.
#[derive(Debug)]
pub struct Connected(IntGauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}
