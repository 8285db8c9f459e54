//! `countersign baseline`: what agents usually do, and what puts that in force.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::agents::{list, member, named, print, word};
use super::door::{AdminDoor, AskArguments};
use super::lineage::plain;
use super::{Exit, Failure, Output};

/// Which sidecar, and what to do with its agents' baselines.
#[derive(Args, Debug)]
pub(super) struct BaselineArguments {
    #[command(flatten)]
    ask: AskArguments,
    #[command(subcommand)]
    command: BaselineCommand,
}

#[derive(Debug, Subcommand)]
enum BaselineCommand {
    /// List the agents: which baseline of each is in force, and how far its last tasks were from it.
    List,
    /// Show what an agent usually does: what is in force, what its tasks have shown by now, and what that would change.
    Show {
        /// The agent.
        agent: String,
    },
    /// Put what an agent's tasks have shown in force, as `show` showed it, or an earlier version.
    Ratify {
        /// The agent.
        agent: String,
        /// The draft that you looked at, as `show` names it.
        #[arg(long, value_name = "TIME/DIGEST", required_unless_present = "version", conflicts_with = "version")]
        draft: Option<String>,
        /// An earlier version, instead.
        #[arg(long, value_name = "N")]
        version: Option<u32>,
        /// Why, for the record.
        #[arg(long, default_value = "", value_name = "WORDS")]
        why: String,
    },
    /// Take an agent's baseline out of force, and forget what its tasks have shown so far.
    Reset {
        /// The agent.
        agent: String,
        /// Why, for the record.
        #[arg(long, default_value = "", value_name = "WORDS")]
        why: String,
    },
}

pub(super) fn run(arguments: &BaselineArguments, config: &Path, output: Output) -> Result<Exit, Failure> {
    let door = arguments.ask.door(config)?;
    let (answer, text) = match &arguments.command {
        BaselineCommand::List => return list(&door, ("/v1/baselines", "baselines"), output, tell),
        BaselineCommand::Show { agent } => {
            named(agent)?;
            let shown = door.ask(Method::GET, &format!("/v1/baselines/{agent}"), &Value::Null)?;
            let text = tell_whole(&shown);
            (shown, text)
        }
        BaselineCommand::Ratify { agent, draft, version, why } => {
            let what = match draft {
                Some(draft) => json!({ "draft": seen(draft)?, "why": why }),
                None => json!({ "version": version, "why": why }),
            };
            let answer = decide(&door, (agent, "ratify"), &what)?;
            let text = format!(
                "version {} of {agent}'s baseline is in force; record {}\n",
                member(&answer, "version"),
                member(&answer, "recorded")
            );
            (answer, text)
        }
        BaselineCommand::Reset { agent, why } => {
            let answer = decide(&door, (agent, "reset"), &json!({ "why": why }))?;
            let text = format!("{agent} has no baseline any more; record {}\n", member(&answer, "recorded"));
            (answer, text)
        }
    };
    print(&match output {
        Output::Text => text,
        Output::Json | Output::Jsonl => format!("{answer}\n"),
    })
}

fn decide(door: &AdminDoor, (agent, verb): (&str, &str), what: &Value) -> Result<Value, Failure> {
    named(agent)?;
    door.ask(Method::POST, &format!("/v1/baselines/{agent}/{verb}"), what)
}

/// The draft that somebody has looked at.
fn seen(draft: &str) -> Result<Value, Failure> {
    let wrong = || Failure::Usage(format!("`{}` is no draft; `baseline show` names it", draft.escape_debug()));
    let (as_of, digest) = draft.split_once('/').ok_or_else(wrong)?;
    Ok(json!({ "as_of": as_of, "digest": digest }))
}

fn tell(baseline: &Value) -> String {
    let agent = word(baseline, "agent");
    match member(baseline, "version").as_u64() {
        None => format!("{agent}  none in force"),
        Some(version) => {
            let enough =
                if member(baseline, "ready") == &Value::Bool(true) { "" } else { ", too few to call anything new" };
            let (tasks, drift) = (member(baseline, "tasks"), member(baseline, "drift"));
            format!("{agent}  version {version} of {tasks} tasks{enough}  drift {drift} %")
        }
    }
}

fn tell_whole(shown: &Value) -> String {
    let mut text = String::new();
    let in_force = member(shown, "in_force");
    match member(in_force, "version").as_u64() {
        None => text.push_str("in force: none\n"),
        Some(version) => {
            let _ = writeln!(text, "in force: version {version}, drift {} %", member(in_force, "drift"));
            text.push_str(&tell_habits(member(in_force, "baseline")));
        }
    }
    let draft = member(shown, "draft");
    let baseline = member(draft, "baseline");
    let held = member(draft, "held").as_u64().unwrap_or(0);
    let _ = writeln!(text, "draft: {} tasks, {held} more that do not count yet", member(baseline, "tasks"));
    text.push_str(&tell_habits(baseline));
    let difference = member(shown, "difference");
    for (name, sign) in [("added", '+'), ("removed", '-')] {
        tell_difference(member(difference, name), sign, &mut text);
    }
    if member(baseline, "tasks").as_u64().unwrap_or(0) > 0 {
        let (agent, as_of, digest) = (word(shown, "agent"), word(draft, "as_of"), word(draft, "digest"));
        let _ = writeln!(text, "to put it in force: countersign baseline ratify {agent} --draft {as_of}/{digest}");
    }
    text
}

fn tell_habits(baseline: &Value) -> String {
    let tasks = member(baseline, "tasks").as_u64().unwrap_or(0);
    if tasks == 0 {
        return String::new();
    }
    let mut text = format!(
        "  {tasks} tasks, {} to {}\n",
        word(baseline, "since").get(..10).unwrap_or_default(),
        word(baseline, "until").get(..10).unwrap_or_default()
    );
    let counted = member(baseline, "actions").as_object().into_iter().flatten();
    for (action, tasks) in counted {
        let _ = writeln!(text, "  {}  in {tasks} tasks", plain(action));
    }
    for (place, count) in member(baseline, "values").as_object().into_iter().flatten() {
        let _ = writeln!(text, "  {}  {count} values known", plain(place));
    }
    let resources = member(baseline, "resources").as_array().map_or(0, Vec::len);
    let sources = member(baseline, "sources").as_array().into_iter().flatten().filter_map(Value::as_str);
    let _ = writeln!(text, "  {resources} resources known; {} things were done too rarely", member(baseline, "rare"));
    for source in sources {
        let _ = writeln!(text, "  as {}", plain(source));
    }
    text
}

fn tell_difference(habits: &Value, sign: char, text: &mut String) {
    for kind in ["actions", "resources", "sources"] {
        for what in member(habits, kind).as_array().into_iter().flatten().filter_map(Value::as_str) {
            let _ = writeln!(text, "{sign} {}", plain(what));
        }
    }
    for step in member(habits, "steps").as_array().into_iter().flatten() {
        let words: Vec<&str> = step.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if let [from, to] = words.as_slice() {
            let from = if from.is_empty() { "the beginning" } else { from };
            let _ = writeln!(text, "{sign} {} behind {}", plain(to), plain(from));
        }
    }
    for (place, count) in member(habits, "values").as_object().into_iter().flatten() {
        let _ = writeln!(text, "{sign} {count} values of {}", plain(place));
    }
}
