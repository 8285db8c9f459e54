//! What is remembered between calls, and what a call would use of it.

mod agreements;
mod baselines;
mod bounds;
mod course;
mod desk;
mod grants;
mod heard;
mod labels;
mod lesson;
mod limits;
mod live;
mod own;
mod recall;
mod reservation;
mod room;
mod shelf;
mod shown;
mod slot;
mod standing;
mod tasks;
mod under_way;
mod values;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use self::agreements::Agreements;
pub use self::baselines::{Baselines, InForce, LAST_TASKS};
pub use self::bounds::{Bounds, ChainRule};
pub use self::desk::{
    Agreed, Answered, Asked, Desk, DeskRule, Kept, NotAgreed, NotTaken, Reviewing, Shown, Stands, bound, bound_of,
};
pub use self::grants::{Loan, NotGranted, Proposed, Turn};
use self::limits::Limits;
pub use self::limits::{LimitRule, Per, Rate};
use self::live::Snapshot;
pub use self::own::{MOST_OWN, OWN_A_SECOND};
pub use self::recall::{Lost, PastCall, PastTask};
pub use self::reservation::Reservation;
use self::reservation::{Habits, Vouching};
use self::room::Room;
pub use self::room::{Crowded, Place, RoomRule};
pub use self::shelf::{ROOM, Shelf};
pub use self::shown::{ShownLine, ShownTask};
pub use self::slot::{Privilege, Slot};
pub use self::standing::Look;
use self::standing::Standing;
use self::tasks::Tasks;
pub use self::tasks::{Closed, TaskOver, fingerprint_of};
pub use self::under_way::CallUnderWay;
use self::under_way::UnderWay;
use crate::model::{
    AgentName, ApprovalFacts, Argument, BaselineFacts, Call, CallId, Caller, Digest, Facts, Grant, IntentFacts,
    IntentSource, Task, TaskId, Time, Timestamp, ValueFacts, WorkloadFacts,
};

/// Everything that outlives a call: tasks, the windows of limits, what is under way, and the room that calls share.
#[derive(Debug)]
pub struct Memory {
    tasks: Arc<Tasks>,
    limits: Arc<Limits>,
    standing: Arc<Standing>,
    under_way: Arc<UnderWay>,
    desk: Arc<Desk>,
    agreements: Arc<Agreements>,
    baselines: Baselines,
    room: Arc<Room>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(RoomRule::default(), Shelf::default())
    }
}

impl Memory {
    /// With nothing remembered yet, room for so much at a time, and this to keep what tasks hear.
    pub fn new(rule: RoomRule, shelf: Shelf) -> Self {
        let tasks = Arc::new(Tasks::keeping(shelf));
        let (limits, standing, under_way, desk, agreements, baselines) = Default::default();
        Self { tasks, limits, standing, under_way, desk, agreements, baselines, room: Room::new(rule) }
    }

    /// The questions that calls wait for.
    pub fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    /// The habits of agents that people have ratified.
    pub fn baselines(&self) -> &Baselines {
        &self.baselines
    }

    /// From here on, one agent may take so much of the room, in hundredths.
    pub fn share(&self, share: usize) {
        self.room.share(share);
    }

    /// A place for one more call of this agent, held until the call is over.
    pub fn enter(&self, agent: &AgentName) -> Result<Place, Crowded> {
        self.room.enter(agent)
    }

    /// Remembers a task that stands under no other, found by the digest of its token.
    pub fn open(&self, task: Task, token: Digest, now: Timestamp) {
        let loan = Loan::free(&task.grant);
        // Without a parent there is none that could be over.
        let _ = self.open_child(task, token, loan, now);
    }

    /// Remembers a task with what its parent gave it, if that is not over.
    pub fn open_child(&self, task: Task, token: Digest, loan: Loan, now: Timestamp) -> Result<(), TaskOver> {
        self.forget_expired(now);
        self.tasks.open(task, token, loan)
    }

    /// Whether an agent may open one more task for itself; if so, it counts as begun in this second.
    pub fn may_open_own(&self, agent: &AgentName, now: Timestamp) -> bool {
        self.forget_expired(now);
        self.tasks.may_open_own(agent, now)
    }

    fn forget_expired(&self, now: Timestamp) {
        let expired = self.tasks.forget_expired(now);
        if !expired.is_empty() {
            self.cut(|call| expired.contains(&call.task));
        }
    }

    /// Takes what is asked from what a task has left to grant, for a child of it.
    pub fn lend(&self, parent: TaskId, asked: &[Grant], now: Timestamp) -> Result<Loan, NotGranted> {
        self.tasks.lend(parent, asked, now)
    }

