//! What comes behind a request's head: a whole body, one that is still to come, or a connection to be tunnelled.

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::upgrade::OnUpgrade;

use super::Digest;

/// An error of a body, of whatever kind.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What comes behind a request's head.
#[derive(Debug)]
pub enum Payload {
    /// A body that was read whole: judged and sent as it is.
    Whole(Bytes),
    /// A body that nobody has read yet. It is read whole before the call is judged, unless its action lets it stream.
    Unread(BoxBody<Bytes, BoxError>),
    /// The agent's connection, once the tool has switched protocols.
    Tunnel(OnUpgrade),
}

/// How an action takes what comes behind its head, as catalogs spell it.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum BodyRule {
    /// Read whole before it is judged.
    #[default]
    Whole,
    /// Sent on as it comes: policies see `unread`, and what it was is recorded with the ending.
    Stream,
    /// A WebSocket (RFC 6455): the handshake is judged, the messages are not.
    Websocket,
}

/// What is known of a payload when its call is judged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Content {
    /// It was read whole.
    Whole {
        /// SHA-256 over all its bytes.
        digest: Digest,
        /// Its length in bytes.
        length: u64,
    },
    /// It passes by unread; what it was is recorded when the call ends.
    Unread,
}

impl Content {
    /// Digest and length of `body`.
    pub fn of(body: &[u8]) -> Self {
        Self::Whole { digest: Digest::of(body), length: body.len() as u64 }
    }

    /// SHA-256 over it, if it was read.
    pub const fn digest(&self) -> Option<Digest> {
        match self {
            Self::Whole { digest, .. } => Some(*digest),
            Self::Unread => None,
        }
    }

    /// Its length in bytes, if it was read.
    pub const fn length(&self) -> Option<u64> {
        match self {
            Self::Whole { length, .. } => Some(*length),
            Self::Unread => None,
        }
    }

    /// As policies and records name it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Whole { length: 0, .. } => "none",
            Self::Whole { .. } => "whole",
            Self::Unread => "unread",
        }
    }
}
