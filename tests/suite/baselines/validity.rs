//! How often tasks that are as always are called unusual: no more than the budget allows, whatever they look like (METHOD §6,
//! M9); and what a change of the agent does to that, until it is learned.

use std::sync::Arc;
use std::time::Duration;

use countersign::model::{Baseline, BaselineRule, Course, Key, Made, Timestamp, Used, Word};

/// Numbers that look random and are the same each time (SplitMix64).
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Few are large: about as many below 2, from 2 to 4, from 4 to 8 …
    fn heavy(&mut self) -> u64 {
        let zeros = self.next().trailing_zeros().min(12);
        (1 << zeros) + self.below(1 << zeros)
    }
}

const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;

/// Actions that a task may take, in rows: what comes behind what, the usual first.
const USUAL: [[&str; 3]; 3] =
    [["t/list", "t/get", "t/get"], ["t/get", "t/note", "t/list"], ["t/note", "t/list", "t/get"]];
const SHIFTED: [[&str; 3]; 3] =
    [["t/search", "t/list", "t/get"], ["t/search", "t/open", "t/get"], ["t/note", "t/search", "t/open"]];

struct Task {
    calls: Vec<(Arc<str>, Timestamp, u64)>,
    began: i64,
}

/// A task at one of an agent's usual hours: most in the morning of a working day, some not.
fn task(random: &mut Random, week: i64, rows: &[[&str; 3]; 3]) -> Task {
    let day = if random.below(20) == 0 { 5 } else { random.below(5) };
    let hour = if random.below(12) == 0 { random.below(24) } else { 8 + random.below(4) };
    // 1970 began on a Thursday.
    let monday = 4 * DAY + week * 7 * DAY;
    let began = monday
        + i64::try_from(day * 24 + hour).unwrap() * 60 * MINUTE
        + i64::try_from(random.below(30)).unwrap() * MINUTE;
    let mut row = 0;
    let calls = (0..1 + random.heavy().min(40)).map(|_| {
        let place = usize::try_from(random.heavy().min(3) - 1).unwrap();
        let action = rows[row][place];
        row = (row + place + 1) % 3;
        (action.into(), Timestamp::from_millis(began), 100 * random.heavy())
    });
    Task { calls: calls.collect(), began }
}

