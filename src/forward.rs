//! Step 5: the judged bytes go to the tool, once, with the one call's credential.

mod address;
mod answer;
mod client;
mod connect;
mod decode;
mod egress;
#[cfg(test)]
mod fake_tool;
mod header_names;
mod headers;
mod redact;
mod request;
mod rewrite;
mod tunnel;
mod wire;

use std::future::Future;
use std::sync::{Arc, PoisonError};

use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::upgrade::OnUpgrade;
use tokio::time::Instant;

pub use self::address::{Class, classify};
pub use self::answer::AnswerBody;
use self::answer::{drop_validators, has_validators};
pub use self::client::{Error as UpstreamError, HyperUpstream};
pub use self::connect::{Dial, Resolver, tls};
use self::decode::{Decoding, decode};
pub use self::egress::{Blocked, allowed, is_listed};
pub use self::headers::{Unclear, forbidden, forbidden_answer, incoming};
pub use self::redact::{Redacting, Redactor};
use self::request::FaultCell;
pub use self::request::{Fault, RequestBody};
use self::rewrite::{is_json, rewrite_body, rewrite_head};
use self::tunnel::{Sides, WEBSOCKET, relay, switched};
use crate::model::{BoxFuture, Call, Ending, Payload, Placement, Reading, Secret, Tally, Tool};
use crate::revoke::{Lease, Leased, cut};

/// What calls are sent through.
pub trait Upstream: Send + Sync {
    /// Sends one request to the tool. Nothing is sent twice, followed or cached. Only to a request with an `Upgrade` may
    /// the answer be a tunnel.
    fn send(
        &self,
        tool: &Arc<Tool>,
        request: Request<RequestBody>,
    ) -> BoxFuture<'_, Result<Response<AnswerBody>, UpstreamError>>;
}

/// The body of an answer on its way back: decoded, and without the credential.
pub type PassedBody = Redacting<Decoding<AnswerBody>>;

/// Why there is no answer. The call's ending says so, too.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tool did not answer properly, or could not be reached.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// The call's time ran out before the answer's head came.
    #[error("the tool did not answer within the call's time")]
    Late,
    /// The agent hung up.
    #[error("the agent hung up")]
    Abandoned,
    /// The task was ended, or the sidecar stops.
    #[error("the call was cut: {}", .0.name())]
    Cut(Ending),
    /// The body that streamed to the tool had to be broken off.
    #[error(transparent)]
    Body(Fault),
    /// The answer is encoded in a way that was not asked for and is not decoded, so its content cannot be seen.
    #[error("the answer is encoded in a way that was not asked for")]
    Encoded,
    /// The secret does not fit into the header it goes into.
    #[error("the credential holds bytes that no header can carry")]
    Secret,
}

/// Leaves a call with the headers that will be sent on, so that these are the ones it is judged by. What the agent brought
/// to prove itself at the door was taken off there.
pub fn keep_what_passes(call: &mut Call) -> Result<(), Unclear> {
    call.brought_credential = headers::supplied_credential(&call.headers);
    let mut passing = headers::outgoing(&call.headers, &call.tool.request_headers)?;
    match call.payload {
        Payload::Tunnel(_) => headers::handshake(&call.headers, &mut passing)?,
        Payload::Whole(_) | Payload::Unread(_) => {}
    }
    call.headers = passing;
    Ok(())
}

/// What comes behind an answer's head.
pub enum Behind {
    /// Its body, with the lease in it.
    Body(Box<Leased<PassedBody>>),
    /// A tunnel, which holds the lease by itself.
    Tunnel,
}

/// Sends a call for which a credential is lent, and hands the answer back with the lease in it.
pub async fn forward(
    upstream: &dyn Upstream,
    mut lease: Lease,
    hung_up: impl Future<Output = ()>,
) -> Result<Response<Behind>, Error> {
    let deadline = Instant::now() + lease.call().tool.max_call;
    let over = lease.over();
    if let Some(ending) = *over.borrow() {
        lease.cut(ending);
        return Err(Error::Cut(ending));
    }
    let answer = tokio::select! {
        biased;
        answer = call(upstream, &mut lease) => answer,
        () = hung_up => Err(Error::Abandoned),
        ending = cut(deadline, over) => Err(if ending == Ending::Expired { Error::Late } else { Error::Cut(ending) }),
    };
    let answer = answer.inspect_err(|error| end_as(&mut lease, error))?;
    let status = answer.status().as_u16();
    Ok(answer.map(|came| match came {
        Came::Body(body) => Behind::Body(Box::new(Leased::new(lease, status, body, deadline))),
        Came::Tunnel(sides) => {
            tokio::spawn(relay(lease, sides, deadline));
            Behind::Tunnel
        }
    }))
}

/// What came behind an answer's head.
enum Came {
    Body(PassedBody),
    Tunnel(Sides),
}

