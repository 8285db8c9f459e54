//! Our tokens that are lent and have not ended, for tools that ask.
//!
//! A token is found by the digest of all its bytes, so none is believed, or even parsed, that was not made here as it is.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::model::{CallId, Digest, Secret, Timestamp};

/// What is known of a token that is lent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Token {
    /// The call it was minted for.
    pub call: CallId,
    /// The tool it was minted for. Nobody else is told of it.
    pub tool: Arc<str>,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// Every token that is lent: as many as there are calls under way, and for as long.
#[derive(Debug, Default)]
pub struct Lent {
    tokens: Mutex<Tokens>,
}

#[derive(Debug, Default)]
struct Tokens {
    by_digest: HashMap<Digest, Token>,
    by_call: HashMap<CallId, Digest>,
    by_expiry: BTreeSet<(Timestamp, CallId)>,
}

impl Lent {
    /// A token is lent from here on.
    pub fn lend(&self, secret: &Secret, token: Token, now: Timestamp) {
        let (digest, mut tokens) = (secret.digest(), self.tokens());
        while let Some((_, call)) = tokens.by_expiry.first().copied().filter(|(end, _)| *end <= now) {
            tokens.end(call);
        }
        tokens.by_expiry.insert((token.expires_at, token.call));
        tokens.by_call.insert(token.call, digest);
        tokens.by_digest.insert(digest, token);
    }

    /// The token of this call has ended, if there is one.
    pub fn end(&self, call: CallId) {
        self.tokens().end(call);
    }

    /// What is known of the token with this digest, if it was minted for this tool and has not ended.
    pub fn find(&self, digest: Digest, tool: &str, now: Timestamp) -> Option<Token> {
        let tokens = self.tokens();
        tokens.by_digest.get(&digest).filter(|token| *token.tool == *tool && now < token.expires_at).cloned()
    }

    fn tokens(&self) -> std::sync::MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What stands in a token of ours (RFC 7519 §4). Whether it is one has been looked up before.
pub fn claims(token: &Secret) -> Option<Map<String, Value>> {
    let payload = token.expose().split(|byte| *byte == b'.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

impl Tokens {
    fn end(&mut self, call: CallId) {
        let token = self.by_call.remove(&call).and_then(|digest| self.by_digest.remove(&digest));
        if let Some(token) = token {
            self.by_expiry.remove(&(token.expires_at, call));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_by_all_its_bytes_for_its_tool_until_it_ends() {
        let (lent, now) = (Lent::default(), Timestamp::from_millis(1_000));
        let later = |ms: i64| Timestamp::from_millis(1_000 + ms);
        let token =
            |number, expires_at| Token { call: CallId::new(now, [number; 10]), tool: "drive".into(), expires_at };
        let (first, second) = (token(1, later(10)), token(2, later(20)));
        lent.lend(&Secret::new("first"), first.clone(), now);
        lent.lend(&Secret::new("second"), second.clone(), now);
        let find = |text: &str, tool: &str, now| lent.find(Digest::of(text.as_bytes()), tool, now);
        assert_eq!(find("first", "drive", later(9)), Some(first.clone()));
        assert_eq!(find("first", "tracker", later(9)), None, "it is another tool's");
        assert_eq!(find("firsT", "drive", later(9)), None, "it was never minted");
        assert_eq!(find("first", "drive", later(10)), None, "its time is over");
        lent.end(second.call);
        assert_eq!(find("second", "drive", now), None, "it has ended");
        lent.lend(&Secret::new("third"), token(3, later(99)), later(10));
        let tokens = lent.tokens();
        assert_eq!(
            (tokens.by_digest.len(), tokens.by_call.len(), tokens.by_expiry.len()),
            (1, 1, 1),
            "what is over is forgotten"
        );
    }
}
