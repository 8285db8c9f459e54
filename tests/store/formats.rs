//! A lineage that an earlier release has written is taken on as it is, and goes on.

use std::path::Path;

use countersign::model::{Clock, Revocation, Secret, Timestamp};
use countersign::record::{Filter, Lineage as _, Options, Reader, Signer, SqliteLineage, Stored, verify};

use super::fixture::*;

/// What a program of that format left behind (`vectors/README.md`).
const SQL: &str = include_str!("vectors/format-2.sql");
const KEY: &str = include_str!("vectors/format-2.key");

/// Agent, and how many of its calls are listed.
fn calls(path: &Path, agent: &str) -> usize {
    let filter = Filter { agent: Some(agent.into()), limit: 100, ..Filter::default() };
    Reader::open(path).unwrap().calls(&filter).unwrap().len()
}

fn meta(place: &Place) -> Vec<(String, String)> {
    let db = place.sql();
    let mut rows = db.prepare("SELECT key, value FROM meta WHERE key IN ('format', 'needs') ORDER BY key").unwrap();
    rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
}

#[test]
fn a_lineage_of_format_2_is_read_taken_on_appended_to_and_verified() {
    let place = Place::new();
    place.sql().execute_batch(SQL).unwrap();
    let pair = |format: &str| vec![("format".to_owned(), format.to_owned()), ("needs".to_owned(), "1".to_owned())];
    assert_eq!(meta(&place), pair("2"));
    let path = place.path();
    let note = Reader::open(&path).unwrap().checkpoint().unwrap().unwrap();
    let origin = note.lines().next().unwrap();
    let signer = || Signer::new(origin, &Secret::new(hex::decode(KEY.trim()).unwrap())).unwrap();
    let vkey = signer().vkey();
    let intact = |kept: &str| {
        let report = verify(&Reader::open(&path).unwrap(), Some(kept), Some(&vkey));
        assert!(report.is_intact() && report.signatures_checked, "{report:?}");
        report.size
    };
    // A reader of ours reads it as it is, and leaves it so.
    assert_eq!((intact(&note), calls(&path, "me"), calls(&path, "rare"), calls(&path, "nobody")), (18, 7, 2, 0));
    assert_eq!(meta(&place), pair("2"));
    for (round, size) in [(1, 22), (2, 26)] {
        let clock = Clock::new(|| Timestamp::from_millis(START + 86_400_000 * 365));
        let options = Options { path: path.clone(), ..place.options(64) };
        let (lineage, limbo) = SqliteLineage::open(options, signer(), clock).unwrap();
        assert!(limbo.calls.is_empty() && limbo.unsettled.is_empty(), "{limbo:?}");
        put(&lineage, permitted(2 * round));
        drop(lineage.append(ended(2 * round, Revocation::Confirmed)));
        put(&lineage, permitted(2 * round + 1));
        let stays_open = Reader::open(&path).unwrap().story(call(2 * round + 1)).unwrap().unwrap();
        assert_eq!(stays_open.records.iter().map(Stored::kind).collect::<Vec<_>>(), ["permitted"]);
        put(&lineage, ended(2 * round + 1, Revocation::Confirmed));
        drop(lineage);
        let round = usize::try_from(round).unwrap();
        assert_eq!(intact(&note), size);
        assert_eq!((calls(&path, "me"), calls(&path, "rare")), (7, 2));
        assert_eq!((calls(&path, "triage"), calls(&path, "billing")), (round, round));
        assert_eq!(meta(&place), pair("4"));
    }
}
