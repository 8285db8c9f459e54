//! Tasks: which there are, whose they are, and which came out of which.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use super::baselines::InForce;
use super::course;
use super::grants::{self, Loan, NotGranted, Turn};
use super::live::{Live, Snapshot};
use super::own::Own;
use super::reservation::Vouching;
use super::shelf::Shelf;
use super::slot::Slot;
use super::under_way::Over;
use super::{Place, lock};
use crate::model::{
    AgentName, Aimed, Call, Caller, Course, Critical, Digest, Label, Made, OpenedBy, Task, TaskId, Timestamp,
    ValueFacts, Word,
};

/// The task is over, or not this agent's, or there never was one: the agent is not told which.
#[derive(Debug, thiserror::Error)]
#[error("the task is over, or not this agent's")]
pub struct TaskOver;

/// A task that has come to its end.
#[derive(Debug)]
pub struct Closed {
    /// The task.
    pub task: Arc<Task>,
    /// What it shows of its agent's habits, if it is anything to learn from.
    pub course: Option<Course>,
}

/// Every task that is not over.
#[derive(Debug, Default)]
pub struct Tasks {
    pub(super) index: Mutex<Index>,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) by_id: HashMap<TaskId, Arc<Live>>,
    /// What each agent has opened for itself.
    own: HashMap<AgentName, Own>,
    by_token: HashMap<Digest, TaskId>,
    by_expiry: BTreeMap<(Timestamp, TaskId), Digest>,
    /// Parents and their children.
    children: BTreeSet<(TaskId, TaskId)>,
    /// Where what tasks have heard is kept.
    pub(super) shelf: Arc<Shelf>,
}

impl Tasks {
    /// None yet, and this to keep what they hear.
    pub fn keeping(shelf: Shelf) -> Self {
        let index = Index { shelf: Arc::new(shelf), ..Index::default() };
        Self { index: Mutex::new(index) }
    }

    /// Remembers a task under the digest of its token. `loan` is what it was given by its parent, which has to be there still.
    pub fn open(&self, task: Task, token: Digest, mut loan: Loan) -> Result<(), TaskOver> {
        let mut index = lock(&self.index);
        let parent = match task.parent {
            Some(parent) => Some(index.by_id.get(&parent).cloned().ok_or(TaskOver)?),
            None => None,
        };
        let lines = loan.spend();
        let live = Live::new(task, parent, lines, &index.shelf);
        index.insert(live, token);
        Ok(())
    }

    /// Forgets the tasks that have expired, and gives them.
    pub fn forget_expired(&self, now: Timestamp) -> Vec<TaskId> {
        lock(&self.index).forget_expired(now)
    }

    /// Whether an agent may open one more task for itself; if so, it counts as begun in this second.
    pub fn may_open_own(&self, agent: &AgentName, now: Timestamp) -> bool {
        lock(&self.index).own.entry(agent.clone()).or_default().take(now)
    }

    /// Takes what is asked from what a task has left to grant, for a child of it.
    pub fn lend(&self, parent: TaskId, asked: &[crate::model::Grant], now: Timestamp) -> Result<Loan, NotGranted> {
        let parent = lock(&self.index).by_id.get(&parent).cloned().ok_or(TaskOver)?;
        Loan::take(&parent, asked, now)
    }

    /// Waits for this task's turn to be amended.
    pub async fn turn(&self, id: TaskId) -> Result<Turn, TaskOver> {
        let live = lock(&self.index).by_id.get(&id).cloned().ok_or(TaskOver)?;
        Ok(Turn::wait(live).await)
    }

    /// Puts labels on a task.
    pub fn label(&self, id: TaskId, labels: &[Label]) {
        let live = lock(&self.index).by_id.get(&id).cloned();
        if let Some(live) = live {
            live.label(labels.iter().copied());
        }
    }

    /// Ends a task and all that came out of it: no call is counted into them any more. Gives them, the task first.
    pub fn close(&self, id: TaskId) -> Vec<Closed> {
        let closed = lock(&self.index).remove(id);
        // The deepest first: what a child leaves goes to its parent, and from there on.
        for live in closed.iter().rev() {
            grants::close(live);
        }
        closed.iter().map(|live| Closed { task: live.task(), course: lock(&live.state).shown() }).collect()
    }

    /// A call of this task was denied.
    pub fn deny(&self, id: TaskId) {
        let live = lock(&self.index).by_id.get(&id).cloned();
        if let Some(live) = live {
            live.deny();
        }
    }

