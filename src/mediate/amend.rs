//! What becomes of a task: its grant gets lines more, because whoever opens its agent's tasks says so or because the agent
//! asks and it is judged; or it is ended, and all that came out of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Mediator, Refusal, ask};
use crate::judge::{AMEND, Question};
use crate::memory::{Agreed, Closed, bound};
use crate::model::{
    About, ApprovalId, Argument, CallId, Caller, Decision, Digest, Effect, Facts, Finding, Grant, Task, TaskId,
    Timestamp,
};
use crate::record::{Judged, Unavailable, amended, closed, learned, told_of_grant};

/// Lines, and values, that a task may have.
const MOST: usize = 256;

/// What a task is to have more.
#[derive(Debug)]
pub struct More {
    /// Lines of its grant, each with what its action does.
    pub lines: Vec<(Grant, Effect)>,
    /// Values that the opener vouches for.
    pub values: Vec<String>,
}

/// Who says that it is to have more.
#[derive(Clone, Copy, Debug)]
pub enum Whose<'a> {
    /// Whoever opens the agent's tasks: it holds at once.
    Opener,
    /// The agent itself: it is judged.
    Agent(&'a Caller, Asks),
}

/// By which request an agent asks, and what it says somebody has agreed to.
#[derive(Clone, Copy, Debug)]
pub struct Asks {
    /// The request.
    pub call: CallId,
    /// The approval.
    pub approval: Option<ApprovalId>,
}

impl Mediator {
    /// Amends a task. What it has from then on stands in the lineage before it holds; of several at once, one comes after
    /// the other.
    pub async fn amend(&self, id: TaskId, more: More, whose: Whose<'_>) -> Result<Arc<Task>, Refusal> {
        let turn = self.memory.turn(id).await?;
        let task = turn.task();
        let judged = match whose {
            Whose::Opener => None,
            Whose::Agent(caller, asks) => Some(self.judge_amendment(&task, &more, (caller, asks)).await?),
        };
        let asked: Vec<Grant> = more.lines.into_iter().map(|(grant, _)| grant).collect();
        let now = self.rail.now();
        let proposed = turn.propose(&asked, &more.values, MOST, now)?;
        let by = match &judged {
            None => "opener".to_owned(),
            Some(Allowed { agreed: None, .. }) => "policy".to_owned(),
            Some(Allowed { agreed: Some(agreed), .. }) => agreed.id().to_string(),
        };
        let judgement = judged.as_ref().map(|Allowed { rules, policies, facts, .. }| Judged {
            rules: rules.clone(),
            policies: *policies,
            facts: facts.as_deref(),
        });
        match self.rail.commit(amended(proposed.task(), &by, judgement, now)).await {
            Ok(_) => {
                if let Some(agreed) = judged.and_then(|judged| judged.agreed) {
                    agreed.spend();
                }
                Ok(proposed.hold())
            }
            Err(why) => {
                // A record that is late may be written yet.
                if matches!(why, Unavailable::Late(_)) {
                    proposed.lose();
                }
                Err(why.into())
            }
        }
    }

    /// Ends a task, and all that came out of it: their records say so first.
    pub async fn end_task(&self, task: &Task, by: &str, now: Timestamp) -> Result<(), Unavailable> {
        self.rail.commit(closed(task, by, now)).await?;
        let ended = self.memory.close(task.id);
        for Closed { task: child, .. } in ended.iter().skip(1) {
            self.rail.note(closed(child, "parent", now));
        }
        self.cancel(|about| about.task == task.id || ended.iter().any(|ended| ended.task.id == about.task));
        // What came out of it was not at its end yet: that teaches nothing.
        let shown = ended.first().filter(|_| by == "opener").and_then(|ended| ended.course.as_ref());
        if let Some(course) = shown {
            self.rail.note(learned(task, course, now));
            self.memory.baselines().note(&task.agent, course);
        }
        Ok(())
    }

