//! What is wrong with a request before anything in it is looked at: who it is for, and how it is framed.

use http::header::{HOST, HeaderValue, ORIGIN, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{Method, Request, Version};

use crate::mediate::Refusal;
use crate::model::Code;
use crate::understand;

/// Refuses what is no plain HTTP/1.1 request for the door that answers to `hosts`; to any host, if none are named.
pub fn check<B>(request: &Request<B>, hosts: &[String]) -> Result<(), Refusal> {
    if request.version() != Version::HTTP_11 {
        return Err(unclear("send HTTP/1.1"));
    }
    if request.method() == Method::CONNECT {
        return Err(Refusal::Door(Code::MethodUnknown, "this door is no forward proxy".to_owned()));
    }
    let target = request.uri();
    if target.authority().is_some() || target.scheme().is_some() || !target.path().starts_with('/') {
        return Err(unclear("the request's target is no plain path; send the path alone"));
    }
    check_framing(request)?;
    check_host(request, hosts)?;
    if !understand::knows(request.method()) {
        return Err(Refusal::from(understand::Error::MethodUnknown));
    }
    if request.headers().contains_key(ORIGIN) || request.headers().contains_key("sec-fetch-site") {
        return Err(Refusal::Door(Code::Denied, "this door is not for browsers".to_owned()));
    }
    Ok(())
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

fn check_host<B>(request: &Request<B>, hosts: &[String]) -> Result<(), Refusal> {
    let mut values = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (values.next(), values.next()) else { return Err(unclear("send exactly one `Host`")) };
    if !is_host(host) {
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
