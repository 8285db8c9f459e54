//! A disk that is full, read-only, broken or gone for a while: calls are refused, what runs can end, and it goes on without a
//! gap when the disk is well.

use std::time::{Duration, Instant};

use countersign::record::{Reader, Stored, Sync, verify};

use super::fixture::*;
use super::shim::{Disk, Order, Process};

/// Waits until the store says it is well, by itself.
fn until_well(process: &mut Process) {
    let start = Instant::now();
    while process.ask("trouble") != "well" {
        assert!(start.elapsed() < Duration::from_secs(10), "{}", process.ask("trouble"));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Every record from 0 on is there once, and the tree verifies. Gives their kinds.
fn kinds(place: &Place, disk: &Disk) -> Vec<String> {
    let reader = Reader::open(&disk.folder.join("lineage.db")).unwrap();
    let report = verify(&reader, None, Some(&place.vkey()));
    assert!(report.is_intact(), "{report:?}");
    let records = reader.records(0, 100_000).unwrap();
    assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), (0..report.size).collect::<Vec<_>>());
    records.iter().map(Stored::kind).map(str::to_owned).collect()
}

fn start(sync: Sync) -> (Place, Disk, Process) {
    let place = Place::new();
    let disk = Disk::under(&place);
    let process = Process::start(&place, &disk, sync, false);
    (place, disk, process)
}

#[test]
fn on_a_full_disk_nothing_begins_what_runs_ends_and_later_it_goes_on() {
    let (place, disk, mut process) = start(Sync::Full);
    for n in 0..8 {
        assert_eq!(process.ask(&format!("permit {n}")), format!("ok {n}"));
    }
    disk.tell(Order::Space, 0);
    assert!(process.ask("permit 100").starts_with("no "));
    // The space that was kept is given up now: endings are written, and nothing else.
    for n in 0..8 {
        assert_eq!(process.ask(&format!("end {n}")), format!("ok {}", 8 + n), "an ending finds room");
    }
    assert!(process.ask("permit 101").contains("the disk is full"));
    assert!(process.ask("trouble").contains("kept for the endings"));
    assert_eq!(process.ask("refuse 500"), "noted");
    disk.tell(Order::Space, -1);
    until_well(&mut process);
    assert_eq!(process.ask("permit 200"), "ok 16");
    assert_eq!(process.ask("stop"), "stopped");
    let kinds = kinds(&place, &disk);
    assert_eq!(kinds.iter().filter(|kind| *kind == "permitted").count(), 9);
    assert_eq!(kinds.iter().filter(|kind| *kind == "ended").count(), 8);
    let reader = Reader::open(&disk.folder.join("lineage.db")).unwrap();
    let counted: u64 =
        reader.records(0, 1_000).unwrap().iter().filter_map(|record| record.entry["count"].as_u64()).sum();
    assert_eq!(counted, 500, "refusals that nobody could write were counted");
}

#[test]
fn space_that_runs_out_anywhere_in_a_record_leaves_no_gap_and_no_duplicate() {
    let step = if std::env::var_os("COUNTERSIGN_LONG").is_some() { 97 } else { 2_900 };
    let (place, disk, mut process) = start(Sync::Full);
    let mut next = 0;
    for space in (0..30_000).step_by(step) {
        disk.tell(Order::Space, space);
        let refused = (0..20).find(|_| {
            let answer = process.ask(&format!("permit {next}"));
            next += u64::from(answer.starts_with("ok"));
            answer.starts_with("no")
        });
        assert!(refused.is_some(), "with {space} bytes there is an end somewhere");
        disk.tell(Order::Space, -1);
        until_well(&mut process);
        assert!(process.ask(&format!("permit {next}")).starts_with("ok"));
        next += 1;
    }
    assert_eq!(process.ask("stop"), "stopped");
    assert_eq!(kinds(&place, &disk).len() as u64, next, "what was refused is not there, what was permitted is");
}

#[test]
fn a_disk_that_cannot_be_written_refuses_calls_and_keeps_their_endings_until_it_can() {
    for errno in [rustix::io::Errno::ROFS, rustix::io::Errno::IO, rustix::io::Errno::ACCESS] {
        let (place, disk, mut process) = start(Sync::Full);
        assert_eq!(process.ask("permit 1"), "ok 0");
        disk.tell(Order::WriteErrno, errno.raw_os_error().into());
        assert!(process.ask("permit 2").starts_with("no "));
        process.say("end 1");
        std::thread::sleep(Duration::from_millis(700));
        disk.tell(Order::WriteErrno, 0);
        assert_eq!(process.answer(), "ok 1", "the ending was kept");
        until_well(&mut process);
        assert_eq!(process.ask("permit 3"), "ok 2");
        assert_eq!(process.ask("stop"), "stopped");
        assert_eq!(kinds(&place, &disk), ["permitted", "ended", "permitted"]);
    }
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_that_was_not_written_anew() {
    let (place, disk, mut process) = start(Sync::Full);
    assert_eq!(process.ask("permit 1"), "ok 0");
    disk.tell(Order::SyncFailsIn, 1);
    // The one that fails may be a call's or that of a checkpoint.
    let told: Vec<(u64, String)> = (2..12).map(|n| (n, process.ask(&format!("permit {n}")))).collect();
    assert_eq!(disk.told(Order::SyncFailsIn), 0, "a sync has failed");
    until_well(&mut process);
    assert!(process.ask("permit 20").starts_with("ok"));
    assert_eq!(process.ask("stop"), "stopped");
    kinds(&place, &disk);
    let reader = Reader::open(&disk.folder.join("lineage.db")).unwrap();
    for (n, answer) in told {
        let story = reader.story(call(n)).unwrap();
        let kinds: Vec<&str> = story.iter().flat_map(|story| &story.records).map(Stored::kind).collect();
        match kinds.as_slice() {
            ["permitted"] => assert!(answer.starts_with("ok"), "{answer}"),
            // The call that was told no may stand there: then it stands there with its end.
            [] | ["permitted", "ended"] => assert!(answer.starts_with("no"), "{answer}"),
            other => panic!("{other:?}"),
        }
    }
}
