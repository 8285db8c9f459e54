//! Which headers pass to a tool and back: lists of what may, everything else stays.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT_ENCODING, CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::header_names::{
    ANSWER_MANY, ANSWER_ONCE, CREDENTIALS, MANY, NEVER, NEVER_ANSWERED, NEVER_ANSWERED_STARTS, NEVER_STARTS, ONCE,
};

/// A request header that cannot be passed on as it is. The agent's fault; the text may be shown to it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unclear {
    /// Control characters, or bytes that are not ASCII (RFC 9110 §5.5 calls them obsolete).
    #[error("header `{0}` has bytes other than visible ASCII, space and tab")]
    Bytes(HeaderName),
    /// A header that has one value stands more than once (RFC 9110 §5.3).
    #[error("header `{0}` stands more than once")]
    Repeated(HeaderName),
    /// `Connection` would have us drop a header that was read when the call was judged (RFC 9110 §7.6.1).
    #[error("header `{0}` is named by `connection`, which is for headers between neighbours only")]
    Named(HeaderName),
    /// A WebSocket's handshake lacks a header, has it twice, or with a value it cannot have (RFC 6455 §4.1).
    #[error("a WebSocket's handshake needs one `{0}`: 16 bytes in base64 as the key, 13 as the version")]
    Handshake(HeaderName),
}

/// The request headers that pass: those every API may need, and the tool's own `extra`.
///
/// Nothing that frames the message, routes it, speaks for somebody or stems from us gets through, listed in `extra` or
/// not ([`forbidden`]). `Accept-Encoding: identity` is set, so that an answer can be read.
pub fn outgoing(from: &HeaderMap, extra: &[HeaderName]) -> Result<HeaderMap, Unclear> {
    let mut passed = HeaderMap::with_capacity(from.len() + 2);
    for name in from.keys() {
        let once = ONCE.contains(&name.as_str());
        if forbidden(name) || !(once || MANY.contains(&name.as_str()) || extra.contains(name)) {
            continue;
        }
        let mut values = from.get_all(name).iter().peekable();
        while let Some(value) = values.next() {
            if !is_plain(value) {
                return Err(Unclear::Bytes(name.clone()));
            }
            if once && values.peek().is_some() {
                return Err(Unclear::Repeated(name.clone()));
            }
            passed.append(name.clone(), value.clone());
        }
    }
    if let Some(name) = passed.keys().find(|name| is_named(from, name)) {
        return Err(Unclear::Named(name.clone()));
    }
    passed.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Ok(passed)
}

/// What a WebSocket's handshake needs beside the headers that pass (RFC 6455 §4.1). Extensions are not offered: what they
/// compress could not be looked at.
pub fn handshake(from: &HeaderMap, passed: &mut HeaderMap) -> Result<(), Unclear> {
    for name in [SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION] {
        let mut values = from.get_all(&name).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return Err(Unclear::Handshake(name)) };
        passed.insert(name, value.clone());
    }
    let key = passed.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    if STANDARD.decode(key).map_or(0, |key| key.len()) != 16 {
        return Err(Unclear::Handshake(SEC_WEBSOCKET_KEY));
    }
    if passed.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version.as_bytes() != b"13") {
        return Err(Unclear::Handshake(SEC_WEBSOCKET_VERSION));
    }
    for value in from.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter(|value| is_plain(value)) {
        passed.append(SEC_WEBSOCKET_PROTOCOL, value.clone());
    }
    Ok(())
}

/// The answer headers that pass: those that describe the answer, and the tool's own `extra`.
///
/// Of a header that has one value the first is kept, so that we and the agent read the same.
pub fn incoming(from: &HeaderMap, extra: &[HeaderName]) -> HeaderMap {
    let mut passed = HeaderMap::with_capacity(from.len());
    for (name, value) in from {
        let text = name.as_str();
        let once = ANSWER_ONCE.contains(&text);
        let listed = once || ANSWER_MANY.contains(&text) || text.starts_with("x-ratelimit-") || extra.contains(name);
        if !listed || forbidden_answer(name) || is_named(from, name) || (once && passed.contains_key(name)) {
            continue;
        }
        passed.append(name.clone(), value.clone());
    }
    passed
}

/// Whether a request header never passes, whatever a tool's `request_headers` say. Configuration refuses these.
pub fn forbidden(name: &HeaderName) -> bool {
    let text = name.as_str();
    // CGI and its heirs read `x_agent_id` and `x-agent-id` as one name.
    text.contains('_')
        || NEVER.contains(&text)
        || NEVER_STARTS.iter().any(|start| text.starts_with(start))
        || is_credential(text)
}

/// Whether an answer header never passes, whatever a tool's `answer_headers` say. Configuration refuses these.
pub fn forbidden_answer(name: &HeaderName) -> bool {
    let text = name.as_str();
    text.contains('_')
        || NEVER_ANSWERED.contains(&text)
        || NEVER_ANSWERED_STARTS.iter().any(|start| text.starts_with(start))
}

/// Whether a request brings a credential or a cookie of its own. It is recorded that it did, and never passed on.
///
/// An agent's own proof to us (`Authorization: Bearer`) counts as well: only the caller knows whether it was one.
pub fn supplied_credential(from: &HeaderMap) -> bool {
    from.keys().any(|name| is_credential(name.as_str()))
}

fn is_credential(name: &str) -> bool {
    CREDENTIALS.contains(&name) || name.starts_with("x-amz-")
}

fn is_plain(value: &HeaderValue) -> bool {
    value.as_bytes().iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
}

