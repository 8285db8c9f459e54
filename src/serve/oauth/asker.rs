//! Which tool asks: its name and its secret, as `Authorization: Basic` (RFC 6749 §2.3.1).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use zeroize::Zeroizing;

use crate::model::{Askers, Digest};

/// The tool that proves itself, if one does.
pub(super) fn asker(headers: &HeaderMap, askers: &Askers) -> Option<Arc<str>> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, pair) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = Zeroizing::new(STANDARD.decode(pair.trim()).ok()?);
    let colon = pair.iter().position(|byte| *byte == b':')?;
    let (name, secret) = pair.split_at_checked(colon)?;
    askers.by_secret(std::str::from_utf8(name).ok()?, &Digest::of(secret.get(1..)?))
}
