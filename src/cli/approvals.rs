//! `countersign approvals`: which calls wait for somebody to agree, and the answers.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::agents::{member, print, word};
use super::door::{AdminDoor, AskArguments};
use super::lineage::plain;
use super::{Exit, Failure, Output};
use crate::model::ApprovalId;

/// Which sidecar, and what to do with its questions.
#[derive(Args, Debug)]
pub(super) struct ApprovalsArguments {
    #[command(flatten)]
    ask: AskArguments,
    #[command(subcommand)]
    command: ApprovalsCommand,
}

#[derive(Debug, Subcommand)]
enum ApprovalsCommand {
    /// List the calls that wait for somebody to agree, with all that would be agreed to.
    List {
        /// Those that were answered or are over within the last hour, too.
        #[arg(long)]
        all: bool,
    },
    /// Agree to a call: to this one, with these bytes, once.
    Approve {
        /// The question.
        #[arg(value_parser = super::door::id::<ApprovalId>)]
        id: ApprovalId,
        /// Why, for the record.
        #[arg(long, default_value = "", value_name = "WORDS")]
        why: String,
    },
    /// Do not agree to it.
    Deny {
        /// The question.
        #[arg(value_parser = super::door::id::<ApprovalId>)]
        id: ApprovalId,
        /// Why, for the record.
        #[arg(long, default_value = "", value_name = "WORDS")]
        why: String,
    },
}

pub(super) fn run(arguments: &ApprovalsArguments, config: &Path, output: Output) -> Result<Exit, Failure> {
    let door = arguments.ask.door(config)?;
    let (id, verb, why) = match &arguments.command {
        ApprovalsCommand::List { all } => return list(&door, *all, output),
        ApprovalsCommand::Approve { id, why } => (id, "approve", why),
        ApprovalsCommand::Deny { id, why } => (id, "deny", why),
    };
    let answer = door.ask(Method::POST, &format!("/v1/approvals/{id}/{verb}"), &json!({ "why": why }))?;
    print(&match output {
        Output::Text => format!("{id}: {}\n", stands(member(&answer, "answer"))),
        Output::Json | Output::Jsonl => format!("{answer}\n"),
    })
}

fn list(door: &AdminDoor, all: bool, output: Output) -> Result<Exit, Failure> {
    let answer = door.ask(Method::GET, "/v1/approvals", &Value::Null)?;
    let questions = member(&answer, "approvals").as_array().map_or(&[][..], Vec::as_slice);
    let wanted: Vec<&Value> = questions.iter().filter(|one| all || word(one, "state") == "waiting").collect();
    print(&match output {
        Output::Json => format!("{}\n", json!({ "approvals": wanted })),
        Output::Jsonl => wanted.iter().flat_map(|one| [one.to_string(), "\n".to_owned()]).collect(),
        Output::Text if wanted.is_empty() => "nobody is asked anything\n".to_owned(),
        Output::Text => wanted.iter().map(|one| tell(one)).collect(),
    })
}

/// All that somebody needs to know who is asked. The agent chose some of these words.
fn tell(question: &Value) -> String {
    let shown = |name: &str| plain(word(question, name));
    let mut text = format!("{}  {}\n", shown("id"), stands(question));
    let _ = writeln!(text, "  who       {}{}", shown("agent"), on_behalf_of(question));
    let _ = writeln!(text, "  does      {} ({}) on {}", shown("action"), shown("effect"), shown("resource"));
    let _ = writeln!(text, "  as        {} {}", shown("method"), shown("target"));
    for (name, value) in member(question, "args").as_object().into_iter().flatten() {
        let _ = writeln!(text, "            {}: {}", plain(name), plain(&value.to_string()));
    }
    if let Some(length) = member(member(question, "content"), "length").as_u64() {
        let digest = plain(word(member(question, "content"), "sha256"));
        let _ = writeln!(text, "  sends     {length} bytes, sha256 {digest}");
    }
    for (place, seen) in
        member(member(member(question, "facts"), "values"), "unattested").as_object().into_iter().flatten()
    {
        let seen = seen.as_str().map_or_else(String::new, |call| format!(": it was read in call {}", plain(call)));
        let _ = writeln!(text, "  nobody    stands behind {}{seen}", plain(place));
    }
    if let Some(purpose) = member(question, "purpose").as_str() {
        let _ = writeln!(text, "  it says   {}", plain(purpose));
    }
    let labels = member(member(question, "facts"), "labels").as_array().map_or(&[][..], Vec::as_slice);
    let labels: Vec<&str> = labels.iter().filter_map(Value::as_str).collect();
    if !labels.is_empty() {
        let _ = writeln!(text, "  has read  {}", labels.join(", "));
    }
    for (rule, asking) in member(question, "rules").as_object().into_iter().flatten() {
        let reason = member(asking, "reason").as_str().map_or_else(String::new, |why| format!(": {}", plain(why)));
        let _ = writeln!(text, "  asks      {}, by {}{reason}", plain(word(asking, "who")), plain(rule));
    }
    let _ = writeln!(text, "  call      {}, since {}, until {}", shown("call"), shown("asked_at"), shown("expires_at"));
    text
}

fn on_behalf_of(question: &Value) -> String {
    let person = member(question, "on_behalf_of").as_str();
    person.map_or_else(String::new, |person| format!(", on behalf of {}", plain(person)))
}

fn stands(answer: &Value) -> String {
    match (word(answer, "state"), member(answer, "until").as_str()) {
        (state, Some(until)) => format!("{state}, until {until}"),
        (state, None) => state.to_owned(),
    }
}
