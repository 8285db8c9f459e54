//! From what tasks have shown to habits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::score::{Hours, Sequence};
use super::tail::Tail;
use super::{Baseline, BaselineRule, Course, Scores, Word};
use crate::model::Timestamp;

/// Detectors that share the budget of false alarms between them.
const DETECTORS: u64 = 4;

/// The greatest chance that may be called unusual, in ten-thousandths: rare tasks would make the budget meaningless.
const GREATEST: u64 = 500;

/// What a baseline holds of each, so that it fits into a record: what was done in most tasks.
const MOST_TOOLS: usize = 64;
const MOST_ACTIONS: usize = 256;
const MOST_STEPS: usize = 256;
const MOST_RESOURCES: usize = 128;
const MOST_SOURCES: usize = 32;
const MOST_VALUES: usize = 1_536;

const WEEK: u64 = 7 * 86_400;

impl Baseline {
    /// What these tasks show, the earliest first, each with the time at which it ended.
    ///
    /// Every other task is what hours and steps are learned from, and the ones between them are what these are held against:
    /// a score that had seen the task it scores would be too good (split-conformal).
    pub fn draft(tasks: &[(Timestamp, Course)], rule: &BaselineRule) -> Self {
        let courses = || tasks.iter().map(|(_, course)| course);
        let (learned, held) = (|| courses().step_by(2), || courses().skip(1).step_by(2));
        let (hours, sequence) = (Hours::of(learned()), Sequence::of(learned()));
        let scores = Scores {
            hour: Tail::of(held().map(|course| hours.worst(course)).collect()),
            rate: Tail::of(courses().map(|course| u64::from(course.most_in_a_minute)).collect()),
            size: Tail::of(courses().map(|course| course.longest_body).collect()),
            step: Tail::of(held().map(|course| sequence.worst(course)).collect()),
        };
        let count = u32::try_from(tasks.len()).unwrap_or(u32::MAX);
        let (since, until) = (tasks.first().map(|(at, _)| *at), tasks.last().map(|(at, _)| *at));
        let mut baseline = Self {
            tasks: count,
            since,
            until,
            ready: count >= rule.enough,
            alpha: alpha(tasks, rule),
            hours,
            sequence,
            scores,
            heat: heat(tasks),
            ..Self::default()
        };
        baseline.take_habits(tasks, rule);
        baseline
    }

    fn take_habits(&mut self, tasks: &[(Timestamp, Course)], rule: &BaselineRule) {
        let all = |course: &Course| course.steps.iter().map(|(from, to, _)| (from.clone(), to.clone())).collect();
        let actions = seen(tasks, rule, |course| course.actions.keys().cloned().collect::<Vec<_>>());
        let steps = seen(tasks, rule, all);
        let resources = seen(tasks, rule, |course| course.aims.resources.iter().cloned().collect());
        let sources = seen(tasks, rule, |course| course.aims.sources.iter().cloned().collect());
        let vouched = |course: &Course| {
            let values = course.aims.values.iter();
            let each =
                values.flat_map(|(place, keys)| keys.iter().map(move |(key, word)| ((place.clone(), *key), *word)));
            each.filter(|(_, word)| *word != Word::Nobody).map(|(value, _)| value).collect()
        };
        let values = seen(tasks, rule, vouched);
        self.rare = [actions.rare, steps.rare, resources.rare, sources.rare, values.rare].iter().sum();
        self.actions = actions.most(MOST_ACTIONS).map(|(count, action)| (action, count)).collect();
        self.steps = steps.most(MOST_STEPS).map(|(_, step)| step).collect();
        self.resources = resources.most(MOST_RESOURCES).map(|(_, resource)| resource).collect();
        self.sources = sources.most(MOST_SOURCES).map(|(_, source)| source).collect();
        for (_, (place, key)) in values.most(MOST_VALUES) {
            self.values.entry(place).or_default().insert(key);
        }
    }
}

/// What was done often enough, with the number of tasks that did it; and how much was not.
struct Seen<T> {
    habits: Vec<(u32, T)>,
    rare: u32,
}

impl<T: Ord> Seen<T> {
    /// The habits of most tasks.
    fn most(mut self, most: usize) -> impl Iterator<Item = (u32, T)> {
        self.habits.sort_unstable_by(|(one, a), (other, b)| other.cmp(one).then_with(|| a.cmp(b)));
        self.habits.into_iter().take(most)
    }
}

/// A task counts once for each thing it did, however often it did it.
fn seen<T: Ord>(tasks: &[(Timestamp, Course)], rule: &BaselineRule, done: impl Fn(&Course) -> Vec<T>) -> Seen<T> {
    let mut counts: BTreeMap<T, (u32, BTreeSet<u64>)> = BTreeMap::new();
    for (at, course) in tasks {
        for thing in done(course) {
            let (count, days) = counts.entry(thing).or_default();
            *count = count.saturating_add(1);
            days.insert(at.unsigned_millis() / 86_400_000);
        }
    }
    let often = |count: u32, days: usize| count >= rule.tasks && u32::try_from(days).unwrap_or(u32::MAX) >= rule.days;
    let all = counts.len();
    let habits: Vec<(u32, T)> = counts
        .into_iter()
        .filter(|(_, (count, days))| often(*count, days.len()))
        .map(|(thing, (count, _))| (count, thing))
        .collect();
    let rare = u32::try_from(all - habits.len()).unwrap_or(u32::MAX);
    Seen { habits, rare }
}

