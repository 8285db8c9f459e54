//! A list finds what there is, however it is filtered, and reads little for it: also in a file that older programs have
//! written, or have gone on with.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use countersign::model::{Revocation, TaskId};
use countersign::record::{
    Event, Filter, Lineage, Options, Reader, Record, Repeated, Rotate, SqliteLineage, Stored, Story, Verdict, verify,
};

use super::fixture::*;
use super::shim::Random;

/// What an older program does with the notes of where verdicts lie: nothing.
const OLDER: &str = "
    CREATE TRIGGER older_filed BEFORE INSERT ON filed BEGIN SELECT RAISE(IGNORE); END;
    CREATE TRIGGER older_combinations BEFORE INSERT ON combinations BEGIN SELECT RAISE(IGNORE); END;
    CREATE TRIGGER older_covered BEFORE INSERT ON covered BEGIN SELECT RAISE(IGNORE); END;
    CREATE TRIGGER older_uncovered BEFORE DELETE ON covered BEGIN SELECT RAISE(IGNORE); END";
const NEWER: &str = "DROP TRIGGER older_filed; DROP TRIGGER older_combinations; DROP TRIGGER older_covered;
    DROP TRIGGER older_uncovered";

const AGENTS: [&str; 4] = ["triage", "billing", "search", "rare"];
const ACTIONS: [&str; 4] = ["tickets/issues.create", "tickets/issues.get", "files/issues.get", "files/purge"];
const DECISIONS: [&str; 4] = ["deny", "throttle", "unavailable", "allow"];

fn some<'a>(random: &mut Random, of: &[&'a str]) -> &'a str {
    // The first ones often, the last one hardly ever.
    let most = if random.below(40) == 0 { of.len() } else { of.len().min(3) };
    of[usize::try_from(random.below(most as u64)).unwrap()]
}

/// A record as they come: mostly permissions and their ends, some refusals, one by one or counted.
fn any(random: &mut Random, n: u64) -> Record {
    let (agent, action) = (some(random, &AGENTS).to_owned(), some(random, &ACTIONS).to_owned());
    let of = Some(task(u8::try_from(random.below(5)).unwrap())).filter(|of| *of != task(0));
    let mut record = match random.below(8) {
        0 | 1 => refused(n),
        2 => {
            let decision = some(random, &DECISIONS[..3]).to_owned();
            let (code, count) = ("denied".to_owned(), 1 + random.below(9));
            let at = countersign::model::Timestamp::from_millis(START);
            record(
                None,
                Event::Repeated(Repeated {
                    code,
                    decision,
                    rules: Vec::new(),
                    agent: None,
                    action: None,
                    count,
                    since: at,
                    first: None,
                    last: None,
                }),
            )
        }
        _ => permitted(n),
    };
    match &mut record.event {
        Event::Permitted(permitted) => (permitted.agent, permitted.action) = (agent, action),
        Event::Refused(refused) => {
            refused.agent = Some(agent).filter(|_| random.below(4) > 0);
            refused.action = Some(action).filter(|_| random.below(4) > 0);
            some(random, &DECISIONS[..3]).clone_into(&mut refused.decision);
        }
        Event::Repeated(repeated) => (repeated.agent, repeated.action) = (Some(agent), Some(action)),
        _ => {}
    }
    record.task = of;
    record
}

fn write(place: &Place, random: &mut Random, next: &mut u64, rotate: Option<u64>) {
    let options = Options {
        rotate: Rotate { bytes: rotate, age: None },
        signed_every: Duration::from_millis(5),
        ..place.options(1 << 16)
    };
    let (lineage, _) = SqliteLineage::open(options, place.signer(), clock()).unwrap();
    for _ in 0..=random.below(5) {
        let receipts: Vec<_> = (0..=random.below(400))
            .map(|_| {
                *next += 1;
                (*next, lineage.append(any(random, *next)))
            })
            .collect();
        for (n, receipt) in receipts {
            wait(receipt).unwrap();
            // What is open stays in the file.
            drop(lineage.append(ended(n, Revocation::Confirmed)));
        }
    }
    if rotate.is_some() {
        std::thread::sleep(Duration::from_millis(60));
    }
}

fn filter(random: &mut Random, size: u64) -> Filter {
    let pick = |random: &mut Random, of: &[&str]| (random.below(2) == 0).then(|| some(random, of).to_owned());
    let part = random.below(4);
    Filter {
        agent: pick(random, &AGENTS),
        action: pick(random, &ACTIONS).map(|name| match (part, name.split_once('/').unwrap()) {
            (0, (_, short)) => short.to_owned(),
            (1, (tool, _)) => format!("{tool}/"),
            _ => name,
        }),
        decision: pick(random, &DECISIONS).map(|name| if random.below(4) == 0 { "no".to_owned() } else { name }),
        task: (random.below(3) == 0).then(|| task(u8::try_from(random.below(6)).unwrap())),
        limit: [1, 3, 50, 10_000][usize::try_from(random.below(4)).unwrap()],
        before: (random.below(3) == 0).then(|| random.below(size + 300)),
    }
}

