//! What was acknowledged is there after a restart, and what was open is found.

use std::fs;
use std::time::Instant;

use countersign::model::{Digest, Revocation};
use countersign::record::tiles::{Edge, leaf_hash};
use countersign::record::{
    Event, FactsNote, Filter, HandleNote, Lineage, Reader, StoreError, Stored, Unavailable, verify,
};

use super::fixture::*;

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let place = Place::new();
    let (lineage, limbo) = place.open();
    assert!(limbo.calls.is_empty() && limbo.tasks.is_empty());
    assert_eq!(put(&lineage, permitted(1)), 0);
    assert_eq!(put(&lineage, ended(1, Revocation::Confirmed)), 1);
    drop(lineage);
    let (lineage, limbo) = place.open();
    assert!(limbo.calls.is_empty());
    assert_eq!(put(&lineage, refused(2)), 2);
    let story = Reader::open(&place.path()).unwrap().story(call(1)).unwrap().unwrap();
    assert_eq!(story.records.iter().map(Stored::kind).collect::<Vec<_>>(), ["permitted", "ended"]);
    assert_eq!(story.records[0].private.as_ref().unwrap()["resource"], "octo/hello");
}

#[test]
fn the_edge_is_the_root_over_all_entries() {
    let place = Place::new();
    let (lineage, _) = place.open();
    let mut receipts = Vec::new();
    for n in 0..250 {
        receipts.push(lineage.append(permitted(n)));
        receipts.push(lineage.append(minted(n, "sealed")));
        receipts.push(lineage.append(ended(n, Revocation::Confirmed)));
        receipts.push(lineage.append(refused(1000 + n)));
    }
    let seqs: Vec<u64> = receipts.into_iter().map(|receipt| wait(receipt).unwrap()).collect();
    assert_eq!(seqs, (0..1000).collect::<Vec<_>>(), "receipts come in the order of the records");
    drop(lineage);
    let mut edge = Edge::new();
    let db = place.sql();
    let mut entries = db.prepare("SELECT entry FROM records ORDER BY seq").unwrap();
    for entry in entries.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap() {
        edge.push(leaf_hash(&entry.unwrap()));
    }
    let report = verify(&Reader::open(&place.path()).unwrap(), None, Some(&place.vkey()));
    assert!(report.is_intact(), "{report:?}");
    assert_eq!((report.size, report.root), (1000, edge.root()));
    assert!(report.checkpoints >= 1 && report.signatures_checked && report.against.is_none());
}

#[test]
fn an_open_call_is_found_after_a_crash() {
    let place = Place::new();
    let (lineage, _) = place.open();
    put(&lineage, opened(1, 60_000));
    put(&lineage, opened(2, 60_000));
    put(&lineage, opened(3, -1));
    put(&lineage, closed(2));
    put(&lineage, permitted(1));
    put(&lineage, permitted(2));
    put(&lineage, minted(2, "c2VhbGVk"));
    put(&lineage, permitted(3));
    put(&lineage, ended(3, Revocation::Failed));
    put(&lineage, permitted(4));
    put(&lineage, ended(4, Revocation::Unknown));
    put(&lineage, settled(4));
    let crashed = Place::new();
    for suffix in ["", "-wal"] {
        fs::copy(format!("{}{suffix}", place.path().display()), format!("{}{suffix}", crashed.path().display()))
            .unwrap();
    }
    let (_lineage, limbo) = crashed.open();
    let calls: Vec<_> = limbo.calls.iter().map(|open| open.call).collect();
    assert_eq!(calls, [call(1), call(2)]);
    assert_eq!(limbo.calls[0].plan.handle, HandleNote::Named("jti-1".into()));
    assert_eq!((limbo.calls[0].agent.as_str(), limbo.calls[0].task), ("billing", Some(task(1))));
    assert_eq!(limbo.calls[1].minted, Some(("c2VhbGVk".into(), None)));
    assert_eq!(limbo.unsettled.iter().map(|open| open.call).collect::<Vec<_>>(), [call(3)]);
    let [open] = limbo.tasks.as_slice() else { panic!("{:?}", limbo.tasks) };
    assert_eq!((open.task, &open.private["goal"]), (task(1), &"triage the new issues".into()));
    assert_eq!(open.opened.token, Digest::of(&[1]));
}

