//! Where verdicts lie, noted as they are written, so that nobody has to read all of them to find a few.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::StoreError;
use super::super::combination::{Combination, IS_VERDICT};
use super::super::tiles::WIDTH;
use super::schema::{BASE, row};
use crate::model::TaskId;

/// Records in a block: as many as under a tile, so that a block is in one file as a whole, or in an archive.
pub const BLOCK: u64 = WIDTH as u64;

/// What stands for every task where none is asked for.
pub const EVERY_TASK: &[u8] = &[];

/// What a verdict is filed under that has no combination of its own: it may be any.
pub const ANY: i64 = 0;

/// Combinations that are told apart, and bytes that one may have. There are seldom more, and what is beyond is found all
/// the same, if not as quickly.
const MOST: usize = 4_096;
const LONGEST: usize = 512;

/// The verdicts of blocks that are filed under what they say.
///
/// What is remembered here is what the file says inside the transaction that is being written. After a failure nothing of
/// it holds, and it is read anew.
#[derive(Debug, Default)]
pub struct Filing {
    combinations: BTreeMap<Combination, i64>,
    at: Option<At>,
}

/// The block that is being written.
#[derive(Debug)]
struct At {
    /// The first block of the run it belongs to.
    first: u64,
    block: u64,
    filed: BTreeSet<(Option<TaskId>, i64)>,
}

impl Filing {
    /// Files a record, as part of the transaction that writes it. One that is no verdict only belongs to its block.
    pub fn file(
        &mut self,
        db: &Connection,
        seq: u64,
        task: Option<TaskId>,
        verdict: Option<&Combination>,
    ) -> rusqlite::Result<()> {
        let block = seq / BLOCK;
        match &mut self.at {
            None => self.resume(db, seq)?,
            Some(at) if at.block == block => {}
            Some(at) => {
                at.block = block;
                at.filed.clear();
                cover(db, at.first, block)?;
            }
        }
        match verdict {
            Some(verdict) => self.note(db, task, verdict),
            None => Ok(()),
        }
    }

    /// Nothing that is remembered holds any more.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Goes on where the last run ended. An older program may have written since and filed nothing: it has begun in the
    /// last block that is covered, which is therefore read, and so is the one that is being written.
    fn resume(&mut self, db: &Connection, seq: u64) -> rusqlite::Result<()> {
        self.combinations = combinations(db)?.into_iter().map(|(id, combination)| (combination, id)).collect();
        let base: Option<String> = db
            .prepare_cached("SELECT value FROM meta WHERE key = ?")?
            .query_row([BASE], |found| found.get(0))
            .optional()?;
        let base = base.and_then(|base| base.parse().ok()).unwrap_or(0);
        let block = seq / BLOCK;
        let mut first = block;
        if let Some(last) = covered(db)?.pop() {
            let end = last.end - 1;
            if end * BLOCK >= base {
                self.begin(last.start, end);
                self.file_stored(db, end)?;
                if end == block || end + 1 == block {
                    first = last.start;
                }
            } else if end > last.start {
                // What it wrote there it has moved out as well. There is an archive more to read now and then.
                cover(db, last.start, end - 1)?;
            } else {
                db.execute("DELETE FROM covered WHERE first = ?", [row(end)])?;
            }
        }
        self.begin(first, block);
        self.file_stored(db, block)?;
        cover(db, first, block)
    }

    fn begin(&mut self, first: u64, block: u64) {
        self.at = Some(At { first, block, filed: BTreeSet::new() });
    }

    /// Files the verdicts of a block that are stored already.
    fn file_stored(&mut self, db: &Connection, block: u64) -> rusqlite::Result<()> {
        let sql = format!("SELECT task, entry FROM records WHERE seq >= ? AND seq < ? AND {IS_VERDICT}");
        let mut rows = db.prepare_cached(&sql)?;
        let mut rows = rows.query(params![row(block * BLOCK), row((block + 1) * BLOCK)])?;
        while let Some(found) = rows.next()? {
            let task = found.get::<_, Option<[u8; 16]>>(0)?.map(TaskId::from_bytes);
            // What cannot be read is for `verify` to name, and is nothing that a list would show.
            if let Some(verdict) = Combination::stored(found.get_ref(1)?.as_blob().unwrap_or_default()) {
                self.note(db, task, &verdict)?;
            }
        }
        Ok(())
    }

    fn note(&mut self, db: &Connection, task: Option<TaskId>, verdict: &Combination) -> rusqlite::Result<()> {
        let id = self.id(db, verdict)?;
        let Some(at) = &mut self.at else { return Ok(()) };
        for task in [None].into_iter().chain(task.map(Some)) {
            if at.filed.insert((task, id)) {
                let task = task.as_ref().map_or(EVERY_TASK, |task| task.as_bytes().as_slice());
                db.prepare_cached("INSERT OR IGNORE INTO filed (task, combination, block) VALUES (?, ?, ?)")?
                    .execute(params![task, id, row(at.block)])?;
            }
        }
        Ok(())
    }

    fn id(&mut self, db: &Connection, verdict: &Combination) -> rusqlite::Result<i64> {
        if let Some(id) = self.combinations.get(verdict) {
            return Ok(*id);
        }
        let Combination { agent, action, decision } = verdict;
        let bytes =
            [agent.as_deref(), action.as_deref(), Some(decision)].into_iter().flatten().map(str::len).sum::<usize>();
        if self.combinations.len() >= MOST || bytes > LONGEST {
            return Ok(ANY);
        }
        db.execute(
            "INSERT INTO combinations (agent, action, decision) VALUES (?, ?, ?)",
            params![agent, action, decision],
        )?;
        let id = db.last_insert_rowid();
        self.combinations.insert(verdict.clone(), id);
        Ok(id)
    }
}

/// The combinations that are told apart, by their numbers.
pub fn combinations(db: &Connection) -> rusqlite::Result<Vec<(i64, Combination)>> {
    let mut rows = db.prepare("SELECT id, agent, action, decision FROM combinations")?;
    let rows = rows.query_map([], |found| {
        Ok((found.get(0)?, Combination { agent: found.get(1)?, action: found.get(2)?, decision: found.get(3)? }))
    })?;
    rows.collect()
}

/// The blocks whose verdicts are filed, in runs without a gap, in order. Into the very last block an older program may
/// have written without filing anything.
pub fn covered(db: &Connection) -> rusqlite::Result<Vec<Range<u64>>> {
    let mut rows = db.prepare("SELECT first, last FROM covered ORDER BY first")?;
    let block = |found: i64| u64::try_from(found).unwrap_or(0);
    let rows = rows.query_map([], |found| {
        let first = block(found.get(0)?);
        Ok(first..block(found.get(1)?).max(first).saturating_add(1))
    })?;
    rows.collect()
}

/// Whether the file has these tables. One that only older programs have written has none.
pub fn is_there(db: &Connection) -> Result<bool, StoreError> {
    let sql =
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name IN ('combinations', 'filed', 'covered')";
    Ok(db.query_row(sql, [], |found| found.get::<_, i64>(0))? == 3)
}

fn cover(db: &Connection, first: u64, last: u64) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO covered (first, last) VALUES (?, ?)")?
        .execute([row(first), row(last)])
        .map(drop)
}
