//! What only a start can change.

use std::collections::BTreeMap;
use std::fmt::Debug;

use super::Telemetry;
use super::parsed::{Config, Lineage, Listen};

impl Config {
    /// Every key that takes a restart, with what it says, as text.
    ///
    /// Doors, keys and the lineage are held by the process; an issuer may have credentials out that only it can end.
    pub fn fixed(&self) -> BTreeMap<String, String> {
        let Self {
            listen,
            keys,
            lineage,
            policies: _,
            preset: _,
            directories: _,
            reviewers: _,
            agents: _,
            tools: _,
            issuers,
            approvals,
            telemetry,
        } = self;
        let Listen { agent, tls, admin, hosts, socket_mode, workers, connections, buffer } = listen;
        let Lineage { path, sync, deadline, queue, repeats, reserve, checkpoints, rotate_size, rotate_age } = lineage;
        let Telemetry { otlp, sample, follow, every } = telemetry;
        let keys: [(&str, &dyn Debug); 23] = [
            ("approvals.notify", &approvals.webhook),
            ("listen.agent", agent),
            ("listen.tls", tls),
            ("listen.admin", admin),
            ("listen.hosts", hosts),
            ("listen.socket_mode", socket_mode),
            ("listen.workers", workers),
            ("listen.connections", connections),
            ("listen.buffer", buffer),
            ("keys.dir", keys),
            ("lineage.path", path),
            ("lineage.sync", sync),
            ("lineage.deadline", deadline),
            ("lineage.queue", queue),
            ("lineage.repeats", repeats),
            ("lineage.reserve", reserve),
            ("lineage.checkpoints", checkpoints),
            ("lineage.rotate_size", rotate_size),
            ("lineage.rotate_age", rotate_age),
            ("telemetry.otlp", otlp),
            ("telemetry.sample", sample),
            ("telemetry.follow", follow),
            ("telemetry.every", every),
        ];
        let keys = keys.into_iter().map(|(key, says)| (key.to_owned(), format!("{says:?}")));
        keys.chain(issuers.iter().map(|(name, says)| (format!("issuers.{name}"), format!("{says:?}")))).collect()
    }
}
