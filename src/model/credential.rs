//! A credential for one call: what it is, how it is carried, how it can be ended.

use http::HeaderName;

use super::{Secret, Timestamp};

/// A credential, minted for one call and good for no other as far as its kind allows.
#[derive(Debug)]
pub struct Credential {
    /// What proves it.
    pub secret: Secret,
    /// What ends it.
    pub handle: Handle,
    /// When it ends by itself; `None` for a standing secret.
    pub expires_at: Option<Timestamp>,
    /// Where in the request it goes.
    pub placement: Placement,
}

/// By what name a credential can be ended.
#[derive(Debug)]
pub enum Handle {
    /// There is nothing to end.
    Nothing,
    /// A name we chose and recorded before minting.
    Named(String),
    /// A name the issuer chose; as good as a secret, so it is recorded sealed, before the credential is used.
    Sealed(Secret),
}

/// Where a credential goes in the outgoing request. `forward` is the one place that acts on it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Placement {
    /// Nowhere: the upstream wants none.
    Nowhere,
    /// As the value of a header, behind a prefix such as `Bearer `.
    Header {
        /// The header's name.
        name: HeaderName,
        /// What stands before the secret.
        prefix: String,
    },
}

/// When a credential is no longer needed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lifetime {
    /// Checked once by the upstream: ended when the answer's head arrives.
    Head,
    /// Needed throughout: ended with the answer's body.
    End,
}

/// Keys of a query whose values are credentials (RFC 6750 §2.3, and what signed URLs carry), in lower case with `_`.
const CREDENTIALS: [&str; 11] = [
    "access_token",
    "api_key",
    "api_token",
    "apikey",
    "auth_token",
    "x_amz_credential",
    "x_amz_security_token",
    "x_amz_signature",
    "x_api_key",
    "x_goog_credential",
    "x_goog_signature",
];

/// Whether the value under this key of a query is a credential.
pub fn names_credential(key: &str) -> bool {
    CREDENTIALS.contains(&key.to_ascii_lowercase().replace('-', "_").as_str())
}
