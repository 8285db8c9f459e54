//! One question: what it is about, and how far it has come.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;

use super::super::Reservation;
use super::{NotAgreed, NotTaken};
use crate::model::{About, ApprovalFacts, Ask, Call, Digest, Facts, Timestamp};

/// Headers that say nothing of what a call does: an answer holds whatever they are.
const PASSING: [&str; 4] = ["traceparent", "tracestate", "user-agent", "x-request-id"];

/// The call that a question is about, with all that is held for it.
#[derive(Debug)]
pub struct Kept {
    /// The bytes that were judged.
    pub call: Box<Call>,
    /// The facts they were judged by.
    pub facts: Facts,
    /// What is held.
    pub reservation: Reservation,
}

/// A reviewer, as far as questions are about one.
#[derive(Clone, Copy, Debug)]
pub struct Reviewing<'a> {
    /// The name.
    pub name: &'a str,
    /// What rules may call them, beside their name.
    pub roles: &'a BTreeSet<String>,
}

/// Where a question stands.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Stands {
    /// It waits, for those who are asked by these rules.
    Waiting {
        /// The rules that nobody has answered yet.
        open: BTreeSet<String>,
    },
    /// All who had to have agreed.
    Approved {
        /// Until when it may be used.
        until: Timestamp,
    },
    /// Somebody said no.
    Denied,
    /// The call was made.
    Used,
    /// Nobody said anything in time.
    Expired,
    /// It was taken back.
    Cancelled,
}

/// A question as it is shown.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// What it is about.
    #[serde(flatten)]
    pub about: Arc<About>,
    /// Where it stands.
    #[serde(flatten)]
    pub standing: Stands,
}

/// How far a question has come.
#[derive(Debug)]
pub(super) enum State {
    /// Some rules may be answered already, by these reviewers.
    Waiting(BTreeMap<String, String>),
    /// All are.
    Approved(Timestamp),
    /// A call has taken it, and may still give it back.
    Claimed(Timestamp),
    /// A call was made by it.
    Used,
    /// There is nothing to come.
    Over(Stands),
}

#[derive(Debug)]
pub(super) struct Question {
    pub(super) about: Arc<About>,
    pub(super) state: State,
    pub(super) kept: Option<Box<Kept>>,
    pub(super) posted: bool,
    pub(super) told: watch::Sender<Stands>,
}

impl Question {
    pub(super) fn new(about: Arc<About>) -> Self {
        let open = about.rules.keys().cloned().collect();
        Self {
            about,
            state: State::Waiting(BTreeMap::new()),
            kept: None,
            posted: false,
            told: watch::Sender::new(Stands::Waiting { open }),
        }
    }

    pub(super) fn waits(&self, now: Timestamp) -> bool {
        self.posted && matches!(self.state, State::Waiting(_)) && now < self.about.expires_at
    }

    /// Whether its time, or that of its yes, has run out.
    pub(super) fn is_late(&self, now: Timestamp) -> bool {
        match self.state {
            State::Waiting(_) => self.about.expires_at <= now,
            State::Approved(until) => until <= now,
            State::Claimed(_) | State::Used | State::Over(_) => false,
        }
    }

    pub(super) fn shown(&self, now: Timestamp) -> Shown {
        Shown { about: self.about.clone(), standing: self.standing(now) }
    }

    fn standing(&self, now: Timestamp) -> Stands {
        match &self.state {
            State::Waiting(_) if now >= self.about.expires_at => Stands::Expired,
            State::Approved(until) if now >= *until => Stands::Expired,
            State::Waiting(answered) => Stands::Waiting { open: self.open(answered) },
            State::Approved(until) | State::Claimed(until) => Stands::Approved { until: *until },
            State::Used => Stands::Used,
            State::Over(standing) => standing.clone(),
        }
    }

    fn open(&self, answered: &BTreeMap<String, String>) -> BTreeSet<String> {
        self.about.rules.keys().filter(|rule| !answered.contains_key(*rule)).cloned().collect()
    }

