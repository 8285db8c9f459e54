//! Tasks that came out of tasks: never wider, counted in their parents, over with them.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign::memory::{ChainRule, Memory, NotGranted, Per, Slot};
use countersign::model::{AgentName, Call, Ending, Grant, Label, OpenedBy, Task, TaskId};
use proptest::prelude::*;

use super::{admit, call, limit, memory, opened};
use crate::suite::common::nouns;

fn grant(max: Option<u32>) -> Grant {
    Grant { action: "github/issues.get".into(), resource: None, max }
}

/// A child of this task, if its parent can give what it asks.
fn child(memory: &Memory, parent: &Arc<Task>, number: u8, grants: Vec<Grant>) -> Result<Arc<Task>, NotGranted> {
    let loan = memory.lend(parent.id, &grants, nouns::at(0))?;
    let mut task = nouns::task("triage", number);
    (task.parent, task.depth, task.grant) = (Some(parent.id), parent.depth + 1, grants);
    memory.open_child(task.clone(), nouns::token(&task), loan, nouns::at(0))?;
    Ok(Arc::new(task))
}

/// Makes a call that the task's grant covers, if it does.
fn declared(memory: &super::Bounded, task: &Arc<Task>) -> Option<Slot> {
    let call = call(task, 0);
    let (facts, reservation) = memory.reserve(&call).ok()?;
    facts.task.declared.then(|| reservation.spend(&call, facts, true))
}

#[test]
fn children_together_do_no_more_than_their_parent_was_granted_and_what_they_leave_goes_back() {
    let memory = memory(Vec::new(), ChainRule::default());
    let parent = opened(&memory, 1, |task| task.grant = vec![grant(Some(5))]);
    let first = child(&memory, &parent, 2, vec![grant(Some(3))]).unwrap();
    assert!(matches!(child(&memory, &parent, 3, vec![grant(Some(3))]), Err(NotGranted::Wider(_))), "2 are left");
    assert!(
        matches!(child(&memory, &parent, 3, vec![grant(None)]), Err(NotGranted::Wider(_))),
        "it has to say how many"
    );
    let other = Grant { action: "github/issues.list".into(), ..grant(Some(1)) };
    assert!(matches!(child(&memory, &parent, 3, vec![grant(Some(1)), other]), Err(NotGranted::Wider(_))));
    let second = child(&memory, &parent, 3, vec![grant(Some(2))]).unwrap();
    assert!(declared(&memory, &parent).is_none(), "all is lent, and what was refused took nothing");
    assert!(declared(&memory, &first).is_some());
    memory.close(first.id);
    let left = (0..9).filter(|_| declared(&memory, &parent).is_some()).count();
    assert_eq!(left, 2, "of three, one was used");
    assert_eq!((0..9).filter(|_| declared(&memory, &second).is_some()).count(), 2);
}

#[test]
fn a_claim_that_outlives_its_task_goes_back_to_the_parent() {
    let memory = memory(Vec::new(), ChainRule::default());
    let parent = opened(&memory, 1, |task| task.grant = vec![grant(Some(2))]);
    let first = child(&memory, &parent, 2, vec![grant(Some(2))]).unwrap();
    let held = memory.reserve(&call(&first, 0)).unwrap();
    memory.close(first.id);
    drop(held);
    assert_eq!((0..9).filter(|_| declared(&memory, &parent).is_some()).count(), 2);
}

#[test]
fn ending_a_task_ends_all_that_came_out_of_it() {
    let memory = memory(Vec::new(), ChainRule::default());
    let parent = opened(&memory, 1, |task| task.grant = vec![grant(None)]);
    let one = child(&memory, &parent, 2, vec![grant(None)]).unwrap();
    let two = child(&memory, &one, 3, Vec::new()).unwrap();
    let beside = opened(&memory, 4, |_| {});
    let slot = admit(&memory, &call(&two, 0)).unwrap();
    let ended: Vec<TaskId> = memory.close(parent.id).iter().map(|closed| closed.task.id).collect();
    assert_eq!(ended, [parent.id, one.id, two.id]);
    assert_eq!(*slot.over().borrow(), Some(Ending::Revoked));
    assert!(memory.reserve(&call(&two, 0)).is_err() && memory.find(two.id, nouns::at(0)).is_none());
    assert!(memory.reserve(&call(&beside, 0)).is_ok());
    assert!(matches!(child(&memory, &parent, 5, Vec::new()), Err(NotGranted::Over(_))));
}

