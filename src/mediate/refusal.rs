//! Why a call was not made, or has no answer: one union of what each step may say.
//!
//! What it displays is for the log and the record. What the agent reads is made from `code`, `detail` and `findings`.

use std::sync::Arc;

use super::Question;
use crate::forward::{self, Fault, Unclear, UpstreamError};
use crate::judge::{self, No};
use crate::memory::{Crowded, NotAgreed, NotGranted, Rate, TaskOver};
use crate::model::{ApprovalId, Code, Ending, Finding, Timestamp};
use crate::{identify, mint, record, understand};

/// A "no" from any step.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Step 1: who asks is not proven.
    #[error(transparent)]
    Identify(#[from] identify::Error),
    /// The task is over.
    #[error(transparent)]
    Task(#[from] TaskOver),
    /// A grant is not to be had.
    #[error(transparent)]
    NotGranted(#[from] NotGranted),
    /// It was judged that a grant is not to have what was asked for it.
    #[error("{}", named(.0))]
    NotAmended(Arc<[Finding]>),
    /// There is no room for more calls.
    #[error(transparent)]
    Crowded(#[from] Crowded),
    /// Step 2: it cannot be understood.
    #[error(transparent)]
    Understand(#[from] understand::Error),
    /// Step 2: its headers cannot be sent on as they are.
    #[error(transparent)]
    Headers(#[from] Unclear),
    /// Step 3: it was judged.
    #[error("{}", named(&.0.findings))]
    Judged(Box<No>),
    /// Step 3: somebody has to agree first.
    #[error("somebody has to agree first: {}", .0.id)]
    Asked(Box<Question>),
    /// Step 3: what it says somebody agreed to does not help it.
    #[error(transparent)]
    NotAgreed(#[from] NotAgreed),
    /// It could not be recorded.
    #[error(transparent)]
    Record(#[from] record::Unavailable),
    /// Step 4: there is no credential.
    #[error(transparent)]
    Mint(#[from] mint::Error),
    /// Step 5: there is no answer.
    #[error(transparent)]
    Forward(#[from] forward::Error),
    /// The agent hung up.
    #[error("the agent hung up")]
    Abandoned,
    /// It was permitted, and cut before anything was minted for it.
    #[error("the call was cut before anything was minted for it: {}", .0.name())]
    Cut(Ending),
    /// The request never became a call: framing, host, size, time. Refused at the door.
    #[error("{1}")]
    Door(Code, String),
}

/// A refusal on its way to the agent.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub why: Refusal,
    /// The task has taken in something untrusted: whoever wrote that may be reading, so the answer says no more than
    /// it must.
    pub terse: bool,
    /// How much is left of the agent's limits, where one of them is reached.
    pub rates: Vec<Rate>,
}

/// How much is left of an agent's limits for calls like the one answered, on the answer.
#[derive(Clone, Debug)]
pub struct Rates(pub Vec<Rate>);

impl From<Box<No>> for Refusal {
    fn from(no: Box<No>) -> Self {
        Self::Judged(no)
    }
}

impl Refusal {
    /// The one code it is answered with.
    pub fn code(&self) -> Code {
        match self {
            Self::Identify(_) => Code::CallerUnproven,
            Self::Task(_) | Self::Cut(_) => Code::TaskOver,
            Self::NotGranted(why) => match why {
                NotGranted::Over(_) => Code::TaskOver,
                NotGranted::Wider(_) | NotGranted::Values => Code::Denied,
                NotGranted::Long => Code::RequestUnclear,
            },
            Self::NotAmended(findings) => judge::speaker(findings).map_or(Code::Denied, |finding| finding.code),
            Self::Crowded(_) => Code::Overloaded,
            Self::Understand(error) => match error {
                understand::Error::Unclear(_) => Code::RequestUnclear,
                understand::Error::MethodUnknown => Code::MethodUnknown,
                understand::Error::ToolUnknown => Code::ToolUnknown,
                understand::Error::ActionUnknown => Code::ActionUnknown,
                understand::Error::TooLarge(_) => Code::TooLarge,
                understand::Error::TypeUnknown(_) => Code::TypeUnknown,
            },
            Self::Headers(_) => Code::RequestUnclear,
            Self::Judged(no) => no.first().map_or(Code::Denied, |finding| finding.code),
            Self::Asked(_) | Self::NotAgreed(NotAgreed::Waiting { .. }) => Code::NeedsApproval,
            Self::NotAgreed(NotAgreed::Denied | NotAgreed::Void) => Code::Denied,
            Self::Record(_) => Code::RecordUnavailable,
            Self::Mint(error) => match error {
                mint::Error::Overgrant { .. } => Code::IssuerOvergrant,
                mint::Error::Record(_) => Code::RecordUnavailable,
                mint::Error::Missing | mint::Error::Quarantined(_) | mint::Error::Issuer(_) | mint::Error::Late(_) => {
                    Code::IssuerUnavailable
                }
            },
            Self::Forward(error) => match error {
                forward::Error::Upstream(UpstreamError::Blocked(_)) => Code::EgressBlocked,
                forward::Error::Upstream(UpstreamError::Timeout(_)) | forward::Error::Late => Code::UpstreamTimeout,
                forward::Error::Upstream(
                    UpstreamError::Unreachable(_) | UpstreamError::Tls(_) | UpstreamError::Protocol(_),
                )
                | forward::Error::Encoded
                | forward::Error::Secret => Code::UpstreamFailed,
                forward::Error::Body(fault) => match fault {
                    Fault::Long => Code::TooLarge,
                    Fault::Slow => Code::TooSlow,
                    Fault::Broken => Code::RequestUnclear,
                },
                forward::Error::Abandoned => Code::Abandoned,
                forward::Error::Cut(_) => Code::TaskOver,
            },
            Self::Abandoned => Code::Abandoned,
            Self::Door(code, _) => *code,
        }
    }

    /// What the agent may read of it beyond the code's own words; never what an issuer, an upstream or a store said.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Understand(error) => Some(error.to_string()),
            Self::Headers(error) => Some(error.to_string()),
            Self::NotGranted(why) => match why {
                NotGranted::Over(_) => None,
                NotGranted::Wider(_) | NotGranted::Values | NotGranted::Long => Some(why.to_string()),
            },
            Self::Asked(question) => question.shown.as_ref().and_then(|(_, reason)| reason.clone()),
            Self::NotAgreed(error) => Some(error.to_string()),
            Self::Judged(_) | Self::NotAmended(_) => {
                let shown = judge::speaker(self.findings()).and_then(Finding::shown);
                shown.and_then(|(_, reason)| reason.map(str::to_owned))
            }
            Self::Door(_, detail) => Some(detail.clone()),
            Self::Identify(_)
            | Self::Task(_)
            | Self::Crowded(_)
            | Self::Record(_)
            | Self::Mint(_)
            | Self::Forward(_)
            | Self::Abandoned
            | Self::Cut(_) => None,
        }
    }

    /// Whether it may have come before the request's body was read to its end.
    pub const fn may_leave_body(&self) -> bool {
        match self {
            Self::Identify(_)
            | Self::Task(_)
            | Self::Crowded(_)
            | Self::Understand(_)
            | Self::Forward(_)
            | Self::Abandoned
            | Self::Door(..) => true,
            Self::Headers(_)
            | Self::Judged(_)
            | Self::NotGranted(_)
            | Self::NotAmended(_)
            | Self::Asked(_)
            | Self::NotAgreed(_)
            | Self::Record(_)
            | Self::Mint(_)
            | Self::Cut(_) => false,
        }
    }

    /// The rule that speaks for it.
    pub fn rule(&self) -> Option<&str> {
        if let Self::Asked(question) = self {
            return question.shown.as_ref().map(|(rule, _)| rule.as_str());
        }
        judge::speaker(self.findings()).and_then(Finding::shown).map(|(rule, _)| rule)
    }

    /// What was found against it, if it was judged.
    pub fn findings(&self) -> &[Finding] {
        if let Self::NotAmended(findings) = self {
            return findings;
        }
        self.judged().map_or(&[], |no| &no.findings)
    }

    /// The judgement of a call, if there was one.
    pub fn judged(&self) -> Option<&No> {
        match self {
            Self::Judged(no) => Some(no),
            Self::Asked(question) => question.no.as_ref(),
            Self::Identify(_)
            | Self::Task(_)
            | Self::NotGranted(_)
            | Self::NotAmended(_)
            | Self::Crowded(_)
            | Self::Understand(_)
            | Self::Headers(_)
            | Self::NotAgreed(_)
            | Self::Record(_)
            | Self::Mint(_)
            | Self::Forward(_)
            | Self::Cut(_)
            | Self::Abandoned
            | Self::Door(..) => None,
        }
    }

    /// Whether it stands in the lineage already, or whoever writes that alone knows whether it does.
    pub fn is_recorded(&self) -> bool {
        match self {
            Self::Asked(question) => question.recorded,
            Self::Record(unavailable) => matches!(unavailable, record::Unavailable::Late(_)),
            Self::Identify(_)
            | Self::Task(_)
            | Self::NotGranted(_)
            | Self::NotAmended(_)
            | Self::Crowded(_)
            | Self::Understand(_)
            | Self::Headers(_)
            | Self::Judged(_)
            | Self::NotAgreed(_)
            | Self::Mint(_)
            | Self::Cut(_)
            | Self::Forward(_)
            | Self::Abandoned
            | Self::Door(..) => false,
        }
    }

    /// The question that waits for an answer, and when it is over by itself.
    pub fn question(&self) -> Option<(ApprovalId, Timestamp)> {
        match self {
            Self::Asked(question) => Some((question.id, question.expires_at)),
            Self::NotAgreed(NotAgreed::Waiting { id, expires_at }) => Some((*id, *expires_at)),
            Self::NotAgreed(NotAgreed::Denied | NotAgreed::Void)
            | Self::Identify(_)
            | Self::Task(_)
            | Self::NotGranted(_)
            | Self::NotAmended(_)
            | Self::Crowded(_)
            | Self::Understand(_)
            | Self::Headers(_)
            | Self::Judged(_)
            | Self::Record(_)
            | Self::Mint(_)
            | Self::Forward(_)
            | Self::Abandoned
            | Self::Cut(_)
            | Self::Door(..) => None,
        }
    }
}

fn named(findings: &[Finding]) -> String {
    let name = |finding: &Finding| format!("{} ({})", finding.rule, finding.code);
    findings.iter().map(name).collect::<Vec<_>>().join(", ")
}
