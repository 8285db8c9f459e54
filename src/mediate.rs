//! The walk: one call, from a request that nobody believes to a credential that has ended. Read this first.
//!
//! Each step consumes what the step before it produced, so the order is held by types and not by comments:
//! `Incoming` → `Call` → (`Facts`, `Reservation`) → `Permit` → `Recorded` → `Lease` → `Leased`.

mod amend;
mod answer;
mod ask;
mod body;
mod hangup;
mod refusal;
mod rulebook;
mod turns;

use std::sync::Arc;

use http::Response;

pub use self::amend::{Asks, More, Whose};
pub use self::answer::{NotGiven, Said};
pub use self::ask::Question;
pub use self::body::whole;
pub use self::hangup::{Hangup, Waiting, line};
pub use self::refusal::{Rates, Refusal, Refused};
pub use self::rulebook::{Current, News, Rulebook};
pub use self::turns::Turns;
use crate::forward::{Behind, Upstream, forward, keep_what_passes};
use crate::judge::{Permit, Verdict, judge, stopped};
use crate::memory::{Memory, Rate};
use crate::mint::{Issuers, mint};
use crate::model::{Call, Decision, Incoming};
use crate::record::{Known, Rail, Recorded};
use crate::revoke::Reaper;
use crate::telemetry::{Metrics, Span, Spans, Step};
use crate::understand::{aim, understand};

/// What the agent gets: the tool's answer, with the lease in its body or its tunnel.
pub type Answer = Response<Behind>;

/// Everything a call meets on its way.
#[derive(Clone)]
pub struct Mediator {
    /// Who may call, what calls do, what is allowed: in the version that is current.
    pub rulebook: Arc<Current>,
    /// What happened before.
    pub memory: Arc<Memory>,
    /// Where it is written down.
    pub rail: Arc<Rail>,
    /// Who lends credentials.
    pub issuers: Arc<Issuers>,
    /// Who ends them.
    pub reaper: Arc<Reaper>,
    /// The way to the tools.
    pub upstream: Arc<dyn Upstream>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Where it is told how each call goes on.
    pub spans: Spans,
    /// Whose turn it is to be judged …
    pub judging: Arc<Turns>,
    /// … and to be carried out.
    pub carrying: Arc<Turns>,
}

impl Mediator {
    /// Mediates one call. Runs in a task of its own: an agent that hangs up is seen through `hangup`, and whatever was
    /// begun for it is brought to its end.
    pub async fn mediate(&self, incoming: Incoming, mut hangup: Hangup) -> Result<Answer, Refused> {
        let span = self.spans.call(incoming.id, incoming.received_at, incoming.request.headers());
        let mut known = Known::of(incoming.id, &incoming.evidence.peer, &incoming.request);
        let recorded = match self.admit(incoming, &mut known, &mut hangup, &span).await {
            Ok(recorded) => recorded,
            Err(refusal) => return Err(self.turn_away(refusal, known, &span)),
        };
        self.finish(recorded, hangup, span).await
    }

    /// Carries a permitted call out, and counts and logs it if it fails.
    async fn finish(&self, recorded: Recorded, hangup: Hangup, span: Span) -> Result<Answer, Refused> {
        span.permitted(&recorded.call().tool.issuer);
        let (call, task) = (recorded.call().id, recorded.call().task.id);
        let rates = self.rates(recorded.call());
        let mut answer = self.carry_out(recorded, hangup, &span).await;
        self.metrics.permitted(answer.as_ref().err().map(Refusal::code), span.took());
        if let Some(answer) = answer.as_mut().ok().filter(|_| !rates.is_empty()) {
            answer.extensions_mut().insert(Rates(rates));
        }
        answer.map_err(|why| {
            span.failed(why.code());
            // The ending stands in the lineage already: the lease wrote it when it was dropped.
            tracing::warn!(call.id = %call, code = %why.code(), %why, "a permitted call failed");
            Refused { why, terse: self.memory.is_untrusted(task), rates: Vec::new() }
        })
    }

    fn rates(&self, call: &Call) -> Vec<Rate> {
        self.memory.rates(call, &self.rulebook.now().bounds, self.rail.now())
    }

    /// Refuses a call in the walk.
    fn turn_away(&self, why: Refusal, known: Known, span: &Span) -> Refused {
        span.refused(why.code(), why.findings());
        self.metrics.refused_after(span.took());
        self.refuse(why, known)
    }