    /// Whether policy lets the grant have all of these lines. The mode of the agent plays no part: what is not enforced
    /// needs no grant.
    ///
    /// Where it asks, somebody is asked: the same amendment, sent again with their answer, is judged with that as a fact.
    async fn judge_amendment(
        &self,
        task: &Task,
        more: &More,
        (caller, asks): (&Caller, Asks),
    ) -> Result<Allowed, Refusal> {
        let rulebook = self.rulebook.now();
        let bound = bound_of(task, more, caller);
        let agreed = match asks.approval {
            Some(id) => Some(self.memory.desk().repeat(id, &caller.agent, bound, self.rail.now())?),
            None => None,
        };
        let mut allowed = Allowed { rules: Vec::new(), policies: rulebook.policies.version(), facts: None, agreed };
        let mut findings: Vec<Finding> = Vec::new();
        for (grant, effect) in &more.lines {
            let (resource, args) = asked(grant, *effect);
            let declared = task.grant.iter().any(|line| grant.is_within(line));
            let mut facts = self.memory.regard(caller, task, (declared, args), self.rail.now())?;
            if let Some(agreed) = &allowed.agreed {
                facts.approval = agreed.facts().clone();
                rulebook.policies.keep_agreed(&mut facts);
            }
            let question = Question { agent: &caller.agent, action: AMEND, resource: &resource };
            let outcome = rulebook.policies.decide(&question, &facts);
            match outcome.decision() {
                Decision::Allow => allowed.rules.extend_from_slice(&outcome.rules),
                Decision::Ask | Decision::Throttle | Decision::Deny | Decision::Unavailable => {
                    findings.extend_from_slice(&outcome.findings);
                }
            }
            allowed.facts.get_or_insert(Box::new(facts));
        }
        allowed.rules.sort();
        allowed.rules.dedup();
        if findings.is_empty() {
            return Ok(allowed);
        }
        let only_asks = allowed.agreed.is_none() && findings.iter().all(|finding| finding.ask.is_some());
        let Some((facts, id)) = allowed.facts.filter(|_| only_asks).zip(ask::name()) else {
            self.memory.doubt(task.id);
            return Err(Refusal::NotAmended(findings.into()));
        };
        let about = About {
            id,
            rules: ask::asking(&findings),
            bound,
            ..about(task, more, (caller, asks.call), (*facts, self.rail.now(), rulebook.bounds.desk().wait))
        };
        let lines: Vec<Grant> = more.lines.iter().map(|(grant, _)| grant.clone()).collect();
        Err(self.ask_about_grant(about, told_of_grant(caller, &lines), &findings).await)
    }
}

/// How it was judged.
struct Allowed {
    rules: Vec<String>,
    policies: Digest,
    facts: Option<Box<Facts>>,
    agreed: Option<Agreed>,
}

/// Digest of all that an answer is bound to: who asks, for which task, and every line.
fn bound_of(task: &Task, more: &More, caller: &Caller) -> Digest {
    let lines: Vec<String> = more.lines.iter().map(|(grant, _)| line(grant)).collect();
    let mut parts: Vec<&[u8]> = vec![AMEND.as_bytes(), caller.agent.as_str().as_bytes(), task.id.as_bytes()];
    parts.extend(lines.iter().map(String::as_bytes));
    bound(&parts)
}

/// What a reviewer is asked about lines: each of them is among the values that they see.
fn about(
    task: &Task,
    more: &More,
    (caller, call): (&Caller, CallId),
    (facts, now, wait): (Facts, Timestamp, Duration),
) -> About {
    let (first, effect) =
        more.lines.first().map_or((String::new(), Effect::Read), |(grant, effect)| (asked(grant, *effect).0, *effect));
    let args = more.lines.iter().enumerate();
    About {
        id: ApprovalId::new([0; 16]),
        call,
        task: task.id,
        agent: caller.agent.clone(),
        on_behalf_of: task.on_behalf_of.clone(),
        action: AMEND.into(),
        effect: more.lines.iter().map(|(_, effect)| *effect).max().unwrap_or(effect),
        resource: first,
        method: "POST".to_owned(),
        target: format!("/-/tasks/{}/amendments", task.id),
        purpose: None,
        facts,
        args: args
            .map(|(number, (grant, _))| (format!("line {}", number + 1).into(), Argument::Text(line(grant))))
            .collect(),
        rules: BTreeMap::new(),
        bound: Digest([0; 32]),
        asked_at: now,
        expires_at: now.after(wait),
    }
}

/// A line of a grant in one line: `github/issues.create on octo/hello, 3 times`.
fn line(grant: &Grant) -> String {
    let on = grant.resource.as_deref().map_or_else(String::new, |resource| format!(" on {resource}"));
    let times = grant.max.map_or_else(String::new, |max| format!(", {max} times"));
    format!("{}{on}{times}", grant.action)
}

/// The resource that a line names, under its tool; and what policies see of the rest.
fn asked(grant: &Grant, effect: Effect) -> (String, BTreeMap<Arc<str>, Argument>) {
    let tool = grant.action.split('/').next().unwrap_or_default();
    let resource = format!("{tool}/{}", grant.resource.as_deref().unwrap_or_default());
    let text = |text: &str| Argument::Text(text.to_owned());
    let mut args: BTreeMap<Arc<str>, Argument> =
        BTreeMap::from([("action".into(), text(&grant.action)), ("effect".into(), text(effect.name()))]);
    if let Some(max) = grant.max {
        args.insert("max".into(), Argument::Long(i64::from(max)));
    }
    (resource, args)
}
