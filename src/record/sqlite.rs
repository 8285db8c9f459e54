//! The lineage as one SQLite file: one writer that commits whatever has queued, readers beside it.

mod backfill;
mod batch;
mod files;
pub(super) mod filing;
mod open;
mod queue;
mod refused;
mod repeats;
mod reserve;
mod rotation;
pub(super) mod schema;
mod stub;
pub(super) mod tail;
mod writer;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use self::files::{Files, Lock};
pub(super) use self::open::open_task;
pub use self::open::{Limbo, OpenCall, OpenTask};
use self::queue::Queue;
use self::reserve::Reserve;
pub use self::rotation::Rotate;
use self::rotation::Rotation;
use self::writer::{Start, Writer};
use super::{Lineage, Receipt, Record, Signer, StoreError, Unavailable};
use crate::model::Clock;

/// Where a lineage lies, and how it is written.
#[derive(Clone, Debug)]
pub struct Options {
    /// The file. Beside it lie `-wal`, `-shm` and `.lock`.
    pub path: PathBuf,
    /// What an acknowledged record survives.
    pub sync: Sync,
    /// Places in the queue: a call takes one until its ending is written, and one more until it is permitted.
    pub room: usize,
    /// Refusals alike that are written one by one within a second; the rest of them are counted.
    pub whole: usize,
    /// Bytes on the disk that are kept for endings.
    pub reserve: u64,
    /// How often a checkpoint is signed while records come. A second is usual.
    pub signed_every: Duration,
    /// When records are moved out of the file.
    pub rotate: Rotate,
}

/// What an acknowledged record survives.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Sync {
    /// Loss of power.
    #[default]
    Full,
    /// A crash of this program.
    Normal,
}

impl Sync {
    /// As the configuration and the database spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Normal => "normal",
        }
    }
}

/// A lineage that is being written.
pub struct SqliteLineage {
    queue: Arc<Queue>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl SqliteLineage {
    /// Opens a lineage and starts its writer; makes the file if it is not there.
    ///
    /// What was written since the last checkpoint is checked record by record, what came before it by its root. Says
    /// what was not over when the lineage was last written. Fails if somebody else writes it, if it is damaged, if a
    /// newer version made it, or if its last checkpoint is not signed by `signer`.
    pub fn open(options: Options, signer: Signer, clock: Clock) -> Result<(Arc<Self>, Limbo), StoreError> {
        let lock = Lock::take(&options.path)?;
        let unusable = |source| StoreError::Open { path: options.path.display().to_string(), source };
        // The last sync of whoever wrote before may have failed. What is appended to a log with a hole is behind the hole.
        files::rewrite_log(&options.path).map_err(unusable)?;
        let db = schema::create(&options.path, options.sync)?;
        if let Err(cause) = backfill::complete(&db) {
            tracing::warn!(%cause, "what the last run left in the lineage's log stays there for now");
        }
        let files = Files::of(&options.path).map_err(unusable)?;
        let tail = tail::prove(&db, signer.verifier())?;
        let outstanding = open::Outstanding::read(&db)?;
        let limbo = outstanding.limbo(&db, clock.now())?;
        let queue = Arc::new(Queue::new(options.room, options.whole, clock));
        let reserve = Reserve::take(&options.path, options.reserve);
        let rotation = Rotation::resume(&db, &options.path, options.rotate);
        let start = Start { db, lock, files, tail, outstanding, reserve, rotation };
        let writer = Writer::start(start, options, signer, Arc::clone(&queue))?;
        Ok((Arc::new(Self { queue, writer: Mutex::new(Some(writer)) }), limbo))
    }

    /// Writes what is queued and a last checkpoint, and ends the writer. Blocks until that is done.
    pub fn close(&self) {
        self.queue.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the lineage's writer did not end properly");
        }
    }
}

impl Lineage for SqliteLineage {
    fn append(&self, record: Record) -> Receipt {
        match self.queue.offer(record) {
            Err(unavailable) => Box::pin(std::future::ready(Err(unavailable))),
            Ok(receipt) => Box::pin(async move {
                match receipt.await {
                    Ok(delivered) => delivered.map(queue::Delivery::claim),
                    Err(_) => Err(Unavailable::Failed("the lineage's writer has ended".into())),
                }
            }),
        }
    }

    fn trouble(&self) -> Option<String> {
        self.queue.trouble()
    }
}

impl Drop for SqliteLineage {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for SqliteLineage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteLineage").field("trouble", &self.trouble()).finish_non_exhaustive()
    }
}