#[test]
fn an_open_call_is_found_behind_the_marks() {
    let place = Place::new();
    let (lineage, _) = place.open();
    put(&lineage, permitted(1));
    put(&lineage, opened(9, 60_000));
    for n in 10..30 {
        put(&lineage, permitted(n));
        put(&lineage, ended(n, Revocation::Confirmed));
    }
    drop(lineage);
    for _ in 0..2 {
        let (_lineage, limbo) = place.open();
        assert_eq!(limbo.calls.iter().map(|open| open.call).collect::<Vec<_>>(), [call(1)]);
        assert_eq!(limbo.tasks.iter().map(|open| open.task).collect::<Vec<_>>(), [task(9)]);
    }
    let (lineage, _) = place.open();
    put(&lineage, ended(1, Revocation::Unknown));
    put(&lineage, settled(1));
    put(&lineage, closed(9));
    drop(lineage);
    let (_lineage, limbo) = place.open();
    assert!(limbo.calls.is_empty() && limbo.unsettled.is_empty() && limbo.tasks.is_empty());
    let mark = "SELECT value FROM meta WHERE key = 'open_calls_from'";
    assert_eq!(place.sql().query_row(mark, [], |row| row.get::<_, String>(0)).unwrap(), "45");
}

#[test]
fn a_second_writer_is_refused() {
    let place = Place::new();
    let (lineage, _) = place.open();
    assert!(matches!(place.try_open(8), Err(StoreError::InUse(_))));
    drop(lineage);
    assert!(place.try_open(8).is_ok());
}

#[test]
fn an_older_file_is_taken_on_and_a_newer_one_as_far_as_it_lets_us() {
    let place = Place::new();
    let (lineage, _) = place.open();
    put(&lineage, permitted(1));
    drop(lineage);
    let format = || {
        let sql = "SELECT value FROM meta WHERE key = 'format'";
        place.sql().query_row(sql, [], |row| row.get::<_, String>(0)).unwrap()
    };
    // Version N wrote it: it becomes one of ours, with everything that is open in it.
    place
        .sql()
        .execute_batch("UPDATE meta SET value = '1' WHERE key = 'format'; DELETE FROM meta WHERE key = 'needs'")
        .unwrap();
    let (lineage, limbo) = place.open();
    assert_eq!((format(), limbo.calls.len()), ("4".into(), 1));
    put(&lineage, ended(1, Revocation::Confirmed));
    drop(lineage);
    // Version N + 1 has written to it, and says that this one may go on.
    place.sql().execute("UPDATE meta SET value = '5' WHERE key = 'format'", []).unwrap();
    place.sql().execute_batch("CREATE TABLE tomorrow (a); CREATE INDEX tomorrows ON records (at)").unwrap();
    let (lineage, _) = place.open();
    assert_eq!(put(&lineage, permitted(2)), 2);
    drop(lineage);
    let report = verify(&Reader::open(&place.path()).unwrap(), None, Some(&place.vkey()));
    assert!(report.is_intact() && report.size == 3 && format() == "5", "{report:?}");
}

#[test]
fn a_newer_format_and_a_foreign_file_are_refused() {
    let place = Place::new();
    drop(place.open());
    place.sql().execute("UPDATE meta SET value = '5'", []).unwrap();
    let before = fs::read(place.path()).unwrap();
    assert!(matches!(place.try_open(8), Err(StoreError::Newer { .. })));
    assert!(matches!(Reader::open(&place.path()), Err(StoreError::Newer { .. })));
    assert_eq!(fs::read(place.path()).unwrap(), before, "it is left as it is");
    let other = Place::new();
    other.sql().execute_batch("CREATE TABLE things (a)").unwrap();
    assert!(matches!(other.try_open(8), Err(StoreError::Foreign(_))));
    fs::write(other.path(), "these are not the bytes of a database at all").unwrap();
    assert!(other.try_open(8).is_err());
}

#[test]
fn a_lineage_with_a_damaged_tail_does_not_open() {
    let place = Place::new();
    let (lineage, _) = place.open();
    for n in 0..5 {
        put(&lineage, permitted(n));
    }
    drop(lineage);
    place.sql().execute("UPDATE records SET leaf = zeroblob(32) WHERE seq = 3", []).unwrap();
    assert!(matches!(place.try_open(8), Err(StoreError::Damaged { seq: 4, .. })), "the root of the checkpoint differs");
    place.sql().execute("DELETE FROM checkpoints", []).unwrap();
    assert!(matches!(place.try_open(8), Err(StoreError::Damaged { seq: 3, .. })), "the leaf is not the entry's");
}

