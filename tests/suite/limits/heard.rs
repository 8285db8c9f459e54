//! What tasks have heard, when there is more of it than memory has room for: laid aside and fetched, or lost, and then nobody
//! vouches for anything.

use std::path::Path;
use std::sync::Arc;

use countersign::memory::{Bounds, Memory, RoomRule, Shelf};
use countersign::model::{Aimed, Call, Critical, Field, Label, Reading, SinkKind, Task, ValueFacts};

use super::{call, opened};

/// Bytes of room: less than what one task hears here.
const ROOM: usize = 4_096;

fn memory(shelf: Shelf) -> Memory {
    Memory::new(RoomRule::default(), shelf)
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

/// Reads a thousand words of a stranger, and one name that a system of record stands behind.
fn hear(memory: &Memory, task: &Arc<Task>, name: &str) {
    let mut read = call(task, 0);
    let field = |at: &str, label| Field { at: at.parse().unwrap(), label };
    Arc::make_mut(&mut read.action).fields = [field("/from", Label::Trusted), field("/text", Label::Untrusted)].into();
    let (facts, reservation) = memory.reserve(&read, &Bounds::default(), None).unwrap();
    let slot = reservation.spend(&read, facts, true);
    let words: Vec<String> = (0..1_000).map(|number| format!("{name}{number}")).collect();
    let body = serde_json::json!({ "from": name, "text": words.join(" ") }).to_string();
    slot.learn(&read, Reading { body: body.as_bytes(), json: true, success: true });
}

/// What is known of a call that is aimed at this, with this title.
fn aimed(memory: &Memory, task: &Arc<Task>, to: &str, title: &str) -> ValueFacts {
    let sink = |name: &str, kind, text: &str| Critical {
        sink: name.into(),
        kind,
        of: None,
        values: Aimed::new(text).into_iter().collect(),
    };
    let mut send: Call = call(task, 1);
    Arc::make_mut(&mut send.action).critical =
        vec![sink("to", SinkKind::Destination, to), sink("title", SinkKind::Words, title)];
    memory.reserve(&send, &Bounds::default(), None).unwrap().0.values
}

fn unattested(facts: &ValueFacts) -> Vec<&str> {
    facts.unattested.keys().map(AsRef::as_ref).collect()
}

#[test]
fn what_has_no_room_is_laid_aside_and_known_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("tasks");
    std::fs::create_dir(&place).unwrap();
    std::fs::write(place.join("left-by-another-run"), "x").unwrap();
    let memory = memory(Shelf::within(&place, ROOM).unwrap());
    assert!(!place.exists(), "what another run has left there is gone");
    let names = ["ana", "bob", "carl"];
    let tasks: Vec<_> = (1..=3).map(|number| opened(&memory, number, |_| {})).collect();
    for (task, name) in tasks.iter().zip(names) {
        hear(&memory, task, name);
    }
    assert_eq!(files(&place), 3, "none of them has room");
    for _ in 0..3 {
        for (task, name) in tasks.iter().zip(names) {
            let known = aimed(&memory, task, name, &format!("{name}7 {name}8"));
            assert_eq!(unattested(&known), ["title"], "{name} is known, and what a stranger wrote is recognised");
            assert_eq!(unattested(&aimed(&memory, task, "eve", "another title")), ["to"]);
        }
    }
    let bare = opened(&memory, 9, |_| {});
    assert_eq!(unattested(&aimed(&memory, &bare, "ana", "ana7 ana8")), ["to"], "each task has heard its own");
    for task in &tasks {
        assert_eq!(memory.close(task.id).len(), 1);
    }
    drop(tasks);
    assert_eq!(files(&place), 0, "what a task has heard goes with it");
}

#[test]
fn what_could_not_be_kept_vouches_for_nothing_and_may_have_been_anything() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("tasks");
    let memory = memory(Shelf::within(&place, ROOM).unwrap());
    let task = opened(&memory, 1, |_| {});
    hear(&memory, &task, "ana");
    for entry in std::fs::read_dir(&place).unwrap() {
        let path = entry.unwrap().path();
        let half = std::fs::read(&path).unwrap();
        std::fs::write(path, &half[..half.len() / 2]).unwrap();
    }
    assert_eq!(unattested(&aimed(&memory, &task, "ana", "any title")), ["title", "to"]);
    assert_eq!(unattested(&aimed(&memory, &task, "ana", "any title")), ["title", "to"], "and so it stays");
    let without = Memory::new(RoomRule::default(), Shelf::default());
    let task = opened(&without, 1, |_| {});
    hear(&without, &task, "ana");
    assert_eq!(unattested(&aimed(&without, &task, "ana", "any title")), Vec::<&str>::new(), "here there is room");
}

#[test]
fn many_tasks_share_the_room_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let memory = memory(Shelf::within(&folder.path().join("tasks"), 3 * 16_384).unwrap());
    let tasks: Vec<_> = (1..=8).map(|number| opened(&memory, number, |_| {})).collect();
    std::thread::scope(|scope| {
        for (number, task) in tasks.iter().enumerate() {
            let memory = &memory;
            scope.spawn(move || {
                let name = format!("name{number}x");
                hear(memory, task, &name);
                for _ in 0..50 {
                    assert_eq!(unattested(&aimed(memory, task, &name, "a title")), Vec::<&str>::new());
                    assert_eq!(unattested(&aimed(memory, task, "eve", &format!("{name}1 {name}2"))), ["title", "to"]);
                }
            });
        }
    });
}
