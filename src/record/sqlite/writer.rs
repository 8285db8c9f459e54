//! The one thread that writes: takes what has queued, commits it, says so, and never runs ahead of the disk.

use std::mem;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::super::tiles::Edge;
use super::super::{Signer, StoreError, Unavailable};
use super::backfill::{self, Backfill};
use super::batch::{self, Failure, Note};
use super::files::{Files, Lock};
use super::open::{Life, Lived, Outstanding, lives};
use super::queue::{Delivery, Pending, Queue, Unclaimed};
use super::tail::{self, Tail};
use super::{Options, refused, schema};

/// How often a checkpoint is signed while records come.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);

/// How long after a failure the writer tries again by itself.
const RETRY: Duration = Duration::from_millis(500);

/// What the writer starts from, as it was read from the file.
pub struct Start {
    pub db: Connection,
    pub lock: Lock,
    pub files: Files,
    pub tail: Tail,
    pub outstanding: Outstanding,
}

/// The writer. Its edge is that of the records on disk, but for while a batch is being written.
pub struct Writer {
    queue: Arc<Queue>,
    backfill: Arc<Backfill>,
    options: Options,
    signer: Signer,
    /// `None` after a write of which nobody knows what it left behind.
    db: Option<Connection>,
    files: Files,
    edge: Edge,
    before: Edge,
    outstanding: Outstanding,
    checkpointed: u64,
    signed_at: Instant,
    /// Records nobody waits for, from batches that failed. No more than there are places, since they hold theirs.
    kept: Vec<Pending>,
    /// How many of them, from the first, may be in the file after all.
    doubtful: usize,
    retry_at: Option<Instant>,
    unmoved: u64,
    spare: Vec<Pending>,
    /// Held until everything else is dropped.
    _lock: Lock,
}

impl Writer {
    /// Starts the writer, and the mover of its log.
    pub fn start(
        start: Start,
        options: Options,
        signer: Signer,
        queue: Arc<Queue>,
    ) -> Result<JoinHandle<()>, StoreError> {
        let (backfill, mover) = Backfill::start(&options.path, options.sync)?;
        let Start { db, lock, files, tail: Tail { edge, checkpointed }, outstanding } = start;
        let mut writer = Self {
            queue,
            backfill,
            options,
            signer,
            db: Some(db),
            files,
            before: Edge::new(),
            edge,
            outstanding,
            checkpointed,
            signed_at: Instant::now(),
            kept: Vec::new(),
            doubtful: 0,
            retry_at: None,
            unmoved: 0,
            spare: Vec::new(),
            _lock: lock,
        };
        let run = move || {
            writer.run();
            writer.backfill.close();
            // The writer's connection is to be the last one: closing the last one moves the log into the file.
            drop(mover.join());
        };
        thread::Builder::new().name("lineage-writer".into()).spawn(run).map_err(StoreError::Thread)
    }

    fn run(&mut self) {
        loop {
            let turn = self.queue.next(mem::take(&mut self.spare), self.due());
            self.commit(turn.records, turn.last);
            if turn.last {
                break;
            }
        }
        if !self.kept.is_empty() || self.checkpointed < self.edge.size() {
            self.commit(Vec::new(), true);
        }
        for pending in self.kept.drain(..) {
            tracing::error!(kind = pending.kind, call = pending.call.map(tracing::field::display), "a record is lost");
        }
    }

    fn due(&self) -> Option<Instant> {
        let unsigned = self.checkpointed < self.edge.size();
        self.retry_at.or_else(|| unsigned.then(|| self.signed_at + CHECKPOINT_EVERY))
    }

    fn commit(&mut self, records: Vec<Pending>, last: bool) {
        if self.db.is_none()
            && let Err(cause) = self.recover()
        {
            return self.give_up(records, &cause);
        }
        let mut batch = records;
        if !self.kept.is_empty() {
            let new = mem::replace(&mut batch, mem::take(&mut self.kept));
            batch.extend(new);
        }
        for pending in &mut batch {
            refuse_if_dropped(pending, &self.queue);
        }
        let note = self.note(last);
        if batch.is_empty() && note.is_none() {
            self.spare = batch;
            return;
        }
        self.before.copy_from(&self.edge);
        match self.write(&batch, note.as_ref()) {
            Ok(bytes) => self.settle(batch, note, bytes),
            Err(Failure { cause, in_doubt }) => {
                self.edge.copy_from(&self.before);
                self.give_up(batch, &cause);
                if in_doubt {
                    self.db = None;
                    self.doubtful = self.kept.len();
                }
            }
        }
    }

    fn write(&mut self, batch: &[Pending], note: Option<&Note>) -> Result<u64, Failure> {
        let replaced = || Failure { cause: StoreError::Replaced, in_doubt: true };
        let db = self.db.as_ref().ok_or_else(replaced)?;
        if self.backfill.is_crowded() {
            if let Err(cause) = backfill::passive(db) {
                tracing::warn!(%cause, "the lineage's log could not be moved into its file");
            }
            self.backfill.relieve();
        }
        if !self.files.are_in_place() {
            return Err(replaced());
        }
        batch::write(db, &mut self.edge, batch, note)
    }

