//! A tool that believes nothing: it verifies the credential of each call before it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use tokio::net::TcpListener;

use super::client;
use crate::model::Digest;

/// What it keeps: its pages, the keys it believes, the tokens it has seen, and the last call as it came in.
pub(super) struct Tool {
    pub(super) origin: String,
    door: Mutex<Option<SocketAddr>>,
    pages: BTreeMap<&'static str, String>,
    used: Mutex<BTreeSet<String>>,
    last: Mutex<Option<Request<Bytes>>>,
}

/// The claims that bind a token to one call.
#[derive(Deserialize)]
struct Claims {
    jti: String,
    authorization_details: Vec<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(rename = "type")]
    kind: String,
    locations: Vec<String>,
    actions: Vec<String>,
    target: String,
    content_digest: String,
}

impl Tool {
    /// Listens on a free port of this machine.
    pub(super) async fn start(pages: BTreeMap<&'static str, String>) -> std::io::Result<Arc<Self>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let tool =
            Arc::new(Self { origin, door: Mutex::default(), pages, used: Mutex::default(), last: Mutex::default() });
        tokio::spawn(accept(listener, tool.clone()));
        Ok(tool)
    }

    /// Where the keys are that it believes.
    pub(super) fn believe(&self, door: SocketAddr) {
        *self.door.lock().unwrap_or_else(PoisonError::into_inner) = Some(door);
    }

    /// The last change it accepted, as it came in: what a thief on this machine would hold.
    pub(super) fn last(&self) -> Option<Request<Bytes>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await else {
            return text(StatusCode::BAD_REQUEST, "the body broke off".to_owned());
        };
        let request = Request::from_parts(head, body.to_bytes());
        match self.verify(&request).await {
            Err(why) => text(StatusCode::UNAUTHORIZED, why),
            Ok(()) => {
                let page = self.pages.get(request.uri().path()).cloned();
                if request.method() == http::Method::POST {
                    *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(request);
                }
                page.map_or_else(|| text(StatusCode::NOT_FOUND, "{}".to_owned()), |page| text(StatusCode::OK, page))
            }
        }
    }

    /// Whether the token is ours, for this very request, and new.
    async fn verify(&self, request: &Request<Bytes>) -> Result<(), String> {
        let value =
            request.headers().get("authorization").and_then(|value| value.to_str().ok()).ok_or("there is no token")?;
        let token = value.strip_prefix("Bearer ").ok_or("there is no bearer token")?;
        let claims = self.claims(token).await?;
        let [details] = claims.authorization_details.as_slice() else {
            return Err("the token does not name one call".to_owned());
        };
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let digest = format!("sha-256=:{}:", STANDARD.encode(Digest::of(request.body()).0));
        let checks = [
            (details.kind == crate::mint::CALL_DETAILS, "the token is of another type"),
            (details.locations == [self.origin.as_str()], "the token is for another tool"),
            (details.actions == [request.method().as_str()], "the token is for another method"),
            (details.target == target, "the token is for another target"),
            (details.content_digest == digest, "the body is not the one the token was minted for"),
        ];
        if let Some((_, why)) = checks.into_iter().find(|(fits, _)| !fits) {
            return Err(why.to_owned());
        }
        let fresh = self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(claims.jti);
        if fresh { Ok(()) } else { Err("the token was used before".to_owned()) }
    }

    async fn claims(&self, token: &str) -> Result<Claims, String> {
        let header = decode_header(token).map_err(|error| error.to_string())?;
        if header.typ.as_deref() != Some("at+jwt") {
            return Err("this is no access token".to_owned());
        }
        let door = self.door.lock().unwrap_or_else(PoisonError::into_inner).ok_or("no keys are known")?;
        let keys = client::get(&format!("http://{door}/.well-known/jwks.json")).await?;
        let keys: JwkSet = serde_json::from_slice(&keys).map_err(|error| error.to_string())?;
        let key = header.kid.as_deref().and_then(|kid| keys.find(kid)).ok_or("the token's key is not known")?;
        let key = DecodingKey::from_jwk(key).map_err(|error| error.to_string())?;
        let mut wanted = Validation::new(Algorithm::ES256);
        wanted.leeway = 0;
        wanted.set_audience(&[&self.origin]);
        wanted.set_issuer(&[format!("http://{door}")]);
        wanted.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        decode::<Claims>(token, &key, &wanted).map(|token| token.claims).map_err(|error| error.to_string())
    }
}

async fn accept(listener: TcpListener, tool: Arc<Tool>) {
    while let Ok((stream, _)) = listener.accept().await {
        let tool = tool.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let tool = tool.clone();
                async move { Ok::<_, std::convert::Infallible>(tool.answer(request).await) }
            });
            // A connection that breaks off has been heard as far as it went.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    answer
}
