//! `countersign check`: is the configuration what it should be?

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use clap::Args;
use serde_json::json;

use super::{Exit, Failure, Output};
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
                write!(out, "{told}")
            }
            Output::Json | Output::Jsonl => {
                let told = json!({ "agents": config.agents.len(), "tools": config.tools.len(), "actions": actions, "plaintext": plain, "loaded": parts.loaded });
                writeln!(out, "{told}")
            }
        }
    };
    printed.map_err(|error| Failure::Away(format!("cannot print: {error}")))?;
    Ok(Exit::Done)
}
