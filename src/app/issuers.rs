//! The issuers of a configuration, and what is published of those that sign.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Environment, StartError, secrets};
use crate::config::{Config, IssuerKind};
use crate::mint::{Issuer, JwtIssuer, JwtOptions, KeyRing, Lent, NoCredential, Schedule, StaticSecret};
use crate::model::{Clock, Timestamp};

/// How often it is looked whether a key is due.
const TURNED: Duration = Duration::from_secs(600);

/// Every issuer.
#[derive(Default)]
pub(super) struct Configured {
    /// By name.
    pub(super) by_name: BTreeMap<Arc<str>, Arc<dyn Issuer>>,
    /// The `iss` of those that sign, with their keys.
    pub(super) published: Vec<(String, Arc<KeyRing>)>,
    /// Their tokens that can be asked about.
    pub(super) lent: Arc<Lent>,
}

impl Configured {
    /// Reads their secrets and keys; makes the keys that there are not yet.
    pub(super) fn of(config: &Config, environment: &Environment, now: Timestamp) -> Result<Self, StartError> {
        let mut all = Self::default();
        for (name, kind) in &config.issuers {
            let issuer: Arc<dyn Issuer> = match kind {
                IssuerKind::None => Arc::new(NoCredential),
                IssuerKind::Static { secret, header, prefix } => {
                    Arc::new(StaticSecret::new(&secrets::lent(secret, environment)?, header.clone(), prefix.clone()))
                }
                IssuerKind::Jwt { issuer, audience, header, algorithm, rotate, asked } => {
                    let usual = Schedule::default();
                    let schedule = Schedule { rotate: rotate.unwrap_or(usual.rotate), ..usual };
                    let folder = config.keys.join(format!("issuer-{name}"));
                    let ring = Arc::new(KeyRing::open(&folder, *algorithm, schedule, now)?);
                    let issuer = issuer.clone().unwrap_or_else(|| format!("https://countersign.invalid/{name}"));
                    all.published.push((issuer.clone(), ring.clone()));
                    let options = JwtOptions { issuer, audience: audience.clone(), header: header.clone() };
                    Arc::new(JwtIssuer::new(options, ring, asked.then(|| all.lent.clone())))
                }
            };
            all.by_name.insert(name.clone(), issuer);
        }
        Ok(all)
    }
}

/// Has keys come and go when they are due, for as long as it is polled.
pub(super) async fn turn_keys(rings: Vec<Arc<KeyRing>>, clock: Clock) {
    loop {
        tokio::time::sleep(TURNED).await;
        for ring in &rings {
            if let Err(error) = ring.turn(clock.now()) {
                tracing::error!(%error, "the signing keys could not be turned; the present one goes on signing");
            }
        }
    }
}
