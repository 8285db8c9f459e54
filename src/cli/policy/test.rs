//! `countersign policy test`: do the policies decide what their authors meant?

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;

use super::super::lineage::{document, plain};
use super::super::{Exit, Failure, Output};
use super::Bench;
use crate::app::{Material, files};
use crate::config::Config;
use crate::judge::{Case, Policies, Tried, Unread, read_cases};

/// How the cases went.
#[derive(Serialize)]
pub struct Report {
    /// Each case.
    pub cases: Vec<Told>,
    /// Each rule of the files.
    pub rules: Vec<Covered>,
    /// Names that nobody has, and such.
    pub notes: Vec<String>,
}

/// A case that was tried.
#[derive(Serialize)]
pub struct Told {
    /// File and line.
    pub place: String,
    /// What it is called.
    pub name: String,
    /// What came out instead, if it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrong: Option<String>,
}

/// How often a rule was tried.
#[derive(Serialize)]
pub struct Covered {
    /// The rule.
    pub rule: String,
    /// The file it stands in.
    pub file: String,
    /// Cases in which it holds.
    pub holds: usize,
    /// Cases in which it does not.
    pub rests: usize,
}

impl Report {
    /// The cases that failed.
    pub fn failed(&self) -> impl Iterator<Item = &Told> {
        self.cases.iter().filter(|case| case.wrong.is_some())
    }

    /// The rules that no case shows at work, or none at rest.
    pub fn uncovered(&self) -> impl Iterator<Item = &Covered> {
        self.rules.iter().filter(|rule| rule.holds == 0 || rule.rests == 0)
    }
}

/// Tries every case that lies beside the policies.
pub fn try_all(material: &Material, config: &Config) -> Result<Report, Failure> {
    let wrong = |error: &dyn std::fmt::Display| Failure::Usage(error.to_string());
    let policies = material.policies().map_err(|error| wrong(&error))?;
    let mut report = Report { cases: Vec::new(), rules: Vec::new(), notes: policies.strangers() };
    let mut tried: BTreeMap<String, [usize; 2]> = BTreeMap::new();
    let mut mistakes = Vec::new();
    for file in files(&config.policies, ".cases.toml", config.preset)? {
        let beside = file.name.replace(".cases.toml", ".cedar");
        if !material.sources.iter().any(|source| source.name == beside) {
            return Err(Failure::Usage(format!("{}: there is no `{beside}` beside it", file.name)));
        }
        let unread = Unread::parse(&file).map_err(|error| wrong(&error))?;
        let policies = material.policies_for(&unread, &beside).map_err(|error| wrong(&error))?;
        match read_cases(&unread, &policies) {
            Ok(cases) => report.cases.extend(cases.iter().map(|case| try_one(case, &policies, &mut tried))),
            Err(errors) => mistakes.extend(errors.iter().map(ToString::to_string)),
        }
    }
    if !mistakes.is_empty() {
        return Err(Failure::Usage(mistakes.join("\n")));
    }
    let of_files = policies.rules().iter().filter(|rule| rule.file != "config");
    report.rules.extend(of_files.map(|rule| {
        let [rests, holds] = tried.get(&rule.id).copied().unwrap_or_default();
        Covered { rule: rule.id.clone(), file: rule.file.clone(), holds, rests }
    }));
    Ok(report)
}

/// Tries a case, and counts for every rule whether it held.
fn try_one(case: &Case, policies: &Policies, tried: &mut BTreeMap<String, [usize; 2]>) -> Told {
    let Tried { wrong, held } = case.try_out(policies);
    for rule in policies.rules() {
        if let Some(count) = tried.entry(rule.id.clone()).or_default().get_mut(usize::from(held.contains(&rule.id))) {
            *count += 1;
        }
    }
    Told { place: case.place.clone(), name: case.name.clone(), wrong }
}

pub(super) fn run(bench: &mut Bench<'_>, strict: bool) -> Result<Exit, Failure> {
    let report = try_all(&bench.material()?, &bench.config)?;
    match bench.output {
        Output::Text => tell(&report, bench.out)?,
        Output::Json => document(&report, bench.out)?,
        Output::Jsonl => report.cases.iter().try_for_each(|case| document(case, bench.out))?,
    }
    let lacking = strict && report.uncovered().next().is_some();
    Ok(if lacking || report.failed().next().is_some() { Exit::No } else { Exit::Done })
}

fn tell(report: &Report, out: &mut dyn Write) -> Result<(), Failure> {
    for case in report.failed() {
        let wrong = case.wrong.as_deref().unwrap_or_default();
        writeln!(out, "{}: case `{}`: {}", plain(&case.place), plain(&case.name), plain(wrong))?;
    }
    for rule in report.uncovered() {
        let lacks = match (rule.holds, rule.rests) {
            (0, 0) => "has no case",
            (0, _) => "holds in no case",
            _ => "holds in every case",
        };
        writeln!(out, "{}: the rule `{}` {lacks}", plain(&rule.file), plain(&rule.rule))?;
    }
    for note in &report.notes {
        writeln!(out, "note: {}", plain(note))?;
    }
    let (failed, lacking) = (report.failed().count(), report.uncovered().count());
    let (cases, rules) = (report.cases.len(), report.rules.len());
    writeln!(out, "{cases} cases, {failed} failed; {rules} rules, {lacking} without a case each way")?;
    Ok(())
}
