//! The OAuth face of our tokens: what they are verified with, whether one is still good, and the end of one.
//!
//! Only the tool that a token was minted for is told of it, and only that it may end it; to everybody else there is no such
//! token. What is asked about is found by the digest of all its bytes: nothing in it is believed.

mod asker;
mod metadata;
mod pace;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming as Received;
use serde_json::{Map, Value, json};

use self::pace::Pace;
use super::reply;
use crate::mediate::{Mediator, Refusal, whole};
use crate::mint::{KeyRing, Lent, Token, claims};
use crate::model::{Code, Secret, Timestamp};

/// Where a tool asks (RFC 7662), and where it ends a token (RFC 7009).
const INTROSPECT: &str = "/oauth/introspect";
const REVOKE: &str = "/oauth/revoke";

/// Where it is written what there is (RFC 8414 §3), and with what tokens are verified.
const METADATA: &str = "/.well-known/oauth-authorization-server";
const KEYS: &str = "/.well-known/jwks.json";

/// What this face answers, or why it does not.
type Answered = Result<Response<Full<Bytes>>, Refusal>;

/// Bytes that what is asked may have.
const LARGE: usize = 64 * 1024;

/// Questions of one tool in a second, and attempts in a second of those who prove to be none.
const QUESTIONS: u32 = 2_000;
const ATTEMPTS: u32 = 20;

/// What our tokens are verified with, and which of them are lent.
pub struct Oauth {
    /// The `iss` of each issuer, with its keys.
    pub published: Vec<(String, Arc<KeyRing>)>,
    /// The tokens that can be asked about.
    pub lent: Arc<Lent>,
    pace: Pace,
}

impl Oauth {
    /// With nothing asked yet.
    pub fn new(published: Vec<(String, Arc<KeyRing>)>, lent: Arc<Lent>) -> Self {
        Self { published, lent, pace: Pace::default() }
    }

    /// The answer, if the path is one of this face; else the request is given back.
    pub async fn answer(
        &self,
        mediator: &Mediator,
        door: &http::uri::Scheme,
        request: Request<Received>,
        now: Timestamp,
    ) -> Result<Answered, Request<Received>> {
        let path = request.uri().path();
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        let asks = is_asking(path);
        if !asks && path != KEYS && !path.starts_with(METADATA) {
            return Err(request);
        }
        Ok(match (asks, is_read) {
            (true, _) => self.asked(mediator, request, now).await,
            (false, true) if path == KEYS => Ok(jwks(self.published.iter().map(|(_, ring)| ring.as_ref()))),
            (false, true) => {
                let asked = !mediator.rulebook.now().askers.is_empty();
                metadata::metadata(&self.published, &request, (door, asked))
            }
            (false, false) => Err(Refusal::Door(Code::MethodUnknown, "fetch it with GET".to_owned())),
        })
    }

    /// `POST /oauth/introspect` and `POST /oauth/revoke`, by a tool that proves itself.
    async fn asked(
        &self,
        mediator: &Mediator,
        request: Request<Received>,
        now: Timestamp,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        let (head, body) = request.into_parts();
        let Some(tool) = asker::asker(&head.headers, &mediator.rulebook.now().askers) else {
            return Ok(if self.pace.take("", ATTEMPTS, now) { unproven() } else { too_often() });
        };
        if !self.pace.take(&tool, QUESTIONS, now) {
            return Ok(too_often());
        }
        let body = whole(body, LARGE, |_| Ok(())).await?;
        let Some(secret) = token(&head.headers, &body) else {
            return Ok(error(400, "invalid_request", "send one `token`, as application/x-www-form-urlencoded"));
        };
        let found = self.lent.find(secret.digest(), &tool, now);
        if head.uri.path() == INTROSPECT {
            let live = found.is_some_and(|token| mediator.memory.goes_on(token.call));
            return Ok(fresh(reply::json(200, &told(live.then(|| claims(&secret)).flatten()))));
        }
        if let Some(Token { call, .. }) = found {
            tracing::warn!(call.id = %call, %tool, "a tool revokes the token of a call: the call is cut");
            self.lent.end(call);
            mediator.memory.cut(|under_way| under_way.id == call);
        }
        Ok(fresh(Response::new(Full::default())))
    }
}

/// Whether a token is sent to this path.
fn is_asking(path: &str) -> bool {
    path == INTROSPECT || path == REVOKE
}

/// What is wrong with a question before anything may be recorded of it: a token in its address would be.
pub fn careless<B>(request: &Request<B>) -> Option<Response<Full<Bytes>>> {
    let uri = request.uri();
    if !is_asking(uri.path()) || (request.method() == Method::POST && uri.query().is_none()) {
        return None;
    }
    let mut answer = error(405, "invalid_request", "send the token in the body of a POST, without a query");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    Some(answer)
}

/// The public keys of every issuer as one set (RFC 7517 §5). Keys are published an hour before they sign, so a set may
/// be kept for some minutes.
fn jwks<'a>(rings: impl Iterator<Item = &'a KeyRing>) -> Response<Full<Bytes>> {
    let keys: Vec<Value> = rings.filter_map(|ring| ring.jwks().get("keys")?.as_array().cloned()).flatten().collect();
    let mut answer = reply::json(200, &json!({ "keys": keys }));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    answer
}

/// The one token that is asked about. It is not kept.
fn token(headers: &HeaderMap, body: &Bytes) -> Option<Secret> {
    let form = headers.get(CONTENT_TYPE)?.to_str().ok()?.split(';').next()?.trim();
    if !form.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return None;
    }
    let mut tokens = form_urlencoded::parse(body).filter(|(name, _)| name == "token");
    match (tokens.next(), tokens.next()) {
        (Some((_, token)), None) if !token.is_empty() => Some(Secret::new(token.into_owned())),
        _ => None,
    }
}

/// What is told of a token (RFC 7662 §2.2): what stands in it, if it is good, and else nothing.
fn told(claims: Option<Map<String, Value>>) -> Value {
    let Some(mut told) = claims else { return json!({ "active": false }) };
    told.insert("active".to_owned(), true.into());
    told.insert("token_type".to_owned(), "Bearer".into());
    told.into()
}

/// No cache may keep it.
fn fresh(mut answer: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// RFC 6749 §5.2.
fn error(status: u16, error: &str, description: &str) -> Response<Full<Bytes>> {
    fresh(reply::json(status, &json!({ "error": error, "error_description": description })))
}

/// The same for a name that there is not and for a wrong secret.
fn unproven() -> Response<Full<Bytes>> {
    let mut answer =
        error(401, "invalid_client", "say who asks: the tool's name and its secret, as Authorization: Basic");
    answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"countersign\""));
    answer
}

fn too_often() -> Response<Full<Bytes>> {
    let mut answer = error(429, "slow_down", "this is asked too often; wait a second");
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}
