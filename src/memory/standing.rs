//! What reviewers have said of agents: which are stopped, and for which the glass is broken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::model::{AgentFacts, AgentName, Timestamp};

/// What is said of each agent; of most, nothing.
#[derive(Debug, Default)]
pub struct Standing {
    said: RwLock<Said>,
}

#[derive(Debug, Default)]
struct Said {
    quarantined: BTreeSet<AgentName>,
    glass: BTreeMap<AgentName, Timestamp>,
}

/// A look at what is said, for as long as nothing else can be said.
#[derive(Debug)]
pub struct Look<'a>(RwLockReadGuard<'a, Said>);

impl Look<'_> {
    /// Whether an agent is stopped.
    pub fn is_quarantined(&self, agent: &AgentName) -> bool {
        self.0.quarantined.contains(agent)
    }
}

impl Standing {
    /// Nobody is stopped, and no glass is broken, while this is held.
    pub fn look(&self) -> Look<'_> {
        Look(self.said.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is said of this agent.
    pub fn of(&self, agent: &AgentName, now: Timestamp) -> AgentFacts {
        let Look(said) = self.look();
        AgentFacts {
            quarantined: said.quarantined.contains(agent),
            break_glass: said.glass.get(agent).is_some_and(|until| now < *until),
        }
    }

    /// It is stopped. `record` is put in line before anybody can look again.
    pub fn quarantine<T>(&self, agent: &AgentName, record: impl FnOnce() -> T) -> T {
        let mut said = self.write();
        said.quarantined.insert(agent.clone());
        record()
    }

    /// It may go on. False if it was not stopped.
    pub fn release(&self, agent: &AgentName) -> bool {
        self.write().quarantined.remove(agent)
    }

    /// Those that are stopped.
    pub fn quarantined(&self) -> Vec<AgentName> {
        self.look().0.quarantined.iter().cloned().collect()
    }

    /// The glass is broken for it until then.
    pub fn break_glass(&self, agent: &AgentName, until: Timestamp) {
        self.write().glass.insert(agent.clone(), until);
    }

    fn write(&self) -> RwLockWriteGuard<'_, Said> {
        self.said.write().unwrap_or_else(PoisonError::into_inner)
    }
}
