//! Whether a lineage is what it was: every entry, leaf, tile, checkpoint and payload, computed anew.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, Row, Rows, params};
use serde::{Deserialize, Serialize};

use super::checkpoint::Verifier;
use super::entry::Payload;
use super::sqlite::{schema, tail};
use super::tiles::{CompletedTile, Edge, leaf_hash};
use super::{Checkpoint, Reader, StoreError};
use crate::model::{CallId, Digest, TaskId, Timestamp};

/// What was checked, and what came out.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What came out.
    pub verdict: Verdict,
    /// Records that were found good, from the first.
    pub size: u64,
    /// The root over these.
    pub root: Digest,
    /// Stored checkpoints that fit.
    pub checkpoints: u64,
    /// Whether their signatures were checked: that wants a key.
    pub signatures_checked: bool,
    /// Records whose private fields were erased.
    pub erased: u64,
    /// The outside checkpoint it was checked against. Without one, nobody can tell a lineage whose end was cut off, or
    /// that was written anew with the same key, from a whole one.
    pub against: Option<Against>,
}

/// An outside checkpoint.
#[derive(Clone, Debug, Serialize)]
pub struct Against {
    /// The lineage it names.
    pub origin: String,
    /// Records it covers.
    pub size: u64,
    /// The root it gives.
    pub root: Digest,
}

/// Whether it is what it was.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Verdict {
    /// All fits.
    Intact,
    /// Something does not.
    Broken {
        /// The first record that is wrong or missing, from 0; absent if what is wrong is no record.
        seq: Option<u64>,
        /// What is wrong.
        what: String,
    },
}

impl Report {
    /// Whether all fits.
    pub fn is_intact(&self) -> bool {
        self.verdict == Verdict::Intact
    }
}

/// Computes everything anew, in one pass and constant memory.
///
/// `checkpoint` is a signed note that was kept elsewhere. `vkey` checks its signature and those of the stored checkpoints;
/// without it, only their roots count.
pub fn verify(reader: &Reader, checkpoint: Option<&str>, vkey: Option<&str>) -> Report {
    let mut walk = Walk::new();
    let result = walk.begin(checkpoint, vkey).and_then(|()| walk.all(reader));
    let verdict = match result {
        Ok(()) => Verdict::Intact,
        Err(StoreError::Damaged { seq, what }) => Verdict::Broken { seq: Some(seq), what },
        Err(cause @ StoreError::Database(_)) => {
            Verdict::Broken { seq: Some(walk.edge.size()), what: cause.to_string() }
        }
        Err(cause) => Verdict::Broken { seq: None, what: cause.to_string() },
    };
    let Walk { edge, checkpoints, erased, verifier, outside } = walk;
    let against = outside.map(|Checkpoint { origin, size, root }| Against { origin, size, root });
    let signatures_checked = verifier.is_some();
    Report { verdict, size: edge.size(), root: edge.root(), checkpoints, signatures_checked, erased, against }
}

struct Walk {
    edge: Edge,
    checkpoints: u64,
    erased: u64,
    verifier: Option<Verifier>,
    outside: Option<Checkpoint>,
}

impl Walk {
    fn new() -> Self {
        Self { edge: Edge::new(), checkpoints: 0, erased: 0, verifier: None, outside: None }
    }

    fn begin(&mut self, checkpoint: Option<&str>, vkey: Option<&str>) -> Result<(), StoreError> {
        self.verifier = vkey.map(Verifier::parse).transpose()?;
        self.outside = checkpoint.map(|note| self.read_note(note)).transpose()?;
        Ok(())
    }

    fn read_note(&self, note: &str) -> Result<Checkpoint, StoreError> {
        self.verifier.as_ref().map_or_else(|| Checkpoint::parse(note), |verifier| Checkpoint::verify(note, verifier))
    }

    fn all(&mut self, reader: &Reader) -> Result<(), StoreError> {
        let view = reader.db.unchecked_transaction()?;
        self.records(reader)?;
        self.leftovers(reader)?;
        texts(reader)?;
        Ok(view.finish()?)
    }

    fn records(&mut self, reader: &Reader) -> Result<(), StoreError> {
        let mut records = reader.db.prepare(
            "SELECT records.seq, kind, call, task, at, leaf, entry, body
             FROM records LEFT JOIN payloads ON payloads.seq = records.seq ORDER BY records.seq",
        )?;
        let mut records = records.query([])?;
        let mut notes = reader.db.prepare("SELECT size, note FROM checkpoints ORDER BY size")?;
        let mut notes = notes.query([])?;
        let mut next = self.next_note(&mut notes)?;
        loop {
            while let Some(checkpoint) = next.take_if(|checkpoint| checkpoint.size == self.edge.size()) {
                self.compare(&checkpoint, "its checkpoint")?;
                self.checkpoints += 1;
                next = self.next_note(&mut notes)?;
            }
            if let Some(outside) = self.outside.as_ref().filter(|outside| outside.size == self.edge.size()) {
                self.compare(outside, "the outside checkpoint")?;
            }
            let Some(row) = records.next()? else { break };
            let (leaf, erased) = check(row, self.edge.size())?;
            self.erased += u64::from(erased);
            for tile in self.edge.push(leaf) {
                compare_tile(reader, &tile)?;
            }
        }
        let promised = [next.as_ref(), self.outside.as_ref()].into_iter().flatten().map(|promise| promise.size).max();
        match promised {
            Some(promised) if promised > self.edge.size() => Err(StoreError::Damaged {
                seq: self.edge.size(),
                what: format!("it is missing: a checkpoint covers {promised} records"),
            }),
            Some(_) | None => Ok(()),
        }
    }

