//! One task and what has happened in it so far. What is done in a child is done in its parents too.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use super::course::{InCourse, Running};
use super::grants::{Line, room_in, take_line};
use super::lock;
use super::shelf::{Shelf, Shelved};
use super::tasks::TaskOver;
use crate::model::{Call, ChainFacts, Digest, Label, Made, OpenedBy, Task, TaskFacts, Timestamp, Word};

/// Different calls of a task that are told apart; beyond them, all count as repeats of one another.
pub(super) const TOLD_APART: usize = 10_000;

/// A task and what has happened in it. An idle one takes little: nothing is allocated before it is needed.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) parent: Option<Arc<Self>>,
    pub(super) shelf: Arc<Shelf>,
    pub(super) state: Mutex<State>,
    /// Its amendments come one after the other.
    pub(super) turn: OnceLock<Arc<tokio::sync::Mutex<()>>>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) task: Arc<Task>,
    pub(super) over: bool,
    pub(super) calls: u64,
    pub(super) claimed: u64,
    pub(super) under_way: u64,
    /// Calls of an earlier run of which nobody knows any more what they were: each may have been any.
    pub(super) forgotten: u64,
    repeats: HashMap<u64, Repeats>,
    actions: BTreeSet<Arc<str>>,
    pub(super) labels: BTreeSet<Label>,
    /// Of an agent's implicit task: what it took in outside of all tasks that a framework opened, and when last.
    pub(super) outside: BTreeMap<Label, Timestamp>,
    pub(super) lines: Vec<Line>,
    pub(super) heard: Option<Box<Shelved>>,
    pub(super) alarmed: bool,
    pub(super) denials: u64,
    pub(super) course: Option<Box<Running>>,
    privilege: Duration,
    /// The last version of its grant that was given out.
    pub(super) versions: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Repeats {
    spent: u32,
    claimed: u32,
}

/// What a task looked like when a call was claimed for it.
pub struct Snapshot {
    /// For the facts.
    pub task: TaskFacts,
    /// For the facts.
    pub chain: ChainFacts,
    /// For the facts.
    pub labels: BTreeSet<Label>,
    /// Where the call stands among the task's.
    pub place: InCourse,
    /// What is held against the bounds of chains.
    pub used: Used,
}

/// How much was made, or is claimed, by a task or by the one of its parents that has most.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    /// Calls.
    pub calls: u64,
    /// The same call.
    pub repeats: u64,
    /// Calls under way.
    pub concurrent: u64,
    /// Seconds of privilege.
    pub privilege_s: u64,
}

impl Used {
    fn most(&mut self, other: Self) {
        self.calls = self.calls.max(other.calls);
        self.repeats = self.repeats.max(other.repeats);
        self.concurrent = self.concurrent.max(other.concurrent);
        self.privilege_s = self.privilege_s.max(other.privilege_s);
    }
}

impl Live {
    pub(super) fn new(task: Task, parent: Option<Arc<Self>>, lines: Vec<Line>, shelf: &Arc<Shelf>) -> Arc<Self> {
        let shelf = shelf.clone();
        Arc::new(Self { parent, shelf, state: Mutex::new(State::new(task, lines)), turn: OnceLock::new() })
    }

    /// The task, its parent, and so on up.
    pub(super) fn line(self: &Arc<Self>) -> impl Iterator<Item = &Arc<Self>> {
        std::iter::successors(Some(self), |live| live.parent.as_ref())
    }

    pub(super) fn task(&self) -> Arc<Task> {
        lock(&self.state).task.clone()
    }

    pub(super) fn is_open(&self, now: Timestamp) -> bool {
        lock(&self.state).is_open(now)
    }

