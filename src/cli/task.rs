//! `countersign task`: which tasks there are, what they may still do, and what ends them.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::Value;

use super::agents::{list, member, print, word};
use super::door::AskArguments;
use super::lineage::plain;
use super::{Exit, Failure, Output};
use crate::model::TaskId;

/// Which sidecar, and what to do with its tasks.
#[derive(Args, Debug)]
pub(super) struct TaskArguments {
    #[command(flatten)]
    ask: AskArguments,
    #[command(subcommand)]
    command: TaskCommand,
}

#[derive(Debug, Subcommand)]
enum TaskCommand {
    /// List the tasks that are not over, the latest first.
    List {
        /// Of this agent only.
        #[arg(long)]
        agent: Option<String>,
    },
    /// Show one: for whom, what it declares, how much of that is used, what it has taken in.
    Show {
        /// The task.
        #[arg(value_parser = super::door::id::<TaskId>)]
        id: TaskId,
    },
    /// End one and all that came out of it: their calls under way are cut.
    End {
        /// The task.
        #[arg(value_parser = super::door::id::<TaskId>)]
        id: TaskId,
    },
}

pub(super) fn run(arguments: &TaskArguments, config: &Path, output: Output) -> Result<Exit, Failure> {
    let door = arguments.ask.door(config)?;
    let (id, answer, text): (_, _, fn(&Value) -> String) = match &arguments.command {
        TaskCommand::List { agent } => {
            if let Some(agent) = agent {
                super::agents::named(agent)?;
            }
            let path =
                agent.as_ref().map_or_else(|| "/v1/tasks".to_owned(), |agent| format!("/v1/tasks?agent={agent}"));
            return list(&door, (&path, "tasks"), output, tell);
        }
        TaskCommand::Show { id } => (id, door.ask(Method::GET, &format!("/v1/tasks/{id}"), &Value::Null)?, tell_whole),
        TaskCommand::End { id } => {
            (id, door.ask(Method::POST, &format!("/v1/tasks/{id}/end"), &Value::Null)?, |_| "is over\n".to_owned())
        }
    };
    print(&match output {
        Output::Text => format!("{id} {}", text(&answer)),
        Output::Json | Output::Jsonl => format!("{answer}\n"),
    })
}

fn tell(task: &Value) -> String {
    let words = ["task", "agent", "opened_by", "opened_at"].map(|name| word(task, name)).join("  ");
    format!("{words}  {} calls  {}", member(task, "calls"), plain(word(task, "goal")))
}

fn tell_whole(task: &Value) -> String {
    let until = word(task, "expires_at");
    let mut text = format!(
        "of {}, opened by {} at {}, until {until}\n",
        word(task, "agent"),
        word(task, "opened_by"),
        word(task, "opened_at")
    );
    for (name, what) in [("on_behalf_of", "for"), ("goal", "goal"), ("parent", "out of")] {
        if let Some(said) = member(task, name).as_str().filter(|said| !said.is_empty()) {
            let _ = writeln!(text, "  {what}: {}", plain(said));
        }
    }
    let lines = member(task, "grant").as_array().map_or(&[][..], Vec::as_slice);
    for line in lines {
        let max = member(line, "max").as_u64().map_or_else(|| "any number".to_owned(), |max| max.to_string());
        let on =
            member(line, "resource").as_str().map_or_else(String::new, |resource| format!(" on {}", plain(resource)));
        let _ = writeln!(text, "  may: {}{on}, {} of {max}", plain(word(line, "action")), member(line, "used"));
    }
    let labels = member(task, "labels").as_array().map_or(&[][..], Vec::as_slice);
    let labels: Vec<&str> = labels.iter().filter_map(Value::as_str).collect();
    let labels = if labels.is_empty() { "nothing".to_owned() } else { labels.join(", ") };
    let _ = writeln!(text, "  has taken in: {labels}");
    let _ = writeln!(text, "  calls: {}, {} under way", member(task, "calls"), member(task, "under_way"));
    text
}
