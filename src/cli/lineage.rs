//! `countersign lineage`: what was recorded, for whoever looks into it afterwards.

mod story;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;

use super::{Exit, Failure, Output};
use crate::model::CallId;
use crate::record::{Filter, Reader, Report, StoreError, Verdict, verify};

/// What to do with the lineage.
#[derive(Debug, Subcommand)]
pub enum LineageCommand {
    /// List calls, the latest first.
    List {
        /// Only those of this agent.
        #[arg(long, value_name = "NAME")]
        agent: Option<String>,
        /// Only those with this action: `github/issues.create` or `issues.create`.
        #[arg(long, value_name = "ACTION")]
        action: Option<String>,
        /// Only those with this verdict.
        #[arg(long, value_parser = ["allow", "deny", "throttle", "unavailable"])]
        decision: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: usize,
    },
    /// Tell the story of one call.
    Show {
        /// The call, as the agent's answer names it in `Countersign-Call`.
        call: CallId,
    },
    /// Compute every leaf, tile and root anew, and compare.
    Verify {
        /// A signed checkpoint that was kept elsewhere. Without one, a lineage whose end was cut off looks whole.
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
        /// The key that signed the checkpoints: `name+id+key`. By default this sidecar's own.
        #[arg(long, value_name = "VKEY")]
        key: Option<String>,
    },
}

/// Runs one on the lineage at `db`. `vkey` is this sidecar's own verification key, if it has one.
pub fn run(
    command: LineageCommand,
    db: &Path,
    vkey: Option<String>,
    output: Output,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let reader = Reader::open(db)?;
    match command {
        LineageCommand::List { agent, action, decision, limit } => {
            list(&reader, &Filter { agent, action, decision, limit, ..Filter::default() }, output, out)
        }
        LineageCommand::Show { call } => show(&reader, call, output, out),
        LineageCommand::Verify { checkpoint, key } => {
            let read = |path: PathBuf| {
                fs::read_to_string(&path).map_err(|cause| Failure::Usage(format!("{}: {cause}", path.display())))
            };
            let note = checkpoint.map(read).transpose()?;
            let report = verify(&reader, note.as_deref(), key.or(vkey).as_deref());
            tell(&report, output, out)?;
            Ok(if report.is_intact() { Exit::Done } else { Exit::No })
        }
    }
}

fn list(reader: &Reader, filter: &Filter, output: Output, out: &mut dyn Write) -> Result<Exit, Failure> {
    let stories = reader.calls(filter)?;
    match output {
        Output::Text => story::table(&stories, out)?,
        Output::Json => document(&stories, out)?,
        Output::Jsonl => stories.iter().try_for_each(|story| document(story, out))?,
    }
    Ok(Exit::Done)
}

fn show(reader: &Reader, call: CallId, output: Output, out: &mut dyn Write) -> Result<Exit, Failure> {
    let Some(found) = reader.story(call)? else {
        return match output {
            Output::Text => {
                writeln!(out, "nothing is recorded of call `{call}`")?;
                Ok(Exit::No)
            }
            Output::Json | Output::Jsonl => Ok(Exit::No),
        };
    };
    match output {
        Output::Text => {
            let place = story::Place { size: reader.size()?, checkpoint: reader.checkpoint()? };
            story::tell(&found, &place, out)?;
        }
        Output::Json | Output::Jsonl => document(&found, out)?,
    }
    Ok(Exit::Done)
}

fn tell(report: &Report, output: Output, out: &mut dyn Write) -> Result<(), Failure> {
    match output {
        Output::Json | Output::Jsonl => return document(report, out),
        Output::Text => {}
    }
    match &report.verdict {
        Verdict::Intact => writeln!(out, "intact: {} records, root {}", report.size, report.root)?,
        Verdict::Broken { seq: Some(seq), what } => {
            writeln!(out, "broken at record {seq}: {}", story::plain(what))?;
            writeln!(out, "  good before it: {} records, root {}", report.size, report.root)?;
        }
        Verdict::Broken { seq: None, what } => writeln!(out, "broken: {}", story::plain(what))?,
    }
    let signed =
        if report.signatures_checked { "signatures checked" } else { "signatures not checked: no key was given" };
    writeln!(out, "  stored checkpoints: {} fit, {signed}", report.checkpoints)?;
    if report.erased > 0 {
        writeln!(out, "  private fields erased: {} records", report.erased)?;
    }
    match &report.against {
        Some(against) => writeln!(
            out,
            "  outside checkpoint: {} at {} records, root {}",
            story::plain(&against.origin),
            against.size,
            against.root
        )?,
        None => writeln!(
            out,
            "  outside checkpoint: none was given, so a lineage that was cut off or written anew would not be noticed"
        )?,
    }
    Ok(())
}

/// One JSON document on a line of its own. What a terminal would obey or hide is escaped.
fn document<T: Serialize>(value: &T, out: &mut dyn Write) -> Result<(), Failure> {
    let json = serde_json::to_string(value).map_err(|cause| Failure::Away(cause.to_string()))?;
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if story::is_printable(c) {
            shown.push(c);
        } else {
            let mut units = [0; 2];
            shown.extend(c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    Ok(writeln!(out, "{shown}")?)
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Away(error.to_string())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Away(format!("the output cannot be written: {error}"))
    }
}
