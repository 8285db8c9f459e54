//! Tasks that are not over, as reviewers see them; and what ends them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Sources;
use super::reviewer::{Denied, Id};
use crate::model::{May, OpenedBy, Reviewer, TaskId};

type Shown = Result<Json<Value>, Denied>;

/// What `/v1/tasks` may be asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    agent: Option<String>,
}

/// Every task that is not over, the latest first.
pub(super) async fn list(State(sources): State<Arc<Sources>>, reviewer: Reviewer, wanted: Query<Wanted>) -> Shown {
    reviewer.must(May::Read)?;
    let tasks = sources.memory.tasks(wanted.agent.as_deref(), sources.rail.now());
    Ok(Json(json!({ "tasks": tasks })))
}

/// One of them.
pub(super) async fn show(State(sources): State<Arc<Sources>>, reviewer: Reviewer, Id(id): Id<TaskId>) -> Shown {
    reviewer.must(May::Read)?;
    Ok(Json(json!(sources.memory.shown(id, sources.rail.now()).ok_or_else(over)?)))
}

/// Ends one, and all that came out of it: their calls under way are cut.
pub(super) async fn end(State(sources): State<Arc<Sources>>, reviewer: Reviewer, Id(id): Id<TaskId>) -> Shown {
    reviewer.must(May::Quarantine)?;
    let now = sources.rail.now();
    let task = sources.memory.find(id, now).ok_or_else(over)?;
    if task.opened_by == OpenedBy::Nobody {
        return Err(Denied::conflict("what an agent does outside of any task cannot be ended; quarantine the agent"));
    }
    let ended = sources.mediator.end_task(&task, &format!("reviewer:{}", reviewer.by()), now).await;
    ended.map_err(|error| Denied::unrecorded(&error))?;
    tracing::warn!(task.id = %id, by = reviewer.by(), "a task is ended");
    Ok(Json(json!({ "task": id, "ended": true })))
}

fn over() -> Denied {
    Denied::unknown("there is no such task, or it is over")
}
