//! Tasks at the agent's door: opened before anything untrusted is read, ended by whoever may.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use ring::rand::SecureRandom as _;
use serde::{Deserialize, Serialize};

use super::gateway::Gateway;
use super::reply;
use crate::mediate::Refusal;
use crate::model::{AgentName, Code, Digest, Evidence, Grant, OpenedBy, Task, TaskId, Timestamp};
use crate::record;

/// Where tasks are opened.
pub const PATH: &str = "/-/tasks";

/// How long a task lives where its opener does not say, and the longest that it may say, in seconds.
const USUAL_TTL: u64 = 3_600;
const LONGEST_TTL: u64 = 86_400;

/// Bytes a goal may have, and lines a grant may have.
const LONGEST_GOAL: usize = 2_048;
const MOST_GRANTS: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Opening {
    #[serde(default)]
    goal: String,
    #[serde(default)]
    actions: Vec<Grant>,
    on_behalf_of: Option<String>,
    ttl: Option<u64>,
    agent: Option<String>,
}

#[derive(Serialize)]
struct OpenedTask<'a> {
    task: TaskId,
    token: &'a str,
    expires_at: Timestamp,
}

/// `POST /-/tasks` and `DELETE /-/tasks/{id}`.
pub async fn answer(
    gateway: &Gateway,
    evidence: &Evidence,
    request: &Request<Bytes>,
) -> Result<Response<Full<Bytes>>, Refusal> {
    match (request.method(), request.uri().path().strip_prefix(PATH).unwrap_or_default()) {
        (&Method::POST, "") => open(gateway, evidence, request.body()).await,
        (&Method::DELETE, id) => end(gateway, evidence, id.trim_start_matches('/')).await,
        _ => Err(Refusal::Door(
            Code::MethodUnknown,
            "open a task with POST /-/tasks, end it with DELETE /-/tasks/{id}".to_owned(),
        )),
    }
}

async fn open(gateway: &Gateway, evidence: &Evidence, body: &[u8]) -> Result<Response<Full<Bytes>>, Refusal> {
    let now = gateway.clock.now();
    let opening: Opening =
        serde_json::from_slice(body).map_err(|error| unclear(format!("the task cannot be read: {error}")))?;
    let (agent, opened_by) = opener(gateway, evidence, opening.agent.as_deref(), now)?;
    check(gateway, &agent, &opening)?;
    let ttl = Duration::from_secs(opening.ttl.unwrap_or(USUAL_TTL));
    let mut random = [0; 42];
    gateway.random.fill(&mut random).map_err(|_| Refusal::Door(Code::IssuerUnavailable, String::new()))?;
    let (secret, id) = random.split_at(32);
    let token = format!("cst_{}", URL_SAFE_NO_PAD.encode(secret));
    let expires_at = now.after(ttl);
    let task = Task {
        id: TaskId::new(now, id.try_into().unwrap_or_default()),
        agent,
        opened_by,
        on_behalf_of: opening.on_behalf_of,
        goal: opening.goal,
        grant: opening.actions,
        parent: None,
        depth: 0,
        opened_at: now,
        expires_at: Some(expires_at),
    };
    let found_by = Digest::of(token.as_bytes());
    gateway.mediator.rail.commit(record::opened(&task, found_by)).await?;
    let answer = reply::json(201, &OpenedTask { task: task.id, token: &token, expires_at });
    gateway.mediator.memory.open(task, found_by, now);
    Ok(answer)
}

async fn end(gateway: &Gateway, evidence: &Evidence, id: &str) -> Result<Response<Full<Bytes>>, Refusal> {
    let now = gateway.clock.now();
    let over = || Refusal::Door(Code::TaskOver, "there is no such task, or it is not yours".to_owned());
    let task: Arc<Task> = id.parse().ok().and_then(|id| gateway.mediator.memory.find(id, now)).ok_or_else(over)?;
    let (agent, by) = opener(gateway, evidence, Some(task.agent.as_str()), now)?;
    if agent != task.agent || task.opened_by == OpenedBy::Nobody {
        return Err(over());
    }
    let by = match by {
        OpenedBy::Framework => "opener",
        OpenedBy::Agent | OpenedBy::Nobody => "agent",
    };
    gateway.mediator.rail.commit(record::closed(&task, by, now)).await?;
    gateway.mediator.close(task.id);
    let mut answer = reply::json(204, &());
    *answer.body_mut() = Full::default();
    Ok(answer)
}

/// Whose task it is, and who opens it: a proof in the agent's `open_tasks`, or else the agent itself.
fn opener(
    gateway: &Gateway,
    evidence: &Evidence,
    named: Option<&str>,
    now: Timestamp,
) -> Result<(AgentName, OpenedBy), Refusal> {
    let identify = &gateway.mediator.rulebook.now().identify;
    let wanted = |agent: &AgentName| named.is_none_or(|named| named == agent.as_str());
    let mut opens: Vec<AgentName> = identify
        .agents()
        .filter(|agent| wanted(agent) && identify.opener(agent, evidence, now).is_some())
        .cloned()
        .collect();
    match (opens.pop(), opens.is_empty()) {
        (Some(agent), true) => Ok((agent, OpenedBy::Framework)),
        (Some(_), false) => Err(unclear("this proof opens tasks for several agents; say which as `agent`".to_owned())),
        (None, _) => {
            let caller = identify.caller(evidence, now)?;
            if wanted(&caller.agent) {
                Ok((caller.agent, OpenedBy::Agent))
            } else {
                Err(Refusal::Door(Code::CallerUnproven, String::new()))
            }
        }
    }
}

fn check(gateway: &Gateway, agent: &AgentName, opening: &Opening) -> Result<(), Refusal> {
    if opening.goal.len() > LONGEST_GOAL || opening.on_behalf_of.as_ref().is_some_and(|person| person.len() > 256) {
        return Err(unclear(format!("a goal has up to {LONGEST_GOAL} bytes, and `on_behalf_of` up to 256")));
    }
    if opening.actions.len() > MOST_GRANTS {
        return Err(unclear(format!("a task names up to {MOST_GRANTS} actions")));
    }
    if opening.ttl.is_some_and(|ttl| ttl == 0 || ttl > LONGEST_TTL) {
        return Err(unclear(format!("`ttl` is in seconds, up to {LONGEST_TTL}")));
    }
    let catalog = &gateway.mediator.rulebook.now().catalog;
    let known = |grant: &&Grant| {
        catalog.tools_of(agent).flat_map(|tool| &tool.actions).any(|action| action.name == grant.action)
    };
    match opening.actions.iter().find(|grant| !known(grant)) {
        Some(grant) => Err(unclear(format!(
            "`{}` is no action of this agent's tools; write `TOOL/ACTION`",
            grant.action.escape_debug()
        ))),
        None => Ok(()),
    }
}

fn unclear(why: String) -> Refusal {
    Refusal::Door(Code::RequestUnclear, why)
}
