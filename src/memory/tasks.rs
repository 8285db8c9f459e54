//! Tasks: what was asked, what it allows, and what has happened in it so far.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::under_way::Over;
use super::{PastCall, Place, lock};
use crate::model::{
    AgentName, Call, Caller, ChainFacts, Digest, Ending, Label, OpenedBy, Task, TaskFacts, TaskId, Timestamp,
};

/// Different calls of a task that are told apart; beyond them, all count as repeats of one another.
const TOLD_APART: usize = 10_000;

/// The task is over, or not this agent's, or there never was one: the agent is not told which.
#[derive(Debug, thiserror::Error)]
#[error("the task is over, or not this agent's")]
pub struct TaskOver;

/// Every task that is not over.
#[derive(Debug, Default)]
pub struct Tasks {
    index: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Index {
    by_id: HashMap<TaskId, Arc<Live>>,
    by_token: HashMap<Digest, TaskId>,
    by_expiry: BTreeMap<(Timestamp, TaskId), Digest>,
}

/// A task and what has happened in it.
#[derive(Debug)]
struct Live {
    task: Arc<Task>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    over: bool,
    calls: u64,
    claimed: u64,
    under_way: u64,
    repeats: HashMap<Digest, Repeats>,
    actions: BTreeSet<Arc<str>>,
    labels: BTreeSet<Label>,
    granted: Vec<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Repeats {
    spent: u64,
    claimed: u64,
}

/// What a task looked like when a call was claimed for it.
pub struct Snapshot {
    /// For the facts.
    pub task: TaskFacts,
    /// For the facts.
    pub chain: ChainFacts,
    /// For the facts.
    pub labels: BTreeSet<Label>,
    /// Calls made or claimed.
    pub claimed_calls: u64,
    /// The same call, made or claimed.
    pub claimed_repeats: u64,
    /// Calls under way or claimed.
    pub claimed_concurrent: u64,
}

impl Tasks {
    /// Remembers a task under the digest of its token, and forgets those that have expired.
    /// Gives the latter.
    pub fn open(&self, task: Task, token: Digest, now: Timestamp) -> Vec<TaskId> {
        let mut expired = Vec::new();
        let mut index = lock(&self.index);
        while let Some(entry) = index.by_expiry.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((_, id), token) = entry.remove_entry();
            index.by_token.remove(&token);
            if let Some(live) = index.by_id.remove(&id) {
                lock(&live.state).over = true;
                expired.push(id);
            }
        }
        index.by_token.insert(token, task.id);
        if let Some(end) = task.expires_at {
            index.by_expiry.insert((end, task.id), token);
        }
        index.by_id.insert(task.id, Live::new(task));
        expired
    }

    /// Counts a call of an earlier run in, if its task is not over, and puts on it, and on what its agent does outside of
    /// tasks, what that call brought.
    pub fn recall(&self, past: &PastCall, now: Timestamp) {
        let mut index = lock(&self.index);
        let implicit = index.implicit(&past.agent, now);
        lock(&implicit.state).labels.extend(&past.labels);
        let Some(live) = index.by_id.get(&past.task).cloned() else { return };
        let mut state = lock(&live.state);
        state.labels.extend(&past.labels);
        state.calls = state.calls.saturating_add(1);
        state.actions.insert(past.action.as_str().into());
        state.repeats_of(past.fingerprint);
        if let Some(repeats) = state.repeats.get_mut(&past.fingerprint) {
            repeats.spent = repeats.spent.saturating_add(1);
        }
    }

    /// Puts labels on a task.
    pub fn label(&self, id: TaskId, labels: &[Label]) {
        if let Some(live) = lock(&self.index).by_id.get(&id) {
            lock(&live.state).labels.extend(labels);
        }
    }

    /// Ends a task: no call is counted into it any more.
    pub fn close(&self, id: TaskId) -> Option<Arc<Task>> {
        let mut index = lock(&self.index);
        let live = index.by_id.remove(&id)?;
        if let Some(token) = live.task.expires_at.and_then(|end| index.by_expiry.remove(&(end, id))) {
            index.by_token.remove(&token);
        }
        lock(&live.state).over = true;
        Some(live.task.clone())
    }

    /// Whether a task has taken in something untrusted. One that is over counts as if it had.
    pub fn is_untrusted(&self, id: TaskId) -> bool {
        let mut index = lock(&self.index);
        let Some(live) = index.by_id.get(&id).cloned() else { return true };
        let implicit = index.implicit(&live.task.agent, live.task.opened_at);
        live.labels(&implicit).contains(&Label::Untrusted)
    }

    /// The task of this id.
    pub fn find(&self, id: TaskId, now: Timestamp) -> Option<Arc<Task>> {
        let live = lock(&self.index).by_id.get(&id).cloned()?;
        live.is_open(now).then(|| live.task.clone())
    }