    /// Waits for a task's turn to be amended.
    pub async fn turn(&self, id: TaskId) -> Result<Turn, TaskOver> {
        self.tasks.turn(id).await
    }

    /// Ends a task and all that came out of it: their tokens are worth nothing from here on, and their calls under way are
    /// cut. Gives them, the task first; nothing if there is none.
    pub fn close(&self, id: TaskId) -> Vec<Closed> {
        let closed = self.tasks.close(id);
        if !closed.is_empty() {
            self.cut(|call| closed.iter().any(|closed| closed.task.id == call.task));
        }
        closed
    }

    /// Cuts the calls under way that this is true of.
    pub fn cut(&self, which: impl Fn(&CallUnderWay) -> bool) {
        self.under_way.cut(which);
    }

    /// Whether this call is under way, and nobody has cut it.
    pub fn goes_on(&self, call: CallId) -> bool {
        self.under_way.goes_on(call)
    }

    /// The calls under way, the earliest first.
    pub fn under_way(&self) -> Vec<Arc<CallUnderWay>> {
        self.under_way.calls()
    }

    /// Stops an agent: from here on every call of it is judged as one of a quarantined agent, and those under way are cut.
    /// `record` puts the record of it in line: whatever comes behind that in the line is not of this agent.
    pub fn quarantine<T>(&self, agent: &AgentName, record: impl FnOnce() -> T) -> T {
        let recorded = self.standing.quarantine(agent, record);
        self.cut(|call| call.agent == *agent);
        self.tasks.doubt_all(agent);
        recorded
    }

