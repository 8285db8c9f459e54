//! What a grant has left: counted line by line. What a child may do is taken from what its parent has left, and what it
//! leaves goes back.

use std::sync::Arc;

use super::live::Live;
use super::lock;
use super::tasks::TaskOver;
use crate::model::{Given, Grant, Task, Timestamp};

/// How much of a line of a grant is used.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Line {
    /// Calls it has covered, and what it has lent to children.
    pub(super) used: u32,
    /// The line of the parent's grant that its count was taken from.
    pub(super) lender: Option<usize>,
}

/// Why a grant is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum NotGranted {
    /// The task, or its parent, is over.
    #[error(transparent)]
    Over(#[from] TaskOver),
    /// The parent's grant does not cover this line, or has not so much left.
    #[error("`{}` is more than the task above has left to grant", .0.action)]
    Wider(Grant),
    /// A value that the parent's opener does not vouch for.
    #[error("the task above does not vouch for one of these values")]
    Values,
    /// It would have more lines, or values, than one may have.
    #[error("a task has room for no more")]
    Long,
}

/// What was taken from a parent's grant. Dropped before it is spent, it goes back.
#[derive(Debug)]
pub struct Loan {
    from: Option<Arc<Live>>,
    asked: Vec<Grant>,
    pub(super) lines: Vec<Line>,
    spent: bool,
}

impl Loan {
    /// For a task without a parent.
    pub(super) fn free(asked: &[Grant]) -> Self {
        Self { from: None, asked: Vec::new(), lines: vec![Line::default(); asked.len()], spent: true }
    }

    /// Takes what is asked from what `from` has left: all of it, or nothing.
    pub(super) fn take(from: &Arc<Live>, asked: &[Grant], now: Timestamp) -> Result<Self, NotGranted> {
        let mut loan = Self { from: Some(from.clone()), asked: asked.to_vec(), lines: Vec::new(), spent: false };
        let mut state = lock(&from.state);
        if !state.is_open(now) {
            return Err(TaskOver.into());
        }
        let task = state.task.clone();
        for grant in asked {
            let size = grant.max.unwrap_or(0);
            let lender = task.grant.iter().zip(&state.lines).position(|(wider, line)| {
                grant.is_within(wider) && wider.max.is_none_or(|max| line.used.saturating_add(size) <= max)
            });
            let Some(lender) = lender else {
                drop(state);
                return Err(NotGranted::Wider(grant.clone()));
            };
            if let Some(line) = state.lines.get_mut(lender) {
                line.used = line.used.saturating_add(size);
            }
            loan.lines.push(Line { used: 0, lender: Some(lender) });
        }
        Ok(loan)
    }

    /// Takes what an earlier run has taken, whether it is there or not.
    pub(super) fn retake(from: &Arc<Live>, taken: &[Grant]) -> Self {
        let mut state = lock(&from.state);
        let task = state.task.clone();
        let lines = taken.iter().map(|grant| {
            let size = grant.max.unwrap_or(0);
            let mut wider = task.grant.iter().enumerate().filter(|(_, wider)| grant.is_within(wider));
            let first = wider.clone().next().map(|(index, _)| index);
            let room = wider.find(|(index, wider)| {
                let used = state.lines.get(*index).map_or(u32::MAX, |line| line.used);
                wider.max.is_none_or(|max| used.saturating_add(size) <= max)
            });
            let lender = room.map(|(index, _)| index).or(first);
            if let Some(line) = lender.and_then(|lender| state.lines.get_mut(lender)) {
                line.used = line.used.saturating_add(size);
            }
            Line { used: 0, lender }
        });
        let lines = lines.collect();
        Self { from: Some(from.clone()), asked: Vec::new(), lines, spent: true }
    }

    /// It stays taken.
    pub(super) fn spend(&mut self) -> Vec<Line> {
        self.spent = true;
        std::mem::take(&mut self.lines)
    }

