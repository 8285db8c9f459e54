//! What the agent sees when the answer is no: problem+json (RFC 9457), one shape for every refusal.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

use super::asks;
use crate::judge::No;
use crate::mediate::Refused;
use crate::memory::Rate;
use crate::model::{ApprovalId, CallId, Code, Decision, Timestamp};

/// Where the pages about codes are, at the agent's door.
pub const PROBLEMS: &str = "/-/problems/";

/// The members of a refusal. Those that are `None` are left out.
#[derive(Serialize)]
struct Problem<'a> {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    instance: String,
    code: &'a str,
    decision: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suggestions: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<Approval>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stop: bool,
}

/// The question that the call waits for.
#[derive(Serialize)]
struct Approval {
    id: ApprovalId,
    url: String,
    expires_at: Timestamp,
}

/// What a peer is told, over HTTP/1.1, that has its share of connections already. Nothing it sends is read, so there is no
/// call.
pub fn crowded() -> Vec<u8> {
    let code = Code::Overloaded;
    let body = serde_json::json!({
        "type": format!("{PROBLEMS}{code}"),
        "title": code.title(),
        "status": code.status(),
        "code": code.name(),
        "decision": code.decision().name(),
        "retryable": true,
    })
    .to_string();
    let length = body.len();
    format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The answer for a refusal. Terse once the task holds something untrusted: whoever wrote that may be reading.
pub fn refusal(call: CallId, refused: &Refused) -> Response<Full<Bytes>> {
    let Refused { why, terse, rates } = refused;
    let code = why.code();
    let retry_after_ms = why.judged().and_then(No::retry_after_ms);
    let minimal = Problem {
        kind: None,
        title: None,
        status: None,
        detail: None,
        instance: format!("/calls/{call}"),
        code: code.name(),
        decision: code.decision().name(),
        rule: None,
        retryable: retryable(code, retry_after_ms),
        retry_after_ms: None,
        suggestions: Vec::new(),
        approval: why.question().map(|(id, expires_at)| Approval {
            id,
            url: format!("{}{id}", asks::PATH),
            expires_at,
        }),
        stop: false,
    };
    let problem = if *terse {
        minimal
    } else {
        Problem {
            kind: Some(format!("{PROBLEMS}{code}")),
            title: Some(code.title()),
            status: Some(code.status()),
            detail: why.detail(),
            rule: why.rule(),
            retry_after_ms,
            suggestions: vec![code.help()],
            stop: matches!(code, Code::ChainLimitReached | Code::TaskOver),
            ..minimal
        }
    };
    let mut answer = json(code.status(), &problem);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(wait) = retry_after_ms {
        headers.insert(RETRY_AFTER, HeaderValue::from(wait.div_ceil(1000)));
    }
    if let Some(no) = why.judged().filter(|_| code.decision() == Decision::Throttle) {
        // The bounds of chains have no window: waiting does not help.
        let windowed = |name: &str| rates.iter().any(|rate| rate.name == name);
        let chain = no.facts.limits.iter().filter(|(name, _)| !windowed(name)).map(|(name, reached)| Rate {
            name: name.clone(),
            requests: reached.limit,
            window_s: None,
            left: 0,
            free_in_s: None,
        });
        tell_rates(&rates.iter().cloned().chain(chain).collect::<Vec<_>>(), headers);
    }
    if code == Code::CallerUnproven {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    answer
}

/// How much is left of the agent's limits: `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10),
/// lists of strings with parameters (RFC 9651). `t` says when one place more is free. What a tool says of its own limits
/// stands beside it.
pub fn tell_rates(rates: &[Rate], headers: &mut HeaderMap) {
    if rates.is_empty() {
        return;
    }
    let (mut policy, mut left) = (String::new(), String::new());
    for Rate { name, requests, window_s, left: rest, free_in_s } in rates {
        let comma = if policy.is_empty() { "" } else { ", " };
        let _ = write!(policy, "{comma}\"{name}\";q={requests}");
        let _ = write!(left, "{comma}\"{name}\";r={rest}");
        if let Some(window) = window_s {
            let _ = write!(policy, ";w={window}");
        }
        if let Some(free) = free_in_s {
            let _ = write!(left, ";t={free}");
        }
    }
    for (name, value) in [("ratelimit-policy", policy), ("ratelimit", left)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.append(HeaderName::from_static(name), value);
        }
    }
}

/// Any other JSON.
pub fn json(status: u16, value: &impl Serialize) -> Response<Full<Bytes>> {
    let body = serde_json::to_vec(value).unwrap_or_default();
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn retryable(code: Code, retry_after_ms: Option<u64>) -> bool {
    match code.decision() {
        Decision::Allow | Decision::Deny => false,
        // Not the call, but what became of the question.
        Decision::Ask => true,
        Decision::Throttle => retry_after_ms.is_some(),
        Decision::Unavailable => !matches!(code, Code::IssuerOvergrant),
    }
}
