//! What reviewers have said of agents, for whoever starts: a restart lets nobody go on who was stopped.

use std::collections::BTreeMap;

use super::{Reader, StoreError};

impl Reader {
    /// The agents that were stopped and have not been let go on since.
    pub fn quarantined(&self) -> Result<Vec<String>, StoreError> {
        let mut last: BTreeMap<String, bool> = BTreeMap::new();
        for record in self.said(&["quarantined", "released"], |_| true)? {
            let Some(agent) = record.entry.get("agent").and_then(|agent| agent.as_str()) else { continue };
            last.entry(agent.to_owned()).or_insert(record.kind() == "quarantined");
        }
        Ok(last.into_iter().filter_map(|(agent, stopped)| stopped.then_some(agent)).collect())
    }
}