    /// A look at who is stopped. While it is held, nobody else is.
    pub fn look(&self) -> Look<'_> {
        self.standing.look()
    }

    /// Lets an agent go on. False if it was not quarantined.
    pub fn release(&self, agent: &AgentName) -> bool {
        self.standing.release(agent)
    }

    /// Every agent that is quarantined.
    pub fn quarantined(&self) -> Vec<AgentName> {
        self.standing.quarantined()
    }

    /// Breaks the glass for an agent, until then.
    pub fn break_glass(&self, agent: &AgentName, until: Timestamp) {
        self.standing.break_glass(agent, until);
    }

    /// A call of this task was denied.
    pub fn deny(&self, id: TaskId) {
        self.tasks.deny(id);
    }

    /// Somebody did not agree to a call of this task: nothing is learned from it.
    pub fn doubt(&self, id: TaskId) {
        self.tasks.doubt(id);
    }

    /// Whether a task has taken in something untrusted. One that is over counts as if it had.
    pub fn is_untrusted(&self, id: TaskId) -> bool {
        self.tasks.is_untrusted(id)
    }

    /// Cuts every call under way: the sidecar stops.
    pub fn stop(&self) {
        self.under_way.stop();
    }

    /// The task of this id, if it is not over.
    pub fn find(&self, id: TaskId, now: Timestamp) -> Option<Arc<Task>> {
        self.tasks.find(id, now)
    }

    /// The tasks that are not over, as reviewers see them, the latest first: of an agent, if one is named.
    pub fn tasks(&self, agent: Option<&str>, now: Timestamp) -> Vec<ShownTask> {
        self.tasks.shown(agent, now)
    }

    /// One of them.
    pub fn shown(&self, id: TaskId, now: Timestamp) -> Option<ShownTask> {
        self.tasks.show(id, now)
    }

    /// The task that this token names, whoever's it is.
    pub fn find_by_token(&self, token: Digest, now: Timestamp) -> Option<Arc<Task>> {
        self.tasks.by_digest(token, now)
    }

    /// The task a token names; without one, the agent's implicit task.
    pub fn task(&self, caller: &Caller, token: Option<Digest>, now: Timestamp) -> Result<Arc<Task>, TaskOver> {
        match token {
            Some(token) => self.tasks.by_token(caller, token, now),
            None => Ok(self.tasks.implicit(&caller.agent, now)),
        }
    }

    /// Takes, in one step that no other call can come between, what this call would use, and tells the facts.
    ///
    /// What is taken comes back when the reservation is dropped unspent. A limit that is reached is told under
    /// `limits`, and nothing is taken from it.
    ///
    /// `agreed` is what somebody has agreed to for this call; it comes back, too.
    pub fn reserve(
        &self,
        call: &Call,
        bounds: &Bounds,
        agreed: Option<Agreed>,
    ) -> Result<(Facts, Reservation), TaskOver> {
        let now = call.received_at;
        let (claim, snapshot) = self.tasks.claim(call)?;
        if snapshot.task.overflow && !snapshot.task.alarmed {
            tracing::warn!(call.id = %call.id, task.id = %call.task.id, "a task does more than its grant counts: it is cut");
            self.cut(|under_way| under_way.task == call.task.id);
        }
        let vouching = Vouching {
            directory: bounds.directory(&call.caller.agent),
            agreements: self.agreements.clone(),
            baseline: self.baselines.of(&call.caller.agent),
        };
        let habits = Habits::of(call, snapshot.place.clone());
        let baseline = vouching.baseline.as_ref().map(|known| known.weigh(&habits.made(call))).unwrap_or_default();
        let (taken, mut exceeded) = self.limits.take(bounds.limits_of(&call.caller.agent), call, claim.root(), now);
        bounds.check_chain(call, &snapshot, &mut exceeded);
        let facts = Facts {
            intent: intent_of(call, snapshot.task.declared),
            task: snapshot.task,
            workload: WorkloadFacts {
                kind: call.caller.workload.kind().into(),
                strength: call.caller.workload.strength(),
            },
            agent: self.standing.of(&call.caller.agent, now),
            labels: snapshot.labels,
            values: claim.weigh(call, &vouching),
            chain: snapshot.chain,
            baseline,
            limits: exceeded,
            approval: agreed.as_ref().map(|agreed| agreed.facts().clone()).unwrap_or_default(),
            time: time(now),
            body: call.content.name().into(),
            args: call.action.arguments.clone(),
        };
        let (limits, standing, under_way) = (self.limits.clone(), self.standing.clone(), self.under_way.clone());
        let remember = bounds.desk().remember;
        let vouching = (vouching, remember);
        Ok((facts, Reservation { claim, taken, limits, standing, under_way, vouching, habits, agreed, place: None }))
    }

    /// The facts by which it is judged whether a task's grant may have one line more: whether it is covered already, and
    /// what else policies see of it. Asking for it declares what it is.
    pub fn regard(
        &self,
        caller: &Caller,
        task: &Task,
        (declared, args): (bool, BTreeMap<Arc<str>, Argument>),
        now: Timestamp,
    ) -> Result<Facts, TaskOver> {
        let Snapshot { task, chain, labels, .. } = self.tasks.regard(task.id, &caller.agent, declared, now)?;
        Ok(Facts {
            intent: IntentFacts { declared: true, source: IntentSource::None, matches: true, purpose_present: false },
            task,
            workload: WorkloadFacts { kind: caller.workload.kind().into(), strength: caller.workload.strength() },
            agent: self.standing.of(&caller.agent, now),
            labels,
            values: ValueFacts::default(),
            chain,
            baseline: BaselineFacts::default(),
            limits: BTreeMap::new(),
            approval: ApprovalFacts::default(),
            time: Time { hour: i64::from(now.hour()), weekday: i64::from(now.weekday()) },
            body: "none".into(),
            args,
        })
    }

    /// How much of each of an agent's limits is left for calls like this one.
    pub fn rates(&self, call: &Call, bounds: &Bounds, now: Timestamp) -> Vec<Rate> {
        let rules = bounds.limits_of(&call.caller.agent);
        if rules.is_empty() {
            return Vec::new();
        }
        self.limits.rates(rules, call, self.tasks.root_of(call.task.id), now)
    }
}

fn time(now: Timestamp) -> Time {
    Time { hour: i64::from(now.hour()), weekday: i64::from(now.weekday()) }
}

/// What was declared. A grant declares what it covers as often as it counts, and not once more.
fn intent_of(call: &Call, covered: bool) -> IntentFacts {
    let source = match call.intent.source {
        IntentSource::Task if !covered => IntentSource::None,
        source @ (IntentSource::Task | IntentSource::Header | IntentSource::None) => source,
    };
    let declared = source != IntentSource::None;
    IntentFacts {
        declared,
        source,
        matches: declared && matches_intent(call),
        purpose_present: declared && call.intent.purpose.as_deref().is_some_and(|purpose| !purpose.trim().is_empty()),
    }
}

/// Whether the declared action and resource are what the call does.
fn matches_intent(call: &Call) -> bool {
    let action = call.intent.action.as_deref();
    let resource = call.intent.resource.as_deref();
    let full_or_short = |said: &str, full: &str, short: &str| said == full || said == short;
    action.is_some_and(|said| full_or_short(said, &call.action.name, call.action.short_name()))
        && resource.is_none_or(|said| full_or_short(said, &call.action.resource, call.action.short_resource()))
}

/// A lock whose holder panicked is taken over: each critical section leaves its data whole at every step.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
