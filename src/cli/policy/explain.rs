//! `countersign policy explain`: why a call was let or not, and what would have had to be otherwise.

use std::io::Write;

use serde_json::{Value, json};

use super::super::lineage::{document, plain};
use super::super::{Exit, Failure, Output};
use super::Bench;
use super::again::said;
use crate::app::{History, Recalled};
use crate::judge::{Counterfactuals, Held, Policies, Settled, Weighed, counterfactuals};
use crate::model::{CallId, Mode};
use crate::record::{Decided, Reader};

/// All there is to tell.
struct Explained<'a> {
    decided: &'a Decided,
    recalled: &'a Recalled,
    policies: &'a Policies,
    /// By the rules alone, whatever the agent's mode.
    settled: Settled,
    weighed: Vec<Weighed<'a>>,
    otherwise: Counterfactuals,
}

pub(super) fn run(bench: &mut Bench<'_>, call: CallId, current: bool) -> Result<Exit, Failure> {
    let reader = bench.reader()?;
    let Some(decided) = reader.decided_of(call)? else {
        writeln!(bench.out, "no verdict is recorded of call `{call}`")?;
        return Ok(Exit::No);
    };
    let basis = match &decided.basis {
        Ok(basis) => basis,
        Err(lost) => {
            writeln!(bench.out, "call `{call}` cannot be explained by rules: {}", lost.why())?;
            writeln!(bench.out, "  recorded   {}", said(&decided.told))?;
            if let Some(why) = because(&reader, call)? {
                writeln!(bench.out, "  because    {}", plain(&why))?;
            }
            return Ok(Exit::No);
        }
    };
    let usage = |why: &dyn std::fmt::Display| Failure::Usage(why.to_string());
    let mut history = History::of(&reader)?;
    let now = if current { Some(bench.material()?.policies().map_err(|error| usage(&error))?) } else { None };
    let policies = match &now {
        Some(policies) => policies,
        None => history.policies(basis.policies).map_err(|why| Failure::Away(why.to_owned()))?,
    };
    let recalled = Recalled::of(&decided, basis, policies).map_err(|why| usage(&why))?;
    let question = recalled.question();
    let explained = Explained {
        decided: &decided,
        settled: recalled.judge(policies, Some(Mode::Enforce)),
        weighed: policies.weigh(&question, &recalled.facts).map_err(Failure::Away)?,
        otherwise: counterfactuals(policies, &question, &recalled.facts),
        recalled: &recalled,
        policies,
    };
    match bench.output {
        Output::Text => explained.tell(bench.out)?,
        Output::Json | Output::Jsonl => document(&explained.json(), bench.out)?,
    }
    Ok(Exit::Done)
}

/// What is recorded of why it was refused, unless that was erased.
fn because(reader: &Reader, call: CallId) -> Result<Option<String>, Failure> {
    let story = reader.story(call)?;
    let why = story.as_ref().and_then(|story| story.last("refused")?.private.as_ref()?.get("why")?.as_str());
    Ok(why.map(str::to_owned))
}

impl Explained<'_> {
    /// Whether somebody has agreed to what a rule asks.
    fn was_agreed(&self, rule: &str) -> bool {
        self.recalled.facts.approval.rules.contains_key(rule)
    }

    fn tell(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let question = self.recalled.question();
        let asks = format!("{} asks for {} on {}", question.agent, question.action, question.resource);
        writeln!(out, "{}", plain(&asks))?;
        writeln!(out, "  recorded   {}", said(&self.decided.told))?;
        writeln!(out, "  the rules  {}", said(&self.settled.told()))?;
        let mode = self.policies.mode(question.agent);
        if !mode.enforces() {
            writeln!(out, "  the agent is in a mode in which no rule refuses")?;
        }
        writeln!(out, "rules that could hold, and what they read:")?;
        for weighed in &self.weighed {
            let rule = weighed.rule;
            let (mark, held) = match &weighed.held {
                Held::Yes => ("✓", String::new()),
                Held::No => ("·", " does not hold".to_owned()),
                Held::Erred(why) => ("!", format!(" cannot be evaluated: {why}")),
            };
            let kind = match &rule.ask {
                Some(ask) => format!("asks {}", ask.who),
                None if rule.permits() => "permits".to_owned(),
                None => "forbids".to_owned(),
            };
            let agreed = if self.was_agreed(&rule.id) { ", and was agreed to" } else { "" };
            let decided = if self.settled.rules.contains(&rule.id) { ", and decided" } else { "" };
            let shadow = if rule.shadow { ", in shadow" } else { "" };
            let told = format!("  {mark} {} ({kind}{shadow}, {}){held}{decided}{agreed}", rule.id, rule.file);
            writeln!(out, "{}", plain(&told))?;
            for (fact, value) in &weighed.reads {
                let value = value.as_ref().map_or_else(|| "absent".to_owned(), ToString::to_string);
                writeln!(out, "{}", plain(&format!("      {fact} = {value}")))?;
            }
        }
        self.tell_otherwise(out)
    }

    fn tell_otherwise(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let Counterfactuals { found, exhausted } = &self.otherwise;
        if found.is_empty() {
            let how_far = if *exhausted { "no change of up to three facts" } else { "nothing that was tried in time" };
            writeln!(out, "it would be otherwise: {how_far} turns the verdict, as far as these rules read facts")?;
            return Ok(());
        }
        for (steps, settled) in found {
            let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
            writeln!(out, "it would be otherwise if {}", plain(&steps.join(", and ")))?;
            writeln!(out, "  then {}", said(&settled.told()))?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let question = self.recalled.question();
        let rule = |weighed: &Weighed<'_>| {
            let held = match &weighed.held {
                Held::Yes => json!(true),
                Held::No => json!(false),
                Held::Erred(why) => json!({ "error": why }),
            };
            let reads = weighed.reads.iter();
            let reads: serde_json::Map<String, Value> = reads
                .map(|(fact, value)| (fact.clone(), value.as_ref().map_or(Value::Null, |it| it.to_string().into())))
                .collect();
            let asks = weighed.rule.ask.as_ref().map(|ask| &ask.who);
            json!({
                "rule": weighed.rule.id, "file": weighed.rule.file, "permits": weighed.rule.permits(), "asks": asks,
                "agreed": self.was_agreed(&weighed.rule.id), "held": held, "reads": reads,
            })
        };
        let otherwise = self.otherwise.found.iter().map(|(steps, settled)| {
            let steps: Vec<String> = steps.iter().map(ToString::to_string).collect();
            json!({ "if": steps, "then": settled.told() })
        });
        json!({
            "call": self.decided.call, "agent": question.agent, "action": question.action, "resource": question.resource,
            "recorded": self.decided.told, "rules_say": self.settled.told(), "policies": self.policies.version(),
            "rules": self.weighed.iter().map(rule).collect::<Vec<_>>(),
            "otherwise": otherwise.collect::<Vec<_>>(), "exhausted": self.otherwise.exhausted,
        })
    }
}
