//! How much agents may do: as configured, and replaced as a whole when the configuration is.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::live::Snapshot;
use super::{DeskRule, LimitRule};
use crate::model::{AgentName, BaselineRule, Call, Exceeded, Key};

/// Bounds on the calls of one task. What is done in a child counts in its parents, too.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChainRule {
    /// Calls a task may make.
    pub max_calls: Option<u64>,
    /// Tasks that may stand above it.
    pub max_depth: Option<u64>,
    /// Times the same bytes may be sent to the same action, the first not counted.
    pub max_repeats: Option<u64>,
    /// Calls of a task that may be under way at a time.
    pub max_concurrent: Option<u64>,
    /// Seconds that credentials may be alive for it, all together.
    pub max_privilege_seconds: Option<u64>,
}

/// How much agents may do: as configured, and replaced as a whole when the configuration is.
#[derive(Debug, Default)]
pub struct Bounds {
    limits: BTreeMap<AgentName, Vec<LimitRule>>,
    chains: BTreeMap<AgentName, ChainRule>,
    desk: DeskRule,
    directories: BTreeMap<AgentName, Arc<HashSet<Key>>>,
    baselines: BTreeMap<AgentName, BaselineRule>,
}

impl Bounds {
    /// Of these limits and chains.
    pub fn new(limits: Vec<LimitRule>, chains: BTreeMap<AgentName, ChainRule>) -> Self {
        let mut by_agent: BTreeMap<AgentName, Vec<LimitRule>> = BTreeMap::new();
        for rule in limits {
            by_agent.entry(rule.agent.clone()).or_default().push(rule);
        }
        let (desk, directories, baselines) = Default::default();
        Self { limits: by_agent, chains, desk, directories, baselines }
    }

    /// With questions asked like this.
    pub fn asking(self, desk: DeskRule) -> Self {
        Self { desk, ..self }
    }

    /// With these values that are known to be an agent's to use: whom it may write to, what there is.
    pub fn knowing(self, directories: BTreeMap<AgentName, Arc<HashSet<Key>>>) -> Self {
        Self { directories, ..self }
    }

    /// With habits learned like this.
    pub fn learning(self, baselines: BTreeMap<AgentName, BaselineRule>) -> Self {
        Self { baselines, ..self }
    }

    /// How the habits of an agent are learned.
    pub fn baseline(&self, agent: &AgentName) -> BaselineRule {
        self.baselines.get(agent).copied().unwrap_or_default()
    }

    pub(super) fn directory(&self, agent: &AgentName) -> Option<Arc<HashSet<Key>>> {
        self.directories.get(agent).cloned()
    }

    /// How questions are asked.
    pub fn desk(&self) -> DeskRule {
        self.desk
    }
}

impl Bounds {
    pub(super) fn limits_of(&self, agent: &AgentName) -> &[LimitRule] {
        self.limits.get(agent).map_or(&[], Vec::as_slice)
    }

    pub(super) fn check_chain(&self, call: &Call, snapshot: &Snapshot, exceeded: &mut BTreeMap<String, Exceeded>) {
        let Some(rule) = self.chains.get(&call.caller.agent) else { return };
        let (used, more) = (snapshot.used, |max: u64| max.saturating_add(1));
        let bounds = [
            ("max_calls", rule.max_calls, used.calls),
            ("max_repeats", rule.max_repeats.map(more), used.repeats),
            ("max_concurrent", rule.max_concurrent, used.concurrent),
            ("max_privilege_seconds", rule.max_privilege_seconds, used.privilege_s),
            ("max_depth", rule.max_depth.map(more), u64::from(call.task.depth)),
        ];
        for (name, max, used) in bounds {
            if let Some(limit) = max.filter(|max| used >= *max) {
                let name = format!("{}.chain.{name}", call.caller.agent);
                exceeded.insert(name, Exceeded { limit, retry_after_ms: None });
            }
        }
    }

    /// How many tasks may stand above one of this agent's.
    pub fn max_depth(&self, agent: &AgentName) -> Option<u64> {
        self.chains.get(agent).and_then(|rule| rule.max_depth)
    }
}
