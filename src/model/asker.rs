//! Tools that may ask about our tokens: each is known by its name and a secret of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use subtle::{Choice, ConstantTimeEq as _};

use super::Digest;

/// Every tool that may ask, with the digest of its secret.
#[derive(Clone, Debug, Default)]
pub struct Askers(BTreeMap<Arc<str>, Digest>);

impl Askers {
    /// Each with the digest of its secret.
    pub fn new(known: BTreeMap<Arc<str>, Digest>) -> Self {
        Self(known)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tool of this name, if this is its secret. A name that there is not takes as long as a wrong secret.
    pub fn by_secret(&self, name: &str, shown: &Digest) -> Option<Arc<str>> {
        let named = Digest::of(name.as_bytes());
        let is = |tool: &str, secret: &Digest| -> Choice {
            Digest::of(tool.as_bytes()).0.ct_eq(&named.0) & secret.0.ct_eq(&shown.0)
        };
        let found =
            self.0.iter().fold(None, |found, (tool, secret)| if is(tool, secret).into() { Some(tool) } else { found });
        found.cloned()
    }
}
