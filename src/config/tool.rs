//! A tool as configured: where it is, read strictly enough that no second reading of its address exists.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::uri::{Authority, Scheme};
use http::{HeaderName, Uri};

use super::parsed::{CatalogFrom, ConfigError, IssuerKind, ToolConfig, named, wrong};
use super::{Bytes, ToolFile};
use crate::forward::{forbidden, forbidden_answer};
use crate::model::{Network, Tool};

/// How long a call may take where the tool does not say.
const MAX_CALL: Duration = Duration::from_secs(60);

/// The longest that it may say.
const LONGEST_CALL: Duration = Duration::from_secs(3_600);

/// Bytes a body may have where the tool does not say.
const MAX_BODY: usize = 10 << 20;

/// First segments of paths that are the door's own.
const RESERVED: [&str; 3] = ["oauth", "access", "calls"];

pub(super) fn parse(
    name: &str,
    file: ToolFile,
    base: &Path,
    issuers: &BTreeMap<Arc<str>, IssuerKind>,
) -> Result<ToolConfig, ConfigError> {
    let key = |rest: &str| format!("tools.{name}.{rest}");
    let name = named("tools", name)?;
    if RESERVED.contains(&&*name) {
        return Err(wrong(format!("tools.{name}"), "this name is the door's own; take another"));
    }
    let (issuer, _) = issuers
        .get_key_value(file.issuer.as_str())
        .ok_or_else(|| wrong(key("issuer"), format!("there is no `[issuers.{}]`", file.issuer)))?;
    let networks: Vec<Network> = file
        .networks
        .iter()
        .map(|text| text.parse().map_err(|error| wrong(key("networks"), error)))
        .collect::<Result<_, _>>()?;
    let (scheme, authority, base_path) = upstream(&file.upstream).map_err(|why| wrong(key("upstream"), why))?;
    if scheme == Scheme::HTTP && (!file.plaintext || networks.is_empty()) {
        return Err(wrong(
            key("upstream"),
            "over plain http anybody on the way reads the credential; use https, or say `plaintext = true` and list the `networks` it may be in",
        ));
    }
    let max_call = file.max_call.map_or(MAX_CALL, |span| span.0);
    if max_call > LONGEST_CALL {
        return Err(wrong(key("max_call"), "a call takes an hour at most"));
    }
    let headers =
        |list: &[String], rest: &str, never: fn(&HeaderName) -> bool| -> Result<Vec<HeaderName>, ConfigError> {
            list.iter().map(|text| passing(&key(rest), text, never)).collect()
        };
    let tool = Tool {
        issuer: issuer.clone(),
        scheme,
        authority,
        base_path,
        networks,
        max_call,
        max_body: file.max_body.map_or(MAX_BODY, |Bytes(bytes)| bytes),
        request_headers: headers(&file.request_headers, "request_headers", forbidden)?,
        answer_headers: headers(&file.answer_headers, "answer_headers", forbidden_answer)?,
        name,
    };
    let introspect = file.introspect.map(|from| from.parse(base));
    Ok(ToolConfig { tool: Arc::new(tool), catalog: catalog(base, &file.catalog), introspect })
}

/// A bare word names a catalog that comes with the program.
fn catalog(base: &Path, written: &str) -> CatalogFrom {
    if written.contains(['/', '.']) {
        CatalogFrom::File(base.join(written))
    } else {
        CatalogFrom::Embedded(written.into())
    }
}

/// A header's name.
pub(super) fn header_name(key: &str, text: &str) -> Result<HeaderName, ConfigError> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| wrong(key, format!("`{text}` is no header's name")))
}

fn passing(key: &str, text: &str, never: fn(&HeaderName) -> bool) -> Result<HeaderName, ConfigError> {
    let name = header_name(key, text)?;
    if never(&name) { Err(wrong(key, format!("`{name}` is never passed on, whatever is listed"))) } else { Ok(name) }
}

pub(super) fn upstream(text: &str) -> Result<(Scheme, Authority, String), String> {
    let uri: Uri = text.parse().map_err(|error| format!("`{text}` is no URL: {error}"))?;
    let (Some(scheme), Some(authority)) = (uri.scheme().cloned(), uri.authority().cloned()) else {
        return Err(format!("`{text}` needs a scheme and a host, as in `https://api.example.com`"));
    };
    if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
        return Err(format!("`{scheme}` is neither http nor https"));
    }
    if authority.as_str().contains('@') || uri.query().is_some() || text.contains('#') {
        return Err("a user, a query or a fragment has no place in a tool's address".to_owned());
    }
    let host = authority.host();
    if !is_canonical_host(host) {
        return Err(format!(
            "`{host}` can be read as more than one host; write a lower-case name, a dotted quad or a bracketed IPv6 address"
        ));
    }
    if authority.port_u16() == Some(0) || (authority.port().is_none() && authority.as_str().ends_with(':')) {
        return Err("the port is no port".to_owned());
    }
    Ok((scheme, authority, uri.path().trim_end_matches('/').to_owned()))
}

/// A host that every parser reads the same. Names whose last label is a number are addresses to some (WHATWG URL,
/// "ends in a number"), so they must be addresses to all.
fn is_canonical_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().is_ok_and(|ip| IpAddr::V6(ip).to_string() == inner);
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte))
    };
    let last = host.rsplit('.').next().unwrap_or_default();
    let numeric = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    if numeric {
        return host.parse::<Ipv4Addr>().is_ok_and(|ip| ip.to_string() == host);
    }
    host.len() <= 253 && host.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_with_two_readings_is_refused() {
        for host in ["api.example.com", "127.0.0.1", "[::1]", "localhost", "a_b.example"] {
            assert!(is_canonical_host(host), "{host}");
        }
        for host in [
            "127.1",
            "0x7f.1",
            "2130706433",
            "0177.0.0.1",
            "a%2eb",
            "A.example",
            "good.test.",
            "[::0001]",
            "1.2.3",
            "",
            "a..b",
            "x.0x1",
        ] {
            assert!(!is_canonical_host(host), "{host}");
        }
    }

    #[test]
    fn an_address_is_origin_and_path_and_nothing_else() {
        let (_, authority, path) = upstream("https://api.example.com:8443/v2/").unwrap();
        assert_eq!((authority.as_str(), path.as_str()), ("api.example.com:8443", "/v2"));
        for text in ["ftp://a.b", "https://u@a.b", "https://a.b/?x", "/x", "a.b", "https://a.b:0", "https://a.b/#x"] {
            assert!(upstream(text).is_err(), "{text}");
        }
    }
}
