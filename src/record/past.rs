//! What was permitted lately, for whoever starts: a restart forgets no limit and no chain of calls.

use serde_json::Value;

use super::query::stored;
use super::sqlite::schema;
use super::{Reader, StoreError, Stored};
use crate::model::{TaskId, Timestamp};

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
    /// The method.
    pub method: String,
    /// The target, as it was sent.
    pub target: String,
    /// SHA-256 of the body.
    pub content: String,
    /// What the task held when it was judged.
    pub labels: Vec<String>,
}

impl Past {
    /// When.
    pub const fn at(&self) -> Timestamp {
        Timestamp::from_millis(self.at)
    }
}

impl Reader {
    /// The last calls that were permitted, at most so many, the earliest first; and whether these are all there ever were.
    pub fn past(&self, most: usize) -> Result<(Vec<Past>, bool), StoreError> {
        let wanted = i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1);
        let mut found = stored(
            &self.db,
            "kind = 'permitted' AND records.seq >= ? ORDER BY records.seq DESC LIMIT ?",
            rusqlite::params![schema::row(0), wanted],
        )?;
        let all = found.len() <= most && self.base()? == 0;
        found.truncate(most);
        Ok((found.iter().rev().map(past).collect(), all))
    }
}

fn past(record: &Stored) -> Past {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
    let entry = |name: &str| record.entry.pointer(name);
    let private = |name: &str| record.private.as_ref().and_then(|private| private.get(name));
    let labels = entry("/facts/labels").and_then(Value::as_array);
    Past {
        at: entry("/at")
            .and_then(|at| serde_json::from_value::<Timestamp>(at.clone()).ok())
            .map_or(0, Timestamp::millis),
        agent: text(entry("/agent")),
        workload: text(private("workload").and_then(|workload| workload.get("id"))),
        task: entry("/task").and_then(|task| task.as_str()?.parse().ok()),
        action: text(entry("/action")),
        method: text(entry("/method")),
        target: text(private("target")),
        content: text(private("content")),
        labels: labels.into_iter().flatten().map(|label| text(Some(label))).collect(),
    }
}
