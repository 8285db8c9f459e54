//! Reads a lineage: while it is being written, or from a copy.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};
use serde::Serialize;
use serde_json::{Map, Value};

use super::StoreError;
use super::entry::Payload;
use super::sqlite::{schema, tail};
use super::watch::Watch;
use crate::model::{CallId, Digest};

/// A read-only view. It never waits for the writer, and never holds it up.
#[derive(Debug)]
pub struct Reader {
    pub(super) db: Connection,
    pub(super) path: PathBuf,
    pub(super) watch: Option<Watch>,
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

    /// What was decided: a call that was asked about may have been permitted or refused since.
    pub fn verdict(&self) -> Option<&Stored> {
        ["permitted", "refused", "asked", "repeated"].iter().find_map(|kind| self.first(kind))
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
        Ok(Self { db: schema::read_only(path)?, path: path.to_owned(), watch: None })
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
        self.tell_past(found.last().map_or(from, |last| last.seq.saturating_add(1)));
        Ok(found)
    }

    /// All records of one call, in order; `None` if there is none.
    pub fn story(&self, call: CallId) -> Result<Option<Story>, StoreError> {
        let of = |db: &Connection| stored(db, "call = ? ORDER BY records.seq", params![call.as_bytes()]);
        let mut records = of(&self.db)?;
        let begins = |records: &[Stored]| {
            records.first().is_some_and(|first| ["permitted", "refused", "asked"].contains(&first.kind()))
        };
        if !begins(&records) {
            self.back_through_archives(0..u64::MAX, &mut |db, part| {
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
