//! What is remembered between calls, and what a call would use of it.

mod limits;
mod recall;
mod room;
mod tasks;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

pub use self::limits::{LimitRule, Per};
use self::limits::{Limits, Taken};
pub use self::recall::PastCall;
use self::room::Room;
pub use self::room::{Crowded, Place, RoomRule};
use self::tasks::{Claim, Tasks};
pub use self::tasks::{Slot, TaskOver, fingerprint_of};
use crate::model::{
    AgentName, Call, Caller, Digest, Exceeded, Facts, IntentFacts, IntentSource, Label, Task, TaskId, Time, Timestamp,
    WorkloadFacts,
};

/// Bounds on the calls of one task.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChainRule {
    /// Calls a task may make.
    pub max_calls: Option<u64>,
    /// Times the same bytes may be sent to the same action, the first not counted.
    pub max_repeats: Option<u64>,
    /// Calls of a task that may be under way at a time.
    pub max_concurrent: Option<u64>,
}

/// Everything that outlives a call: tasks, the windows of limits, and the room that calls share.
#[derive(Debug)]
pub struct Memory {
    tasks: Arc<Tasks>,
    limits: Arc<Limits>,
    chains: BTreeMap<AgentName, ChainRule>,
    room: Arc<Room>,
}

impl Memory {
    /// With nothing remembered yet.
    pub fn new(limits: Vec<LimitRule>, chains: BTreeMap<AgentName, ChainRule>) -> Self {
        let room = Room::new(RoomRule::default());
        Self { tasks: Arc::new(Tasks::default()), limits: Arc::new(Limits::new(limits)), chains, room }
    }

    /// With room for so much at a time.
    pub fn with_room(self, rule: RoomRule) -> Self {
        Self { room: Room::new(rule), ..self }
    }

    /// A place for one more call of this agent, held until the call is over.
    pub fn enter(&self, agent: &AgentName) -> Result<Place, Crowded> {
        self.room.enter(agent)
    }

    /// Remembers a task, found by the digest of its token.
    pub fn open(&self, task: Task, token: Digest, now: Timestamp) {
        self.tasks.open(task, token, now);
    }

    /// Remembers a task of an earlier run. What happened in it is forgotten, so the worst is taken for true: it has read a
    /// stranger's words and something private, and what its grant counts is used up.
    pub fn reopen(&self, mut task: Task, token: Digest, now: Timestamp) {
        task.grant.retain(|grant| grant.max.is_none());
        let id = task.id;
        self.tasks.open(task, token, now);
        self.tasks.label(id, &[Label::Untrusted, Label::Private]);
    }

    /// Ends a task: its token is worth nothing from here on, and its calls under way are cut. `None` if there is none.
    pub fn close(&self, id: TaskId) -> Option<Arc<Task>> {
        self.tasks.close(id)
    }

    /// Whether a task has taken in something untrusted. One that is over counts as if it had.
    pub fn is_untrusted(&self, id: TaskId) -> bool {
        self.tasks.is_untrusted(id)
    }

    /// Cuts every call under way: the sidecar stops.
    pub fn stop(&self) {
        self.tasks.stop();
    }

    /// The task of this id, if it is not over.
    pub fn find(&self, id: TaskId, now: Timestamp) -> Option<Arc<Task>> {
        self.tasks.find(id, now)
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
    pub fn reserve(&self, call: &Call) -> Result<(Facts, Reservation), TaskOver> {
        let now = call.received_at;
        let (claim, snapshot) = self.tasks.claim(call)?;
        let (taken, mut exceeded) = self.limits.take(call, now);
        self.check_chain(call, &snapshot, &mut exceeded);
        let facts = Facts {
            intent: IntentFacts {
                declared: call.intent.source != IntentSource::None,
                source: call.intent.source.name(),
                matches: matches_intent(call),
                purpose_present: call.intent.purpose.as_deref().is_some_and(|purpose| !purpose.trim().is_empty()),
            },
            task: snapshot.task,
            workload: WorkloadFacts { kind: call.caller.workload.kind(), strength: call.caller.workload.strength() },
            labels: snapshot.labels,
            chain: snapshot.chain,
            limits: exceeded,
            time: Time { hour: i64::from(now.hour()), weekday: i64::from(now.weekday()) },
            body: call.content.name(),
            args: call.action.arguments.clone(),
        };
        Ok((facts, Reservation { claim, taken, limits: self.limits.clone(), place: None }))
    }

    fn check_chain(&self, call: &Call, snapshot: &tasks::Snapshot, exceeded: &mut BTreeMap<String, Exceeded>) {
        let Some(rule) = self.chains.get(&call.caller.agent) else { return };
        let bounds = [
            ("max_calls", rule.max_calls, snapshot.claimed_calls),
            ("max_repeats", rule.max_repeats.map(|max| max.saturating_add(1)), snapshot.claimed_repeats),
            ("max_concurrent", rule.max_concurrent, snapshot.claimed_concurrent),
        ];
        for (name, max, used) in bounds {
            if let Some(limit) = max.filter(|max| used >= *max) {
                let name = format!("{}.chain.{name}", call.caller.agent);
                exceeded.insert(name, Exceeded { limit, retry_after_ms: None });
            }
        }
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

/// What a call would use, held for it until it is permitted and recorded, or refused.
#[derive(Debug)]
pub struct Reservation {
    claim: Claim,
    taken: Vec<Taken>,
    limits: Arc<Limits>,
    place: Option<Place>,
}

impl Reservation {
    /// The call is permitted and recorded: what was held is used. The slot is held until the call is over.
    pub fn spend(mut self) -> Slot {
        self.taken.clear();
        self.claim.spend(self.place.take())
    }

    /// The call's place is held until the call is over.
    pub fn keeping(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// How long until the task is over by itself.
    pub fn task_left(&self, now: Timestamp) -> Option<Duration> {
        self.claim.task().expires_at.map(|end| end.since(now))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.limits.give_back(&self.taken);
    }
}

/// A lock whose holder panicked is taken over: each critical section leaves its data whole at every step.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
