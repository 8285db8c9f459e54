//! What a loss of power leaves: built from the journal of a disk, at any moment, with any of the writes that were not yet
//! synced lost, torn or out of order. Whatever is left opens, verifies, and holds everything that was acknowledged.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use countersign::record::{Reader, Sync, verify};

use super::fixture::*;
use super::shim::{Disk, Order, Process, Random};

/// Bytes that a disk writes whole.
const SECTOR: usize = 512;

/// One thing that happened on the disk.
#[derive(Debug)]
enum Op {
    Created { file: usize, name: String },
    Existed { file: usize, name: String },
    Folder { file: usize, path: String },
    Written { file: usize, offset: usize, data: Vec<u8> },
    Cut { file: usize, length: usize },
    Synced { file: usize },
    SyncFailed { file: usize },
    Removed { name: String },
    Renamed { from: String, to: String },
}

/// The journal of a disk; names in it are those below its folder.
fn read_journal(disk: &Disk) -> Vec<Op> {
    let bytes = fs::read(&disk.journal).unwrap();
    let below = |path: &str| {
        let path = Path::new(path).strip_prefix(&disk.folder).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let mut rest = bytes.as_slice();
    let mut ops = Vec::new();
    while let Some((head, after)) = rest.split_first_chunk::<24>() {
        let number = |from: usize| i64::from_ne_bytes(head[from..from + 8].try_into().unwrap());
        let file = usize::try_from(i32::from_ne_bytes(head[4..8].try_into().unwrap())).unwrap();
        let offset = usize::try_from(number(8)).unwrap();
        let (data, after) = after.split_at(usize::try_from(number(16)).unwrap());
        let name = || below(std::str::from_utf8(data).unwrap());
        ops.push(match head[0] {
            b'c' => Op::Created { file, name: name() },
            b'e' => Op::Existed { file, name: name() },
            b'd' => Op::Folder { file, path: name() },
            b'w' => Op::Written { file, offset, data: data.to_vec() },
            b't' => Op::Cut { file, length: offset },
            b's' => Op::Synced { file },
            b'f' => Op::SyncFailed { file },
            b'u' => Op::Removed { name: name() },
            b'r' => {
                let (from, to) = std::str::from_utf8(data).unwrap().split_once('\n').unwrap();
                Op::Renamed { from: below(from), to: below(to) }
            }
            other => panic!("{other}"),
        });
        rest = after;
    }
    ops
}

#[derive(Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Cut(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => {
                let end = offset + data.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(data);
            }
            Self::Cut(length) => content.resize(*length, 0),
        }
    }

    /// Only some of its sectors reached the disk.
    fn tear(&self, content: &mut Vec<u8>, random: &mut Random) {
        let Self::Write(offset, data) = self else { return self.apply(content) };
        let mut at = *offset;
        let mut left = data.as_slice();
        while !left.is_empty() {
            let (now, rest) = left.split_at(left.len().min(SECTOR - at % SECTOR));
            if random.below(2) == 0 {
                Self::Write(at, now.to_vec()).apply(content);
            }
            at += now.len();
            left = rest;
        }
    }
}

#[derive(Clone, Default)]
struct Content {
    durable: Vec<u8>,
    pending: Vec<Change>,
}

/// The disk at one moment: what is on it for sure, and what may be.
#[derive(Clone, Default)]
struct Media {
    files: BTreeMap<usize, Content>,
    folders: BTreeMap<usize, String>,
    names: BTreeMap<String, usize>,
    /// Names that changed since the folder was synced. They reach the disk in order, as on a journaling file system.
    renamings: Vec<(String, Option<usize>)>,
}

