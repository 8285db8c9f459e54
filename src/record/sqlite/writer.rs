//! The one thread that writes: takes what has queued, commits it, says so, and never runs ahead of the disk.

use std::mem;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::super::archive;
use super::super::tiles::Edge;
use super::super::{Signer, StoreError, Unavailable};
use super::backfill::{self, Backfill};
use super::batch::{self, Failure, Grown, Note};
use super::files::{self, Files, Lock};
use super::filing::Filing;
use super::open::{Life, Lived, Outstanding, lives};
use super::queue::{Delivery, Pending, Queue, Unclaimed};
use super::reserve::{self, Reserve};
use super::rotation::Rotation;
use super::tail::{self, Tail};
use super::{Options, Sync, refused, schema};

/// How soon the next records of an archive are taken out of the file.
const TRIM_EVERY: Duration = Duration::from_millis(20);

/// What those are told who would begin something while the space for endings is spent.
const NO_RESERVE: &str = "the disk is full, and what is left is kept for the endings of calls under way";

/// How long after a failure the writer tries again by itself.
const RETRY: Duration = Duration::from_millis(500);

/// What the writer starts from, as it was read from the file.
pub struct Start {
    pub db: Connection,
    pub lock: Lock,
    pub files: Files,
    pub tail: Tail,
    pub outstanding: Outstanding,
    pub reserve: Reserve,
    pub rotation: Rotation,
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
    filing: Filing,
    outstanding: Outstanding,
    /// While it is spent, nothing begins.
    reserve: Reserve,
    rotation: Rotation,
    checkpointed: u64,
    signed_at: Instant,
    /// Records nobody waits for, from batches that failed. No more than there are places, since they hold theirs.
    kept: Vec<Pending>,
    /// How many of them, from the first, may be in the file after all.
    doubtful: usize,
    retry_at: Option<Instant>,
    unmoved: u64,
    /// The log holds what was erased.
    wipe: bool,
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
        let Start { db, lock, files, tail: Tail { edge, checkpointed }, outstanding, reserve, rotation } = start;
        let without_reserve = !reserve.is_held();
        if without_reserve {
            queue.set_trouble(Some(NO_RESERVE.to_owned()));
        }
        let mut writer = Self {
            queue,
            backfill,
            options,
            signer,
            db: Some(db),
            files,
            before: Edge::new(),
            edge,
            filing: Filing::default(),
            outstanding,
            reserve,
            rotation,
            checkpointed,
            signed_at: Instant::now(),
            kept: Vec::new(),
            doubtful: 0,
            retry_at: without_reserve.then(Instant::now),
            unmoved: 0,
            wipe: false,
            spare: Vec::new(),
            _lock: lock,
        };
        let run = move || {
            writer.run();
            writer.rotation.wait();
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
            // What was permitted and then let go by everybody may have ended meanwhile.
            if turn.last && self.queue.is_empty() {
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
        let signing = unsigned.then(|| self.signed_at + self.options.signed_every);
        let trimming = self.rotation.trim().map(|_| Instant::now() + TRIM_EVERY);
        // While nothing can be written, counts go on adding up.
        self.retry_at.or_else(|| [signing, trimming, self.queue.counts_due()].into_iter().flatten().min())
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
        let counts_due = self.queue.counts_due().is_some_and(|due| due <= Instant::now());
        if last || (counts_due && self.retry_at.is_none()) {
            batch.extend(self.queue.counts());
        }
        if !self.reserve.is_held() {
            self.without_reserve(&mut batch);
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
                self.filing.forget();
                self.give_up(batch, &cause);
                if reserve::is_full(&cause, &self.options.path) && self.reserve.spend() {
                    self.retry_at = Some(Instant::now());
                }
                if in_doubt {
                    self.let_go();
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
        // A checkpoint that was seen must stay true after a loss of power, whatever its records are promised.
        let promise = note.is_some_and(|note| note.checkpoint.is_some()) && self.options.sync == Sync::Normal;
        let set = |sync: Sync| {
            let cause = |cause: rusqlite::Error| Failure { cause: cause.into(), in_doubt: true };
            db.pragma_update(None, "synchronous", sync.name()).map_err(cause)
        };
        if promise {
            set(Sync::Full)?;
        }
        let written = batch::write(db, Grown { edge: &mut self.edge, filing: &mut self.filing }, batch, note);
        if promise {
            set(Sync::Normal)?;
        }
        written
    }

    /// Tries to get the space for endings back; until then, whoever would begin something is told no.
    fn without_reserve(&mut self, batch: &mut Vec<Pending>) {
        if self.retry_at.is_none_or(|at| at <= Instant::now()) && self.reserve.take_again().is_ok() {
            return;
        }
        let mut places = 0;
        for pending in batch.extract_if(.., |pending| pending.life.begins()) {
            places += pending.places;
            drop(pending.answer.send(Err(Unavailable::Failed(NO_RESERVE.into()))));
        }
        self.queue.release(places);
    }

    /// The records are durable: says so to whoever waits, and keeps account of what is open.
    fn settle(&mut self, mut batch: Vec<Pending>, note: Option<Note>, bytes: u64) {
        if !self.reserve.is_held() {
            self.retry_at = Some(Instant::now() + RETRY);
            self.queue.set_trouble(Some(NO_RESERVE.to_owned()));
        } else if self.retry_at.take().is_some() {
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
        let erased: Vec<u64> = batch.iter().flat_map(|pending| pending.erases.iter().copied()).collect();
        self.wipe |= !erased.is_empty();
        self.wipe_log();
        if !erased.is_empty() {
            // A copy that is being made has them still.
            self.rotation.wait();
            if let Err(cause) = archive::erase(&self.options.path, &erased) {
                tracing::error!(%cause, "what was erased may stand in an archive");
            }
        }
        for (seq, Pending { call, task, life, answer, .. }) in (self.before.size()..).zip(batch.drain(..)) {
            let queue = Arc::clone(&self.queue);
            let unclaimed = (life == Life::Permitted).then_some(Unclaimed { call, task, queue });
            // What comes back is a permission whose waiter left meanwhile: dropping it ends the call.
            drop(answer.send(Ok(Delivery { seq, unclaimed })));
        }
        self.spare = batch;
        let Note { checkpoint, calls_from, tasks_from, trim } = note.unwrap_or_default();
        if let Some(trimmed) = trim {
            self.rotation.trimmed(trimmed.end);
        }
        if let Some((size, _)) = checkpoint {
            self.checkpointed = size;
            self.signed_at = Instant::now();
            if let Some(db) = &self.db {
                let until = size.min(calls_from).min(tasks_from);
                self.rotation.consider(db, &self.options.path, until, self.queue.clock().now());
            }
        }
        self.unmoved += bytes;
        if self.unmoved > backfill::ENOUGH {
            self.unmoved = 0;
            self.backfill.ask();
        }
    }

    /// What was erased still stands in the log, until that begins anew.
    fn wipe_log(&mut self) {
        let Some(db) = self.db.as_ref().filter(|_| self.wipe) else { return };
        match backfill::complete(db) {
            Ok(()) => self.wipe = false,
            Err(cause) => tracing::warn!(%cause, "what was erased stands in the log until the next record"),
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

    /// Lets go of a connection without moving its log into the file, as closing the last one does: after a failed sync parts
    /// of the log may never reach the disk, and a file that is half moved could not be completed from it. A log that somebody
    /// has deleted is moved, since nobody can open it any more.
    fn let_go(&mut self) {
        let in_place = self.files.are_in_place();
        if let Some(db) = self.db.take().filter(|_| in_place)
            && let Err(cause) = db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        {
            tracing::warn!(%cause, "the lineage's log is moved into its file before it is written anew");
        }
    }

    /// Opens the file anew. A failed commit may be in it or not; only what lies there counts from here on.
    fn recover(&mut self) -> Result<(), StoreError> {
        let path = &self.options.path;
        let unusable = |source| StoreError::Open { path: schema::beside(path, "-wal").display().to_string(), source };
        files::rewrite_log(path).map_err(unusable)?;
        let db = schema::connect(path, self.options.sync)?;
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
        let due = unsigned && (last || self.signed_at.elapsed() >= self.options.signed_every);
        let trim = self.rotation.trim();
        if !due && self.retry_at.is_none() && trim.is_none() {
            return None;
        }
        let checkpoint = due.then(|| (size, self.signer.sign(size, self.edge.root())));
        let tasks_from = self.outstanding.tasks_from(size, self.queue.clock().now());
        Some(Note { checkpoint, calls_from: self.outstanding.calls_from(size), tasks_from, trim })
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
