//! The baselines that people have put in force, read from the lineage and handed to memory before the doors open.

use crate::memory::{LAST_TASKS, Memory};
use crate::model::AgentName;
use crate::record::{Reader, StoreError};

/// Hands memory the baseline of each agent that has one, and what its last tasks have shown since.
pub(super) fn recall(reader: &Reader, memory: &Memory, agents: &[AgentName]) -> Result<(), StoreError> {
    for last in reader.in_force(agents)? {
        // One that was erased says nothing any more.
        let Some(baseline) = last.baseline else { continue };
        let agent = AgentName(last.agent.as_str().into());
        memory.baselines().ratify(&agent, last.version, baseline);
        for (_, course) in reader.shown(agent.as_str(), last.at, LAST_TASKS)?.tasks {
            memory.baselines().note(&agent, &course);
        }
    }
    Ok(())
}
