//! Whether a lineage is what it was: every entry, leaf, tile, checkpoint and payload, computed anew.

mod filed;

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{OptionalExtension as _, Row, Rows, params};
use serde::{Deserialize, Serialize};

use self::filed::Filed;
use super::checkpoint::Verifier;
use super::combination::{Combination, VERDICTS};
use super::entry::Payload;
use super::sqlite::{schema, tail};
use super::tiles::{CompletedTile, Edge, WIDTH, leaf_hash};
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
    /// Records that were taken as they are, from the first, because a checkpoint was to be gone on from.
    pub taken: u64,
    /// Records in archives that are not here: their hashes fit, and no more was looked at.
    pub absent: u64,
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
    report(reader, Walk::new(), |walk| walk.begin(checkpoint, vkey))
}

/// The same for what came after `since`, a signed note that was kept elsewhere when all before it had been verified: the
/// tiles up to it must have its root, and the records there are not read.
pub fn verify_since(reader: &Reader, since: &str, vkey: Option<&str>) -> Report {
    report(reader, Walk::new(), |walk| walk.begin(Some(since), vkey).and_then(|()| walk.go_on_from_outside(reader)))
}

fn report(reader: &Reader, mut walk: Walk, begin: impl FnOnce(&mut Walk) -> Result<(), StoreError>) -> Report {
    let result = begin(&mut walk).and_then(|()| walk.all(reader));
    let verdict = match result {
        Ok(()) => Verdict::Intact,
        Err(StoreError::Damaged { seq, what }) => Verdict::Broken { seq: Some(seq), what },
        Err(cause @ StoreError::Database(_)) => {
            Verdict::Broken { seq: Some(walk.edge.size()), what: cause.to_string() }
        }
        Err(cause) => Verdict::Broken { seq: None, what: cause.to_string() },
    };
    let Walk { edge, taken, absent, checkpoints, erased, verifier, outside, .. } = walk;
    let against = outside.map(|Checkpoint { origin, size, root }| Against { origin, size, root });
    let signatures_checked = verifier.is_some();
    Report {
        verdict,
        size: edge.size(),
        root: edge.root(),
        checkpoints,
        signatures_checked,
        erased,
        against,
        taken,
        absent,
    }
}

struct Walk {
    edge: Edge,
    taken: u64,
    absent: u64,
    checkpoints: u64,
    erased: u64,
    /// Records without their private fields, of which no record has said yet that they were erased.
    bare: BTreeSet<u64>,
    verifier: Option<Verifier>,
    outside: Option<Checkpoint>,
}

impl Walk {
    fn new() -> Self {
        Self {
            edge: Edge::new(),
            taken: 0,
            absent: 0,
            checkpoints: 0,
            erased: 0,
            bare: BTreeSet::new(),
            verifier: None,
            outside: None,
        }
    }

    fn begin(&mut self, checkpoint: Option<&str>, vkey: Option<&str>) -> Result<(), StoreError> {
        self.verifier = vkey.map(Verifier::parse).transpose()?;
        self.outside = checkpoint.map(|note| self.read_note(note)).transpose()?;
        Ok(())
    }

    fn read_note(&self, note: &str) -> Result<Checkpoint, StoreError> {
        self.verifier.as_ref().map_or_else(|| Checkpoint::parse(note), |verifier| Checkpoint::verify(note, verifier))
    }

    fn go_on_from_outside(&mut self, reader: &Reader) -> Result<(), StoreError> {
        let Some(since) = &self.outside else { return Ok(()) };
        let size = reader.size()?;
        if since.size > size {
            let what = format!("it is missing: a checkpoint covers {} records", since.size);
            return Err(StoreError::Damaged { seq: size, what });
        }
        self.edge = tail::edge_at(&reader.db, since.size)?;
        self.taken = since.size;
        self.compare(since, "the outside checkpoint")
    }

    fn all(&mut self, reader: &Reader) -> Result<(), StoreError> {
        let view = reader.db.unchecked_transaction()?;
        self.records(reader)?;
        self.leftovers(reader)?;
        texts(reader)?;
        Ok(view.finish()?)
    }

    fn records(&mut self, reader: &Reader) -> Result<(), StoreError> {
        let base = reader.base()?;
        let mut rows = reader.db.prepare("SELECT size, note FROM checkpoints WHERE size >= ? ORDER BY size")?;
        let mut rows = rows.query([schema::row(self.taken)])?;
        let next = self.next_note(&mut rows)?;
        let mut notes = Notes { rows, next };
        let mut filed = Filed::read(&reader.db)?;
        reader.through(self.taken..u64::MAX, &mut |db, part| {
            if self.edge.size() < part.start && part.start <= base {
                self.absent(reader, part.start, &mut notes)?;
            }
            let mut records = db.prepare(
                "SELECT records.seq, kind, call, task, at, leaf, entry, body
                 FROM records LEFT JOIN payloads ON payloads.seq = records.seq
                 WHERE records.seq >= ? AND records.seq < ? ORDER BY records.seq",
            )?;
            let mut records = records.query([schema::row(part.start), schema::row(part.end)])?;
            while let Some(row) = records.next()? {
                let seq = self.edge.size();
                let Checked { leaf, task, verdict, is_bare, erases } = check(row, seq)?;
                if let Some(verdict) = verdict
                    && !filed.holds(&reader.db, seq, task, &verdict)?
                {
                    let what = "it is not filed where a list of calls would look for it".to_owned();
                    return Err(StoreError::Damaged { seq, what });
                }
                if is_bare {
                    self.bare.insert(seq);
                }
                self.erased += erases.iter().filter(|seq| self.bare.remove(seq)).count() as u64;
                self.push(reader, leaf, &mut notes)?;
            }
            Ok(())
        })?;
        self.fit(&mut notes)?;
        self.kept_promises(notes.next.as_ref())
    }

