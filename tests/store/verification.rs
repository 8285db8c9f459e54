//! `verify` names the first record that is not what it was.

use std::fs;

use countersign::model::Revocation;
use countersign::record::{Lineage, Reader, Verdict, erased, verify};

use super::fixture::*;

/// A lineage of 600 records, closed; and its last checkpoint.
fn lineage() -> (Place, String) {
    let place = Place::new();
    let (lineage, _) = place.open();
    for n in 0..200 {
        drop(lineage.append(refused(1000 + n)));
        let receipt = lineage.append(permitted(n));
        drop(lineage.append(ended(n, Revocation::Confirmed)));
        wait(receipt).unwrap();
    }
    drop(lineage);
    let note = Reader::open(&place.path()).unwrap().checkpoint().unwrap().unwrap();
    (place, note)
}

/// What `verify` finds after `sql` was done to the file.
fn broken(sql: &str) -> (Option<u64>, String) {
    let (place, _) = lineage();
    place.sql().execute_batch(sql).unwrap();
    finding(&place, None)
}

fn finding(place: &Place, note: Option<&str>) -> (Option<u64>, String) {
    let report = verify(&Reader::open(&place.path()).unwrap(), note, Some(&place.vkey()));
    match report.verdict {
        Verdict::Intact => panic!("nothing was found: {report:?}"),
        Verdict::Broken { seq, what } => (seq, what),
    }
}

#[test]
fn an_untouched_lineage_verifies_against_its_checkpoint() {
    let (place, note) = lineage();
    let report = verify(&Reader::open(&place.path()).unwrap(), Some(&note), Some(&place.vkey()));
    assert!(report.is_intact(), "{report:?}");
    assert_eq!(report.against.unwrap().size, 600);
}

#[test]
fn a_flipped_bit_in_an_entry_is_found() {
    let (seq, what) =
        broken("UPDATE records SET entry = CAST(replace(entry, 'denied', 'denjed') AS BLOB) WHERE seq = 300");
    assert_eq!((seq, what.as_str()), (Some(300), "its leaf is not the hash of its entry"));
}

#[test]
fn an_entry_changed_together_with_its_leaf_is_found() {
    let (place, _) = lineage();
    let db = place.sql();
    let entry: Vec<u8> = db.query_row("SELECT entry FROM records WHERE seq = 3", [], |row| row.get(0)).unwrap();
    let entry = String::from_utf8(entry).unwrap().replace("denied", "denjed").into_bytes();
    let leaf = countersign::record::tiles::leaf_hash(&entry);
    db.execute("UPDATE records SET entry = ?, leaf = ? WHERE seq = 3", rusqlite::params![entry, leaf.0]).unwrap();
    let (seq, what) = finding(&place, None);
    assert!(what.contains("tile 0/0") || what.contains("root"), "{what}");
    assert!(seq.is_some());
}

#[test]
fn a_flipped_bit_in_a_payload_is_found() {
    let (seq, what) = broken("UPDATE payloads SET body = CAST(replace(body, 'octo', 'octp') AS BLOB) WHERE seq = 301");
    assert_eq!((seq, what.as_str()), (Some(301), "its private fields are not those it was recorded with"));
}

#[test]
fn an_erased_payload_is_no_damage_but_is_counted() {
    let (place, _) = lineage();
    let (lineage, _) = place.open();
    let reader = Reader::open(&place.path()).unwrap();
    let records = reader.erasable(call(0)).unwrap();
    assert_eq!(records, [1]);
    assert_eq!(put(&lineage, erased(call(0), records, "operator", "she asked for it", clock().now())), 600);
    assert_eq!(reader.record(1).unwrap().unwrap().private, None);
    assert_eq!(reader.record(600).unwrap().unwrap().private.unwrap()["why"], "she asked for it");
    drop(lineage);
    let report = verify(&reader, None, Some(&place.vkey()));
    assert!(report.is_intact() && report.erased == 1, "{report:?}");
    assert!(reader.erasable(call(0)).unwrap().is_empty());
    assert!(place.try_open(8).is_ok());
}

#[test]
fn what_was_erased_is_nowhere_in_the_files() {
    let place = Place::new();
    let (lineage, _) = place.open();
    let mut secret = permitted(1);
    secret.private.insert("purpose", "a needle that nobody else writes".into());
    put(&lineage, secret);
    for n in 2..40 {
        put(&lineage, permitted(n));
    }
    let holds = || {
        let parts = ["", "-wal"].map(|part| fs::read(format!("{}{part}", place.path().display())).unwrap_or_default());
        parts.concat().windows(8).any(|bytes| bytes == b"a needle")
    };
    assert!(holds());
    put(&lineage, erased(call(1), vec![0], "operator", "", clock().now()));
    assert!(!holds());
}

#[test]
fn a_payload_that_somebody_deleted_is_found() {
    let (seq, what) = broken("DELETE FROM payloads WHERE seq IN (4, 7)");
    assert_eq!(seq, Some(4));
    assert_eq!(what, "its private fields are missing, and no record says that they were erased");
}

