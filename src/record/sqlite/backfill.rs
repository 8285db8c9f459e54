//! Moves what is in the write-ahead log into the file, off the writer's path.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use rusqlite::Connection;

use super::super::StoreError;
use super::{Sync, schema};

/// Bytes in the log that call for moving.
pub const ENOUGH: u64 = 8 << 20;

/// Pages in the log at which the writer itself moves the last of them: only a log that is moved to its end starts again
/// at its beginning, and under a steady stream of records the mover alone never gets there.
const CROWDED_PAGES: i64 = 8_192;

/// Pages the writer may be left to move, and how often the mover tries to leave no more.
const LEFT_PAGES: i64 = 512;
const ROUNDS: usize = 4;

/// The bell of the mover, and what it has to say.
#[derive(Debug, Default)]
pub struct Backfill {
    asked: Mutex<Asked>,
    bell: Condvar,
    crowded: AtomicBool,
}

#[derive(Debug, Default)]
struct Asked {
    move_now: bool,
    close: bool,
}

impl Backfill {
    /// Starts the mover with its own connection.
    pub fn start(path: &Path, sync: Sync) -> Result<(Arc<Self>, JoinHandle<()>), StoreError> {
        let backfill = Arc::new(Self::default());
        let (shared, path) = (Arc::clone(&backfill), path.to_owned());
        let thread = thread::Builder::new()
            .name("lineage-backfill".into())
            .spawn(move || shared.run(&path, sync))
            .map_err(StoreError::Thread)?;
        Ok((backfill, thread))
    }

    /// Asks for the log to be moved.
    pub fn ask(&self) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).move_now = true;
        self.bell.notify_one();
    }

    /// Ends the mover.
    pub fn close(&self) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).close = true;
        self.bell.notify_one();
    }

    /// Whether the writer is to move the rest itself, between two commits.
    pub fn is_crowded(&self) -> bool {
        self.crowded.load(Ordering::Relaxed)
    }

    /// The writer has moved the rest.
    pub fn relieve(&self) {
        self.crowded.store(false, Ordering::Relaxed);
    }

    fn run(&self, path: &Path, sync: Sync) {
        while self.wait() {
            // A connection of its own each time: after a failed write the writer opens the file anew, and so do we.
            match schema::connect(path, sync).and_then(|db| almost_all(&db)) {
                Ok(pages) => self.crowded.store(pages > CROWDED_PAGES, Ordering::Relaxed),
                Err(cause) => tracing::warn!(%cause, "the lineage's log could not be moved into its file"),
            }
        }
    }

    fn wait(&self) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        while (!asked.move_now || self.is_crowded()) && !asked.close {
            asked = self.bell.wait(asked).unwrap_or_else(PoisonError::into_inner);
        }
        asked.move_now = false;
        !asked.close
    }
}

/// Moves what there is, and then what came meanwhile, until that is little. Gives the pages in the log.
fn almost_all(db: &Connection) -> Result<i64, StoreError> {
    let mut pages = passive(db)?;
    for _ in 1..ROUNDS {
        let came = passive(db)?.saturating_sub(pages);
        pages += came;
        if came < LEFT_PAGES {
            break;
        }
    }
    Ok(pages)
}

/// Moves what no reader needs any more, and blocks nobody. Gives the pages in the log when it began.
pub fn passive(db: &Connection) -> Result<i64, StoreError> {
    Ok(db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(1))?)
}

/// Moves everything and makes it durable; an error if a reader keeps that from being done.
pub fn complete(db: &Connection) -> Result<(), StoreError> {
    let busy: i64 = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy != 0 {
        let busy = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
        let why = "somebody reads from a log that has to be written out first".to_owned();
        return Err(StoreError::Database(rusqlite::Error::SqliteFailure(busy, Some(why))));
    }
    Ok(())
}
