//! `countersign doctor`: what is as it should be here, what is not, and what to do about it.

mod around;
mod caller;
mod doors;
mod machine;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::{Exit, Failure, Output, lineage};
use crate::app;

/// For whom to look.
#[derive(Args, Debug)]
pub(super) struct DoctorArguments {
    /// A file with a token, to see which agent its bearer would be.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Leave the network alone: no tool is dialled.
    #[arg(long)]
    offline: bool,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Line {
    /// What.
    what: &'static str,
    /// How it is.
    state: State,
    /// In words.
    says: String,
    /// What to do, where there is something to do.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    to_do: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// As it should be.
    Ok,
    /// It works, and there is something to know.
    Warn,
    /// It does not work.
    Bad,
}

impl Line {
    fn ok(what: &'static str, says: impl Into<String>) -> Self {
        Self { what, state: State::Ok, says: says.into(), to_do: None }
    }

    fn warn(what: &'static str, says: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { what, state: State::Warn, says: says.into(), to_do: Some(to_do.into()) }
    }

    fn bad(what: &'static str, says: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { what, state: State::Bad, says: says.into(), to_do: Some(to_do.into()) }
    }
}

pub(super) fn run(arguments: &DoctorArguments, path: &Path, output: Output) -> Result<Exit, Failure> {
    let (config, text) = match super::read(path) {
        Ok(read) => read,
        Err(failure) => {
            let to_do = "mend it where it says so, or begin with `countersign init`";
            tell(&[Line::bad("configuration", failure.to_string(), to_do)], output)?;
            return Err(Failure::Usage("without a configuration there is nothing more to look at".to_owned()));
        }
    };
    let mut lines = Vec::new();
    let parts = match app::load(&config, &text, &app::Environment::default()) {
        Ok(parts) => {
            lines.push(Line::ok(
                "configuration",
                format!("{}: {} agents, {} tools", path.display(), config.agents.len(), config.tools.len()),
            ));
            Some(parts)
        }
        Err(error) => {
            lines.push(Line::bad(
                "configuration",
                error.to_string(),
                "mend it; `countersign check` says when it is right",
            ));
            None
        }
    };
    lines.extend(machine::lines(&config, path));
    super::runtime()?.block_on(async {
        lines.extend(doors::lines(&config.listen).await);
        if let Some(parts) = &parts {
            lines.extend(caller::lines(&config, &parts.rulebook.identify, arguments.token_file.as_deref()).await?);
        }
        lines.extend(around::lines(&config, arguments.offline).await);
        Ok::<(), Failure>(())
    })?;
    tell(&lines, output)?;
    Ok(if lines.iter().any(|line| line.state == State::Bad) { Exit::No } else { Exit::Done })
}

fn tell(lines: &[Line], output: Output) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let mut print = || match output {
        Output::Text => lines.iter().try_for_each(|line| {
            let state = match line.state {
                State::Ok => "ok  ",
                State::Warn => "warn",
                State::Bad => "bad ",
            };
            let mut says = line.says.lines();
            writeln!(out, "{state}  {:<14} {}", line.what, lineage::plain(says.next().unwrap_or_default()))?;
            says.try_for_each(|more| writeln!(out, "      {:<14} {}", "", lineage::plain(more)))?;
            match &line.to_do {
                Some(to_do) => writeln!(out, "      {:<14} → {}", "", lineage::plain(to_do)),
                None => Ok(()),
            }
        }),
        Output::Json => writeln!(out, "{}", serde_json::json!({ "lines": lines })),
        Output::Jsonl => lines.iter().try_for_each(|line| writeln!(out, "{}", serde_json::json!(line))),
    };
    Ok(print()?)
}
