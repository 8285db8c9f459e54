//! What happened lately, for whoever starts: a restart forgets no limit, no chain of calls and no grant that was used.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use rusqlite::params;
use serde::Deserialize;
use serde_json::Value;

use super::query::stored;
use super::sqlite::schema;
use super::{CredentialNote, OpenTask, Reader, StoreError, Stored};
use crate::model::{CallId, TaskId, Timestamp};

/// A call that was permitted. What is private and was erased is empty.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Past {
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// Who asked.
    pub agent: String,
    /// As which workload.
    pub workload: String,
    /// In which task.
    pub task: Option<TaskId>,
    /// The action's full name.
    pub action: String,
    /// What it acts on, under its tool; `None` if it was erased, as is the rest of what is private.
    pub resource: Option<String>,
    /// The method.
    pub method: String,
    /// The target, as it was sent.
    pub target: String,
    /// SHA-256 of the body.
    pub content: String,
    /// What the task held when it was judged.
    pub labels: Vec<String>,
    /// The task's grant covered it.
    pub declared: bool,
    /// An answer may have come: it did, or nobody knows.
    pub answered: bool,
    /// How long its credential was alive; where nobody knows, as long as it could be.
    pub alive: Duration,
}

impl Past {
    /// When.
    pub const fn at(&self) -> Timestamp {
        Timestamp::from_millis(self.at)
    }
}

/// What is recorded of tasks that are open, and of all that came out of them.
#[derive(Clone, Debug, Default)]
pub struct PastLife {
    /// The tasks, in the order they were opened; their private fields are those of the last amendment where there is one.
    pub tasks: Vec<OpenTask>,
    /// Those of them that were ended.
    pub closed: BTreeSet<TaskId>,
    /// What was permitted in any of them, in order.
    pub calls: Vec<Past>,
}

#[derive(Deserialize)]
struct ParentOnly {
    parent: Option<TaskId>,
}

impl Reader {
    /// The last calls that were permitted, at most so many, the earliest first; and whether these are all there ever were.
    pub fn past(&self, most: usize) -> Result<(Vec<Past>, bool), StoreError> {
        let wanted = i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1);
        let mut found = stored(
            &self.db,
            "kind = 'permitted' AND records.seq >= ? ORDER BY records.seq DESC LIMIT ?",
            params![schema::row(0), wanted],
        )?;
        let all = found.len() <= most && self.base()? == 0;
        found.truncate(most);
        Ok((found.iter().rev().map(past).collect(), all))
    }

    /// What happened in these tasks, which are open, and in all that came out of them. Reads the records of those tasks
    /// only, where the store has an index of them.
    pub fn lives(&self, open: &[OpenTask]) -> Result<PastLife, StoreError> {
        let mut life = PastLife::default();
        let mut known: BTreeSet<TaskId> = open.iter().map(|open| open.task).collect();
        let from = schema::row(schema::number(&self.db, schema::OPEN_TASKS_FROM)?.unwrap_or(0));
        if known.is_empty() {
            return Ok(life);
        }
        self.family(from, &mut known, &mut life)?;
        let wanted: Vec<String> = known.iter().map(|task| hex::encode(task.as_bytes())).collect();
        let wanted = serde_json::to_string(&wanted)?;
        let found = stored(
            &self.db,
            "records.task IN (SELECT unhex(value) FROM json_each(?)) AND records.seq >= ?
             AND kind IN ('permitted', 'ended', 'amended') ORDER BY records.seq",
            params![wanted, from],
        )?;
        let place: HashMap<TaskId, usize> =
            life.tasks.iter().enumerate().map(|(place, open)| (open.task, place)).collect();
        let mut calls: HashMap<CallId, usize> = HashMap::new();
        for record in &found {
            let id = |name: &str| record.entry.get(name).cloned();
            let call: Option<CallId> = id("call").and_then(|call| serde_json::from_value(call).ok());
            match (record.kind(), call) {
                ("permitted", Some(call)) => {
                    calls.insert(call, life.calls.len());
                    life.calls.push(past(record));
                }
                ("ended", Some(call)) => {
                    let past = calls.get(&call).and_then(|place| life.calls.get_mut(*place));
                    if let Some(past) = past {
                        end(past, record);
                    }
                }
                ("amended", _) => {
                    let task = id("task").and_then(|task| serde_json::from_value(task).ok());
                    let open = task.and_then(|task: TaskId| life.tasks.get_mut(*place.get(&task)?));
                    if let Some(open) = open {
                        amend(open, record);
                    }
                }
                _ => {}
            }
        }
        Ok(life)
    }

    /// Which tasks came out of those that are known, in the order they were opened, and which of all of them are over.
    fn family(&self, from: i64, known: &mut BTreeSet<TaskId>, life: &mut PastLife) -> Result<(), StoreError> {
        let mut statement = self.db.prepare(
            "SELECT seq, kind, task, entry FROM records WHERE kind IN ('opened', 'closed') AND seq >= ? ORDER BY seq",
        )?;
        let mut rows = statement.query([from])?;
        while let Some(row) = rows.next()? {
            let Some(task) = row.get::<_, Option<[u8; 16]>>(2)?.map(TaskId::from_bytes) else { continue };
            if row.get_ref(1)?.as_str().unwrap_or_default() == "closed" {
                if known.contains(&task) {
                    life.closed.insert(task);
                }
                continue;
            }
            let seq = u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0);
            let is_family = || {
                let parent = || serde_json::from_slice::<ParentOnly>(row.get_ref(3).ok()?.as_blob().ok()?).ok()?.parent;
                known.contains(&task) || parent().is_some_and(|parent| known.contains(&parent))
            };
            if is_family() {
                known.insert(task);
                life.tasks.push(super::sqlite::open_task(&self.db, task, seq)?);
            }
        }
        Ok(())
    }
}

