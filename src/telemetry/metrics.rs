//! What is counted: every metric and its name, for `/metrics` and for whoever is sent them.

use std::collections::BTreeMap;
use std::time::Duration;

use prometheus::proto::MetricFamily;
use prometheus::{
    Encoder as _, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};

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
    took: [Histogram; 3],
    spans: [IntCounter; 3],
}

/// Upper bounds of the histogram of how long calls take, in seconds.
const BOUNDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// What becomes of a call, as a label says it.
const OUTCOMES: [&str; 3] = ["answered", "failed", "refused"];

/// What becomes of a span.
const FATES: [&str; 3] = ["sent", "dropped", "failed"];

/// Names of metrics, in one place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Name {
    Calls,
    Took,
    Connections,
    Glass,
    Loads,
    Outdated,
    Spans,
}

impl Name {
    pub(super) const ALL: [Self; 7] =
        [Self::Calls, Self::Took, Self::Connections, Self::Glass, Self::Loads, Self::Outdated, Self::Spans];

    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Calls => "countersign_calls_total",
            Self::Connections => "countersign_connections",
            Self::Glass => "countersign_glass_broken_total",
            Self::Loads => "countersign_loads_total",
            Self::Outdated => "countersign_outdated",
            Self::Took => "countersign_call_seconds",
            Self::Spans => "countersign_spans_total",
        }
    }

    pub(super) const fn help(self) -> &'static str {
        match self {
            Self::Calls => "Calls by outcome (answered, failed, refused) and code.",
            Self::Connections => "Connections of agents that are open.",
            Self::Glass => "Times the glass was broken for an agent: each wants a review.",
            Self::Loads => "Times that configuration, policies and catalogs were loaded, or were wrong and were not.",
            Self::Outdated => "1 while what lies on the disk is not what judges, because it could not be loaded.",
            Self::Took => "Seconds from a call's arrival to the head of its answer, or to its refusal, by outcome.",
            Self::Spans => {
                "Spans by what became of them: sent, dropped because too many waited, failed because the receiver took none."
            }
        }
    }

    /// The labels, with every value that each may have.
    pub(super) fn labels(self) -> Vec<(&'static str, Vec<&'static str>)> {
        match self {
            Self::Calls => vec![("outcome", OUTCOMES.to_vec()), ("code", Code::ALL.map(Code::name).to_vec())],
            Self::Took => vec![("outcome", OUTCOMES.to_vec())],
            Self::Loads => vec![("outcome", vec!["loaded", "failed"])],
            Self::Spans => vec![("outcome", FATES.to_vec())],
            Self::Connections | Self::Glass | Self::Outdated => Vec::new(),
        }
    }

    /// What kind of metric it is, in Prometheus' words.
    pub(super) const fn kind(self) -> &'static str {
        match self {
            Self::Calls | Self::Glass | Self::Loads | Self::Spans => "counter",
            Self::Took => "histogram",
            Self::Connections | Self::Outdated => "gauge",
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
        let took = HistogramOpts::new(Name::Took.text(), Name::Took.help()).buckets(BOUNDS.to_vec());
        let took = HistogramVec::new(took, &["outcome"])?;
        let spans = IntCounterVec::new(Opts::new(Name::Spans.text(), Name::Spans.help()), &["outcome"])?;
        registry.register(Box::new(took.clone()))?;
        registry.register(Box::new(spans.clone()))?;
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
            took: OUTCOMES.map(|outcome| took.with_label_values(&[outcome])),
            spans: FATES.map(|fate| spans.with_label_values(&[fate])),
            registry,
        })
    }

    /// A permitted call was answered after so long, or failed with this code.
    pub fn permitted(&self, failed: Option<Code>, after: Duration) {
        let [answered, broken, _] = &self.took;
        match failed {
            None => self.completed.inc(),
            Some(code) => self.failed.get(&code).into_iter().for_each(IntCounter::inc),
        }
        (if failed.is_none() { answered } else { broken }).observe(after.as_secs_f64());
    }

    /// A call was refused with this code.
    pub fn refused(&self, code: Code) {
        self.refused.get(&code).into_iter().for_each(IntCounter::inc);
    }

    /// It was refused after so long, in the walk.
    pub fn refused_after(&self, after: Duration) {
        let [_, _, refused] = &self.took;
        refused.observe(after.as_secs_f64());
    }

    /// So many spans were taken by whoever they are sent to.
    pub fn spans_sent(&self, count: usize) {
        let [sent, _, _] = &self.spans;
        sent.inc_by(count as u64);
    }

    /// So many were not kept, because too many waited.
    pub fn spans_dropped(&self, count: usize) {
        let [_, dropped, _] = &self.spans;
        dropped.inc_by(count as u64);
    }

    /// So many were sent and not taken.
    pub fn spans_failed(&self, count: usize) {
        let [_, _, failed] = &self.spans;
        failed.inc_by(count as u64);
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

    /// All of it, as it is now.
    pub(super) fn families(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    /// All of it in Prometheus' text format 0.0.4.
    pub fn text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        // Writing to memory does not fail; a family that cannot be written would be left out.
        let _ = TextEncoder::new().encode(&self.families(), &mut text);
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
