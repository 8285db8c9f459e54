//! Step 6: a credential ends with its call, whatever becomes of the call.

mod echo;
mod leased;
mod reaper;
mod tunnel;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

pub use self::echo::Echo;
pub use self::leased::{Leased, cut};
pub use self::reaper::Reaper;
pub use self::tunnel::Tunnel;
use crate::memory::Slot;
use crate::mint::Issuer;
use crate::model::{
    Call, Credential, Ending, Handle, Label, Lifetime, Outcome, Payload, Placement, Reading, Revocation, Scope, Secret,
    Tally,
};
use crate::record::{CredentialPlan, Open, Rail, Recorded};
use crate::telemetry::Span;

/// A credential lent to one call. It cannot be cloned; however it is dropped, the credential is ended and the ending
/// recorded.
pub struct Lease {
    call: Box<Call>,
    scope: Scope,
    slot: Slot,
    lent: Option<(Secret, Placement)>,
    live: Live,
}

impl Lease {
    /// Before the issuer is asked: from here on a credential may exist.
    pub fn begin(recorded: Recorded, issuer: Arc<dyn Issuer>, reaper: Arc<Reaper>) -> Self {
        let (call, scope, slot, plan, mut open) = recorded.into_parts();
        open.minting();
        let rail = open.rail().clone();
        let debt = Debt { open, issuer, plan, state: State::Perhaps };
        let live = Live {
            debt: Some(debt),
            outcome: Outcome::of(Ending::Abandoned),
            echo: None,
            span: Span::off(),
            rail,
            reaper,
        };
        Self { call, scope, slot, lent: None, live }
    }

    /// The call as it was judged.
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// What the credential may be.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The rail the call stands on.
    pub fn rail(&self) -> &Arc<Rail> {
        &self.live.rail
    }

    /// The issuer gave nothing, surely.
    pub fn not_minted(&mut self) {
        if let Some(debt) = &mut self.live.debt {
            debt.state = State::Absent;
            debt.open.not_minted();
        }
    }

    /// The issuer gave this.
    pub fn hold(&mut self, credential: Credential) {
        match (&mut self.live.debt, credential.handle) {
            (Some(debt), Handle::Nothing) => {
                debt.state = State::Absent;
                debt.open.not_minted();
            }
            (Some(debt), handle @ (Handle::Named(_) | Handle::Sealed(_))) => {
                debt.open.minted(credential.expires_at);
                debt.state = State::Held(handle);
            }
            (None, _) => {}
        }
        self.lent = Some((credential.secret, credential.placement));
    }

    /// The secret and where it goes, for the one place that applies it.
    pub fn lent(&self) -> Option<(&Secret, &Placement)> {
        self.lent.as_ref().map(|(secret, placement)| (secret, placement))
    }

    /// The call has failed; dropping the lease will say so.
    pub fn fail(&mut self, why: &dyn std::fmt::Display) {
        self.live.outcome.ending = Ending::Failed;
        self.live.outcome.why = Some(why.to_string());
    }

    /// The call was cut; dropping the lease will say so.
    pub fn cut(&mut self, ending: Ending) {
        self.live.outcome.ending = ending;
    }

    /// Where it is told how the call ends.
    pub fn traced(&mut self, span: Span) {
        self.live.span = span;
    }

    /// What comes behind the head, to be sent: once.
    pub fn take_payload(&mut self) -> Payload {
        std::mem::replace(&mut self.call.payload, Payload::Whole(Bytes::new()))
    }

    /// The payload streams: what passes is counted here, for the ending's record.
    pub fn sends(&mut self, tally: Tally) {
        self.live.outcome.sent = Some(tally);
    }

    /// A watch that tells by which ending the call is cut, once it is.
    pub fn over(&self) -> watch::Receiver<Option<Ending>> {
        self.slot.over()
    }

    /// The upstream's head has come: the task holds what it brings, and a credential that is checked once is ended.
    /// Gives what was lent, so that it can be found in what comes back.
    pub fn head_came(&mut self) -> Option<(Secret, Placement)> {
        let labels: &[Label] = &self.call.action.yields;
        self.slot.take_in(labels, self.live.rail.now());
        self.live.head_came();
        self.lent.take()
    }

    /// The whole answer has come, as the agent will get it.
    pub fn answer_came(&self, reading: Reading<'_>) {
        self.slot.learn(&self.call, reading);
    }

    /// Where it is told that the tool said the credential back: a credential that is still lent is ended then.
    pub fn echo(&mut self) -> Echo {
        self.live.echo.get_or_insert_default().clone()
    }

    fn into_owed(mut self) -> (Slot, Live) {
        drop(self.head_came());
        self.live.listen();
        (self.slot, self.live)
    }
}

/// What a call still owes: the end of its credential, and the record of its ending. Dropping it pays.
struct Live {
    debt: Option<Debt>,
    outcome: Outcome,
    /// Until it is heard.
    echo: Option<Echo>,
    span: Span,
    rail: Arc<Rail>,
    reaper: Arc<Reaper>,
}

/// An ending that is still to be brought about.
struct Debt {
    open: Open,
    issuer: Arc<dyn Issuer>,
    plan: CredentialPlan,
    state: State,
}

/// How far a credential has come.
enum State {
    /// There is none.
    Absent,
    /// There may be one.
    Perhaps,
    /// It is lent.
    Held(Handle),
    /// It is being ended.
    Ending(oneshot::Receiver<Revocation>),
}

impl Live {
    fn head_came(&mut self) {
        let Some(debt) = &mut self.debt else { return };
        match debt.issuer.lifetime() {
            Lifetime::Head => self.reaper.end_credential(debt),
            Lifetime::End => {}
        }
    }

    /// Ends a credential that was said back, whoever still needs it, and has that recorded.
    fn listen(&mut self) {
        if self.echo.take_if(|echo| echo.is_heard()).is_none() {
            return;
        }
        let Some(debt) = &mut self.debt else { return };
        tracing::warn!(call.id = %debt.open.call(), issuer = debt.plan.issuer, "the tool said the credential back");
        self.outcome.echo = true;
        self.reaper.end_credential(debt);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.listen();
        self.span.ended(&self.outcome);
        if let Some(debt) = self.debt.take() {
            let outcome = std::mem::replace(&mut self.outcome, Outcome::of(Ending::Abandoned));
            self.reaper.clone().end(debt, outcome);
        }
    }
}