    /// The records are durable: says so to whoever waits, and keeps account of what is open.
    fn settle(&mut self, mut batch: Vec<Pending>, note: Option<Note>, bytes: u64) {
        if self.retry_at.take().is_some() {
            tracing::info!("the lineage can be written again");
            self.queue.set_trouble(None);
        }
        // What is told must be so already: whoever waits may look at once.
        let mut freed = 0;
        for (seq, Pending { call, task, life, places, .. }) in (self.before.size()..).zip(&batch) {
            let keeps_one = *life == Life::Permitted && call.is_some();
            freed += places.saturating_sub(usize::from(keeps_one)) + self.outstanding.note(seq, *call, *task, *life);
        }
        self.queue.release(freed);
        for (seq, Pending { call, task, life, answer, .. }) in (self.before.size()..).zip(batch.drain(..)) {
            let queue = Arc::clone(&self.queue);
            let unclaimed = (life == Life::Permitted).then_some(Unclaimed { call, task, queue });
            // What comes back is a permission whose waiter left meanwhile: dropping it ends the call.
            drop(answer.send(Ok(Delivery { seq, unclaimed })));
        }
        self.spare = batch;
        if let Some((size, _)) = note.and_then(|note| note.checkpoint) {
            self.checkpointed = size;
            self.signed_at = Instant::now();
        }
        self.unmoved += bytes;
        if self.unmoved > backfill::ENOUGH {
            self.unmoved = 0;
            self.backfill.ask();
        }
    }

    /// Nothing of it is durable: whoever waits is told, and what nobody waits for is kept.
    fn give_up(&mut self, batch: Vec<Pending>, cause: &StoreError) {
        let cause = cause.to_string();
        tracing::error!(%cause, "the lineage cannot be written");
        self.queue.set_trouble(Some(cause.clone()));
        self.retry_at = Some(Instant::now() + RETRY);
        self.queue.release(batch.iter().filter(|pending| pending.awaited).map(|pending| pending.places).sum());
        for pending in batch {
            if pending.awaited {
                drop(pending.answer.send(Err(Unavailable::Failed(cause.clone()))));
            } else {
                self.kept.push(pending);
            }
        }
    }

    /// Opens the file anew. A failed commit may be in it or not; only what lies there counts from here on.
    fn recover(&mut self) -> Result<(), StoreError> {
        let db = schema::connect(&self.options.path, self.options.sync)?;
        // Until all of the log is in the file, nobody knows whether a failed sync has lost parts of it.
        backfill::complete(&db)?;
        let known = self.edge.size();
        let tail = tail::prove(&db, self.signer.verifier())?;
        if tail.edge.size() < known || tail::edge_at(&db, known)?.root() != self.edge.root() {
            return Err(StoreError::Replaced);
        }
        if tail.edge.size() > known {
            self.adopt(&db, known)?;
        }
        self.doubtful = 0;
        self.checkpointed = tail.checkpointed;
        self.files = Files::of(&self.options.path).map_err(|_| StoreError::Replaced)?;
        self.edge = tail.edge;
        self.db = Some(db);
        Ok(())
    }

    /// The batch that failed is in the file after all. Its waiters were told otherwise, so what was permitted ends.
    fn adopt(&mut self, db: &Connection, known: u64) -> Result<(), StoreError> {
        let mut freed: usize = self.kept.drain(..self.doubtful.min(self.kept.len())).map(|kept| kept.places).sum();
        for Lived { seq, call, task, life } in lives(db, "true", known)? {
            if life == Life::Permitted {
                self.outstanding.note_without_place(seq, call);
                self.queue.abandon(call, task, "the lineage failed while the call was recorded");
            } else {
                freed += self.outstanding.note(seq, call, task, life);
            }
        }
        self.queue.release(freed);
        Ok(())
    }

    /// A checkpoint of what is durable, if it is time for one. Signed only now, since it must never be contradicted.
    fn note(&mut self, last: bool) -> Option<Note> {
        let size = self.edge.size();
        let unsigned = self.checkpointed < size;
        let due = unsigned && (last || self.signed_at.elapsed() >= CHECKPOINT_EVERY);
        if !due && self.retry_at.is_none() {
            return None;
        }
        let checkpoint = due.then(|| (size, self.signer.sign(size, self.edge.root())));
        let tasks_from = self.outstanding.tasks_from(size, self.queue.clock().now());
        Some(Note { checkpoint, calls_from: self.outstanding.calls_from(size), tasks_from })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.close();
        drop(self.queue.next(Vec::new(), None));
    }
}

/// A permission whose waiter has left before it was written is written as the refusal the agent got.
fn refuse_if_dropped(pending: &mut Pending, queue: &Queue) {
    if pending.life == Life::Permitted && pending.answer.is_closed() {
        match refused::in_place_of(pending, queue) {
            Ok(refused) => *pending = refused,
            // Written as permitted, its delivery fails, and that ends it.
            Err(cause) => tracing::warn!(%cause, "a dropped permission is recorded as permitted and ended"),
        }
    }
}