/// The places of the verdicts that are listed.
fn listed(stories: &[Story]) -> Vec<u64> {
    stories.iter().map(|story| story.records[0].seq).collect()
}

/// The same from all records, one after the other.
fn looked_up(reader: &Reader, all: &[Stored], filter: &Filter) -> Vec<u64> {
    let mut told = BTreeSet::new();
    let mut found = Vec::new();
    for record in all.iter().rev().filter(|record| filter.before.is_none_or(|before| record.seq < before)) {
        let field = |name: &str| record.entry[name].as_str();
        let is = |wanted: &Option<String>, found: Option<&str>| wanted.is_none() || wanted.as_deref() == found;
        let (action, decision) = (field("action"), field("decision").unwrap_or("allow"));
        let takes = ["permitted", "refused", "repeated"].contains(&record.kind())
            && is(&filter.agent, field("agent"))
            && (is(&filter.action, action)
                || is(&filter.action, action.map(|name| name.split_once('/').unwrap().1))
                || is(&filter.action, action.map(|name| name.split_inclusive('/').next().unwrap())))
            && (is(&filter.decision, Some(decision))
                || filter.decision.as_deref() == Some("no") && decision != "allow")
            && filter.task.is_none_or(|of| field("task").and_then(|found| found.parse::<TaskId>().ok()) == Some(of));
        if !takes || found.len() >= filter.limit {
            continue;
        }
        match field("call") {
            Some(call) if told.insert(call.to_owned()) => {
                found.push(reader.story(call.parse().unwrap()).unwrap().unwrap().records[0].seq);
            }
            Some(_) => {}
            None => found.push(record.seq),
        }
    }
    found
}

#[test]
fn a_list_says_the_same_with_notes_of_where_verdicts_lie_and_without() {
    let long = std::env::var_os("COUNTERSIGN_LONG").is_some();
    let (mut archived, mut interrupted) = (0, 0);
    for seed in 0..if long { 400 } else { 4 } {
        let (place, mut random, mut next) = (Place::new(), Random(seed), 0);
        for phase in 0..5 {
            let older = phase > 0 && random.below(3) == 0;
            if older {
                place.sql().execute_batch(OLDER).unwrap();
            }
            let rotate = (random.below(3) == 0).then_some(200 * 1024);
            write(&place, &mut random, &mut next, rotate);
            if older {
                place.sql().execute_batch(NEWER).unwrap();
            }
            let reader = Reader::open(&place.path()).unwrap();
            let all = reader.records(0, usize::MAX).unwrap();
            let filters: Vec<Filter> = (0..25).map(|_| filter(&mut random, all.len() as u64)).collect();
            let noted: Vec<Vec<u64>> = filters.iter().map(|filter| listed(&reader.calls(filter).unwrap())).collect();
            for (filter, noted) in filters.iter().zip(&noted) {
                assert_eq!(*noted, looked_up(&reader, &all, filter), "seed {seed}, phase {phase}: {filter:?}");
            }
            let db = place.sql();
            db.execute_batch("BEGIN; ALTER TABLE filed RENAME TO elsewhere; COMMIT").unwrap();
            for (filter, noted) in filters.iter().zip(&noted) {
                let without = listed(&Reader::open(&place.path()).unwrap().calls(filter).unwrap());
                assert_eq!(without, *noted, "seed {seed}, phase {phase}: {filter:?}");
            }
            db.execute_batch("ALTER TABLE elsewhere RENAME TO filed").unwrap();
            let report = verify(&reader, None, Some(&place.vkey()));
            assert!(report.is_intact(), "seed {seed}, phase {phase}: {report:?}");
        }
        let count = |sql: &str| place.sql().query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        archived += count("SELECT count(*) FROM meta WHERE key = 'base'");
        interrupted += count("SELECT count(*) FROM covered") - 1;
    }
    assert!(archived > 0 && interrupted > 0, "{archived} lineages with archives, {interrupted} gaps");
}

/// Two thousand calls, of which call 700 alone is `rare`'s, in a task of its own.
fn crowd(lineage: &Arc<SqliteLineage>) {
    let receipts: Vec<_> = (0..2_000)
        .map(|n| {
            let mut record = refused(n);
            if let Event::Refused(refused) = &mut record.event
                && n == 700
            {
                refused.agent = Some("rare".into());
                refused.action = Some("files/purge".into());
                refused.decision = "throttle".into();
                record.task = Some(task(9));
            }
            lineage.append(record)
        })
        .collect();
    for receipt in receipts {
        wait(receipt).unwrap();
    }
}

/// What only that call has.
fn rare() -> [Filter; 4] {
    let any = Filter { limit: 50, ..Filter::default() };
    [
        Filter { agent: Some("rare".into()), ..any.clone() },
        Filter { action: Some("purge".into()), ..any.clone() },
        Filter { decision: Some("throttle".into()), ..any.clone() },
        Filter { task: Some(task(9)), ..any },
    ]
}

