//! What an earlier run permitted, read from the lineage and handed to memory before the doors open.

use std::collections::BTreeSet;

use crate::mediate::Rulebook;
use crate::memory::{Memory, PastCall, fingerprint_of};
use crate::model::{AgentName, Digest, Label, TaskId, Timestamp};
use crate::record::{Past, Reader, StoreError};
use crate::understand::Catalog;

/// Calls that are read back, at most. A limit that holds more in its window forgets the earliest of them.
const MOST: usize = 50_000;

/// Hands memory what the lineage tells. `agents` are those that are configured.
pub(super) fn recall(
    reader: &Reader,
    memory: &Memory,
    rulebook: &Rulebook,
    agents: &[AgentName],
    now: Timestamp,
) -> Result<(), StoreError> {
    let (past, all) = reader.past(MOST)?;
    let mut known = BTreeSet::new();
    for call in past.iter().filter_map(|past| told(past, &rulebook.catalog)) {
        // What was judged outside of tasks says what the agent held by then.
        if call.task == implicit(&call.agent) {
            known.insert(call.agent.clone());
        }
        memory.recall(&call, &rulebook.bounds, now);
    }
    for agent in agents.iter().filter(|agent| !all && !known.contains(*agent)) {
        memory.assume_the_worst(agent, now);
    }
    Ok(())
}

fn told(past: &Past, catalog: &Catalog) -> Option<PastCall> {
    let (tool, _) = past.action.split_once('/')?;
    let yields = catalog.tools().flat_map(|tool| &tool.actions).find(|action| *action.name == *past.action);
    let brought = yields.into_iter().flat_map(|action| action.yields.iter().copied());
    let held = [Label::Untrusted, Label::Private].into_iter();
    let held = held.filter(|label| past.labels.iter().any(|held| held == label.name()));
    Some(PastCall {
        at: past.at(),
        agent: AgentName(past.agent.as_str().into()),
        workload: past.workload.clone(),
        task: past.task?,
        tool: tool.to_owned(),
        action: past.action.clone(),
        fingerprint: fingerprint_of(&past.action, &past.method, &past.target, past.content.parse().ok()),
        labels: held.chain(brought).filter(|label| *label != Label::Trusted).collect(),
    })
}

fn implicit(agent: &AgentName) -> TaskId {
    TaskId::implicit(Digest::of(agent.as_str().as_bytes()))
}
