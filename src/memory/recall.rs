//! What an earlier run has seen, taken in again at the start: the places calls took, and what tasks hold because of them.

use super::{Bounds, Memory};
use crate::model::{AgentName, Digest, Label, TaskId, Timestamp};

/// A call of an earlier run.
#[derive(Clone, Debug)]
pub struct PastCall {
    /// When it was permitted.
    pub at: Timestamp,
    /// Who asked.
    pub agent: AgentName,
    /// As which workload.
    pub workload: String,
    /// In which task.
    pub task: TaskId,
    /// The tool.
    pub tool: String,
    /// The action's full name.
    pub action: String,
    /// What tells it from other calls; see [`super::tasks::fingerprint_of`].
    pub fingerprint: Digest,
    /// What its task held when it was judged, and what its answer may have brought.
    pub labels: Vec<Label>,
}

impl Memory {
    /// Takes in a call of an earlier run. The earliest comes first.
    pub fn recall(&self, past: &PastCall, bounds: &Bounds, now: Timestamp) {
        self.limits.recall(bounds.limits_of(&past.agent), past, now);
        self.tasks.recall(past, now);
    }

    /// Nobody knows any more what an agent took in outside of tasks: the worst is taken for true.
    pub fn assume_the_worst(&self, agent: &AgentName, now: Timestamp) {
        let implicit = self.tasks.implicit(agent, now);
        self.tasks.label(implicit.id, &[Label::Untrusted, Label::Private]);
    }
}
