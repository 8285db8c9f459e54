//! `countersign policy diff`, and `replay --policies`: what a draft would change.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use serde::Serialize;

use super::super::lineage::{document, plain};
use super::super::{Exit, Failure, Output};
use super::again::left_out;
use super::{Bench, Which};
use crate::app::{History, Recalled};
use crate::judge::Policies;
use crate::model::{CallId, Decision, Mode, Told};
use crate::record::Decided;

/// Calls that are named for each kind of change, in text.
const NAMED: usize = 20;

/// What would change.
#[derive(Default, Serialize)]
struct Changes {
    /// Calls that were judged by the draft.
    calls: u64,
    /// Those that would come out otherwise.
    changes: Vec<Change>,
    /// Rules of the draft that decided none of them.
    never_decided: BTreeSet<String>,
    /// Calls that no rule permitted and none forbade.
    by_default: u64,
    /// Those that cannot be judged, by the reason why.
    left_out: BTreeMap<String, u64>,
    /// Agents whose calls are made whatever the rules say.
    lenient: BTreeSet<String>,
    /// Against what was loaded last, rules that are new, gone, or say something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<Rules>,
}

#[derive(Serialize)]
struct Change {
    call: Option<CallId>,
    agent: String,
    action: String,
    resource: String,
    from: Told,
    to: Told,
}

#[derive(Default, Serialize)]
struct Rules {
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<String>,
}

pub(super) fn run(bench: &mut Bench<'_>, which: &Which, enforce: bool, with_rules: bool) -> Result<Exit, Failure> {
    let policies = bench.material()?.policies().map_err(|error| Failure::Usage(error.to_string()))?;
    let progress = bench.progress();
    let reader = bench.reader()?.watched_by(progress.counter())?;
    let decided = which.decided(&reader)?;
    progress.step("judging");
    let mut changes = compare(progress.over(&decided), &policies, enforce.then_some(Mode::Enforce));
    if with_rules {
        let mut history = History::of(&reader)?;
        let last = history.last().map(|loaded| loaded.version);
        let before =
            last.map(|version| history.policies(version).map(contents).map_err(|why| Failure::Away(why.to_owned())));
        changes.rules = Some(rules(&before.transpose()?.unwrap_or_default(), &contents(&policies)));
    }
    drop(progress);
    match bench.output {
        Output::Text => tell(&changes, bench.out)?,
        Output::Json => document(&changes, bench.out)?,
        Output::Jsonl => changes.changes.iter().try_for_each(|change| document(change, bench.out))?,
    }
    Ok(Exit::Done)
}

fn compare<'a>(decided: impl Iterator<Item = &'a Decided>, policies: &Policies, mode: Option<Mode>) -> Changes {
    let mut changes = Changes::default();
    let of_files = policies.rules().iter().filter(|rule| rule.file != "config");
    changes.never_decided.extend(of_files.map(|rule| rule.id.clone()));
    for it in decided {
        let judged = it.basis.as_ref().map_err(|lost| lost.why().to_owned());
        let recalled = judged.and_then(|basis| Recalled::of(it, basis, policies));
        let recalled = match recalled {
            Ok(recalled) => recalled,
            Err(why) => {
                *changes.left_out.entry(why).or_default() += it.count;
                continue;
            }
        };
        changes.calls += it.count;
        let question = recalled.question();
        if mode.is_none() && !policies.mode(question.agent).enforces() {
            changes.lenient.insert(question.agent.to_string());
        }
        let to = recalled.judge(policies, mode).told();
        for rule in to.rules.iter().chain(to.would.iter().flat_map(|would| &would.rules)) {
            changes.never_decided.remove(rule);
        }
        let (by_rules, rules) = to.would.as_ref().map_or((to.decision, &to.rules), |it| (it.decision, &it.rules));
        changes.by_default += u64::from(by_rules == Decision::Deny && *rules == ["default"]);
        if to.decision != it.told.decision {
            let (agent, action) = (question.agent.to_string(), question.action.to_owned());
            let (resource, from) = (question.resource.to_owned(), it.told.clone());
            changes.changes.push(Change { call: it.call, agent, action, resource, from, to });
        }
    }
    changes
}

/// Every rule of the files, by what it says.
fn contents(policies: &Policies) -> BTreeMap<String, String> {
    let said = |rule: &crate::judge::Rule| rule.policy.to_json().map(|tree| tree.to_string()).unwrap_or_default();
    policies.rules().iter().map(|rule| (rule.id.clone(), said(rule))).collect()
}

fn rules(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Rules {
    let only = |of: &BTreeMap<String, String>, not: &BTreeMap<String, String>| {
        of.keys().filter(|id| !not.contains_key(*id)).cloned().collect()
    };
    let changed = after.iter().filter(|(id, said)| before.get(*id).is_some_and(|was| was != *said));
    Rules {
        added: only(after, before),
        removed: only(before, after),
        changed: changed.map(|(id, _)| id.clone()).collect(),
    }
}

fn tell(changes: &Changes, out: &mut dyn Write) -> Result<(), Failure> {
    if let Some(Rules { added, removed, changed }) = &changes.rules {
        for (what, ids) in [("new", added), ("gone", removed), ("changed", changed)] {
            if !ids.is_empty() {
                writeln!(out, "rules {what}: {}", plain(&ids.join(", ")))?;
            }
        }
        if [added, removed, changed].iter().all(|ids| ids.is_empty()) {
            writeln!(out, "rules: the same as were loaded last")?;
        }
    }
    writeln!(out, "{} of {} calls would change", changes.changes.len(), changes.calls)?;
    let mut kinds: BTreeMap<(Decision, Decision), Vec<&Change>> = BTreeMap::new();
    for change in &changes.changes {
        kinds.entry((change.from.decision, change.to.decision)).or_default().push(change);
    }
    for ((from, to), of_kind) in kinds {
        writeln!(out, "  {} → {}: {}", from.name(), to.name(), of_kind.len())?;
        for change in of_kind.iter().take(NAMED) {
            let (Change { agent, action, resource, .. }, by) = (change, change.to.rules.join(", "));
            writeln!(out, "    {}", plain(&format!("{agent}: {action} on {resource}, by {by}")))?;
            if let Some(call) = change.call {
                writeln!(out, "      countersign lineage show {call}")?;
            }
        }
        if of_kind.len() > NAMED {
            writeln!(out, "    and {} more; `--output jsonl` has all", of_kind.len() - NAMED)?;
        }
    }
    if !changes.never_decided.is_empty() {
        let rules: Vec<&str> = changes.never_decided.iter().map(String::as_str).collect();
        writeln!(out, "  decided none of them: {}", plain(&rules.join(", ")))?;
    }
    writeln!(out, "  matched by no rule at all: {}", changes.by_default)?;
    for agent in &changes.lenient {
        writeln!(
            out,
            "  agent `{}` is in a mode in which no rule refuses; `--enforce` tells what they would",
            plain(agent)
        )?;
    }
    left_out(&changes.left_out, out)
}