#[test]
fn a_list_of_what_is_rare_looks_nowhere_else() {
    let place = Place::new();
    let (lineage, _) = place.try_open(1 << 16).unwrap();
    crowd(&lineage);
    drop(lineage);
    // Whoever looks into blocks that are noted to hold nothing of it finds a hundred others like it.
    place
        .sql()
        .execute_batch(
            "UPDATE records SET task = (SELECT task FROM records WHERE seq = 700),
                                entry = (SELECT entry FROM records WHERE seq = 700)
             WHERE seq % 10 = 5 AND seq / 256 NOT IN (700 / 256, 1999 / 256)",
        )
        .unwrap();
    let reader = Reader::open(&place.path()).unwrap();
    for filter in rare() {
        assert_eq!(listed(&reader.calls(&filter).unwrap()), [700], "{filter:?}");
    }
    place.sql().execute_batch("DROP TABLE filed").unwrap();
    for filter in rare() {
        assert!(
            Reader::open(&place.path()).unwrap().calls(&filter).unwrap().len() >= 50,
            "without it, everything is read"
        );
    }
}

#[test]
fn a_verdict_that_is_hidden_from_lists_is_found_by_verify() {
    let place = Place::new();
    let (lineage, _) = place.try_open(1 << 16).unwrap();
    crowd(&lineage);
    drop(lineage);
    let report = || verify(&Reader::open(&place.path()).unwrap(), None, Some(&place.vkey()));
    assert!(report().is_intact(), "{:?}", report());
    for (hide, whole) in [
        ("DELETE FROM filed WHERE block = 2 AND combination = 2 AND length(task) = 0", true),
        ("DELETE FROM filed WHERE block = 2 AND combination = 2 AND length(task) > 0", true),
        ("UPDATE filed SET block = 3 WHERE combination = 2", true),
        ("UPDATE combinations SET agent = 'another' WHERE id = 2", true),
        ("UPDATE combinations SET decision = 'deny' WHERE id = 2", true),
        // Where nothing is said, everything is looked through, and nothing is hidden.
        ("DELETE FROM covered", false),
    ] {
        let db = place.sql();
        db.execute_batch(
            "CREATE TEMP TABLE f AS SELECT * FROM filed; CREATE TEMP TABLE c AS SELECT * FROM combinations",
        )
        .unwrap();
        assert!(db.execute(hide, []).unwrap() > 0, "{hide}");
        let found = report();
        if whole {
            assert!(matches!(found.verdict, Verdict::Broken { seq: Some(700), .. }), "{hide}: {found:?}");
        } else {
            assert!(found.is_intact(), "{hide}: {found:?}");
        }
        let again = "DELETE FROM filed; INSERT INTO filed SELECT * FROM f; DELETE FROM combinations;
                     INSERT INTO combinations SELECT * FROM c; DROP TABLE f; DROP TABLE c";
        db.execute_batch(again).unwrap();
    }
}

#[test]
fn a_batch_that_failed_leaves_its_verdicts_to_be_noted_anew() {
    let place = Place::new();
    let (lineage, _) = place.try_open(1 << 16).unwrap();
    put(&lineage, permitted(1));
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON payloads WHEN new.seq > 0
                  BEGIN SELECT RAISE(ABORT, 'disk on fire'); END";
    place.sql().execute_batch(refuse).unwrap();
    let mut first = permitted(3);
    if let Event::Permitted(permitted) = &mut first.event {
        permitted.agent = "rare".into();
    }
    let receipts = [lineage.append(first), lineage.append(permitted(4)), lineage.append(permitted(5))];
    for receipt in receipts {
        drop(wait(receipt));
    }
    place.sql().execute_batch("DROP TRIGGER refuse").unwrap();
    until("it is written again", || lineage.trouble().is_none());
    crowd(&lineage);
    let mut last = permitted(6_000);
    if let Event::Permitted(permitted) = &mut last.event {
        permitted.agent = "rare".into();
    }
    put(&lineage, last);
    drop(lineage);
    let reader = Reader::open(&place.path()).unwrap();
    let all = reader.records(0, usize::MAX).unwrap();
    for filter in rare() {
        assert_eq!(listed(&reader.calls(&filter).unwrap()), looked_up(&reader, &all, &filter));
    }
    let report = verify(&reader, None, Some(&place.vkey()));
    assert!(report.is_intact(), "{report:?}");
}

#[test]
fn a_file_of_an_older_format_goes_on_needing_what_its_archives_need() {
    let place = Place::new();
    drop(place.open());
    place
        .sql()
        .execute_batch(
            "UPDATE meta SET value = '2'; INSERT OR REPLACE INTO meta VALUES ('base', '0');
             DROP TABLE filed; DROP TABLE covered; DROP TABLE combinations",
        )
        .unwrap();
    let (lineage, _) = place.open();
    put(&lineage, permitted(1));
    let meta = |key: &str| {
        place.sql().query_row("SELECT value FROM meta WHERE key = ?", [key], |row| row.get::<_, String>(0)).unwrap()
    };
    assert_eq!((meta("format"), meta("needs")), ("4".into(), "2".into()));
}
