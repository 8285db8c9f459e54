//! Agents and their calls under way, as reviewers see them; and what stops them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Sources;
use super::reviewer::{Denied, Id};
use crate::memory::CallUnderWay;
use crate::model::{AgentName, CallId, May, Reviewer};
use crate::record;

type Shown = Result<Json<Value>, Denied>;

/// Why somebody decides something; an empty body gives no reason.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Said {
    #[serde(default)]
    pub(super) why: String,
}

impl Said {
    pub(super) fn read(body: &Bytes) -> Result<Self, Denied> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_slice(body)
            .map_err(|error| Denied::unclear(format!("the body is not `{{\"why\": …}}`: {error}")))
    }
}

/// Which version judges, since when, and whether what lies on the disk is another.
pub(in crate::serve) async fn loaded(State(sources): State<Arc<Sources>>, reviewer: Reviewer) -> Shown {
    reviewer.must(May::Read)?;
    let (rulebook, news) = (sources.rulebook.now(), sources.rulebook.told());
    Ok(Json(json!({
        "version": rulebook.policies.version(),
        "generation": news.generation,
        "since": news.since,
        "trouble": news.trouble,
    })))
}

/// Every agent: of the configuration, or stopped.
pub(in crate::serve) async fn list(State(sources): State<Arc<Sources>>, reviewer: Reviewer) -> Shown {
    reviewer.must(May::Read)?;
    let rulebook = sources.rulebook.now();
    let (stopped, calls) = (sources.memory.quarantined(), sources.memory.under_way());
    let configured: Vec<&AgentName> = rulebook.identify.agents().collect();
    let mut names: Vec<&AgentName> = configured.iter().copied().chain(&stopped).collect();
    names.sort_unstable();
    names.dedup();
    let tell = |agent: &AgentName| {
        json!({
            "agent": agent.as_str(),
            "mode": configured.contains(&agent).then(|| rulebook.policies.mode(agent)),
            "quarantined": stopped.contains(agent),
            "under_way": calls.iter().filter(|call| call.agent == *agent).count(),
        })
    };
    Ok(Json(json!({ "agents": names.into_iter().map(tell).collect::<Vec<_>>() })))
}

/// Stops an agent: at once, and even if it cannot be recorded, when nothing else can be either.
pub(in crate::serve) async fn quarantine(
    State(sources): State<Arc<Sources>>,
    reviewer: Reviewer,
    Id(agent): Id<String>,
    body: Bytes,
) -> Shown {
    reviewer.must(May::Quarantine)?;
    let (agent, why) = (known(&sources, &agent)?, Said::read(&body)?.why);
    let _one_after_the_other = sources.deciding.lock().await;
    let record = record::quarantined(&agent, reviewer.by(), &why, sources.rail.now());
    let recorded = sources.memory.quarantine(&agent, || sources.rail.commit(record));
    tracing::warn!(agent = agent.as_str(), by = reviewer.by(), "an agent is stopped");
    sources.mediator.cancel(|about| about.agent == agent);
    let recorded = recorded.await.map_err(|error| {
        tracing::error!(%error, "that an agent is stopped could not be recorded");
        Denied::unavailable("it is stopped, but that could not be recorded: a restart would forget it. Ask again")
    })?;
    Ok(Json(json!({ "agent": agent.as_str(), "quarantined": true, "recorded": recorded })))
}

/// Lets an agent go on, once that is recorded.
pub(in crate::serve) async fn release(
    State(sources): State<Arc<Sources>>,
    reviewer: Reviewer,
    Id(agent): Id<String>,
    body: Bytes,
) -> Shown {
    reviewer.must(May::Quarantine)?;
    let (agent, why) = (known(&sources, &agent)?, Said::read(&body)?.why);
    let _one_after_the_other = sources.deciding.lock().await;
    if !sources.memory.quarantined().contains(&agent) {
        return Err(Denied::conflict("it is not quarantined"));
    }
    let record = record::released(&agent, reviewer.by(), &why, sources.rail.now());
    let recorded = sources.rail.commit(record).await.map_err(|error| Denied::unrecorded(&error))?;
    sources.memory.release(&agent);
    tracing::warn!(agent = agent.as_str(), by = reviewer.by(), "an agent may go on");
    Ok(Json(json!({ "agent": agent.as_str(), "quarantined": false, "recorded": recorded })))
}

/// A name that is no agent's is a slip of whoever typed it, and would stop nobody.
pub(super) fn known(sources: &Sources, name: &str) -> Result<AgentName, Denied> {
    let rulebook = sources.rulebook.now();
    let is = |agent: &&AgentName| agent.as_str() == name;
    let configured = rulebook.identify.agents().find(is).cloned();
    let known = configured.or_else(|| sources.memory.quarantined().iter().find(is).cloned());
    known.ok_or_else(|| Denied::unknown("there is no such agent"))
}

/// The credentials that may be live: those of the calls under way.
pub(in crate::serve) async fn credentials(State(sources): State<Arc<Sources>>, reviewer: Reviewer) -> Shown {
    reviewer.must(May::Read)?;
    let tell = |call: &Arc<CallUnderWay>| {
        json!({
            "id": call.id, "agent": call.agent.as_str(), "task": call.task, "action": call.action,
            "resource": call.resource, "issuer": call.tool.issuer, "since": call.since,
        })
    };
    Ok(Json(json!({ "credentials": sources.memory.under_way().iter().map(tell).collect::<Vec<_>>() })))
}

/// Cuts a call under way, which ends its credential. Its ending is recorded as `revoked`.
pub(in crate::serve) async fn revoke(
    State(sources): State<Arc<Sources>>,
    reviewer: Reviewer,
    Id(call): Id<CallId>,
) -> Shown {
    reviewer.must(May::Quarantine)?;
    if !sources.memory.under_way().iter().any(|under_way| under_way.id == call) {
        return Err(Denied::unknown("no such call is under way"));
    }
    sources.memory.cut(|under_way| under_way.id == call);
    tracing::warn!(call.id = %call, by = reviewer.by(), "a call is cut");
    Ok(Json(json!({ "id": call, "revoked": true })))
}
