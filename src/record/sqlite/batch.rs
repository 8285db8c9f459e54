//! One transaction: the records of a batch, the tiles they complete, and now and then a checkpoint.

use std::ops::Range;

use rusqlite::{Connection, ErrorCode, params};

use super::super::StoreError;
use super::super::tiles::Edge;
use super::filing::Filing;
use super::queue::Pending;
use super::schema::{BASE, NEEDS, NEEDS_ARCHIVES, OPEN_CALLS_FROM, OPEN_TASKS_FROM, SAID, row};
use crate::model::{CallId, TaskId};

/// Bytes a commit writes beyond its records, about: the pages that every commit touches.
const OVERHEAD: u64 = 16_384;

/// What is written beside the records now and then.
#[derive(Debug, Default)]
pub struct Note {
    /// A size and the signed checkpoint of it.
    pub checkpoint: Option<(u64, String)>,
    /// Where a search for open calls must start.
    pub calls_from: u64,
    /// Where a search for open tasks must start.
    pub tasks_from: u64,
    /// Records that are in an archive, and are taken out of the file.
    pub trim: Option<Range<u64>>,
}

/// Nothing of the batch is in the file.
#[derive(Debug)]
pub struct Failure {
    /// Why.
    pub cause: StoreError,
    /// That nothing of it is in the file is not certain: the connection is not to be used again.
    pub in_doubt: bool,
}

/// The tree as it grows, and where in it verdicts lie. After a failure neither is of use any more.
#[derive(Debug)]
pub struct Grown<'a> {
    pub edge: &'a mut Edge,
    pub filing: &'a mut Filing,
}

/// Writes all of it or nothing. Gives the bytes written, about.
pub fn write(db: &Connection, grown: Grown<'_>, records: &[Pending], note: Option<&Note>) -> Result<u64, Failure> {
    let certain = |cause: rusqlite::Error| Failure { in_doubt: !is_refusal(&cause), cause: cause.into() };
    run(db, "BEGIN IMMEDIATE").map_err(certain)?;
    let Grown { edge, filing } = grown;
    let written = insert(db, Grown { edge, filing }, records).and_then(|bytes| {
        note.map_or(Ok(()), |note| insert_note(db, note, edge))?;
        Ok(bytes)
    });
    match written {
        Ok(bytes) => {
            run(db, "COMMIT").map_err(|cause| {
                // Without space not even the mark of a commit was written. Any other failure may have come behind it.
                let rolled_back = || db.is_autocommit() || run(db, "ROLLBACK").is_ok();
                let certain = cause.sqlite_error_code() == Some(ErrorCode::DiskFull) && rolled_back();
                Failure { cause: cause.into(), in_doubt: !certain }
            })?;
            Ok(bytes + OVERHEAD)
        }
        Err(cause) => {
            // An error may have ended the transaction already.
            let ended = db.is_autocommit() || run(db, "ROLLBACK").is_ok();
            let failure = certain(cause);
            Err(Failure { in_doubt: failure.in_doubt || !ended, ..failure })
        }
    }
}

fn insert(db: &Connection, grown: Grown<'_>, records: &[Pending]) -> rusqlite::Result<u64> {
    let Grown { edge, filing } = grown;
    if records.is_empty() {
        return Ok(0);
    }
    let mut record =
        db.prepare_cached("INSERT INTO records (seq, kind, call, task, at, leaf, entry) VALUES (?, ?, ?, ?, ?, ?, ?)")?;
    let mut payload = db.prepare_cached("INSERT INTO payloads (seq, body) VALUES (?, ?)")?;
    let mut bytes = 0;
    for pending in records {
        let (place, seq) = (edge.size(), row(edge.size()));
        let (call, task) = (pending.call.as_ref().map(CallId::as_bytes), pending.task.as_ref().map(TaskId::as_bytes));
        let encoded = &pending.encoded;
        record.execute(params![seq, pending.kind, call, task, pending.at.millis(), encoded.leaf.0, encoded.entry])?;
        filing.file(db, place, pending.task, pending.verdict.as_ref())?;
        if let Some(body) = &encoded.payload {
            payload.execute(params![seq, body])?;
            bytes += body.len();
        }
        if SAID.contains(&pending.kind) {
            db.prepare_cached("INSERT INTO said (seq, kind) VALUES (?, ?)")?.execute(params![seq, pending.kind])?;
        }
        for (digest, text) in &pending.texts {
            db.prepare_cached("INSERT OR IGNORE INTO texts (digest, body) VALUES (?, ?)")?
                .execute(params![digest.0, text])?;
            bytes += text.len();
        }
        for erased in &pending.erases {
            db.prepare_cached("DELETE FROM payloads WHERE seq = ?")?.execute([row(*erased)])?;
        }
        for tile in edge.push(encoded.leaf) {
            db.prepare_cached("INSERT INTO tiles (level, idx, hashes) VALUES (?, ?, ?)")?.execute(params![
                tile.level,
                row(tile.index),
                tile.hashes
            ])?;
            bytes += tile.hashes.len();
        }
        bytes += encoded.entry.len();
    }
    Ok(bytes as u64)
}

fn insert_note(db: &Connection, note: &Note, edge: &Edge) -> rusqlite::Result<()> {
    if let Some((size, text)) = &note.checkpoint {
        db.prepare_cached("INSERT OR REPLACE INTO checkpoints (size, note) VALUES (?, ?)")?
            .execute(params![row(*size), text])?;
        for (level, index, hashes) in edge.begun() {
            db.prepare_cached("INSERT OR REPLACE INTO edge (level, idx, hashes) VALUES (?, ?, ?)")?
                .execute(params![level, row(index), hashes])?;
        }
    }
    if let Some(Range { start, end }) = &note.trim {
        let range = params![row(*start), row(*end)];
        db.prepare_cached("DELETE FROM payloads WHERE seq >= ? AND seq < ?")?.execute(range)?;
        db.prepare_cached("DELETE FROM records WHERE seq >= ? AND seq < ?")?.execute(range)?;
        let needs = (NEEDS, NEEDS_ARCHIVES.to_string());
        for (key, value) in [needs, (BASE, end.to_string())] {
            db.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)")?
                .execute(params![key, value])?;
        }
    }
    for (key, value) in [(OPEN_CALLS_FROM, note.calls_from), (OPEN_TASKS_FROM, note.tasks_from)] {
        db.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)")?
            .execute(params![key, value.to_string()])?;
    }
    Ok(())
}

fn run(db: &Connection, sql: &str) -> rusqlite::Result<()> {
    db.prepare_cached(sql)?.execute([]).map(drop)
}

/// Whether the database refused and is none the worse for it.
fn is_refusal(cause: &rusqlite::Error) -> bool {
    matches!(
        cause.sqlite_error_code(),
        Some(
            ErrorCode::ConstraintViolation | ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked
        )
    )
}
