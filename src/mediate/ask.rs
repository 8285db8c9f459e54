//! When a rule asks: the judged call is kept, the question is recorded and shown, and what was agreed to is judged again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};
use tokio::sync::watch;

use super::{Answer, Hangup, Mediator, Refusal, Refused, Rulebook};
use crate::judge::{No, Pending, TOO_OFTEN, Verdict, judge, too_often};
use crate::memory::{Agreed, Asked, DeskRule, Kept, NotAgreed, Stands, bound_of};
use crate::model::{About, ApprovalId, Asking, Call, Code, Exceeded, Finding, Peer, Timestamp};
use crate::record::{self, Known, Recorded};

/// What an agent is told whose call waits for an answer.
#[derive(Debug)]
pub struct Question {
    /// By this name it can be asked about, and resumed.
    pub id: ApprovalId,
    /// When it is over by itself.
    pub expires_at: Timestamp,
    /// The call and the rules that ask, if this is not the call that the question was recorded with.
    pub no: Option<No>,
    /// The question's record is this request's, too.
    pub recorded: bool,
    /// The first of the rules that ask, and its reason; nothing if it is opaque.
    pub shown: Option<(String, Option<String>)>,
}

impl Mediator {
    /// Asks. In an agent's usual way it is refused until it comes back with the answer; where questions are held, this waits
    /// for one and gives the verdict after it.
    pub(super) async fn ask(&self, pending: Pending, hangup: &mut Hangup) -> Result<Verdict, Refusal> {
        let rulebook = self.rulebook.now();
        let rule = rulebook.bounds.desk();
        let Pending { no, reservation } = pending;
        let No { call, facts, findings, policies } = no;
        let no = |kept: Kept, findings| No { call: kept.call, facts: kept.facts, findings, policies };
        let shown = shown(&findings);
        let kept = Kept { call, facts, reservation };
        let Some(about) = about(&kept, &findings, rule, self.rail.now()) else {
            let finding =
                Finding::new("approval", Code::Denied, Some("what streams cannot be kept until somebody agrees"));
            return Err(Box::new(no(kept, Arc::from([finding]))).into());
        };
        let (id, expires_at) = (about.id, about.expires_at);
        let record = record::asked(&about, record::told(&kept.call), policies);
        match self.memory.desk().ask(about, rule.per_hour) {
            Asked::TooOften(free) => {
                let mut kept = kept;
                let exceeded =
                    Exceeded { limit: rule.per_hour as u64, retry_after_ms: u64::try_from(free.as_millis()).ok() };
                kept.facts.limits.insert(TOO_OFTEN.to_owned(), exceeded);
                Err(Box::new(no(kept, Arc::from([too_often()]))).into())
            }
            Asked::Same(about) => {
                let (id, expires_at) = (about.id, about.expires_at);
                let no = Some(no(kept, findings));
                Err(Refusal::Asked(Box::new(Question { id, expires_at, no, recorded: false, shown })))
            }
            Asked::New(about) => {
                let line = self.put(&about, record, Some(kept)).await?;
                match rule.hold {
                    Some(patience) if self.held(line, patience, hangup).await => self.resumed(id, &about),
                    Some(_) | None => {
                        Err(Refusal::Asked(Box::new(Question { id, expires_at, no: None, recorded: true, shown })))
                    }
                }
            }
        }
    }

    /// Asks about an amendment of a task. It is sent again with the answer: nothing is kept.
    pub(super) async fn ask_about_grant(&self, about: About, told: record::Told, findings: &[Finding]) -> Refusal {
        let rulebook = self.rulebook.now();
        let record = record::asked(&about, told, rulebook.policies.version());
        let (about, recorded) = match self.memory.desk().ask(about, rulebook.bounds.desk().per_hour) {
            Asked::TooOften(_) => return Refusal::NotAmended(Arc::from([too_often()])),
            Asked::Same(about) => (about, false),
            Asked::New(about) => match self.put(&about, record, None).await {
                Ok(_) => (about, true),
                Err(why) => return why,
            },
        };
        let (id, expires_at) = (about.id, about.expires_at);
        Refusal::Asked(Box::new(Question { id, expires_at, no: None, recorded, shown: shown(findings) }))
    }

    /// No record, no question.
    async fn put(
        &self,
        about: &About,
        record: record::Record,
        kept: Option<Kept>,
    ) -> Result<watch::Receiver<Stands>, Refusal> {
        let id = about.id;
        match self.rail.commit(record).await {
            Ok(_) => {
                tracing::warn!(call.id = %about.call, approval = %id, "somebody has to agree to a call");
                self.memory.desk().post(id, kept).ok_or(Refusal::NotAgreed(NotAgreed::Void))
            }
            Err(unavailable) => {
                self.memory.desk().withdraw(id);
                Err(unavailable.into())
            }
        }
    }

