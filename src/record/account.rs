//! What a record tells of a call: which fields stand in the leaf, and which only under a commitment.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::event::{Closed, CredentialPlan, Event, Loaded, Opened, Permitted, Record, Refused};
use crate::judge::{No, Permit};
use crate::model::{Action, Call, CallId, Caller, Code, Digest, Facts, Intent, Peer, Task, TaskId, Timestamp};

type Private = BTreeMap<&'static str, Value>;

/// A call that was permitted, and what will be minted for it.
pub fn permitted(permit: &Permit, plan: CredentialPlan, at: Timestamp) -> Record {
    let call = permit.call();
    let mut private = Private::new();
    tell_caller(&call.caller, &mut private);
    tell_action(&call.action, &mut private);
    tell_intent(&call.intent, &mut private);
    let facts = tell_facts(permit.facts(), &mut private);
    private.insert("target", call.target.as_str().into());
    private.insert("content", call.content.digest.to_string().into());
    if !call.details.is_empty() {
        private.insert("details", json!(call.details));
    }
    let event = Event::Permitted(Box::new(Permitted {
        agent: call.caller.agent.to_string(),
        parent: call.parent,
        action: call.action.name.to_string(),
        effect: call.action.effect.name().to_owned(),
        audience: permit.scope().audience.clone(),
        method: call.method.to_string(),
        length: call.content.length,
        brought_credential: call.brought_credential,
        facts,
        rules: permit.rules().to_vec(),
        policies: permit.policies(),
        credential: plan,
    }));
    Record { at, call: Some(call.id), task: Some(call.task.id), event, private }
}

/// What is known of a call so far, for the record of its refusal.
#[derive(Debug)]
pub struct Known {
    id: CallId,
    task: Option<TaskId>,
    refused: Refused,
    private: Private,
}

impl Known {
    /// What a request shows before anything is understood.
    pub fn of<B>(id: CallId, peer: &Peer, request: &http::Request<B>) -> Self {
        let refused = Refused { method: shortened(request.method().as_str()), ..Refused::default() };
        let target = request.uri().path_and_query().map_or("", |target| target.as_str());
        let private = Private::from([("target", shortened(target).into()), ("peer", tell_peer(peer).into())]);
        Self { id, task: None, refused, private }
    }

    /// The task it belongs to, if that is known.
    pub fn task_id(&self) -> Option<TaskId> {
        self.task
    }

    /// Who asks is proven.
    pub fn caller(&mut self, caller: &Caller) {
        self.refused.agent = Some(caller.agent.to_string());
        tell_caller(caller, &mut self.private);
    }

    /// The task is known.
    pub fn task(&mut self, task: &Task) {
        self.task = Some(task.id);
    }

    /// What it does and says is understood.
    pub fn call(&mut self, call: &Call) {
        self.refused.action = Some(call.action.name.to_string());
        tell_action(&call.action, &mut self.private);
        tell_intent(&call.intent, &mut self.private);
    }

    /// It was judged.
    pub fn judged(&mut self, no: &No) {
        self.refused.facts = Some(tell_facts(&no.facts, &mut self.private));
        self.refused.policies = Some(no.policies);
        self.refused.rules = no.findings.iter().map(|finding| finding.rule.clone()).collect();
    }

    /// It is refused.
    pub fn refused(mut self, code: Code, why: &str, at: Timestamp) -> Record {
        self.refused.code = code.name().to_owned();
        self.refused.decision = code.decision().name().to_owned();
        self.private.insert("why", shortened(why).into());
        Record {
            at,
            call: Some(self.id),
            task: self.task,
            event: Event::Refused(Box::new(self.refused)),
            private: self.private,
        }
    }
}

/// A task that was opened, found by the digest of its token.
pub fn opened(task: &Task, token: Digest) -> Record {
    let mut private = Private::from([("goal", task.goal.as_str().into()), ("grant", json!(task.grant))]);
    if let Some(person) = &task.on_behalf_of {
        private.insert("on_behalf_of", person.as_str().into());
    }
    let event = Event::Opened(Opened {
        agent: task.agent.to_string(),
        opened_by: task.opened_by.name().to_owned(),
        token,
        parent: task.parent,
        depth: task.depth,
        expires_at: task.expires_at,
    });
    Record { at: task.opened_at, call: None, task: Some(task.id), event, private }
}

/// A task that was ended, by whom.
pub fn closed(task: &Task, by: &str, at: Timestamp) -> Record {
    Record {
        at,
        call: None,
        task: Some(task.id),
        event: Event::Closed(Closed { by: by.to_owned() }),
        private: Private::new(),
    }
}

/// What judges from here on.
pub fn loaded(loaded: Loaded, at: Timestamp) -> Record {
    Record { at, call: None, task: None, event: Event::Loaded(loaded), private: Private::new() }
}

fn tell_caller(caller: &Caller, private: &mut Private) {
    let workload = &caller.workload;
    private
        .insert("workload", json!({ "id": workload.id, "kind": workload.kind(), "attributes": workload.attributes }));
}

fn tell_action(action: &Action, private: &mut Private) {
    private.insert("resource", action.resource.as_str().into());
}

fn tell_intent(intent: &Intent, private: &mut Private) {
    if let Some(purpose) = &intent.purpose {
        private.insert("purpose", purpose.as_str().into());
    }
    if let Some(action) = &intent.action {
        private.insert("declared", json!({ "action": action, "resource": intent.resource }));
    }
}

/// The facts without those that are private.
fn tell_facts(facts: &Facts, private: &mut Private) -> Value {
    let mut told = serde_json::to_value(facts).unwrap_or_default();
    if let Some(args) = told
        .as_object_mut()
        .and_then(|facts| facts.remove("args"))
        .filter(|args| args.as_object().is_some_and(|args| !args.is_empty()))
    {
        private.insert("args", args);
    }
    if let Some(person) =
        told.get_mut("task").and_then(Value::as_object_mut).and_then(|task| task.remove("on_behalf_of"))
    {
        private.insert("on_behalf_of", person);
    }
    told
}

fn tell_peer(peer: &Peer) -> String {
    match peer {
        Peer::Process(process) => format!("pid {} uid {}", process.pid, process.uid),
        Peer::Loopback { address, uid } => {
            uid.map_or_else(|| address.to_string(), |uid| format!("{address} uid {uid}"))
        }
        Peer::Remote(address) => address.to_string(),
    }
}

/// What a stranger sent may be long; a record may not.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 2_048;
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    let head: String = text.chars().take(LONGEST / 4).collect();
    format!("{head}… ({} bytes, sha256 {})", text.len(), Digest::of(text.as_bytes()))
}