    /// Counts a call in, here and in the parents. Gives the line of the grant that covers it, too.
    pub(super) fn claim(
        self: &Arc<Self>,
        call: &Call,
        fingerprint: Digest,
        labels: BTreeSet<Label>,
    ) -> Result<(Snapshot, Option<usize>), TaskOver> {
        let key = key_of(fingerprint);
        let (mut snapshot, line) = {
            let mut state = lock(&self.state);
            if !state.is_open(call.received_at) {
                return Err(TaskOver);
            }
            let line = room_in(&state.task.grant, &state.lines, |grant| grant.covers(&call.action));
            take_line(&mut state.lines, line);
            let mut snapshot = state.snapshot(key, line.is_some(), labels, call.received_at);
            snapshot.task.overflow = line.is_none() && state.task.grant.iter().any(|grant| grant.covers(&call.action));
            state.alarmed |= snapshot.task.overflow;
            snapshot.place = state.stand(call.received_at);
            (snapshot, line)
        };
        if snapshot.task.overflow {
            self.spoil();
        }
        for live in self.line() {
            let mut state = lock(&live.state);
            snapshot.used.most(state.used(key));
            state.claim(key);
        }
        Ok((snapshot, line))
    }

    /// The facts of it as it is, if nothing were called.
    pub(super) fn regard(&self, declared: bool, labels: BTreeSet<Label>, now: Timestamp) -> Option<Snapshot> {
        let state = lock(&self.state);
        state.is_open(now).then(|| state.snapshot(0, declared, labels, now))
    }

    /// The facts of it by now, to a call that was counted in and has waited.
    pub(super) fn again(
        &self,
        fingerprint: Digest,
        declared: bool,
        labels: BTreeSet<Label>,
        now: Timestamp,
    ) -> Option<Snapshot> {
        let state = lock(&self.state);
        state.is_open(now).then(|| state.snapshot(key_of(fingerprint), declared, labels, now))
    }

    /// What was claimed is used, and shows what its agent does.
    pub(super) fn spend(self: &Arc<Self>, fingerprint: Digest, (made, words, clean): (&Made<'_>, &[Word], bool)) {
        lock(&self.state).go_on(made, words);
        if !clean {
            self.spoil();
        }
        for live in self.line() {
            let mut state = lock(&live.state);
            state.unclaim(key_of(fingerprint));
            state.count(key_of(fingerprint), made.action);
            state.under_way = state.under_way.saturating_add(1);
        }
    }

    /// What was claimed comes back.
    pub(super) fn drop_claim(self: &Arc<Self>, fingerprint: Digest, line: Option<usize>) {
        for live in self.line() {
            let mut state = lock(&live.state);
            state.unclaim(key_of(fingerprint));
            state.forget(key_of(fingerprint));
        }
        self.put_back(line);
    }

    /// A use of a line comes back. If the task is over, what was unused of it has gone back to the parent already, and so
    /// does this.
    fn put_back(&self, line: Option<usize>) {
        let lender = {
            let mut state = lock(&self.state);
            let over = state.over;
            let Some(line) = line.and_then(|line| state.lines.get_mut(line)) else { return };
            line.used = line.used.saturating_sub(1);
            line.lender.filter(|_| over)
        };
        if let (Some(parent), Some(lender)) = (&self.parent, lender) {
            parent.put_back(Some(lender));
        }
    }

    /// A call of it was denied.
    pub(super) fn deny(self: &Arc<Self>) {
        for live in self.line() {
            let mut state = lock(&live.state);
            state.denials = state.denials.saturating_add(1);
        }
    }

    /// A call has ended, and its credential was alive for so long.
    pub(super) fn add_privilege(self: &Arc<Self>, alive: Duration) {
        for live in self.line() {
            let mut state = lock(&live.state);
            state.privilege = state.privilege.saturating_add(alive);
        }
    }

    pub(super) fn leave(self: &Arc<Self>) {
        for live in self.line() {
            let mut state = lock(&live.state);
            state.under_way = state.under_way.saturating_sub(1);
        }
    }

    /// Counts a call of an earlier run in. Without a fingerprint it may have been any.
    pub(super) fn count(self: &Arc<Self>, fingerprint: Option<Digest>, action: &Arc<str>) {
        for live in self.line() {
            let mut state = lock(&live.state);
            match fingerprint {
                Some(fingerprint) => state.count(key_of(fingerprint), action),
                None => {
                    state.calls = state.calls.saturating_add(1);
                    state.forgotten = state.forgotten.saturating_add(1);
                    state.actions.insert(action.clone());
                }
            }
        }
    }
}

impl State {
    fn new(task: Task, lines: Vec<Line>) -> Self {
        Self {
            versions: task.version,
            task: Arc::new(task),
            over: false,
            calls: 0,
            claimed: 0,
            under_way: 0,
            forgotten: 0,
            repeats: HashMap::new(),
            actions: BTreeSet::new(),
            labels: BTreeSet::new(),
            outside: BTreeMap::new(),
            lines,
            heard: None,
            alarmed: false,
            denials: 0,
            course: None,
            privilege: Duration::ZERO,
        }
    }

