//! What a record tells of a call: which fields stand in the leaf, and which only under a commitment.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use http::{Method, Uri};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::PastQuestion;
use super::credential::CredentialPlan;
use super::event::{Closed, Erased, Event, Loaded, Opened, Permitted, Record, Refused};
use super::facts::FactsNote;
use super::people::{Amended, Answer, Asked, GlassBroken, NotLoaded, Quarantined, Released, Resolved, Reviewed};
use crate::judge::{No, Permit};
use crate::model::{
    About, Action, AgentName, Call, CallId, Caller, Code, Decision, Digest, Facts, Finding, Grant, Intent, Peer, Task,
    TaskId, Timestamp, names_credential,
};

type Private = BTreeMap<&'static str, Value>;

/// A call that was permitted, and what will be minted for it.
pub fn permitted(permit: &Permit, plan: CredentialPlan, at: Timestamp) -> Record {
    let call = permit.call();
    let mut private = tell_call(call);
    tell_of_facts(permit.facts(), &mut private);
    let event = Event::Permitted(Box::new(Permitted {
        agent: call.caller.agent.to_string(),
        parent: call.parent,
        action: call.action.name.to_string(),
        effect: call.action.effect.name().to_owned(),
        audience: permit.scope().audience.clone(),
        method: call.method.to_string(),
        length: call.content.length(),
        brought_credential: call.brought_credential,
        facts: FactsNote::Judged(permit.facts().clone()),
        rules: permit.rules().to_vec(),
        ttl_ms: u64::try_from(permit.ttl().as_millis()).ok(),
        would: permit.would().cloned(),
        policies: permit.policies(),
        credential: plan,
    }));
    Record { at, call: Some(call.id), task: Some(call.task.id), event, private }
}

/// What is private of what somebody is asked about.
pub struct Told(Private);

/// That of a call.
pub fn told(call: &Call) -> Told {
    Told(tell_call(call))
}

/// That of an amendment: who asks, and the lines that its task's grant is to have more.
pub fn told_of_grant(caller: &Caller, lines: &[Grant]) -> Told {
    let mut private = Private::from([("grant", json!(lines))]);
    tell_caller(caller, &mut private);
    Told(private)
}

/// A call waits for somebody to agree.
pub fn asked(about: &About, told: Told, policies: Digest) -> Record {
    let Told(mut private) = told;
    let facts = tell_facts(&about.facts, &mut private);
    let event = Event::Asked(Box::new(Asked {
        approval: about.id,
        decision: Decision::Ask.name().to_owned(),
        agent: about.agent.to_string(),
        action: about.action.to_string(),
        effect: about.effect.name().to_owned(),
        method: about.method.clone(),
        rules: about.rules.iter().map(|(rule, asking)| (rule.clone(), asking.rule)).collect(),
        who: about.rules.values().map(|asking| asking.who.clone()).collect(),
        bound: about.bound,
        expires_at: about.expires_at,
        facts,
        policies,
    }));
    Record { at: about.asked_at, call: Some(about.call), task: Some(about.task), event, private }
}

/// What became of a question, who said so, and why.
pub fn resolved(about: &About, answer: Answer, by: Option<&str>, why: &str, at: Timestamp) -> Record {
    let private = if why.is_empty() { Private::new() } else { Private::from([("why", shortened(why).into())]) };
    let event = Event::Resolved(Resolved { approval: about.id, answer, by: by.map(str::to_owned) });
    Record { at, call: Some(about.call), task: Some(about.task), event, private }
}

/// The glass was broken for an agent, by whom and why, until then.
pub fn glass_broken(agent: &AgentName, (by, why): (&str, &str), until: Timestamp, at: Timestamp) -> Record {
    let event = Event::GlassBroken(GlassBroken { agent: agent.to_string(), by: by.to_owned(), until });
    Record { at, call: None, task: None, event, private: Private::from([("why", shortened(why).into())]) }
}

/// Somebody has looked at what was done while it was.
pub fn reviewed(record: u64, (by, note): (&str, &str), at: Timestamp) -> Record {
    let private = if note.is_empty() { Private::new() } else { Private::from([("note", shortened(note).into())]) };
    let event = Event::Reviewed(Reviewed { record, by: by.to_owned() });
    Record { at, call: None, task: None, event, private }
}

