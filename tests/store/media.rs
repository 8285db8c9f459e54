//! What is on a disk at any moment, by its journal: for sure, and perhaps.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::shim::{Disk, Random};

/// Bytes that a disk writes whole.
const SECTOR: usize = 512;

/// One thing that happened on the disk.
#[derive(Debug)]
pub enum Op {
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
pub fn read_journal(disk: &Disk) -> Vec<Op> {
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
pub struct Media {
    files: BTreeMap<usize, Content>,
    folders: BTreeMap<usize, String>,
    names: BTreeMap<String, usize>,
    /// Names that changed since the folder was synced. They reach the disk in order, as on a journaling file system.
    renamings: Vec<(String, Option<usize>)>,
}

impl Media {
    pub fn happen(&mut self, op: &Op, random: &mut Random) {
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
    pub fn fail(&self, random: &mut Random, folder: &Path) {
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
