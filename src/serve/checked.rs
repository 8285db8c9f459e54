//! What is wrong with a request before anything in it is looked at: who it is for, and how it is framed.

use std::sync::Arc;

use http::header::{HOST, HeaderValue, ORIGIN, TRANSFER_ENCODING, VIA};
use http::uri::{Authority, Scheme};
use http::{Method, Request, Version};

use crate::mediate::Refusal;
use crate::model::Code;
use crate::understand;

/// What a door is called, and what it calls itself.
#[derive(Clone, Debug)]
pub struct Names {
    /// `Host` values it answers to; any, if none are named (a Unix socket, which no browser reaches).
    pub hosts: Vec<String>,
    /// Its own name in `Via` (RFC 9110 §7.6.3): a request that bears it has come round.
    pub pseudonym: Arc<str>,
    /// `https` if it speaks TLS: with its host, where links to a tool are turned to.
    pub scheme: Scheme,
}

/// Refuses what is no plain HTTP/1.1 or HTTP/2 request for the door of these names.
pub fn check<B>(request: &Request<B>, names: &Names) -> Result<(), Refusal> {
    if request.method() == Method::CONNECT {
        return Err(Refusal::Door(Code::MethodUnknown, "this door is no forward proxy".to_owned()));
    }
    check_framing(request)?;
    check_host(host(request)?, &names.hosts)?;
    if !request.uri().path().starts_with('/') {
        return Err(unclear("the request's target is no plain path; send the path alone"));
    }
    if !understand::knows(request.method()) {
        return Err(Refusal::from(understand::Error::MethodUnknown));
    }
    let headers = request.headers();
    if headers.contains_key(ORIGIN) || headers.contains_key("sec-fetch-site") {
        return Err(Refusal::Door(Code::Denied, "this door is not for browsers".to_owned()));
    }
    let came_round = |via: &HeaderValue| via.to_str().is_ok_and(|via| via.contains(&*names.pseudonym));
    if headers.get_all(VIA).iter().any(came_round) {
        return Err(Refusal::Door(Code::EgressBlocked, "the call has been through this sidecar before".to_owned()));
    }
    Ok(())
}

/// The host a request names, in the one form each version of HTTP has for it: a path and one `Host` (RFC 9112 §3.2), or an
/// `:authority` and at most the same `Host` (RFC 9113 §8.3.1).
fn host<B>(request: &Request<B>) -> Result<HeaderValue, Refusal> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(unclear("send exactly one `Host`"));
    }
    let target = request.uri();
    match (request.version(), target.authority(), host) {
        (Version::HTTP_11, None, Some(host)) if target.scheme().is_none() => Ok(host.clone()),
        (Version::HTTP_11, None, None) => Err(unclear("send exactly one `Host`")),
        (Version::HTTP_11, _, _) => Err(unclear("the request's target is no plain path; send the path alone")),
        (Version::HTTP_2, Some(authority), host) if host.is_none_or(|host| host == authority.as_str()) => {
            HeaderValue::from_str(authority.as_str()).map_err(|_| unclear("`:authority` is no host"))
        }
        (Version::HTTP_2, _, _) => Err(unclear("send one `:authority`, and no other `Host`")),
        _ => Err(unclear("send HTTP/1.1 or HTTP/2")),
    }
}

/// hyper lets `identity, chunked` and a second line pass, which others read differently (RFC 9112 §6.1).
fn check_framing<B>(request: &Request<B>) -> Result<(), Refusal> {
    let mut codings = request.headers().get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        (Some(_), _) => Err(unclear("the only transfer coding is `chunked`, once")),
    }
}

fn check_host(host: HeaderValue, hosts: &[String]) -> Result<(), Refusal> {
    if !is_host(&host) {
        return Err(unclear("`Host` is no host with perhaps a port"));
    }
    let named = |known: &String| host.as_bytes().eq_ignore_ascii_case(known.as_bytes());
    if !hosts.is_empty() && !hosts.iter().any(named) {
        return Err(Refusal::Door(Code::WrongHost, "`Host` is none of this door's names".to_owned()));
    }
    Ok(())
}

/// `uri-host [ ":" port ]` (RFC 9110 §7.2), with a port that there is.
fn is_host(value: &HeaderValue) -> bool {
    let Some(authority) = value.to_str().ok().and_then(|text| text.parse::<Authority>().ok()) else { return false };
    let text = authority.as_str();
    let behind = text.strip_prefix(authority.host()).unwrap_or(text);
    let port = behind.strip_prefix(':').is_none_or(|port| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port != 0)
    });
    !authority.host().is_empty() && !text.contains(['@', ',']) && (behind.is_empty() || behind.starts_with(':')) && port
}

fn unclear(why: &str) -> Refusal {
    Refusal::Door(Code::RequestUnclear, why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_form() {
        let is = |text: &str| HeaderValue::from_str(text).is_ok_and(|value| is_host(&value));
        for host in ["a", "a.example", "a:80", "127.0.0.1:7080", "[::1]", "[::1]:80", "localhost"] {
            assert!(is(host), "{host}");
        }
        for host in
            ["", "a/b", "a?b", "a#b", "a@b", "a:", "a:0", "a:99999", "a:+1", "a:b", "[::1", "a, b", "a b", ":80"]
        {
            assert!(!is(host), "{host}");
        }
    }
}
