//! What reviewers have said of agents: which are stopped, and for which the glass is broken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use super::lock;
use crate::model::{AgentFacts, AgentName, Timestamp};

/// What is said of each agent; of most, nothing.
#[derive(Debug, Default)]
pub struct Standing {
    said: Mutex<Said>,
}

#[derive(Debug, Default)]
struct Said {
    quarantined: BTreeSet<AgentName>,
    glass: BTreeMap<AgentName, Timestamp>,
}

impl Standing {
    /// What is said of this agent.
    pub fn of(&self, agent: &AgentName, now: Timestamp) -> AgentFacts {
        let said = lock(&self.said);
        AgentFacts {
            quarantined: said.quarantined.contains(agent),
            break_glass: said.glass.get(agent).is_some_and(|until| now < *until),
        }
    }

    /// Whether it is stopped.
    pub fn is_quarantined(&self, agent: &AgentName) -> bool {
        lock(&self.said).quarantined.contains(agent)
    }

    /// It is stopped.
    pub fn quarantine(&self, agent: &AgentName) {
        lock(&self.said).quarantined.insert(agent.clone());
    }

    /// It may go on. False if it was not stopped.
    pub fn release(&self, agent: &AgentName) -> bool {
        lock(&self.said).quarantined.remove(agent)
    }

    /// Those that are stopped.
    pub fn quarantined(&self) -> Vec<AgentName> {
        lock(&self.said).quarantined.iter().cloned().collect()
    }

    /// The glass is broken for it until then.
    pub fn break_glass(&self, agent: &AgentName, until: Timestamp) {
        lock(&self.said).glass.insert(agent.clone(), until);
    }
}