    /// Nobody knows whether what it was taken for is written down: it stays taken.
    pub fn lose(mut self) {
        self.spent = true;
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if self.spent {
            return;
        }
        let Some(from) = &self.from else { return };
        let mut state = lock(&from.state);
        for (grant, taken) in self.asked.iter().zip(&self.lines) {
            if let Some(line) = taken.lender.and_then(|lender| state.lines.get_mut(lender)) {
                line.used = line.used.saturating_sub(grant.max.unwrap_or(0));
            }
        }
    }
}

/// The first line that covers it and has room.
pub(super) fn room_in(grants: &[Grant], lines: &[Line], covers: impl Fn(&Grant) -> bool) -> Option<usize> {
    grants.iter().zip(lines).position(|(grant, line)| covers(grant) && grant.max.is_none_or(|max| line.used < max))
}

/// One use more.
pub(super) fn take_line(lines: &mut [Line], line: Option<usize>) {
    if let Some(line) = line.and_then(|line| lines.get_mut(line)) {
        line.used = line.used.saturating_add(1);
    }
}

/// A task is over: no call is counted into it any more, and what it leaves goes back to its parent. False if it was over.
pub(super) fn close(live: &Arc<Live>) -> bool {
    let mut state = lock(&live.state);
    if std::mem::replace(&mut state.over, true) {
        return false;
    }
    let Some(parent) = &live.parent else { return true };
    let left = |(grant, line): (&Grant, &Line)| Some((line.lender?, grant.max?.saturating_sub(line.used)));
    let left: Vec<(usize, u32)> = state.task.grant.iter().zip(&state.lines).filter_map(left).collect();
    drop(state);
    let mut above = lock(&parent.state);
    for (lender, unused) in left {
        if let Some(line) = above.lines.get_mut(lender) {
            line.used = line.used.saturating_sub(unused);
        }
    }
    true
}

/// Whose turn it is to amend a task: one after the other, so that no amendment is lost.
pub struct Turn {
    live: Arc<Live>,
    held: tokio::sync::OwnedMutexGuard<()>,
}

/// A grant that a task will have once this is recorded. Dropped before, it never was.
pub struct Proposed {
    turn: Turn,
    task: Arc<Task>,
    loan: Loan,
}

impl Turn {
    /// Waits for it.
    pub(super) async fn wait(live: Arc<Live>) -> Self {
        let turn = live.turn.get_or_init(Arc::default).clone();
        Self { live, held: turn.lock_owned().await }
    }

    /// The task as it is.
    pub fn task(&self) -> Arc<Task> {
        self.live.task()
    }

    /// The same task with more lines and values, at most so many. A child takes them from its parent, whoever asks.
    pub fn propose(
        self,
        asked: &[Grant],
        values: &[String],
        most: usize,
        now: Timestamp,
    ) -> Result<Proposed, NotGranted> {
        let loan = match &self.live.parent {
            Some(parent) if !parent.task().values.covers(values) => return Err(NotGranted::Values),
            Some(parent) => Loan::take(parent, asked, now)?,
            None => Loan::free(asked),
        };
        let mut state = lock(&self.live.state);
        if !state.is_open(now) {
            drop(state);
            return Err(TaskOver.into());
        }
        let mut task = Task::clone(&state.task);
        task.grant.extend_from_slice(asked);
        if !values.is_empty() {
            task.values = Arc::new(task.values.joined(&Given::new(values)));
        }
        if task.grant.len() > most || task.values.len() > most {
            drop(state);
            return Err(NotGranted::Long);
        }
        // Spent even if this comes to nothing: no two records bear one number.
        state.versions = state.versions.saturating_add(1);
        task.version = state.versions;
        drop(state);
        Ok(Proposed { task: Arc::new(task), loan, turn: self })
    }
}

impl Proposed {
    /// The task as it will be.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// It is recorded.
    pub fn hold(mut self) -> Arc<Task> {
        let mut state = lock(&self.turn.live.state);
        state.lines.extend(self.loan.spend());
        state.task = self.task.clone();
        drop(state);
        // From here on the next may have its turn.
        drop(self.turn.held);
        self.task
    }

    /// Nobody knows whether it is recorded: it does not hold, and what it took stays taken.
    pub fn lose(self) {
        self.loan.lose();
    }
}