#[test]
fn what_is_done_in_a_child_is_done_in_its_parents() {
    let chain = ChainRule { max_calls: Some(3), max_concurrent: Some(2), ..ChainRule::default() };
    let memory = memory(vec![limit(0, Per::Task, 2, 60_000)], chain);
    let parent = opened(&memory, 1, |_| {});
    let [one, two] = [2, 3].map(|number| child(&memory, &parent, number, Vec::new()).unwrap());
    let slots = [admit(&memory, &call(&one, 0)).unwrap(), admit(&memory, &call(&two, 0)).unwrap()];
    let over = admit(&memory, &call(&one, 0)).unwrap_err();
    assert_eq!(over.limits.keys().collect::<Vec<_>>(), ["triage.chain.max_concurrent", "triage.limits.0"]);
    assert_eq!((over.chain.calls, over.chain.concurrent), (1, 1), "the facts are the child's own");
    slots[0].take_in(&[Label::Untrusted], nouns::at(0));
    assert!([&parent, &one, &two].iter().all(|task| memory.is_untrusted(task.id)), "they talk to each other");
    drop(slots);
    drop(admit(&memory, &call(&two, 70_000)).unwrap());
    let over = admit(&memory, &call(&parent, 140_000)).unwrap_err();
    assert_eq!(over.limits.keys().collect::<Vec<_>>(), ["triage.chain.max_calls"]);
    assert_eq!(over.chain.calls, 3);
}

#[test]
fn a_slot_that_is_dropped_leaves_no_parent_behind() {
    let memory = memory(Vec::new(), ChainRule { max_concurrent: Some(1), ..ChainRule::default() });
    let parent = opened(&memory, 1, |_| {});
    let below = child(&memory, &parent, 2, Vec::new()).unwrap();
    for _ in 0..100 {
        let slot = admit(&memory, &call(&below, 0)).unwrap();
        drop(memory.reserve(&call(&below, 0)).unwrap());
        drop(slot);
    }
    assert_eq!(memory.reserve(&call(&parent, 0)).unwrap().0.chain.concurrent, 0);
}

#[test]
fn what_an_agent_opens_in_a_clean_task_holds_what_the_agent_holds() {
    let memory = memory(Vec::new(), ChainRule::default());
    let parent = opened(&memory, 1, |task| task.opened_at = nouns::at(1));
    let implicit = memory.task(&nouns::caller("triage", "x"), None, nouns::at(0)).unwrap();
    admit(&memory, &call(&implicit, 0)).unwrap().take_in(&[Label::Untrusted], nouns::at(0));
    let loan = memory.lend(parent.id, &[], nouns::at(0)).unwrap();
    let mut own = nouns::task("triage", 2);
    (own.parent, own.opened_by) = (Some(parent.id), OpenedBy::Agent);
    memory.open_child(own.clone(), nouns::token(&own), loan, nouns::at(0)).unwrap();
    assert!(memory.is_untrusted(own.id) && !memory.is_untrusted(parent.id));
}

