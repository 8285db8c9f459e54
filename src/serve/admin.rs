//! The other door: for reviewers and operators.

mod tree;

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;
use subtle::ConstantTimeEq as _;
use tokio::sync::watch;
use tower_service::Service as _;

use super::Answers;
use crate::model::{CallId, Digest, Peer};
use crate::record::{Filter, Rail, Reader};
use crate::telemetry::Metrics;

/// What the admin door shows.
pub struct Admin {
    router: Router,
    hosts: Vec<String>,
}

/// What its pages are made from.
pub struct Sources {
    /// Opens the lineage for reading; each request has a reader of its own.
    pub reader: Box<dyn Fn() -> Result<Reader, String> + Send + Sync>,
    /// Whether anything can be recorded.
    pub rail: Arc<Rail>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Digests of the tokens of those who may read, by name.
    pub readers: BTreeMap<String, Digest>,
    /// The same of those who may erase what is private.
    pub erasers: BTreeMap<String, Digest>,
    /// The user the sidecar runs as, who may read over a Unix socket without a token.
    pub uid: u32,
    /// Turns true when the sidecar is stopping.
    pub stop: watch::Receiver<bool>,
}

impl Admin {
    /// The door with all it shows. `hosts` are the `Host` values it answers to; any, if none are named (a Unix socket).
    pub fn new(hosts: Vec<String>, sources: Sources) -> Self {
        let router = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .route("/v1/calls", get(calls))
            .route("/v1/calls/{id}", get(call))
            .route("/v1/calls/{id}/proof", get(tree::proof))
            .route("/v1/calls/{id}/erase", post(tree::erase))
            .route("/checkpoint", get(tree::checkpoint))
            .route("/tile/{*path}", get(tree::tile))
            .with_state(Arc::new(sources));
        Self { router, hosts }
    }
}

impl Answers for Admin {
    type Body = axum::body::Body;

    async fn answer(&self, peer: Arc<Peer>, mut request: Request<Incoming>) -> Response {
        if let Some(why) = strange(request.headers(), &self.hosts) {
            return (StatusCode::FORBIDDEN, why).into_response();
        }
        request.extensions_mut().insert(peer);
        let mut router = self.router.clone();
        router.call(request).await.unwrap_or_else(|never| match never {})
    }
}

/// Whether a page of somebody else sends a reader's browser here: by a name of its own that leads to this address, or
/// openly from elsewhere. Our own pages, and a user who types the address, are welcome.
fn strange(headers: &HeaderMap, hosts: &[String]) -> Option<&'static str> {
    let mut named = headers.get_all(HOST).iter();
    let (Some(host), None) = (named.next(), named.next()) else { return Some("send exactly one `Host`\n") };
    let is = |value: &HeaderValue, wanted: &str| value.as_bytes().eq_ignore_ascii_case(wanted.as_bytes());
    if !hosts.is_empty() && !hosts.iter().any(|known| is(host, known)) {
        return Some("`Host` is none of this door's names\n");
    }
    let own =
        headers.get_all(ORIGIN).iter().all(|origin| hosts.iter().any(|known| is(origin, &format!("http://{known}"))));
    let site = headers.get_all("sec-fetch-site").iter().all(|site| is(site, "same-origin") || is(site, "none"));
    (!own || !site).then_some("this door is not for pages from elsewhere\n")
}

async fn ready(State(sources): State<Arc<Sources>>) -> Response {
    if *sources.stop.borrow() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    match sources.rail.trouble() {
        None => "ready\n".into_response(),
        // Whoever reaches this door may ask, agents among them; what the store says names paths. It is in the log.
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "the lineage cannot be written\n").into_response(),
    }
}

async fn metrics(State(sources): State<Arc<Sources>>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], sources.metrics.text()).into_response()
}

/// What `/v1/calls` may be asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    agent: Option<String>,
    action: Option<String>,
    decision: Option<String>,
    limit: Option<usize>,
    before: Option<u64>,
}

async fn calls(
    State(sources): State<Arc<Sources>>,
    peer: Known,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Response {
    let filter = Filter {
        agent: wanted.agent,
        action: wanted.action,
        decision: wanted.decision,
        limit: wanted.limit.unwrap_or(50).min(1_000),
        before: wanted.before,
        ..Filter::default()
    };
    read(sources, &peer, &headers, move |reader| reader.calls(&filter).map(|calls| json!({ "calls": calls }))).await
}

async fn call(
    State(sources): State<Arc<Sources>>,
    peer: Known,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    let Ok(id) = id.parse::<CallId>() else { return (StatusCode::NOT_FOUND, "no such call\n").into_response() };
    read(sources, &peer, &headers, move |reader| reader.story(id).map(|story| json!(story))).await
}

async fn read<E: std::fmt::Display>(
    sources: Arc<Sources>,
    peer: &Known,
    headers: &HeaderMap,
    query: impl FnOnce(&Reader) -> Result<serde_json::Value, E> + Send + 'static,
) -> Response {
    if !may(&sources.readers, &sources, peer, headers) {
        return refused_to();
    }
    let asked = tokio::task::spawn_blocking(move || {
        let reader = (sources.reader)()?;
        query(&reader).map_err(|error| error.to_string())
    });
    match asked.await {
        Ok(Ok(value)) => axum::Json(value).into_response(),
        Ok(Err(error)) => {
            tracing::warn!(%error, "the lineage could not be read");
            (StatusCode::SERVICE_UNAVAILABLE, "the lineage could not be read\n").into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn refused_to() -> Response {
    (StatusCode::UNAUTHORIZED, [("www-authenticate", "Bearer")], "a reviewer's token is needed\n").into_response()
}

/// The token of one of these reviewers; or, over a Unix socket, being the user who owns the lineage anyway.
fn may(these: &BTreeMap<String, Digest>, sources: &Sources, peer: &Known, headers: &HeaderMap) -> bool {
    if matches!(&*peer.0, Peer::Process(process) if process.uid == sources.uid) {
        return true;
    }
    let Some(token) = headers.get(AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer ")) else {
        return false;
    };
    let shown = Digest::of(token);
    these.values().fold(false, |found, known| found | bool::from(known.0.ct_eq(&shown.0)))
}

type Known = axum::Extension<Arc<Peer>>;
