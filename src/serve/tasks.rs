//! Tasks at the agent's door: opened before anything untrusted is read, amended, ended by whoever may.

mod sizes;

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::Full;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};

use super::reply;
use crate::mediate::{Asks, Mediator, More, Refusal, Whose};
use crate::memory::{MOST_OWN, OWN_A_SECOND};
use crate::model::{
    AgentName, ApprovalId, Caller, Clock, Code, Digest, Effect, Evidence, Given, Grant, OpenedBy, Task, TaskId,
    Timestamp,
};
use crate::record::{self, Known, Unavailable};

/// Where tasks are opened.
pub const PATH: &str = "/-/tasks";

/// How long a task lives where its opener does not say, in seconds.
const USUAL_TTL: u64 = 3_600;

/// Tasks that may stand above one, whatever the configuration allows: each call counts in all of them.
const DEEPEST: u64 = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Opening {
    #[serde(default)]
    goal: String,
    #[serde(default)]
    actions: Vec<Grant>,
    #[serde(default)]
    values: Vec<String>,
    on_behalf_of: Option<String>,
    parent: Option<String>,
    ttl: Option<u64>,
    agent: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Amending {
    #[serde(default)]
    actions: Vec<Grant>,
    #[serde(default)]
    values: Vec<String>,
}

#[derive(Serialize)]
struct OpenedTask<'a> {
    task: TaskId,
    token: &'a str,
    expires_at: Timestamp,
}

#[derive(Serialize)]
struct AmendedTask<'a> {
    task: TaskId,
    version: u32,
    actions: &'a [Grant],
}

/// What a request about a task meets. It goes on to its end, whether or not anybody waits for it.
pub struct TaskDoor {
    /// The walk's memory, rules and rail.
    pub mediator: Mediator,
    /// Where the time comes from.
    pub clock: Clock,
    /// What is known of it, for the record of its refusal.
    pub known: Known,
}

impl TaskDoor {
    /// `POST /-/tasks`, `POST /-/tasks/{id}/amendments` and `DELETE /-/tasks/{id}`. A refusal comes with what is known by
    /// then.
    pub async fn answer(
        mut self,
        evidence: Evidence,
        request: Request<Bytes>,
    ) -> Result<Response<Full<Bytes>>, (Refusal, Known)> {
        let path = request.uri().path().strip_prefix(PATH).unwrap_or_default().trim_start_matches('/');
        let answered = match (request.method(), path, path.strip_suffix("/amendments")) {
            (&Method::POST, "", _) => self.open(&evidence, &request).await,
            (&Method::POST, _, Some(id)) => self.amend(&evidence, id, &request).await,
            (&Method::DELETE, id, None) => self.end(&evidence, id).await,
            _ => Err(Refusal::Door(
                Code::MethodUnknown,
                "open a task with POST /-/tasks, amend it with POST /-/tasks/{id}/amendments, end it with DELETE \
                 /-/tasks/{id}"
                    .to_owned(),
            )),
        };
        answered.map_err(|why| (why, self.known))
    }

