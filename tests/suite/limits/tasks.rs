//! Tasks: whose they are, when they are over, what they have counted and taken in.

use std::sync::Arc;

use countersign::memory::{ChainRule, MOST_OWN, OWN_A_SECOND, Slot};
use countersign::model::{Content, Ending, Grant, Label, OpenedBy, Task};

use super::{admit, call, memory, opened};
use crate::suite::common::nouns::{self, Bounded};

fn concurrent(max: u64) -> ChainRule {
    ChainRule { max_concurrent: Some(max), ..ChainRule::default() }
}

fn grant(resource: Option<&str>, max: Option<u32>) -> Grant {
    Grant { action: "github/issues.get".into(), resource: resource.map(str::to_owned), max }
}

fn labels(memory: &Bounded, task: &Arc<Task>) -> Vec<&'static str> {
    memory.reserve(&call(task, 0)).unwrap().0.labels.into_iter().map(Label::name).collect()
}

#[test]
fn a_place_among_the_calls_under_way_comes_back_with_its_slot() {
    let memory = memory(Vec::new(), concurrent(3));
    let task = opened(&memory, 1, |_| {});
    let mut slots: Vec<Slot> = (0..3).map(|_| admit(&memory, &call(&task, 0)).unwrap()).collect();
    for _ in 0..5 {
        let over = admit(&memory, &call(&task, 0)).unwrap_err();
        assert_eq!(over.limits.keys().collect::<Vec<_>>(), ["triage.chain.max_concurrent"]);
        assert_eq!((over.chain.concurrent, over.limits["triage.chain.max_concurrent"].limit), (3, 3));
        drop(slots.pop());
        slots.push(admit(&memory, &call(&task, 0)).unwrap());
    }
    drop(slots);
    assert_eq!(memory.reserve(&call(&task, 0)).unwrap().0.chain.concurrent, 0);
}

#[test]
fn only_the_same_bytes_to_the_same_action_are_repeats() {
    let memory = memory(Vec::new(), ChainRule { max_repeats: Some(1), ..ChainRule::default() });
    let task = opened(&memory, 1, |_| {});
    let first = || call(&task, 0);
    for repeats in 0..2 {
        assert_eq!(memory.reserve(&first()).unwrap().0.chain.repeats, repeats);
        drop(admit(&memory, &first()).unwrap());
    }
    assert_eq!(admit(&memory, &first()).unwrap_err().limits.keys().collect::<Vec<_>>(), ["triage.chain.max_repeats"]);
    let mut others = [first(), first(), first(), first()];
    others[0].content = Content::of(b"\0");
    others[1].target.push('?');
    others[2].method = http::Method::HEAD;
    Arc::make_mut(&mut others[3].action).name = "github/issues.list".into();
    for other in &others {
        let (facts, _) = memory.reserve(other).unwrap();
        assert_eq!((facts.chain.repeats, facts.limits.len()), (0, 0), "{other:?}");
    }
    // In another task, it is no repeat.
    let elsewhere = opened(&memory, 2, |_| {});
    assert_eq!(memory.reserve(&call(&elsewhere, 0)).unwrap().0.chain.repeats, 0);
}

#[test]
fn beyond_ten_thousand_different_calls_every_new_one_counts_as_a_repeat() {
    let memory = memory(Vec::new(), ChainRule::default());
    let task = opened(&memory, 1, |_| {});
    let number = |number: usize| {
        let mut call = call(&task, 0);
        call.target = format!("/{number}");
        call
    };
    for each in 0..10_000 {
        let call = number(each);
        let (facts, reservation) = memory.reserve(&call).unwrap();
        drop(reservation.spend(&call, facts, true));
    }
    assert_eq!(memory.reserve(&number(0)).unwrap().0.chain.repeats, 1);
    assert_eq!(memory.reserve(&number(10_000)).unwrap().0.chain.repeats, 10_000);
}

