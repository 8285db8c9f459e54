//! Windows: where they end, to the millisecond, and what is counted apart.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use countersign::memory::{ChainRule, Per};
use countersign::model::{Call, Task};
use proptest::prelude::*;

use super::{admit, call, limit, memory, opened};
use crate::suite::common::nouns::{self, Bounded};

#[test]
fn a_window_slides_to_the_millisecond() {
    let memory = memory(vec![limit(0, Per::Agent, 3, 1_000)], ChainRule::default());
    let task = opened(&memory, 1, |_| {});
    let steps = [
        (0, None),
        (100, None),
        (200, None),
        (201, Some(799)),
        (999, Some(1)),
        (1_000, None),
        (1_000, Some(100)),
        (1_099, Some(1)),
        (1_100, None),
        (1_199, Some(1)),
        (1_200, None),
        (1_200, Some(800)),
        (10_000, None),
        (10_000, None),
        (10_000, None),
        (10_000, Some(1_000)),
    ];
    for (millis, wait) in steps {
        let told = admit(&memory, &call(&task, millis)).err().map(|facts| facts.limits["triage.limits.0"].clone());
        assert_eq!(told.as_ref().map(|exceeded| exceeded.retry_after_ms), wait.map(Some), "at {millis}");
        assert!(told.is_none_or(|exceeded| exceeded.limit == 3));
    }
}

#[test]
fn the_wait_that_is_told_is_enough_and_no_longer_than_needed() {
    let memory = memory(vec![limit(0, Per::Agent, 2, 700)], ChainRule::default());
    let task = opened(&memory, 1, |_| {});
    for millis in [0, 300] {
        admit(&memory, &call(&task, millis)).unwrap();
    }
    let facts = admit(&memory, &call(&task, 450)).unwrap_err();
    let wait = i64::try_from(facts.limits["triage.limits.0"].retry_after_ms.unwrap()).unwrap();
    assert!(admit(&memory, &call(&task, 450 + wait - 1)).is_err());
    assert!(admit(&memory, &call(&task, 450 + wait)).is_ok());
}

/// Makes another call of a call; there is another task for it.
type Change = fn(&mut Call, &Arc<Task>);

#[test]
fn what_is_counted_apart_is_apart() {
    // (what is counted apart, which of the changed calls still fit once the first kind is used up)
    let changed: [(&str, Change); 5] = [
        ("the same", |_, _| {}),
        ("task", |call, other| call.task = other.clone()),
        ("tool", |call, _| {
            let action = Arc::make_mut(&mut call.action);
            (action.tool, action.name) = ("chat".into(), "chat/post".into());
        }),
        ("action", |call, _| Arc::make_mut(&mut call.action).name = "github/issues.list".into()),
        ("workload", |call, _| call.caller = nouns::caller("triage", "token:y")),
    ];
    for (per, fit) in [
        (Per::Agent, vec![]),
        (Per::Task, vec!["task"]),
        (Per::Tool, vec!["tool"]),
        (Per::Action, vec!["tool", "action"]),
        (Per::Workload, vec!["workload"]),
    ] {
        let memory = memory(vec![limit(0, per, 1, 60_000)], ChainRule::default());
        let (task, other) = (opened(&memory, 1, |_| {}), opened(&memory, 2, |_| {}));
        admit(&memory, &call(&task, 0)).unwrap();
        let fits = |change: Change| {
            let mut call = call(&task, 1);
            change(&mut call, &other);
            memory.reserve(&call).unwrap().0.limits.is_empty()
        };
        let fitting: Vec<&str> = changed.iter().filter(|(_, change)| fits(*change)).map(|(name, _)| *name).collect();
        assert_eq!(fitting, fit, "{per:?}");
    }
}

#[test]
fn another_agents_calls_forget_no_window_that_still_holds_something() {
    let mut theirs = limit(1, Per::Agent, 9, 60_000);
    theirs.agent = nouns::agent("billing");
    let memory = Bounded::new(vec![limit(0, Per::Agent, 2, 1_000), theirs], BTreeMap::new());
    let task = opened(&memory, 1, |_| {});
    let mine = Arc::new(nouns::task("billing", 2));
    memory.open((*mine).clone(), nouns::token(&mine), nouns::at(0));
    for millis in [0, 999] {
        admit(&memory, &call(&task, millis)).unwrap();
    }
    // The window is due to be looked at again, and it is the other agent's call that looks.
    let mut other = nouns::call(&nouns::caller("billing", "token:x"), &mine, "github/issues.get", "octo/hello");
    other.received_at = nouns::at(1_001);
    admit(&memory, &other).unwrap();
    admit(&memory, &call(&task, 1_002)).unwrap();
    assert!(admit(&memory, &call(&task, 1_003)).is_err(), "three calls within a second");
}

#[test]
fn another_agent_has_limits_of_its_own() {
    let mut theirs = limit(0, Per::Agent, 1, 60_000);
    (theirs.agent, theirs.name) = (nouns::agent("billing"), "billing.limits.0".to_owned());
    let memory = Bounded::new(vec![limit(0, Per::Agent, 1, 60_000), theirs], BTreeMap::new());
    let task = opened(&memory, 1, |_| {});
    let mine = Arc::new(nouns::task("billing", 2));
    memory.open((*mine).clone(), nouns::token(&mine), nouns::at(0));
    let other = nouns::call(&nouns::caller("billing", "token:x"), &mine, "github/issues.get", "octo/hello");
    admit(&memory, &call(&task, 0)).unwrap();
    admit(&memory, &other).unwrap();
    assert_eq!(admit(&memory, &call(&task, 0)).unwrap_err().limits.keys().collect::<Vec<_>>(), ["triage.limits.0"]);
    assert_eq!(admit(&memory, &other).unwrap_err().limits.keys().collect::<Vec<_>>(), ["billing.limits.0"]);
}

#[test]
fn a_call_that_one_limit_refuses_uses_nothing_of_the_others() {
    let memory = memory(vec![limit(0, Per::Action, 1, 1_000), limit(1, Per::Agent, 3, 60_000)], ChainRule::default());
    let task = opened(&memory, 1, |_| {});
    admit(&memory, &call(&task, 0)).unwrap();
    for millis in 1..1_000 {
        assert_eq!(
            admit(&memory, &call(&task, millis)).unwrap_err().limits.keys().collect::<Vec<_>>(),
            ["triage.limits.0"]
        );
    }
    admit(&memory, &call(&task, 1_000)).unwrap();
    admit(&memory, &call(&task, 2_000)).unwrap();
    assert_eq!(admit(&memory, &call(&task, 3_000)).unwrap_err().limits.keys().collect::<Vec<_>>(), ["triage.limits.1"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_window_wherever_it_is_laid_holds_more_than_the_limit(
        gaps in prop::collection::vec((0_i64..400, any::<bool>()), 1..80), requests in 1_u64..6, window in 1_i64..1_000,
    ) {
        let memory = memory(vec![limit(0, Per::Task, requests, window.unsigned_abs())], ChainRule::default());
        let task = opened(&memory, 1, |_| {});
        let (mut now, mut made) = (0, VecDeque::new());
        for (gap, permitted) in gaps {
            now += gap;
            made.retain(|at| at + window > now);
            let call = call(&task, now);
            let (facts, reservation) = memory.reserve(&call).unwrap();
            // Neither more than fit, nor fewer.
            prop_assert_eq!(facts.limits.is_empty(), (made.len() as u64) < requests, "at {} after {:?}", now, made);
            if permitted && facts.limits.is_empty() {
                drop(reservation.spend(&call, facts, true));
                made.push_back(now);
            }
        }
    }
}