    async fn open(&mut self, evidence: &Evidence, request: &Request<Bytes>) -> Result<Response<Full<Bytes>>, Refusal> {
        let (now, begun) = (self.clock.now(), Instant::now());
        let opening: Opening = serde_json::from_slice(request.body())
            .map_err(|error| unclear(format!("the task cannot be read: {error}")))?;
        let opener = self.opener(evidence, opening.agent.as_deref(), now)?;
        self.check(&opener.agent, &opening)?;
        self.room(&opener, now)?;
        let parent = match &opening.parent {
            Some(named) => Some(self.parent(&opener, named, &opening, now)?),
            None => None,
        };
        let token = Token::new()?;
        let task = task(opening, &opener, parent.as_deref(), (now, token.id));
        let loan = match task.parent {
            Some(parent) => Some(self.mediator.memory.lend(parent, &task.grant, now)?),
            None => None,
        };
        let found_by = Digest::of(token.text.as_bytes());
        if let Err(why) = self.mediator.rail.commit(record::opened(&task, found_by)).await {
            // A record that is late may be written yet.
            if let Some(loan) = loan.filter(|_| matches!(why, Unavailable::Late(_))) {
                loan.lose();
            }
            return Err(why.into());
        }
        let expires_at = task.expires_at.unwrap_or(now);
        self.mediator.spans.opened(&task, request.headers(), begun);
        let answer = reply::json(201, &OpenedTask { task: task.id, token: &token.text, expires_at });
        let Some(loan) = loan else {
            self.mediator.memory.open(task, found_by, now);
            return Ok(answer);
        };
        let ended = record::closed(&task, "parent", now);
        // Its parent may have been ended while this was written down.
        self.mediator.memory.open_child(task, found_by, loan, now).inspect_err(|_| self.mediator.rail.note(ended))?;
        Ok(answer)
    }

    async fn amend(
        &mut self,
        evidence: &Evidence,
        id: &str,
        request: &Request<Bytes>,
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        let now = self.clock.now();
        let amending: Amending = serde_json::from_slice(request.body())
            .map_err(|error| unclear(format!("the amendment cannot be read: {error}")))?;
        let (task, opener) = self.own(evidence, id, now)?;
        let Amending { actions, values } = amending;
        if actions.is_empty() && values.is_empty() {
            return Err(unclear("an amendment names actions, or values".to_owned()));
        }
        sizes::values(&values).map_err(unclear)?;
        let lines = self.lines(&opener.agent, actions)?;
        let more = match opener.by {
            OpenedBy::Framework => More { lines, values },
            OpenedBy::Agent | OpenedBy::Nobody if !values.is_empty() => {
                return Err(unclear("only a proof in `open_tasks` vouches for values".to_owned()));
            }
            OpenedBy::Agent | OpenedBy::Nobody if lines.iter().any(|(grant, _)| grant.resource.is_none()) => {
                return Err(unclear("an agent asks for one resource at a time; add `resource`".to_owned()));
            }
            OpenedBy::Agent | OpenedBy::Nobody => More { lines, values: Vec::new() },
        };
        let asks = Asks { call: self.known.id(), approval: approval(request.headers())? };
        let whose = opener.caller.as_ref().map_or(Whose::Opener, |caller| Whose::Agent(caller, asks));
        let task = self.mediator.amend(task.id, more, whose).await?;
        Ok(reply::json(200, &AmendedTask { task: task.id, version: task.version, actions: &task.grant }))
    }

    async fn end(&mut self, evidence: &Evidence, id: &str) -> Result<Response<Full<Bytes>>, Refusal> {
        let now = self.clock.now();
        let (task, opener) = self.own(evidence, id, now)?;
        let by = match opener.by {
            OpenedBy::Framework => "opener",
            OpenedBy::Agent | OpenedBy::Nobody => "agent",
        };
        self.mediator.end_task(&task, by, now).await?;
        let mut answer = reply::json(204, &());
        *answer.body_mut() = Full::default();
        Ok(answer)
    }

    /// The task of this id, and who asks something of it: a proof in its agent's `open_tasks`, or the agent itself.
    fn own(&mut self, evidence: &Evidence, id: &str, now: Timestamp) -> Result<(Arc<Task>, Opener), Refusal> {
        let over = || Refusal::Door(Code::TaskOver, "there is no such task, or it is not yours".to_owned());
        let task = id.parse().ok().and_then(|id| self.mediator.memory.find(id, now)).ok_or_else(over)?;
        let opener = self.opener(evidence, Some(task.agent.as_str()), now)?;
        if opener.agent != task.agent || task.opened_by == OpenedBy::Nobody {
            return Err(over());
        }
        self.known.task(&task);
        Ok((task, opener))
    }

