//! What is recorded of agents' habits: what each task showed, and which baselines people have put in force.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::said::at;
use super::{Event, Reader, Record, StoreError, Stored};
use crate::model::{AgentName, Aims, Baseline, BaselineRule, Course, Digest, Task, Timestamp};

/// The records that put a baseline in force, and take it out.
const DECIDED: [&str; 2] = ["ratified", "reset"];

/// Things that tasks have shown which are read at a time: some hundred bytes each.
const MOST_SHOWN: usize = 500_000;

/// A task ended cleanly, and shows what its agent does. Private fields: `aims`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Learned {
    /// The agent.
    pub agent: String,
    /// What it shows, but for what its calls were aimed at.
    pub course: Course,
}

/// Somebody has put a baseline of an agent in force. Private fields: `baseline`, `why`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Ratified {
    /// The agent.
    pub agent: String,
    /// Which of the agent's baselines this is, from 1.
    pub version: u32,
    /// The earlier one that it repeats, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<u32>,
    /// Tasks that it was learned from.
    pub tasks: u32,
    /// Digest of its content.
    pub digest: Digest,
    /// Who did.
    pub by: String,
}

/// Somebody has taken an agent's baseline out of force; what tasks showed before counts no more. Private fields: `why`.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Reset {
    /// The agent.
    pub agent: String,
    /// Who did.
    pub by: String,
}

/// What a task has shown.
pub fn learned(task: &Task, course: &Course, at: Timestamp) -> Record {
    let event = Event::Learned(Box::new(Learned { agent: task.agent.to_string(), course: course.clone() }));
    let private = BTreeMap::from([("aims", json!(course.aims))]);
    Record { at, call: None, task: Some(task.id), event, private }
}

/// That a baseline is in force from here on, and which earlier version it repeats, if it does.
pub fn ratified(
    agent: &AgentName,
    (version, repeats): (u32, Option<u32>),
    baseline: &Baseline,
    (by, why): (&str, &str),
    at: Timestamp,
) -> Record {
    let event = Event::Ratified(Ratified {
        agent: agent.to_string(),
        version,
        repeats,
        tasks: baseline.tasks,
        digest: baseline.digest(),
        by: by.to_owned(),
    });
    let private = BTreeMap::from([("baseline", json!(baseline)), ("why", why.into())]);
    Record { at, call: None, task: None, event, private }
}

/// That an agent has no baseline from here on.
pub fn reset(agent: &AgentName, (by, why): (&str, &str), at: Timestamp) -> Record {
    let event = Event::Reset(Reset { agent: agent.to_string(), by: by.to_owned() });
    Record { at, call: None, task: None, event, private: BTreeMap::from([("why", why.into())]) }
}

/// A baseline that was put in force.
#[derive(Clone, Debug)]
pub struct PastBaseline {
    /// The agent.
    pub agent: String,
    /// Which of the agent's it is.
    pub version: u32,
    /// When.
    pub at: Timestamp,
    /// Who put it in force.
    pub by: String,
    /// What it says; nothing if that was erased.
    pub baseline: Option<Baseline>,
}

/// The baselines of an agent.
#[derive(Clone, Debug, Default)]
pub struct PastBaselines {
    /// Those that were put in force, the earliest first.
    pub all: Vec<PastBaseline>,
    /// What tasks showed before then counts no more.
    pub reset: Option<Timestamp>,
}

/// What tasks have shown of an agent's habits.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Each with the time at which it ended, the earliest first.
    pub tasks: Vec<(Timestamp, Course)>,
    /// When the agent was quarantined.
    stopped: Vec<Timestamp>,
}

