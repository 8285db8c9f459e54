//! What is remembered between calls: limits, chains, grants and tasks, one after the other and all at once.

mod children;
mod heard;
mod tasks;
mod windows;

use std::collections::BTreeMap;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use countersign::memory::{ChainRule, LimitRule, Memory, Per, Slot};
use countersign::model::{Call, Facts, Grant, Task};

use crate::suite::common::nouns::{self, Bounded};

const THREADS: usize = 8;
const CALLS: i64 = 1_000;

/// A limit of `triage`.
fn limit(place: usize, per: Per, requests: u64, window_ms: u64) -> LimitRule {
    LimitRule {
        name: format!("triage.limits.{place}"),
        agent: nouns::agent("triage"),
        per,
        requests,
        window: Duration::from_millis(window_ms),
    }
}

fn memory(limits: Vec<LimitRule>, chain: ChainRule) -> Bounded {
    Bounded::new(limits, BTreeMap::from([(nouns::agent("triage"), chain)]))
}

/// A task of `triage` that memory knows.
fn opened(memory: &Memory, number: u8, change: impl FnOnce(&mut Task)) -> Arc<Task> {
    let mut task = nouns::task("triage", number);
    change(&mut task);
    memory.open(task.clone(), nouns::token(&task), nouns::at(0));
    Arc::new(task)
}

fn call(task: &Arc<Task>, millis: i64) -> Call {
    let mut call = nouns::call(&nouns::caller("triage", "token:x"), task, "github/issues.get", "octo/hello");
    call.received_at = nouns::at(millis);
    call
}

/// Makes a call if nothing is reached, and otherwise gives back what it took.
fn admit(memory: &Bounded, call: &Call) -> Result<Slot, Box<Facts>> {
    let (facts, reservation) = memory.reserve(call).unwrap();
    if facts.limits.is_empty() { Ok(reservation.spend(call, facts, true)) } else { Err(Box::new(facts)) }
}

/// A thousand calls from eight threads at once; how many of them `make` made, and whatever they keep is kept until all
/// are done.
fn made_at_once<T: Send>(make: impl Fn(i64) -> Option<T> + Sync) -> usize {
    let (start, kept) = (Barrier::new(THREADS), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for first in (0..CALLS).take(THREADS) {
            let (make, start, kept) = (&make, &start, &kept);
            scope.spawn(move || {
                start.wait();
                for number in (first..CALLS).step_by(THREADS) {
                    if let Some(thing) = make(number) {
                        kept.lock().unwrap().push(thing);
                    }
                }
            });
        }
    });
    kept.into_inner().unwrap().len()
}

#[test]
fn of_a_thousand_calls_at_once_a_limit_of_ten_admits_ten() {
    for round in 0..50 {
        let memory = memory(vec![limit(0, Per::Agent, 10, 60_000)], ChainRule::default());
        let task = opened(&memory, 1, |_| {});
        // Each at a time of its own, within the window, and not in order.
        let made = made_at_once(|number| admit(&memory, &call(&task, (number * 37) % CALLS)).ok());
        assert_eq!(made, 10, "round {round}");
    }
}

#[test]
fn of_a_thousand_calls_at_once_a_chain_of_ten_admits_ten() {
    let rules = [
        ChainRule { max_calls: Some(10), ..ChainRule::default() },
        // The same bytes ten times: once, and nine repeats.
        ChainRule { max_repeats: Some(9), ..ChainRule::default() },
        ChainRule { max_concurrent: Some(10), ..ChainRule::default() },
    ];
    for rule in rules {
        for round in 0..30 {
            let memory = memory(Vec::new(), rule);
            let task = opened(&memory, 1, |_| {});
            let made = made_at_once(|_| admit(&memory, &call(&task, 0)).ok());
            assert_eq!(made, 10, "{rule:?}, round {round}");
        }
    }
}

#[test]
fn of_a_thousand_calls_at_once_a_grant_of_ten_declares_ten() {
    for round in 0..30 {
        let memory = memory(Vec::new(), ChainRule::default());
        let task = opened(&memory, 1, |task| {
            task.grant = vec![Grant { action: "github/issues.get".into(), resource: None, max: Some(10) }];
        });
        let made = made_at_once(|_| {
            let call = call(&task, 0);
            let (facts, reservation) = memory.reserve(&call).unwrap();
            facts.task.declared.then(|| reservation.spend(&call, facts, true))
        });
        assert_eq!(made, 10, "round {round}");
    }
}

#[test]
fn whatever_is_dropped_at_once_is_all_given_back() {
    let chain =
        ChainRule { max_calls: Some(10), max_repeats: Some(9), max_concurrent: Some(10), ..ChainRule::default() };
    for round in 0..30 {
        let memory = memory(vec![limit(0, Per::Agent, 10, 60_000), limit(1, Per::Task, 10, 60_000)], chain);
        let grant = Grant { action: "github/issues.get".into(), resource: None, max: Some(10) };
        let task = opened(&memory, 1, |task| task.grant = vec![grant]);
        // Judged and refused for another reason, a thousand times.
        made_at_once::<()>(|number| {
            drop(memory.reserve(&call(&task, number)).unwrap());
            None
        });
        for number in 0..10 {
            let call = call(&task, number);
            let (facts, reservation) = memory.reserve(&call).unwrap();
            assert!(facts.limits.is_empty() && facts.task.declared, "round {round}, call {number}: {facts:?}");
            assert_eq!((facts.chain.calls, facts.chain.repeats), (number, number), "round {round}");
            drop(reservation.spend(&call, facts, true));
        }
        let over = admit(&memory, &call(&task, 10)).unwrap_err();
        assert_eq!(
            over.limits.keys().collect::<Vec<_>>(),
            ["triage.chain.max_calls", "triage.chain.max_repeats", "triage.limits.0", "triage.limits.1"]
        );
        assert!(!over.task.declared);
    }
}

#[test]
fn ten_refused_ones_leave_room_for_ten() {
    let memory = memory(vec![limit(0, Per::Agent, 10, 60_000)], ChainRule::default());
    let task = opened(&memory, 1, |_| {});
    let held: Vec<_> = (0..10).map(|millis| memory.reserve(&call(&task, millis)).unwrap()).collect();
    assert!(held.iter().all(|(facts, _)| facts.limits.is_empty()));
    assert!(admit(&memory, &call(&task, 10)).is_err(), "held is held");
    drop(held);
    let slots: Vec<Slot> = (11..21).map(|millis| admit(&memory, &call(&task, millis)).unwrap()).collect();
    drop(slots);
    assert!(admit(&memory, &call(&task, 21)).is_err(), "a call that was made is not given back when it is over");
}
