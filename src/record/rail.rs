//! The way onto the lineage that the walk takes, and the proofs it gives for it.

use std::sync::Arc;
use std::time::Duration;

use super::credential::{CredentialNote, CredentialPlan};
use super::event::{AnswerNote, Ended, Event, Record, SentNote};
use super::{Lineage, OpenCall, Unavailable, account};
use crate::judge::Permit;
use crate::memory::{Privilege, Slot};
use crate::model::{Call, CallId, Clock, Ending, Outcome, Revocation, Scope, TaskId, Timestamp};

/// The way onto the lineage that the walk takes: it waits no longer than the deadline, and leaves nothing open.
pub struct Rail {
    lineage: Arc<dyn Lineage>,
    clock: Clock,
    deadline: Duration,
}

impl Rail {
    /// Over a lineage; `deadline` bounds the wait for one record.
    pub fn new(lineage: Arc<dyn Lineage>, clock: Clock, deadline: Duration) -> Arc<Self> {
        Arc::new(Self { lineage, clock, deadline })
    }

    /// The time, as records have it.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Why nothing can be recorded now, if nothing can.
    pub fn trouble(&self) -> Option<String> {
        self.lineage.trouble()
    }

    /// Writes a record and waits until it is durable. It is in line before this returns.
    pub fn commit(&self, record: Record) -> impl Future<Output = Result<u64, Unavailable>> + use<> {
        let (receipt, deadline) = (self.lineage.append(record), self.deadline);
        async move { tokio::time::timeout(deadline, receipt).await.unwrap_or(Err(Unavailable::Late(deadline))) }
    }

    /// Writes a record that nobody waits for.
    pub fn note(&self, record: Record) {
        drop(self.lineage.append(record));
    }

    /// Writes the verdict down, with what will be minted. Only after this can anything be. It is in line before this
    /// returns.
    pub fn permit(
        self: &Arc<Self>,
        permit: Box<Permit>,
        plan: CredentialPlan,
    ) -> impl Future<Output = Result<Recorded, Unavailable>> + use<> {
        let record = account::permitted(&permit, plan.clone(), self.now());
        let (rail, written) = (self.clone(), self.commit(record));
        async move { Ok(rail.recorded(written.await?, permit, plan)) }
    }

    fn recorded(self: &Arc<Self>, position: u64, permit: Box<Permit>, plan: CredentialPlan) -> Recorded {
        let (call, scope, slot) = permit.spend();
        let open = Open {
            rail: self.clone(),
            call: call.id,
            task: Some(call.task.id),
            credential: CredentialNote {
                revocation: Revocation::NotNeeded,
                minted_at: None,
                ended_at: None,
                expires_at: plan.expires_at,
            },
            privilege: Some(slot.privilege()),
            written: false,
        };
        Recorded { call, scope, slot, position, plan, open }
    }

    /// A call that an earlier run of the sidecar left open.
    pub fn reopen(self: &Arc<Self>, left: &OpenCall) -> Open {
        let minted_at = left.minted.as_ref().map(|_| left.at);
        let credential = CredentialNote {
            revocation: Revocation::Unknown,
            minted_at,
            ended_at: None,
            expires_at: left.plan.expires_at,
        };
        Open { rail: self.clone(), call: left.call, task: left.task, credential, privilege: None, written: false }
    }
}

/// The proof that a call was permitted and that this stands on the rail. Only [`Rail::permit`] builds one, after the
/// commit; dropping it writes the call's ending.
pub struct Recorded {
    call: Box<Call>,
    scope: Scope,
    slot: Slot,
    position: u64,
    plan: CredentialPlan,
    open: Open,
}

impl Recorded {
    /// The call as it was judged.
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// The same, unless the call was cut by now: then its ending says so, and nothing is minted.
    pub fn unless_cut(self) -> Result<Self, Ending> {
        let cut = *self.slot.over().borrow();
        let Some(ending) = cut else { return Ok(self) };
        self.open.end(Outcome::of(ending));
        Err(ending)
    }

    /// Its record's place in the tree.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// What will be minted.
    pub fn plan(&self) -> &CredentialPlan {
        &self.plan
    }

    /// The time, as the rail has it.
    pub fn now(&self) -> Timestamp {
        self.open.rail.now()
    }

    /// What it proves, for whoever goes on with it: the call, what a credential for it may be, its place in its task,
    /// what will be minted, and the ending that is still to be written.
    pub fn into_parts(self) -> (Box<Call>, Scope, Slot, CredentialPlan, Open) {
        (self.call, self.scope, self.slot, self.plan, self.open)
    }
}

/// A permitted call whose ending is still to be written. Dropping it writes what is known by then.
pub struct Open {
    rail: Arc<Rail>,
    call: CallId,
    task: Option<TaskId>,
    credential: CredentialNote,
    privilege: Option<Privilege>,
    written: bool,
}

impl Open {
    /// The call.
    pub fn call(&self) -> CallId {
        self.call
    }

    /// The rail it stands on.
    pub fn rail(&self) -> &Arc<Rail> {
        &self.rail
    }

    /// An issuer is asked now. Until more is known, a credential may exist.
    pub fn minting(&mut self) {
        self.credential.revocation = Revocation::Unknown;
    }

    /// The issuer gave nothing, surely.
    pub fn not_minted(&mut self) {
        self.credential.revocation = Revocation::NotNeeded;
    }

    /// The issuer gave a credential that ends by itself at `expires_at`.
    pub fn minted(&mut self, expires_at: Option<Timestamp>) {
        self.credential.revocation = Revocation::Failed;
        self.credential.minted_at = Some(self.rail.now());
        self.credential.expires_at = expires_at;
    }

    /// The credential's end is known, or it was given up on.
    pub fn settled(&mut self, revocation: Revocation) {
        self.credential.revocation = revocation;
        self.credential.ended_at = Some(self.rail.now());
    }

    /// Writes the ending.
    pub fn end(mut self, outcome: Outcome) {
        self.write(outcome);
    }

    fn write(&mut self, outcome: Outcome) {
        self.written = true;
        let at = self.rail.now();
        if let Some(privilege) = self.privilege.take() {
            privilege.add(self.credential.alive(at));
        }
        let sent = outcome.sent.map(|tally| tally.passed());
        let ended = Ended {
            ending: outcome.ending,
            why: outcome.why,
            sent: sent.map(|sent| SentNote { bytes: sent.bytes, whole: sent.whole }),
            answer: outcome.answered.map(|answer| AnswerNote { status: answer.status, bytes: answer.bytes }),
            echo: outcome.echo,
            credential: self.credential.clone(),
        };
        let digests = [
            ("answer_digest", outcome.answered.map(|answer| answer.digest)),
            ("content", sent.map(|sent| sent.digest)),
        ];
        let private =
            digests.into_iter().filter_map(|(name, digest)| Some((name, digest?.to_string().into()))).collect();
        self.rail.note(Record { at, call: Some(self.call), task: self.task, event: Event::Ended(ended), private });
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.written {
            self.write(Outcome::of(Ending::Abandoned));
        }
    }
}
