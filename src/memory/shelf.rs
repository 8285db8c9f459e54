//! Room for what all tasks have heard: what was added to or fetched last is in memory, the rest is laid aside in files.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use super::heard::Heard;
use super::lesson::Lesson;
use super::live::Live;
use super::lock;

/// Bytes of what tasks have heard that are held in memory, together.
pub const ROOM: usize = 64 * 1024 * 1024;

/// Where what tasks have heard is kept.
#[derive(Debug)]
pub struct Shelf {
    /// A folder for what is laid aside; without one it is forgotten.
    folder: Option<PathBuf>,
    room: usize,
    used: AtomicUsize,
    order: Mutex<Order>,
}

/// Which task added to its own, or fetched it, last.
#[derive(Debug, Default)]
struct Order {
    turn: u64,
    by_turn: BTreeMap<u64, Weak<Live>>,
}

impl Default for Shelf {
    fn default() -> Self {
        Self { folder: None, room: ROOM, used: AtomicUsize::new(0), order: Mutex::default() }
    }
}

impl Shelf {
    /// With a folder of its own, which is made once it is needed. What another run has left there is gone.
    pub fn within(folder: &Path, room: usize) -> io::Result<Self> {
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        Ok(Self { folder: Some(folder.to_owned()), room, ..Self::default() })
    }

    /// What a task has heard has grown or was fetched: it is the last to be laid aside. Gives its turn, in place of the one
    /// it had.
    fn touch(&self, live: &Arc<Live>, turn: u64) -> u64 {
        let mut order = lock(&self.order);
        order.by_turn.remove(&turn);
        order.turn += 1;
        let turn = order.turn;
        order.by_turn.insert(turn, Arc::downgrade(live));
        turn
    }

    /// Lays aside what was not added to or fetched for the longest time, until the rest has room. Nobody may hold a task meanwhile.
    fn make_room(&self) {
        while self.used.load(Ordering::Relaxed) > self.room {
            let Some((_, live)) = lock(&self.order).by_turn.pop_first() else { return };
            let Some(live) = live.upgrade() else { continue };
            let id = live.task().id;
            if let Some(shelved) = &mut lock(&live.state).heard {
                let file = self.folder.as_ref().map(|folder| folder.join(id.to_string()));
                shelved.lay_aside(file);
            }
        }
    }
}

/// What one task has heard, wherever that is.
#[derive(Debug)]
pub(super) struct Shelved {
    shelf: Arc<Shelf>,
    place: Place,
    /// When it was added to or fetched last, by the shelf's count; 0 if it never was.
    turn: u64,
}

#[derive(Debug)]
enum Place {
    Here(Heard, usize),
    Away(PathBuf, RandomState),
    /// It could not be laid aside or fetched: nobody vouches for anything, and anything may have been read.
    Lost,
}

impl Shelved {
    fn new(shelf: Arc<Shelf>) -> Self {
        Self { shelf, place: Place::Here(Heard::default(), 0), turn: 0 }
    }

    fn lay_aside(&mut self, file: Option<PathBuf>) {
        let Place::Here(heard, counted) = &self.place else { return };
        let (hasher, bytes) = (heard.hasher(), heard.written());
        self.shelf.used.fetch_sub(*counted, Ordering::Relaxed);
        let written = file.map(|file| write(&file, &bytes).map(|()| file));
        self.place = match written {
            Some(Ok(file)) => Place::Away(file, hasher),
            Some(Err(error)) => {
                tracing::warn!(%error, "what a task has heard could not be laid aside: it is forgotten");
                Place::Lost
            }
            None => Place::Lost,
        };
    }

    /// Fetches it, if it was laid aside. Nothing if it is lost.
    fn here(&mut self) -> Option<&mut Heard> {
        if let Place::Away(file, hasher) = &self.place {
            let read = fs::read(file).ok().and_then(|bytes| Heard::read(&bytes, hasher.clone()));
            let _ = fs::remove_file(file);
            self.place = match read {
                Some(heard) => Place::Here(heard, 0),
                None => {
                    tracing::warn!("what a task has heard could not be fetched: it is forgotten");
                    Place::Lost
                }
            };
            self.count();
        }
        match &mut self.place {
            Place::Here(heard, _) => Some(heard),
            Place::Away(..) | Place::Lost => None,
        }
    }

    fn count(&mut self) {
        if let Place::Here(heard, counted) = &mut self.place {
            let now = heard.size();
            self.shelf.used.fetch_add(now, Ordering::Relaxed);
            self.shelf.used.fetch_sub(*counted, Ordering::Relaxed);
            *counted = now;
        }
    }
}

/// Where nobody else can read it.
fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;

    if let Some(folder) = file.parent() {
        fs::DirBuilder::new().mode(0o700).recursive(true).create(folder)?;
    }
    fs::write(file, bytes)
}

impl Drop for Shelved {
    fn drop(&mut self) {
        match &self.place {
            Place::Here(_, counted) => drop(self.shelf.used.fetch_sub(*counted, Ordering::Relaxed)),
            Place::Away(file, _) => drop(fs::remove_file(file)),
            Place::Lost => {}
        }
        if self.turn > 0 {
            lock(&self.shelf.order).by_turn.remove(&self.turn);
        }
    }
}

impl Live {
    /// Takes in what an answer brought.
    pub(super) fn hear(self: &Arc<Self>, lesson: &Lesson) {
        {
            let mut state = lock(&self.state);
            let shelved = state.heard.get_or_insert_with(|| Box::new(Shelved::new(self.shelf.clone())));
            if let Some(heard) = shelved.here() {
                heard.learn(lesson);
            }
            shelved.count();
            shelved.turn = self.shelf.touch(self, shelved.turn);
        }
        self.shelf.make_room();
    }

    /// Asks what was heard; `lost` where nobody knows any more, and nothing where nothing was heard.
    pub(super) fn ask<T>(self: &Arc<Self>, lost: T, question: impl FnOnce(&Heard) -> T) -> Option<T> {
        let (answer, fetched) = {
            let mut state = lock(&self.state);
            let shelved = state.heard.as_mut()?;
            let fetched = matches!(shelved.place, Place::Away(..));
            let answer = shelved.here().map_or(lost, |heard| question(heard));
            if fetched {
                shelved.turn = self.shelf.touch(self, shelved.turn);
            }
            (answer, fetched)
        };
        if fetched {
            self.shelf.make_room();
        }
        Some(answer)
    }
}
