//! The other door: for reviewers and operators.

pub(super) mod agents;
pub(super) mod approvals;
pub(super) mod baselines;
pub(super) mod reviewer;
pub(super) mod tasks;
pub(super) mod tree;
pub(super) mod whole;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::{CONTENT_TYPE, HOST, ORIGIN};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};
use tower_service::Service as _;

use self::reviewer::{Denied, Id, Lineage};
use super::{Answers, Sessions, ui};
use crate::mediate::{Current, Mediator};
use crate::memory::Memory;
use crate::model::{CallId, May, Peer, Reviewer, TaskId};
use crate::record::{Filter, Rail, Reader, StoreError};
use crate::telemetry::Metrics;

/// Bytes that a reviewer's words may have.
const LARGEST_BODY: usize = 64 * 1024;

/// What the admin door shows.
pub struct Admin {
    router: Router,
    hosts: Vec<String>,
}

/// What its pages are made from.
pub struct Sources {
    /// Opens the lineage for reading; each request has a reader of its own.
    pub reader: Box<dyn Fn() -> Result<Reader, StoreError> + Send + Sync>,
    /// Whether anything can be recorded.
    pub rail: Arc<Rail>,
    /// The walk, for what reviewers decide in it.
    pub mediator: Mediator,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What judges, and who may look at that.
    pub rulebook: Arc<Current>,
    /// What happened before, and what is under way.
    pub memory: Arc<Memory>,
    /// Held by whoever decides something of an agent: the records of two decisions stand in the order they came to hold.
    pub deciding: Mutex<()>,
    /// The user the sidecar runs as, who may do everything over a Unix socket without a token.
    pub uid: u32,
    /// Who is logged in at the pages.
    pub sessions: Arc<Sessions>,
    /// What checks the lineage's checkpoints.
    pub vkey: String,
    /// What came out when the lineage was last verified here. Held by whoever verifies it: that takes long, and is done
    /// once at a time.
    pub verified: Mutex<Option<Value>>,
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
            .route("/v1/loaded", get(agents::loaded))
            .route("/v1/agents", get(agents::list))
            .route("/v1/agents/{agent}/quarantine", post(agents::quarantine))
            .route("/v1/agents/{agent}/release", post(agents::release))
            .route("/v1/baselines", get(baselines::list))
            .route("/v1/baselines/{agent}", get(baselines::show))
            .route("/v1/baselines/{agent}/ratify", post(baselines::ratify))
            .route("/v1/baselines/{agent}/reset", post(baselines::reset))
            .route("/v1/credentials", get(agents::credentials))
            .route("/v1/credentials/{id}/revoke", post(agents::revoke))
            .route("/v1/tasks", get(tasks::list))
            .route("/v1/tasks/{id}", get(tasks::show))
            .route("/v1/tasks/{id}/end", post(tasks::end))
            .route("/v1/calls", get(calls))
            .route("/v1/calls/{id}", get(call))
            .route("/v1/calls/{id}/proof", get(tree::proof))
            .route("/v1/calls/{id}/erase", post(tree::erase))
            .route("/v1/approvals", get(approvals::list))
            .route("/v1/approvals/{id}/approve", post(approvals::approve))
            .route("/v1/approvals/{id}/deny", post(approvals::deny))
            .route("/v1/agents/{agent}/break-glass", post(approvals::break_glass))
            .route("/v1/lineage", get(whole::lineage))
            .route("/v1/lineage/verify", post(whole::verify))
            .route("/v1/glass", get(approvals::glass))
            .route("/v1/glass/{id}/review", post(approvals::review))
            .route("/checkpoint", get(tree::checkpoint))
            .route("/tile/{*path}", get(tree::tile))
            .merge(ui::routes())
            .layer(DefaultBodyLimit::max(LARGEST_BODY))
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
        None if sources.rulebook.told().trouble.is_some() => {
            // Why not names files and rules, which are for reviewers: `/v1/loaded`.
            "ready\nwhat lies on the disk is not loaded; what was loaded before goes on\n".into_response()
        }
        None => "ready\n".into_response(),
        // Whoever reaches this door may ask, agents among them; what the store says names paths. It is in the log.
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "the lineage cannot be written\n").into_response(),
    }
}

async fn metrics(State(sources): State<Arc<Sources>>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], sources.metrics.text()).into_response()
}

/// What `/v1/calls` may be asked for.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    pub(super) agent: Option<String>,
    pub(super) action: Option<String>,
    pub(super) decision: Option<String>,
    pub(super) task: Option<TaskId>,
    pub(super) limit: Option<usize>,
    pub(super) before: Option<u64>,
}

pub(super) async fn calls(
    lineage: Lineage,
    reviewer: Reviewer,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Value>, Denied> {
    reviewer.must(May::Read)?;
    if wanted.decision.as_deref().is_some_and(|verdict| !Filter::DECISIONS.contains(&verdict)) {
        return Err(Denied::unclear(format!("`decision` is one of {}", Filter::DECISIONS.join(", "))));
    }
    let filter = Filter {
        agent: wanted.agent,
        action: wanted.action,
        decision: wanted.decision,
        limit: wanted.limit.unwrap_or(50).min(1_000),
        before: wanted.before,
        task: wanted.task,
    };
    Ok(Json(json!({ "calls": lineage.ask(move |reader| reader.calls(&filter)).await? })))
}

pub(super) async fn call(lineage: Lineage, reviewer: Reviewer, Id(call): Id<CallId>) -> Result<Json<Value>, Denied> {
    reviewer.must(May::Read)?;
    Ok(Json(json!(lineage.ask(move |reader| reader.story(call)).await?)))
}