    /// The caller's task that this token names.
    pub fn by_token(&self, caller: &Caller, token: Digest, now: Timestamp) -> Result<Arc<Task>, TaskOver> {
        let live = {
            let index = lock(&self.index);
            index.by_token.get(&token).and_then(|id| index.by_id.get(id)).cloned().ok_or(TaskOver)?
        };
        if live.task.agent == caller.agent && live.is_open(now) { Ok(live.task.clone()) } else { Err(TaskOver) }
    }

    /// The implicit task of an agent: no grant, but the same memory each time.
    ///
    /// It is the agent's and not the workload's: an agent with two proofs has two workloads, and could otherwise leave
    /// behind by one door what it took in by the other.
    pub fn implicit(&self, agent: &AgentName, now: Timestamp) -> Arc<Task> {
        lock(&self.index).implicit(agent, now).task.clone()
    }

    /// Counts a call in, and tells what the task looked like before it.
    pub fn claim(&self, call: &Call) -> Result<(Claim, Snapshot), TaskOver> {
        let (live, implicit) = {
            let mut index = lock(&self.index);
            let live = index.by_id.get(&call.task.id).cloned().ok_or(TaskOver)?;
            (live, index.implicit(&call.caller.agent, call.received_at))
        };
        if !live.is_open(call.received_at) {
            return Err(TaskOver);
        }
        let fingerprint = fingerprint(call);
        let (snapshot, grant) = live.claim(call, fingerprint, &live.labels(&implicit));
        let claim = Claim { live, implicit, fingerprint, action: call.action.name.clone(), grant, open: true };
        Ok((claim, snapshot))
    }
}

impl Index {
    fn implicit(&mut self, agent: &AgentName, now: Timestamp) -> Arc<Live> {
        let id = TaskId::implicit(Digest::of(agent.as_str().as_bytes()));
        let make = || Task {
            id,
            agent: agent.clone(),
            opened_by: OpenedBy::Nobody,
            on_behalf_of: None,
            goal: String::new(),
            grant: Vec::new(),
            parent: None,
            depth: 0,
            opened_at: now,
            expires_at: None,
        };
        self.by_id.entry(id).or_insert_with(|| Live::new(make())).clone()
    }
}

impl Live {
    fn new(task: Task) -> Arc<Self> {
        let state = State { granted: vec![0; task.grant.len()], ..State::default() };
        Arc::new(Self { task: Arc::new(task), state: Mutex::new(state) })
    }

    fn is_open(&self, now: Timestamp) -> bool {
        !lock(&self.state).over && self.task.expires_at.is_none_or(|end| now < end)
    }

    /// What it holds. What an agent opens for itself holds all that the agent holds, whenever it took it in.
    fn labels(&self, implicit: &Self) -> BTreeSet<Label> {
        let mut labels = lock(&self.state).labels.clone();
        match self.task.opened_by {
            OpenedBy::Framework | OpenedBy::Nobody => {}
            OpenedBy::Agent => labels.extend(lock(&implicit.state).labels.iter()),
        }
        labels
    }

    fn claim(&self, call: &Call, fingerprint: Digest, labels: &BTreeSet<Label>) -> (Snapshot, Option<usize>) {
        let task = &self.task;
        let mut state = lock(&self.state);
        let grant = task.grant.iter().enumerate().position(|(index, grant)| {
            let used = state.granted.get(index).copied().unwrap_or(u32::MAX);
            grant.covers(&call.action) && grant.max.is_none_or(|max| used < max)
        });
        if let Some(used) = grant.and_then(|index| state.granted.get_mut(index)) {
            *used = used.saturating_add(1);
        }
        let repeats = state.repeats_of(fingerprint);
        let snapshot = self.snapshot(&state, repeats, labels.clone(), (grant, call.received_at));
        state.claimed = state.claimed.saturating_add(1);
        if let Some(repeats) = state.repeats.get_mut(&fingerprint) {
            repeats.claimed = repeats.claimed.saturating_add(1);
        }
        (snapshot, grant)
    }

