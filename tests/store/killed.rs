//! The process is killed at any moment, again and again on the same lineage: what was acknowledged is there, nothing is twice,
//! the tree verifies. This finds what was kept back in the process; what the disk keeps back is found in `power.rs`.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use countersign::record::{Lineage, Reader, Sync, verify};

use super::fixture::*;
use super::shim::Random;

const PLACE: &str = "COUNTERSIGN_TEST_KILLED";
const KEY: &str = "COUNTERSIGN_TEST_KEY";

/// Not a test by itself: permits and ends calls as fast as it can, and says on its standard error what was acknowledged.
#[test]
fn child_process_that_is_killed_while_it_writes() {
    let (Ok(path), Ok(key)) = (std::env::var(PLACE), std::env::var(KEY)) else { return };
    let place = Place::new();
    let key = hex::decode(key).unwrap();
    let mut options = place.options(1024);
    (options.path, options.sync) = (path.into(), Sync::Normal);
    options.signed_every = Duration::from_millis(2);
    let (lineage, limbo) =
        countersign::record::SqliteLineage::open(options, signer(&key), clock()).expect("it opens after a kill");
    for left in limbo.calls {
        let receipt = lineage.append(record(Some(left.call), ended_unknown()));
        wait(receipt).unwrap();
    }
    let first = Reader::open(&std::path::PathBuf::from(std::env::var(PLACE).unwrap())).unwrap().size().unwrap();
    for n in first.. {
        let seq = put(&lineage, permitted(n));
        eprintln!("ok {seq} {}", call(n));
        drop(lineage.append(ended(n, countersign::model::Revocation::Confirmed)));
    }
}

fn ended_unknown() -> countersign::record::Event {
    let mut record = ended(0, countersign::model::Revocation::Unknown);
    if let countersign::record::Event::Ended(ended) = &mut record.event {
        ended.ending = countersign::model::Ending::Unknown;
        ended.credential.revocation = countersign::model::Revocation::NotNeeded;
    }
    record.event
}

#[test]
fn what_was_acknowledged_survives_ten_thousand_kills_or_as_many_as_there_is_time_for() {
    let rounds = if std::env::var_os("COUNTERSIGN_LONG").is_some() { 10_000 } else { 40 };
    let mut random = Random(u64::from(std::process::id()));
    let mut place = Place::new();
    for round in 0..rounds {
        if round % 500 == 499 {
            // A lineage that has grown long makes every round longer.
            place = Place::new();
        }
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::killed::child_process_that_is_killed_while_it_writes", "--nocapture"])
            .env(PLACE, place.path())
            .env(KEY, hex::encode(place.key()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(5_000 + random.below(40_000)));
        child.kill().unwrap();
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        child.wait().unwrap();
        assert!(!said.contains("panicked"), "{said}");
        if !place.path().exists() {
            continue;
        }
        let Ok(reader) = Reader::open(&place.path()) else { continue };
        let acknowledged: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("ok ")).collect();
        for line in &acknowledged {
            let Some((seq, call)) = line.split_once(' ').filter(|(_, call)| call.len() == 36) else { continue };
            let record = reader.record(seq.parse().unwrap()).unwrap().expect("it was acknowledged");
            assert_eq!((record.kind(), &record.entry["call"]), ("permitted", &call.into()), "round {round}");
        }
        if round % 10 == 9 || rounds < 100 {
            let report = verify(&reader, None, Some(&place.vkey()));
            assert!(report.is_intact(), "round {round}: {report:?}");
        }
    }
    // Whoever starts last finds what the last one left open, and nothing else is.
    let reader = Reader::open(&place.path()).unwrap();
    let records = reader.records(0, usize::MAX).unwrap();
    let count = |kind: &str| records.iter().filter(|record| record.kind() == kind).count();
    let (_, limbo) = place.open();
    assert_eq!(count("permitted") - count("ended"), limbo.calls.len(), "every other call has its ending");
    assert!(count("permitted") > 0);
}