    /// What an answer comes to. A yes is one to every rule that asks this reviewer; a no ends it, whoever else is asked.
    pub(super) fn answered(
        &self,
        by: &Reviewing<'_>,
        yes: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Stands, NotTaken> {
        let State::Waiting(answered) = &self.state else { return Err(NotTaken::Over) };
        if now >= self.about.expires_at {
            return Err(NotTaken::Over);
        }
        if self.about.on_behalf_of.as_deref() == Some(by.name) {
            return Err(NotTaken::Own);
        }
        let mut open = self.open(answered);
        let before = open.len();
        open.retain(|rule| !self.about.rules.get(rule).is_some_and(|asking| by.is(&asking.who)));
        match (open.len() < before, yes) {
            (false, _) => Err(NotTaken::NotAsked),
            (true, None) => Ok(Stands::Denied),
            (true, Some(until)) if open.is_empty() => Ok(Stands::Approved { until }),
            (true, Some(_)) => Ok(Stands::Waiting { open }),
        }
    }

    /// Gives an answer. What was kept for it comes back if it is of no more use.
    pub(super) fn give(&mut self, by: &Reviewing<'_>, standing: Stands) -> Option<Box<Kept>> {
        match &standing {
            Stands::Waiting { open } => {
                if let State::Waiting(answered) = &mut self.state {
                    let now_answered = self.about.rules.keys().filter(|rule| !open.contains(*rule));
                    for rule in now_answered {
                        answered.entry(rule.clone()).or_insert_with(|| by.name.to_owned());
                    }
                }
                self.told.send_replace(standing);
                None
            }
            Stands::Approved { until } => {
                self.state = State::Approved(*until);
                self.told.send_replace(standing);
                None
            }
            Stands::Denied | Stands::Used | Stands::Expired | Stands::Cancelled => self.end(standing),
        }
    }

    /// Ends it, unless it has ended or is being used.
    pub(super) fn end(&mut self, standing: Stands) -> Option<Box<Kept>> {
        match self.state {
            State::Waiting(_) | State::Approved(_) => {
                self.state = State::Over(standing.clone());
                self.told.send_replace(standing);
                self.kept.take()
            }
            State::Claimed(_) | State::Used | State::Over(_) => None,
        }
    }

    pub(super) fn may_be_used(&self, now: Timestamp) -> Result<(), NotAgreed> {
        let About { id, expires_at, .. } = *self.about;
        match &self.state {
            State::Waiting(_) if self.waits(now) => Err(NotAgreed::Waiting { id, expires_at }),
            State::Approved(until) if now < *until => Ok(()),
            State::Over(Stands::Denied) => Err(NotAgreed::Denied),
            State::Waiting(_) | State::Approved(_) | State::Claimed(_) | State::Used | State::Over(_) => {
                Err(NotAgreed::Void)
            }
        }
    }

    /// A call takes the yes.
    pub(super) fn claim(&mut self) -> ApprovalFacts {
        if let State::Approved(until) = self.state {
            self.state = State::Claimed(until);
        }
        ApprovalFacts { rules: self.about.rules.iter().map(|(rule, asking)| (rule.clone(), asking.rule)).collect() }
    }

    /// The call was not made. What is still kept, or is sent again, may be.
    pub(super) fn unclaim(&mut self) {
        if let State::Claimed(until) = self.state {
            self.state = State::Approved(until);
        }
    }

    pub(super) fn tell(&mut self, state: State) {
        self.state = state;
        self.told.send_replace(Stands::Used);
    }
}

impl Reviewing<'_> {
    /// Whether a rule that asks `who` asks this one.
    pub fn is(&self, who: &str) -> bool {
        who == Ask::ANYBODY || who == self.name || self.roles.contains(who)
    }
}

/// Digest over parts, each behind its length: no two lists of parts come to the same bytes.
pub fn bound(parts: &[&[u8]]) -> Digest {
    let bytes: Vec<u8> =
        parts.iter().flat_map(|part| [&(part.len() as u64).to_be_bytes()[..], part].concat()).collect();
    Digest::of(&bytes)
}

/// Digest of all that an answer to a call is bound to: who asks, where it goes, and every byte of it that matters there.
/// Nothing, if its body was not read.
pub fn bound_of(call: &Call) -> Option<Digest> {
    let content = call.content.digest()?;
    let mut parts: Vec<Vec<u8>> = vec![
        call.caller.agent.as_str().into(),
        call.tool.name.as_bytes().into(),
        call.tool.origin().into_bytes(),
        call.tool.base_path.clone().into_bytes(),
        call.method.as_str().into(),
        call.target.clone().into_bytes(),
        content.0.into(),
    ];
    let mut headers: Vec<(&str, &[u8])> = call
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .filter(|(name, _)| !PASSING.contains(name))
        .collect();
    headers.sort_unstable();
    parts.extend(headers.into_iter().flat_map(|(name, value)| [name.into(), value.into()]));
    Some(bound(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>()))
}
