//! What people said and decided and what tasks have shown, which is little among much: found without looking through the rest.

use std::collections::BTreeSet;

use rusqlite::OptionalExtension as _;
use serde_json::Value;

use super::{GlassBroken, Reader, StoreError, Stored};
use crate::model::{ApprovalId, CallId, TaskId, Timestamp};

/// A question of an earlier run.
#[derive(Clone, Debug)]
pub struct PastQuestion {
    /// Its name.
    pub approval: ApprovalId,
    /// The call.
    pub call: Option<CallId>,
    /// Its task.
    pub task: Option<TaskId>,
    /// Who asked.
    pub agent: String,
    /// When.
    pub at: Timestamp,
    /// It was answered, or is over.
    pub resolved: bool,
}

impl Reader {
    /// The records of these kinds that are filed by kind, the latest first, for as long as `wanted` says so.
    pub fn said(&self, kinds: &[&str], mut wanted: impl FnMut(&Stored) -> bool) -> Result<Vec<Stored>, StoreError> {
        let mut found = Vec::new();
        self.each_said(kinds, |record| {
            let goes_on = wanted(&record);
            found.extend(goes_on.then_some(record));
            goes_on
        })?;
        Ok(found)
    }

    /// Hands over the records of these kinds one by one, the latest first, for as long as `each` says so.
    pub fn each_said(&self, kinds: &[&str], mut each: impl FnMut(Stored) -> bool) -> Result<(), StoreError> {
        let is_there = "SELECT 1 FROM sqlite_schema WHERE name = 'said'";
        // A file of an earlier format has none of them.
        if self.db.query_row(is_there, [], |_| Ok(())).optional()?.is_none() {
            return Ok(());
        }
        let mut statement = self
            .db
            .prepare_cached("SELECT seq FROM said WHERE kind IN (SELECT value FROM json_each(?)) ORDER BY seq DESC")?;
        let mut rows = statement.query([serde_json::to_string(kinds)?])?;
        while let Some(row) = rows.next()? {
            let seq = u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0);
            let Some(record) = self.record(seq)? else { continue };
            if !each(record) {
                break;
            }
        }
        Ok(())
    }

    /// For whom the glass was broken since then, and until when; the earliest first.
    pub fn broken_glass(&self, since: Timestamp) -> Result<Vec<(String, Timestamp)>, StoreError> {
        let records = self.said(&["glass_broken"], |record| at(record) >= since)?;
        let broken = records.iter().rev().filter_map(|record| {
            let broken: GlassBroken = serde_json::from_value(record.entry.clone()).ok()?;
            Some((broken.agent, broken.until))
        });
        Ok(broken.collect())
    }

    /// The questions that were asked since then, the earliest first.
    pub fn asked(&self, since: Timestamp) -> Result<Vec<PastQuestion>, StoreError> {
        let records = self.said(&["asked", "resolved"], |record| at(record) >= since)?;
        let mut resolved = BTreeSet::new();
        let mut questions = Vec::new();
        // The latest first: what ends a question comes before it.
        for record in &records {
            let text = |name: &str| record.entry.get(name).and_then(Value::as_str).unwrap_or_default();
            let Ok(approval) = text("approval").parse::<ApprovalId>() else { continue };
            if record.kind() == "resolved" {
                resolved.insert(approval);
                continue;
            }
            questions.push(PastQuestion {
                approval,
                call: text("call").parse().ok(),
                task: text("task").parse().ok(),
                agent: text("agent").to_owned(),
                at: at(record),
                resolved: resolved.contains(&approval),
            });
        }
        questions.reverse();
        Ok(questions)
    }
}

/// When a record was made.
pub(super) fn at(record: &Stored) -> Timestamp {
    let at = record.entry.get("at").and_then(|at| serde_json::from_value::<Timestamp>(at.clone()).ok());
    at.unwrap_or(Timestamp::from_millis(0))
}
