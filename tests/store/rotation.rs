//! Records that were moved out of the file are read, proven, verified and erased as if they were in it.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use countersign::model::{Clock, Revocation, Timestamp};
use countersign::record::tiles::proof::is_included;
use countersign::record::{
    Checkpoint, Filter, Lineage, Options, Reader, Rotate, SqliteLineage, Verdict, erased, verify, verify_since,
};

use super::fixture::*;

fn open(place: &Place) -> Arc<SqliteLineage> {
    let rotate = Rotate { bytes: Some(300 * 1024), age: None };
    let signed_every = std::time::Duration::from_millis(5);
    SqliteLineage::open(Options { rotate, signed_every, ..place.options(1024) }, place.signer(), clock()).unwrap().0
}

/// Records that lie in the file itself.
fn within(place: &Place) -> u64 {
    let count: i64 = place.sql().query_row("SELECT count(*) FROM records", [], |row| row.get(0)).unwrap();
    u64::try_from(count).unwrap()
}

/// Two thousand records and more, most of them moved out; call 7 is open all the while.
fn rotated() -> (Place, u64) {
    let place = Place::new();
    let lineage = open(&place);
    for n in 0..1_000 {
        put(&lineage, permitted(n));
        if n != 900 {
            drop(lineage.append(ended(n, Revocation::Confirmed)));
        }
    }
    let size = put(&lineage, refused(5_000)) + 1;
    until("records are moved out", || within(&place) < size - 1_000);
    drop(lineage);
    (place, size)
}

#[test]
fn what_was_moved_out_is_read_and_proven_as_before() {
    let (place, size) = rotated();
    let archives = fs::read_dir(format!("{}-archive", place.path().display())).unwrap().count();
    assert!(archives >= 1 && within(&place) < size, "{archives} archives");
    let reader = Reader::open(&place.path()).unwrap();
    assert_eq!(reader.size().unwrap(), size);
    let records = reader.records(0, usize::MAX).unwrap();
    assert!(records.iter().map(|record| record.seq).eq(0..size), "each once, in order");
    let story = reader.story(call(3)).unwrap().unwrap();
    assert_eq!((story.records[0].seq, story.records[1].kind()), (6, "ended"));
    let all = Filter { limit: 10_000, ..Filter::default() };
    assert_eq!(reader.calls(&all).unwrap().len(), 1_001);
    assert!(reader.receipt(3).unwrap().is_some());
    let root = reader.root(size).unwrap();
    for record in records.iter().step_by(17) {
        let bundle = reader.entries(record.seq / 256, 256).unwrap();
        assert!(bundle.is_some() || record.seq >= size - size % 256);
    }
    let leaf = countersign::model::Digest(reader.tile(0, 0, 256).unwrap().unwrap()[..32].try_into().unwrap());
    assert!(is_included(leaf, 0, size, &reader.inclusion(0, size).unwrap(), root));
    let report = verify(&reader, None, Some(&place.vkey()));
    assert!(report.is_intact() && report.size == size && report.absent == 0, "{report:?}");
    let (_lineage, limbo) = place.open();
    assert_eq!(
        limbo.calls.iter().map(|open| open.call).collect::<Vec<_>>(),
        [call(900)],
        "what is open stays in reach"
    );
}

#[test]
fn a_bent_archive_is_found_and_a_missing_one_is_said() {
    let (place, size) = rotated();
    let mut archives: Vec<_> =
        fs::read_dir(format!("{}-archive", place.path().display())).unwrap().map(|file| file.unwrap().path()).collect();
    archives.sort();
    let whole = fs::read(&archives[0]).unwrap();
    let db = rusqlite::Connection::open(&archives[0]).unwrap();
    db.execute("UPDATE payloads SET body = CAST(replace(body, 'octo', 'octp') AS BLOB) WHERE seq = 10", []).unwrap();
    drop(db);
    let report = verify(&Reader::open(&place.path()).unwrap(), None, Some(&place.vkey()));
    assert!(matches!(report.verdict, Verdict::Broken { seq: Some(10), .. }), "{report:?}");
    fs::write(&archives[0], whole).unwrap();
    fs::rename(&archives[0], place.folder.path().join("in the safe")).unwrap();
    let reader = Reader::open(&place.path()).unwrap();
    let report = verify(&reader, None, Some(&place.vkey()));
    assert!(report.is_intact() && report.size == size && report.absent >= 256, "{report:?}");
    let note = reader.checkpoint().unwrap().unwrap();
    assert!(verify_since(&reader, &note, Some(&place.vkey())).is_intact());
}

#[test]
fn what_is_erased_is_erased_in_archives_too() {
    let (place, _) = rotated();
    let lineage = open(&place);
    let reader = Reader::open(&place.path()).unwrap();
    let records = reader.erasable(call(1)).unwrap();
    assert_eq!(records, [2]);
    put(&lineage, erased(call(1), records, "operator", "", clock().now()));
    until("it is gone", || reader.record(2).unwrap().unwrap().private.is_none());
    assert_eq!(reader.story(call(1)).unwrap().unwrap().records.len(), 3);
    drop(lineage);
    let report = verify(&reader, None, Some(&place.vkey()));
    assert!(report.is_intact() && report.erased == 1, "{report:?}");
}

#[test]
fn what_is_too_old_is_moved_out_and_what_is_not_stays() {
    let place = Place::new();
    let day = 86_400_000;
    let now = Arc::new(AtomicI64::new(START + day));
    let told = Arc::clone(&now);
    let clock = Clock::new(move || Timestamp::from_millis(told.load(Ordering::Relaxed)));
    let rotate = Rotate { bytes: None, age: Some(Duration::from_hours(24)) };
    let options = Options { rotate, signed_every: Duration::from_millis(5), ..place.options(1024) };
    let (lineage, _) = SqliteLineage::open(options, place.signer(), clock).unwrap();
    for n in 0..300 {
        put(&lineage, permitted(n));
        drop(lineage.append(ended(n, Revocation::Confirmed)));
    }
    // The first record is a day old by now, and no older.
    let reader = Reader::open(&place.path()).unwrap();
    let signed = || Checkpoint::parse(&reader.checkpoint().unwrap().unwrap()).unwrap().size;
    until("all is signed", || signed() == 600);
    put(&lineage, refused(1_000));
    until("that is signed, too", || signed() == 601);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(within(&place), 601, "nothing is too old");
    now.fetch_add(1, Ordering::Relaxed);
    let mut size = 601;
    until("whole tiles are moved out", || {
        size = put(&lineage, refused(1_000 + size)) + 1;
        within(&place) <= size - 512
    });
    drop(lineage);
    assert_eq!(reader.records(0, usize::MAX).unwrap().len() as u64, size);
    let report = verify(&reader, None, Some(&place.vkey()));
    assert!(report.is_intact() && report.absent == 0, "{report:?}");
}