#[test]
fn a_grant_counts_what_is_made_and_nothing_else() {
    let memory = memory(Vec::new(), ChainRule::default());
    let task = opened(&memory, 1, |task| {
        task.grant = vec![grant(Some("octo/hello"), Some(2)), grant(Some("octo/other"), None)];
    });
    let declared = |resource: &str| {
        let mut call = call(&task, 0);
        Arc::make_mut(&mut call.action).resource = format!("github/{resource}");
        let (facts, reservation) = memory.reserve(&call).unwrap();
        (facts.task.declared, (call, facts, reservation))
    };
    let held = [declared("octo/hello"), declared("octo/hello"), declared("octo/hello")];
    assert_eq!(held.each_ref().map(|(declared, _)| *declared), [true, true, false]);
    drop(held);
    for _ in 0..2 {
        let (declared, (call, facts, reservation)) = declared("octo/hello");
        assert!(declared, "what was not made came back");
        drop(reservation.spend(&call, facts, true));
    }
    assert!(!declared("octo/hello").0, "what was made is used, though the call is over");
    assert!(declared("octo/other").0 && !declared("octo/third").0);
    // Two lines for the same thing add up.
    let task = opened(&memory, 2, |task| task.grant = vec![grant(None, Some(1)), grant(Some("octo/hello"), Some(1))]);
    let both: Vec<bool> = (0..3)
        .map(|_| {
            let call = call(&task, 0);
            let (facts, reservation) = memory.reserve(&call).unwrap();
            let declared = facts.task.declared;
            drop(reservation.spend(&call, facts, true));
            declared
        })
        .collect();
    assert_eq!(both, [true, true, false]);
}

#[test]
fn a_task_is_over_when_it_is_closed_or_expired() {
    let memory = memory(Vec::new(), ChainRule::default());
    let (closed, expiring) =
        (opened(&memory, 1, |_| {}), opened(&memory, 2, |task| task.expires_at = Some(nouns::at(1_000))));
    let caller = nouns::caller("triage", "token:x");
    let by_token = |task: &Arc<Task>, millis| memory.task(&caller, Some(nouns::token(task)), nouns::at(millis)).is_ok();
    assert!(by_token(&closed, 0) && by_token(&expiring, 999));
    assert!(memory.reserve(&call(&expiring, 999)).is_ok());
    assert!(!by_token(&expiring, 1_000) && memory.reserve(&call(&expiring, 1_000)).is_err());
    assert!(memory.find(expiring.id, nouns::at(1_000)).is_none());

    let (slot, held) = (admit(&memory, &call(&closed, 0)).unwrap(), memory.reserve(&call(&closed, 0)).unwrap());
    assert_eq!(*slot.over().borrow(), None);
    assert_eq!(memory.close(closed.id)[0].task.id, closed.id);
    assert_eq!(*slot.over().borrow(), Some(Ending::Revoked), "a call under way is told");
    assert_eq!(
        *held.1.spend(&call(&closed, 0), held.0, true).over().borrow(),
        Some(Ending::Revoked),
        "and one that was judged just before"
    );
    assert!(!by_token(&closed, 0) && memory.reserve(&call(&closed, 0)).is_err());
    assert!(memory.close(closed.id).is_empty());
}

#[test]
fn expired_tasks_cut_their_calls_once_another_is_opened() {
    let memory = memory(Vec::new(), ChainRule::default());
    let expiring = opened(&memory, 1, |task| task.expires_at = Some(nouns::at(1_000)));
    let slot = admit(&memory, &call(&expiring, 0)).unwrap();
    let next = nouns::task("triage", 2);
    memory.open(next.clone(), nouns::token(&next), nouns::at(1_000));
    assert_eq!(*slot.over().borrow(), Some(Ending::Revoked));
}

#[test]
fn a_token_is_worth_nothing_to_another_agent_and_an_unknown_one_nothing_at_all() {
    let memory = memory(Vec::new(), ChainRule::default());
    let task = opened(&memory, 1, |_| {});
    let (mine, theirs) = (nouns::caller("triage", "token:x"), nouns::caller("billing", "token:x"));
    assert_eq!(memory.task(&mine, Some(nouns::token(&task)), nouns::at(0)).unwrap().id, task.id);
    assert!(memory.task(&theirs, Some(nouns::token(&task)), nouns::at(0)).is_err());
    assert!(memory.task(&mine, Some(nouns::token(&nouns::task("triage", 9))), nouns::at(0)).is_err());
}

#[test]
fn labels_only_ever_narrow_and_stay_in_their_task() {
    let memory = memory(Vec::new(), ChainRule::default());
    let (task, other) = (opened(&memory, 1, |_| {}), opened(&memory, 2, |_| {}));
    let slot = admit(&memory, &call(&task, 0)).unwrap();
    slot.take_in(&[], nouns::at(0));
    slot.take_in(&[Label::Trusted], nouns::at(0));
    assert!(labels(&memory, &task).is_empty(), "an answer cannot vouch for itself");
    slot.take_in(&[Label::Untrusted, Label::Trusted], nouns::at(0));
    assert_eq!(labels(&memory, &task), ["untrusted"], "from the answer's head on, not from its end");
    assert!(memory.is_untrusted(task.id));
    slot.take_in(&[Label::Private], nouns::at(0));
    drop(slot);
    assert_eq!(labels(&memory, &task), ["private", "untrusted"]);
    assert!(labels(&memory, &other).is_empty() && !memory.is_untrusted(other.id));
}

