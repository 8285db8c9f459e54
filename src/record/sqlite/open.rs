//! What is not over yet: calls that were permitted, credentials whose end is open, tasks.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension as _, params};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::super::entry::Payload;
use super::super::{CredentialPlan, Ended, Event, Minted, Opened, Permitted, Settled, StoreError};
use super::schema::{OPEN_CALLS_FROM, OPEN_TASKS_FROM, number, row};
use crate::model::{CallId, TaskId, Timestamp};

/// What was not over when the lineage was last written: for whoever starts, to finish.
#[derive(Clone, Debug, Default)]
pub struct Limbo {
    /// Permitted, and no ending was recorded.
    pub calls: Vec<OpenCall>,
    /// Ended, but nobody knows whether their credentials are.
    pub unsettled: Vec<OpenCall>,
    /// Opened, not closed, and not expired.
    pub tasks: Vec<OpenTask>,
}

/// A call that is not over.
#[derive(Clone, Debug)]
pub struct OpenCall {
    /// The call.
    pub call: CallId,
    /// The task it belongs to.
    pub task: Option<TaskId>,
    /// When it was permitted.
    pub at: Timestamp,
    /// Who asked.
    pub agent: String,
    /// What was to be minted.
    pub plan: CredentialPlan,
    /// The sealed name the issuer gave it and when it ends by itself, if that was recorded.
    pub minted: Option<(String, Option<Timestamp>)>,
}

/// A task that is not over.
#[derive(Clone, Debug)]
pub struct OpenTask {
    /// The task.
    pub task: TaskId,
    /// When it was opened.
    pub at: Timestamp,
    /// How it was opened.
    pub opened: Opened,
    /// Its private fields; empty if they were erased.
    pub private: Map<String, Value>,
    /// Which grant of the task is among them.
    pub version: u32,
}

/// What a record begins or ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Life {
    /// A call begins.
    Permitted,
    /// A call ends, and its credential with it if that is settled.
    Ended { settled: bool },
    /// A credential ends, if that is settled.
    Settled { settled: bool },
    /// A task begins.
    Opened { until: Option<Timestamp> },
    /// A task ends.
    Closed,
    /// Neither.
    Nothing,
}

impl Life {
    pub const fn of(event: &Event) -> Self {
        match event {
            Event::Permitted(_) => Self::Permitted,
            Event::Ended(ended) => Self::Ended { settled: ended.credential.revocation.is_settled() },
            Event::Settled(settled) => Self::Settled { settled: settled.revocation.is_settled() },
            Event::Opened(opened) => Self::Opened { until: opened.expires_at },
            Event::Closed(_) => Self::Closed,
            Event::Loaded(_)
            | Event::Refused(_)
            | Event::Minted(_)
            | Event::Repeated(_)
            | Event::Erased(_)
            | Event::Asked(_)
            | Event::Resolved(_)
            | Event::Amended(_)
            | Event::Quarantined(_)
            | Event::Released(_)
            | Event::GlassBroken(_)
            | Event::Reviewed(_)
            | Event::NotLoaded(_)
            | Event::Learned(_)
            | Event::Ratified(_)
            | Event::Reset(_) => Self::Nothing,
        }
    }

    /// Whether it begins something, which will have to end.
    pub const fn begins(self) -> bool {
        match self {
            Self::Permitted | Self::Opened { .. } => true,
            Self::Ended { .. } | Self::Settled { .. } | Self::Closed | Self::Nothing => false,
        }
    }

    /// The same, from a stored record.
    pub fn stored(kind: &str, entry: &[u8], seq: u64) -> Result<Self, StoreError> {
        Ok(match kind {
            "permitted" => Self::Permitted,
            "ended" => Self::Ended { settled: read::<Ended>(entry, seq)?.credential.revocation.is_settled() },
            "settled" => Self::Settled { settled: read::<Settled>(entry, seq)?.revocation.is_settled() },
            "opened" => Self::Opened { until: read::<Opened>(entry, seq)?.expires_at },
            "closed" => Self::Closed,
            _ => Self::Nothing,
        })
    }
}

