//! The pages of the admin door. They show what its API tells and decide through it: each asks the same functions, as the
//! same reviewer.

mod agents;
mod asks;
mod call;
mod calls;
mod customs;
mod habits;
mod heat;
mod lineage;
mod live;
mod login;
mod session;
mod shell;
mod story;
mod visit;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::http::HeaderValue;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::middleware::map_response;
use axum::response::Response;
use axum::routing::{get, post};

pub use self::session::Sessions;
use super::admin::Sources;

const STYLE: &str = include_str!("ui/style.css");
const SCRIPT: &str = include_str!("ui/live.js");
const MARK: &str = include_str!("ui/mark.svg");

/// Nothing but our own style, script and forms. What the script fetches it may not turn into markup by a string.
const CONTENT_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Every page, and what it sends.
pub(super) fn routes() -> Router<Arc<Sources>> {
    Router::new()
        .route("/", get(login::page))
        .route("/login", get(login::link).post(login::open))
        .route("/ui/style.css", get(|| async { ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE) }))
        .route("/ui/mark.svg", get(|| async { ([(CONTENT_TYPE, "image/svg+xml")], MARK) }))
        .route("/ui/live.js", get(|| async { ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT) }))
        .route("/s/{session}/calls", get(calls::page))
        .route("/s/{session}/calls/{id}", get(call::page))
        .route("/s/{session}/calls/{id}/cut", post(agents::cut))
        .route("/s/{session}/refusals", get(calls::refusals))
        .route("/s/{session}/asks", get(asks::page))
        .route("/s/{session}/asks/{id}/approve", post(asks::approve))
        .route("/s/{session}/asks/{id}/deny", post(asks::deny))
        .route("/s/{session}/glass/{id}/review", post(asks::review))
        .route("/s/{session}/agents", get(agents::page))
        .route("/s/{session}/agents/{id}", get(habits::page))
        .route("/s/{session}/agents/{id}/ratify", post(habits::ratify))
        .route("/s/{session}/agents/{id}/reset", post(habits::reset))
        .route("/s/{session}/agents/{id}/quarantine", post(agents::quarantine))
        .route("/s/{session}/agents/{id}/release", post(agents::release))
        .route("/s/{session}/lineage", get(lineage::page))
        .route("/s/{session}/lineage/verify", post(lineage::verify))
        .route("/s/{session}/live", get(live::news))
        .route("/s/{session}/logout", post(login::close))
        .layer(map_response(guarded))
}

/// What each answer tells a browser not to do with it. The address of a page holds half of its session: nobody else is
/// told where a link was followed from.
async fn guarded(mut answer: Response) -> Response {
    let told = [
        (CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (X_FRAME_OPTIONS, "DENY"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "same-origin"),
        (CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in told {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    for (name, value) in
        [("cross-origin-opener-policy", "same-origin"), ("cross-origin-resource-policy", "same-origin")]
    {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}
