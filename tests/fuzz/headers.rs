//! What passes of a request's and an answer's headers: nothing that is forbidden, nothing altered, nothing taken away.

use std::sync::Arc;

use countersign::forward::{Unclear, forbidden, forbidden_answer, incoming, keep_what_passes};
use countersign::model::Tool;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::nouns;

/// Never to a tool, whatever is configured: it frames, routes, authenticates, or speaks for us.
const TO_NOBODY: [&str; 22] = [
    "agent-intent",
    "agent-task",
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "countersign-x",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authorization",
    "sec-fetch-site",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-amz-date",
    "x-forwarded-for",
    "x-http-method-override",
    "x-real-ip",
];

/// Never back to an agent.
const FROM_NOBODY: [&str; 12] = [
    "access-control-allow-origin",
    "agent-task",
    "alt-svc",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "set-cookie",
    "strict-transport-security",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "www-authenticate",
];

/// What every tool may be sent, once.
const ONCE: [&str; 3] = ["content-type", "user-agent", "if-range"];

/// What every tool may be sent, as often as it comes.
const MANY: [&str; 3] = ["accept", "if-match", "prefer"];

/// Input: lines of `name:value`; one of `+name` puts the name on the tool's lists.
pub fn holds(bytes: &[u8]) -> bool {
    let (mut headers, mut listed) = (HeaderMap::new(), Vec::new());
    for line in bytes.split(|byte| *byte == b'\n').take(200) {
        if let Some(name) = line.strip_prefix(b"+") {
            listed.extend(HeaderName::from_bytes(name).ok());
            continue;
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(&line[colon + 1..])) {
            headers.append(name, value);
        }
    }
    answers(&headers, &listed);
    requests(headers, listed)
}

fn requests(headers: HeaderMap, listed: Vec<HeaderName>) -> bool {
    let task = Arc::new(nouns::task("a", 1));
    let mut call = nouns::call(&nouns::caller("a", "token:x"), &task, "t/x", "x");
    call.tool = Arc::new(Tool { request_headers: listed, ..Tool::clone(&nouns::tool("t")) });
    call.headers = headers.clone();
    let kept = keep_what_passes(&mut call);
    let known = |name: &str| headers.contains_key(name);
    let brought = known("authorization") || known("cookie") || known("x-api-key");
    assert!(call.brought_credential || !brought, "a credential came unseen");
    if let Err(why) = kept {
        let name = match why {
            Unclear::Bytes(name) | Unclear::Repeated(name) | Unclear::Named(name) | Unclear::Handshake(name) => name,
        };
        assert!(headers.contains_key(&name), "refused for `{name}`, which is not there");
        return false;
    }
    for (name, value) in &call.headers {
        let text = name.as_str();
        assert!(!TO_NOBODY.contains(&text) && !text.contains('_'), "`{name}` passed");
        assert!(!(forbidden(name) && text != "accept-encoding"), "`{name}` passed");
        assert!(value.as_bytes().iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~')), "`{name}` has odd bytes");
    }
    assert_eq!(call.headers["accept-encoding"], "identity");
    for name in call.headers.keys().filter(|name| *name != "accept-encoding") {
        assert!(headers.get_all(name).iter().eq(call.headers.get_all(name)), "a value of `{name}` was altered");
        assert!(
            !is_named(&headers, name.as_str()),
            "`connection` names `{name}`, which was judged and would be dropped"
        );
    }
    for name in ONCE.into_iter().chain(MANY) {
        assert_eq!(headers.contains_key(name), call.headers.contains_key(name), "`{name}` was taken away");
    }
    for name in ONCE {
        assert!(call.headers.get_all(name).iter().count() < 2, "`{name}` passed twice");
    }
    true
}

fn answers(headers: &HeaderMap, listed: &[HeaderName]) {
    let passed = incoming(headers, listed);
    for name in passed.keys() {
        let text = name.as_str();
        assert!(!FROM_NOBODY.contains(&text) && !forbidden_answer(name), "`{name}` came back");
        assert!(!is_named(headers, text), "`{name}` is for the hop before");
    }
    for name in ["content-type", "location", "etag", "content-length"] {
        let first = headers.get(name).filter(|_| !is_named(headers, name));
        let mut came = passed.get_all(name).iter();
        assert_eq!((came.next(), came.next()), (first, None), "of several values the first is kept");
    }
    for (name, value) in &passed {
        assert!(headers.get_all(name).iter().any(|came| came == value), "a value of `{name}` was altered");
    }
}

/// Whether `Connection` names a header (RFC 9110 §7.6.1).
fn is_named(headers: &HeaderMap, name: &str) -> bool {
    let values =
        headers.get_all("connection").iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    values
        .into_iter()
        .any(|value| value.split(',').any(|option| option.trim_matches([' ', '\t']).eq_ignore_ascii_case(name)))
}
