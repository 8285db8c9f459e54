//! How often: at most so many requests in any window of so long.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use super::{PastCall, lock};
use crate::model::{AgentName, Call, Exceeded, Timestamp};

/// One limit of an agent.
#[derive(Clone, Debug)]
pub struct LimitRule {
    /// As `limits` facts, rules and records name it: `triage.limits.0`.
    pub name: String,
    /// Whose calls count.
    pub agent: AgentName,
    /// What is counted apart.
    pub per: Per,
    /// How many fit into a window.
    pub requests: u64,
    /// How long a window is.
    pub window: Duration,
}

/// What a limit counts apart.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Per {
    /// All calls of the agent together.
    Agent,
    /// Each task by itself.
    Task,
    /// Each tool by itself.
    Tool,
    /// Each action by itself.
    Action,
    /// Each workload by itself.
    Workload,
}

/// The windows of every limit. A window holds the times of the calls in it, so that no more than `requests` ever fall
/// into one, wherever it is laid; it takes eight bytes a call and is forgotten once it is empty.
#[derive(Debug, Default)]
pub struct Limits {
    windows: Mutex<Windows>,
}

/// Whose window, and what is counted in it. A limit whose number changes keeps its windows; one of another kind or length
/// has its own.
type Key = (AgentName, Per, Duration, String);

/// The windows, and when each is to be looked at again because it may be empty by then.
#[derive(Debug, Default)]
struct Windows {
    by_key: HashMap<Key, VecDeque<Timestamp>>,
    due: VecDeque<Due>,
}

/// A window that is to be looked at again, and how long it is: it may be another agent's than the one who calls then.
#[derive(Debug)]
struct Due {
    at: Timestamp,
    length: Duration,
    key: Key,
}

impl Windows {
    /// Forgets windows that are empty: two looks for each place asked for, so that it keeps up and never scans.
    fn forget(&mut self, now: Timestamp) {
        for _ in 0..2 {
            let Some(Due { length, key, .. }) = self.due.pop_front_if(|due| due.at <= now) else { return };
            match self.by_key.get(&key).and_then(|window| window.back()) {
                Some(last) if last.after(length) > now => {
                    self.due.push_back(Due { at: last.after(length), length, key });
                }
                Some(_) | None => drop(self.by_key.remove(&key)),
            }
        }
    }
}

/// One place taken in one window.
#[derive(Debug)]
pub struct Taken {
    key: Key,
    at: Timestamp,
}

impl Limits {
    /// Takes a place in each window that has one, and tells which have none. All at once, under one lock.
    pub fn take(&self, rules: &[LimitRule], call: &Call, now: Timestamp) -> (Vec<Taken>, BTreeMap<String, Exceeded>) {
        let mut taken = Vec::new();
        let mut exceeded = BTreeMap::new();
        if rules.is_empty() {
            return (taken, exceeded);
        }
        let mut windows = lock(&self.windows);
        let Windows { by_key, due } = &mut *windows;
        for rule in rules {
            let key = rule.key(rule.per.key(call));
            let window = by_key.entry(key.clone()).or_insert_with(|| {
                due.push_back(Due { at: now.after(rule.window), length: rule.window, key: key.clone() });
                VecDeque::new()
            });
            // A place counts from when it is taken. Calls are judged slightly out of the order they came in; what came
            // earlier and is judged later takes its place later.
            let now = window.back().map_or(now, |last| now.max(*last));
            while window.front().is_some_and(|first| first.after(rule.window) <= now) {
                window.pop_front();
            }
            if (window.len() as u64) < rule.requests {
                window.push_back(now);
                taken.push(Taken { key, at: now });
            } else {
                let free = window.front().map(|first| first.after(rule.window).since(now));
                let wait = free.and_then(|free| u64::try_from(free.as_millis()).ok());
                exceeded.insert(rule.name.clone(), Exceeded { limit: rule.requests, retry_after_ms: wait });
            }
        }
        windows.forget(now);
        (taken, exceeded)
    }

    /// Takes the places that a call of an earlier run took, as far as they are not free again.
    pub fn recall(&self, rules: &[LimitRule], past: &PastCall, now: Timestamp) {
        let mut windows = lock(&self.windows);
        let Windows { by_key, due } = &mut *windows;
        for rule in rules.iter().filter(|rule| past.at.after(rule.window) > now) {
            let key = rule.key(rule.per.past_key(past));
            let window = by_key.entry(key.clone()).or_insert_with(|| {
                due.push_back(Due { at: now.after(rule.window), length: rule.window, key: key.clone() });
                VecDeque::new()
            });
            let at = window.back().map_or(past.at, |last| past.at.max(*last)).min(now);
            window.push_back(at);
            while window.len() as u64 > rule.requests {
                window.pop_front();
            }
        }
    }

    /// Gives places back.
    pub fn give_back(&self, taken: &[Taken]) {
        if taken.is_empty() {
            return;
        }
        let mut windows = lock(&self.windows);
        for place in taken {
            if let Some(window) = windows.by_key.get_mut(&place.key)
                && let Some(index) = window.iter().rposition(|at| *at == place.at)
            {
                window.remove(index);
            }
        }
    }
}

impl LimitRule {
    fn key(&self, counted: String) -> Key {
        (self.agent.clone(), self.per, self.window, counted)
    }
}

impl Per {
    fn past_key(self, past: &PastCall) -> String {
        match self {
            Self::Agent => String::new(),
            Self::Task => past.task.to_string(),
            Self::Tool => past.tool.clone(),
            Self::Action => past.action.clone(),
            Self::Workload => past.workload.clone(),
        }
    }

    fn key(self, call: &Call) -> String {
        match self {
            Self::Agent => String::new(),
            Self::Task => call.task.id.to_string(),
            Self::Tool => call.action.tool.to_string(),
            Self::Action => call.action.name.to_string(),
            Self::Workload => call.caller.workload.id.clone(),
        }
    }
}
