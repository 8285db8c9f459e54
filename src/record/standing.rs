//! What reviewers have said of agents, for whoever starts: a restart lets nobody go on who was stopped.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::query::stored;
use super::{Reader, StoreError};

/// Few records are of these kinds, and an index finds them among millions.
const SAID: &str = "kind IN ('quarantined', 'released') ORDER BY records.seq DESC";

impl Reader {
    /// The agents that were stopped and have not been let go on since.
    pub fn quarantined(&self) -> Result<Vec<String>, StoreError> {
        let mut last: BTreeMap<String, bool> = BTreeMap::new();
        let mut look = |db: &Connection| -> Result<(), StoreError> {
            for record in stored(db, SAID, &[])? {
                let Some(agent) = record.entry.get("agent").and_then(|agent| agent.as_str()) else { continue };
                last.entry(agent.to_owned()).or_insert(record.kind() == "quarantined");
            }
            Ok(())
        };
        look(&self.db)?;
        self.back_through_archives(&mut |db, _| look(db).map(|()| false))?;
        Ok(last.into_iter().filter_map(|(agent, stopped)| stopped.then_some(agent)).collect())
    }
}