/// Everything that is open, by name and by age.
#[derive(Debug, Default)]
pub struct Outstanding {
    calls: BTreeMap<CallId, OpenSince>,
    tasks: BTreeMap<TaskId, u64>,
    call_seqs: BTreeSet<u64>,
    task_seqs: BTreeMap<u64, (TaskId, Option<Timestamp>)>,
}

#[derive(Clone, Copy, Debug)]
struct OpenSince {
    seq: u64,
    /// It keeps a place in the queue for its ending.
    holds_place: bool,
    /// It has ended, but its credential may not have.
    ended: bool,
}

impl Outstanding {
    /// Takes a durable record in, and says how many places in the queue are free by it.
    pub fn note(&mut self, seq: u64, call: Option<CallId>, task: Option<TaskId>, life: Life) -> usize {
        match (life, call, task) {
            (Life::Permitted, Some(call), _) => {
                self.call_seqs.insert(seq);
                self.calls.insert(call, OpenSince { seq, holds_place: true, ended: false });
                0
            }
            (Life::Ended { settled }, Some(call), _) => self.end_call(call, settled),
            (Life::Settled { settled: true }, Some(call), _) => self.end_call(call, true),
            (Life::Opened { until }, _, Some(task)) => {
                self.task_seqs.insert(seq, (task, until));
                self.tasks.insert(task, seq);
                0
            }
            (Life::Closed, _, Some(task)) => {
                if let Some(seq) = self.tasks.remove(&task) {
                    self.task_seqs.remove(&seq);
                }
                0
            }
            (
                Life::Permitted
                | Life::Ended { .. }
                | Life::Settled { .. }
                | Life::Opened { .. }
                | Life::Closed
                | Life::Nothing,
                _,
                _,
            ) => 0,
        }
    }

    /// Takes in a call that was permitted and keeps no place in the queue.
    pub fn note_without_place(&mut self, seq: u64, call: Option<CallId>) {
        if let Some(call) = call {
            self.call_seqs.insert(seq);
            self.calls.insert(call, OpenSince { seq, holds_place: false, ended: false });
        }
    }

    fn end_call(&mut self, call: CallId, settled: bool) -> usize {
        let Some(open) = self.calls.get_mut(&call) else { return 0 };
        let freed = usize::from(std::mem::take(&mut open.holds_place));
        open.ended = true;
        if settled {
            self.call_seqs.remove(&open.seq);
            self.calls.remove(&call);
        }
        freed
    }

    /// The lowest record that a search for open calls must look at; `end` if none is open.
    pub fn calls_from(&self, end: u64) -> u64 {
        self.call_seqs.first().copied().unwrap_or(end)
    }

    /// The lowest record that a search for open tasks must look at; `end` if none is open. Forgets the expired ones.
    pub fn tasks_from(&mut self, end: u64, now: Timestamp) -> u64 {
        while let Some(oldest) = self.task_seqs.first_entry() {
            let (task, until) = *oldest.get();
            if until.is_none_or(|until| until > now) {
                return *oldest.key();
            }
            oldest.remove();
            self.tasks.remove(&task);
        }
        end
    }

    /// Reads what is open from the file, from its marks on.
    pub fn read(db: &Connection) -> Result<Self, StoreError> {
        let mut outstanding = Self::default();
        for (mark, kinds) in [
            (OPEN_CALLS_FROM, "kind IN ('permitted', 'ended', 'settled')"),
            (OPEN_TASKS_FROM, "kind IN ('opened', 'closed')"),
        ] {
            for Lived { seq, call, task, life } in lives(db, kinds, number(db, mark)?.unwrap_or(0))? {
                outstanding.note(seq, call, task, life);
            }
        }
        for open in outstanding.calls.values_mut() {
            open.holds_place = false;
        }
        Ok(outstanding)
    }

