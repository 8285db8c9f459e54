//! `countersign agents` and `countersign credentials`: who and what is under way, and what stops it.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::door::{AdminDoor, AskArguments};
use super::{Exit, Failure, Output};
use crate::model::CallId;

/// Which sidecar, and what to do with its agents.
#[derive(Args, Debug)]
pub(super) struct AgentsArguments {
    #[command(flatten)]
    ask: AskArguments,
    #[command(subcommand)]
    command: AgentsCommand,
}

#[derive(Debug, Subcommand)]
enum AgentsCommand {
    /// List the agents: their modes, whether they are stopped, their calls under way.
    List,
    /// Stop an agent: its calls under way are cut, and every other is refused until it is released.
    Quarantine {
        /// The agent.
        agent: String,
        /// Why, for the record.
        #[arg(long, default_value = "", value_name = "WORDS")]
        why: String,
    },
    /// Let an agent go on.
    Release {
        /// The agent.
        agent: String,
        /// Why, for the record.
        #[arg(long, default_value = "", value_name = "WORDS")]
        why: String,
    },
}

/// Which sidecar, and what to do with the credentials it has lent.
#[derive(Args, Debug)]
pub(super) struct CredentialsArguments {
    #[command(flatten)]
    ask: AskArguments,
    #[command(subcommand)]
    command: CredentialsCommand,
}

#[derive(Debug, Subcommand)]
enum CredentialsCommand {
    /// List the calls under way, each with its credential.
    List,
    /// Cut a call, which ends its credential.
    Revoke {
        /// The call.
        id: CallId,
    },
}

pub(super) fn run(arguments: &AgentsArguments, config: &Path, output: Output) -> Result<Exit, Failure> {
    let door = arguments.ask.door(config)?;
    let (agent, verb, why) = match &arguments.command {
        AgentsCommand::List => return list(&door, ("/v1/agents", "agents"), output, tell_agent),
        AgentsCommand::Quarantine { agent, why } => (agent, "quarantine", why),
        AgentsCommand::Release { agent, why } => (agent, "release", why),
    };
    if !agent.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        return Err(Failure::Usage(format!("`{agent}` is no agent's name")));
    }
    let answer = door.ask(Method::POST, &format!("/v1/agents/{agent}/{verb}"), &json!({ "why": why }))?;
    let done = if verb == "release" { "may go on" } else { "is stopped" };
    print(&match output {
        Output::Text => format!("{agent} {done}; record {}\n", member(&answer, "recorded")),
        Output::Json | Output::Jsonl => format!("{answer}\n"),
    })
}

pub(super) fn credentials(arguments: &CredentialsArguments, config: &Path, output: Output) -> Result<Exit, Failure> {
    let door = arguments.ask.door(config)?;
    let id = match &arguments.command {
        CredentialsCommand::List => return list(&door, ("/v1/credentials", "credentials"), output, tell_credential),
        CredentialsCommand::Revoke { id } => id,
    };
    let answer = door.ask(Method::POST, &format!("/v1/credentials/{id}/revoke"), &Value::Null)?;
    print(&match output {
        Output::Text => format!("{id} is cut\n"),
        Output::Json | Output::Jsonl => format!("{answer}\n"),
    })
}

fn list(
    door: &AdminDoor,
    (path, name): (&str, &str),
    output: Output,
    tell: fn(&Value) -> String,
) -> Result<Exit, Failure> {
    let answer = door.ask(Method::GET, path, &Value::Null)?;
    let found = answer.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut text = String::new();
    for one in found {
        let _ = match output {
            Output::Text => writeln!(text, "{}", tell(one)),
            Output::Json => break,
            Output::Jsonl => writeln!(text, "{one}"),
        };
    }
    if output == Output::Json {
        text = format!("{answer}\n");
    }
    print(&text)
}

fn tell_agent(agent: &Value) -> String {
    let stopped = if *member(agent, "quarantined") == true { ", quarantined" } else { "" };
    let mode = member(agent, "mode").as_str().unwrap_or("not configured");
    format!("{}  {mode}{stopped}, {} under way", word(agent, "agent"), member(agent, "under_way"))
}

fn tell_credential(call: &Value) -> String {
    let words = ["id", "since", "agent", "action", "resource", "issuer"].map(|name| word(call, name));
    words.join("  ")
}

fn word<'a>(from: &'a Value, name: &str) -> &'a str {
    member(from, name).as_str().unwrap_or("-")
}

fn member<'a>(from: &'a Value, name: &str) -> &'a Value {
    from.get(name).unwrap_or(&Value::Null)
}

fn print(text: &str) -> Result<Exit, Failure> {
    let printed = io::stdout().lock().write_all(text.as_bytes());
    printed.map_err(|error| Failure::Away(format!("cannot print: {error}")))?;
    Ok(Exit::Done)
}