    /// What it looks like, to a call that its grant's line covers, at this time.
    fn snapshot(
        &self,
        state: &State,
        repeats: Repeats,
        labels: BTreeSet<Label>,
        (grant, now): (Option<usize>, Timestamp),
    ) -> Snapshot {
        let task = &self.task;
        Snapshot {
            task: TaskFacts {
                present: task.opened_by != OpenedBy::Nobody,
                opened_by: task.opened_by,
                declared: grant.is_some(),
                depth: i64::from(task.depth),
                age_s: count(now.since(task.opened_at).as_secs()),
                on_behalf_of: task.on_behalf_of.clone(),
            },
            chain: ChainFacts {
                calls: count(state.calls),
                repeats: count(repeats.spent),
                concurrent: count(state.under_way),
                actions: state.actions.clone(),
            },
            labels,
            claimed_calls: state.calls.saturating_add(state.claimed),
            claimed_repeats: repeats.spent.saturating_add(repeats.claimed),
            claimed_concurrent: state.under_way.saturating_add(state.claimed),
        }
    }
}

impl State {
    fn repeats_of(&mut self, fingerprint: Digest) -> Repeats {
        if self.repeats.len() < TOLD_APART {
            return *self.repeats.entry(fingerprint).or_default();
        }
        self.repeats.get(&fingerprint).copied().unwrap_or(Repeats { spent: self.calls, claimed: self.claimed })
    }
}

/// A call counted into its task: claimed until it is spent or dropped.
#[derive(Debug)]
pub struct Claim {
    live: Arc<Live>,
    implicit: Arc<Live>,
    fingerprint: Digest,
    action: Arc<str>,
    grant: Option<usize>,
    open: bool,
}

impl Claim {
    /// What the task looks like by now, to a call that was counted in and has waited.
    pub fn again(&self, now: Timestamp) -> Result<Snapshot, TaskOver> {
        if !self.live.is_open(now) {
            return Err(TaskOver);
        }
        let labels = self.live.labels(&self.implicit);
        let state = lock(&self.live.state);
        let repeats = state.repeats.get(&self.fingerprint).copied().unwrap_or_default();
        Ok(self.live.snapshot(&state, repeats, labels, (self.grant, now)))
    }

    /// The task.
    pub fn task(&self) -> &Task {
        &self.live.task
    }

    /// The call is made.
    pub fn spend(&mut self, place: Option<Place>, over: Over) -> Slot {
        let mut state = lock(&self.live.state);
        self.open = false;
        state.claimed = state.claimed.saturating_sub(1);
        state.calls = state.calls.saturating_add(1);
        state.under_way = state.under_way.saturating_add(1);
        state.actions.insert(self.action.clone());
        if let Some(repeats) = state.repeats.get_mut(&self.fingerprint) {
            repeats.claimed = repeats.claimed.saturating_sub(1);
            repeats.spent = repeats.spent.saturating_add(1);
        }
        // It is in the list of what is cut with the task before this is looked at, so one of the two finds it.
        if state.over {
            over.cut();
        }
        drop(state);
        Slot { over, live: self.live.clone(), implicit: self.implicit.clone(), _place: place }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let mut state = lock(&self.live.state);
        state.claimed = state.claimed.saturating_sub(1);
        if let Some(used) = self.grant.and_then(|index| state.granted.get_mut(index)) {
            *used = used.saturating_sub(1);
        }
        if let Some(repeats) = state.repeats.get_mut(&self.fingerprint) {
            repeats.claimed = repeats.claimed.saturating_sub(1);
            if repeats.claimed == 0 && repeats.spent == 0 {
                state.repeats.remove(&self.fingerprint);
            }
        }
    }
}

/// A call's place in its task and among all calls, held until the call is over.
#[derive(Debug)]
pub struct Slot {
    live: Arc<Live>,
    implicit: Arc<Live>,
    over: Over,
    _place: Option<Place>,
}

impl Slot {
    /// The answer's head has come: from here on the task holds what it brings, and so does whatever the agent does
    /// outside of any task.
    pub fn take_in(&self, labels: &[Label]) {
        if labels.is_empty() {
            return;
        }
        // What an answer vouches for is known only once its whole body is read; what it taints, at once.
        let narrowing = labels.iter().copied().filter(|label| *label != Label::Trusted);
        lock(&self.live.state).labels.extend(narrowing.clone());
        lock(&self.implicit.state).labels.extend(narrowing);
    }

    /// A watch that tells by which ending the call is cut, once it is.
    pub fn over(&self) -> watch::Receiver<Option<Ending>> {
        self.over.line()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = lock(&self.live.state);
        state.under_way = state.under_way.saturating_sub(1);
    }
}

/// The same action with the same bytes has the same fingerprint.
fn fingerprint(call: &Call) -> Digest {
    fingerprint_of(&call.action.name, call.method.as_str(), &call.target, call.content.digest())
}

/// The fingerprint of a call of which no more is known than this. What nobody read cannot be told apart: such calls repeat
/// each other.
pub fn fingerprint_of(action: &str, method: &str, target: &str, content: Option<Digest>) -> Digest {
    let mut text = format!("{action}\n{method}\n{target}\n").into_bytes();
    text.extend_from_slice(&content.map_or([0; 32], |content| content.0));
    Digest::of(&text)
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
