//! Refusals that repeat: the first of each second are written one by one, the rest are counted, and none is left out.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::super::{Event, Record, Refused, Repeated};
use crate::model::{CallId, Timestamp};

/// How long refusals are counted before the count is written.
const WINDOW: Duration = Duration::from_secs(1);

/// Kinds that are counted apart. What they are told apart by comes from the configuration, so there are seldom more; those
/// beyond it are told apart by their code alone.
const KINDS: usize = 4_096;

/// The counts.
#[derive(Debug, Default)]
pub struct Repeats {
    runs: BTreeMap<Alike, Run>,
    due: Option<Instant>,
}

/// What refusals that are counted together have in common: nothing of it was chosen by an agent.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
struct Alike {
    code: String,
    decision: String,
    rules: Vec<String>,
    agent: Option<String>,
    action: Option<String>,
}

#[derive(Debug)]
struct Run {
    began: Timestamp,
    whole: usize,
    counted: Option<Counted>,
}

#[derive(Debug)]
struct Counted {
    count: u64,
    since: Timestamp,
    until: Timestamp,
    first: Option<CallId>,
    last: Option<CallId>,
}

/// What becomes of a refusal.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It is written by itself.
    Whole,
    /// It is counted.
    Counted {
        /// It is the first that waits to be written, so somebody has to look after it.
        first: bool,
    },
}

impl Repeats {
    /// Decides about a refusal. At most `whole` of a kind are written one by one in a second.
    pub fn take(&mut self, refused: &Refused, record: &Record, whole: usize) -> Fate {
        let mut alike = Alike {
            code: refused.code.clone(),
            decision: refused.decision.clone(),
            rules: refused.rules.clone(),
            agent: refused.agent.clone(),
            action: refused.action.clone(),
        };
        if self.runs.len() >= KINDS && !self.runs.contains_key(&alike) {
            alike = Alike { code: alike.code, decision: alike.decision, ..Alike::default() };
        }
        let at = record.at;
        let run = self.runs.entry(alike).or_insert(Run { began: at, whole: 0, counted: None });
        if run.counted.is_none() && is_over(run.began, at) {
            *run = Run { began: at, whole: 0, counted: None };
        }
        if run.counted.is_none() && run.whole < whole {
            run.whole += 1;
            return Fate::Whole;
        }
        let counted =
            run.counted.get_or_insert(Counted { count: 0, since: at, until: at, first: record.call, last: None });
        counted.count += 1;
        counted.until = counted.until.max(at);
        counted.last = record.call;
        let first = self.due.is_none();
        self.due.get_or_insert_with(|| Instant::now() + WINDOW);
        Fate::Counted { first }
    }

    /// When counts are to be written, if there are any.
    pub const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The counts, as the records they become; and forgets kinds that have not come for a while.
    pub fn collect(&mut self, now: Timestamp) -> Vec<Record> {
        self.due = None;
        let mut records = Vec::new();
        self.runs.retain(|alike, run| {
            let Some(counted) = run.counted.take() else { return !is_over(run.began, now) };
            records.push(alike.counted(counted));
            // It goes on being counted: a kind that repeats has nothing new to tell one by one.
            run.began = now;
            true
        });
        records
    }
}

impl Alike {
    fn counted(&self, counted: Counted) -> Record {
        let Self { code, decision, rules, agent, action } = self.clone();
        let Counted { count, since, until, first, last } = counted;
        let event = Event::Repeated(Repeated { code, decision, rules, agent, action, count, since, first, last });
        Record { at: until, call: None, task: None, event, private: BTreeMap::new() }
    }
}

/// Whether a window that began then is over now. A clock that was set back ends it, too.
fn is_over(began: Timestamp, now: Timestamp) -> bool {
    now < began || now.since(began) >= WINDOW
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(repeats: &mut Repeats, ms: i64, rule: &str) -> Fate {
        let refused = Refused { code: "denied".into(), rules: vec![rule.into()], ..Refused::default() };
        let event = Event::Refused(Box::new(refused.clone()));
        let at = Timestamp::from_millis(ms);
        let call = Some(CallId::new(at, [0; 10]));
        repeats.take(&refused, &Record { at, call, task: None, event, private: BTreeMap::new() }, 2)
    }

    fn counts(records: &[Record]) -> Vec<u64> {
        let count = |record: &Record| match &record.event {
            Event::Repeated(repeated) => repeated.count,
            other => panic!("{other:?}"),
        };
        records.iter().map(count).collect()
    }

    #[test]
    fn the_first_ones_are_whole_and_the_rest_is_counted() {
        let mut repeats = Repeats::default();
        let fates: Vec<Fate> = (0..6).map(|ms| take(&mut repeats, ms, "a")).collect();
        assert_eq!(fates[..3], [Fate::Whole, Fate::Whole, Fate::Counted { first: true }]);
        assert_eq!(fates[3], Fate::Counted { first: false });
        assert_eq!(take(&mut repeats, 7, "b"), Fate::Whole, "another rule is another kind");
        let records = repeats.collect(Timestamp::from_millis(1_500));
        assert_eq!(counts(&records), [4]);
        assert_eq!(records[0].at, Timestamp::from_millis(5));
        assert!(repeats.due().is_none());
    }

    #[test]
    fn after_a_quiet_second_they_are_whole_again() {
        let mut repeats = Repeats::default();
        for ms in 0..3 {
            take(&mut repeats, ms, "a");
        }
        assert_eq!(counts(&repeats.collect(Timestamp::from_millis(900))), [1]);
        assert_eq!(take(&mut repeats, 1_000, "a"), Fate::Counted { first: true }, "it did not stop");
        assert_eq!(counts(&repeats.collect(Timestamp::from_millis(1_900))), [1]);
        assert!(repeats.collect(Timestamp::from_millis(2_950)).is_empty());
        assert_eq!(take(&mut repeats, 3_000, "a"), Fate::Whole);
    }

    #[test]
    fn a_kind_too_many_is_counted_by_its_code() {
        let mut repeats = Repeats::default();
        for n in 0..KINDS + 10 {
            assert_eq!(take(&mut repeats, 0, &n.to_string()) == Fate::Whole, n < KINDS + 2, "{n}");
        }
        assert_eq!(counts(&repeats.collect(Timestamp::from_millis(0))), [8]);
    }
}
