//! Questions at the agent's door: where one stands, and the call made that was agreed to.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::Full;
use serde::Serialize;

use super::gateway::{CALL, GateBody, Gateway, Turned};
use super::reply;
use crate::mediate::Refusal;
use crate::memory::{NotAgreed, Stands};
use crate::model::{ApprovalId, CallId, Code, Evidence, Timestamp};

/// Where questions are.
pub const PATH: &str = "/-/approvals/";

/// What an agent is told of a question: not who is asked, and not who answered.
#[derive(Serialize)]
struct Question {
    id: ApprovalId,
    call: CallId,
    #[serde(flatten)]
    standing: Stands,
    expires_at: Timestamp,
}

/// `GET /-/approvals/{id}` and `POST /-/approvals/{id}/resume`.
pub async fn answer(
    gateway: &Gateway,
    evidence: Evidence,
    request: &Request<Bytes>,
) -> Result<Response<GateBody>, Turned> {
    let rest = request.uri().path().strip_prefix(PATH).unwrap_or_default();
    let named = |id: &str| id.parse::<ApprovalId>().map_err(|_| Refusal::NotAgreed(NotAgreed::Void));
    match (request.method(), rest.split_once('/')) {
        (&Method::GET, None) => Ok(show(gateway, &evidence, named(rest)?)?.map(GateBody::Own)),
        (&Method::POST, Some((id, "resume"))) => resume(gateway, evidence, named(id)?).await,
        _ => Err(Refusal::Door(
            Code::MethodUnknown,
            "ask where a question stands with GET /-/approvals/{id}, have its call made with POST /-/approvals/{id}/resume"
                .to_owned(),
        )
        .into()),
    }
}

fn show(gateway: &Gateway, evidence: &Evidence, id: ApprovalId) -> Result<Response<Full<Bytes>>, Refusal> {
    let now = gateway.clock.now();
    let caller = gateway.mediator.rulebook.now().identify.caller(evidence, now)?;
    let shown = gateway.mediator.memory.desk().question(id, &caller.agent, now);
    let shown = shown.ok_or(Refusal::NotAgreed(NotAgreed::Void))?;
    let standing = match shown.standing {
        Stands::Waiting { .. } => Stands::Waiting { open: std::collections::BTreeSet::new() },
        told @ (Stands::Approved { .. } | Stands::Denied | Stands::Used | Stands::Expired | Stands::Cancelled) => told,
    };
    let question = Question { id, call: shown.about.call, standing, expires_at: shown.about.expires_at };
    Ok(reply::json(200, &question))
}

/// The answer is that of the call which was kept, and bears its id.
async fn resume(gateway: &Gateway, evidence: Evidence, id: ApprovalId) -> Result<Response<GateBody>, Turned> {
    let now = gateway.clock.now();
    let caller = gateway.mediator.rulebook.now().identify.caller(&evidence, now).map_err(Refusal::from)?;
    let taken = gateway.mediator.memory.desk().resume(id, &caller.agent, now).map_err(Refusal::from)?;
    let call = taken.0.call.id;
    let answer = gateway.carry(|mediator, hangup| async move { mediator.resume(taken, &evidence.peer, hangup).await });
    let mut answer = answer.await.unwrap_or_else(|refused| reply::refusal(call, &refused).map(GateBody::Own));
    if let Ok(id) = HeaderValue::from_str(&call.to_string()) {
        answer.headers_mut().insert(CALL, id);
    }
    Ok(answer)
}