/// The budget of false alarms, shared by the tasks of a week and the detectors.
fn alpha(tasks: &[(Timestamp, Course)], rule: &BaselineRule) -> u32 {
    let span = tasks.first().zip(tasks.last()).map_or(0, |((first, _), (last, _))| last.since(*first).as_secs());
    let seconds = span.max(WEEK);
    let count = u64::try_from(tasks.len()).unwrap_or(u64::MAX).max(1);
    // Budget: tasks in a thousand weeks. Tasks a week: count * WEEK / seconds. In ten-thousandths: times ten thousand.
    let alpha = u128::from(rule.budget) * 10 * u128::from(seconds) / (u128::from(count) * u128::from(WEEK * DETECTORS));
    u32::try_from(alpha.min(GREATEST.into())).unwrap_or(0)
}

fn heat(tasks: &[(Timestamp, Course)]) -> BTreeMap<Arc<str>, Vec<u32>> {
    let mut heat: BTreeMap<_, Vec<u32>> = BTreeMap::new();
    for (tool, hours) in tasks.iter().flat_map(|(_, course)| &course.hours) {
        if heat.len() >= MOST_TOOLS && !heat.contains_key(tool) {
            continue;
        }
        let counts = heat.entry(tool.clone()).or_insert_with(|| vec![0; 24]);
        let of_day: BTreeSet<usize> = hours.iter().map(|hour| usize::from(hour % 24)).collect();
        for hour in of_day {
            if let Some(count) = counts.get_mut(hour) {
                *count = count.saturating_add(1);
            }
        }
    }
    heat
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Digest, Key};

    fn read_on(days: &[i64]) -> Vec<(Timestamp, Course)> {
        let course = || Course { actions: BTreeMap::from([("t/read".into(), 1)]), ..Course::default() };
        days.iter().map(|day| (Timestamp::from_millis(day * 86_400_000), course())).collect()
    }

    #[test]
    fn a_habit_is_what_so_many_tasks_did_on_so_many_days() {
        let is_habit = |days: &[i64], rule: BaselineRule| !Baseline::draft(&read_on(days), &rule).actions.is_empty();
        let rule = BaselineRule { tasks: 3, days: 2, ..BaselineRule::default() };
        assert!(is_habit(&[1, 1, 2], rule));
        assert!(!is_habit(&[1, 2], rule), "two tasks are too few");
        assert!(!is_habit(&[1, 1, 1], rule), "one day is too few");
    }

    #[test]
    fn few_tasks_do_not_make_everything_unusual() {
        let alpha = |days: &[i64], budget| alpha(&read_on(days), &BaselineRule { budget, ..BaselineRule::default() });
        let often: Vec<i64> = (0..70).collect();
        // A tenth of an alarm a week among seven tasks and four detectors; and of two alarms, no more than one in twenty.
        assert_eq!((alpha(&often, 100), alpha(&often, 2_000)), (35, 500));
        assert_eq!(alpha(&[1], 100_000), 500);
    }

    #[test]
    fn the_largest_baseline_fits_into_a_record() {
        let name = |number: usize| format!("{number:04}/{}", "x".repeat(60));
        let tasks: Vec<(Timestamp, Course)> = (0..40)
            .map(|task| {
                let mut course = Course::default();
                for number in (task * 64)..(task * 64 + 64) {
                    course.actions.insert(name(number).into(), 1);
                    course.hours.insert(name(number).into(), (0..24).collect());
                    for next in 0..4 {
                        course.steps.push((name(number).into(), name(number + next).into(), 1));
                    }
                }
                course.aims.resources =
                    (0..256).map(|number| format!("{task:04}{number:04}{}", "r".repeat(248))).collect();
                course.aims.sources =
                    (0..16).map(|number| format!("{task:04}{number:04}{}", "s".repeat(248))).collect();
                let key = |number: usize| Key::of(Digest::of(format!("{task} {number}").as_bytes()));
                let place: Arc<str> = format!("{} body:/to", name(task)).into();
                course.aims.values.insert(place, (0..512).map(|number| (key(number), Word::Agreed)).collect());
                course.most_in_a_minute = u32::MAX;
                course.longest_body = u64::MAX;
                (Timestamp::from_millis(i64::try_from(task).unwrap() * 86_400_000), course)
            })
            .collect();
        let baseline = Baseline::draft(&tasks, &BaselineRule { tasks: 1, days: 1, ..BaselineRule::default() });
        assert_eq!((baseline.resources.len(), baseline.sources.len()), (MOST_RESOURCES, MOST_SOURCES));
        let bytes = serde_json::to_vec(&baseline).unwrap().len();
        assert!(bytes < 250 * 1024, "{bytes} bytes");
    }
}