/// What a baseline says of each call, as the task goes on, and what the task shows in the end.
fn live(task: &Task, mut each: impl FnMut(&Made<'_>)) -> Course {
    let (mut course, mut behind) = (Course::default(), Arc::<str>::from(""));
    let used: [Used; 0] = [];
    for (number, (action, at, bytes)) in task.calls.iter().enumerate() {
        let made = Made {
            behind: &behind,
            tool: &"t".into(),
            action,
            resource: "t/r",
            source: "uid:1",
            at: *at,
            in_a_minute: u32::try_from(number + 1).unwrap(),
            bytes: Some(*bytes),
            values: &used,
        };
        each(&made);
        course.add(&made, &[] as &[Word]);
        behind = action.clone();
    }
    course
}

fn drafted(tasks: &[Task], rule: &BaselineRule) -> Baseline {
    let mut courses: Vec<_> =
        tasks.iter().map(|task| (Timestamp::from_millis(task.began), live(task, |_| {}))).collect();
    courses.sort_by_key(|(at, _)| *at);
    Baseline::draft(&courses, rule)
}

/// Of these tasks, in how many each detector raised an alarm; by name.
fn alarms(baseline: &Baseline, tasks: &[Task]) -> [(&'static str, f64); 4] {
    ["hour", "rate", "size", "step"].map(|detector| {
        let raised = tasks.iter().filter(|task| {
            let mut raised = false;
            live(task, |made| raised |= baseline.weigh(made, |_: Key| true).unusual.contains(detector));
            raised
        });
        (detector, raised.count() as f64 / tasks.len() as f64)
    })
}

/// A rule under which something is unusual whose chance is below `alpha`, at so many tasks a week.
fn rule(alpha: f64, a_week: f64) -> BaselineRule {
    let budget = (alpha * 4.0 * a_week * 1_000.0).round() as u32;
    BaselineRule { hold: Duration::ZERO, budget, ..BaselineRule::default() }
}

fn tasks(random: &mut Random, weeks: std::ops::Range<i64>, a_week: usize, rows: &[[&str; 3]; 3]) -> Vec<Task> {
    weeks.flat_map(|week| (0..a_week).map(move |_| week)).map(|week| task(random, week, rows)).collect()
}

#[test]
fn no_detector_calls_more_tasks_unusual_than_the_budget_allows() {
    for alpha in [0.01, 0.02, 0.05] {
        let (mut realised, repeats) = ([0.0; 4], 12);
        for seed in 0..repeats {
            let mut random = Random(seed);
            let learned = tasks(&mut random, 0..10, 60, &USUAL);
            let unseen = tasks(&mut random, 10..15, 60, &USUAL);
            let baseline = drafted(&learned, &rule(alpha, 60.0));
            let asked = f64::from(baseline.alpha) / 10_000.0;
            assert!((asked - alpha).abs() < 0.003, "{asked} is not about {alpha}");
            for (sum, (_, rate)) in realised.iter_mut().zip(alarms(&baseline, &unseen)) {
                *sum += rate / repeats as f64;
            }
        }
        println!("nominal {alpha}: hour, rate, size, step realised {realised:.4?}");
        assert!(realised.iter().all(|rate| *rate <= alpha + 0.01), "{alpha}: {realised:?}");
    }
}

#[test]
fn an_agent_that_has_changed_is_as_usual_again_once_forty_of_its_tasks_are_learned() {
    let (alpha, repeats) = (0.05, 12);
    let (mut before, mut after) = ([0.0; 4], [0.0; 4]);
    for seed in 100..100 + repeats {
        let mut random = Random(seed);
        let learned = tasks(&mut random, 0..10, 60, &USUAL);
        let changed = tasks(&mut random, 10..15, 8, &SHIFTED);
        let unseen = tasks(&mut random, 15..20, 60, &SHIFTED);
        assert_eq!(changed.len(), 40);
        let old = drafted(&learned, &rule(alpha, 60.0));
        let new = drafted(&changed, &rule(alpha, 8.0));
        for (sum, (_, rate)) in before.iter_mut().zip(alarms(&old, &unseen)) {
            *sum += rate / repeats as f64;
        }
        for (sum, (_, rate)) in after.iter_mut().zip(alarms(&new, &unseen)) {
            *sum += rate / repeats as f64;
        }
    }
    println!("nominal {alpha}: hour, rate, size, step before {before:.4?}, after {after:.4?}");
    assert!(before[3] > 0.3, "an old baseline sees that actions come otherwise: {before:?}");
    assert!(after.iter().all(|rate| *rate <= alpha + 0.02), "{after:?}");
}

#[test]
fn before_enough_was_seen_a_detector_says_so_and_not_a_number() {
    let mut random = Random(7);
    let few = tasks(&mut random, 0..3, 10, &USUAL);
    let baseline = drafted(&few, &rule(0.01, 10.0));
    let mut facts = None;
    live(&few[0], |made| facts = Some(baseline.weigh(made, |_| true)));
    let facts = facts.unwrap();
    assert!(facts.ready && facts.chances.is_empty() && facts.unusual.is_empty(), "{facts:?}");
    assert_eq!(facts.insufficient.iter().map(AsRef::as_ref).collect::<Vec<_>>(), ["hour", "rate", "size", "step"]);
    let fewer = drafted(&few[..19], &rule(0.01, 10.0));
    live(&few[0], |made| facts_of_nothing(&fewer.weigh(made, |_| true)));
}

fn facts_of_nothing(facts: &countersign::model::BaselineFacts) {
    assert_eq!(*facts, countersign::model::BaselineFacts::default(), "nineteen tasks are not twenty");
}