fn past(record: &Stored) -> Past {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let entry = |name: &str| record.entry.pointer(name);
    let private = |name: &str| record.private.as_ref().and_then(|private| private.get(name));
    let labels = entry("/facts/labels").and_then(Value::as_array);
    let at = time(entry("/at")).unwrap_or(Timestamp::from_millis(0));
    let minted = entry("/credential/handle").is_some_and(|handle| handle.as_str() != Some("nothing"));
    let expires_at = time(entry("/credential/expires_at"));
    Past {
        at: at.millis(),
        agent: text(entry("/agent")),
        workload: text(private("workload").and_then(|workload| workload.get("id"))),
        task: entry("/task").and_then(|task| task.as_str()?.parse().ok()),
        action: text(entry("/action")),
        resource: private("resource").and_then(Value::as_str).map(str::to_owned),
        method: text(entry("/method")),
        target: text(private("target")),
        content: text(private("content")),
        labels: labels.into_iter().flatten().map(|label| text(Some(label))).collect(),
        declared: entry("/facts/task/declared").and_then(Value::as_bool).unwrap_or(true),
        answered: true,
        // No ending is known yet: as long as the credential could be alive.
        alive: expires_at.filter(|_| minted).map_or(Duration::ZERO, |end| end.since(at)),
    }
}

fn time(value: Option<&Value>) -> Option<Timestamp> {
    value.and_then(|at| serde_json::from_value(at.clone()).ok())
}

/// How a call ended.
fn end(past: &mut Past, record: &Stored) {
    past.answered = record.entry.get("answer").is_some();
    let at = time(record.entry.get("at")).unwrap_or(past.at());
    let note =
        record.entry.get("credential").and_then(|note| serde_json::from_value::<CredentialNote>(note.clone()).ok());
    if let Some(note) = note {
        let unknown = note.minted_at.is_none() && !matches!(note.revocation, crate::model::Revocation::NotNeeded);
        let minted_at = note.minted_at.or_else(|| unknown.then(|| past.at()));
        past.alive = CredentialNote { minted_at, ..note }.alive(at);
    }
}

/// The grant as it is by now. One that was erased adds nothing.
fn amend(open: &mut OpenTask, record: &Stored) {
    let Some(private) = &record.private else { return };
    for name in ["grant", "values"] {
        if let Some(value) = private.get(name) {
            open.private.insert(name.to_owned(), value.clone());
        }
    }
    open.version = record
        .entry
        .get("version")
        .and_then(Value::as_u64)
        .and_then(|version| u32::try_from(version).ok())
        .unwrap_or(open.version);
}