fn is_named(from: &HeaderMap, name: &HeaderName) -> bool {
    let options = from.get_all(CONNECTION).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    options.map(<[u8]>::trim_ascii).any(|option| option.eq_ignore_ascii_case(name.as_str().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
        }
        map
    }

    fn names(list: &[&str]) -> Vec<HeaderName> {
        list.iter().map(|name| HeaderName::from_bytes(name.as_bytes()).unwrap()).collect()
    }

    const HOSTILE: [&str; 44] = [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "proxy-connection",
        "proxy-authorization",
        "authorization",
        "cookie",
        "x-api-key",
        "x-amz-security-token",
        "x-amz-date",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-uri",
        "x-forwarded",
        "forwarded",
        "x-original-url",
        "x-rewrite-url",
        "x-envoy-original-path",
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
        "agent-intent",
        "agent-task",
        "agent-approval",
        "countersign-call",
        "x-agent-id",
        "x_agent_id",
        "content_type",
        "x-sidecar-bypass",
        "accept-encoding",
        "origin",
        "referer",
        "sec-fetch-site",
        "http2-settings",
        "x-real-ip",
        "via",
        "private-token",
        "dpop",
    ];

    #[test]
    fn no_hostile_header_passes_even_where_a_tool_lists_it() {
        for name in HOSTILE {
            assert!(forbidden(&names(&[name])[0]), "{name}");
            let passed = outgoing(&map(&[(name, "evil"), ("accept", "*/*")]), &names(&[name])).unwrap();
            let evil: Vec<_> = passed.values().filter(|value| value.as_bytes() == b"evil").collect();
            assert!(evil.is_empty() && passed.len() == 2, "{name}");
        }
    }

    #[test]
    fn a_header_nobody_listed_stays_behind() {
        let from = map(&[("x-new-thing", "1"), ("stripe-version", "2"), ("baggage", "3"), ("mcp-init-host", "4")]);
        let passed = outgoing(&from, &names(&["stripe-version"])).unwrap();
        assert_eq!(passed.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["stripe-version", "accept-encoding"]);
    }

    #[test]
    fn what_an_api_client_needs_passes_unchanged() {
        let from = map(&[
            ("accept", "application/json"),
            ("accept", "text/event-stream"),
            ("content-type", "application/json"),
            ("user-agent", "octokit"),
            ("if-none-match", "\"a\""),
            ("idempotency-key", "k"),
            ("range", "bytes=0-1"),
        ]);
        let passed = outgoing(&from, &[]).unwrap();
        assert_eq!(passed.get_all("accept").iter().count(), 2);
        assert_eq!(passed.len(), from.len() + 1);
        assert_eq!(passed["accept-encoding"], "identity");
        assert!(from.keys().all(|name| !forbidden(name)));
    }

    #[test]
    fn a_value_that_is_not_plain_ascii_is_refused_by_name() {
        let mut from = HeaderMap::new();
        from.insert("user-agent", HeaderValue::from_bytes(b"a\xffb").unwrap());
        assert_eq!(outgoing(&from, &[]), Err(Unclear::Bytes(names(&["user-agent"])[0].clone())));
        assert!(outgoing(&map(&[("user-agent", "a\tb ~")]), &[]).is_ok());
    }

    #[test]
    fn a_header_with_one_value_stands_once() {
        let twice = map(&[("content-type", "application/json"), ("content-type", "text/plain")]);
        assert!(matches!(outgoing(&twice, &[]), Err(Unclear::Repeated(_))));
        assert_eq!(incoming(&twice, &[])["content-type"], "application/json");
        assert_eq!(incoming(&twice, &[]).len(), 1);
    }

    #[test]
    fn connection_cannot_take_away_what_was_judged() {
        let from = map(&[("connection", "close, Content-Type"), ("content-type", "application/json")]);
        assert!(matches!(outgoing(&from, &[]), Err(Unclear::Named(_))));
        let usual = map(&[("connection", "close, authorization, x-forwarded-for, te"), ("authorization", "Bearer x")]);
        assert_eq!(outgoing(&usual, &[]).unwrap().len(), 1);
        assert!(incoming(&from, &[]).is_empty());
    }

    #[test]
    fn an_answer_sets_no_cookie_and_asks_for_no_proof() {
        let bad = [
            "set-cookie",
            "www-authenticate",
            "proxy-authenticate",
            "alt-svc",
            "server-timing",
            "strict-transport-security",
            "transfer-encoding",
            "connection",
            "trailer",
            "access-control-allow-origin",
            "countersign-call",
            "agent-task",
            "x_request_id",
            "refresh",
            "upgrade",
        ];
        for name in bad {
            assert!(forbidden_answer(&names(&[name])[0]), "{name}");
            assert!(incoming(&map(&[(name, "evil")]), &names(&[name])).is_empty(), "{name}");
        }
        let good = map(&[
            ("content-type", "a/b"),
            ("etag", "\"e\""),
            ("location", "/x"),
            ("retry-after", "1"),
            ("link", "<a>"),
            ("link", "<b>"),
            ("ratelimit", "\"d\";r=1"),
            ("x-ratelimit-remaining", "3"),
            ("vary", "accept"),
        ]);
        assert_eq!(incoming(&good, &[]), good);
        assert!(incoming(&map(&[("server", "nginx"), ("x-powered-by", "php")]), &[]).is_empty());
    }

    #[test]
    fn a_credential_of_the_agents_own_is_noticed() {
        for name in ["authorization", "cookie", "x-api-key", "x-amz-security-token", "proxy-authorization"] {
            assert!(supplied_credential(&map(&[(name, "x")])), "{name}");
        }
        assert!(!supplied_credential(&map(&[("accept", "x"), ("agent-task", "t")])));
    }
}