    /// Nothing is to be learned from this task.
    pub fn doubt(&self, id: TaskId) {
        let live = lock(&self.index).by_id.get(&id).cloned();
        if let Some(live) = live {
            live.spoil();
        }
    }

    /// Nothing is to be learned from any task of this agent that is not over.
    pub fn doubt_all(&self, agent: &AgentName) {
        let all: Vec<_> = lock(&self.index).by_id.values().cloned().collect();
        for live in all.iter().filter(|live| live.task().agent == *agent) {
            live.spoil();
        }
    }

    /// Whether a task has taken in something untrusted. One that is over counts as if it had.
    pub fn is_untrusted(&self, id: TaskId) -> bool {
        let (live, implicit) = {
            let mut index = lock(&self.index);
            let Some(live) = index.by_id.get(&id).cloned() else { return true };
            let task = live.task();
            let implicit = index.implicit(&task.agent, task.opened_at);
            (live, implicit)
        };
        live.labels(&implicit).contains(&Label::Untrusted)
    }

    /// The task of this id.
    pub fn find(&self, id: TaskId, now: Timestamp) -> Option<Arc<Task>> {
        let live = lock(&self.index).by_id.get(&id).cloned()?;
        live.is_open(now).then(|| live.task())
    }

    /// The task that this token names, whoever's it is.
    pub fn by_digest(&self, token: Digest, now: Timestamp) -> Option<Arc<Task>> {
        let live = {
            let index = lock(&self.index);
            index.by_token.get(&token).and_then(|id| index.by_id.get(id)).cloned()?
        };
        live.is_open(now).then(|| live.task())
    }

    /// The caller's task that this token names.
    pub fn by_token(&self, caller: &Caller, token: Digest, now: Timestamp) -> Result<Arc<Task>, TaskOver> {
        self.by_digest(token, now).filter(|task| task.agent == caller.agent).ok_or(TaskOver)
    }

    /// The implicit task of an agent: no grant, but the same memory each time.
    ///
    /// It is the agent's and not the workload's: an agent with two proofs has two workloads, and could otherwise leave
    /// behind by one door what it took in by the other.
    pub fn implicit(&self, agent: &AgentName, now: Timestamp) -> Arc<Task> {
        let implicit = lock(&self.index).implicit(agent, now);
        implicit.task()
    }

    /// Counts a call in, and tells what the task looked like before it.
    pub fn claim(&self, call: &Call) -> Result<(Claim, Snapshot), TaskOver> {
        let (live, implicit) = self.both(call.task.id, &call.caller.agent, call.received_at)?;
        let fingerprint = fingerprint(call);
        let (snapshot, line) = live.claim(call, fingerprint, live.labels(&implicit))?;
        let named = live.names(&call.action.critical);
        let claim = Claim { live, implicit, fingerprint, line, named, open: true };
        Ok((claim, snapshot))
    }

    /// The task at the head of this one's line.
    pub fn root_of(&self, id: TaskId) -> TaskId {
        let live = lock(&self.index).by_id.get(&id).cloned();
        live.and_then(|live| Some(live.line().last()?.task().id)).unwrap_or(id)
    }

    /// What a task looks like, if nothing were called in it.
    pub fn regard(&self, id: TaskId, agent: &AgentName, declared: bool, now: Timestamp) -> Result<Snapshot, TaskOver> {
        let (live, implicit) = self.both(id, agent, now)?;
        live.regard(declared, live.labels(&implicit), now).ok_or(TaskOver)
    }

    fn both(&self, id: TaskId, agent: &AgentName, now: Timestamp) -> Result<(Arc<Live>, Arc<Live>), TaskOver> {
        let mut index = lock(&self.index);
        let live = index.by_id.get(&id).cloned().ok_or(TaskOver)?;
        Ok((live, index.implicit(agent, now)))
    }
}

impl Index {
    pub(super) fn insert(&mut self, live: Arc<Live>, token: Digest) {
        let task = live.task();
        if task.opened_by == OpenedBy::Agent {
            self.own.entry(task.agent.clone()).or_default().open += 1;
        }
        self.by_token.insert(token, task.id);
        if let Some(end) = task.expires_at {
            self.by_expiry.insert((end, task.id), token);
        }
        if let Some(parent) = task.parent {
            self.children.insert((parent, task.id));
        }
        self.by_id.insert(task.id, live);
    }