#[test]
fn a_flipped_leaf_is_found() {
    let (seq, _) = broken("UPDATE records SET leaf = zeroblob(32) WHERE seq = 599");
    assert_eq!(seq, Some(599));
}

#[test]
fn a_torn_or_missing_tile_is_found() {
    let (seq, what) =
        broken("UPDATE tiles SET hashes = CAST(substr(hashes, 1, 8160) || zeroblob(32) AS BLOB) WHERE idx = 1");
    assert_eq!((seq, what.as_str()), (Some(256), "tile 0/1 does not hold the hashes of what lies below it"));
    let (seq, what) = broken("DELETE FROM tiles WHERE idx = 0");
    assert_eq!((seq, what.as_str()), (Some(0), "tile 0/0 is missing"));
    let (_, what) = broken("INSERT INTO tiles VALUES (0, 2, zeroblob(8192))");
    assert_eq!(what, "tile 0/2 lies beyond the end of the tree");
}

#[test]
fn a_deleted_record_is_found() {
    let (seq, what) = broken("DELETE FROM records WHERE seq = 42");
    assert_eq!((seq, what.as_str()), (Some(42), "it is missing"));
}

#[test]
fn swapped_records_are_found() {
    let (seq, _) = broken(
        "UPDATE records SET seq = -1 WHERE seq = 10; UPDATE records SET seq = 10 WHERE seq = 11;
         UPDATE records SET seq = 11 WHERE seq = -1",
    );
    assert_eq!(seq, Some(10), "the payloads give it away");
    let (seq, what) = broken(
        "UPDATE records SET seq = -1 WHERE seq = 2; UPDATE records SET seq = 2 WHERE seq = 5;
         UPDATE records SET seq = 5 WHERE seq = -1; DELETE FROM payloads",
    );
    assert!(seq.is_some() && (what.contains("tile 0/0") || what.contains("root")), "{what}");
}

#[test]
fn a_record_filed_under_another_call_is_found() {
    let (seq, what) = broken("UPDATE records SET call = zeroblob(16) WHERE seq = 7");
    assert_eq!((seq, what.as_str()), (Some(7), "what it is filed under differs from its entry"));
}

#[test]
fn a_tail_cut_off_is_found_by_an_outside_checkpoint_alone() {
    let (place, note) = lineage();
    let cut = "DELETE FROM records WHERE seq >= 590; DELETE FROM payloads WHERE seq >= 590; DELETE FROM checkpoints";
    place.sql().execute_batch(cut).unwrap();
    assert!(verify(&Reader::open(&place.path()).unwrap(), None, Some(&place.vkey())).is_intact());
    let (seq, what) = finding(&place, Some(&note));
    assert_eq!((seq, what.as_str()), (Some(590), "it is missing: a checkpoint covers 600 records"));
}

#[test]
fn a_tail_cut_off_is_found_by_a_stored_checkpoint() {
    let (seq, _) = broken("DELETE FROM records WHERE seq >= 590; DELETE FROM payloads WHERE seq >= 590");
    assert_eq!(seq, Some(590));
}

#[test]
fn an_older_copy_is_found_by_an_outside_checkpoint() {
    let place = Place::new();
    let (lineage, _) = place.open();
    put(&lineage, permitted(1));
    drop(lineage);
    let older = place.folder.path().join("older.db");
    fs::copy(place.path(), &older).unwrap();
    let (lineage, _) = place.open();
    put(&lineage, permitted(2));
    drop(lineage);
    let note = Reader::open(&place.path()).unwrap().checkpoint().unwrap().unwrap();
    let report = verify(&Reader::open(&older).unwrap(), Some(&note), Some(&place.vkey()));
    assert!(matches!(report.verdict, Verdict::Broken { seq: Some(1), .. }), "{report:?}");
}

#[test]
fn a_lineage_written_anew_is_found_by_an_outside_checkpoint() {
    let (_, note) = lineage();
    let place = Place::new();
    let (lineage, _) = place.open();
    for n in 0..600 {
        drop(lineage.append(refused(n)));
    }
    drop(lineage);
    let report = verify(&Reader::open(&place.path()).unwrap(), Some(&note), None);
    assert!(matches!(&report.verdict, Verdict::Broken { what, .. } if what.contains("outside")), "{report:?}");
}

#[test]
fn a_checkpoint_of_another_key_is_found() {
    let (place, note) = lineage();
    let stranger = Place::new();
    let report = verify(&Reader::open(&place.path()).unwrap(), Some(&note), Some(&stranger.vkey()));
    assert!(matches!(report.verdict, Verdict::Broken { seq: None, .. }), "{report:?}");
}

#[test]
fn a_copy_without_its_log_folder_is_read() {
    let (place, _) = lineage();
    let copy = place.folder.path().join("a copy #1.db");
    fs::copy(place.path(), &copy).unwrap();
    let report = verify(&Reader::open(&copy).unwrap(), None, Some(&place.vkey()));
    assert!(report.is_intact() && report.size == 600, "{report:?}");
}
