//! Ends credentials: at once, then again and again until it is confirmed or their time has run out. What may still
//! live is quarantined: its issuer lends nothing until it must be dead.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime;
use tokio::sync::{oneshot, watch};

use super::{Debt, State};
use crate::mint::{Issuer, IssuerError, Issuers};
use crate::model::{BoxFuture, CallId, Ending, Handle, Outcome, Revocation, Timestamp};
use crate::record::{Event, HandleNote, Limbo, OpenCall, Rail, Record, Sealer, Settled};

/// Waits before the second, third … try, while the call's record waits for the outcome.
const AT_ONCE: [Duration; 3] = [Duration::ZERO, Duration::from_millis(200), Duration::from_millis(800)];

/// How long one try may take.
const TRY: Duration = Duration::from_secs(5);

/// The longest wait between later tries.
const SLOWEST: Duration = Duration::from_secs(60);

/// How long an issuer is quarantined whose credential has no end of its own.
const STANDING: Duration = Duration::from_secs(24 * 3600);

/// Brings about the endings that calls leave behind, on its own runtime so that they outlive the call's.
pub struct Reaper {
    runtime: runtime::Handle,
    quarantine: Mutex<BTreeMap<String, Timestamp>>,
    under_way: watch::Sender<usize>,
}

impl Reaper {
    /// Works on `runtime`.
    pub fn new(runtime: runtime::Handle) -> Arc<Self> {
        Arc::new(Self { runtime, quarantine: Mutex::default(), under_way: watch::Sender::new(0) })
    }

    /// Until when an issuer lends nothing, if a credential of it may live that should not.
    pub fn quarantined(&self, issuer: &str, now: Timestamp) -> Option<Timestamp> {
        let mut quarantine = self.quarantine.lock().unwrap_or_else(PoisonError::into_inner);
        let until = *quarantine.get(issuer)?;
        if until > now {
            return Some(until);
        }
        quarantine.remove(issuer);
        None
    }

    /// Waits until every ending is brought about, or `patience` is over. True if none is left.
    pub async fn idle(&self, patience: Duration) -> bool {
        let mut under_way = self.under_way.subscribe();
        tokio::time::timeout(patience, under_way.wait_for(|count| *count == 0)).await.is_ok()
    }

    /// Ends every call that the last run left open, as far as each can be ended, and goes on with what it left unsettled.
    pub fn sweep(self: &Arc<Self>, limbo: Limbo, issuers: &Issuers, sealer: &Sealer, rail: &Arc<Rail>) {
        let left = limbo.calls.len();
        for open in limbo.calls {
            let state = known_state(&open, sealer);
            let reopened = rail.reopen(&open);
            match issuers.get(&open.plan.issuer) {
                Some(issuer) => {
                    let debt = Debt { open: reopened, issuer: issuer.clone(), plan: open.plan, state };
                    self.clone().end(debt, unknown("the sidecar stopped while the call was under way".to_owned()));
                }
                None => {
                    self.put_in_quarantine(&open.plan.issuer, open.plan.expires_at, rail.now());
                    reopened.end(unknown(format!("the issuer `{}` is no longer configured", open.plan.issuer)));
                }
            }
        }
        for open in limbo.unsettled {
            let Some(issuer) = issuers.get(&open.plan.issuer).cloned() else { continue };
            let handle = match known_state(&open, sealer) {
                State::Held(handle) => Some(handle),
                State::Perhaps | State::Absent | State::Ending(_) => named(&open.plan.handle),
            };
            self.put_in_quarantine(&open.plan.issuer, open.plan.expires_at, rail.now());
            let unsettled = Unsettled {
                call: open.call,
                issuer_name: open.plan.issuer,
                issuer,
                handle,
                expires_at: open.plan.expires_at,
            };
            self.spawn(Box::pin(self.clone().settle(unsettled, rail.clone())));
        }
        if left > 0 {
            tracing::warn!(calls = left, "calls of the last run were left open; their endings are being brought about");
        }
    }

    /// Starts to end a credential whose call goes on without it; once.
    pub(super) fn end_credential(self: &Arc<Self>, debt: &mut Debt) {
        if !debt.issuer.can_revoke() || !matches!(debt.state, State::Held(_)) {
            return;
        }
        let State::Held(handle) = std::mem::replace(&mut debt.state, State::Absent) else { return };
        let (tell, told) = oneshot::channel();
        debt.state = State::Ending(told);
        let (reaper, issuer, rail) = (self.clone(), debt.issuer.clone(), debt.open.rail().clone());
        let unsettled = Unsettled {
            call: debt.open.call(),
            issuer_name: debt.plan.issuer.clone(),
            issuer,
            handle: Some(handle),
            expires_at: debt.plan.expires_at,
        };
        self.spawn(Box::pin(async move {
            let revocation = unsettled.try_at_once(&rail).await;
            // The call's ending waits for this and records it. What is not settled goes on behind it.
            let _ = tell.send(revocation);
            reaper.after(revocation, unsettled, rail);
        }));
    }

