//! What a task holds of what was read: in it, in what came out of it, and outside of all tasks.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::live::Live;
use super::lock;
use crate::model::{Label, OpenedBy, Timestamp};

impl Live {
    /// What it holds: what it has taken in itself and what its parents hold; what its agent has taken in outside of all tasks
    /// since it was opened, for nobody knows for which one that was; and what an agent opens for itself holds all that the
    /// agent holds, whenever it took it in.
    pub(super) fn labels(self: &Arc<Self>, implicit: &Self) -> BTreeSet<Label> {
        let mut labels = BTreeSet::new();
        let mut since = None;
        for live in self.line() {
            let state = lock(&live.state);
            labels.extend(&state.labels);
            since = Some(state.task.opened_at);
        }
        let opened_by = lock(&self.state).task.opened_by;
        let implicit = lock(&implicit.state);
        match opened_by {
            OpenedBy::Framework => {
                let late = implicit.outside.iter().filter(|(_, at)| Some(**at) >= since);
                labels.extend(late.map(|(label, _)| label));
            }
            OpenedBy::Agent => labels.extend(&implicit.labels),
            OpenedBy::Nobody => {}
        }
        labels
    }

    /// Whether a framework has opened it, or what it came out of.
    pub(super) fn is_given(self: &Arc<Self>) -> bool {
        self.line().any(|live| lock(&live.state).task.opened_by == OpenedBy::Framework)
    }

    /// Its agent has taken this in outside of all tasks that a framework opened.
    pub(super) fn label_outside(&self, labels: impl Iterator<Item = Label>, at: Timestamp) {
        lock(&self.state).outside.extend(labels.map(|label| (label, at)));
    }

    /// Puts labels on it and on its parents, who read what their children say.
    pub(super) fn label(self: &Arc<Self>, labels: impl Iterator<Item = Label> + Clone) {
        for live in self.line() {
            lock(&live.state).labels.extend(labels.clone());
        }
    }
}
