//! On whose word a task has the values that its calls are aimed at.

use std::sync::Arc;

use super::lesson::Lesson;
use super::live::Live;
use crate::model::{Aimed, CallId, Critical, SinkKind, ValueFacts};

/// What others than the task vouch for: a directory, or an approval.
pub(super) type Elsewhere<'a> = dyn Fn(&Critical, &Aimed) -> bool + 'a;

impl Live {
    /// Takes in what an answer brought, here and in the parents, who read what their children say.
    pub(super) fn learn(self: &Arc<Self>, lesson: &Lesson) {
        for live in self.line() {
            live.hear(lesson);
        }
    }

    /// Who stands behind the values of a call.
    pub(super) fn weigh(self: &Arc<Self>, critical: &[Critical], elsewhere: &Elsewhere<'_>) -> ValueFacts {
        let mut facts = ValueFacts::default();
        for one in critical {
            match one.kind {
                SinkKind::Source => continue,
                SinkKind::Destination | SinkKind::Object | SinkKind::Text | SinkKind::Words => {}
            }
            facts.critical.insert(one.sink.clone());
            let stands = |value: &&Aimed| match one.kind {
                SinkKind::Words => self.vouches(value) || elsewhere(one, value) || !self.was_read(value),
                SinkKind::Destination | SinkKind::Object | SinkKind::Text | SinkKind::Source => {
                    self.vouches(value) || elsewhere(one, value)
                }
            };
            let open: Vec<&Aimed> = one.values.iter().filter(|value| !stands(value)).collect();
            if !open.is_empty() {
                self.tell(one, &open, &mut facts);
            }
        }
        facts
    }

    /// Nobody stands behind these: what is known of them all the same.
    fn tell(self: &Arc<Self>, one: &Critical, open: &[&Aimed], facts: &mut ValueFacts) {
        let seen = open.iter().find_map(|value| self.was_read_in(value));
        facts.unattested.insert(one.sink.clone(), seen);
        if open.iter().all(|value| self.was_named(value)) {
            facts.delegated.insert(one.sink.clone());
        }
        if open.iter().all(|value| value.is_plain_link && self.was_read_in(value).is_some()) {
            facts.quoted.insert(one.sink.clone());
        }
    }

    /// Whether whoever opened the task had named all that this call reads from.
    pub(super) fn names(&self, critical: &[Critical]) -> bool {
        let mut sources = critical.iter().filter(|one| one.kind == SinkKind::Source).peekable();
        if sources.peek().is_none() {
            return false;
        }
        let given = self.task().values.clone();
        sources.flat_map(|one| &one.values).all(|value| given.has(value))
    }

    fn vouches(self: &Arc<Self>, value: &Aimed) -> bool {
        let trusted = |live: &Arc<Self>| live.ask(false, |heard| heard.trusts(value)) == Some(true);
        self.task().values.has(value) || self.line().any(trusted)
    }

    fn was_read(self: &Arc<Self>, value: &Aimed) -> bool {
        self.line().any(|live| live.ask(true, |heard| heard.read_in(value).is_some()) == Some(true))
    }

    fn was_read_in(self: &Arc<Self>, value: &Aimed) -> Option<CallId> {
        self.line().find_map(|live| live.ask(None, |heard| heard.read_in(value)).flatten())
    }

    fn was_named(self: &Arc<Self>, value: &Aimed) -> bool {
        self.line().any(|live| live.ask(false, |heard| heard.was_named(value)) == Some(true))
    }
}
