//! Questions at the reviewers' door: which wait, and what is answered; and the glass that is broken without asking.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Sources;
use super::reviewer::{Denied, Id, Lineage};
use crate::mediate::{NotGiven, Said};
use crate::memory::{NotTaken, Reviewing, Shown};
use crate::model::{AgentName, ApprovalId, Digest, May, Reviewer};
use crate::record::{self, Stored};

/// How long the glass may be broken for.
const LONGEST: u64 = 3_600;

/// How long it is where nobody says.
const USUAL: u64 = 600;

/// What somebody says with an answer.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::serve) struct Because {
    pub(in crate::serve) why: String,
}

/// The questions that wait, and those that were answered within the last hour.
pub(in crate::serve) async fn list(
    State(sources): State<Arc<Sources>>,
    reviewer: Reviewer,
) -> Result<Json<Value>, Denied> {
    reviewer.must(May::Read)?;
    let desk = sources.mediator.memory.desk();
    let shown = desk.questions(sources.rail.now());
    let shown: Vec<Value> = shown.iter().map(|shown| told(shown, desk.content(shown.about.id))).collect();
    Ok(Json(json!({ "approvals": shown })))
}

/// A question, with what its call sends: an answer is for these bytes.
fn told(shown: &Shown, content: Option<(u64, Digest)>) -> Value {
    let mut told = json!(shown);
    if let (Some(members), Some((length, digest))) = (told.as_object_mut(), content) {
        members.insert("content".to_owned(), json!({ "length": length, "sha256": digest }));
    }
    told
}

pub(in crate::serve) async fn approve(
    State(sources): State<Arc<Sources>>,
    reviewer: Reviewer,
    Id(id): Id<ApprovalId>,
    because: Option<Json<Because>>,
) -> Result<Json<Value>, Denied> {
    answer(&sources, &reviewer, id, (true, because)).await
}

pub(in crate::serve) async fn deny(
    State(sources): State<Arc<Sources>>,
    reviewer: Reviewer,
    Id(id): Id<ApprovalId>,
    because: Option<Json<Because>>,
) -> Result<Json<Value>, Denied> {
    answer(&sources, &reviewer, id, (false, because)).await
}

async fn answer(
    sources: &Sources,
    reviewer: &Reviewer,
    id: ApprovalId,
    (yes, because): (bool, Option<Json<Because>>),
) -> Result<Json<Value>, Denied> {
    reviewer.must(May::Approve)?;
    let by = Reviewing { name: named(reviewer)?, roles: &reviewer.roles };
    let Json(Because { why }) = because.unwrap_or_default();
    match sources.mediator.answer(id, &by, Said { yes, why: &why }).await {
        Ok(standing) => Ok(Json(json!({ "id": id, "answer": standing }))),
        Err(NotGiven::NotTaken(over @ (NotTaken::Over | NotTaken::Already(_)))) => Err(Denied::unknown(over)),
        Err(NotGiven::NotTaken(not @ (NotTaken::NotAsked | NotTaken::Own))) => Err(Denied::not(not)),
        Err(NotGiven::Unavailable(error)) => Err(Denied::unrecorded(&error)),
    }
}

/// Whoever owns the lineage has no name: an agent that runs as the same user must not agree to its own calls.
fn named(reviewer: &Reviewer) -> Result<&str, Denied> {
    reviewer.name.as_deref().ok_or_else(|| Denied::not("this needs a name: show a reviewer's token"))
}

/// What is done when there is no time to ask.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::serve) struct Breaking {
    why: String,
    seconds: Option<u64>,
}

/// Breaks the glass for an agent: for some minutes, its policies may let pass what they would stop.
pub(in crate::serve) async fn break_glass(
    State(sources): State<Arc<Sources>>,
    reviewer: Reviewer,
    Path(agent): Path<String>,
    Json(Breaking { why, seconds }): Json<Breaking>,
) -> Result<Json<Value>, Denied> {
    reviewer.must(May::BreakGlass)?;
    let by = named(&reviewer)?;
    let seconds = seconds.unwrap_or(USUAL);
    if why.trim().len() < 10 || seconds == 0 || seconds > LONGEST {
        return Err(Denied::unclear(format!("say `why` in a sentence, and for how many `seconds`: up to {LONGEST}")));
    }
    let agent = AgentName(agent.into());
    if !sources.mediator.rulebook.now().identify.agents().any(|known| *known == agent) {
        return Err(Denied::unknown("there is no such agent"));
    }
    let now = sources.rail.now();
    let until = now.after(Duration::from_secs(seconds));
    let record = record::glass_broken(&agent, (by, &why), until, now);
    let seq = sources.rail.commit(record).await.map_err(|error| Denied::unrecorded(&error))?;
    sources.mediator.memory.break_glass(&agent, until);
    sources.metrics.glass_broken();
    tracing::error!(agent = agent.as_str(), by, until = %until, record = seq, "the glass was broken: review it afterwards");
    Ok(Json(json!({ "agent": agent, "until": until, "record": seq })))
}

/// Whenever the glass was broken, the latest first, and who has reviewed it.
pub(in crate::serve) async fn glass(lineage: Lineage, reviewer: Reviewer) -> Result<Json<Value>, Denied> {
    reviewer.must(May::Read)?;
    let records = lineage.ask(|reader| reader.said(&["glass_broken", "reviewed"], |_| true)).await?;
    let reviewed: BTreeSet<u64> = records.iter().filter_map(|record| record.entry.get("record")?.as_u64()).collect();
    let broken = records.iter().filter(|record| record.kind() == "glass_broken");
    let told = |record: &Stored| json!({ "record": record, "reviewed": reviewed.contains(&record.seq) });
    Ok(Json(json!({ "broken": broken.map(told).collect::<Vec<_>>() })))
}

/// Somebody has looked at what was done while the glass was broken.
pub(in crate::serve) async fn review(
    State(sources): State<Arc<Sources>>,
    lineage: Lineage,
    reviewer: Reviewer,
    Id(seq): Id<u64>,
    because: Option<Json<Because>>,
) -> Result<Json<Value>, Denied> {
    reviewer.must(May::BreakGlass)?;
    let by = named(&reviewer)?.to_owned();
    let found = lineage.ask(move |reader| reader.record(seq)).await?;
    let found = found.filter(|record| record.kind() == "glass_broken");
    let found = found.ok_or_else(|| Denied::unknown("no glass was broken in this record"))?;
    if found.entry.get("by").and_then(Value::as_str) == Some(&*by) {
        return Err(Denied::not("nobody reviews what they broke themselves"));
    }
    let Json(Because { why }) = because.unwrap_or_default();
    let record = record::reviewed(seq, (&by, &why), sources.rail.now());
    let place = sources.rail.commit(record).await.map_err(|error| Denied::unrecorded(&error))?;
    Ok(Json(json!({ "record": seq, "reviewed": place })))
}
