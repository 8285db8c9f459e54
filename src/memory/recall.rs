//! What an earlier run has seen, taken in again at the start: the places calls took, and what tasks have used and hold
//! because of them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::grants::{self, Line, Loan};
use super::live::Live;
use super::{Bounds, Memory, lock};
use crate::model::{AgentName, Digest, Grant, Label, Task, TaskId, Timestamp};

/// A call of an earlier run.
#[derive(Clone, Debug)]
pub struct PastCall {
    /// When it was permitted.
    pub at: Timestamp,
    /// Who asked.
    pub agent: AgentName,
    /// As which workload.
    pub workload: String,
    /// In which task.
    pub task: TaskId,
    /// The tool.
    pub tool: String,
    /// The action's full name.
    pub action: Arc<str>,
    /// What it acted on, without the tool; `None` if that was erased.
    pub resource: Option<String>,
    /// The grant of its task covered it.
    pub declared: bool,
    /// What tells it from other calls, see [`super::tasks::fingerprint_of`]; `None` if that was erased.
    pub fingerprint: Option<Digest>,
    /// What its task held when it was judged, and what its answer may have brought.
    pub labels: Vec<Label>,
    /// How long its credential was alive.
    pub alive: Duration,
}

/// A task of an earlier run: one that is open, or one that came out of one that is.
#[derive(Clone, Debug)]
pub struct PastTask {
    /// As it was amended last. Nothing if its grant was erased: then it may have been anything.
    pub task: Result<Task, Lost>,
    /// What its token is found by.
    pub token: Digest,
    /// It is over.
    pub over: bool,
}

/// A task of which nobody knows any more what it was granted.
#[derive(Clone, Copy, Debug)]
pub struct Lost {
    /// The task it came out of.
    pub parent: Option<TaskId>,
}

impl Memory {
    /// Takes in the tasks of an earlier run, in the order they were opened, with all that was permitted in them: what
    /// they have used and hold is what it was. Where nobody knows that any more, the worst is taken for true.
    pub fn reopen(&self, tasks: Vec<PastTask>, calls: &[PastCall], now: Timestamp) {
        let mut lives: HashMap<TaskId, Arc<Live>> = HashMap::new();
        let mut ended: HashSet<TaskId> = HashSet::new();
        let mut kept = Vec::new();
        let shelf = lock(&self.tasks.index).shelf.clone();
        for PastTask { task, token, over } in tasks {
            match task {
                Ok(task) => {
                    let parent = task.parent.map(|parent| lives.get(&parent).cloned());
                    let lines = match &parent {
                        // What it came out of is over or unknown, and so it is over itself.
                        Some(None) => continue,
                        Some(Some(parent)) => Loan::retake(parent, &task.grant).spend(),
                        None => vec![Line::default(); task.grant.len()],
                    };
                    // The record of a parent's end may be the last there is.
                    let over = over
                        || task.expires_at.is_some_and(|end| end <= now)
                        || task.parent.is_some_and(|parent| ended.contains(&parent));
                    let id = task.id;
                    if over {
                        ended.insert(id);
                    }
                    let live = Live::new(task, parent.flatten(), lines, &shelf);
                    lives.insert(id, live.clone());
                    kept.push((live, token, over));
                }
                Err(lost) => {
                    if let Some(parent) = lost.parent.and_then(|parent| lives.get(&parent)) {
                        use_up(parent);
                    }
                }
            }
        }
        for call in calls {
            if let Some(live) = lives.get(&call.task) {
                live.count(call.fingerprint, &call.action);
                live.add_privilege(call.alive);
                live.label(call.labels.iter().copied());
                take_again(live, call);
            }
        }
        // Children stand behind their parents: what they leave goes there before the parent leaves anything.
        for (live, _, _) in kept.iter().rev().filter(|(_, _, over)| *over) {
            grants::close(live);
        }
        let mut index = lock(&self.tasks.index);
        for (live, token, _) in kept.into_iter().filter(|(_, _, over)| !over) {
            // What was denied in it, alarmed or doubted is not known any more.
            live.spoil();
            index.insert(live, token);
        }
    }

    /// Takes in a call of an earlier run: the places it took in the windows of limits, and what its agent holds because of
    /// it. Calls outside of tasks are counted, too. The earliest comes first. `root` is the task its children count for.
    pub fn recall(&self, past: &PastCall, root: TaskId, bounds: &Bounds, now: Timestamp) {
        self.limits.recall(bounds.limits_of(&past.agent), past, root, now);
        let implicit = lock(&self.tasks.index).implicit(&past.agent, now);
        implicit.label(past.labels.iter().copied());
        if past.task == implicit.task().id {
            implicit.count(past.fingerprint, &past.action);
            implicit.add_privilege(past.alive);
        }
        let live = lock(&self.tasks.index).by_id.get(&past.task).cloned();
        if live.is_some_and(|live| !live.is_given()) {
            implicit.label_outside(past.labels.iter().copied(), past.at);
        }
    }

    /// Nobody knows any more what an agent took in outside of tasks: the worst is taken for true.
    pub fn assume_the_worst(&self, agent: &AgentName, now: Timestamp) {
        let implicit = self.tasks.implicit(agent, now);
        let all = [Label::Untrusted, Label::Private];
        self.tasks.label(implicit.id, &all);
        lock(&self.tasks.index).implicit(agent, now).label_outside(all.into_iter(), now);
    }
}

/// What a line of a grant covered is used. If nobody knows what was called, it may have been any line of that action.
fn take_again(live: &Arc<Live>, call: &PastCall) {
    if !call.declared {
        return;
    }
    let mut state = lock(&live.state);
    let task = state.task.clone();
    let covers = |grant: &Grant| {
        grant.action == call.action
            && (call.resource.is_none() || grant.resource.is_none() || grant.resource == call.resource)
    };
    let room = grants::room_in(&task.grant, &state.lines, covers);
    let first = task.grant.iter().position(covers);
    if call.resource.is_some() {
        grants::take_line(&mut state.lines, room.or(first));
        return;
    }
    for (line, _) in task.grant.iter().enumerate().filter(|(_, grant)| covers(grant)) {
        grants::take_line(&mut state.lines, Some(line));
    }
}

/// Nobody knows what a child took: all there was.
fn use_up(parent: &Arc<Live>) {
    for line in &mut lock(&parent.state).lines {
        line.used = u32::MAX;
    }
}
