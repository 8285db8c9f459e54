//! Lists calls, those decided last first, without looking at more records than it has to.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::Value;

use super::combination::{Combination, IS_VERDICT};
use super::query::stored;
use super::sqlite::filing::{self, ANY, BLOCK, EVERY_TASK};
use super::sqlite::schema::row;
use super::{Reader, StoreError, Story};
use crate::model::{CallId, TaskId};

/// Which calls to list. What is absent does not matter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this agent.
    pub agent: Option<String>,
    /// With this action, by its full name or without its tool; or all of a tool, by its name and `/`.
    pub action: Option<String>,
    /// `allow`, or what a refusal says: `deny`, `ask`, `throttle`, `unavailable`; or `no`, for all but `allow`.
    pub decision: Option<String>,
    /// In this task.
    pub task: Option<TaskId>,
    /// At most so many.
    pub limit: usize,
    /// Decided before this record: the way to the next page.
    pub before: Option<u64>,
}

impl Filter {
    /// What may be asked for as a `decision`.
    pub const DECISIONS: [&str; 6] = ["allow", "no", "ask", "throttle", "deny", "unavailable"];

    fn takes_all(&self) -> bool {
        self.agent.is_none() && self.action.is_none() && self.decision.is_none() && self.task.is_none()
    }

    fn takes(&self, verdict: &Combination) -> bool {
        let is =
            |wanted: &Option<String>, found: Option<&str>| wanted.as_deref().is_none_or(|wanted| found == Some(wanted));
        let action = verdict.action.as_deref();
        let (tool, short) = action.and_then(|name| name.split_once('/')).unzip();
        let tool = tool.map(|tool| format!("{tool}/"));
        is(&self.agent, verdict.agent.as_deref())
            && (is(&self.action, action) || is(&self.action, short) || is(&self.action, tool.as_deref()))
            && self.takes_decision(&verdict.decision)
    }

    fn takes_decision(&self, decision: &str) -> bool {
        self.decision.as_deref().is_none_or(|wanted| wanted == decision || wanted == "no" && decision != "allow")
    }

    /// Whether it takes a call for what was decided of it in the end: one that was asked about may have been permitted.
    fn takes_story(&self, story: &Story) -> bool {
        let Some(verdict) = story.verdict() else { return true };
        self.takes_decision(verdict.entry.get("decision").and_then(Value::as_str).unwrap_or("allow"))
    }
}

impl Reader {
    /// Calls, those decided last first.
    pub fn calls(&self, filter: &Filter) -> Result<Vec<Story>, StoreError> {
        let view = self.db.unchecked_transaction()?;
        let mut listed = Listed { filter, found: Vec::new(), told: BTreeSet::new() };
        let mut places = Places::of(&self.db, filter)?;
        while listed.found.len() < filter.limit
            && let Some(records) = places.next()?
        {
            self.back_through(records, &mut |db, part| {
                self.list(db, part, &mut listed)?;
                Ok(listed.found.len() >= filter.limit)
            })?;
        }
        view.finish()?;
        Ok(listed.found)
    }

    fn list(&self, db: &Connection, within: Range<u64>, listed: &mut Listed<'_>) -> Result<(), StoreError> {
        let filter = listed.filter;
        let sql = format!(
            "SELECT seq, call, entry FROM records
             WHERE seq >= ?1 AND seq < ?2 AND {IS_VERDICT} AND (?3 IS NULL OR task = ?3)
             ORDER BY seq DESC"
        );
        let mut statement = db.prepare_cached(&sql)?;
        let task = filter.task.as_ref().map(TaskId::as_bytes);
        let mut rows = statement.query(params![row(within.start), row(within.end), task])?;
        while listed.found.len() < filter.limit
            && let Some(found) = rows.next()?
        {
            // What cannot be read is for `verify` to name; a list goes on without it.
            let Some(verdict) = Combination::stored(found.get_ref(2)?.as_blob().unwrap_or_default()) else { continue };
            if !filter.takes(&verdict) {
                continue;
            }
            let call = found.get::<_, Option<[u8; 16]>>(1)?.map(CallId::from_bytes);
            if let Some(call) = call {
                if listed.told.insert(call) {
                    listed.found.extend(self.story(call)?.filter(|story| filter.takes_story(story)));
                }
            } else {
                let seq: i64 = found.get(0)?;
                listed.found.push(Story { call: None, records: stored(db, "records.seq = ?", params![seq])? });
            }
        }
        Ok(())
    }
}