impl Media {
    fn happen(&mut self, op: &Op, random: &mut Random) {
        match op {
            Op::Created { file, name } => {
                self.files.insert(*file, Content::default());
                self.renamings.push((name.clone(), Some(*file)));
            }
            Op::Existed { file, name } => {
                self.names.insert(name.clone(), *file);
            }
            Op::Folder { file, path } => {
                self.folders.insert(*file, path.clone());
            }
            Op::Written { file, offset, data } => {
                self.files.entry(*file).or_default().pending.push(Change::Write(*offset, data.clone()));
            }
            Op::Cut { file, length } => self.files.entry(*file).or_default().pending.push(Change::Cut(*length)),
            Op::Synced { file } if self.folders.contains_key(file) => {
                let folder = self.folders[file].clone();
                let (here, elsewhere) = std::mem::take(&mut self.renamings)
                    .into_iter()
                    .partition(|(name, _)| Path::new(name).parent() == Some(Path::new(&folder)));
                self.renamings = here;
                let all = self.renamings.len();
                self.settle_names(all);
                self.renamings = elsewhere;
            }
            Op::Synced { file } => {
                let content = self.files.entry(*file).or_default();
                for change in content.pending.drain(..) {
                    change.apply(&mut content.durable);
                }
            }
            Op::SyncFailed { file } => {
                // The system takes them for written from here on; some are, and the others never will be.
                let content = self.files.entry(*file).or_default();
                for change in content.pending.drain(..) {
                    if random.below(2) == 0 {
                        change.apply(&mut content.durable);
                    }
                }
            }
            Op::Removed { name } => self.renamings.push((name.clone(), None)),
            Op::Renamed { from, to } => {
                let file = self.file(from);
                self.renamings.extend([(to.clone(), file), (from.clone(), None)]);
            }
        }
    }

    fn file(&self, name: &str) -> Option<usize> {
        let changed = self.renamings.iter().rev().find(|(changed, _)| changed == name).map(|(_, file)| *file);
        changed.unwrap_or_else(|| self.names.get(name).copied())
    }

    fn settle_names(&mut self, count: usize) {
        for (name, file) in self.renamings.drain(..count) {
            match file {
                Some(file) => self.names.insert(name, file),
                None => self.names.remove(&name),
            };
        }
    }

    /// Power goes: what is left is laid out in a folder.
    fn fail(&self, random: &mut Random, folder: &Path) {
        let mut left = self.clone();
        let renamed = usize::try_from(random.below(left.renamings.len() as u64 + 1)).unwrap();
        left.settle_names(renamed);
        for (name, file) in &left.names {
            if !name.starts_with("lineage.db") || name.ends_with("-reserve") {
                continue;
            }
            let Content { mut durable, pending } = left.files.get(file).cloned().unwrap_or_default();
            let (fate, some) = (random.below(6), usize::try_from(random.below(pending.len() as u64 + 1)).unwrap());
            for (number, change) in pending.iter().enumerate() {
                match fate {
                    1 => change.apply(&mut durable),
                    2 if number < some => change.apply(&mut durable),
                    3 if number >= some => change.apply(&mut durable),
                    4 if random.below(2) == 0 => change.apply(&mut durable),
                    5 => change.tear(&mut durable, random),
                    // All of it is lost; or this part.
                    _ => {}
                }
            }
            fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
            fs::write(folder.join(name), durable).unwrap();
        }
    }
}

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

/// One run of the process, and `moments` at which power might have gone. Gives what was broken, and how many were looked at.
fn lose_power(seed: u64, moments: u64, sync: Sync, trouble: impl FnOnce(&Disk)) -> (Vec<String>, u64) {
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
    (broken, moments)
}

/// How many moments: a hundred by default, ten thousand in the long run.
fn moments(share: u64) -> u64 {
    if std::env::var_os("COUNTERSIGN_LONG").is_some() { 100 * share } else { share }
}

fn holds(sync: Sync, trouble: impl Fn(&Disk)) {
    let runs = moments(100) / 50;
    for seed in 0..runs {
        let (broken, _) = lose_power(seed, 50, sync, &trouble);
        assert!(broken.is_empty(), "{}", broken.join("\n"));
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

/// What the process says on the disk of a permission.
fn line(n: u64, told: &str) -> String {
    format!("permitted {} {}", told.strip_prefix("ok ").unwrap(), call(n))
}

/// The harness itself: a folder that is given the inode of a file that was removed is a folder, and its syncs count.
#[test]
fn an_inode_that_is_used_again_is_another_file() {
    let place = Place::new();
    let disk = Disk::under(&place);
    let script = "import os; open('file', 'w').close(); os.unlink('file'); os.mkdir('folder'); os.fsync(os.open('folder', 0))";
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
