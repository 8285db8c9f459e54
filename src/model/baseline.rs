//! What an agent usually does: learned from tasks that ended cleanly, in force once a person has ratified it.
//!
//! A baseline narrows, and never allows. The one thing it says for a call is that a value is a habit: used in several tasks
//! and on several days, on the word of somebody who is believed.

mod course;
mod draft;
mod score;
mod shown;
mod tail;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::course::hour_of_week;
pub use self::course::{Aims, Course, Made, Used, Word};
use self::score::{Hours, Sequence};
pub use self::shown::{Difference, Habits, ShownBaseline};
use self::tail::Tail;
use super::{BaselineFacts, Digest, Key, Timestamp};

/// Weeks that must have been seen before an hour is odd.
const WEEKS: u32 = 4;

/// When something becomes a habit, and when something else is unusual.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BaselineRule {
    /// Tasks in which it was done, at least.
    pub tasks: u32,
    /// Days on which it was, at least.
    pub days: u32,
    /// What a task shows counts only so long after its end: until then somebody may find that something was wrong.
    pub hold: Duration,
    /// What was not done for so long is forgotten at the next ratification.
    pub window: Duration,
    /// Tasks that must be known before anything is said to be new or unusual.
    pub enough: u32,
    /// Tasks in a thousand weeks that may be called unusual although they are as always.
    pub budget: u32,
}

impl Default for BaselineRule {
    fn default() -> Self {
        let day = Duration::from_secs(86_400);
        Self { tasks: 3, days: 2, hold: day, window: 90 * day, enough: 20, budget: 1_000 }
    }
}

/// The habits of an agent.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Baseline {
    /// Tasks that it was learned from.
    pub tasks: u32,
    /// When the first of them ended.
    pub since: Option<Timestamp>,
    /// When the last of them did.
    pub until: Option<Timestamp>,
    /// There are enough of them.
    pub ready: bool,
    /// The chance below which something is unusual, in ten-thousandths.
    pub alpha: u32,
    /// Actions, and in how many tasks each was.
    pub actions: BTreeMap<Arc<str>, u32>,
    /// Which action came behind which: first `""`, where it was the first of all.
    pub steps: BTreeSet<(Arc<str>, Arc<str>)>,
    /// What was acted on, with its tool.
    pub resources: BTreeSet<String>,
    /// The workloads that called.
    pub sources: BTreeSet<String>,
    /// Values by hash, under the action and the sink they stood in.
    pub values: BTreeMap<Arc<str>, BTreeSet<Key>>,
    /// In how many tasks each tool was called in each hour of the day, in UTC.
    pub heat: BTreeMap<Arc<str>, Vec<u32>>,
    /// What was done too rarely to be a habit: actions, steps, resources, sources and values.
    pub rare: u32,
    hours: Hours,
    sequence: Sequence,
    scores: Scores,
}

/// How tasks scored.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
struct Scores {
    hour: Tail,
    rate: Tail,
    size: Tail,
    step: Tail,
}

impl Baseline {
    /// The name of its content.
    pub fn digest(&self) -> Digest {
        Digest::of(serde_json::to_string(self).unwrap_or_default().as_bytes())
    }

    /// Every value that is a habit.
    pub fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.values.values().flatten().copied()
    }

    /// Whole weeks that it was learned in.
    fn weeks(&self) -> u32 {
        let span = self.since.zip(self.until).map_or(Duration::ZERO, |(since, until)| until.since(since));
        u32::try_from(span.as_secs() / (7 * 86_400)).unwrap_or(u32::MAX)
    }

    /// What tells whether something is unusual, and how tasks scored by it; nothing where too few weeks were seen.
    fn detectors(&self) -> [(&'static str, Option<&Tail>); 4] {
        let hour = (self.weeks() >= WEEKS).then_some(&self.scores.hour);
        let Scores { rate, size, step, .. } = &self.scores;
        [("hour", hour), ("rate", Some(rate)), ("size", Some(size)), ("step", Some(step))]
    }

    /// What it has seen too few tasks for to tell whether it is unusual.
    fn insufficient(&self) -> BTreeSet<&'static str> {
        let tells = |tail: Option<&Tail>| tail.is_some_and(|tail| tail.tells(self.alpha));
        self.detectors().into_iter().filter(|(_, tail)| !tells(*tail)).map(|(name, _)| name).collect()
    }

    /// What it says of a call. `knows` tells whether a value is among its values.
    pub fn weigh(&self, call: &Made<'_>, knows: impl Fn(Key) -> bool) -> BaselineFacts {
        if !self.ready {
            return BaselineFacts::default();
        }
        let scores = [
            Some(self.hours.score(hour_of_week(call.at))),
            Some(u64::from(call.in_a_minute)),
            call.bytes,
            Some(self.sequence.score(call.behind, call.action)),
        ];
        let mut facts = BaselineFacts {
            ready: true,
            novel_action: !self.actions.contains_key(call.action),
            novel_step: !self.steps.contains(&(call.behind.clone(), call.action.clone())),
            novel_resource: !self.resources.contains(call.resource),
            novel_source: !self.sources.contains(call.source),
            novel_destination: call.values.iter().any(|used| used.is_destination && !knows(used.key)),
            ..BaselineFacts::default()
        };
        for ((name, tail), score) in self.detectors().into_iter().zip(scores) {
            let Some(score) = score else { continue };
            match tail.and_then(|tail| tail.chance(score, self.alpha)) {
                Some(chance) => {
                    facts.chances.insert(name.into(), i64::from(chance));
                    if chance <= self.alpha {
                        facts.unusual.insert(name.into());
                    }
                }
                None => {
                    facts.insufficient.insert(name.into());
                }
            }
        }
        facts
    }

    /// Whether a task did anything that is new to it, or unusual.
    pub fn wonders_at(&self, course: &Course) -> bool {
        let scores = [
            self.hours.worst(course),
            u64::from(course.most_in_a_minute),
            course.longest_body,
            self.sequence.worst(course),
        ];
        let chance = |tail: Option<&Tail>, score| tail.and_then(|tail| tail.chance(score, self.alpha));
        let mut scored = self.detectors().into_iter().zip(scores);
        course.actions.keys().any(|action| !self.actions.contains_key(action))
            || !course.aims.sources.is_subset(&self.sources)
            || scored.any(|((_, tail), score)| chance(tail, score).is_some_and(|chance| chance <= self.alpha))
    }
}
