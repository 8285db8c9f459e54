//! What a loss of power leaves: built from the journal of a disk, at any moment, with any of the writes that were not yet
//! synced lost, torn or out of order. Whatever is left opens, verifies, and holds everything that was acknowledged.

use std::path::Path;

use countersign::record::{Reader, Sync, verify};

use super::fixture::*;
use super::media::{Media, Op, read_journal};
use super::shim::{Disk, Order, Process, Random};

/// What was said before this moment: what was acknowledged, and which checkpoints were seen.
fn said(ops: &[Op]) -> Vec<String> {
    let named = |op: &Op| match op {
        Op::Created { file, name } | Op::Existed { file, name } if name == "said" => Some(*file),
        _ => None,
    };
    let files: Vec<usize> = ops.iter().filter_map(named).collect();
    let written = |op: &Op| match op {
        Op::Written { file, data, .. } if files.contains(file) => Some(String::from_utf8(data.clone()).unwrap()),
        _ => None,
    };
    ops.iter().filter_map(written).flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// What of it does not hold for what is left in `folder`.
fn broken_promises(place: &Place, folder: &Path, said: &[String], sync: Sync) -> Vec<String> {
    let path = folder.join("lineage.db");
    let mut options = place.options(64);
    (options.path, options.sync, options.reserve) = (path.clone(), Sync::Normal, 0);
    let mut broken = Vec::new();
    match countersign::record::SqliteLineage::open(options, place.signer(), clock()) {
        Ok((lineage, _)) => drop(lineage),
        Err(error) => return vec![format!("it does not open: {error}")],
    }
    let reader = Reader::open(&path).unwrap();
    let report = verify(&reader, None, Some(&place.vkey()));
    if !report.is_intact() {
        broken.push(format!("{report:?}"));
    }
    for line in said {
        let words: Vec<&str> = line.split(' ').collect();
        let number: u64 = words[1].parse().unwrap();
        if words[0] == "checkpoint" {
            let holds = number <= report.size && reader.root(number).is_ok_and(|root| root.to_string() == words[2]);
            broken.extend((!holds).then(|| format!("contradicted: {line}")));
        } else if sync == Sync::Full {
            let record = reader.record(number).ok().flatten();
            let there = record.is_some_and(|record| record.kind() == words[0] && record.entry["call"] == words[2]);
            broken.extend((!there).then(|| format!("lost: {line}")));
        }
    }
    broken
}

/// One run of the process, and `moments` at which power might have gone. Gives what was broken, and where its journal is.
fn lose_power(seed: u64, moments: u64, sync: Sync, trouble: impl FnOnce(&Disk)) -> (Vec<String>, Place) {
    let place = Place::new();
    let disk = Disk::under(&place);
    trouble(&disk);
    let mut process = Process::start(&place, &disk, sync, true);
    assert_eq!(process.ask(&format!("run {} 60", seed + 1)), "done");
    process.kill();
    let ops = read_journal(&disk);
    let random = &mut Random(seed);
    let mut at: Vec<usize> = (0..moments).map(|_| usize::try_from(random.below(ops.len() as u64)).unwrap()).collect();
    // What a failed sync leaves is in danger until the log has been written anew: most of the moments are there.
    if let Some(failed) = ops.iter().position(|op| matches!(op, Op::SyncFailed { .. })) {
        let soon = u64::try_from(ops.len() - failed).unwrap().min(80);
        for moment in at.iter_mut().skip(10) {
            *moment = failed + usize::try_from(random.below(soon)).unwrap();
        }
    }
    at.sort_unstable();
    let (mut media, mut happened, mut broken) = (Media::default(), 0, Vec::new());
    // What a failed sync left is decided once, as it would be.
    let mut fate = Random(seed ^ 1);
    for moment in at {
        ops[happened..moment].iter().for_each(|op| media.happen(op, &mut fate));
        happened = moment;
        let left = tempfile::tempdir().unwrap();
        media.fail(random, left.path());
        let found = broken_promises(&place, left.path(), &said(&ops[..moment]), sync);
        broken.extend(found.into_iter().map(|what| format!("seed {seed}, moment {moment}: {what}")));
    }
    (broken, place)
}

/// How many moments: a hundred by default, ten thousand in the long run.
fn moments(share: u64) -> u64 {
    if std::env::var_os("COUNTERSIGN_LONG").is_some() { 100 * share } else { share }
}

fn holds(sync: Sync, trouble: impl Fn(&Disk)) {
    let runs = moments(100) / 50;
    for seed in 0..runs {
        let (broken, place) = lose_power(seed, 50, sync, &trouble);
        // Threads do not do the same twice: the journal of the run that failed is all there is to look at.
        let kept = || place.folder.keep();
        assert!(broken.is_empty(), "{}\nits journal is kept in {}", broken.join("\n"), kept().display());
    }
}

#[test]
fn what_was_acknowledged_survives_a_loss_of_power() {
    holds(Sync::Full, |_| {});
}

#[test]
fn a_checkpoint_that_was_seen_is_never_contradicted_whatever_the_records_are_promised() {
    holds(Sync::Normal, |_| {});
}

#[test]
fn a_sync_that_failed_once_costs_nothing_that_was_acknowledged() {
    for fails_in in [9, 14, 25, 40] {
        holds(Sync::Full, |disk| disk.tell(Order::SyncFailsIn, fails_in));
    }
}

/// A log that has just begun anew holds nothing yet of the pages that are written first. If a sync fails then, what is moved
/// into the file next must be in the log, durably: half moved, nothing else can complete it.
fn fails_at_the_beginning_of_a_log(sync: Sync, fails_in: i64) {
    let place = Place::new();
    let disk = Disk::under(&place);
    let mut process = Process::start(&place, &disk, sync, true);
    let said: Vec<String> = (0..40).map(|n| line(n, &process.ask(&format!("permit {n}")))).collect();
    assert_eq!(process.ask("reopen"), "limbo 40");
    disk.tell(Order::SyncFailsIn, fails_in);
    let mut next = 100;
    until("a sync has failed", || {
        next += 1;
        process.ask(&format!("permit {next}"));
        disk.told(Order::SyncFailsIn) == 0
    });
    until("the disk is well", || process.ask("trouble") == "well");
    assert!(process.ask("permit 99").starts_with("ok "));
    process.kill();
    let ops = read_journal(&disk);
    let failed = ops.iter().position(|op| matches!(op, Op::SyncFailed { .. })).unwrap();
    for fate in 0..4 {
        let (mut media, mut random) = (Media::default(), Random(fate));
        for (moment, op) in ops.iter().enumerate().take(failed + 40) {
            media.happen(op, &mut random);
            for _ in 0..if moment > failed { 3 } else { 0 } {
                let left = tempfile::tempdir().unwrap();
                media.fail(&mut random, left.path());
                let broken = broken_promises(&place, left.path(), &said, sync);
                let behind = moment - failed;
                assert!(broken.is_empty(), "{sync:?}, {fails_in}, fate {fate}, {behind} behind: {broken:?}");
            }
        }
    }
}

#[test]
fn a_sync_that_fails_at_the_beginning_of_a_log_leaves_a_file_that_can_be_completed() {
    // There are syncs of the log's head, of the folder, of commits and of checkpoints.
    for fails_in in 1..=4 {
        fails_at_the_beginning_of_a_log(Sync::Normal, fails_in);
        fails_at_the_beginning_of_a_log(Sync::Full, fails_in);
    }
}

/// The last sync of a run may fail, and nobody is there any more to write the log anew: whoever opens it next does.
#[test]
fn a_sync_that_failed_when_the_store_was_closed_costs_nothing_that_is_acknowledged_after() {
    // Which of the last syncs fails is a matter of milliseconds, so several are tried.
    for run in 0..24 {
        let place = Place::new();
        let disk = Disk::under(&place);
        let mut process = Process::start(&place, &disk, Sync::Full, true);
        (0..4).for_each(|n| drop(process.ask(&format!("permit {n}"))));
        disk.tell(Order::SyncFailsIn, 1 + run % 3);
        process.say("refuse 1");
        process.say("reopen");
        assert_eq!((process.answer(), process.answer()), ("noted".to_owned(), "limbo 4".to_owned()));
        let said: Vec<String> = (10..14).map(|n| line(n, &process.ask(&format!("permit {n}")))).collect();
        process.kill();
        let ops = read_journal(&disk);
        for fate in 0..4 {
            let (mut media, mut random) = (Media::default(), Random(fate));
            for op in &ops {
                media.happen(op, &mut random);
            }
            let left = tempfile::tempdir().unwrap();
            media.fail(&mut random, left.path());
            let broken = broken_promises(&place, left.path(), &said, Sync::Full);
            assert!(broken.is_empty(), "run {run}, fate {fate}: {broken:?}");
        }
    }
}

/// What the process says on the disk of a permission.
fn line(n: u64, told: &str) -> String {
    format!("permitted {} {}", told.strip_prefix("ok ").unwrap(), call(n))
}

/// The harness itself: a folder that is given the inode of a file that was removed is a folder, and its syncs count.
#[test]
fn an_inode_that_is_used_again_is_another_file() {
    let place = Place::new();
    let disk = Disk::under(&place);
    let script =
        "import os; open('file', 'w').close(); os.unlink('file'); os.mkdir('folder'); os.fsync(os.open('folder', 0))";
    let script = script.replace("'f", &format!("'{}/f", disk.folder.display()));
    let mut command = std::process::Command::new("python3");
    disk.carry(command.args(["-c", &script]), true);
    assert!(command.status().unwrap().success());
    let ops = read_journal(&disk);
    let folder = ops.iter().find_map(|op| match op {
        Op::Folder { file, path } if path == "folder" => Some(*file),
        _ => None,
    });
    assert!(ops.iter().any(|op| matches!(op, Op::Synced { file } if Some(*file) == folder)), "{ops:?}");
}

/// The harness itself: on a disk that lies about its syncs, the promises are found broken.
#[test]
fn a_disk_that_lies_is_found_out() {
    let (broken, _) = lose_power(1, 50, Sync::Full, |disk| disk.tell(Order::SyncLies, 1));
    assert!(broken.iter().any(|what| what.contains("lost: permitted")), "{broken:?}");
    assert!(broken.iter().any(|what| what.contains("contradicted: checkpoint")), "{broken:?}");
}

/// And where syncs are left to `normal`, what `full` promises is found broken.
#[test]
fn without_a_sync_for_each_commit_something_is_lost() {
    let place = Place::new();
    let disk = Disk::under(&place);
    let mut process = Process::start(&place, &disk, Sync::Normal, true);
    assert_eq!(process.ask("run 1 60"), "done");
    process.kill();
    let ops = read_journal(&disk);
    let (mut media, mut random) = (Media::default(), Random(7));
    for op in &ops {
        media.happen(op, &mut random);
    }
    let mut lost = 0;
    for _ in 0..20 {
        let left = tempfile::tempdir().unwrap();
        media.fail(&mut random, left.path());
        lost += broken_promises(&place, left.path(), &said(&ops), Sync::Full).len();
    }
    assert!(lost > 0);
}
