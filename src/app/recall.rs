//! What an earlier run permitted, read from the lineage and handed to memory before the doors open.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::mediate::Rulebook;
use crate::memory::{Lost, Memory, PastCall, PastTask, fingerprint_of};
use crate::model::{AgentName, Digest, Label, Task, TaskId, Timestamp};
use crate::record::{OpenTask, Past, PastLife, Reader, StoreError};
use crate::understand::Catalog;

/// Calls that are read back, at most. A limit that holds more in its window forgets the earliest of them.
const MOST: usize = 50_000;

/// Hands memory what the lineage tells: first the tasks that are `open`, with all that happened in them and in what came
/// out of them; then the last calls, for the limits and for what is held outside of tasks. `agents` are those that are
/// configured.
pub(super) fn recall(
    reader: &Reader,
    memory: &Memory,
    rulebook: &Rulebook,
    (open, agents): (&[OpenTask], &[AgentName]),
    now: Timestamp,
) -> Result<(), StoreError> {
    let PastLife { tasks, closed, calls } = reader.lives(open)?;
    let calls: Vec<PastCall> = calls.iter().filter_map(|past| told(past, &rulebook.catalog)).collect();
    let mut roots: HashMap<TaskId, TaskId> = HashMap::new();
    for open in &tasks {
        let parent = open.opened.parent;
        let root = parent.map_or(open.task, |parent| roots.get(&parent).copied().unwrap_or(parent));
        roots.insert(open.task, root);
    }
    let tasks = tasks.iter().map(|open| restored(open, closed.contains(&open.task))).collect();
    memory.reopen(tasks, &calls, now);
    let (past, all) = reader.past(MOST)?;
    let mut known = BTreeSet::new();
    for call in past.iter().filter_map(|past| told(past, &rulebook.catalog)) {
        // What was judged outside of tasks says what the agent held by then.
        if call.task == implicit(&call.agent) {
            known.insert(call.agent.clone());
        }
        let root = roots.get(&call.task).copied().unwrap_or(call.task);
        memory.recall(&call, root, &rulebook.bounds, now);
    }
    for agent in agents.iter().filter(|agent| !all && !known.contains(*agent)) {
        memory.assume_the_worst(agent, now);
    }
    Ok(())
}

/// A task that the last run left open, or that came out of one, as its records tell it.
fn restored(open: &OpenTask, over: bool) -> PastTask {
    let lost = Lost { parent: open.opened.parent };
    PastTask { task: task(open).ok_or(lost), token: open.opened.token, over }
}

/// Nothing if what is private was erased.
fn task(open: &OpenTask) -> Option<Task> {
    let text = |name: &str| open.private.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    let values = open.private.get("values").and_then(|values| serde_json::from_value(values.clone()).ok());
    Some(Task {
        id: open.task,
        agent: AgentName(open.opened.agent.as_str().into()),
        opened_by: serde_json::from_value(open.opened.opened_by.as_str().into()).ok()?,
        on_behalf_of: text("on_behalf_of"),
        goal: text("goal")?,
        grant: serde_json::from_value(open.private.get("grant")?.clone()).ok()?,
        version: open.version,
        values: Arc::new(values.unwrap_or_default()),
        parent: open.opened.parent,
        depth: open.opened.depth,
        opened_at: open.at,
        expires_at: open.opened.expires_at,
    })
}

fn told(past: &Past, catalog: &Catalog) -> Option<PastCall> {
    let (tool, _) = past.action.split_once('/')?;
    let action = catalog.tools().flat_map(|tool| &tool.actions).find(|action| *action.name == *past.action);
    // Of an action that is no longer in a catalog nobody knows what its answer brings.
    let brings = action.map_or(&[Label::Untrusted, Label::Private][..], |action| &action.yields);
    let brought = brings.iter().copied().filter(|_| past.answered);
    let held = [Label::Untrusted, Label::Private].into_iter();
    let held = held.filter(|label| past.labels.iter().any(|held| held == label.name()));
    let is_whole = !past.target.is_empty();
    let fingerprint = || fingerprint_of(&past.action, &past.method, &past.target, past.content.parse().ok());
    let short =
        |resource: &String| resource.strip_prefix(tool).and_then(|rest| rest.strip_prefix('/')).map(str::to_owned);
    Some(PastCall {
        at: past.at(),
        agent: AgentName(past.agent.as_str().into()),
        workload: past.workload.clone(),
        task: past.task?,
        tool: tool.to_owned(),
        action: past.action.as_str().into(),
        resource: past.resource.as_ref().and_then(short),
        declared: past.declared,
        fingerprint: is_whole.then(fingerprint),
        labels: held.chain(brought).filter(|label| *label != Label::Trusted).collect(),
        alive: past.alive,
    })
}

fn implicit(agent: &AgentName) -> TaskId {
    TaskId::implicit(Digest::of(agent.as_str().as_bytes()))
}
