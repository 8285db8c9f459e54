//! The place of a call that is made, and what it brings back to its task.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::lesson::Lesson;
use super::live::Live;
use super::lock;
use super::room::Place;
use super::under_way::Over;
use crate::model::{Call, Ending, Label, Reading, Timestamp};

/// A call's place in its task and among all calls, held until the call is over.
#[derive(Debug)]
pub struct Slot {
    pub(super) live: Arc<Live>,
    pub(super) implicit: Arc<Live>,
    pub(super) over: Over,
    pub(super) named: bool,
    pub(super) _place: Option<Place>,
}

impl Slot {
    /// The answer's head has come: from here on the task holds what it brings, and so do its parents and whatever the
    /// agent does outside of any task; and if this was outside of one, so do the agent's tasks that are open.
    pub fn take_in(&self, labels: &[Label], at: Timestamp) {
        if labels.is_empty() {
            return;
        }
        // What an answer vouches for is known only once its whole body is read; what it taints, at once.
        let narrowing = labels.iter().copied().filter(|label| *label != Label::Trusted);
        self.live.label(narrowing.clone());
        lock(&self.implicit.state).labels.extend(narrowing.clone());
        if !self.live.is_given() {
            self.implicit.label_outside(narrowing, at);
        }
    }

    /// The whole answer has come: the task knows from here on what it vouches for, and what a stranger may have written.
    pub fn learn(&self, call: &Call, reading: Reading<'_>) {
        self.live.learn(&Lesson::of(reading, &call.action.fields, (call.id, self.named)));
    }

    /// A watch that tells by which ending the call is cut, once it is.
    pub fn over(&self) -> watch::Receiver<Option<Ending>> {
        self.over.line()
    }

    /// Where it counts how long the call's credential was alive.
    pub fn privilege(&self) -> Privilege {
        Privilege(self.live.clone())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.live.leave();
    }
}

/// Where the time is counted for which a call's credential was alive.
#[derive(Debug)]
pub struct Privilege(Arc<Live>);

impl Privilege {
    /// It was alive for so long.
    pub fn add(self, alive: Duration) {
        self.0.add_privilege(alive);
    }
}
