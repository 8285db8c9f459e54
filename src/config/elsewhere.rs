//! Where checkpoints and notices are sent: files and servers that whoever can change the lineage cannot change as well.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Scheme;

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