/// A question of an earlier run is over: the call that it was about was kept by that run.
pub fn lapsed(question: &PastQuestion, at: Timestamp) -> Record {
    let PastQuestion { approval, call, task, .. } = *question;
    let event = Event::Resolved(Resolved { approval, answer: Answer::Expired, by: None });
    let private = Private::from([("why", "the sidecar was stopped before it was answered".into())]);
    Record { at, call, task, event, private }
}

/// What is known of a call so far, kept for the record of its refusal. Only a refusal makes one of it.
#[derive(Debug)]
pub struct Known {
    id: CallId,
    peer: Arc<Peer>,
    method: Method,
    target: Uri,
    caller: Option<Caller>,
    task: Option<TaskId>,
    understood: Option<(Arc<Action>, Arc<Intent>)>,
}

impl Known {
    /// What a request shows before anything is understood.
    pub fn of<B>(id: CallId, peer: &Arc<Peer>, request: &http::Request<B>) -> Self {
        let (method, target) = (request.method().clone(), request.uri().clone());
        Self { id, peer: peer.clone(), method, target, caller: None, task: None, understood: None }
    }

    /// Of a call that was kept, and for which this peer comes back.
    pub fn of_kept(call: &Call, peer: &Arc<Peer>) -> Self {
        Self {
            id: call.id,
            peer: peer.clone(),
            method: call.method.clone(),
            target: call.target.parse().unwrap_or_default(),
            caller: Some(call.caller.clone()),
            task: Some(call.task.id),
            understood: Some((call.action.clone(), call.intent.clone())),
        }
    }

    /// The call.
    pub fn id(&self) -> CallId {
        self.id
    }

    /// The task it belongs to, if that is known.
    pub fn task_id(&self) -> Option<TaskId> {
        self.task
    }

    /// Who asks is proven.
    pub fn caller(&mut self, caller: &Caller) {
        self.caller = Some(caller.clone());
    }

    /// The task is known.
    pub fn task(&mut self, task: &Task) {
        self.task = Some(task.id);
    }

    /// What it does and says is understood.
    pub fn call(&mut self, call: &Call) {
        self.understood = Some((call.action.clone(), call.intent.clone()));
    }

    /// It is refused: by a judgement, or before one.
    pub fn refused(&self, code: Code, (no, findings): (Option<&No>, &[Finding]), why: &str, at: Timestamp) -> Record {
        let mut refused = Refused {
            code: code.name().to_owned(),
            decision: code.decision().name().to_owned(),
            method: shortened(self.method.as_str()),
            ..Refused::default()
        };
        let target = self.target.path_and_query().map_or("", |target| target.as_str());
        let mut private = Private::from([
            ("target", shortened(&without_credentials(target)).into()),
            ("peer", tell_peer(&self.peer).into()),
            ("why", shortened(why).into()),
        ]);
        if let Some(caller) = &self.caller {
            refused.agent = Some(caller.agent.to_string());
            tell_caller(caller, &mut private);
        }
        if let Some((action, intent)) = &self.understood {
            refused.action = Some(action.name.to_string());
            tell_action(action, &mut private);
            tell_intent(intent, &mut private);
        }
        if let Some(no) = no {
            refused.facts = Some(tell_facts(&no.facts, &mut private));
            refused.policies = Some(no.policies);
        }
        refused.rules = findings.iter().map(|finding| finding.rule.clone()).collect();
        Record { at, call: Some(self.id), task: self.task, event: Event::Refused(Box::new(refused)), private }
    }
}

