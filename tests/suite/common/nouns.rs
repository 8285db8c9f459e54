//! The nouns that tests of single steps are made of: a caller, a task, a tool, a call.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use countersign::memory::{Bounds, ChainRule, LimitRule, Memory, Reservation, TaskOver};
use countersign::model::{
    Action, AgentName, Call, CallId, Caller, Content, Digest, Effect, Facts, OpenedBy, Payload, Proof, Task, TaskId,
    Timestamp, Tool, Workload,
};
use http::{HeaderMap, Method};

/// A Sunday, 05:20 UTC.
const START: i64 = 1_795_324_800_000;

/// So many milliseconds after the start.
pub fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(START + millis)
}

pub fn agent(name: &str) -> AgentName {
    AgentName(name.into())
}

/// An agent proven by a token, as the workload of this name.
pub fn caller(name: &str, workload: &str) -> Caller {
    let workload = Workload { proofs: vec![Proof::Token], id: workload.to_owned(), attributes: BTreeMap::new() };
    Caller { agent: agent(name), workload: Arc::new(workload), expires_at: None }
}

/// A task of an hour that a framework opened at the start. Equal numbers are equal tasks.
pub fn task(name: &str, number: u8) -> Task {
    Task {
        id: TaskId::new(at(0), [number; 10]),
        agent: agent(name),
        opened_by: OpenedBy::Framework,
        on_behalf_of: None,
        goal: "answer the issue".to_owned(),
        grant: Vec::new(),
        version: 1,
        values: Arc::default(),
        parent: None,
        depth: 0,
        opened_at: at(0),
        expires_at: Some(at(3_600_000)),
    }
}

/// What a task's token is found by.
pub fn token(task: &Task) -> Digest {
    Digest::of(task.id.to_string().as_bytes())
}

pub fn tool(name: &str) -> Arc<Tool> {
    Arc::new(Tool {
        name: name.into(),
        scheme: http::uri::Scheme::HTTPS,
        authority: http::uri::Authority::from_static("api.example.com"),
        base_path: String::new(),
        networks: Vec::new(),
        issuer: "none".into(),
        max_call: Duration::from_secs(60),
        max_body: 1_024,
        request_headers: Vec::new(),
        answer_headers: Vec::new(),
    })
}

/// A call at the start: `github/issues.get` on `octo/hello`.
pub fn call(caller: &Caller, task: &Arc<Task>, action: &str, resource: &str) -> Call {
    let (of, _) = action.split_once('/').unwrap();
    Call {
        id: CallId::new(at(0), [0; 10]),
        task: task.clone(),
        parent: None,
        approval: None,
        caller: caller.clone(),
        intent: Arc::default(),
        action: Arc::new(Action {
            tool: of.into(),
            name: action.into(),
            effect: Effect::Read,
            resource: format!("{of}/{resource}"),
            arguments: BTreeMap::new(),
            critical: Vec::new(),
            yields: Arc::new([]),
            fields: Arc::new([]),
            rewrite: Arc::new([]),
        }),
        tool: tool(of),
        method: Method::GET,
        target: format!("/{resource}"),
        headers: HeaderMap::new(),
        payload: Payload::Whole(Bytes::new()),
        content: Content::of(b""),
        details: BTreeMap::new(),
        door: String::new(),
        brought_credential: false,
        received_at: at(0),
    }
}

/// A memory, and the bounds of whom it remembers.
pub struct Bounded {
    memory: Memory,
    bounds: Bounds,
}

impl Bounded {
    pub fn new(limits: Vec<LimitRule>, chains: BTreeMap<AgentName, ChainRule>) -> Self {
        Self { memory: Memory::default(), bounds: Bounds::new(limits, chains) }
    }

    /// With nothing agreed to.
    pub fn reserve(&self, call: &Call) -> Result<(Facts, Reservation), TaskOver> {
        self.memory.reserve(call, &self.bounds, None)
    }
}

impl Deref for Bounded {
    type Target = Memory;

    fn deref(&self) -> &Memory {
        &self.memory
    }
}
