//! A call: first as it came in, then as it was understood.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{HeaderMap, Method};

use super::{Action, ApprovalId, CallId, Caller, Content, Digest, Evidence, Intent, Payload, Task, Timestamp, Tool};

/// A request as it arrived. Believed by nobody.
#[derive(Debug)]
pub struct Incoming {
    /// The id every answer carries, given on arrival.
    pub id: CallId,
    /// When its head had arrived; once its body is read, when that had.
    pub received_at: Timestamp,
    /// Who might be asking.
    pub evidence: Evidence,
    /// The digest of the token that names its task; its agent's implicit one, if there is none.
    pub task: Option<Digest>,
    /// How the door was called: `http` or `https`.
    pub door: http::uri::Scheme,
    /// What was sent.
    pub request: http::Request<Payload>,
}

/// A request as it was understood: what it says and what it does. The bytes judged are the bytes sent.
#[derive(Debug)]
pub struct Call {
    /// Its id.
    pub id: CallId,
    /// The task it belongs to; the agent's implicit one if it named none.
    pub task: Arc<Task>,
    /// The call it says it follows from.
    pub parent: Option<CallId>,
    /// What it says somebody has agreed to.
    pub approval: Option<ApprovalId>,
    /// Who asks, proven.
    pub caller: Caller,
    /// What it says it wants.
    pub intent: Arc<Intent>,
    /// What it really does.
    pub action: Arc<Action>,
    /// The tool it goes to.
    pub tool: Arc<Tool>,
    /// The method, as judged and as sent.
    pub method: Method,
    /// Path and query, as judged and as sent (RFC 9112 §3.2.1, origin-form, without the tool's name).
    pub target: String,
    /// The agent's headers; only those on an allow-list are sent on.
    pub headers: HeaderMap,
    /// What comes behind the head, as judged and as sent.
    pub payload: Payload,
    /// What was known of it when it was judged.
    pub content: Content,
    /// What the catalog asks the issuer to narrow the credential to, with this call's own values filled in.
    pub details: BTreeMap<String, serde_json::Value>,
    /// Scheme and authority as the agent addressed the door, which links in the answer are turned to; empty if it did
    /// not say.
    pub door: String,
    /// The agent sent a credential of its own along. It is not sent on; that it tried is recorded.
    pub brought_credential: bool,
    /// When it was read, its body included unless that streams.
    pub received_at: Timestamp,
}
