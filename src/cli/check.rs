//! `countersign check`: is the configuration what it should be?

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use clap::Args;
use serde_json::json;

use super::{Exit, Failure, Output, lineage, policy};
use crate::app::{self, StartError};
use crate::config::{Config, Door};

/// What to check.
#[derive(Args, Debug)]
pub(super) struct CheckArguments {
    /// Print the Cedar schema that policies are checked against.
    #[arg(long)]
    schema: bool,
    /// Print the rules that the configuration's limits and intent keys became.
    #[arg(long, conflicts_with = "schema")]
    rules: bool,
}

pub(super) fn run(arguments: &CheckArguments, path: &Path, output: Output) -> Result<Exit, Failure> {
    let (config, text) = super::init::begun(path)?;
    let parts =
        app::load(&config, &text, &app::Environment::default()).map_err(|error: StartError| Failure::from(error))?;
    let cases = policy::test::try_all(&app::Material::of_files(&config, &text)?, &config)?;
    let checked = Checked { faults: faults(&config), config: &config, parts: &parts, cases: &cases };
    let mut out = std::io::stdout().lock();
    let printed = if arguments.schema {
        write!(out, "{}", parts.rulebook.policies.schema())
    } else if arguments.rules {
        write!(out, "{}", parts.compiled)
    } else {
        match output {
            Output::Text => write!(out, "{}", checked.text(path)),
            Output::Json | Output::Jsonl => writeln!(out, "{}", checked.json()),
        }
    };
    printed.map_err(|error| Failure::Away(format!("cannot print: {error}")))?;
    Ok(if checked.faults.is_empty() && cases.failed().next().is_none() { Exit::Done } else { Exit::No })
}

/// What was found.
struct Checked<'a> {
    config: &'a Config,
    parts: &'a app::Parts,
    cases: &'a policy::test::Report,
    faults: Vec<String>,
}

impl Checked<'_> {
    fn actions(&self) -> usize {
        self.parts.rulebook.catalog.tools().map(|tool| tool.actions.len()).sum()
    }

    /// Tools that are reached over plain http.
    fn plain(&self) -> Vec<&str> {
        let plain = self.config.tools.iter().filter(|tool| tool.tool.scheme == http::uri::Scheme::HTTP);
        plain.map(|tool| &*tool.tool.name).collect()
    }

    fn text(&self, path: &Path) -> String {
        let Self { config, parts, cases, faults } = self;
        let mut told = format!(
            "{}: {} agents, {} tools with {} actions, {} policy files; version {}\n",
            path.display(),
            config.agents.len(),
            config.tools.len(),
            self.actions(),
            parts.loaded.parts.keys().filter(|name| name.starts_with("policy:")).count(),
            parts.loaded.version
        );
        for fault in faults {
            let _ = writeln!(told, "  {}", lineage::plain(fault));
        }
        for tool in self.plain() {
            let note = "is reached over plain http, within its listed networks only";
            let _ = writeln!(told, "  note: tool `{tool}` {note}");
        }
        for note in &cases.notes {
            let _ = writeln!(told, "  note: {}", lineage::plain(note));
        }
        if !cases.cases.is_empty() {
            let _ = writeln!(told, "  {} cases of policies, {} failed", cases.cases.len(), cases.failed().count());
        }
        for case in cases.failed() {
            let wrong = case.wrong.as_deref().unwrap_or_default();
            let _ = writeln!(told, "  {}: case `{}`: {}", case.place, case.name, lineage::plain(wrong));
        }
        told
    }

    fn json(&self) -> serde_json::Value {
        let Self { config, parts, cases, faults } = self;
        json!({
            "agents": config.agents.len(), "tools": config.tools.len(), "actions": self.actions(),
            "plaintext": self.plain(), "faults": faults, "loaded": parts.loaded, "cases": cases,
        })
    }
}

/// What can be loaded, and cannot work.
fn faults(config: &Config) -> Vec<String> {
    let mut faults = Vec::new();
    let free = matches!(&config.listen.agent, Door::Tcp(address) if address.port() == 0);
    if config.listen.agent == config.listen.admin && !free {
        faults.push("`listen.agent` and `listen.admin` are the same place, and only one of them could open there: give one another".to_owned());
    }
    for (place, one) in config.agents.iter().enumerate() {
        for other in config.agents.iter().skip(place + 1) {
            if one.identify.iter().any(|rule| other.identify.contains(rule)) {
                faults.push(format!(
                    "`agents.{}.identify` and `agents.{}.identify` list the same proof: whoever shows it could be either, and is refused; let each list what only it has",
                    one.name, other.name
                ));
            }
        }
    }
    faults
}
