//! What one task may teach: each thing that is wrong with a task, alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign::memory::Memory;
use countersign::model::{Aimed, Call, Course, Critical, Effect, Facts, Grant, OpenedBy, SinkKind, Task, Word};

use crate::suite::common::nouns::{self, Bounded};

fn bounded() -> Bounded {
    Bounded::new(Vec::new(), BTreeMap::new())
}

/// A task of `triage` that memory knows, with whoever opened it.
fn opened(memory: &Memory, by: OpenedBy) -> Arc<Task> {
    let mut task = nouns::task("triage", 1);
    task.opened_by = by;
    task.grant = vec![Grant { action: "github/issues.get".into(), resource: None, max: Some(1) }];
    memory.open(task.clone(), nouns::token(&task), nouns::at(0));
    Arc::new(task)
}

fn read(task: &Arc<Task>) -> Call {
    nouns::call(&nouns::caller("triage", "token:x"), task, "github/issues.get", "octo/hello")
}

fn make(memory: &Bounded, call: &Call, change: impl FnOnce(&mut Facts), as_usual: bool) {
    let (mut facts, reservation) = memory.reserve(call).unwrap();
    change(&mut facts);
    drop(reservation.spend(call, facts, as_usual));
}

fn ended(memory: &Memory, task: &Task) -> Option<Course> {
    memory.close(task.id).pop().unwrap().course
}

/// What a task teaches in which this was made.
fn taught(by: OpenedBy, change: impl FnOnce(&mut Facts), as_usual: bool) -> Option<Course> {
    let memory = bounded();
    let task = opened(&memory, by);
    make(&memory, &read(&task), change, as_usual);
    ended(&memory, &task)
}

#[test]
fn a_task_teaches_if_a_framework_opened_it_and_every_call_was_let_as_usual() {
    let course = taught(OpenedBy::Framework, |_| {}, true).expect("nothing is wrong with it");
    assert_eq!(course.actions.keys().map(AsRef::as_ref).collect::<Vec<&str>>(), ["github/issues.get"]);
    let broken = |facts: &mut Facts| facts.agent.break_glass = true;
    assert_eq!(taught(OpenedBy::Framework, broken, true), None, "let because the glass was broken");
    assert_eq!(taught(OpenedBy::Framework, |_| {}, false), None, "let because nothing is enforced");
    assert_eq!(taught(OpenedBy::Agent, |_| {}, true), None, "its agent opened it");
    assert_eq!(taught(OpenedBy::Nobody, |_| {}, true), None, "nobody opened it");
}

#[test]
fn a_task_in_which_more_was_tried_than_its_grant_has_teaches_nothing() {
    let memory = bounded();
    let task = opened(&memory, OpenedBy::Framework);
    make(&memory, &read(&task), |_| {}, true);
    let (facts, reservation) = memory.reserve(&read(&task)).unwrap();
    assert!(facts.task.overflow);
    // Whatever becomes of it: the call before may have been the wrong one.
    drop(reservation);
    assert_eq!(ended(&memory, &task), None);
}

#[test]
fn a_task_that_ends_while_a_call_is_judged_teaches_nothing() {
    let memory = bounded();
    let task = opened(&memory, OpenedBy::Framework);
    make(&memory, &read(&task), |_| {}, true);
    let mut other = read(&task);
    Arc::make_mut(&mut other.action).name = "github/issues.list".into();
    let judged = memory.reserve(&other).unwrap();
    assert_eq!(ended(&memory, &task), None);
    drop(judged);
}

/// A call whose destination may be known under another sink of its tool.
fn shared(task: &Arc<Task>, effect: Effect) -> Call {
    let mut call = read(task);
    Arc::make_mut(&mut call.action).effect = effect;
    Arc::make_mut(&mut call.action).critical = vec![Critical {
        sink: "to".into(),
        kind: SinkKind::Destination,
        of: Some("people".into()),
        values: Aimed::new("ana@corp.example").into_iter().collect(),
    }];
    call
}

#[test]
fn what_pays_removes_or_runs_shares_no_habits_and_has_none_by_repetition() {
    let habit = |effect| {
        let memory = bounded();
        let task = opened(&memory, OpenedBy::Framework);
        let attested = |facts: &mut Facts| facts.values.unattested.clear();
        make(&memory, &shared(&task, effect), attested, true);
        let values = ended(&memory, &task).unwrap().aims.values;
        let (place, keys) = values.into_iter().next().unwrap();
        (place.to_string(), keys.into_values().next().unwrap())
    };
    for effect in [Effect::Read, Effect::Write, Effect::Send] {
        assert_eq!(habit(effect), ("github people".to_owned(), Word::Attested), "{effect:?}");
    }
    for effect in [Effect::Delete, Effect::Spend, Effect::Execute] {
        assert_eq!(habit(effect), ("github/issues.get to".to_owned(), Word::Nobody), "{effect:?}");
    }
}
