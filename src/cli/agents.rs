//! `countersign agents` and `countersign credentials`: who and what is under way, and what stops it.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::door::{AdminDoor, AskArguments};
use super::lineage::plain;
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
    /// Break the glass for an agent: its policies may let pass what they would stop, for some minutes. Wants a review.
    BreakGlass {
        /// The agent.
        agent: String,
        /// Why it cannot wait, in a sentence.
        #[arg(long, value_name = "WORDS")]
        why: String,
        /// For how long, up to an hour.
        #[arg(long, default_value_t = 600, value_name = "SECONDS")]
        seconds: u64,
    },
    /// List when the glass was broken, by whom and why, and whether that was reviewed.
    Glass,
    /// Say that you have looked at what was done while the glass was broken: not by whoever broke it.
    Review {
        /// The record, as `glass` lists it.
        record: u64,
        /// What you found, for the record.
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
        #[arg(value_parser = super::door::id::<CallId>)]
        id: CallId,
    },
}

pub(super) fn run(arguments: &AgentsArguments, config: &Path, output: Output) -> Result<Exit, Failure> {
    let door = arguments.ask.door(config)?;
    let (agent, verb, why) = match &arguments.command {
        AgentsCommand::List => return list(&door, ("/v1/agents", "agents"), output, tell_agent),
        AgentsCommand::Glass => return glass(&door, output),
        AgentsCommand::Review { record, why } => return review(&door, *record, why, output),
        AgentsCommand::BreakGlass { agent, why, seconds } => return break_glass(&door, agent, (why, *seconds), output),
        AgentsCommand::Quarantine { agent, why } => (agent, "quarantine", why),
        AgentsCommand::Release { agent, why } => (agent, "release", why),
    };
    named(agent)?;
    let answer = door.ask(Method::POST, &format!("/v1/agents/{agent}/{verb}"), &json!({ "why": why }))?;
    let done = if verb == "release" { "may go on" } else { "is stopped" };
    print(&match output {
        Output::Text => format!("{agent} {done}; record {}\n", member(&answer, "recorded")),
        Output::Json | Output::Jsonl => format!("{answer}\n"),
    })
}

pub(super) fn named(agent: &str) -> Result<(), Failure> {
    let fine = agent.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if fine { Ok(()) } else { Err(Failure::Usage(format!("`{agent}` is no agent's name"))) }
}

fn break_glass(door: &AdminDoor, agent: &str, (why, seconds): (&str, u64), output: Output) -> Result<Exit, Failure> {
    named(agent)?;
    let words = json!({ "why": why, "seconds": seconds });
    let answer = door.ask(Method::POST, &format!("/v1/agents/{agent}/break-glass"), &words)?;
    print(&match output {
        Output::Text => format!(
            "the glass is broken for {agent} until {}; record {} wants a review\n",
            word(&answer, "until"),
            member(&answer, "record")
        ),
        Output::Json | Output::Jsonl => format!("{answer}\n"),
    })
}

fn glass(door: &AdminDoor, output: Output) -> Result<Exit, Failure> {
    list(door, ("/v1/glass", "broken"), output, |broken| {
        let record = member(broken, "record");
        let entry = member(record, "entry");
        let why = plain(word(member(record, "private"), "why"));
        let reviewed = if *member(broken, "reviewed") == true { "reviewed" } else { "to be reviewed" };
        let words = ["at", "agent", "by", "until"].map(|name| plain(word(entry, name)));
        format!("{}  {}  {reviewed}: {why}", member(record, "seq"), words.join("  "))
    })
}

fn review(door: &AdminDoor, record: u64, why: &str, output: Output) -> Result<Exit, Failure> {
    let answer = door.ask(Method::POST, &format!("/v1/glass/{record}/review"), &json!({ "why": why }))?;
    print(&match output {
        Output::Text => format!("{record} is reviewed; record {}\n", member(&answer, "reviewed")),
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

pub(super) fn list(
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

pub(super) fn word<'a>(from: &'a Value, name: &str) -> &'a str {
    member(from, name).as_str().unwrap_or("-")
}

pub(super) fn member<'a>(from: &'a Value, name: &str) -> &'a Value {
    from.get(name).unwrap_or(&Value::Null)
}

pub(super) fn print(text: &str) -> Result<Exit, Failure> {
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Done)
}
