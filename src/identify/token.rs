//! Proof by a bearer token (RFC 6750 §2.1) that the agent holds.

use std::collections::BTreeMap;

use subtle::ConstantTimeEq;

use super::{Attested, Attestor};
use crate::model::{AgentName, Digest, Evidence, Proof, Secret, Timestamp};

/// Bytes a token must have at least. Part of its digest stands in records, where a short one could be found by trying.
const LEAST: usize = 16;

/// A token that proves one agent. Only the digest of it is kept.
pub struct TokenRule {
    digest: Digest,
    id: String,
}

impl TokenRule {
    /// Expects exactly these bytes after `Bearer `: whoever read them from a file has taken the line end off.
    ///
    /// `agent` becomes part of the workload's name: `token:<agent>/<first 8 hex digits of the token's SHA-256>`.
    pub fn new(agent: &AgentName, token: &Secret) -> Result<Self, WeakToken> {
        if token.expose().len() < LEAST {
            return Err(WeakToken);
        }
        let digest = Digest::of(token.expose());
        let shown: String = digest.to_string().chars().take(8).collect();
        Ok(Self { digest, id: format!("token:{agent}/{shown}") })
    }
}

impl Attestor for TokenRule {
    /// Digests are compared, all 32 bytes of them whatever they hold, so the time tells neither length nor content.
    fn attest(&self, evidence: &Evidence, _now: Timestamp) -> Option<Attested> {
        let shown = Digest::of(evidence.bearer.as_ref()?.expose());
        bool::from(self.digest.0.ct_eq(&shown.0)).then(|| Attested {
            proofs: vec![Proof::Token],
            id: self.id.clone(),
            attributes: BTreeMap::new(),
            expires_at: None,
        })
    }
}

/// A token that could be guessed.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
#[error("a token needs at least {LEAST} bytes; `openssl rand -hex 32` makes a good one")]
pub struct WeakToken;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::Peer;

    const TOKEN: &str = "b1946ac92492d2347c6235b4d2611184";

    fn attest(bearer: Option<&str>) -> Option<Attested> {
        let rule = TokenRule::new(&AgentName("triage".into()), &Secret::new(TOKEN)).unwrap();
        let peer = Arc::new(Peer::Remote("192.0.2.7:9".parse().unwrap()));
        rule.attest(&Evidence { peer, bearer: bearer.map(Secret::new) }, Timestamp::from_millis(0))
    }

    #[test]
    fn the_expected_token_proves_the_agent() {
        let attested = attest(Some(TOKEN)).unwrap();
        assert_eq!(attested.proofs, [Proof::Token]);
        assert_eq!(attested.id, "token:triage/8f0a8821");
        assert_eq!(attested.attributes, BTreeMap::new());
    }

    #[test]
    fn no_other_token_does() {
        let longer = format!("{TOKEN}0");
        let shorter = TOKEN.trim_end_matches('4');
        let upper = TOKEN.to_uppercase();
        for wrong in [None, Some(""), Some(shorter), Some(&longer), Some(&upper)] {
            assert_eq!(attest(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_short_token_is_refused_at_load() {
        let of = |token: &str| TokenRule::new(&AgentName("triage".into()), &Secret::new(token)).err();
        assert_eq!(of("fifteen bytes.."), Some(WeakToken));
        assert_eq!(of("sixteen bytes..."), None);
    }
}
