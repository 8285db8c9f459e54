//! How often: at most so many requests in any window of so long.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use super::lock;
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
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
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
#[derive(Debug)]
pub struct Limits {
    rules: BTreeMap<AgentName, Vec<(usize, LimitRule)>>,
    windows: Mutex<HashMap<(usize, String), VecDeque<Timestamp>>>,
}

/// One place taken in one window.
#[derive(Debug)]
pub struct Taken {
    key: (usize, String),
    at: Timestamp,
}

impl Limits {
    /// With every window empty.
    pub fn new(rules: Vec<LimitRule>) -> Self {
        let mut by_agent: BTreeMap<AgentName, Vec<(usize, LimitRule)>> = BTreeMap::new();
        for (index, rule) in rules.into_iter().enumerate() {
            by_agent.entry(rule.agent.clone()).or_default().push((index, rule));
        }
        Self { rules: by_agent, windows: Mutex::default() }
    }

    /// Takes a place in each window that has one, and tells which have none. All at once, under one lock.
    pub fn take(&self, call: &Call, now: Timestamp) -> (Vec<Taken>, BTreeMap<String, Exceeded>) {
        let mut taken = Vec::new();
        let mut exceeded = BTreeMap::new();
        let Some(rules) = self.rules.get(&call.caller.agent) else { return (taken, exceeded) };
        let mut windows = lock(&self.windows);
        for (index, rule) in rules {
            let key = (*index, rule.per.key(call));
            let window = windows.entry(key.clone()).or_default();
            while window.front().is_some_and(|first| first.after(rule.window) <= now) {
                window.pop_front();
            }
            if (window.len() as u64) < rule.requests {
                // Calls are judged slightly out of the order they came in; the window stays sorted all the same.
                let place = window.partition_point(|at| *at <= now);
                window.insert(place, now);
                taken.push(Taken { key, at: now });
            } else {
                let free = window.front().map(|first| first.after(rule.window).since(now));
                let wait = free.and_then(|free| u64::try_from(free.as_millis()).ok());
                exceeded.insert(rule.name.clone(), Exceeded { limit: rule.requests, retry_after_ms: wait });
            }
        }
        (taken, exceeded)
    }

    /// Gives places back.
    pub fn give_back(&self, taken: &[Taken]) {
        if taken.is_empty() {
            return;
        }
        let mut windows = lock(&self.windows);
        for place in taken {
            if let Some(window) = windows.get_mut(&place.key) {
                if let Some(index) = window.iter().rposition(|at| *at == place.at) {
                    window.remove(index);
                }
                if window.is_empty() {
                    windows.remove(&place.key);
                }
            }
        }
    }
}

impl Per {
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
