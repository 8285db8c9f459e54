//! Reads a lineage: while it is being written, or from a copy.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::StoreError;
use super::entry::Payload;
use super::sqlite::{schema, tail};
use crate::model::{CallId, Digest, TaskId};

/// A read-only view. It never waits for the writer, and never holds it up.
#[derive(Debug)]
pub struct Reader {
    pub(super) db: Connection,
    pub(super) path: PathBuf,
}

/// Which calls to list. What is absent does not matter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this agent.
    pub agent: Option<String>,
    /// With this action, by its full name or without its tool.
    pub action: Option<String>,
    /// `allow`, or what a refusal says: `deny`, `throttle`, `unavailable`.
    pub decision: Option<String>,
    /// In this task.
    pub task: Option<TaskId>,
    /// At most so many.
    pub limit: usize,
    /// Decided before this record: the way to the next page.
    pub before: Option<u64>,
}

/// A record as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stored {
    /// Its place in the tree, from 0.
    pub seq: u64,
    /// The leaf.
    pub entry: Value,
    /// The private fields; `None` if they were erased.
    pub private: Option<Map<String, Value>>,
}

impl Stored {
    /// What kind of record it is.
    pub fn kind(&self) -> &str {
        self.entry.get("kind").and_then(Value::as_str).unwrap_or_default()
    }
}

/// What is recorded of one call, in order: first the verdict, last how it ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Story {
    /// The call, if the record names one.
    pub call: Option<CallId>,
    /// Its records.
    pub records: Vec<Stored>,
}

impl Story {
    /// The first record of a kind.
    pub fn first(&self, kind: &str) -> Option<&Stored> {
        self.records.iter().find(|record| record.kind() == kind)
    }

    /// The last record of a kind.
    pub fn last(&self, kind: &str) -> Option<&Stored> {
        self.records.iter().rfind(|record| record.kind() == kind)
    }
}

impl Reader {
    /// Opens a lineage for reading; fails if there is none, or if a newer version made it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if let Err(source) = std::fs::metadata(path) {
            return Err(StoreError::Open { path: path.display().to_string(), source });
        }
        Ok(Self { db: schema::read_only(path)?, path: path.to_owned() })
    }

    /// Records in the lineage.
    pub fn size(&self) -> Result<u64, StoreError> {
        tail::size(&self.db)
    }

    /// The latest checkpoint: a signed note.
    pub fn checkpoint(&self) -> Result<Option<String>, StoreError> {
        let sql = "SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1";
        Ok(self.db.query_row(sql, [], |row| row.get(0)).optional()?)
    }

    /// A text that was loaded: a policy, a catalog, the schema, the configuration.
    pub fn text(&self, digest: Digest) -> Result<Option<String>, StoreError> {
        let sql = "SELECT body FROM texts WHERE digest = ?";
        Ok(self.db.query_row(sql, [digest.0], |row| row.get(0)).optional()?)
    }

    /// One record.
    pub fn record(&self, seq: u64) -> Result<Option<Stored>, StoreError> {
        Ok(self.records(seq, 1)?.pop().filter(|record| record.seq == seq))
    }

    /// Records from `from` on, in order, at most so many: the way to the next is behind the last of them.
    pub fn records(&self, from: u64, limit: usize) -> Result<Vec<Stored>, StoreError> {
        let mut found: Vec<Stored> = Vec::new();
        self.through(from..u64::MAX, &mut |db, part| {
            let left = i64::try_from(limit - found.len()).unwrap_or(i64::MAX);
            let which = "records.seq >= ? AND records.seq < ? ORDER BY records.seq LIMIT ?";
            found.extend(stored(db, which, params![schema::row(part.start), schema::row(part.end), left])?);
            Ok(())
        })?;
        Ok(found)
    }

    /// All records of one call, in order; `None` if there is none.
    pub fn story(&self, call: CallId) -> Result<Option<Story>, StoreError> {
        let of = |db: &Connection| stored(db, "call = ? ORDER BY records.seq", params![call.as_bytes()]);
        let mut records = of(&self.db)?;
        let begins =
            |records: &[Stored]| records.first().is_some_and(|first| ["permitted", "refused"].contains(&first.kind()));
        if !begins(&records) {
            self.back_through_archives(&mut |db, part| {
                let earlier = of(db)?.into_iter().filter(|record| part.contains(&record.seq));
                records.splice(0..0, earlier);
                Ok(begins(&records))
            })?;
        }
        Ok((!records.is_empty()).then_some(Story { call: Some(call), records }))
    }

    /// The records of a call whose private fields can be erased.
    pub fn erasable(&self, call: CallId) -> Result<Vec<u64>, StoreError> {
        let records = self.story(call)?.map(|story| story.records).unwrap_or_default();
        let erasable = |record: &Stored| {
            record.kind() != "erased" && record.private.as_ref().is_some_and(|private| !private.is_empty())
        };
        Ok(records.iter().filter(|record| erasable(record)).map(|record| record.seq).collect())
    }

    /// Calls, those decided last first.
    pub fn calls(&self, filter: &Filter) -> Result<Vec<Story>, StoreError> {
        let view = self.db.unchecked_transaction()?;
        let mut listed = Listed { found: Vec::new(), told: BTreeSet::new() };
        self.list(&self.db, filter, u64::MAX, &mut listed)?;
        self.back_through_archives(&mut |db, part| {
            if listed.found.len() < filter.limit {
                self.list(db, filter, part.end, &mut listed)?;
            }
            Ok(listed.found.len() >= filter.limit)
        })?;
        view.finish()?;
        Ok(listed.found)
    }

    fn list(&self, db: &Connection, filter: &Filter, end: u64, listed: &mut Listed) -> Result<(), StoreError> {
        let mut statement = db.prepare_cached(
            "SELECT seq, call, entry FROM records
             WHERE seq < ? AND kind IN ('permitted', 'refused', 'repeated') AND (?2 IS NULL OR task = ?2)
             ORDER BY seq DESC",
        )?;
        let before = schema::row(filter.before.unwrap_or(u64::MAX).min(end));
        let mut rows = statement.query(params![before, filter.task.as_ref().map(TaskId::as_bytes)])?;
        while listed.found.len() < filter.limit
            && let Some(row) = rows.next()?
        {
            let verdict: Verdict<'_> = match serde_json::from_slice(row.get_ref(2)?.as_blob().unwrap_or_default()) {
                Ok(verdict) => verdict,
                // What cannot be read is for `verify` to name; a list goes on without it.
                Err(_) => continue,
            };
            if !filter.takes(&verdict) {
                continue;
            }
            let call = row.get::<_, Option<[u8; 16]>>(1)?.map(CallId::from_bytes);
            if let Some(call) = call {
                if listed.told.insert(call) {
                    listed.found.extend(self.story(call)?);
                }
            } else {
                let seq: i64 = row.get(0)?;
                listed.found.push(Story { call: None, records: stored(db, "records.seq = ?", params![seq])? });
            }
        }
        Ok(())
    }
}