    fn next_note(&self, notes: &mut Rows<'_>) -> Result<Option<Checkpoint>, StoreError> {
        let Some(row) = notes.next()? else { return Ok(None) };
        let checkpoint = self.read_note(row.get_ref(1)?.as_str().unwrap_or_default())?;
        if row.get(0) != Ok(schema::row(checkpoint.size)) {
            return Err(StoreError::Note("it is stored under another size than its own"));
        }
        Ok(Some(checkpoint))
    }

    fn compare(&self, checkpoint: &Checkpoint, whose: &str) -> Result<(), StoreError> {
        if self.edge.root() == checkpoint.root {
            return Ok(());
        }
        let what = format!("the tree of the {} records up to it has another root than {whose} says", checkpoint.size);
        Err(StoreError::Damaged { seq: checkpoint.size.saturating_sub(1), what })
    }

    /// Nothing may lie in the file that belongs to no record.
    fn leftovers(&self, reader: &Reader) -> Result<(), StoreError> {
        let size = schema::row(self.edge.size());
        let sql = "SELECT seq FROM payloads WHERE seq < 0 OR seq >= ? LIMIT 1";
        if let Some(seq) = reader.db.query_row(sql, [size], |row| row.get::<_, i64>(0)).optional()? {
            let seq = u64::try_from(seq).unwrap_or(0);
            return Err(StoreError::Damaged { seq, what: "private fields are stored, but no record".into() });
        }
        let mut levels = reader.db.prepare("SELECT level, max(idx) FROM tiles GROUP BY level ORDER BY level")?;
        let mut levels = levels.query([])?;
        while let Some(row) = levels.next()? {
            let (level, last) = (row.get::<_, u8>(0)?, u64::try_from(row.get::<_, i64>(1)?).unwrap_or(u64::MAX));
            let width = 256_u64.saturating_pow(u32::from(level) + 1);
            if last >= self.edge.size() / width {
                return Err(tail::torn(level, last, "lies beyond the end of the tree"));
            }
        }
        Ok(())
    }
}

/// The parts of an entry that are stored a second time beside it.
#[derive(Deserialize)]
struct Named {
    kind: String,
    at: Timestamp,
    call: Option<CallId>,
    task: Option<TaskId>,
    #[serde(default)]
    private: BTreeMap<String, String>,
}

/// Checks one record; gives its leaf and whether its private fields were erased.
fn check(row: &Row<'_>, seq: u64) -> Result<(Digest, bool), StoreError> {
    let damaged = |what: &str| StoreError::Damaged { seq, what: what.to_owned() };
    if row.get(0) != Ok(schema::row(seq)) {
        return Err(damaged("it is missing"));
    }
    let entry = row.get_ref(6)?.as_blob().unwrap_or_default();
    let leaf = leaf_hash(entry);
    if row.get_ref(5)?.as_blob() != Ok(&leaf.0) {
        return Err(damaged("its leaf is not the hash of its entry"));
    }
    let named: Named = serde_json::from_slice(entry).map_err(|_| damaged("its entry cannot be read"))?;
    let beside = row.get_ref(1)?.as_str() == Ok(&named.kind)
        && row.get_ref(2)?.as_blob_or_null() == Ok(named.call.as_ref().map(|call| call.as_bytes().as_slice()))
        && row.get_ref(3)?.as_blob_or_null() == Ok(named.task.as_ref().map(|task| task.as_bytes().as_slice()))
        && row.get(4) == Ok(named.at.millis());
    if !beside {
        return Err(damaged("what it is filed under differs from its entry"));
    }
    let Some(body) = row.get_ref(7)?.as_blob_or_null().unwrap_or_default() else {
        return Ok((leaf, !named.private.is_empty()));
    };
    let payload = Payload::parse(body).map_err(|_| damaged("its private fields cannot be read"))?;
    let shown = payload.commitments().ok_or_else(|| damaged("its private fields cannot be read"))?;
    let same = shown.len() == named.private.len()
        && shown.iter().all(|(name, commitment)| named.private.get(*name) == Some(commitment));
    if same { Ok((leaf, false)) } else { Err(damaged("its private fields are not those it was recorded with")) }
}

fn compare_tile(reader: &Reader, tile: &CompletedTile) -> Result<(), StoreError> {
    let mut statement = reader.db.prepare_cached("SELECT hashes FROM tiles WHERE level = ? AND idx = ?")?;
    let stored: Option<Vec<u8>> =
        statement.query_row(params![tile.level, schema::row(tile.index)], |row| row.get(0)).optional()?;
    match stored {
        Some(stored) if stored == tile.hashes => Ok(()),
        Some(_) => Err(tail::torn(tile.level, tile.index, "does not hold the hashes of what lies below it")),
        None => Err(tail::torn(tile.level, tile.index, "is missing")),
    }
}

/// Texts lie under their own digests; a replay with another text would tell another story.
fn texts(reader: &Reader) -> Result<(), StoreError> {
    let mut texts = reader.db.prepare("SELECT digest, body FROM texts ORDER BY digest")?;
    let mut texts = texts.query([])?;
    while let Some(row) = texts.next()? {
        let digest = Digest::of(row.get_ref(1)?.as_bytes().unwrap_or_default());
        if row.get_ref(0)?.as_blob() != Ok(&digest.0) {
            return Err(StoreError::Text);
        }
    }
    Ok(())
}
