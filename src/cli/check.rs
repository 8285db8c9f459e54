//! `countersign check`: is the configuration what it should be?

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use clap::Args;
use serde_json::json;

use super::{Exit, Failure, Output, lineage, policy};
use crate::app::{self, StartError};

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
    let (config, text) = super::read(path)?;
    let parts =
        app::load(&config, &text, &app::Environment::default()).map_err(|error: StartError| Failure::from(error))?;
    let cases = policy::test::try_all(&app::Material::of_files(&config, &text)?, &config)?;
    let mut out = std::io::stdout().lock();
    let printed = if arguments.schema {
        write!(out, "{}", parts.rulebook.policies.schema())
    } else if arguments.rules {
        write!(out, "{}", parts.compiled)
    } else {
        let actions: usize = parts.rulebook.catalog.tools().map(|tool| tool.actions.len()).sum();
        let plain: Vec<&str> = config
            .tools
            .iter()
            .filter(|tool| tool.tool.scheme == http::uri::Scheme::HTTP)
            .map(|tool| &*tool.tool.name)
            .collect();
        match output {
            Output::Text => {
                let mut told = format!(
                    "{}: {} agents, {} tools with {actions} actions, {} policy files; version {}\n",
                    path.display(),
                    config.agents.len(),
                    config.tools.len(),
                    parts.loaded.parts.keys().filter(|name| name.starts_with("policy:")).count(),
                    parts.loaded.version
                );
                for tool in &plain {
                    let note = "is reached over plain http, within its listed networks only";
                    let _ = writeln!(told, "  note: tool `{tool}` {note}");
                }
                for note in &cases.notes {
                    let _ = writeln!(told, "  note: {}", lineage::plain(note));
                }
                if !cases.cases.is_empty() {
                    let _ =
                        writeln!(told, "  {} cases of policies, {} failed", cases.cases.len(), cases.failed().count());
                }
                for case in cases.failed() {
                    let wrong = case.wrong.as_deref().unwrap_or_default();
                    let _ = writeln!(told, "  {}: case `{}`: {}", case.place, case.name, lineage::plain(wrong));
                }
                write!(out, "{told}")
            }
            Output::Json | Output::Jsonl => {
                let told = json!({ "agents": config.agents.len(), "tools": config.tools.len(), "actions": actions, "plaintext": plain, "loaded": parts.loaded, "cases": cases });
                writeln!(out, "{told}")
            }
        }
    };
    printed.map_err(|error| Failure::Away(format!("cannot print: {error}")))?;
    Ok(if cases.failed().next().is_some() { Exit::No } else { Exit::Done })
}