/// What a list has so far.
struct Listed {
    found: Vec<Story>,
    told: BTreeSet<CallId>,
}

/// Records of one file.
pub(super) fn stored(db: &Connection, which: &str, values: &[&dyn rusqlite::ToSql]) -> Result<Vec<Stored>, StoreError> {
    let sql = format!(
        "SELECT records.seq, entry, body FROM records LEFT JOIN payloads ON payloads.seq = records.seq
         WHERE {which}"
    );
    let mut statement = db.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// What a list is filtered by, read without the rest of the record.
#[derive(Deserialize)]
struct Verdict<'a> {
    agent: Option<std::borrow::Cow<'a, str>>,
    action: Option<std::borrow::Cow<'a, str>>,
    decision: Option<std::borrow::Cow<'a, str>>,
}

impl Filter {
    fn takes(&self, verdict: &Verdict<'_>) -> bool {
        let is =
            |wanted: &Option<String>, found: Option<&str>| wanted.as_deref().is_none_or(|wanted| found == Some(wanted));
        let action = verdict.action.as_deref();
        let short = action.and_then(|name| name.split_once('/')).map(|(_, short)| short);
        is(&self.agent, verdict.agent.as_deref())
            && (is(&self.action, action) || is(&self.action, short))
            && is(&self.decision, Some(verdict.decision.as_deref().unwrap_or("allow")))
    }
}

fn read(row: &Row<'_>) -> Result<Stored, StoreError> {
    let seq = u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0);
    let unreadable =
        |cause: &dyn std::fmt::Display| StoreError::Damaged { seq, what: format!("it cannot be read: {cause}") };
    let entry: Value =
        serde_json::from_slice(row.get_ref(1)?.as_blob().unwrap_or_default()).map_err(|cause| unreadable(&cause))?;
    let private = match row.get_ref(2)?.as_blob_or_null().unwrap_or_default() {
        Some(body) => {
            let payload = Payload::parse(body).and_then(|payload| payload.values());
            Some(payload.map_err(|cause| unreadable(&cause))?)
        }
        None => entry.get("private").is_none().then(Map::new),
    };
    Ok(Stored { seq, entry, private })
}