    /// Whose task it is, and who opens it: a proof in the agent's `open_tasks`, or else the agent itself.
    fn opener(&mut self, evidence: &Evidence, named: Option<&str>, now: Timestamp) -> Result<Opener, Refusal> {
        let rulebook = self.mediator.rulebook.now();
        let identify = &rulebook.identify;
        let wanted = |agent: &AgentName| named.is_none_or(|named| named == agent.as_str());
        let mut opens: Vec<AgentName> = identify
            .agents()
            .filter(|agent| wanted(agent) && identify.opener(agent, evidence, now).is_some())
            .cloned()
            .collect();
        match (opens.pop(), opens.is_empty()) {
            (Some(agent), true) => Ok(Opener { agent, by: OpenedBy::Framework, caller: None }),
            (Some(_), false) => {
                Err(unclear("this proof opens tasks for several agents; say which as `agent`".to_owned()))
            }
            (None, _) => {
                let caller = identify.caller(evidence, now)?;
                if !wanted(&caller.agent) {
                    return Err(Refusal::Door(Code::CallerUnproven, String::new()));
                }
                self.known.caller(&caller);
                Ok(Opener { agent: caller.agent.clone(), by: OpenedBy::Agent, caller: Some(caller) })
            }
        }
    }

    /// The task that a child is opened in. Whoever opens an agent's tasks names it by its id or its token; the agent
    /// itself only by its token, which shows that it works in it.
    fn parent(
        &mut self,
        opener: &Opener,
        named: &str,
        opening: &Opening,
        now: Timestamp,
    ) -> Result<Arc<Task>, Refusal> {
        let memory = &self.mediator.memory;
        let by_token = || memory.find_by_token(Digest::of(named.as_bytes()), now);
        let by_id = || named.parse().ok().and_then(|id| memory.find(id, now));
        let found = match opener.by {
            OpenedBy::Framework => by_token().or_else(by_id),
            OpenedBy::Agent | OpenedBy::Nobody => by_token(),
        };
        let fits = |task: &Arc<Task>| task.agent == opener.agent && task.opened_by != OpenedBy::Nobody;
        let parent = found
            .filter(fits)
            .ok_or_else(|| Refusal::Door(Code::TaskOver, "there is no such parent, or it is not yours".to_owned()))?;
        self.known.task(&parent);
        let depth = u64::from(parent.depth).saturating_add(1);
        let deepest = self.mediator.rulebook.now().bounds.max_depth(&opener.agent).unwrap_or(DEEPEST).min(DEEPEST);
        if depth > deepest {
            return Err(Refusal::Door(
                Code::ChainLimitReached,
                format!("{deepest} tasks may stand above one, and no more"),
            ));
        }
        let denied = |why: &str| Err(Refusal::Door(Code::Denied, why.to_owned()));
        if opening.on_behalf_of.is_some() && opening.on_behalf_of != parent.on_behalf_of {
            return denied("a task is on behalf of whom its parent is");
        }
        if !parent.values.covers(&opening.values) {
            return denied("the parent does not vouch for one of these values");
        }
        Ok(parent)
    }

    /// An agent opens so many tasks for itself and no more; a framework as many as it has to.
    fn room(&self, opener: &Opener, now: Timestamp) -> Result<(), Refusal> {
        match opener.by {
            OpenedBy::Agent if !self.mediator.memory.may_open_own(&opener.agent, now) => Err(Refusal::Door(
                Code::ChainLimitReached,
                format!(
                    "an agent has up to {MOST_OWN} tasks open that it opened for itself, and opens up to {OWN_A_SECOND} a \
                     second; end those that are done with"
                ),
            )),
            OpenedBy::Agent | OpenedBy::Framework | OpenedBy::Nobody => Ok(()),
        }
    }

    fn check(&self, agent: &AgentName, opening: &Opening) -> Result<(), Refusal> {
        sizes::goal(&opening.goal, opening.on_behalf_of.as_deref()).map_err(unclear)?;
        sizes::ttl(opening.ttl).map_err(unclear)?;
        sizes::values(&opening.values).map_err(unclear)?;
        self.lines(agent, opening.actions.clone()).map(drop)
    }

