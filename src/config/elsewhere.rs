//! Where checkpoints, notices and telemetry are sent: files and servers that whoever can change the lineage cannot change as well.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Scheme;

use super::TelemetryFile;
use super::parsed::{ConfigError, Elsewhere, wrong};
use super::tool::upstream;
use crate::model::{Network, Tool};

/// How long one delivery may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where plain http may lead: to a forwarder on this machine.
const LOOPBACK: [&str; 2] = ["127.0.0.0/8", "::1/128"];

/// Where https may lead. The operator names the server, no agent has a say in it.
const ANYWHERE: [&str; 2] = ["0.0.0.0/0", "::/0"];

pub(super) fn parse(places: Vec<String>, base: &Path) -> Result<Vec<Elsewhere>, ConfigError> {
    let key = "lineage.checkpoints";
    let place = |(number, text): (usize, String)| {
        if !text.contains("://") {
            return Ok(Elsewhere::File(base.join(text)));
        }
        server(format!("checkpoints-{number}"), key, &text).map(Elsewhere::Url)
    };
    places.into_iter().enumerate().map(place).collect()
}

/// Where it is told that somebody is asked.
pub fn webhook(address: &str) -> Result<Arc<Tool>, ConfigError> {
    server("approvals".to_owned(), "approvals.notify.webhook", address)
}

/// Where spans and metrics are sent, and how many.
#[derive(Debug)]
pub struct Telemetry {
    /// Whoever receives them over OTLP/HTTP.
    pub otlp: Option<Arc<Tool>>,
    /// The part of the traces that begin here and are kept: 0 to 1.
    pub sample: f64,
    /// Whether an agent's word holds for the traces it has begun.
    pub follow: bool,
    /// How often metrics are sent.
    pub every: Duration,
}

pub(super) fn telemetry(file: TelemetryFile) -> Result<Telemetry, ConfigError> {
    let TelemetryFile { otlp, sample, follow, every } = file;
    if !(0.0..=1.0).contains(&sample) {
        return Err(wrong("telemetry.sample", format!("`{sample}` is no part of all traces: 0 is none, 1 is all")));
    }
    let otlp = otlp.map(|address| server("telemetry".to_owned(), "telemetry.otlp", &address)).transpose()?;
    Ok(Telemetry { otlp, sample, follow, every: every.0 })
}

/// A server that the operator names: over https anywhere, over http on this machine.
fn server(name: String, key: &str, address: &str) -> Result<Arc<Tool>, ConfigError> {
    let (scheme, authority, base_path) = upstream(address).map_err(|why| wrong(key, why))?;
    let networks = if scheme == Scheme::HTTP { LOOPBACK } else { ANYWHERE };
    let networks: Result<Vec<Network>, _> = networks.iter().map(|network| network.parse()).collect();
    Ok(Arc::new(Tool {
        name: name.into(),
        scheme,
        authority,
        base_path,
        networks: networks.map_err(|why| wrong(key, why))?,
        issuer: "none".into(),
        max_call: PATIENCE,
        max_body: 0,
        request_headers: Vec::new(),
        answer_headers: Vec::new(),
    }))
}