#[test]
fn explicit_and_implicit_tasks_count_apart() {
    let memory = memory(Vec::new(), ChainRule { max_calls: Some(2), ..ChainRule::default() });
    let explicit = opened(&memory, 1, |task| task.grant = vec![grant(None, None)]);
    let implicit = |workload: &str| memory.task(&nouns::caller("triage", workload), None, nouns::at(0)).unwrap();
    let one = implicit("token:x");
    assert_eq!(one.id, implicit("token:y").id, "the same memory each time, whatever the agent is proven by");
    assert_ne!(one.id, explicit.id);
    assert_eq!((one.opened_by, one.grant.len(), one.expires_at), (OpenedBy::Nobody, 0, None));
    for task in [&one, &explicit] {
        for calls in 0..2 {
            let call = call(task, 0);
            let (facts, reservation) = memory.reserve(&call).unwrap();
            assert_eq!((facts.chain.calls, facts.limits.len()), (calls, 0));
            assert_eq!((facts.task.present, facts.task.declared), (task.id == explicit.id, task.id == explicit.id));
            drop(reservation.spend(&call, facts, true));
        }
        let over = memory.reserve(&call(task, 0)).unwrap().0;
        assert_eq!(over.limits.keys().collect::<Vec<_>>(), ["triage.chain.max_calls"]);
    }
    let theirs = memory.task(&nouns::caller("billing", "token:x"), None, nouns::at(0)).unwrap();
    assert_ne!(theirs.id, one.id);
}

#[test]
fn an_agent_opens_so_many_tasks_for_itself_and_a_framework_as_many_as_it_has_to() {
    let memory = memory(Vec::new(), ChainRule::default());
    let agent = |name: &str| nouns::caller(name, "x").agent;
    let begun = |second: i64| memory.may_open_own(&agent("triage"), nouns::at(second * 1_000));
    assert_eq!((0..30).filter(|_| begun(0)).count(), OWN_A_SECOND as usize, "in a second");
    assert!(begun(1) && memory.may_open_own(&agent("billing"), nouns::at(0)));
    let own = |number: u8, ends: i64| {
        opened(&memory, number, |task| {
            (task.opened_by, task.expires_at) = (OpenedBy::Agent, Some(nouns::at(ends)));
        })
    };
    let tasks: Vec<_> = (0..=255).map(|number| own(number, 60_000)).collect();
    assert_eq!(tasks.len(), MOST_OWN);
    assert!(!begun(2), "at a time");
    memory.close(tasks[7].id);
    assert!(begun(2));
    own(7, 60_000);
    assert!(!begun(3) && begun(60), "those that have expired are not counted");
    for _ in 0..300 {
        opened(&memory, 9, |_| {});
    }
    assert!(begun(61), "nor are a framework's");
}

#[test]
fn what_an_agent_took_in_goes_with_it_but_not_into_what_a_framework_opens_later() {
    let memory = memory(Vec::new(), ChainRule::default());
    let (before, implicit) =
        (opened(&memory, 1, |_| {}), memory.task(&nouns::caller("triage", "x"), None, nouns::at(0)).unwrap());
    admit(&memory, &call(&before, 0)).unwrap().take_in(&[Label::Untrusted], nouns::at(0));
    assert_eq!(labels(&memory, &implicit), ["untrusted"], "from a task to the agent");
    let own = opened(&memory, 2, |task| task.opened_by = OpenedBy::Agent);
    assert_eq!(labels(&memory, &own), ["untrusted"], "from the agent to what it opens for itself");
    let clean = opened(&memory, 3, |task| task.opened_at = nouns::at(5));
    assert!(labels(&memory, &clean).is_empty(), "but a framework's task starts clean");
    admit(&memory, &call(&implicit, 0)).unwrap().take_in(&[Label::Private], nouns::at(4));
    assert_eq!(labels(&memory, &implicit), ["private", "untrusted"]);
    assert_eq!(labels(&memory, &before), ["private", "untrusted"], "what was read outside may be for any that is open");
    assert!(labels(&memory, &clean).is_empty(), "and not for one that came later");
    admit(&memory, &call(&own, 4)).unwrap().take_in(&[Label::Private], nouns::at(6));
    assert_eq!(labels(&memory, &clean), ["private"], "what the agent opened for itself is as good as no task");
    let theirs = memory.task(&nouns::caller("billing", "x"), None, nouns::at(0)).unwrap();
    assert!(!memory.is_untrusted(theirs.id));
}
