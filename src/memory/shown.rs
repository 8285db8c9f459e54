//! Tasks as reviewers see them.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use super::live::Live;
use super::lock;
use super::tasks::Tasks;
use crate::model::{AgentName, Grant, Label, OpenedBy, TaskId, Timestamp};

/// A task that is not over, and what has happened in it.
#[derive(Debug, Serialize)]
pub struct ShownTask {
    /// Its id.
    pub task: TaskId,
    /// Whose it is.
    pub agent: AgentName,
    /// Who opened it.
    pub opened_by: OpenedBy,
    /// For whom, as its opener said.
    pub on_behalf_of: Option<String>,
    /// What is to be reached, in its opener's words.
    pub goal: String,
    /// What it declares, and how much of that is used.
    pub grant: Vec<ShownLine>,
    /// Which grant this is.
    pub version: u32,
    /// The task above it.
    pub parent: Option<TaskId>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it is over by itself.
    pub expires_at: Option<Timestamp>,
    /// What it has taken in itself.
    pub labels: BTreeSet<Label>,
    /// Calls permitted in it so far.
    pub calls: u64,
    /// Those of them that are under way.
    pub under_way: u64,
}

/// A line of a grant.
#[derive(Debug, Serialize)]
pub struct ShownLine {
    /// What it declares.
    #[serde(flatten)]
    pub grant: Grant,
    /// Calls it has covered, and what it has lent to children.
    pub used: u32,
}

impl Tasks {
    /// Those that are not over, the latest first: of an agent, if one is named.
    pub fn shown(&self, agent: Option<&str>, now: Timestamp) -> Vec<ShownTask> {
        let lives: Vec<Arc<Live>> = lock(&self.index).by_id.values().cloned().collect();
        let of = |task: &ShownTask| agent.is_none_or(|agent| agent == task.agent.as_str());
        let mut shown: Vec<ShownTask> = lives.iter().filter_map(|live| live.shown(now)).filter(of).collect();
        shown.sort_by_key(|task| std::cmp::Reverse((task.opened_at, task.task)));
        shown
    }

    /// The task of this id, if it is not over.
    pub fn show(&self, id: TaskId, now: Timestamp) -> Option<ShownTask> {
        let live = lock(&self.index).by_id.get(&id).cloned()?;
        live.shown(now)
    }
}

impl Live {
    fn shown(&self, now: Timestamp) -> Option<ShownTask> {
        let state = lock(&self.state);
        let task = &state.task;
        state.is_open(now).then(|| ShownTask {
            task: task.id,
            agent: task.agent.clone(),
            opened_by: task.opened_by,
            on_behalf_of: task.on_behalf_of.clone(),
            goal: task.goal.clone(),
            grant: task
                .grant
                .iter()
                .zip(&state.lines)
                .map(|(grant, line)| ShownLine { grant: grant.clone(), used: line.used })
                .collect(),
            version: task.version,
            parent: task.parent,
            opened_at: task.opened_at,
            expires_at: task.expires_at,
            labels: state.labels.clone(),
            calls: state.calls,
            under_way: state.under_way,
        })
    }
}
