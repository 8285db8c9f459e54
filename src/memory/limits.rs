//! How often: at most so many requests in any window of so long.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use super::{PastCall, lock};
use crate::model::{AgentName, Call, Exceeded, TaskId, Timestamp};

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
    /// Each task with all that came out of it.
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
    /// How many each agent has.
    of_agents: HashMap<AgentName, usize>,
}

/// Windows that one agent has at a time. What comes beyond them is counted in one window more for each of its limits, and
/// no window that is in use is given up for another.
const MOST_WINDOWS: usize = 65_536;

/// The window of what comes beyond: no key of its own is spelled so.
const BEYOND: &str = "…";

/// A window that is to be looked at again, and how long it is: it may be another agent's than the one who calls then.
#[derive(Debug)]
struct Due {
    at: Timestamp,
    length: Duration,
    key: Key,
}

impl Windows {
    /// The key that a window is found by: its own if there is one or room for one.
    fn key(&self, rule: &LimitRule, counted: String) -> Key {
        let key = rule.key(counted);
        let full = || self.of_agents.get(&rule.agent).is_some_and(|windows| *windows >= MOST_WINDOWS);
        if full() && !self.by_key.contains_key(&key) { rule.key(BEYOND.to_owned()) } else { key }
    }

    /// The window of what is counted so, and its key.
    fn of(&mut self, rule: &LimitRule, counted: String, now: Timestamp) -> (Key, &mut VecDeque<Timestamp>) {
        let key = self.key(rule, counted);
        let Self { by_key, due, of_agents } = self;
        let window = by_key.entry(key.clone()).or_insert_with(|| {
            due.push_back(Due { at: now.after(rule.window), length: rule.window, key: key.clone() });
            *of_agents.entry(rule.agent.clone()).or_default() += 1;
            VecDeque::new()
        });
        (key, window)
    }

