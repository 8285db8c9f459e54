//! The line before the writer: counted room, one lock, and a bell that is rung only for a writer who sleeps.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::oneshot;

use super::super::combination::Combination;
use super::super::entry::{Encoded, encode};
use super::super::{CredentialNote, Ended, Event, Record, StoreError, Unavailable};
use super::open::Life;
use super::repeats::{Fate, Repeats};
use super::stub::{shortened, stub};
use crate::model::{CallId, Clock, Digest, Ending, Revocation, TaskId, Timestamp};

/// How long a record that nobody waits for may lie before it is committed: with its own commit it would make the next
/// call wait for a disk.
const LINGER: Duration = Duration::from_millis(9);

/// A record in line, already in the bytes it will be stored as.
#[derive(Debug)]
pub struct Pending {
    pub kind: &'static str,
    pub at: Timestamp,
    pub call: Option<CallId>,
    pub task: Option<TaskId>,
    pub encoded: Encoded,
    /// What it is filed under, if it is a verdict.
    pub verdict: Option<Combination>,
    pub texts: BTreeMap<Digest, String>,
    /// Records whose private fields go with it.
    pub erases: Vec<u64>,
    pub life: Life,
    pub awaited: bool,
    /// Places it holds in the queue until it is written or given up.
    pub places: usize,
    pub answer: oneshot::Sender<Result<Delivery, Unavailable>>,
}

/// What the writer takes in one go.
pub struct Turn {
    /// In the order they came.
    pub records: Vec<Pending>,
    /// Nothing comes after these.
    pub last: bool,
}

/// The line.
pub struct Queue {
    line: Mutex<Line>,
    bell: Condvar,
    repeats: Mutex<Repeats>,
    room: usize,
    whole: usize,
    clock: Clock,
    random: SystemRandom,
}

struct Line {
    records: Vec<Pending>,
    urgent: bool,
    used: usize,
    writer: State,
    closed: bool,
    trouble: Option<String>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum State {
    /// It will look at the line by itself.
    Awake,
    /// It will look within `LINGER`, which is soon enough for what nobody waits for.
    Lingers,
    /// It looks when the bell rings.
    Sleeps,
}

impl Queue {
    /// A line of `room` places, in which `whole` refusals alike are written one by one in a second.
    pub fn new(room: usize, whole: usize, clock: Clock) -> Self {
        let line =
            Line { records: Vec::new(), urgent: false, used: 0, writer: State::Awake, closed: false, trouble: None };
        let (line, repeats) = (Mutex::new(line), Mutex::default());
        Self { line, bell: Condvar::new(), repeats, room, whole, clock, random: SystemRandom::new() }
    }

    pub const fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Puts a record in line. Encoding is done here, by whoever brings it, since there is only one writer.
    pub fn offer(&self, record: Record) -> Result<oneshot::Receiver<Result<Delivery, Unavailable>>, Unavailable> {
        self.put(record, false)
    }

    /// `late`: it belongs to what was taken in before the line was closed, so it comes in behind that.
    fn put(&self, record: Record, late: bool) -> Result<oneshot::Receiver<Result<Delivery, Unavailable>>, Unavailable> {
        if self.is_counted(&record)? {
            return Err(Unavailable::Counted);
        }
        let places = places(&record.event);
        // A refusal that is not counted is written: it takes its place even where there is none left.
        let optional = !matches!(record.event, Event::Refused(_));
        let (answer, receipt) = oneshot::channel();
        let pending = self.prepare(record, places, answer).map_err(|cause| Unavailable::Failed(cause.to_string()))?;
        let awaited = pending.awaited;
        let mut line = self.lock();
        if line.closed && !late {
            return Err(Unavailable::Failed("the lineage is closed".into()));
        }
        if optional && places > 0 && line.used.saturating_add(places) > self.room {
            return Err(Unavailable::Full);
        }
        line.used += places;
        line.records.push(pending);
        line.urgent |= awaited;
        let ring = match line.writer {
            State::Awake => false,
            State::Lingers => awaited,
            State::Sleeps => true,
        };
        if ring {
            line.writer = State::Awake;
        }
        drop(line);
        if ring {
            self.bell.notify_one();
        }
        Ok(receipt)
    }

    /// Counts a refusal that repeats others, or that there is no room for.
    fn is_counted(&self, record: &Record) -> Result<bool, Unavailable> {
        let Event::Refused(refused) = &record.event else { return Ok(false) };
        let whole = {
            let line = self.lock();
            if line.closed {
                return Err(Unavailable::Failed("the lineage is closed".into()));
            }
            if line.trouble.is_some() || line.used >= self.room { 0 } else { self.whole }
        };
        match self.repeats().take(refused, record, whole) {
            Fate::Whole => Ok(false),
            Fate::Counted { first } => {
                if first {
                    // The writer has to learn that there is something to look after.
                    self.lock().urgent = true;
                    self.bell.notify_one();
                }
                Ok(true)
            }
        }
    }

    /// When counted refusals are to be written.
    pub fn counts_due(&self) -> Option<Instant> {
        self.repeats().due()
    }

    /// Counted refusals, to be written now.
    pub fn counts(&self) -> Vec<Pending> {
        let records = self.repeats().collect(self.clock.now());
        let prepare = |record| self.prepare(record, 0, oneshot::channel().0);
        let told = |cause: &StoreError| tracing::error!(%cause, "a count of refusals is lost");
        records.into_iter().filter_map(|record| prepare(record).inspect_err(told).ok()).collect()
    }

