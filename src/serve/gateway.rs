//! The agent's door: `/{tool}/{path}` becomes an `Incoming`, and an answer becomes a response.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, HeaderName, HeaderValue, UPGRADE};
use http::{HeaderMap, Request, Response, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming as Received;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::watch;

use super::checked::{self, Names};
use super::oauth::{self, Oauth};
use super::tasks::{self, TaskDoor};
use super::{Answers, asks, pages, reply};
use crate::forward::{Behind, PassedBody};
use crate::mediate::{Answer, Hangup, Mediator, Rates, Refusal, Refused, line, whole};
use crate::model::{BoxError, CallId, Clock, Code, Digest, Evidence, Incoming, Payload, Peer, Secret};
use crate::record::Known;
use crate::revoke::Leased;

/// Bytes a body may have that opens, amends or ends a task: 256 values of a kilobyte, and as much again for the rest.
const LARGE: usize = 512 * 1024;

/// The header that names a task by its token.
const TASK: HeaderName = HeaderName::from_static("agent-task");

/// The header every answer carries.
pub(super) const CALL: HeaderName = HeaderName::from_static("countersign-call");

/// The agent's door.
pub struct Gateway {
    /// The walk.
    pub mediator: Mediator,
    /// Where the time comes from.
    pub clock: Clock,
    /// What it is called, and what it calls itself.
    pub names: Names,
    /// The face of the tokens that tools get.
    pub oauth: Arc<Oauth>,
    /// Where ids and tokens come from.
    pub random: SystemRandom,
    /// Turns true when the sidecar stops.
    pub stop: watch::Receiver<bool>,
}

/// The body of an answer at this door.
pub enum GateBody {
    /// A tool's, with its lease.
    Tool(Box<Leased<PassedBody>>),
    /// Our own.
    Own(Full<Bytes>),
}

impl Answers for Gateway {
    type Body = GateBody;

    async fn answer(&self, peer: Arc<Peer>, mut request: Request<Received>) -> Response<GateBody> {
        hide_tokens(request.headers_mut());
        if let Some(answer) = oauth::careless(&request) {
            return answer.map(GateBody::Own);
        }
        let id = CallId::new(self.clock.now(), self.random_bytes());
        let known = Known::of(id, &peer, &request);
        let (version, has_body) = (request.version(), !request.body().is_end_stream());
        let mut answer = match self.route(id, peer, request).await {
            Ok(answer) => answer,
            Err(turned) => {
                let refused = match turned {
                    Turned::Refused(refused) => refused,
                    Turned::Away(why) => self.mediator.refuse(why, known),
                    Turned::Known(why, known) => self.mediator.refuse(why, *known),
                };
                let mut answer = reply::refusal(id, &refused).map(GateBody::Own);
                if has_body && refused.why.may_leave_body() && version == Version::HTTP_11 {
                    // What was not read to its end: nothing behind it is taken for another request.
                    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                answer
            }
        };
        if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
            // One that is another call's says so already.
            answer.headers_mut().entry(CALL).or_insert(id);
        }
        answer
    }
}

/// Why a request has no answer: refused in the walk, which recorded it; or turned away before, by when more may be known
/// of it.
pub(super) enum Turned {
    Refused(Refused),
    Away(Refusal),
    Known(Refusal, Box<Known>),
}

impl From<Refusal> for Turned {
    fn from(refusal: Refusal) -> Self {
        Self::Away(refusal)
    }
}

impl Gateway {
    async fn route(
        &self,
        id: CallId,
        peer: Arc<Peer>,
        request: Request<Received>,
    ) -> Result<Response<GateBody>, Turned> {
        if *self.stop.borrow() {
            return Err(Refusal::Door(Code::Draining, "the sidecar is stopping".to_owned()).into());
        }
        checked::check(&request, &self.names)?;
        let path = request.uri().path();
        if let Some(code) = path.strip_prefix(reply::PROBLEMS) {
            return Ok(pages::problem(code).map(GateBody::Own));
        }
        let request = match self.oauth.answer(&self.mediator, &self.names.scheme, request, self.clock.now()).await {
            Ok(answer) => return Ok(answer?.map(GateBody::Own)),
            Err(request) => request,
        };
        let path = request.uri().path();
        let is_task = path == tasks::PATH || path.starts_with("/-/tasks/");
        let (bearer, basic) = credentials(request.headers())?;
        let evidence = Evidence { peer, bearer };
        if is_task {
            return self.task(id, evidence, request).await;
        }
        if path.starts_with(asks::PATH) {
            let (head, body) = request.into_parts();
            let request = Request::from_parts(head, whole(body, LARGE, |_| Ok(())).await?);
            return asks::answer(self, evidence, &request).await;
        }
        let task = task_token(request.headers(), basic)?;
        let mut request = with_payload(request);
        request.headers_mut().remove(AUTHORIZATION);
        let door = self.names.scheme.clone();
        let incoming = Incoming { id, received_at: self.clock.now(), evidence, task, door, request };
        let walk = |mediator: Mediator, hangup| async move { mediator.mediate(incoming, hangup).await };
        self.carry(walk).await.map_err(Turned::Refused)
    }

    /// Opens, amends or ends a task: what was begun is carried to its end, whether or not the agent waits for it.
    async fn task(
        &self,
        id: CallId,
        evidence: Evidence,
        request: Request<Received>,
    ) -> Result<Response<GateBody>, Turned> {
        let known = Known::of(id, &evidence.peer, &request);
        let (head, body) = request.into_parts();
        let request = Request::from_parts(head, whole(body, LARGE, |_| Ok(())).await?);
        let door = TaskDoor { mediator: self.mediator.clone(), clock: self.clock.clone(), known };
        match tokio::spawn(door.answer(evidence, request)).await {
            Ok(answer) => {
                let answer = answer.map_err(|(why, known)| Turned::Known(why, Box::new(known)))?;
                Ok(answer.map(GateBody::Own))
            }
            Err(_) => Err(Refusal::Door(Code::Internal, String::new()).into()),
        }
    }

    /// Carries one call in a task of its own: if the agent hangs up, this future is dropped, and the task goes on to
    /// end what it began.
    pub(super) async fn carry<W, F>(&self, walk: W) -> Result<Response<GateBody>, Refused>
    where
        W: FnOnce(Mediator, Hangup) -> F,
        F: Future<Output = Result<Answer, Refused>> + Send + 'static,
    {
        let (waiting, hangup) = line();
        let answer = tokio::spawn(Box::pin(walk(self.mediator.clone(), hangup))).await;
        drop(waiting);
        match answer {
            Ok(answer) => answer.map(|mut answer| {
                if let Some(rates) = answer.extensions_mut().remove::<Rates>() {
                    reply::tell_rates(&rates.0, answer.headers_mut());
                }
                answer.map(|behind| match behind {
                    Behind::Body(body) => GateBody::Tool(body),
                    Behind::Tunnel => GateBody::Own(Full::default()),
                })
            }),
            // A panic ends the call's task; whatever it held was dropped, and so ended and recorded.
            Err(_) => {
                Err(Refused { why: Refusal::Door(Code::Internal, String::new()), terse: true, rates: Vec::new() })
            }
        }
    }

    /// Bytes nobody can guess. Should the system have none to give, an id repeats at worst; a token is never made so.
    fn random_bytes(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        let _ = self.random.fill(&mut bytes);
        bytes
    }
}

/// The request with what comes behind its head, none of which is read yet.
fn with_payload(mut request: Request<Received>) -> Request<Payload> {
    let websocket = |to: &HeaderValue| to.as_bytes().eq_ignore_ascii_case(b"websocket");
    let upgrade = request.version() == Version::HTTP_11 && request.headers().get(UPGRADE).is_some_and(websocket);
    if upgrade && request.body().is_end_stream() {
        let agent = hyper::upgrade::on(&mut request);
        return request.map(|_| Payload::Tunnel(agent));
    }
    request.map(|body| {
        if body.is_end_stream() {
            Payload::Whole(Bytes::new())
        } else {
            Payload::Unread(body.map_err(BoxError::from).boxed())
        }
    })
}

/// What proves the agent and its task is printed by nothing from here on.
fn hide_tokens(headers: &mut HeaderMap) {
    for (name, value) in headers.iter_mut() {
        if *name == AUTHORIZATION || *name == TASK {
            value.set_sensitive(true);
        }
    }
}

/// The agent's own proof, and the task of a client that can only carry a URL (`http://TASK:TOKEN@…`).
fn credentials(headers: &HeaderMap) -> Result<(Option<Secret>, Option<Secret>), Refusal> {
    let unclear = |why: &str| Refusal::Door(Code::RequestUnclear, why.to_owned());
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok((None, None)) };
    if values.next().is_some() {
        return Err(unclear("send `Authorization` once"));
    }
    let (scheme, rest) = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or_else(|| unclear("`Authorization` cannot be read"))?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok((Some(Secret::new(rest.trim())), None));
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let pair = STANDARD.decode(rest.trim()).map_err(|_| unclear("`Authorization: Basic` is no base64"))?;
        let colon = pair
            .iter()
            .position(|byte| *byte == b':')
            .ok_or_else(|| unclear("`Authorization: Basic` holds no colon"))?;
        return Ok((None, pair.get(colon + 1..).map(Secret::new)));
    }
    Err(unclear("`Authorization` is neither `Bearer` (the agent's proof) nor `Basic` (a task)"))
}