impl Shown {
    /// The baseline that they come to by now. What ended less than `hold` ago does not count yet, and never will if the
    /// agent was quarantined within that time: something may have been wrong with it already.
    pub fn draft(&self, rule: &BaselineRule, now: Timestamp) -> Baseline {
        let held = |ended: Timestamp| now.since(ended) < rule.hold;
        let counts = |(ended, _): &&(Timestamp, Course)| !held(*ended) && !self.doubts(*ended, rule);
        let tasks: Vec<_> = self.tasks.iter().filter(counts).cloned().collect();
        Baseline::draft(&tasks, rule)
    }

    /// How many of them never count, because the agent was quarantined soon after.
    pub fn doubted(&self, rule: &BaselineRule) -> usize {
        self.tasks.iter().filter(|(ended, _)| self.doubts(*ended, rule)).count()
    }

    fn doubts(&self, ended: Timestamp, rule: &BaselineRule) -> bool {
        self.stopped.iter().any(|at| *at >= ended && at.since(ended) < rule.hold)
    }
}

impl Reader {
    /// Every baseline of an agent that was put in force.
    pub fn baselines(&self, agent: &str) -> Result<PastBaselines, StoreError> {
        let mut past = PastBaselines::default();
        self.each_said(&DECIDED, |record| {
            if is_of(&record, agent) && record.kind() == "reset" {
                past.reset = past.reset.or(Some(at(&record)));
            } else if is_of(&record, agent) {
                past.all.extend(ratified_once(&record));
            }
            true
        })?;
        past.all.reverse();
        Ok(past)
    }

    /// The baselines of these agents that are in force.
    pub fn in_force(&self, agents: &[AgentName]) -> Result<Vec<PastBaseline>, StoreError> {
        let mut open: BTreeSet<&str> = agents.iter().map(AgentName::as_str).collect();
        let mut found = Vec::new();
        // The latest first: what was decided of an agent before that is over.
        self.each_said(&DECIDED, |record| {
            let is_last = record.entry.get("agent").and_then(Value::as_str).is_some_and(|agent| open.remove(agent));
            if is_last && record.kind() == "ratified" {
                found.extend(ratified_once(&record));
            }
            !open.is_empty()
        })?;
        Ok(found)
    }

    /// What tasks of an agent have shown since then; the last of them, at most so many, and no more than fits into memory.
    pub fn shown(&self, agent: &str, since: Timestamp, most: usize) -> Result<Shown, StoreError> {
        let (mut tasks, mut left) = (Vec::new(), MOST_SHOWN);
        self.each_said(&["learned"], |record| {
            if at(&record) < since {
                return false;
            }
            if let Some((ended, course)) = is_of(&record, agent).then(|| course(&record)).flatten() {
                left = left.saturating_sub(course.len());
                tasks.push((ended, course));
            }
            tasks.len() < most && left > 0
        })?;
        tasks.reverse();
        let stopped = self.said(&["quarantined"], |record| at(record) >= since)?;
        let stopped = stopped.iter().filter(|record| is_of(record, agent)).map(at).collect();
        Ok(Shown { tasks, stopped })
    }
}

fn is_of(record: &Stored, agent: &str) -> bool {
    record.entry.get("agent").and_then(Value::as_str) == Some(agent)
}

fn ratified_once(record: &Stored) -> Option<PastBaseline> {
    let Ratified { agent, version, by, .. } = serde_json::from_value(record.entry.clone()).ok()?;
    let baseline = record.private.as_ref().and_then(|private| private.get("baseline"));
    let baseline = baseline.and_then(|baseline| serde_json::from_value(baseline.clone()).ok());
    Some(PastBaseline { agent, version, at: at(record), by, baseline })
}

/// What a task has shown; what its calls were aimed at is missing if it was erased.
fn course(record: &Stored) -> Option<(Timestamp, Course)> {
    let Learned { course, .. } = serde_json::from_value(record.entry.clone()).ok()?;
    let aims = record.private.as_ref().and_then(|private| private.get("aims"));
    let aims: Option<Aims> = aims.and_then(|aims| serde_json::from_value(aims.clone()).ok());
    Some((at(record), Course { aims: aims.unwrap_or_default(), ..course }))
}
