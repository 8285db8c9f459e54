//! The words for "no": one stable code each, with the status it is answered with (`docs/refusals.md`).

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a call was refused, as an agent and a record read it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Code {
    /// Framing, target, header or body is malformed, or can be read in more than one way.
    RequestUnclear,
    /// No agent's proofs match, or more than one's.
    CallerUnproven,
    /// A rule says no, or none says yes.
    Denied,
    /// A reviewer has stopped the agent.
    Quarantined,
    /// Somebody has to agree first.
    NeedsApproval,
    /// The upstream's address is one this tool may not reach.
    EgressBlocked,
    /// The first segment of the path names no tool of this agent.
    ToolUnknown,
    /// No action of the tool's catalog matches.
    ActionUnknown,
    /// The method is none that tools are called with.
    MethodUnknown,
    /// The request took too long to arrive.
    TooSlow,
    /// The task has ended, has expired, or is not this agent's.
    TaskOver,
    /// The body is larger than the tool allows.
    TooLarge,
    /// The body's type is not one the catalog can read.
    TypeUnknown,
    /// The request names a host that is not this door's.
    WrongHost,
    /// The action wants a declared intent.
    IntentMissing,
    /// The call does something else than was declared.
    IntentMismatch,
    /// A limit is reached.
    LimitReached,
    /// A limit of the chain of calls is reached.
    ChainLimitReached,
    /// The upstream did not answer properly.
    UpstreamFailed,
    /// The upstream took too long.
    UpstreamTimeout,
    /// The record could not be made durable in time.
    RecordUnavailable,
    /// The issuer gave no credential.
    IssuerUnavailable,
    /// The issuer gave more than was asked for.
    IssuerOvergrant,
    /// More is under way than the sidecar can hold, or than one agent's share of it.
    Overloaded,
    /// The sidecar is stopping.
    Draining,
    /// The sidecar itself failed in this call.
    Internal,
    /// The agent hung up before there was an answer. Never sent; only recorded.
    Abandoned,
}

/// A verdict's kind. What is further down wins over what is above it; `unavailable` is nobody's verdict.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It may be made.
    Allow,
    /// It may once somebody agrees.
    Ask,
    /// Asking again later will help.
    Throttle,
    /// Asking again will not.
    Deny,
    /// Nobody decided: something that is needed is away.
    Unavailable,
}

impl Code {
    /// Every code, in the order of the documentation.
    pub const ALL: [Self; 27] = [
        Self::RequestUnclear,
        Self::CallerUnproven,
        Self::Denied,
        Self::Quarantined,
        Self::NeedsApproval,
        Self::EgressBlocked,
        Self::ToolUnknown,
        Self::ActionUnknown,
        Self::MethodUnknown,
        Self::TooSlow,
        Self::TaskOver,
        Self::TooLarge,
        Self::TypeUnknown,
        Self::WrongHost,
        Self::IntentMissing,
        Self::IntentMismatch,
        Self::LimitReached,
        Self::ChainLimitReached,
        Self::UpstreamFailed,
        Self::UpstreamTimeout,
        Self::RecordUnavailable,
        Self::IssuerUnavailable,
        Self::IssuerOvergrant,
        Self::Overloaded,
        Self::Draining,
        Self::Internal,
        Self::Abandoned,
    ];

    /// The codes a rule may carry as `@code("…")`.
    pub const FOR_RULES: [Self; 6] = [
        Self::Denied,
        Self::Quarantined,
        Self::IntentMissing,
        Self::IntentMismatch,
        Self::LimitReached,
        Self::ChainLimitReached,
    ];