    /// Each with what its action does; an action the agent's tools do not have is refused.
    fn lines(&self, agent: &AgentName, grants: Vec<Grant>) -> Result<Vec<(Grant, Effect)>, Refusal> {
        sizes::grant(&grants).map_err(unclear)?;
        let rulebook = self.mediator.rulebook.now();
        let known = |grant: Grant| {
            let mut actions = rulebook.catalog.tools_of(agent).flat_map(|tool| &tool.actions);
            match actions.find(|action| action.name == grant.action) {
                Some(action) => Ok((grant, action.effect)),
                None => Err(unclear(format!(
                    "`{}` is no action of this agent's tools; write `TOOL/ACTION`",
                    grant.action.escape_debug()
                ))),
            }
        };
        grants.into_iter().map(known).collect()
    }
}

/// Who opens, amends or ends a task of an agent; the agent itself is a proven caller.
struct Opener {
    agent: AgentName,
    by: OpenedBy,
    caller: Option<Caller>,
}

/// What nobody can guess: a task's token, and the random part of its id.
struct Token {
    text: String,
    id: [u8; 10],
}

impl Token {
    fn new() -> Result<Self, Refusal> {
        let mut random = [0; 42];
        let none = |_| Refusal::Door(Code::IssuerUnavailable, String::new());
        SystemRandom::new().fill(&mut random).map_err(none)?;
        let (secret, id) = random.split_at(32);
        let text = format!("cst_{}", URL_SAFE_NO_PAD.encode(secret));
        Ok(Self { text, id: id.try_into().unwrap_or_default() })
    }
}

/// The task as asked; a child of `parent` no wider than that: it is over no later, for the same person, and trusted no
/// more. What an agent opens attests no value.
fn task(opening: Opening, opener: &Opener, parent: Option<&Task>, (now, random): (Timestamp, [u8; 10])) -> Task {
    let ends = now.after(Duration::from_secs(opening.ttl.unwrap_or(USUAL_TTL)));
    let opened_by = match (opener.by, parent.map(|parent| parent.opened_by)) {
        (OpenedBy::Framework, None | Some(OpenedBy::Framework)) => OpenedBy::Framework,
        (OpenedBy::Framework | OpenedBy::Agent | OpenedBy::Nobody, _) => OpenedBy::Agent,
    };
    let values = match opened_by {
        OpenedBy::Framework => Given::new(&opening.values),
        OpenedBy::Agent | OpenedBy::Nobody => Given::default(),
    };
    Task {
        id: TaskId::new(now, random),
        agent: opener.agent.clone(),
        opened_by,
        on_behalf_of: parent.map_or(opening.on_behalf_of, |parent| parent.on_behalf_of.clone()),
        goal: opening.goal,
        grant: opening.actions,
        version: 1,
        values: Arc::new(values),
        parent: parent.map(|parent| parent.id),
        depth: parent.map_or(0, |parent| parent.depth.saturating_add(1)),
        opened_at: now,
        expires_at: Some(parent.and_then(|parent| parent.expires_at).map_or(ends, |end| end.min(ends))),
    }
}

fn unclear(why: String) -> Refusal {
    Refusal::Door(Code::RequestUnclear, why)
}

/// What an agent says somebody has agreed to.
fn approval(headers: &HeaderMap) -> Result<Option<ApprovalId>, Refusal> {
    let mut named = headers.get_all("agent-approval").iter();
    let (Some(value), None) = (named.next(), named.next()) else {
        return if headers.contains_key("agent-approval") {
            Err(unclear("send `Agent-Approval` once".to_owned()))
        } else {
            Ok(None)
        };
    };
    let id = value.to_str().ok().and_then(|text| text.parse().ok());
    id.map(Some).ok_or_else(|| unclear("`Agent-Approval` is no approval id".to_owned()))
}