    /// The same with all that is needed to end it.
    pub fn limbo(&self, db: &Connection, now: Timestamp) -> Result<Limbo, StoreError> {
        let mut limbo = Limbo::default();
        let mut calls: Vec<(&CallId, &OpenSince)> = self.calls.iter().collect();
        calls.sort_by_key(|(_, open)| open.seq);
        for (call, open) in calls {
            let found = open_call(db, *call, open.seq)?;
            if open.ended { limbo.unsettled.push(found) } else { limbo.calls.push(found) }
        }
        for (seq, (task, until)) in &self.task_seqs {
            if until.is_none_or(|until| until > now) {
                limbo.tasks.push(open_task(db, *task, *seq)?);
            }
        }
        Ok(limbo)
    }
}

/// A stored record, as far as it begins or ends something.
#[derive(Debug)]
pub struct Lived {
    pub seq: u64,
    pub call: Option<CallId>,
    pub task: Option<TaskId>,
    pub life: Life,
}

/// The stored records of these kinds (a condition) from `from` on, in order.
pub fn lives(db: &Connection, kinds: &str, from: u64) -> Result<Vec<Lived>, StoreError> {
    let sql = format!("SELECT seq, kind, call, task, entry FROM records WHERE seq >= ? AND {kinds} ORDER BY seq");
    let mut statement = db.prepare(&sql)?;
    let mut rows = statement.query([row(from)])?;
    let mut lives = Vec::new();
    while let Some(found) = rows.next()? {
        let seq = u64::try_from(found.get::<_, i64>(0)?).unwrap_or(0);
        let kind = found.get_ref(1)?.as_str().unwrap_or_default();
        lives.push(Lived {
            seq,
            call: found.get::<_, Option<[u8; 16]>>(2)?.map(CallId::from_bytes),
            task: found.get::<_, Option<[u8; 16]>>(3)?.map(TaskId::from_bytes),
            life: Life::stored(kind, found.get_ref(4)?.as_blob().unwrap_or_default(), seq)?,
        });
    }
    Ok(lives)
}

fn open_call(db: &Connection, call: CallId, seq: u64) -> Result<OpenCall, StoreError> {
    let (at, task, entry) = db.query_row("SELECT at, task, entry FROM records WHERE seq = ?", [row(seq)], |found| {
        Ok((found.get(0)?, found.get::<_, Option<[u8; 16]>>(1)?, found.get::<_, Vec<u8>>(2)?))
    })?;
    let permitted: Permitted = read(&entry, seq)?;
    let minted: Option<Vec<u8>> = db
        .query_row(
            "SELECT entry FROM records WHERE call = ? AND kind = 'minted' ORDER BY seq DESC LIMIT 1",
            params![call.as_bytes()],
            |found| found.get(0),
        )
        .optional()?;
    let minted = minted.map(|entry| read::<Minted>(&entry, seq)).transpose()?;
    Ok(OpenCall {
        call,
        task: task.map(TaskId::from_bytes),
        at: Timestamp::from_millis(at),
        agent: permitted.agent,
        plan: permitted.credential,
        minted: minted.map(|minted| (minted.handle, minted.expires_at)),
    })
}

pub fn open_task(db: &Connection, task: TaskId, seq: u64) -> Result<OpenTask, StoreError> {
    let sql = "SELECT at, entry, body FROM records LEFT JOIN payloads USING (seq) WHERE seq = ?";
    let (at, entry, body) = db.query_row(sql, [row(seq)], |found| {
        Ok((found.get(0)?, found.get::<_, Vec<u8>>(1)?, found.get::<_, Option<Vec<u8>>>(2)?))
    })?;
    let private = body.map(|body| Payload::parse(&body)?.values()).transpose()?.unwrap_or_default();
    Ok(OpenTask { task, at: Timestamp::from_millis(at), opened: read(&entry, seq)?, private, version: 1 })
}

fn read<T: DeserializeOwned>(entry: &[u8], seq: u64) -> Result<T, StoreError> {
    serde_json::from_slice(entry)
        .map_err(|cause| StoreError::Damaged { seq, what: format!("it cannot be read: {cause}") })
}
