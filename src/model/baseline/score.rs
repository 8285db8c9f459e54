//! How far a call is from what was learned, in numbers that can be put in order: for the hour, and for which action comes
//! behind which.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::course::{Course, HOURS};

/// How much the share of all actions weighs beside what came behind this one (MacKay & Peto 1995).
const KAPPA: f64 = 2.0;

/// Pairs of actions that are counted, so that a baseline fits into a record: those that came first.
const MOST_PAIRS: usize = 512;

/// The weight of an hour for itself, for the hours before and behind it, and for the same hour of another day.
const SAME: u64 = 4;
const NEXT: u64 = 2;
const DAILY: u64 = 1;

/// In which hours of the week tasks called.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Hours {
    /// Tasks.
    tasks: u32,
    /// How many of them called in each hour, from Monday at midnight on.
    counts: Vec<u32>,
}

impl Hours {
    pub(super) fn of<'a>(courses: impl Iterator<Item = &'a Course>) -> Self {
        let mut hours = Self { tasks: 0, counts: vec![0; HOURS] };
        for course in courses {
            hours.tasks = hours.tasks.saturating_add(1);
            for hour in course.all_hours() {
                if let Some(count) = hours.counts.get_mut(usize::from(hour)) {
                    *count = count.saturating_add(1);
                }
            }
        }
        hours
    }

    /// The greater, the less was done around this hour.
    pub(super) fn score(&self, hour: u8) -> u64 {
        let hour = usize::from(hour);
        let count = |hour: usize| u64::from(self.counts.get(hour % HOURS).copied().unwrap_or(0));
        let daily: u64 = (1..7).map(|day| count(hour + 24 * day)).sum();
        let density = SAME * count(hour) + NEXT * (count(hour + 1) + count(hour + HOURS - 1)) + DAILY * daily;
        let most = (SAME + 2 * NEXT + 6 * DAILY) * u64::from(self.tasks);
        // In parts of the whole, so that an hour does not become odd because others are busier.
        1_000_000_u64.saturating_sub(density.saturating_mul(1_000_000).checked_div(most).unwrap_or(0))
    }

    pub(super) fn worst(&self, course: &Course) -> u64 {
        course.all_hours().iter().map(|hour| self.score(*hour)).max().unwrap_or(0)
    }
}

/// Which action came behind which.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Sequence {
    /// How often each action came.
    actions: BTreeMap<Arc<str>, u32>,
    /// How often it came behind another one.
    steps: BTreeMap<Arc<str>, BTreeMap<Arc<str>, u32>>,
}

impl Sequence {
    pub(super) fn of<'a>(courses: impl Iterator<Item = &'a Course>) -> Self {
        let mut sequence = Self::default();
        let mut room = MOST_PAIRS;
        for (from, to, count) in courses.flat_map(|course| &course.steps) {
            let known = sequence.steps.get(from).is_some_and(|steps| steps.contains_key(to));
            if !known && room == 0 {
                continue;
            }
            room -= usize::from(!known);
            let actions = sequence.actions.entry(to.clone()).or_default();
            *actions = actions.saturating_add(*count);
            let steps = sequence.steps.entry(from.clone()).or_default().entry(to.clone()).or_default();
            *steps = steps.saturating_add(*count);
        }
        sequence
    }

    /// Thousandths of a bit by which this step surprises: of a hierarchical Dirichlet bigram.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bits are few, and none is negative")]
    pub(super) fn score(&self, from: &str, to: &str) -> u64 {
        let count = |count: Option<&u32>| f64::from(count.copied().unwrap_or(0));
        let all: f64 = self.actions.values().map(|count| f64::from(*count)).sum();
        let kinds = f64::from(u32::try_from(self.actions.len()).unwrap_or(u32::MAX));
        let share = (count(self.actions.get(to)) + 1.0) / (all + kinds + 1.0);
        let behind = self.steps.get(from);
        let made: f64 = behind.into_iter().flat_map(BTreeMap::values).map(|count| f64::from(*count)).sum();
        let chance = (count(behind.and_then(|steps| steps.get(to))) + KAPPA * share) / (made + KAPPA);
        (-chance.log2() * 1000.0).max(0.0).round() as u64
    }

    pub(super) fn worst(&self, course: &Course) -> u64 {
        course.steps.iter().map(|(from, to, _)| self.score(from, to)).max().unwrap_or(0)
    }
}
