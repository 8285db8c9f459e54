//! Who is asking, proven.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// The name an agent has in the configuration.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct AgentName(pub Arc<str>);

impl AgentName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A proven caller: one agent, running as one workload.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The agent whose proofs matched, and no other's did.
    pub agent: AgentName,
    /// What runs.
    pub workload: Arc<Workload>,
    /// Until when the proof holds; `None` while the peer lives.
    pub expires_at: Option<Timestamp>,
}

/// The running thing that proved itself.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Workload {
    /// How it was proven, the strongest way first.
    pub proofs: Vec<Proof>,
    /// A name that is the same each time this workload comes back.
    pub id: String,
    /// What else is known of it, for reviewers.
    pub attributes: BTreeMap<&'static str, String>,
}

impl Workload {
    /// From where it calls, in words that are the same each time: what was proven, and which program at which address.
    pub fn source(&self) -> String {
        let mut source = self.id.clone();
        for name in ["exe", "script", "unit"] {
            if let Some(value) = self.attributes.get(name) {
                source = format!("{source} {name}:{value}");
            }
        }
        let address = self.attributes.get("address").and_then(|address| address.parse::<SocketAddr>().ok());
        match address.map(|address| address.ip()).filter(|ip| !ip.is_loopback()) {
            Some(ip) => format!("{source} from {ip}"),
            None => source,
        }
    }

    /// The kind of its strongest proof.
    pub fn kind(&self) -> &'static str {
        self.proofs.iter().max().map_or("none", |proof| proof.name())
    }

    /// How much its proofs are worth together: the best of them, and one more if several agree.
    pub fn strength(&self) -> i64 {
        let best = self.proofs.iter().map(|proof| proof.strength()).max().unwrap_or(0);
        if self.proofs.len() > 1 { best + 1 } else { best }
    }
}

/// A way of proving who asks, from weakest to strongest.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// It holds a string.
    Token,
    /// It runs as a user.
    Uid,
    /// It is a process of a known executable, unit, control group or script.
    Process,
}

impl Proof {
    /// As policies and records name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Uid => "uid",
            Self::Process => "process",
        }
    }

    /// 1 for something that can be copied, 2 for a user, 3 for one process.
    pub const fn strength(self) -> i64 {
        match self {
            Self::Token => 1,
            Self::Uid => 2,
            Self::Process => 3,
        }
    }
}
