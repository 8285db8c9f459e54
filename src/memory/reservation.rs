//! What a call would use, held for it until it is permitted and recorded, or refused.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::agreements::Agreements;
use super::baselines::InForce;
use super::course::{self, InCourse};
use super::limits::{Limits, Taken};
use super::live::Snapshot;
use super::slot::Slot;
use super::standing::Standing;
use super::tasks::{Claim, TaskOver};
use super::under_way::UnderWay;
use super::{Agreed, CallUnderWay, Place};
use crate::model::{ApprovalFacts, Call, Facts, Key, Made, Timestamp, Used};

/// What a call would use, held for it until it is permitted and recorded, or refused.
#[derive(Debug)]
pub struct Reservation {
    pub(super) claim: Claim,
    pub(super) taken: Vec<Taken>,
    pub(super) limits: Arc<Limits>,
    pub(super) standing: Arc<Standing>,
    pub(super) under_way: Arc<UnderWay>,
    pub(super) vouching: (Vouching, Duration),
    pub(super) habits: Habits,
    pub(super) agreed: Option<Agreed>,
    pub(super) place: Option<Place>,
}

/// Who vouches for values besides the task: a directory, and whoever has agreed to them before.
#[derive(Debug)]
pub(super) struct Vouching {
    pub(super) directory: Option<Arc<HashSet<Key>>>,
    pub(super) agreements: Arc<Agreements>,
    pub(super) baseline: Option<Arc<InForce>>,
}

/// What a call will show of its agent's habits.
#[derive(Debug)]
pub(super) struct Habits {
    pub(super) place: InCourse,
    pub(super) source: String,
    pub(super) used: Vec<Used>,
}

impl Habits {
    pub(super) fn of(call: &Call, place: InCourse) -> Self {
        Self { place, source: call.caller.workload.source(), used: course::used(call) }
    }

    pub(super) fn made<'a>(&'a self, call: &'a Call) -> Made<'a> {
        course::made(call, (&self.source, &self.place), &self.used)
    }
}

impl Reservation {
    /// The call is permitted and recorded: what was held is used. The slot is held until the call is over. `as_usual`: it
    /// would have been permitted in any mode.
    pub fn spend(mut self, call: &Call, facts: impl Into<Arc<Facts>>, as_usual: bool) -> Slot {
        let facts = facts.into();
        self.taken.clear();
        let words = course::words(call, &facts, &self.vouching.0.agreements);
        let clean = course::is_clean(&facts, as_usual);
        if let Some(agreed) = self.agreed.take() {
            let (vouching, remember) = &self.vouching;
            vouching.agreements.keep(call, &facts.values, *remember);
            agreed.spend();
        }
        let over = self.under_way.enter(CallUnderWay::of(call, facts));
        // It is in the list of what a quarantine cuts before this is looked at, so one of the two finds it.
        if self.standing.look().is_quarantined(&call.caller.agent) {
            over.cut();
        }
        self.claim.spend((&self.habits.made(call), &words, clean), self.place.take(), over)
    }

    /// The facts of a call that has waited, as they are by now, with what was agreed to. Fails if its task is over.
    pub fn again(&self, call: &Call, before: Facts, approval: ApprovalFacts) -> Result<Facts, TaskOver> {
        let now = call.received_at;
        let snapshot = self.claim.again(now)?;
        let agent = self.standing.of(&call.caller.agent, now);
        let values = self.claim.weigh(call, &self.vouching.0);
        let Snapshot { task, chain, labels, .. } = snapshot;
        Ok(Facts { task, chain, labels, values, agent, approval, time: super::time(now), ..before })
    }

    /// With what somebody has agreed to: it is used with the rest.
    pub fn agreed(mut self, agreed: Agreed) -> Self {
        self.agreed = Some(agreed);
        self
    }

    /// The call's place is held until the call is over.
    pub fn keeping(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// How long until the task is over by itself.
    pub fn task_left(&self, now: Timestamp) -> Option<Duration> {
        self.claim.expires_at().map(|end| end.since(now))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.limits.give_back(&self.taken);
    }
}
