//! What a live task shows of its agent's habits, as it goes.

use std::sync::Arc;

use super::agreements::Agreements;
use super::live::{Live, State};
use super::lock;
use crate::model::{
    Aimed, Call, Course, Critical, Effect, Facts, Key, Label, Made, OpenedBy, SinkKind, Timestamp, Used, Word,
};

/// Milliseconds of a minute.
const MINUTE: i64 = 60_000;

/// The course of a task so far.
#[derive(Debug, Default)]
pub(super) struct Running {
    course: Course,
    /// The last action that was permitted.
    last: Option<Arc<str>>,
    minute: i64,
    in_a_minute: u32,
    /// Something was let in it that nobody should learn from, or is not known any more.
    spoiled: bool,
}

/// Where a call stands in the course of its task.
#[derive(Clone, Debug, Default)]
pub struct InCourse {
    behind: Arc<str>,
    in_a_minute: u32,
}

impl Running {
    /// A call is claimed: it counts in its minute, whatever becomes of it.
    fn claim(&mut self, at: Timestamp) -> InCourse {
        let minute = at.millis().div_euclid(MINUTE);
        if minute != self.minute {
            (self.minute, self.in_a_minute) = (minute, 0);
        }
        self.in_a_minute = self.in_a_minute.saturating_add(1);
        InCourse { behind: self.last.clone().unwrap_or_default(), in_a_minute: self.in_a_minute }
    }
}

impl Live {
    /// Nothing is to be learned from it any more, nor from its parents: what is wrong in a child is wrong in them.
    pub(super) fn spoil(self: &Arc<Self>) {
        for live in self.line() {
            lock(&live.state).course.get_or_insert_default().spoiled = true;
        }
    }
}

impl State {
    /// A call is claimed for the task.
    pub(super) fn stand(&mut self, at: Timestamp) -> InCourse {
        self.course.get_or_insert_default().claim(at)
    }

    /// A call was permitted and recorded.
    pub(super) fn go_on(&mut self, made: &Made<'_>, words: &[Word]) {
        let running = self.course.get_or_insert_default();
        running.last = Some(made.action.clone());
        match self.task.opened_by {
            // What no framework opened teaches nothing, so it need not be kept.
            OpenedBy::Framework => running.course.add(made, words),
            OpenedBy::Agent | OpenedBy::Nobody => {}
        }
    }

    /// The task has come to its end: what it shows, if it is anything to learn from. A task is if a framework opened it, if
    /// nothing was denied in it, and if nothing has spoiled it: an alarm, or what was let on no more than a stranger's word.
    /// What is claimed still may be let in this moment, and nobody knows on whose word.
    pub(super) fn shown(&mut self) -> Option<Course> {
        let running = self.course.take()?;
        let by_framework = self.task.opened_by == OpenedBy::Framework;
        let clean = !running.spoiled && self.denials == 0 && self.claimed == 0 && !running.course.is_empty();
        (by_framework && clean).then_some(running.course)
    }
}

/// A call, as far as habits go.
pub(super) fn made<'a>(call: &'a Call, (source, place): (&'a str, &'a InCourse), values: &'a [Used]) -> Made<'a> {
    Made {
        behind: &place.behind,
        tool: &call.action.tool,
        action: &call.action.name,
        resource: &call.action.resource,
        source,
        at: call.received_at,
        in_a_minute: place.in_a_minute,
        bytes: call.content.length(),
        values,
    }
}

/// Every value of a call that may be a habit, or become one.
pub(super) fn used(call: &Call) -> Vec<Used> {
    let each = aimed(call).map(|(one, value)| Used {
        place: match shared(call, one) {
            Some(of) => format!("{} {of}", call.action.tool).into(),
            None => format!("{} {}", call.action.name, one.sink).into(),
        },
        key: habit(call, one, value),
        is_destination: one.kind == SinkKind::Destination,
    });
    each.collect()
}

/// The name by which a value of a call is a habit: in this sink, or in all of its tool's that name the same.
pub(super) fn habit(call: &Call, one: &Critical, value: &Aimed) -> Key {
    let agent = call.caller.agent.as_str();
    match shared(call, one) {
        Some(of) => value.name(&[agent, &call.action.tool, of]),
        None => one.name(agent, &call.action.name, value),
    }
}

/// What a sink's values name, where other sinks may know them, too. That somebody is written to every day says nothing of
/// whether they may be paid or removed.
fn shared<'a>(call: &Call, one: &'a Critical) -> Option<&'a Arc<str>> {
    match call.action.effect {
        Effect::Read | Effect::Write | Effect::Send => one.of.as_ref(),
        Effect::Delete | Effect::Spend | Effect::Execute => None,
    }
}

fn aimed(call: &Call) -> impl Iterator<Item = (&Critical, &Aimed)> {
    let habitual = |one: &&Critical| match one.kind {
        SinkKind::Destination | SinkKind::Object | SinkKind::Text => true,
        SinkKind::Words | SinkKind::Source => false,
    };
    call.action.critical.iter().filter(habitual).flat_map(|one| one.values.iter().map(move |value| (one, value)))
}

/// Whether a task in which this call was let may teach anything. After a stranger's words every value must have stood on
/// somebody's word; and what was let only because nothing was enforced, or because the glass was broken, is no habit.
pub(super) fn is_clean(facts: &Facts, as_usual: bool) -> bool {
    let on_a_strangers_word =
        facts.labels.contains(&Label::Untrusted) && !facts.values.unattested.is_empty() && facts.approval.is_absent();
    as_usual && !facts.agent.break_glass && !on_a_strangers_word
}

/// On whose word a call had each of its values, in the order of [`used`].
pub(super) fn words(call: &Call, facts: &Facts, agreements: &Agreements) -> Vec<Word> {
    let each = aimed(call).map(|(one, value)| word(call, facts, &one.sink, agreements.has(call, one, value)));
    each.collect()
}

/// On whose word a call had a value in one sink. What costs money, removes or runs something never becomes a habit by being
/// repeated: only what a person has agreed to does.
fn word(call: &Call, facts: &Facts, sink: &str, agreed_before: bool) -> Word {
    if agreed_before || !facts.approval.is_absent() {
        return Word::Agreed;
    }
    let attested = !facts.values.unattested.contains_key(sink);
    match call.action.effect {
        Effect::Read | Effect::Write | Effect::Send if attested => Word::Attested,
        Effect::Read | Effect::Write | Effect::Send | Effect::Delete | Effect::Spend | Effect::Execute => Word::Nobody,
    }
}