#[test]
fn a_dropped_receipt_becomes_a_refusal_or_an_ending() {
    let place = Place::new();
    let (lineage, _) = place.open();
    for n in 0..200 {
        let receipt = lineage.append(permitted(n));
        if n % 3 == 0 {
            std::thread::sleep(std::time::Duration::from_micros(300));
        }
        drop(receipt);
    }
    drop(lineage);
    let (lineage, limbo) = place.open();
    assert_eq!(limbo.calls.len(), 0, "none stays open");
    let reader = Reader::open(&place.path()).unwrap();
    let (mut refused, mut ended) = (0, 0);
    for n in 0..200 {
        let story = reader.story(call(n)).unwrap().unwrap();
        let kinds: Vec<_> = story.records.iter().map(Stored::kind).collect();
        match kinds.as_slice() {
            ["refused"] => {
                let entry = &story.records[0].entry;
                assert_eq!((&entry["code"], &entry["decision"]), (&"record_unavailable".into(), &"unavailable".into()));
                assert_eq!(story.records[0].private.as_ref().unwrap()["resource"], "octo/hello");
                refused += 1;
            }
            ["permitted", "ended"] => {
                let entry = &story.records[1].entry;
                assert_eq!(
                    (&entry["ending"], &entry["credential"]["revocation"]),
                    (&"abandoned".into(), &"not_needed".into())
                );
                ended += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(refused > 0, "{refused} refused, {ended} ended");
    // Every place came back: the queue takes as many as ever.
    drop(lineage);
    let (lineage, _) = place.try_open(2).unwrap();
    for n in 300..310 {
        drop(lineage.append(permitted(n)));
        until("the place is free again", || wait(lineage.append(refused_later())).is_ok());
    }
}

fn refused_later() -> countersign::record::Record {
    refused(999)
}

#[test]
fn a_permission_delivered_and_never_read_ends_itself() {
    let place = Place::new();
    let (lineage, _) = place.open();
    let receipt = lineage.append(permitted(1));
    let reader = Reader::open(&place.path()).unwrap();
    until("it is written", || reader.size().unwrap() == 1);
    drop(receipt);
    until("it is ended", || reader.size().unwrap() == 2);
    assert_eq!(reader.story(call(1)).unwrap().unwrap().records[1].entry["ending"], "abandoned");
}

#[test]
fn a_full_queue_says_so_at_once_and_keeps_room_for_endings() {
    let place = Place::new();
    let (lineage, _) = place.try_open(4).unwrap();
    put(&lineage, permitted(1));
    put(&lineage, permitted(2));
    // Two calls are open, each with a place for its ending: there is room for two more places, but not for four.
    put(&lineage, permitted(3));
    let full = lineage.append(permitted(4));
    assert!(matches!(wait(full), Err(Unavailable::Full)));
    put(&lineage, ended(1, Revocation::Confirmed));
    put(&lineage, permitted(4));
    for n in 2..5 {
        put(&lineage, ended(n, Revocation::Confirmed));
    }
    put(&lineage, permitted(5));
}

#[test]
fn what_nobody_waits_for_is_written_soon_all_the_same() {
    let place = Place::new();
    let (lineage, _) = place.open();
    put(&lineage, permitted(1));
    let reader = Reader::open(&place.path()).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(50));
    for size in 2..6 {
        let start = Instant::now();
        drop(lineage.append(ended(1, Revocation::Confirmed)));
        until("it is written", || reader.size().unwrap() == size);
        assert!(start.elapsed().as_millis() < 500, "{:?}", start.elapsed());
    }
}

#[test]
fn an_overlong_refusal_is_shortened_and_an_overlong_permission_is_not_made() {
    let place = Place::new();
    let (lineage, _) = place.open();
    let mut long = permitted(1);
    if let Event::Permitted(permitted) = &mut long.event {
        permitted.facts = FactsNote::Read("x".repeat(70_000).into());
    }
    assert!(matches!(wait(lineage.append(long)), Err(Unavailable::Failed(_))));
    let mut long = refused(1);
    if let Event::Refused(refused) = &mut long.event {
        refused.method = "x".repeat(70_000);
    }
    assert_eq!(put(&lineage, long), 0);
}

#[test]
fn a_reader_sees_whole_records_while_the_writer_writes() {
    let place = Place::new();
    let (lineage, _) = place.open();
    let path = place.path();
    let reading = std::thread::Builder::new().name("reader".into()).spawn(move || {
        let reader = Reader::open(&path).unwrap();
        let mut reads = 0;
        while reader.size().unwrap() < 2000 {
            let report = verify(&reader, None, None);
            assert!(report.is_intact(), "{report:?}");
            for story in reader.calls(&Filter { limit: 20, ..Filter::default() }).unwrap() {
                assert!(story.records.iter().all(|record| record.private.is_some()));
            }
            reads += 1;
        }
        reads
    });
    let reading = reading.unwrap();
    for n in 0..1000 {
        put(&lineage, permitted(n));
        drop(lineage.append(ended(n, Revocation::Confirmed)));
    }
    assert!(reading.join().unwrap() > 0);
}
