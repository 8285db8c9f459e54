//! The baselines that people have put in force, read from the lineage and handed to memory before the doors open.

use crate::memory::{LAST_TASKS, Memory};
use crate::model::AgentName;
use crate::record::{PastBaselines, Reader, StoreError};

/// Hands memory the baseline of each agent that has one, and what its last tasks have shown since.
pub(super) fn recall(reader: &Reader, memory: &Memory, agents: &[AgentName]) -> Result<(), StoreError> {
    for agent in agents {
        let PastBaselines { all, in_force, .. } = reader.baselines(agent.as_str())?;
        let Some(last) = all.into_iter().last().filter(|_| in_force) else { continue };
        // One that was erased says nothing any more.
        let Some(baseline) = last.baseline else { continue };
        memory.baselines().ratify(agent, last.version, baseline);
        for (_, course) in reader.shown(agent.as_str(), last.at, LAST_TASKS)?.tasks {
            memory.baselines().note(agent, &course);
        }
    }
    Ok(())
}
