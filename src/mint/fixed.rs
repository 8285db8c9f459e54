//! Credentials that are not minted: none at all, and a standing secret.

use http::HeaderName;
use zeroize::Zeroizing;

use super::{Issuer, IssuerError, Order, Plan};
use crate::judge::Permit;
use crate::model::{BoxFuture, Credential, Handle, Lifetime, Placement, Secret, Timestamp};
use crate::record::HandleNote;

/// The name records give to a secret that stands for longer than any call.
const STANDING: &str = "standing";

/// For an upstream that wants no credential.
#[derive(Debug)]
pub struct NoCredential;

/// One secret for every call, placed in a header. It cannot be narrowed and it does not end: the record says so.
#[derive(Debug)]
pub struct StaticSecret {
    secret: Zeroizing<Vec<u8>>,
    placement: Placement,
}

impl StaticSecret {
    /// The secret, and the header it goes into behind a prefix such as `Bearer `.
    pub fn new(secret: &Secret, name: HeaderName, prefix: String) -> Self {
        Self { secret: Zeroizing::new(secret.expose().to_vec()), placement: Placement::Header { name, prefix } }
    }
}

impl Issuer for NoCredential {
    fn kind(&self) -> &'static str {
        "none"
    }

    fn plan(&self, _: &Permit, _: Timestamp) -> Plan {
        Plan { handle: HandleNote::Nothing, expires_at: None }
    }

    fn lifetime(&self) -> Lifetime {
        Lifetime::Head
    }

    fn can_revoke(&self) -> bool {
        false
    }

    fn mint<'a>(&'a self, _: Order<'a>) -> BoxFuture<'a, Result<Credential, IssuerError>> {
        let nothing = Credential {
            secret: Secret::new(Vec::new()),
            handle: Handle::Nothing,
            expires_at: None,
            placement: Placement::Nowhere,
        };
        Box::pin(async { Ok(nothing) })
    }

    fn revoke<'a>(&'a self, _: &'a Handle) -> BoxFuture<'a, Result<(), IssuerError>> {
        Box::pin(async { Ok(()) })
    }
}

impl Issuer for StaticSecret {
    fn kind(&self) -> &'static str {
        "static"
    }

    fn plan(&self, _: &Permit, _: Timestamp) -> Plan {
        Plan { handle: HandleNote::Named(STANDING.to_owned()), expires_at: None }
    }

    fn lifetime(&self) -> Lifetime {
        Lifetime::Head
    }

    fn can_revoke(&self) -> bool {
        false
    }

    fn mint<'a>(&'a self, _: Order<'a>) -> BoxFuture<'a, Result<Credential, IssuerError>> {
        let secret = Secret::new(self.secret.to_vec());
        let standing = Credential {
            secret,
            handle: Handle::Named(STANDING.to_owned()),
            expires_at: None,
            placement: self.placement.clone(),
        };
        Box::pin(async { Ok(standing) })
    }

    fn revoke<'a>(&'a self, _: &'a Handle) -> BoxFuture<'a, Result<(), IssuerError>> {
        Box::pin(async { Err(IssuerError::Refused("a standing secret cannot be ended by the sidecar".into())) })
    }
}
