//! Whether a verdict is found where a list looks for it: who hides a call there hides it from every reviewer.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use rusqlite::{Connection, params};

use super::super::StoreError;
use super::super::combination::Combination;
use super::super::sqlite::filing::{self, ANY, BLOCK, EVERY_TASK};
use super::super::sqlite::schema::row;
use crate::model::TaskId;

/// What a file says of where verdicts lie.
#[derive(Debug, Default)]
pub struct Filed {
    combinations: BTreeMap<Combination, i64>,
    covered: Vec<Range<u64>>,
    block: u64,
    /// What was found to be filed of that block.
    seen: BTreeSet<(Option<TaskId>, i64)>,
}

impl Filed {
    /// Reads it; nothing if only older programs have written the file.
    pub fn read(db: &Connection) -> Result<Self, StoreError> {
        if !filing::is_there(db)? {
            return Ok(Self::default());
        }
        let mut covered = filing::covered(db)?;
        // A list looks through the last one by itself: an older program may have gone on in it.
        if let Some(last) = covered.last_mut() {
            last.end -= 1;
        }
        let combinations = filing::combinations(db)?.into_iter().map(|(id, combination)| (combination, id)).collect();
        Ok(Self { combinations, covered, ..Self::default() })
    }

    /// Whether a list would look at this verdict if it was asked for it.
    pub fn holds(
        &mut self,
        db: &Connection,
        seq: u64,
        task: Option<TaskId>,
        verdict: &Combination,
    ) -> Result<bool, StoreError> {
        let block = seq / BLOCK;
        let after = self.covered.partition_point(|run| run.end <= block);
        if !self.covered.get(after).is_some_and(|run| run.contains(&block)) {
            return Ok(true);
        }
        if self.block != block {
            self.block = block;
            self.seen.clear();
        }
        let id = self.combinations.get(verdict).copied().unwrap_or(ANY);
        for task in [None].into_iter().chain(task.map(Some)) {
            if self.seen.contains(&(task, id)) {
                continue;
            }
            let key = task.as_ref().map_or(EVERY_TASK, |task| task.as_bytes().as_slice());
            let sql = "SELECT 1 FROM filed WHERE task = ? AND combination = ? AND block = ?";
            if !db.prepare_cached(sql)?.exists(params![key, id, row(block)])? {
                return Ok(false);
            }
            self.seen.insert((task, id));
        }
        Ok(true)
    }
}
