//! The calls under way: what each is, and a line to cut it by.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::lock;
use crate::model::{AgentName, Call, CallId, Ending, Facts, TaskId, Timestamp, Tool};

/// A permitted call that has not ended: what it asked, and what was known when it was judged.
#[derive(Clone, Debug)]
pub struct CallUnderWay {
    /// The call.
    pub id: CallId,
    /// Who asked.
    pub agent: AgentName,
    /// The task it belongs to.
    pub task: TaskId,
    /// The action's full name.
    pub action: Arc<str>,
    /// What it acts on, under its tool.
    pub resource: String,
    /// The tool it goes to, as it was when the call was judged.
    pub tool: Arc<Tool>,
    /// When it was judged.
    pub since: Timestamp,
    /// What was known then.
    pub facts: Arc<Facts>,
}

impl CallUnderWay {
    pub(super) fn of(call: &Call, facts: Arc<Facts>) -> Self {
        Self {
            id: call.id,
            agent: call.caller.agent.clone(),
            task: call.task.id,
            action: call.action.name.clone(),
            resource: call.action.resource.clone(),
            tool: call.tool.clone(),
            since: call.received_at,
            facts,
        }
    }
}

/// Every call under way.
#[derive(Debug, Default)]
pub struct UnderWay {
    calls: Mutex<Calls>,
}

#[derive(Debug, Default)]
struct Calls {
    by_id: HashMap<CallId, (Arc<CallUnderWay>, watch::Sender<Option<Ending>>)>,
    stopping: bool,
}

/// A call's entry; dropping it takes it out.
#[derive(Debug)]
pub struct Over {
    id: CallId,
    under_way: Arc<UnderWay>,
    line: watch::Receiver<Option<Ending>>,
}

impl UnderWay {
    /// The call is under way until what this gives is dropped.
    pub fn enter(self: &Arc<Self>, call: CallUnderWay) -> Over {
        let id = call.id;
        let mut calls = lock(&self.calls);
        let (cut, line) = watch::channel(calls.stopping.then_some(Ending::Shutdown));
        calls.by_id.insert(id, (Arc::new(call), cut));
        Over { id, under_way: self.clone(), line }
    }

    /// Cuts those that this is true of.
    pub fn cut(&self, which: impl Fn(&CallUnderWay) -> bool) {
        let calls = lock(&self.calls);
        for (_, cut) in calls.by_id.values().filter(|(call, _)| which(call)) {
            cut.send_replace(Some(Ending::Revoked));
        }
    }

    /// Cuts all, and whatever is still to come: the sidecar stops.
    pub fn stop(&self) {
        let mut calls = lock(&self.calls);
        calls.stopping = true;
        #[expect(clippy::iter_over_hash_type, reason = "every call is told the same")]
        for (_, cut) in calls.by_id.values() {
            cut.send_replace(Some(Ending::Shutdown));
        }
    }

    /// Whether this call is under way and is not cut.
    pub fn goes_on(&self, id: CallId) -> bool {
        lock(&self.calls).by_id.get(&id).is_some_and(|(_, cut)| cut.borrow().is_none())
    }

    /// All of them, the earliest first.
    pub fn calls(&self) -> Vec<Arc<CallUnderWay>> {
        let mut calls: Vec<Arc<CallUnderWay>> =
            lock(&self.calls).by_id.values().map(|(call, _)| call.clone()).collect();
        calls.sort_by_key(|call| call.id);
        calls
    }
}

impl Over {
    /// A watch that tells by which ending the call is cut, once it is.
    pub fn line(&self) -> watch::Receiver<Option<Ending>> {
        self.line.clone()
    }

    /// Cuts it now.
    pub fn cut(&self) {
        self.under_way.cut_one(self.id);
    }
}

impl UnderWay {
    fn cut_one(&self, id: CallId) {
        if let Some((_, cut)) = lock(&self.calls).by_id.get(&id) {
            cut.send_replace(Some(Ending::Revoked));
        }
    }
}

impl Drop for Over {
    fn drop(&mut self) {
        drop(lock(&self.under_way.calls).by_id.remove(&self.id));
    }
}
