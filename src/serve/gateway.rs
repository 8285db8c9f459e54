//! The agent's door: `/{tool}/{path}` becomes an `Incoming`, and an answer becomes a response.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONNECTION, HeaderName, HeaderValue};
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming as Received;
use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::time::timeout;

use super::{Answers, checked, oauth, pages, reply, tasks};
use crate::forward::AnswerBody;
use crate::mediate::{Mediator, Refusal, Refused, line};
use crate::mint::KeyRing;
use crate::model::{CallId, Clock, Code, Digest, Evidence, Incoming, Peer, Secret};
use crate::record::Known;
use crate::revoke::Leased;

/// How long a body may pause, and how long all of it may take.
const BODY_IDLE: Duration = Duration::from_secs(10);
const BODY_WHOLE: Duration = Duration::from_secs(60);

/// Bytes read of a body whose tool is not known.
const SMALL: usize = 64 * 1024;

/// The header every answer carries.
const CALL: HeaderName = HeaderName::from_static("countersign-call");

/// The agent's door.
pub struct Gateway {
    /// The walk.
    pub mediator: Mediator,
    /// Where the time comes from.
    pub clock: Clock,
    /// `Host` values it answers to; any, if none are named (a Unix socket, which no browser reaches).
    pub hosts: Vec<String>,
    /// The keys it publishes.
    pub keys: Vec<Arc<KeyRing>>,
    /// Where ids and tokens come from.
    pub random: SystemRandom,
}

/// The body of an answer at this door.
pub enum GateBody {
    /// A tool's, with its lease.
    Tool(Box<Leased<AnswerBody>>),
    /// Our own.
    Own(Full<Bytes>),
}

impl Answers for Gateway {
    type Body = GateBody;

    async fn answer(&self, peer: Arc<Peer>, request: Request<Received>) -> Response<GateBody> {
        let id = CallId::new(self.clock.now(), self.random_bytes());
        let known = Known::of(id, &peer, &request);
        let mut answer = match self.route(id, peer, request).await {
            Ok(answer) => answer,
            Err(Turned::Refused(refused)) => reply::refusal(id, &refused).map(GateBody::Own),
            Err(Turned::Away(why)) => self.turn_away(id, why, known),
        };
        if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
            answer.headers_mut().insert(CALL, id);
        }
        answer
    }
}

/// Why a request has no answer: refused in the walk, which recorded it; or turned away before.
enum Turned {
    Refused(Refused),
    Away(Refusal),
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
        checked::check(&request, &self.hosts)?;
        let path = request.uri().path();
        if let Some(code) = path.strip_prefix(reply::PROBLEMS) {
            return Ok(pages::problem(code).map(GateBody::Own));
        }
        if path == "/.well-known/jwks.json" {
            return Ok(oauth::jwks(self.keys.iter().map(AsRef::as_ref)).map(GateBody::Own));
        }
        let is_task = path == tasks::PATH || path.starts_with("/-/tasks/");
        let largest = if is_task { SMALL } else { self.largest_body(path) };
        let (head, body) = request.into_parts();
        let body = whole(body, largest).await?;
        let mut request = Request::from_parts(head, body);
        let (bearer, basic) = credentials(request.headers())?;
        request.headers_mut().remove(AUTHORIZATION);
        let evidence = Evidence { peer, bearer };
        if is_task {
            return Ok(tasks::answer(self, &evidence, &request).await?.map(GateBody::Own));
        }
        let task = task_token(request.headers(), basic)?;
        let incoming = Incoming { id, received_at: self.clock.now(), evidence, request };
        self.call(incoming, task).await.map_err(Turned::Refused)
    }

    /// What never became a call may not have been read to its end: nothing behind it is taken for another request.
    fn turn_away(&self, id: CallId, why: Refusal, known: Known) -> Response<GateBody> {
        let mut answer = reply::refusal(id, &self.mediator.refuse(why, known)).map(GateBody::Own);
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        answer
    }

    /// Carries one call in a task of its own: if the agent hangs up, this future is dropped, and the task goes on to
    /// end what it began.
    async fn call(&self, incoming: Incoming, task: Option<Digest>) -> Result<Response<GateBody>, Refused> {
        let (waiting, hangup) = line();
        let mediator = self.mediator.clone();
        let walk = tokio::spawn(async move { mediator.mediate(incoming, task, hangup).await });
        let answer = walk.await;
        drop(waiting);
        match answer {
            Ok(answer) => answer.map(|answer| answer.map(|body| GateBody::Tool(Box::new(body)))),
            // A panic ends the call's task; whatever it held was dropped, and so ended and recorded.
            Err(_) => Err(Refused { why: Refusal::Door(Code::UpstreamFailed, String::new()), terse: true }),
        }
    }

    fn largest_body(&self, path: &str) -> usize {
        let tool = path.split('/').nth(1).unwrap_or_default();
        self.mediator.catalog.tools().find(|known| &*known.tool.name == tool).map_or(SMALL, |known| known.tool.max_body)
    }

    /// Bytes nobody can guess. Should the system have none to give, an id repeats at worst; a token is never made so.
    fn random_bytes(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        let _ = self.random.fill(&mut bytes);
        bytes
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
    let mut values = headers.get_all("agent-task").iter();
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

/// The whole body: what is judged is what is sent, so nothing is judged before its last byte is here.
async fn whole(mut body: Received, largest: usize) -> Result<Bytes, Refusal> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let too_large = || Refusal::Door(Code::TooLarge, format!("the body is larger than {largest} bytes"));
    if body.size_hint().lower() > largest as u64 {
        return Err(too_large());
    }
    let reading = async {
        let mut parts = BytesMut::new();
        loop {
            let frame = timeout(BODY_IDLE, body.frame()).await.map_err(|_| too_slow())?;
            let Some(frame) = frame else { return Ok(parts.freeze()) };
            let frame = frame.map_err(|_| {
                Refusal::Door(Code::RequestUnclear, "the body is not framed as its head says".to_owned())
            })?;
            let Ok(data) = frame.into_data() else { continue };
            if parts.len().saturating_add(data.len()) > largest {
                return Err(too_large());
            }
            if parts.is_empty() && body.is_end_stream() {
                return Ok(data);
            }
            parts.extend_from_slice(&data);
        }
    };
    timeout(BODY_WHOLE, reading).await.unwrap_or_else(|_| Err(too_slow()))
}

fn too_slow() -> Refusal {
    Refusal::Door(Code::TooSlow, "the body did not arrive in time".to_owned())
}

impl Body for GateBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

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