/// There and back: the one request goes out; its answer is decoded, rid of the credential, and its links lead to the door.
async fn call(upstream: &dyn Upstream, lease: &mut Lease) -> Result<Response<Came>, Error> {
    let tool = lease.call().tool.clone();
    let Outgoing { request, agent, fault } = outgoing(lease)?;
    let answer = upstream.send(&tool, request).await;
    let answer = answer.map_err(|error| agents_fault(fault.as_ref()).unwrap_or(Error::Upstream(error)))?;
    let lent = lease.head_came();
    let mut redactor = lent.and_then(|(secret, placement)| Redactor::new(secret, &placement, lease.echo()));
    if let (AnswerBody::Tunnel(tool), Some(agent)) = (answer.body(), agent) {
        let headers = switched(&lease.call().headers, answer.headers())?;
        let sides = Sides { agent, tool: tool.clone(), redactor };
        return Ok(answer_of(StatusCode::SWITCHING_PROTOCOLS, headers, Came::Tunnel(sides)));
    }
    let (mut head, body) = decode(answer)?.into_parts();
    head.headers = headers::incoming(&head.headers, &tool.answer_headers);
    if let Some(redactor) = &mut redactor {
        redactor.mask_head(&mut head.headers);
    }
    rewrite_head(lease.call(), &mut head.headers);
    let mut body = Redacting::new(body, redactor);
    let whole = rewrite_body(lease.call(), &mut head.headers, &mut body).await;
    if let Some(whole) = whole.map_err(|error| UpstreamError::Protocol(error.to_string()))? {
        let (json, success) = (is_json(&head.headers), head.status.is_success());
        lease.answer_came(Reading { body: &whole, json, success });
    }
    if has_validators(&head.headers) {
        body.look_ahead().await;
        if body.has_echoed() {
            drop_validators(&mut head.headers);
        }
    }
    Ok(answer_of(head.status, head.headers, Came::Body(body)))
}

fn answer_of(status: StatusCode, headers: HeaderMap, came: Came) -> Response<Came> {
    let mut answer = Response::new(came);
    (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
    answer
}

/// What broke a body that streamed, if it was the agent.
fn agents_fault(fault: Option<&FaultCell>) -> Option<Error> {
    let fault = fault?.lock().unwrap_or_else(PoisonError::into_inner);
    fault.map(Error::Body)
}

fn end_as(lease: &mut Lease, error: &Error) {
    lease.fail(error);
    match error {
        Error::Upstream(_) | Error::Body(_) | Error::Encoded | Error::Secret => {}
        Error::Late => lease.cut(Ending::Expired),
        Error::Abandoned => lease.cut(Ending::Abandoned),
        Error::Cut(ending) => lease.cut(*ending),
    }
}

/// What goes out, and what is waited for behind it.
struct Outgoing {
    request: Request<RequestBody>,
    /// The agent's side of a tunnel.
    agent: Option<OnUpgrade>,
    /// Where a body that streams tells why it was broken off.
    fault: Option<FaultCell>,
}

/// The one request that goes out: what was judged, and the credential.
fn outgoing(lease: &mut Lease) -> Result<Outgoing, Error> {
    let payload = lease.take_payload();
    let call = lease.call();
    let mut request = Request::new(RequestBody::default());
    let target = format!("{}{}", call.tool.base_path, call.target);
    *request.uri_mut() =
        target.parse().map_err(|_| UpstreamError::Protocol("the call's target is no path".to_owned()))?;
    *request.method_mut() = call.method.clone();
    *request.headers_mut() = call.headers.clone();
    if let Some((secret, placement)) = lease.lent() {
        place(secret, placement, &mut request)?;
    }
    let mut outgoing = Outgoing { request, agent: None, fault: None };
    match payload {
        Payload::Whole(body) => *outgoing.request.body_mut() = RequestBody::Whole(Full::new(body)),
        Payload::Unread(body) => {
            let tally = Tally::default();
            let (body, fault) = RequestBody::streamed(body, lease.call().tool.max_body, tally.clone());
            lease.sends(tally);
            *outgoing.request.body_mut() = body;
            outgoing.fault = Some(fault);
        }
        Payload::Tunnel(agent) => {
            let headers = outgoing.request.headers_mut();
            headers.insert(UPGRADE, WEBSOCKET);
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            outgoing.agent = Some(agent);
        }
    }
    Ok(outgoing)
}

/// The one place that applies a placement.
fn place(secret: &Secret, placement: &Placement, request: &mut Request<RequestBody>) -> Result<(), Error> {
    match placement {
        Placement::Nowhere => Ok(()),
        Placement::Header { name, prefix } => {
            let value = [prefix.as_bytes(), secret.expose()].concat();
            let mut value = HeaderValue::from_bytes(&value).map_err(|_| Error::Secret)?;
            value.set_sensitive(true);
            request.headers_mut().insert(name.clone(), value);
            Ok(())
        }
    }
}