    /// Brings about the ending of a call and of its credential, and records both.
    pub(super) fn end(self: Arc<Self>, mut debt: Debt, outcome: Outcome) {
        let can_revoke = debt.issuer.can_revoke();
        match (debt.state, can_revoke) {
            (State::Absent, _) => {
                debt.open.not_minted();
                debt.open.end(outcome);
            }
            (State::Held(Handle::Nothing), false) => {
                debt.open.settled(Revocation::NotNeeded);
                debt.open.end(outcome);
            }
            (State::Perhaps | State::Held(_) | State::Ending(_), false) => {
                debt.open.settled(Revocation::Unsupported);
                debt.open.end(outcome);
            }
            (State::Ending(told), true) => self.clone().spawn(Box::pin(async move {
                debt.open.settled(told.await.unwrap_or(Revocation::Failed));
                debt.open.end(outcome);
            })),
            (state @ (State::Perhaps | State::Held(_)), true) => {
                let handle = match state {
                    State::Held(handle) => Some(handle),
                    State::Perhaps | State::Absent | State::Ending(_) => named(&debt.plan.handle),
                };
                let rail = debt.open.rail().clone();
                let unsettled = Unsettled {
                    call: debt.open.call(),
                    issuer_name: debt.plan.issuer,
                    issuer: debt.issuer,
                    handle,
                    expires_at: debt.plan.expires_at,
                };
                self.clone().spawn(Box::pin(async move {
                    let revocation = unsettled.try_at_once(&rail).await;
                    debt.open.settled(revocation);
                    debt.open.end(outcome);
                    self.after(revocation, unsettled, rail);
                }));
            }
        }
    }

    fn after(self: Arc<Self>, revocation: Revocation, unsettled: Unsettled, rail: Arc<Rail>) {
        if revocation.is_settled() {
            return;
        }
        self.put_in_quarantine(&unsettled.issuer_name, unsettled.expires_at, rail.now());
        // Later tries may take as long as the credential lives: nobody waits for them, not even the shutdown.
        self.runtime.spawn(self.clone().settle(unsettled, rail));
    }

    async fn settle(self: Arc<Self>, unsettled: Unsettled, rail: Arc<Rail>) {
        let mut wait = Duration::from_secs(1);
        let revocation = loop {
            if unsettled.expires_at.is_some_and(|end| end <= rail.now()) {
                break Revocation::Expired;
            }
            if unsettled.try_once().await {
                break Revocation::Confirmed;
            }
            let left = unsettled.expires_at.map_or(SLOWEST, |end| end.since(rail.now()));
            tokio::time::sleep(wait.min(left)).await;
            wait = wait.saturating_mul(2).min(SLOWEST);
        };
        let issuer = unsettled.issuer_name;
        tracing::info!(call.id = %unsettled.call, issuer, revocation = revocation.name(), "an unsettled credential has ended");
        let event = Event::Settled(Settled { issuer, revocation });
        rail.note(Record { at: rail.now(), call: Some(unsettled.call), task: None, event, private: BTreeMap::new() });
    }

    fn put_in_quarantine(&self, issuer: &str, expires_at: Option<Timestamp>, now: Timestamp) {
        let until = expires_at.unwrap_or_else(|| now.after(STANDING));
        let mut quarantine = self.quarantine.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = quarantine.entry(issuer.to_owned()).or_insert(until);
        *entry = until.max(*entry);
        tracing::error!(issuer, until = %until, "a credential may live that should not: its issuer is quarantined");
    }

    fn spawn(self: &Arc<Self>, job: BoxFuture<'static, ()>) {
        self.under_way.send_modify(|count| *count = count.saturating_add(1));
        let done = Done(self.clone());
        self.runtime.spawn(async move {
            job.await;
            drop(done);
        });
    }
}

/// Counts a job out, however it ends.
struct Done(Arc<Reaper>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.under_way.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// A credential that is to be ended; without a handle its name was never learned.
struct Unsettled {
    call: CallId,
    issuer_name: String,
    issuer: Arc<dyn Issuer>,
    handle: Option<Handle>,
    expires_at: Option<Timestamp>,
}

impl Unsettled {
    async fn try_at_once(&self, rail: &Rail) -> Revocation {
        if self.handle.is_none() {
            return Revocation::Unknown;
        }
        for wait in AT_ONCE {
            tokio::time::sleep(wait).await;
            if self.expires_at.is_some_and(|end| end <= rail.now()) {
                return Revocation::Expired;
            }
            if self.try_once().await {
                return Revocation::Confirmed;
            }
        }
        Revocation::Failed
    }

    async fn try_once(&self) -> bool {
        let Some(handle) = &self.handle else { return false };
        let result = tokio::time::timeout(TRY, self.issuer.revoke(handle)).await;
        let result = result.unwrap_or_else(|_| Err(IssuerError::Unclear("it took too long".into())));
        if let Err(error) = &result {
            tracing::warn!(call.id = %self.call, issuer = self.issuer_name, %error, "a credential could not be ended");
        }
        result.is_ok()
    }
}

fn unknown(why: String) -> Outcome {
    Outcome { why: Some(why), ..Outcome::of(Ending::Unknown) }
}

fn named(note: &HandleNote) -> Option<Handle> {
    match note {
        HandleNote::Named(name) => Some(Handle::Named(name.clone())),
        HandleNote::Nothing | HandleNote::Sealed => None,
    }
}

/// What the lineage tells of a credential that the last run left behind.
fn known_state(open: &OpenCall, sealer: &Sealer) -> State {
    let learned = open.minted.as_ref().and_then(|(sealed, _)| sealer.open(sealed, open.call.as_bytes()).ok());
    match (&open.plan.handle, learned) {
        (_, Some(handle)) => State::Held(Handle::Sealed(handle)),
        (HandleNote::Named(name), None) => State::Held(Handle::Named(name.clone())),
        (HandleNote::Nothing, None) => State::Held(Handle::Nothing),
        (HandleNote::Sealed, None) => State::Perhaps,
    }
}
