//! The habits of agents that people have ratified, and how far their last tasks were from these.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use super::lock;
use crate::model::{AgentName, Baseline, BaselineFacts, Course, Key, Made};

/// Tasks that drift is told of.
pub const LAST_TASKS: usize = 40;

/// How many of them there must be before it is.
const LEAST: usize = 10;

/// The baseline of an agent that is in force.
#[derive(Debug)]
pub struct InForce {
    /// Which of the agent's it is.
    pub version: u32,
    /// What it says.
    pub baseline: Baseline,
    keys: HashSet<Key>,
    wondered: Mutex<VecDeque<bool>>,
}

impl InForce {
    fn new(version: u32, baseline: Baseline) -> Self {
        let keys = baseline.keys().collect();
        Self { version, baseline, keys, wondered: Mutex::default() }
    }

    /// Whether a value is a habit.
    pub(super) fn knows(&self, name: Key) -> bool {
        self.keys.contains(&name)
    }

    /// What a call is beside it.
    pub(super) fn weigh(&self, call: &Made<'_>) -> BaselineFacts {
        let facts = self.baseline.weigh(call, |key| self.knows(key));
        BaselineFacts { version: i64::from(self.version), drift: self.drift(), ..facts }
    }

    /// Of the last tasks, in how many of a hundred something was new or unusual; 0 while there are few.
    pub fn drift(&self) -> i64 {
        let wondered = lock(&self.wondered);
        let new = wondered.iter().filter(|new| **new).count();
        let hundredths = if wondered.len() < LEAST { 0 } else { new * 100 / wondered.len() };
        i64::try_from(hundredths).unwrap_or(100)
    }

    fn note(&self, course: &Course) {
        let new = self.baseline.wonders_at(course);
        let mut wondered = lock(&self.wondered);
        if wondered.len() == LAST_TASKS {
            wondered.pop_front();
        }
        wondered.push_back(new);
    }
}

/// Those of all agents.
#[derive(Debug, Default)]
pub struct Baselines(Mutex<BTreeMap<AgentName, Arc<InForce>>>);

impl Baselines {
    /// The one of an agent that is in force.
    pub fn of(&self, agent: &AgentName) -> Option<Arc<InForce>> {
        lock(&self.0).get(agent).cloned()
    }

    /// From here on, this one is in force.
    pub fn ratify(&self, agent: &AgentName, version: u32, baseline: Baseline) {
        lock(&self.0).insert(agent.clone(), Arc::new(InForce::new(version, baseline)));
    }

    /// From here on, none is.
    pub fn reset(&self, agent: &AgentName) {
        lock(&self.0).remove(agent);
    }

    /// A task of an agent has ended cleanly: it tells how far the agent has come from what is in force.
    pub fn note(&self, agent: &AgentName, course: &Course) {
        if let Some(in_force) = self.of(agent) {
            in_force.note(course);
        }
    }
}
