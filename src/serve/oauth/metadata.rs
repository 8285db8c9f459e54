//! What an issuer of tokens offers (RFC 8414).

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, HOST};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::Full;
use serde_json::json;

use super::{INTROSPECT, KEYS, METADATA, REVOKE};
use crate::mediate::Refusal;
use crate::mint::{CALL_DETAILS, KeyRing};
use crate::model::Code;
use crate::serve::reply;

/// The metadata of the issuer whose `iss` has the path behind [`METADATA`] (§3.1). Its endpoints are at the door as it was
/// called; `asked` says whether there is a tool that may use them.
pub(super) fn metadata<B>(
    published: &[(String, Arc<KeyRing>)],
    request: &Request<B>,
    (scheme, asked): (&Scheme, bool),
) -> Result<Response<Full<Bytes>>, Refusal> {
    let host = request.uri().authority().map(Authority::as_str);
    let host = host.or_else(|| request.headers().get(HOST)?.to_str().ok()).unwrap_or_default();
    let path = request.uri().path().strip_prefix(METADATA).unwrap_or_default();
    let mut those =
        published.iter().map(|(issuer, _)| issuer).filter(|issuer| path_of(issuer).as_deref() == Some(path));
    let none = || Refusal::Door(Code::ToolUnknown, "no issuer of tokens has this path in its `issuer`".to_owned());
    let (Some(issuer), None) = (those.next(), those.next()) else { return Err(none()) };
    let at = |path: &str| format!("{scheme}://{host}{path}");
    let mut told = json!({
        "issuer": issuer,
        "jwks_uri": at(KEYS),
        "authorization_details_types_supported": [CALL_DETAILS],
        // No client gets a token here by asking for one.
        "response_types_supported": [],
        "grant_types_supported": [],
    });
    if let Some(told) = told.as_object_mut().filter(|_| asked) {
        for (name, path) in [("introspection", INTROSPECT), ("revocation", REVOKE)] {
            told.insert(format!("{name}_endpoint"), at(path).into());
            told.insert(format!("{name}_endpoint_auth_methods_supported"), json!(["client_secret_basic"]));
        }
    }
    let mut answer = reply::json(200, &told);
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

/// The path of an issuer's identifier, without a `/` at its end.
fn path_of(issuer: &str) -> Option<String> {
    let uri: Uri = issuer.parse().ok()?;
    uri.authority()?;
    Some(uri.path().trim_end_matches('/').to_owned())
}