    /// As answers, records and policies spell it.
    pub const fn name(self) -> &'static str {
        self.entry().0
    }

    /// The HTTP status it is answered with.
    pub const fn status(self) -> u16 {
        self.entry().1
    }

    /// One line that a person can read.
    pub const fn title(self) -> &'static str {
        self.entry().2
    }

    /// What to do about it, for the page under `type`.
    pub const fn help(self) -> &'static str {
        self.entry().3
    }

    /// Whether this is a no, a not yet, or nobody's decision.
    pub const fn decision(self) -> Decision {
        match self {
            Self::NeedsApproval => Decision::Ask,
            Self::LimitReached | Self::ChainLimitReached => Decision::Throttle,
            Self::UpstreamFailed
            | Self::UpstreamTimeout
            | Self::RecordUnavailable
            | Self::IssuerUnavailable
            | Self::IssuerOvergrant
            | Self::Overloaded
            | Self::Draining
            | Self::Internal => Decision::Unavailable,
            Self::RequestUnclear
            | Self::CallerUnproven
            | Self::Denied
            | Self::Quarantined
            | Self::EgressBlocked
            | Self::ToolUnknown
            | Self::ActionUnknown
            | Self::MethodUnknown
            | Self::TooSlow
            | Self::TaskOver
            | Self::TooLarge
            | Self::TypeUnknown
            | Self::WrongHost
            | Self::IntentMissing
            | Self::IntentMismatch
            | Self::Abandoned => Decision::Deny,
        }
    }

    /// The code with this spelling.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }

    #[expect(clippy::too_many_lines, reason = "a table, one entry a code")]
    const fn entry(self) -> (&'static str, u16, &'static str, &'static str) {
        match self {
            Self::RequestUnclear => (
                "request_unclear",
                400,
                "the request cannot be read in exactly one way",
                "Mend what `detail` names. A path is plain: no `..`, `//`, encoded slashes or needless percent-encoding. JSON has no duplicate keys, and where it is for the door no unknown ones. Each header stands once, `Agent-Intent` as `action=\"…\", resource=\"…\", purpose=\"…\"`, `Authorization` as `Bearer TOKEN`.",
            ),
            Self::CallerUnproven => (
                "caller_unproven",
                401,
                "nobody could prove who is asking",
                "Call from the process the agent's `identify` names, or send its token as `Authorization: Bearer`. Exactly one agent must match.",
            ),
            Self::Denied => (
                "denied",
                403,
                "a rule says no, or none says yes",
                "Ask whoever writes the policies; `rule` names the rule. Sending the same call again gives the same answer.",
            ),
            Self::Quarantined => (
                "quarantined",
                403,
                "a reviewer has stopped this agent",
                "Nothing an agent can do: a reviewer looks at it, and releases it.",
            ),
            Self::NeedsApproval => (
                "needs_approval",
                428,
                "somebody has to agree to this call first",
                "Wait until `approval.url` says so, then POST to it with `/resume` behind it: the very call that was kept is made.",
            ),
            Self::EgressBlocked => (
                "egress_blocked",
                403,
                "the upstream's address is not one this tool may reach",
                "An operator lists non-public addresses under the tool's `networks`.",
            ),
            Self::ToolUnknown => (
                "tool_unknown",
                404,
                "no such tool for this agent",
                "The first segment of the path is a tool's name, and the agent's `tools` must list it.",
            ),
            Self::ActionUnknown => (
                "action_unknown",
                404,
                "the tool's catalog knows no such action",
                "Add the method and path to the tool's catalog, with what it does.",
            ),
            Self::MethodUnknown => (
                "method_unknown",
                405,
                "no tool is called with this method",
                "Use GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS, in capitals.",
            ),
            Self::TooSlow => ("too_slow", 408, "the request took too long to arrive", "Send the request in one go."),
            Self::TaskOver => (
                "task_over",
                409,
                "the task is over, or not this agent's",
                "Open a new task, or call without `Agent-Task`.",
            ),
            Self::TooLarge => (
                "too_large",
                413,
                "the body is larger than the tool allows",
                "Send less, or have an operator raise the tool's `max_body`.",
            ),
            Self::TypeUnknown => (
                "type_unknown",
                415,
                "the body's type cannot be read",
                "Send `Content-Type: application/json`; the catalog reads values from this body.",
            ),
            Self::WrongHost => (
                "wrong_host",
                421,
                "the request names another host",
                "Address the door by the name it listens on, or have an operator add the name to `listen.hosts`.",
            ),
            Self::IntentMissing => (
                "intent_missing",
                422,
                "this action wants a declared intent",
                "Send `Agent-Intent: action=\"…\", resource=\"…\", purpose=\"…\"`, or call in a task whose grant names the action. Actions are called as in the tool's catalog, which an operator has; `countersign lineage list` names the one that this call took.",
            ),
            Self::IntentMismatch => (
                "intent_mismatch",
                422,
                "the call does something else than was declared",
                "Declare the action and the resource that the call really takes. Actions are called as in the tool's catalog, which an operator has; `countersign lineage list` names the one that this call took.",
            ),
            Self::LimitReached => {
                ("limit_reached", 429, "a limit is reached", "Wait for as long as `Retry-After` says.")
            }
            Self::ChainLimitReached => (
                "chain_limit_reached",
                429,
                "this chain of calls has reached a limit",
                "Stop, and start a new task if there is a reason for one.",
            ),
            Self::UpstreamFailed => (
                "upstream_failed",
                502,
                "the tool did not answer properly",
                "Try again; if it stays, an operator looks at the call's record.",
            ),
            Self::UpstreamTimeout => (
                "upstream_timeout",
                504,
                "the tool took too long",
                "The call may have been carried out. Look before you send it again.",
            ),
            Self::RecordUnavailable => (
                "record_unavailable",
                503,
                "the call could not be recorded, so it was not made",
                "Try again; an operator looks at the disk under `lineage.path`.",
            ),
            Self::IssuerUnavailable => (
                "issuer_unavailable",
                503,
                "no credential could be had for this call",
                "Try again; an operator looks at the tool's issuer.",
            ),
            Self::IssuerOvergrant => (
                "issuer_overgrant",
                503,
                "the issuer gave more than was asked for",
                "The credential was ended unused; an operator narrows the issuer.",
            ),
            Self::Overloaded => (
                "overloaded",
                503,
                "more is under way than there is room for",
                "Try again when some of your calls under way are over; send fewer or smaller ones at a time.",
            ),
            Self::Draining => ("draining", 503, "the sidecar is stopping", "Try again in a moment."),
            Self::Internal => (
                "internal",
                500,
                "the sidecar failed in this call",
                "The call may have been carried out. Look before you send it again; an operator looks at the log.",
            ),
            Self::Abandoned => (
                "abandoned",
                499,
                "the agent hung up before there was an answer",
                "Nothing to do: this stands only in records.",
            ),
        }
    }
}

impl Decision {
    /// As answers and records spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Ask => "ask",
            Self::Deny => "deny",
            Self::Throttle => "throttle",
            Self::Unavailable => "unavailable",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