fn task_token(headers: &HeaderMap, basic: Option<Secret>) -> Result<Option<Digest>, Refusal> {
    let mut values = headers.get_all(TASK).iter();
    let named = values.next().map(|value| Digest::of(value.as_bytes()));
    if values.next().is_some() {
        return Err(Refusal::Door(Code::RequestUnclear, "send `Agent-Task` once".to_owned()));
    }
    match (named, basic) {
        (Some(_), Some(_)) => {
            Err(Refusal::Door(Code::RequestUnclear, "name the task once, in `Agent-Task` or in the URL".to_owned()))
        }
        (Some(token), None) => Ok(Some(token)),
        (None, Some(token)) => Ok(Some(token.digest())),
        (None, None) => Ok(None),
    }
}

impl Body for GateBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Tool(body) => Pin::new(&mut **body).poll_frame(cx),
            Self::Own(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Tool(body) => body.is_end_stream(),
            Self::Own(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Tool(body) => body.size_hint(),
            Self::Own(body) => body.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proves_an_agent_and_its_task_is_not_printed() {
        let lines =
            [("authorization", "Bearer CANARY"), ("Agent-Task", "CANARY"), ("agent-task", "CANARY"), ("a", "b")];
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_static(value));
        }
        hide_tokens(&mut headers);
        let printed = format!("{headers:?}");
        assert!(!printed.contains("CANARY") && printed.contains("\"b\""), "{printed}");
    }
}