/// One step of a random life.
#[derive(Clone, Debug)]
enum Step {
    Open { parent: usize, max: Option<u32>, resource: bool },
    Call { task: usize, keep: bool },
    Amend { task: usize, max: Option<u32> },
    End { task: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let max = || prop_oneof![3 => (0_u32..4).prop_map(Some), 1 => Just(None)];
    let step = prop_oneof![
        3 => (any::<prop::sample::Index>(), max(), any::<bool>())
            .prop_map(|(parent, max, resource)| Step::Open { parent: parent.index(8), max, resource }),
        6 => (any::<prop::sample::Index>(), any::<bool>())
            .prop_map(|(task, keep)| Step::Call { task: task.index(8), keep }),
        1 => (any::<prop::sample::Index>(), max()).prop_map(|(task, max)| Step::Amend { task: task.index(8), max }),
        1 => any::<prop::sample::Index>().prop_map(|task| Step::End { task: task.index(8) }),
    ];
    prop::collection::vec(step, 1..60)
}

/// What was opened, and what was done in it itself.
struct Opened {
    task: Arc<Task>,
    parent: Option<usize>,
    granted: Vec<Grant>,
    done: Vec<Call>,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// A random tree of openings, calls, amendments and endings: whatever was done under a task as declared fits into what
    /// each task above it was granted.
    #[test]
    fn no_subtree_does_more_than_an_ancestor_was_granted(steps in steps(), most in 1_u32..6) {
        let memory = memory(Vec::new(), ChainRule::default());
        let root = opened(&memory, 0, |task| task.grant = vec![grant(Some(most))]);
        let granted = root.grant.clone();
        let mut tree = vec![Opened { task: root, parent: None, granted, done: Vec::new() }];
        let mut slots = Vec::new();
        for step in steps {
            match step {
                Step::Open { parent, max, resource } => {
                    let parent = parent % tree.len();
                    let line = Grant { resource: resource.then(|| "octo/hello".to_owned()), ..grant(max) };
                    let number = u8::try_from(tree.len()).unwrap();
                    if let Ok(task) = child(&memory, &tree[parent].task, number, vec![line.clone()]) {
                        tree.push(Opened { task, parent: Some(parent), granted: vec![line], done: Vec::new() });
                    }
                }
                Step::Call { task, keep } => {
                    let index = task % tree.len();
                    let call = call(&tree[index].task, 0);
                    let Ok((facts, reservation)) = memory.reserve(&call) else { continue };
                    if facts.task.declared && keep {
                        slots.push(reservation.spend(&call, facts, true));
                        tree[index].done.push(call);
                    }
                }
                Step::Amend { task, max } => {
                    let index = task % tree.len();
                    // The root is amended by who opened it: that is no widening of a child.
                    if index == 0 {
                        continue;
                    }
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    let Ok(turn) = runtime.block_on(memory.turn(tree[index].task.id)) else { continue };
                    if let Ok(proposed) = turn.propose(&[grant(max)], &[], 256, nouns::at(0)) {
                        proposed.hold();
                        tree[index].granted.push(grant(max));
                    }
                }
                Step::End { task } => drop(memory.close(tree[task % tree.len()].task.id)),
            }
            for (above, opened) in tree.iter().enumerate() {
                let counted = opened.granted.iter().map(|line| line.max).sum::<Option<u32>>();
                let line = |index: usize| std::iter::successors(Some(index), |index| tree[*index].parent);
                let under = |index: usize| line(index).any(|index| index == above);
                let done: usize = (0..tree.len()).filter(|index| under(*index)).map(|index| tree[index].done.len()).sum();
                prop_assert!(counted.is_none_or(|counted| done <= counted as usize), "{done} of {counted:?} under {above}");
            }
        }
        prop_assert!(tree.iter().map(|opened| opened.done.len()).sum::<usize>() <= most as usize);
    }
}

#[test]
fn a_depth_and_a_sum_of_privilege_are_bounds_like_the_others() {
    let chain = ChainRule { max_depth: Some(1), max_privilege_seconds: Some(5), ..ChainRule::default() };
    let memory = super::Bounded::new(Vec::new(), BTreeMap::from([(AgentName("triage".into()), chain)]));
    let parent = opened(&memory, 1, |_| {});
    let one = child(&memory, &parent, 2, Vec::new()).unwrap();
    let two = child(&memory, &one, 3, Vec::new()).unwrap();
    let over = admit(&memory, &call(&two, 0)).unwrap_err();
    assert_eq!(over.limits.keys().collect::<Vec<_>>(), ["triage.chain.max_depth"]);
    for seconds in [2, 3] {
        let slot = admit(&memory, &call(&one, 0)).unwrap();
        slot.privilege().add(std::time::Duration::from_secs(seconds));
    }
    for task in [&one, &parent] {
        let over = admit(&memory, &call(task, 0)).unwrap_err();
        assert_eq!(over.limits.keys().collect::<Vec<_>>(), ["triage.chain.max_privilege_seconds"]);
        assert_eq!((over.chain.privilege_s, over.chain.fan_out), (5, 1));
    }
}
