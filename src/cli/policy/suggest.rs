//! `countersign policy suggest`: a draft out of what agents were seen to do.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::lineage::{document, plain};
use super::super::{Exit, Failure, Output};
use super::{Bench, Which};
use crate::app::{Material, Recalled};
use crate::judge::{Observed, Policies, Source, suggest};
use crate::model::{Decision, Mode};
use crate::record::Decided;

pub(super) fn run(bench: &mut Bench<'_>, which: &Which) -> Result<Exit, Failure> {
    let progress = bench.progress();
    let reader = bench.reader()?.watched_by(progress.counter())?;
    let decided = which.decided(&reader)?;
    let observed: Vec<Observed> = decided.iter().filter_map(observed).collect();
    if observed.is_empty() {
        return Err(Failure::Usage("no permitted call is recorded that a draft could be made from".to_owned()));
    }
    let mut material = bench.material()?;
    let unknown: Vec<&Observed> = observed.iter().filter(|it| !knows(&material, it)).collect();
    let (gone, observed): (usize, Vec<Observed>) =
        (unknown.len(), observed.iter().filter(|it| knows(&material, it)).cloned().collect());
    let draft = suggest(&observed).map_err(Failure::Away)?;
    // The draft is all that permits; what the configuration itself forbids stands.
    material.sources.retain(|source| source.name == "config");
    material.sources.push(Source { name: "the draft".to_owned(), text: draft.clone() });
    let policies = material.policies().map_err(|error| Failure::Away(error.to_string()))?;
    progress.step("judging by the draft");
    let (let_pass, stopped) = judged(progress.over(&decided), &policies);
    drop(progress);
    let refused = decided.iter().filter(|it| it.told.decision != Decision::Allow).count();
    if bench.output != Output::Text {
        let told = json!({ "draft": draft, "calls": observed.len(), "let_pass": let_pass, "stopped": stopped, "refused": refused, "gone": gone });
        document(&told, bench.out)?;
        return Ok(Exit::Done);
    }
    writeln!(
        bench.out,
        "// A draft, from {} calls that were made. Read every line before you keep it:",
        observed.len()
    )?;
    writeln!(bench.out, "// what an agent did is not yet what it should do.")?;
    writeln!(bench.out, "// Judged by it, in mode `enforce`, {let_pass} of them pass.")?;
    for (rules, count) in &stopped {
        writeln!(bench.out, "// Not these {count}, because of {}.", plain(rules))?;
    }
    if refused > 0 {
        writeln!(bench.out, "// {refused} records of refused calls are not in it.")?;
    }
    if gone > 0 {
        writeln!(bench.out, "// {gone} calls are of agents or actions that are no longer configured, and not in it.")?;
    }
    for line in draft.lines() {
        writeln!(bench.out, "{}", plain(line))?;
    }
    Ok(Exit::Done)
}

/// How many of the calls that were made would be let pass, and how many not, by the rules why.
fn judged<'a>(decided: impl Iterator<Item = &'a Decided>, policies: &Policies) -> (usize, BTreeMap<String, usize>) {
    let (mut let_pass, mut stopped) = (0, BTreeMap::<String, usize>::new());
    for it in decided.filter(|it| it.told.decision == Decision::Allow) {
        let Ok(basis) = &it.basis else { continue };
        let Ok(recalled) = Recalled::of(it, basis, policies) else { continue };
        let settled = recalled.judge(policies, Some(Mode::Enforce));
        match settled.decision() {
            Decision::Allow => let_pass += 1,
            Decision::Ask | Decision::Throttle | Decision::Deny | Decision::Unavailable => {
                *stopped.entry(settled.rules.join(", ")).or_default() += 1;
            }
        }
    }
    (let_pass, stopped)
}

fn knows(material: &Material, observed: &Observed) -> bool {
    let agent = material.agents.iter().any(|agent| agent.name.as_str() == observed.agent);
    agent && material.actions.iter().any(|action| *action.name == *observed.action)
}

/// A call that was made, if it was.
fn observed(decided: &Decided) -> Option<Observed> {
    (decided.told.decision == Decision::Allow).then_some(())?;
    let resource = decided.basis.as_ref().ok().map(|basis| basis.resource.clone());
    Some(Observed { agent: decided.agent.clone()?, action: decided.action.clone()?, resource, call: decided.call? })
}