/// What a list has so far.
struct Listed<'a> {
    filter: &'a Filter,
    found: Vec<Story>,
    told: BTreeSet<CallId>,
}

/// The records that may hold what a filter takes, the latest first: blocks that are noted to, and what nobody has noted
/// anything of.
struct Places<'a> {
    db: &'a Connection,
    task: &'a [u8],
    /// By its last block below what was looked at: which combinations are there.
    filed: BTreeMap<u64, Vec<i64>>,
    /// Records in no covered block, in order.
    gaps: Vec<Range<u64>>,
    /// What lies from here on was looked at.
    end: u64,
}

impl<'a> Places<'a> {
    fn of(db: &'a Connection, filter: &'a Filter) -> Result<Self, StoreError> {
        let end = filter.before.unwrap_or(u64::MAX);
        let task = filter.task.as_ref().map_or(EVERY_TASK, |task| task.as_bytes().as_slice());
        let mut places = Self { db, task, filed: BTreeMap::new(), gaps: Vec::new(), end };
        if filter.takes_all() || !filing::is_there(db)? {
            places.gaps.push(0..u64::MAX);
            return Ok(places);
        }
        places.gaps = gaps(&filing::covered(db)?);
        let wanted = filing::combinations(db)?.into_iter().filter(|(_, verdict)| filter.takes(verdict));
        for combination in wanted.map(|(id, _)| id).chain([ANY]) {
            places.seek(combination)?;
        }
        Ok(places)
    }

    /// Finds the last block of a combination that was not looked at as a whole.
    fn seek(&mut self, combination: i64) -> Result<(), StoreError> {
        let sql =
            "SELECT block FROM filed WHERE task = ? AND combination = ? AND block < ? ORDER BY block DESC LIMIT 1";
        let block: Option<i64> = self
            .db
            .prepare_cached(sql)?
            .query_row(params![self.task, combination, row(self.end.div_ceil(BLOCK))], |found| found.get(0))
            .optional()?;
        if let Some(block) = block.and_then(|block| u64::try_from(block).ok()) {
            self.filed.entry(block).or_default().push(combination);
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<Range<u64>>, StoreError> {
        loop {
            let block = self.filed.last_key_value().map(|(block, _)| *block);
            let filed = block.map_or(0..0, |block| block.saturating_mul(BLOCK)..(block + 1).saturating_mul(BLOCK));
            let gap = self.gaps.last().cloned().unwrap_or(0..0);
            if filed.is_empty() && gap.is_empty() {
                return Ok(None);
            }
            let next = if gap.end >= filed.end {
                self.gaps.pop();
                gap.start..gap.end.min(self.end)
            } else {
                filed.start..filed.end.min(self.end)
            };
            self.end = self.end.min(next.start);
            // Whoever was last there goes on to where it was before, without what was looked at meanwhile.
            while let Some(passed) = self.filed.last_entry().filter(|last| last.key().saturating_mul(BLOCK) >= self.end)
            {
                for combination in passed.remove() {
                    self.seek(combination)?;
                }
            }
            if !next.is_empty() {
                return Ok(Some(next));
            }
        }
    }
}

/// What lies between covered blocks. The very last of these counts as not covered: an older program may have gone on in it.
fn gaps(covered: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut gaps = Vec::new();
    let mut from = 0;
    for run in covered {
        gaps.push(from..run.start.saturating_mul(BLOCK));
        from = run.end.saturating_mul(BLOCK);
    }
    gaps.push(from.saturating_sub(BLOCK)..u64::MAX);
    gaps.retain(|gap| !gap.is_empty());
    gaps
}
