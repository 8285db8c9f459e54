//! A store that fails says so, leaves no gap, and goes on when it can.

use std::fs;
use std::time::Duration;

use countersign::model::Revocation;
use countersign::record::{Lineage, Reader, Unavailable, verify};

use super::fixture::*;

const REFUSE_ALL: &str =
    "CREATE TRIGGER refuse BEFORE INSERT ON records BEGIN SELECT RAISE(ABORT, 'disk on fire'); END";

#[test]
fn a_failed_batch_leaves_no_gap_and_the_lineage_recovers() {
    let place = Place::new();
    let (lineage, _) = place.open();
    put(&lineage, permitted(1));
    put(&lineage, permitted(2));
    place.sql().execute_batch(REFUSE_ALL).unwrap();
    let ending = lineage.append(ended(1, Revocation::Confirmed));
    let second = lineage.append(ended(2, Revocation::Confirmed));
    let Err(Unavailable::Failed(why)) = wait(lineage.append(permitted(3))) else { panic!("it was recorded") };
    assert!(why.contains("disk on fire"), "{why}");
    assert!(lineage.trouble().unwrap().contains("disk on fire"));
    assert!(matches!(wait(lineage.append(permitted(4))), Err(Unavailable::Failed(_))));
    place.sql().execute_batch("DROP TRIGGER refuse").unwrap();
    assert_eq!((wait(ending).unwrap(), wait(second).unwrap()), (2, 3), "endings were kept, in order");
    assert_eq!(put(&lineage, permitted(5)), 4);
    assert_eq!(lineage.trouble(), None);
    drop(lineage);
    let report = verify(&Reader::open(&place.path()).unwrap(), None, Some(&place.vkey()));
    assert!(report.is_intact() && report.size == 5, "{report:?}");
    let (_lineage, limbo) = place.open();
    assert_eq!(limbo.calls.iter().map(|open| open.call).collect::<Vec<_>>(), [call(5)]);
}

#[test]
fn trouble_ends_by_itself() {
    let place = Place::new();
    let (lineage, _) = place.open();
    put(&lineage, permitted(1));
    place.sql().execute_batch(REFUSE_ALL).unwrap();
    assert!(wait(lineage.append(permitted(2))).is_err());
    place.sql().execute_batch("DROP TRIGGER refuse").unwrap();
    until("the trouble is over", || lineage.trouble().is_none());
}

#[test]
fn a_failed_tile_takes_its_batch_back() {
    let place = Place::new();
    let (lineage, _) = place.open();
    (0..254).for_each(|n| drop(lineage.append(refused(n))));
    assert_eq!(put(&lineage, refused(254)), 254);
    let trigger = "CREATE TRIGGER refuse BEFORE INSERT ON tiles BEGIN SELECT RAISE(ABORT, 'no tiles'); END";
    place.sql().execute_batch(trigger).unwrap();
    assert!(wait(lineage.append(permitted(1))).is_err());
    place.sql().execute_batch("DROP TRIGGER refuse").unwrap();
    assert_eq!(put(&lineage, permitted(2)), 255);
    put(&lineage, permitted(3));
    drop(lineage);
    let report = verify(&Reader::open(&place.path()).unwrap(), None, Some(&place.vkey()));
    assert!(report.is_intact() && report.size == 257, "{report:?}");
}

#[test]
fn a_deleted_file_takes_no_records() {
    let place = Place::new();
    let (lineage, _) = place.open();
    put(&lineage, permitted(1));
    fs::remove_file(place.path()).unwrap();
    for n in 2..4 {
        assert!(matches!(wait(lineage.append(permitted(n))), Err(Unavailable::Failed(_))));
    }
    assert!(lineage.trouble().is_some());
    assert!(!place.path().exists(), "no new lineage is begun in its place");
}

#[test]
fn a_deleted_log_takes_no_records_and_loses_none() {
    let place = Place::new();
    let (lineage, _) = place.open();
    put(&lineage, permitted(1));
    fs::remove_file(format!("{}-wal", place.path().display())).unwrap();
    assert!(matches!(wait(lineage.append(permitted(2))), Err(Unavailable::Failed(_))));
    until("the log is begun anew", || lineage.trouble().is_none());
    assert_eq!(put(&lineage, permitted(3)), 1);
    drop(lineage);
    let report = verify(&Reader::open(&place.path()).unwrap(), None, Some(&place.vkey()));
    assert!(report.is_intact() && report.size == 2, "{report:?}");
}

#[test]
fn a_file_that_comes_back_is_written_again() {
    let place = Place::new();
    let (lineage, _) = place.open();
    put(&lineage, permitted(1));
    let away = place.folder.path().join("away.db");
    fs::rename(place.path(), &away).unwrap();
    assert!(wait(lineage.append(permitted(2))).is_err());
    fs::rename(&away, place.path()).unwrap();
    until("it is written again", || lineage.trouble().is_none());
    assert_eq!(put(&lineage, permitted(3)), 1);
}

#[test]
fn an_older_copy_put_in_place_takes_no_records() {
    let place = Place::new();
    let (lineage, _) = place.open();
    put(&lineage, permitted(1));
    drop(lineage);
    let older = place.folder.path().join("older.db");
    fs::copy(place.path(), &older).unwrap();
    let (lineage, _) = place.open();
    put(&lineage, ended(1, Revocation::Confirmed));
    fs::rename(&older, place.path()).unwrap();
    for suffix in ["-wal", "-shm"] {
        fs::remove_file(format!("{}{suffix}", place.path().display())).unwrap();
    }
    for n in 2..4 {
        assert!(wait(lineage.append(permitted(n))).is_err());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(lineage.trouble().unwrap().contains("replaced"), "{:?}", lineage.trouble());
}

#[test]
fn a_locked_database_fails_and_recovers() {
    let place = Place::new();
    let (lineage, _) = place.open();
    put(&lineage, permitted(1));
    let other = place.sql();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let Err(Unavailable::Failed(why)) = wait(lineage.append(permitted(2))) else { panic!("it was recorded") };
    assert!(why.contains("locked"), "{why}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(put(&lineage, permitted(3)), 1);
}

#[test]
fn a_closed_lineage_takes_nothing_more() {
    let place = Place::new();
    let (lineage, _) = place.open();
    let receipts: Vec<_> = (0..50).map(|n| lineage.append(permitted(n))).collect();
    lineage.close();
    assert!(receipts.into_iter().all(|receipt| wait(receipt).is_ok()), "what was queued is written");
    assert!(matches!(wait(lineage.append(permitted(99))), Err(Unavailable::Failed(_))));
    let note = Reader::open(&place.path()).unwrap().checkpoint().unwrap().unwrap();
    assert!(note.starts_with("lineage.test\n50\n"), "{note}");
}