    /// Encodes a record. One that nobody waits for is shortened rather than lost.
    pub fn prepare(
        &self,
        record: Record,
        places: usize,
        answer: oneshot::Sender<Result<Delivery, Unavailable>>,
    ) -> Result<Pending, StoreError> {
        let mut salt = [0; 32];
        if !record.private.is_empty() {
            self.random.fill(&mut salt).map_err(|_| StoreError::Random)?;
        }
        let awaited = record.event.is_awaited();
        let mut record = record;
        let encoded = match encode(&record, &salt) {
            Err(StoreError::TooLong { .. }) if !awaited => {
                record = shortened(record);
                encode(&record, &salt)
            }
            other => other,
        };
        let encoded = match encoded {
            Err(cause) if !awaited => {
                record = stub(record, &cause);
                encode(&record, &salt)?
            }
            other => other?,
        };
        let Record { at, call, task, event, .. } = record;
        let (kind, life, verdict) = (event.kind(), Life::of(&event), Combination::of(&event));
        let (mut texts, mut erases) = (BTreeMap::new(), Vec::new());
        if let Event::Loaded(loaded) = event {
            texts = loaded.texts;
        } else if let Event::Erased(erased) = event {
            erases = erased.records;
        }
        Ok(Pending { kind, at, call, task, encoded, verdict, texts, erases, life, awaited, places, answer })
    }

    /// Waits until there is something to write, or `due` has come. `spare` becomes the next line.
    pub fn next(&self, spare: Vec<Pending>, due: Option<Instant>) -> Turn {
        let mut line = self.lock();
        let mut linger = Some(Instant::now() + LINGER);
        loop {
            let now = Instant::now();
            let lingered = linger.is_some_and(|until| until <= now);
            let ripe = lingered && !line.records.is_empty();
            if line.urgent || line.closed || ripe || due.is_some_and(|due| due <= now) {
                break;
            }
            if lingered {
                linger = None;
            } else if linger.is_none() && !line.records.is_empty() {
                linger = Some(now + LINGER);
            }
            line.writer = if linger.is_some() { State::Lingers } else { State::Sleeps };
            let until = [linger, due].into_iter().flatten().min();
            line = match until {
                Some(until) => self.bell.wait_timeout(line, until - now).unwrap_or_else(PoisonError::into_inner).0,
                None => self.bell.wait(line).unwrap_or_else(PoisonError::into_inner),
            };
        }
        line.writer = State::Awake;
        line.urgent = false;
        Turn { records: mem::replace(&mut line.records, spare), last: line.closed }
    }

    /// Whether nothing has come in since the last turn.
    pub fn is_empty(&self) -> bool {
        self.lock().records.is_empty()
    }

    /// Gives places back.
    pub fn release(&self, places: usize) {
        let mut line = self.lock();
        line.used = line.used.saturating_sub(places);
    }

    /// Takes nothing more in, and lets the writer finish.
    pub fn close(&self) {
        self.lock().closed = true;
        self.bell.notify_one();
    }

    /// Why nothing can be written now.
    pub fn trouble(&self) -> Option<String> {
        self.lock().trouble.clone()
    }

    /// Says why nothing can be written now, or that it can.
    pub fn set_trouble(&self, trouble: Option<String>) {
        self.lock().trouble = trouble;
    }

    /// Ends a call that was permitted and then let go by everybody.
    pub fn abandon(&self, call: Option<CallId>, task: Option<TaskId>, why: &str) {
        let at = self.clock.now();
        let credential =
            CredentialNote { revocation: Revocation::NotNeeded, minted_at: None, ended_at: None, expires_at: None };
        let ended = Ended {
            ending: Ending::Abandoned,
            why: Some(why.to_owned()),
            sent: None,
            answer: None,
            echo: false,
            credential,
        };
        let record = Record { at, call, task, event: Event::Ended(ended), private: BTreeMap::new() };
        if let Err(cause) = self.put(record, true) {
            tracing::warn!(call = call.map(tracing::field::display), %cause, "a call stays open until the next start");
        }
    }

    fn repeats(&self) -> MutexGuard<'_, Repeats> {
        self.repeats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the tree on its way to whoever waits for it. A permission that nobody takes out ends itself.
#[derive(Debug)]
pub struct Delivery {
    pub seq: u64,
    pub unclaimed: Option<Unclaimed>,
}

/// A permission that was written and not yet taken over.
pub struct Unclaimed {
    pub call: Option<CallId>,
    pub task: Option<TaskId>,
    pub queue: Arc<Queue>,
}

impl Delivery {
    /// Takes it over: from here on its ending is the taker's duty.
    pub fn claim(mut self) -> u64 {
        self.unclaimed = None;
        self.seq
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(Unclaimed { call, task, queue }) = self.unclaimed.take() {
            queue.abandon(call, task, "nobody waited for the record any more");
        }
    }
}

impl std::fmt::Debug for Unclaimed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unclaimed").field("call", &self.call).field("task", &self.task).finish_non_exhaustive()
    }
}

/// A permission keeps a place for its ending, so that an ending always finds room.
const fn places(event: &Event) -> usize {
    match event {
        Event::Permitted(_) => 2,
        Event::Loaded(_)
        | Event::Refused(_)
        | Event::Opened(_)
        | Event::Closed(_)
        | Event::Erased(_)
        | Event::Asked(_)
        | Event::Resolved(_)
        | Event::Amended(_)
        | Event::Quarantined(_)
        | Event::Released(_)
        | Event::GlassBroken(_)
        | Event::Reviewed(_)
        | Event::NotLoaded(_)
        | Event::Ratified(_)
        | Event::Reset(_) => 1,
        Event::Minted(_) | Event::Ended(_) | Event::Settled(_) | Event::Repeated(_) | Event::Learned(_) => 0,
    }
}