    /// Records whose archive is not here: their hashes stand in the tiles, and no more can be said of them.
    fn absent(&mut self, reader: &Reader, until: u64, notes: &mut Notes<'_>) -> Result<(), StoreError> {
        while self.edge.size() < until {
            let seq = self.edge.size();
            let missing = || StoreError::Damaged { seq, what: "it is missing, and so is its hash".into() };
            let (index, width) = (seq / WIDTH as u64, u16::try_from(WIDTH).unwrap_or(u16::MAX));
            let tile = reader.tile(0, index, width)?.ok_or_else(missing)?;
            let within = usize::try_from(seq % WIDTH as u64).unwrap_or(0);
            for hash in tile.as_chunks::<32>().0.iter().skip(within) {
                self.absent += 1;
                self.push(reader, Digest(*hash), notes)?;
            }
        }
        Ok(())
    }

    fn push(&mut self, reader: &Reader, leaf: Digest, notes: &mut Notes<'_>) -> Result<(), StoreError> {
        self.fit(notes)?;
        if self.edge.size().is_multiple_of(WIDTH as u64) {
            reader.tell_past(self.edge.size());
        }
        self.edge.push(leaf).iter().try_for_each(|tile| compare_tile(reader, tile))
    }

    /// The checkpoints of the tree as it is now must have its root.
    fn fit(&mut self, notes: &mut Notes<'_>) -> Result<(), StoreError> {
        while let Some(checkpoint) = notes.next.take_if(|checkpoint| checkpoint.size == self.edge.size()) {
            self.compare(&checkpoint, "its checkpoint")?;
            self.checkpoints += 1;
            notes.next = self.next_note(&mut notes.rows)?;
        }
        match self.outside.as_ref().filter(|outside| outside.size == self.edge.size()) {
            Some(outside) => self.compare(outside, "the outside checkpoint"),
            None => Ok(()),
        }
    }

    /// What checkpoints promise is there, and what was taken out was taken out by a record.
    fn kept_promises(&self, left: Option<&Checkpoint>) -> Result<(), StoreError> {
        let promised = [left, self.outside.as_ref()].into_iter().flatten().map(|promise| promise.size).max();
        if let Some(promised) = promised.filter(|promised| *promised > self.edge.size()) {
            let what = format!("it is missing: a checkpoint covers {promised} records");
            return Err(StoreError::Damaged { seq: self.edge.size(), what });
        }
        match self.bare.first() {
            Some(seq) => {
                let what = "its private fields are missing, and no record says that they were erased".into();
                Err(StoreError::Damaged { seq: *seq, what })
            }
            None => Ok(()),
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

/// Stored checkpoints, in order.
struct Notes<'a> {
    rows: Rows<'a>,
    next: Option<Checkpoint>,
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
    /// What an `erased` record took the private fields of.
    #[serde(default)]
    records: Vec<u64>,
}

/// A record that fits.
struct Checked {
    leaf: Digest,
    task: Option<TaskId>,
    /// What it is filed under, if it is a verdict.
    verdict: Option<Combination>,
    /// It had private fields, and has none any more.
    is_bare: bool,
    /// Whose private fields it says were erased.
    erases: Vec<u64>,
}

/// Checks one record.
fn check(row: &Row<'_>, seq: u64) -> Result<Checked, StoreError> {
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
    let is_verdict = VERDICTS.contains(&named.kind.as_str());
    let verdict = is_verdict.then(|| Combination::stored(entry)).flatten();
    let checked =
        Checked { leaf, task: named.task, verdict, is_bare: !named.private.is_empty(), erases: named.records };
    let Some(body) = row.get_ref(7)?.as_blob_or_null().unwrap_or_default() else {
        return Ok(checked);
    };
    let payload = Payload::parse(body).map_err(|_| damaged("its private fields cannot be read"))?;
    let shown = payload.commitments().ok_or_else(|| damaged("its private fields cannot be read"))?;
    let same = shown.len() == named.private.len()
        && shown.iter().all(|(name, commitment)| named.private.get(*name) == Some(commitment));
    if same {
        Ok(Checked { is_bare: false, ..checked })
    } else {
        Err(damaged("its private fields are not those it was recorded with"))
    }
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