/// A task that was opened, found by the digest of its token.
pub fn opened(task: &Task, token: Digest) -> Record {
    let mut private = Private::from([("goal", task.goal.as_str().into()), ("grant", json!(task.grant))]);
    tell_values(task, &mut private);
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

/// A task whose grant has become another one: as it is from here on, who decided that, and how it was judged if it was.
pub fn amended(task: &Task, by: &str, judged: Option<Judged<'_>>, at: Timestamp) -> Record {
    let mut private = Private::from([("grant", json!(task.grant))]);
    tell_values(task, &mut private);
    let mut amended = Amended {
        agent: task.agent.to_string(),
        version: task.version,
        by: by.to_owned(),
        rules: Vec::new(),
        policies: None,
        facts: None,
    };
    if let Some(Judged { rules, policies, facts }) = judged {
        amended.rules = rules;
        amended.policies = Some(policies);
        amended.facts = facts.map(|facts| tell_facts(facts, &mut private));
    }
    Record { at, call: None, task: Some(task.id), event: Event::Amended(amended), private }
}

/// How an amendment was judged.
pub struct Judged<'a> {
    /// By these rules.
    pub rules: Vec<String>,
    /// Of what was loaded then.
    pub policies: Digest,
    /// On these facts.
    pub facts: Option<&'a Facts>,
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

/// The private fields of these records are to be erased, as somebody asked. Writing this erases them.
pub fn erased(call: CallId, records: Vec<u64>, by: &str, why: &str, at: Timestamp) -> Record {
    let private = if why.is_empty() { Private::new() } else { Private::from([("why", shortened(why).into())]) };
    let event = Event::Erased(Erased { records, by: by.to_owned() });
    Record { at, call: Some(call), task: None, event, private }
}

/// What judges from here on.
pub fn loaded(loaded: Loaded, at: Timestamp) -> Record {
    Record { at, call: None, task: None, event: Event::Loaded(loaded), private: Private::new() }
}

/// What was to be loaded makes no sense; these policies go on.
pub fn not_loaded(policies: Digest, why: &str, at: Timestamp) -> Record {
    of_people(Event::NotLoaded(NotLoaded { policies }), why, at)
}

/// An agent was stopped, by whom.
pub fn quarantined(agent: &AgentName, by: &str, why: &str, at: Timestamp) -> Record {
    of_people(Event::Quarantined(Quarantined { agent: agent.to_string(), by: by.to_owned() }), why, at)
}

/// It may go on, as this one says.
pub fn released(agent: &AgentName, by: &str, why: &str, at: Timestamp) -> Record {
    of_people(Event::Released(Released { agent: agent.to_string(), by: by.to_owned() }), why, at)
}

fn of_people(event: Event, why: &str, at: Timestamp) -> Record {
    let why = (!why.is_empty()).then(|| ("why", shortened(why).into()));
    Record { at, call: None, task: None, event, private: why.into_iter().collect() }
}

fn tell_caller(caller: &Caller, private: &mut Private) {
    let workload = &caller.workload;
    private
        .insert("workload", json!({ "id": workload.id, "kind": workload.kind(), "attributes": workload.attributes }));
}

fn tell_action(action: &Action, private: &mut Private) {
    private.insert("resource", action.resource.as_str().into());
}

/// What is private of a call that was understood and judged.
fn tell_call(call: &Call) -> Private {
    let mut private = Private::from([("target", call.target.as_str().into())]);
    tell_caller(&call.caller, &mut private);
    tell_action(&call.action, &mut private);
    tell_intent(&call.intent, &mut private);
    if let Some(digest) = call.content.digest() {
        private.insert("content", digest.to_string().into());
    }
    if !call.details.is_empty() {
        private.insert("details", json!(call.details));
    }
    private
}

fn tell_intent(intent: &Intent, private: &mut Private) {
    if let Some(purpose) = &intent.purpose {
        private.insert("purpose", purpose.as_str().into());
    }
    if let Some(action) = &intent.action {
        private.insert("declared", json!({ "action": action, "resource": intent.resource }));
    }
}

fn tell_values(task: &Task, private: &mut Private) {
    if !task.values.is_empty() {
        private.insert("values", json!(task.values));
    }
}

/// The facts for the record; those that are private go under commitments.
fn tell_facts(facts: &Facts, private: &mut Private) -> FactsNote {
    tell_of_facts(facts, private);
    FactsNote::Judged(Arc::new(facts.clone()))
}

fn tell_of_facts(facts: &Facts, private: &mut Private) {
    if !facts.args.is_empty() {
        private.insert("args", json!(facts.args));
    }
    if let Some(person) = &facts.task.on_behalf_of {
        private.insert("on_behalf_of", person.as_str().into());
    }
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

/// A target without the values of credentials that an agent put in its query.
fn without_credentials(target: &str) -> Cow<'_, str> {
    let Some((path, query)) = target.split_once('?') else { return Cow::Borrowed(target) };
    let key =
        |pair: &str| percent_decode_str(pair.split('=').next().unwrap_or_default()).decode_utf8_lossy().into_owned();
    if !query.split('&').any(|pair| names_credential(&key(pair))) {
        return Cow::Borrowed(target);
    }
    let told = |pair: &str| if names_credential(&key(pair)) { format!("{}=…", key(pair)) } else { pair.to_owned() };
    Cow::Owned(format!("{path}?{}", query.split('&').map(told).collect::<Vec<_>>().join("&")))
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
