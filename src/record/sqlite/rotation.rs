//! Old records on their way out of the file: copied into an archive off the writer's path, then taken out a tile at a time.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _};

use super::super::archive;
use super::super::tiles::WIDTH;
use super::schema::{BASE, number, row};
use crate::model::Timestamp;

/// When records are moved out of the file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rotate {
    /// When so many bytes of it are in use.
    pub bytes: Option<u64>,
    /// When the earliest record in it is so old.
    pub age: Option<Duration>,
}

/// What is moved out, and how far that has come.
#[derive(Debug)]
pub struct Rotation {
    rule: Rotate,
    /// The first record that is in the file.
    base: u64,
    /// What lies before this is in archives, durably.
    archived: Arc<AtomicU64>,
    copying: Option<JoinHandle<()>>,
}

impl Rotation {
    /// Where an earlier run has left it.
    pub fn resume(db: &Connection, path: &Path, rule: Rotate) -> Self {
        let base = number(db, BASE).ok().flatten().unwrap_or(0);
        let archived = Arc::new(AtomicU64::new(archive::archived_from(path, base)));
        Self { rule, base, archived, copying: None }
    }

    /// Begins to copy what may go, if it is time: whole tiles before `until`, which nobody will need to look at again but
    /// for reading.
    pub fn consider(&mut self, db: &Connection, path: &Path, until: u64, now: Timestamp) {
        let until = until - until % WIDTH as u64;
        let idle = self.copying.as_ref().is_none_or(JoinHandle::is_finished) && self.trim().is_none();
        if !idle || until <= self.base || !self.is_due(db, now) {
            return;
        }
        let (records, path, archived) = (self.base..until, path.to_owned(), Arc::clone(&self.archived));
        let copy = move || match archive::make(&path, records.clone()) {
            Ok(()) => archived.store(records.end, Ordering::Release),
            Err(cause) => {
                tracing::warn!(%cause, "records could not be moved into an archive; they stay where they are");
            }
        };
        match thread::Builder::new().name("lineage-archive".into()).spawn(copy) {
            Ok(copying) => self.copying = Some(copying),
            Err(cause) => {
                tracing::warn!(%cause, "records could not be moved into an archive; they stay where they are");
            }
        }
    }

    /// The next records to be taken out of the file: one tile of those that are archived.
    pub fn trim(&self) -> Option<Range<u64>> {
        let archived = self.archived.load(Ordering::Acquire);
        let end = self.base.saturating_add(WIDTH as u64);
        (end <= archived).then_some(self.base..end)
    }

    /// They are out.
    pub const fn trimmed(&mut self, to: u64) {
        self.base = to;
    }

    /// Waits until nothing is being copied.
    pub fn wait(&mut self) {
        if let Some(copying) = self.copying.take() {
            drop(copying.join());
        }
    }

    fn is_due(&self, db: &Connection, now: Timestamp) -> bool {
        let pragma =
            |name: &str| db.query_row(&format!("PRAGMA {name}"), [], |found| found.get::<_, i64>(0)).unwrap_or(0);
        let used = || (pragma("page_count") - pragma("freelist_count")).saturating_mul(pragma("page_size"));
        let oldest = || {
            let sql = "SELECT at FROM records WHERE seq >= ? ORDER BY seq LIMIT 1";
            db.query_row(sql, [row(self.base)], |found| found.get(0)).optional().ok().flatten()
        };
        self.rule.bytes.is_some_and(|bytes| used() > row(bytes))
            || self.rule.age.is_some_and(|age| oldest().is_some_and(|at| now.since(Timestamp::from_millis(at)) > age))
    }
}
