//! The OAuth face: so far, the keys that our tokens are verified with.

use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, Response};
use http_body_util::Full;
use serde_json::{Value, json};

use super::reply;
use crate::mint::KeyRing;

/// The public keys of every issuer as one set (RFC 7517 §5). Keys are published an hour before they sign, so a set may
/// be kept for some minutes.
pub fn jwks<'a>(rings: impl Iterator<Item = &'a KeyRing>) -> Response<Full<Bytes>> {
    let keys: Vec<Value> = rings.filter_map(|ring| ring.jwks().get("keys")?.as_array().cloned()).flatten().collect();
    let mut answer = reply::json(200, &json!({ "keys": keys }));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
    answer
}
