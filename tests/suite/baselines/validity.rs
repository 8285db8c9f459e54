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
    let calls = (0..=random.heavy().min(40)).map(|_| {
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

const DETECTORS: [&str; 4] = ["hour", "rate", "size", "step"];

/// In how many of these tasks each detector raised an alarm.
fn alarms(baseline: &Baseline, tasks: &[Task]) -> [usize; 4] {
    DETECTORS.map(|detector| {
        let raised = tasks.iter().filter(|task| {
            let mut raised = false;
            live(task, |made| raised |= baseline.weigh(made, |_: Key| true).unusual.contains(detector));
            raised
        });
        raised.count()
    })
}

/// A rule under which something is unusual whose chance is below `alpha`, in ten-thousandths, at so many tasks a week.
fn rule(alpha: u32, a_week: u32) -> BaselineRule {
    BaselineRule { hold: Duration::ZERO, budget: alpha * 4 * a_week / 10, ..BaselineRule::default() }
}

/// Adds what each detector raised.
fn add(sums: &mut [usize; 4], raised: [usize; 4]) {
    for (sum, raised) in sums.iter_mut().zip(raised) {
        *sum += raised;
    }
}

/// In ten-thousandths of all tasks.
fn rates(raised: [usize; 4], tasks: usize) -> [usize; 4] {
    raised.map(|raised| raised * 10_000 / tasks)
}

fn tasks(random: &mut Random, weeks: std::ops::Range<i64>, a_week: usize, rows: &[[&str; 3]; 3]) -> Vec<Task> {
    weeks.flat_map(|week| (0..a_week).map(move |_| week)).map(|week| task(random, week, rows)).collect()
}

#[test]
fn no_detector_calls_more_tasks_unusual_than_the_budget_allows() {
    for alpha in [100, 200, 500] {
        let (mut raised, mut played) = ([0; 4], 0);
        for seed in 0..12 {
            let mut random = Random(seed);
            let learned = tasks(&mut random, 0..10, 60, &USUAL);
            let unseen = tasks(&mut random, 10..15, 60, &USUAL);
            let baseline = drafted(&learned, &rule(alpha, 60));
            // The last week is not whole.
            assert!(baseline.alpha.abs_diff(alpha) <= alpha / 10, "{} is not about {alpha}", baseline.alpha);
            add(&mut raised, alarms(&baseline, &unseen));
            played += unseen.len();
        }
        let realised = rates(raised, played);
        println!("asked for {alpha}, realised in ten-thousandths: {DETECTORS:?} {realised:?}");
        assert!(realised.iter().all(|rate| *rate <= usize::try_from(alpha).unwrap() + 100), "{alpha}: {realised:?}");
        // Where few scores can be told apart, an alarm at this rate would be too many: none is raised. Bodies have many sizes.
        assert!(realised[2] > 0, "a detector that never raises an alarm is none: {realised:?}");
    }
}

#[test]
fn an_agent_that_has_changed_is_as_usual_again_once_forty_of_its_tasks_are_learned() {
    let (mut before, mut after, mut played) = ([0; 4], [0; 4], 0);
    for seed in 100..112 {
        let mut random = Random(seed);
        let learned = tasks(&mut random, 0..10, 60, &USUAL);
        let changed = tasks(&mut random, 10..15, 8, &SHIFTED);
        let unseen = tasks(&mut random, 15..20, 60, &SHIFTED);
        assert_eq!(changed.len(), 40);
        add(&mut before, alarms(&drafted(&learned, &rule(500, 60)), &unseen));
        add(&mut after, alarms(&drafted(&changed, &rule(500, 8)), &unseen));
        played += unseen.len();
    }
    let (before, after) = (rates(before, played), rates(after, played));
    println!("asked for 500, realised before {before:?} and after {after:?}");
    assert!(before[3] > 3_000, "an old baseline sees that actions come otherwise: {before:?}");
    assert!(after.iter().all(|rate| *rate <= 700), "{after:?}");
}

#[test]
fn before_enough_was_seen_a_detector_says_so_and_not_a_number() {
    let mut random = Random(7);
    let few = tasks(&mut random, 0..3, 10, &USUAL);
    let baseline = drafted(&few, &rule(100, 10));
    let mut facts = None;
    live(&few[0], |made| facts = Some(baseline.weigh(made, |_| true)));
    let facts = facts.unwrap();
    assert!(facts.ready && facts.chances.is_empty() && facts.unusual.is_empty(), "{facts:?}");
    assert_eq!(facts.insufficient.iter().map(AsRef::as_ref).collect::<Vec<_>>(), ["hour", "rate", "size", "step"]);
    let fewer = drafted(&few[..19], &rule(100, 10));
    live(&few[0], |made| facts_of_nothing(&fewer.weigh(made, |_| true)));
}

fn facts_of_nothing(facts: &countersign::model::BaselineFacts) {
    assert_eq!(*facts, countersign::model::BaselineFacts::default(), "nineteen tasks are not twenty");
}
