//! What becomes of a task: its grant gets lines more, because whoever opens its agent's tasks says so or because the agent
//! asks and it is judged; or it is ended, and all that came out of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Mediator, Refusal};
use crate::judge::{AMEND, Question};
use crate::model::{Argument, Caller, Decision, Digest, Effect, Facts, Finding, Grant, Task, TaskId, Timestamp};
use crate::record::{Judged, Unavailable, amended, closed};

/// Lines, and values, that a task may have.
const MOST: usize = 256;

/// What a task is to have more.
#[derive(Debug)]
pub struct More {
    /// Lines of its grant, each with what its action does.
    pub lines: Vec<(Grant, Effect)>,
    /// Values that the opener vouches for, by digest.
    pub values: Vec<Digest>,
}

/// Who says that it is to have more.
#[derive(Clone, Copy, Debug)]
pub enum Whose<'a> {
    /// Whoever opens the agent's tasks: it holds at once.
    Opener,
    /// The agent itself: it is judged.
    Agent(&'a Caller),
}

impl Mediator {
    /// Amends a task. What it has from then on stands in the lineage before it holds; of several at once, one comes after
    /// the other.
    pub async fn amend(&self, id: TaskId, more: More, whose: Whose<'_>) -> Result<Arc<Task>, Refusal> {
        let turn = self.memory.turn(id).await?;
        let task = turn.task();
        let judged = match whose {
            Whose::Opener => None,
            Whose::Agent(caller) => Some(self.judge_amendment(&task, &more, caller)?),
        };
        let asked: Vec<Grant> = more.lines.into_iter().map(|(grant, _)| grant).collect();
        let now = self.rail.now();
        let proposed = turn.propose(&asked, &more.values, MOST, now)?;
        let by = if judged.is_some() { "policy" } else { "opener" };
        let judged = judged.as_ref().map(|Agreed { rules, policies, facts }| Judged {
            rules: rules.clone(),
            policies: *policies,
            facts: facts.as_deref(),
        });
        match self.rail.commit(amended(proposed.task(), by, judged, now)).await {
            Ok(_) => Ok(proposed.hold()),
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
        for child in ended.iter().skip(1) {
            self.rail.note(closed(child, "parent", now));
        }
        self.cancel(|about| about.task == task.id || ended.iter().any(|ended| ended.id == about.task));
        Ok(())
    }

    /// Whether policy lets the grant have all of these lines. The mode of the agent plays no part: what is not enforced
    /// needs no grant.
    ///
    /// An `ask` comes out as a refusal with the code `needs_approval`, and nothing waits for an answer.
    fn judge_amendment(&self, task: &Task, more: &More, caller: &Caller) -> Result<Agreed, Refusal> {
        let rulebook = self.rulebook.now();
        let mut agreed = Agreed { rules: Vec::new(), policies: rulebook.policies.version(), facts: None };
        let mut findings: Vec<Finding> = Vec::new();
        for (grant, effect) in &more.lines {
            let (resource, args) = asked(grant, *effect);
            let declared = task.grant.iter().any(|line| grant.is_within(line));
            let facts = self.memory.regard(caller, task, (declared, args), self.rail.now())?;
            let question = Question { agent: &caller.agent, action: AMEND, resource: &resource };
            let outcome = rulebook.policies.decide(&question, &facts);
            match outcome.decision() {
                Decision::Allow => agreed.rules.extend_from_slice(&outcome.rules),
                Decision::Ask | Decision::Throttle | Decision::Deny | Decision::Unavailable => {
                    findings.extend_from_slice(&outcome.findings);
                }
            }
            agreed.facts.get_or_insert(Box::new(facts));
        }
        agreed.rules.sort();
        agreed.rules.dedup();
        if findings.is_empty() { Ok(agreed) } else { Err(Refusal::NotAmended(findings.into())) }
    }
}

/// How it was judged.
struct Agreed {
    rules: Vec<String>,
    policies: Digest,
    facts: Option<Box<Facts>>,
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
