//! The habits of agents, as reviewers see them; and what puts them in force.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Sources;
use super::agents::Said;
use super::reviewer::{Denied, Id, Lineage};
use crate::memory::InForce;
use crate::model::{AgentName, Baseline, BaselineRule, Digest, May, Reviewer, Timestamp};
use crate::record::{self, PastBaselines, Shown};

type Answer = Result<Json<Value>, Denied>;

/// Tasks that a draft is made of, at most: the last ones.
const MOST_TASKS: usize = 5_000;

/// What is to be put in force.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// The draft that was looked at: nothing is put in force that nobody has seen.
    draft: Option<Draft>,
    /// An earlier version, instead.
    version: Option<u32>,
    #[serde(default)]
    why: String,
}

impl Wanted {
    fn read(body: &Bytes) -> Result<Self, Denied> {
        let shape = "{\"draft\": {\"as_of\", \"digest\"}} or {\"version\": N}, and perhaps \"why\"";
        serde_json::from_slice(body).map_err(|error| Denied::unclear(format!("the body is not `{shape}`: {error}")))
    }
}

/// A draft, by the time as of which it was made, and its content.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Draft {
    as_of: Timestamp,
    digest: Digest,
}

/// All that is known of an agent's habits.
pub(in crate::serve) struct Known {
    /// The baselines that were put in force.
    pub past: PastBaselines,
    /// The one that is.
    pub in_force: Option<Arc<InForce>>,
    /// What tasks have shown comes to this …
    pub draft: Baseline,
    /// … as of then.
    pub as_of: Timestamp,
    /// Tasks that do not count: that ended too short a time ago, …
    pub held: usize,
    /// … and of them those that never will, since the agent was quarantined soon after.
    pub doubted: usize,
}

impl Known {
    /// What stands in the lineage and in memory; the draft as it was at `now`.
    pub async fn of(sources: &Arc<Sources>, agent: &AgentName, now: Timestamp) -> Result<Self, Denied> {
        let rule = sources.rulebook.now().bounds.baseline(agent);
        let in_force = sources.memory.baselines().of(agent);
        let name = agent.clone();
        let read = move |reader: &record::Reader| {
            let past = reader.baselines(name.as_str())?;
            let since = now.before(rule.window);
            let since = past.reset.map_or(since, |reset| reset.max(since));
            let shown = reader.shown(name.as_str(), since, MOST_TASKS)?;
            // Here, where it keeps nobody waiting: it may be much.
            Ok(Self::drafted(past, in_force, (&shown, &rule, now)))
        };
        Lineage(sources.clone()).ask(read).await
    }

    fn drafted(
        past: PastBaselines,
        in_force: Option<Arc<InForce>>,
        (shown, rule, now): (&Shown, &BaselineRule, Timestamp),
    ) -> Self {
        let draft = shown.draft(rule, now);
        let counted = usize::try_from(draft.tasks).unwrap_or(usize::MAX);
        let (held, doubted) = (shown.tasks.len().saturating_sub(counted), shown.doubted(rule));
        Self { past, in_force, held, doubted, draft, as_of: now }
    }
}

/// Which version of an agent's the next one is.
async fn next(sources: &Arc<Sources>, agent: &AgentName) -> Result<u32, Denied> {
    let name = agent.clone();
    let past = Lineage(sources.clone()).ask(move |reader| reader.baselines(name.as_str())).await?;
    Ok(past.all.last().map_or(0, |last| last.version).saturating_add(1))
}

/// Every agent's, in short.
pub(in crate::serve) async fn list(State(sources): State<Arc<Sources>>, reviewer: Reviewer) -> Answer {
    reviewer.must(May::Read)?;
    let rulebook = sources.rulebook.now();
    let tell = |agent: &AgentName| {
        let in_force = sources.memory.baselines().of(agent);
        json!({
            "agent": agent.as_str(),
            "version": in_force.as_ref().map(|known| known.version),
            "ready": in_force.as_ref().is_some_and(|known| known.baseline.ready),
            "tasks": in_force.as_ref().map_or(0, |known| known.baseline.tasks),
            "drift": in_force.as_ref().map_or(0, |known| known.drift()),
        })
    };
    Ok(Json(json!({ "baselines": rulebook.identify.agents().map(tell).collect::<Vec<_>>() })))
}