    /// Forgets windows that are empty: two looks for each place asked for, so that it keeps up and never scans.
    fn forget(&mut self, now: Timestamp) {
        for _ in 0..2 {
            let Some(Due { length, key, .. }) = self.due.pop_front_if(|due| due.at <= now) else { return };
            match self.by_key.get(&key).and_then(|window| window.back()) {
                Some(last) if last.after(length) > now => {
                    self.due.push_back(Due { at: last.after(length), length, key });
                }
                Some(_) | None => {
                    if self.by_key.remove(&key).is_some()
                        && let Some(windows) = self.of_agents.get_mut(&key.0)
                    {
                        *windows = windows.saturating_sub(1);
                    }
                }
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

/// How much of a limit is left for calls like one that was just judged.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rate {
    /// The limit's name: `triage.limits.0`.
    pub name: String,
    /// How many fit into a window.
    pub requests: u64,
    /// How long a window is, in whole seconds, rounded up; absent for a bound that no waiting lifts.
    pub window_s: Option<u64>,
    /// How many more fit now.
    pub left: u64,
    /// Seconds until one place more is free, rounded up; absent if none is taken.
    pub free_in_s: Option<u64>,
}

impl Limits {
    /// Takes a place in each window that has one, and tells which have none. All at once, under one lock.
    pub fn take(
        &self,
        rules: &[LimitRule],
        call: &Call,
        root: TaskId,
        now: Timestamp,
    ) -> (Vec<Taken>, BTreeMap<String, Exceeded>) {
        let mut taken = Vec::new();
        let mut exceeded = BTreeMap::new();
        if rules.is_empty() {
            return (taken, exceeded);
        }
        let mut windows = lock(&self.windows);
        for rule in rules {
            let (key, window) = windows.of(rule, rule.per.key(call, root), now);
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
    pub fn recall(&self, rules: &[LimitRule], past: &PastCall, root: TaskId, now: Timestamp) {
        let mut windows = lock(&self.windows);
        for rule in rules.iter().filter(|rule| past.at.after(rule.window) > now) {
            let (_, window) = windows.of(rule, rule.per.past_key(past, root), now);
            let at = window.back().map_or(past.at, |last| past.at.max(*last)).min(now);
            window.push_back(at);
            while window.len() as u64 > rule.requests {
                window.pop_front();
            }
        }
    }

    /// How much is left of each.
    pub fn rates(&self, rules: &[LimitRule], call: &Call, root: TaskId, now: Timestamp) -> Vec<Rate> {
        let windows = lock(&self.windows);
        let rate = |rule: &LimitRule| {
            let key = windows.key(rule, rule.per.key(call, root));
            let taken = windows.by_key.get(&key);
            let gone = taken.map_or(0, |taken| taken.partition_point(|at| at.after(rule.window) <= now));
            Rate {
                name: rule.name.clone(),
                requests: rule.requests,
                window_s: Some(seconds(rule.window)),
                left: rule.requests.saturating_sub(taken.map_or(0, |taken| taken.len() - gone) as u64),
                free_in_s: taken
                    .and_then(|taken| taken.get(gone))
                    .map(|first| seconds(first.after(rule.window).since(now))),
            }
        };
        rules.iter().map(rate).collect()
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
    fn past_key(self, past: &PastCall, root: TaskId) -> String {
        match self {
            Self::Agent => String::new(),
            Self::Task => root.to_string(),
            Self::Tool => past.tool.clone(),
            Self::Action => past.action.to_string(),
            Self::Workload => past.workload.clone(),
        }
    }

    fn key(self, call: &Call, root: TaskId) -> String {
        match self {
            Self::Agent => String::new(),
            Self::Task => root.to_string(),
            Self::Tool => call.action.tool.to_string(),
            Self::Action => call.action.name.to_string(),
            Self::Workload => call.caller.workload.id.clone(),
        }
    }
}

fn seconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis().div_ceil(1_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(per: Per) -> LimitRule {
        let agent = AgentName("triage".into());
        LimitRule { name: "triage.limits.0".into(), agent, per, requests: 2, window: Duration::from_mins(1) }
    }

    /// As many as this, each of which somebody made up.
    fn flood(windows: &mut Windows, at: i64) {
        for number in 0..100_000 {
            let (_, window) =
                windows.of(&rule(Per::Workload), format!("workload-{number}"), Timestamp::from_millis(at));
            window.push_back(Timestamp::from_millis(at));
            windows.forget(Timestamp::from_millis(at));
        }
    }

    #[test]
    fn a_hundred_thousand_names_take_a_bounded_place_and_push_nobody_out() {
        let mut windows = Windows::default();
        let (_, offender) = windows.of(&rule(Per::Workload), "offender".to_owned(), Timestamp::from_millis(0));
        offender.extend([Timestamp::from_millis(0); 2]);
        flood(&mut windows, 1);
        assert_eq!(windows.by_key.len(), MOST_WINDOWS + 1, "its own for the first ones, and one for all others");
        assert!(windows.due.len() <= MOST_WINDOWS + 1);
        let (_, offender) = windows.of(&rule(Per::Workload), "offender".to_owned(), Timestamp::from_millis(2));
        assert_eq!(offender.len(), 2, "whoever was at its limit still is");
        let (key, beyond) = windows.of(&rule(Per::Workload), "workload-99999".to_owned(), Timestamp::from_millis(2));
        assert!(key.3 == BEYOND && beyond.len() > 2, "who came too late shares one window with the others");
        let other = LimitRule { agent: AgentName("billing".into()), ..rule(Per::Workload) };
        let (key, _) = windows.of(&other, "a".to_owned(), Timestamp::from_millis(2));
        assert_eq!(key.3, "a", "another agent has its own");
        for _ in 0..MOST_WINDOWS {
            windows.forget(Timestamp::from_millis(200_000));
        }
        assert_eq!((windows.by_key.len(), windows.of_agents.values().sum::<usize>()), (0, 0));
    }
}