    /// Counts, logs and records a refusal, once: here.
    pub fn refuse(&self, why: Refusal, known: Known) -> Refused {
        let code = why.code();
        let terse = known.task_id().is_some_and(|task| self.memory.is_untrusted(task));
        tracing::info!(call.id = %known.id(), code = %code, %why, "a call was refused");
        self.metrics.refused(code);
        if !why.is_recorded() {
            self.rail.note(known.refused(code, (why.judged(), why.findings()), &why.to_string(), self.rail.now()));
        }
        if let Some(no) = why.judged().filter(|_| code.decision() == Decision::Deny) {
            self.memory.deny(no.call.task.id);
        }
        let reached = why.judged().filter(|no| code.decision() == Decision::Throttle && !no.facts.limits.is_empty());
        let rates = reached.map_or_else(Vec::new, |no| self.rates(&no.call));
        Refused { why, terse, rates }
    }

    /// From a request to a verdict that is written down. Nothing outside has happened yet.
    async fn admit(
        &self,
        incoming: Incoming,
        known: &mut Known,
        hangup: &mut Hangup,
        span: &Span,
    ) -> Result<Recorded, Refusal> {
        let rulebook = self.rulebook.now();
        let caller = rulebook.identify.caller(&incoming.evidence, incoming.received_at)?;
        known.caller(&caller);
        hangup.unless_gone(self.judging.wait(&caller.agent)).await?;
        let task = self.memory.task(&caller, incoming.task, incoming.received_at)?;
        known.task(&task);
        span.within(&caller.agent, &task);
        let aim = aim(&incoming.request, &caller, &rulebook.catalog)?;
        let mut place = self.memory.enter(&caller.agent)?;
        let mut incoming = body::read(incoming, aim.body(), aim.tool().max_body, &mut place).await?;
        incoming.received_at = self.rail.now();
        let mut call = understand(incoming, caller, task, aim)?;
        keep_what_passes(&mut call)?;
        span.understood(&mut call);
        known.call(&call);
        let agreed = self.agreed(&call)?;
        let (facts, reservation) = self.memory.reserve(&call, &rulebook.bounds, agreed)?;
        let verdict = judge(&rulebook.policies, call, facts, reservation.keeping(place));
        self.permit(verdict, hangup).await
    }

    /// From a verdict to one that is written down: allowed at once, or after somebody has agreed.
    async fn permit(&self, mut verdict: Verdict, hangup: &mut Hangup) -> Result<Recorded, Refusal> {
        let permit = loop {
            verdict = match verdict {
                Verdict::Allow(permit) => break permit,
                // In a box: few calls wait for somebody, and all would make room for it.
                Verdict::Ask(pending) => Box::pin(self.ask(*pending, hangup)).await?,
                Verdict::Throttle(no) | Verdict::Deny(no) => return Err(Refusal::from(no)),
            };
        };
        hangup.check()?;
        self.record(permit).await
    }

    /// Writes a verdict down, unless its agent was stopped meanwhile; and judges again by other rules that came meanwhile.
    async fn record(&self, permit: Box<Permit>) -> Result<Recorded, Refusal> {
        let by = permit.policies();
        let plan = self.issuers.plan(&permit, &self.reaper, self.rail.now())?;
        let recording = {
            // While this is held nobody is stopped: behind the record of a quarantine stands no permission.
            let standing = self.memory.look();
            if standing.is_quarantined(&permit.call().caller.agent) {
                return Err(stopped(permit).into());
            }
            self.rail.permit(permit, plan)
        };
        let recorded = recording.await?;
        self.rulebook.judge_again(by, recorded.call().id, &self.memory);
        Ok(recorded)
    }

    /// From a verdict that is written down to an answer, or to an ending that is.
    async fn carry_out(&self, recorded: Recorded, mut hangup: Hangup, span: &Span) -> Result<Answer, Refusal> {
        hangup.unless_gone(self.carrying.wait(&recorded.call().caller.agent)).await?;
        let recorded = recorded.unless_cut().map_err(Refusal::Cut)?;
        let mut lease = mint(&self.issuers, recorded, &self.reaper).await?;
        span.came(Step::Minted);
        lease.traced(span.clone());
        hangup.check()?;
        let answer = forward(&*self.upstream, lease, hangup.happens()).await?;
        span.answered(answer.status().as_u16());
        Ok(answer)
    }
}