/// One agent's: what is in force, what its tasks have shown by now, and what that would change.
pub(in crate::serve) async fn show(
    State(sources): State<Arc<Sources>>,
    reviewer: Reviewer,
    Id(agent): Id<String>,
) -> Answer {
    reviewer.must(May::Read)?;
    let agent = super::agents::known(&sources, &agent)?;
    let rule = sources.rulebook.now().bounds.baseline(&agent);
    let known = Known::of(&sources, &agent, sources.rail.now()).await?;
    let nothing = Baseline::default();
    let before = known.in_force.as_ref().map_or(&nothing, |known| &known.baseline);
    let history = known.past.all.iter().map(|past| {
        let tasks = past.baseline.as_ref().map(|baseline| baseline.tasks);
        json!({ "version": past.version, "at": past.at, "by": past.by, "tasks": tasks })
    });
    Ok(Json(json!({
        "agent": agent.as_str(),
        "rule": tell_rule(&rule),
        "in_force": known.in_force.as_ref().map(|known| {
            json!({ "version": known.version, "drift": known.drift(), "baseline": known.baseline.shown() })
        }),
        "draft": {
            "as_of": known.as_of, "digest": known.draft.digest(), "held": known.held, "doubted": known.doubted,
            "baseline": known.draft.shown(),
        },
        "difference": before.difference(&known.draft),
        "history": history.collect::<Vec<_>>(),
    })))
}

fn tell_rule(rule: &BaselineRule) -> Value {
    let seconds = |span: Duration| span.as_secs();
    json!({
        "tasks": rule.tasks, "days": rule.days, "hold_s": seconds(rule.hold), "window_s": seconds(rule.window),
        "enough": rule.enough, "alarms_per_week": f64::from(rule.budget) / 1_000.0,
    })
}

/// Puts what its tasks have shown in force, or an earlier version; once that is recorded.
pub(in crate::serve) async fn ratify(
    State(sources): State<Arc<Sources>>,
    reviewer: Reviewer,
    Id(agent): Id<String>,
    body: Bytes,
) -> Answer {
    reviewer.must(May::Approve)?;
    let agent = super::agents::known(&sources, &agent)?;
    let wanted = Wanted::read(&body)?;
    let now = sources.rail.now();
    let as_of = wanted.draft.as_ref().map_or(now, |draft| draft.as_of.min(now));
    let known = Known::of(&sources, &agent, as_of).await?;
    let baseline = match (wanted.draft, wanted.version) {
        (Some(draft), None) if draft.digest == known.draft.digest() => known.draft.clone(),
        (Some(_), None) => {
            return Err(Denied::conflict("what its tasks show is not what you looked at any more; look again"));
        }
        (None, Some(version)) => earlier(&known, version)?,
        (None, None) | (Some(_), Some(_)) => {
            return Err(Denied::unclear("name the `draft` that you looked at, or an earlier `version`, and not both"));
        }
    };
    if baseline.tasks == 0 {
        return Err(Denied::conflict(
            "nothing was learned of this agent yet: no task of it has ended cleanly and long ago enough",
        ));
    }
    let _one_after_the_other = sources.deciding.lock().await;
    let version = next(&sources, &agent).await?;
    let said = (reviewer.by(), &*wanted.why);
    let record = record::ratified(&agent, (version, wanted.version), &baseline, said, now);
    let recorded = sources.rail.commit(record).await.map_err(|error| Denied::unrecorded(&error))?;
    sources.memory.baselines().ratify(&agent, version, baseline);
    tracing::warn!(agent = agent.as_str(), by = reviewer.by(), version, "a baseline is in force");
    Ok(Json(json!({ "agent": agent.as_str(), "version": version, "recorded": recorded })))
}

fn earlier(known: &Known, version: u32) -> Result<Baseline, Denied> {
    let past = known.past.all.iter().find(|past| past.version == version);
    let past = past.ok_or_else(|| Denied::unknown("this agent never had a baseline of that version"))?;
    past.baseline.clone().ok_or_else(|| Denied::conflict("what that version said was erased"))
}

/// Takes the agent's baseline out of force, and what its tasks have shown so far out of account; once that is recorded.
pub(in crate::serve) async fn reset(
    State(sources): State<Arc<Sources>>,
    reviewer: Reviewer,
    Id(agent): Id<String>,
    body: Bytes,
) -> Answer {
    reviewer.must(May::Approve)?;
    let agent = super::agents::known(&sources, &agent)?;
    let said = Said::read(&body)?;
    let _one_after_the_other = sources.deciding.lock().await;
    let record = record::reset(&agent, (reviewer.by(), &said.why), sources.rail.now());
    let recorded = sources.rail.commit(record).await.map_err(|error| Denied::unrecorded(&error))?;
    sources.memory.baselines().reset(&agent);
    tracing::warn!(agent = agent.as_str(), by = reviewer.by(), "an agent has no baseline any more");
    Ok(Json(json!({ "agent": agent.as_str(), "recorded": recorded })))
}