    /// Whether it is answered while the agent waits.
    async fn held(&self, mut line: watch::Receiver<Stands>, patience: Duration, hangup: &mut Hangup) -> bool {
        let answered = line.wait_for(|standing| !matches!(standing, Stands::Waiting { .. }));
        tokio::select! {
            answered = answered => answered.is_ok(),
            () = tokio::time::sleep(patience) => false,
            () = hangup.happened() => false,
        }
    }

    fn resumed(&self, id: ApprovalId, about: &About) -> Result<Verdict, Refusal> {
        let (kept, agreed) = self.memory.desk().resume(id, &about.agent, self.rail.now())?;
        self.judge_again(kept, agreed)
    }

    /// Judges what was kept by what is allowed and known now, with what was agreed to as one more fact.
    fn judge_again(&self, kept: Kept, agreed: Agreed) -> Result<Verdict, Refusal> {
        let Kept { mut call, facts, reservation } = kept;
        let rulebook: Arc<Rulebook> = self.rulebook.now();
        // Somewhere else than where it was to go when they agreed, it does not go.
        let tool = rulebook.catalog.tool(&call.caller.agent, &call.tool.name).map(|known| known.tool.clone());
        let tool = tool.filter(|tool| tool.leads_where(&call.tool)).ok_or(NotAgreed::Void)?;
        call.tool = tool;
        call.received_at = self.rail.now();
        let facts = reservation.again(&call, facts, agreed.facts().clone())?;
        Ok(judge(&rulebook.policies, call, facts, reservation.agreed(agreed)))
    }

    /// What somebody has agreed to, if the call says so: for this very call, and for no other.
    pub(super) fn agreed(&self, call: &Call) -> Result<Option<Agreed>, Refusal> {
        let Some(id) = call.approval else { return Ok(None) };
        let bound = bound_of(call).ok_or(NotAgreed::Void)?;
        Ok(Some(self.memory.desk().repeat(id, &call.caller.agent, bound, self.rail.now())?))
    }

    /// Makes the very call that was kept and agreed to.
    pub async fn resume(
        &self,
        (mut kept, agreed): (Kept, Agreed),
        peer: &Arc<Peer>,
        mut hangup: Hangup,
    ) -> Result<Answer, Refused> {
        let span = self.spans.again(&mut kept.call, self.rail.now());
        let known = Known::of_kept(&kept.call, peer);
        match self.readmit(kept, agreed, &mut hangup).await {
            Ok(recorded) => self.finish(recorded, hangup, span).await,
            Err(refusal) => Err(self.turn_away(refusal, known, &span)),
        }
    }

    async fn readmit(&self, kept: Kept, agreed: Agreed, hangup: &mut Hangup) -> Result<Recorded, Refusal> {
        let verdict = self.judge_again(kept, agreed)?;
        self.permit(verdict, hangup).await
    }
}

/// The first of the rules that ask, and its reason; nothing if it is opaque.
fn shown(findings: &[Finding]) -> Option<(String, Option<String>)> {
    findings.first().and_then(Finding::shown).map(|(rule, why)| (rule.to_owned(), why.map(str::to_owned)))
}

/// What the rules among these ask.
pub(super) fn asking(findings: &[Finding]) -> BTreeMap<String, Asking> {
    let asking = |finding: &Finding| {
        let ask = finding.ask.as_ref()?;
        let asking = Asking { who: ask.who.clone(), reason: finding.reason.clone(), rule: ask.rule };
        Some((finding.rule.clone(), asking))
    };
    findings.iter().filter_map(asking).collect()
}

/// A name for a question; nothing if the machine has no randomness to give.
pub(super) fn name() -> Option<ApprovalId> {
    let mut random = [0; 16];
    SystemRandom::new().fill(&mut random).ok()?;
    Some(ApprovalId::new(random))
}

/// What a reviewer is asked; nothing if there is nothing that an answer could be bound to.
fn about(kept: &Kept, findings: &[Finding], rule: DeskRule, now: Timestamp) -> Option<About> {
    let call = &kept.call;
    Some(About {
        id: name()?,
        call: call.id,
        task: call.task.id,
        agent: call.caller.agent.clone(),
        on_behalf_of: call.task.on_behalf_of.clone(),
        action: call.action.name.clone(),
        effect: call.action.effect,
        resource: call.action.resource.clone(),
        method: call.method.to_string(),
        target: call.target.clone(),
        purpose: call.intent.purpose.clone(),
        facts: kept.facts.clone(),
        args: call.action.arguments.clone(),
        rules: asking(findings),
        bound: bound_of(call)?,
        asked_at: now,
        expires_at: now.after(rule.wait),
    })
}