    pub(super) fn is_open(&self, now: Timestamp) -> bool {
        !self.over && self.task.expires_at.is_none_or(|end| now < end)
    }

    fn snapshot(&self, key: u64, declared: bool, labels: BTreeSet<Label>, now: Timestamp) -> Snapshot {
        let task = &self.task;
        let mut tools: Vec<&str> = self.actions.iter().filter_map(|name| name.split('/').next()).collect();
        tools.dedup();
        Snapshot {
            task: TaskFacts {
                present: task.opened_by != OpenedBy::Nobody,
                opened_by: task.opened_by,
                declared,
                depth: i64::from(task.depth),
                age_s: count(now.since(task.opened_at).as_secs()),
                overflow: false,
                alarmed: self.alarmed,
                denials: count(self.denials),
                on_behalf_of: task.on_behalf_of.clone(),
            },
            chain: ChainFacts {
                calls: count(self.calls),
                repeats: count(self.repeats_of(key).0),
                concurrent: count(self.under_way),
                fan_out: count(tools.len() as u64),
                privilege_s: count(self.privilege.as_secs()),
                actions: self.actions.clone(),
            },
            labels,
            place: InCourse::default(),
            used: Used::default(),
        }
    }

    fn used(&self, key: u64) -> Used {
        let (spent, claimed) = self.repeats_of(key);
        Used {
            calls: self.calls.saturating_add(self.claimed),
            repeats: spent.saturating_add(claimed),
            concurrent: self.under_way.saturating_add(self.claimed),
            privilege_s: self.privilege.as_secs(),
        }
    }

    /// How often the same call was made, and is claimed.
    fn repeats_of(&self, key: u64) -> (u64, u64) {
        match self.repeats.get(&key) {
            Some(repeats) => (u64::from(repeats.spent).saturating_add(self.forgotten), u64::from(repeats.claimed)),
            None if self.repeats.len() < TOLD_APART => (self.forgotten, 0),
            None => (self.calls, self.claimed),
        }
    }

    fn repeats_mut(&mut self, key: u64) -> Option<&mut Repeats> {
        if self.repeats.len() < TOLD_APART {
            return Some(self.repeats.entry(key).or_default());
        }
        self.repeats.get_mut(&key)
    }

    fn claim(&mut self, key: u64) {
        self.claimed = self.claimed.saturating_add(1);
        if let Some(repeats) = self.repeats_mut(key) {
            repeats.claimed = repeats.claimed.saturating_add(1);
        }
    }

    fn unclaim(&mut self, key: u64) {
        self.claimed = self.claimed.saturating_sub(1);
        if let Some(repeats) = self.repeats.get_mut(&key) {
            repeats.claimed = repeats.claimed.saturating_sub(1);
        }
    }

    fn forget(&mut self, key: u64) {
        if self.repeats.get(&key).is_some_and(|repeats| repeats.claimed == 0 && repeats.spent == 0) {
            self.repeats.remove(&key);
        }
    }

    fn count(&mut self, key: u64, action: &Arc<str>) {
        self.calls = self.calls.saturating_add(1);
        if let Some(repeats) = self.repeats_mut(key) {
            repeats.spent = repeats.spent.saturating_add(1);
        }
        if !self.actions.contains(action) {
            self.actions.insert(action.clone());
        }
    }
}

/// Eight bytes of a digest tell calls apart well enough: who makes two of them agree has them counted as repeats.
fn key_of(fingerprint: Digest) -> u64 {
    let first = fingerprint.0.first_chunk().copied().unwrap_or_default();
    u64::from_le_bytes(first)
}

fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