    /// Takes out a task and all that came out of it, parents before their children.
    fn remove(&mut self, id: TaskId) -> Vec<Arc<Live>> {
        let (mut removed, mut ids) = (Vec::new(), vec![id]);
        while let Some(id) = ids.pop() {
            let Some(live) = self.by_id.remove(&id) else { continue };
            let task = live.task();
            if let Some(own) = self.own.get_mut(&task.agent).filter(|_| task.opened_by == OpenedBy::Agent) {
                own.open = own.open.saturating_sub(1);
            }
            if let Some(token) = task.expires_at.and_then(|end| self.by_expiry.remove(&(end, id))) {
                self.by_token.remove(&token);
            }
            if let Some(parent) = task.parent {
                self.children.remove(&(parent, id));
            }
            let least = TaskId::from_bytes([0; 16]);
            ids.extend(self.children.range((id, least)..).take_while(|(of, _)| *of == id).map(|(_, child)| *child));
            removed.push(live);
        }
        removed
    }

    fn forget_expired(&mut self, now: Timestamp) -> Vec<TaskId> {
        let mut expired = Vec::new();
        while let Some((_, id)) = self.by_expiry.first_key_value().map(|(key, _)| *key).filter(|(end, _)| *end <= now) {
            let removed = self.remove(id);
            for live in removed.iter().rev() {
                grants::close(live);
            }
            expired.extend(removed.iter().map(|live| live.task().id));
            if removed.is_empty() {
                break;
            }
        }
        expired
    }

    pub(super) fn implicit(&mut self, agent: &AgentName, now: Timestamp) -> Arc<Live> {
        let id = TaskId::implicit(Digest::of(agent.as_str().as_bytes()));
        let make = || Task {
            id,
            agent: agent.clone(),
            opened_by: OpenedBy::Nobody,
            on_behalf_of: None,
            goal: String::new(),
            grant: Vec::new(),
            version: 1,
            values: Arc::default(),
            parent: None,
            depth: 0,
            opened_at: now,
            expires_at: None,
        };
        let shelf = &self.shelf;
        self.by_id.entry(id).or_insert_with(|| Live::new(make(), None, Vec::new(), shelf)).clone()
    }
}

/// A call counted into its task: claimed until it is spent or dropped.
#[derive(Debug)]
pub struct Claim {
    live: Arc<Live>,
    implicit: Arc<Live>,
    fingerprint: Digest,
    line: Option<usize>,
    /// Whoever opened the task had named all that the call reads from.
    named: bool,
    open: bool,
}

impl Claim {
    /// Who stands behind the values of the call.
    pub fn weigh(&self, call: &Call, vouching: &Vouching) -> ValueFacts {
        let elsewhere = |one: &Critical, value: &Aimed| {
            let listed =
                vouching.directory.as_ref().is_some_and(|listed| value.keys.iter().all(|key| listed.contains(key)));
            let habit = |known: &Arc<InForce>| known.knows(course::habit(call, one, value));
            listed || vouching.agreements.has(call, one, value) || vouching.baseline.as_ref().is_some_and(habit)
        };
        self.live.weigh(&call.action.critical, &elsewhere)
    }

    /// What the task looks like by now, to a call that was counted in and has waited.
    pub fn again(&self, now: Timestamp) -> Result<Snapshot, TaskOver> {
        let labels = self.live.labels(&self.implicit);
        self.live.again(self.fingerprint, self.line.is_some(), labels, now).ok_or(TaskOver)
    }

    /// When the task is over by itself.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.live.task().expires_at
    }

    /// The task at the head of its line: what children do counts there, too.
    pub fn root(&self) -> TaskId {
        self.live.line().last().map_or_else(|| self.live.task().id, |root| root.task().id)
    }

    /// The call is made.
    pub fn spend(&mut self, shows: (&Made<'_>, &[Word], bool), place: Option<Place>, over: Over) -> Slot {
        self.open = false;
        self.live.spend(self.fingerprint, shows);
        // It is in the list of what is cut with the task before this is looked at, so one of the two finds it.
        if lock(&self.live.state).over {
            over.cut();
        }
        let (live, implicit) = (self.live.clone(), self.implicit.clone());
        Slot { over, live, implicit, named: self.named, _place: place }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.open {
            self.live.drop_claim(self.fingerprint, self.line);
        }
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
