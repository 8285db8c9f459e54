//! `countersign lineage`: what was recorded, for whoever looks into it afterwards.

mod export;
mod prove;
mod story;
mod tail;
mod verify;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{Exit, Failure, Output};
use crate::config::Config;
pub(super) use crate::model::plain;
use crate::model::{CallId, is_printable};
use crate::record::{Filter, Reader, StoreError};

/// Which lineage, and what to do with it.
#[derive(Args, Debug)]
pub struct LineageArguments {
    /// A lineage's file, for instance a copy: by default the one that the configuration names.
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    #[command(subcommand)]
    pub(super) command: LineageCommand,
}

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
        /// Only those with this verdict; `no` is all but `allow`.
        #[arg(long, value_parser = Filter::DECISIONS)]
        decision: Option<String>,
        /// At most so many.
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: usize,
    },
    /// Tell the story of one call.
    Show {
        /// The call, as the agent's answer names it in `Countersign-Call`.
        #[arg(value_parser = super::door::id::<CallId>)]
        call: CallId,
    },
    /// Show the last records; with `--follow`, go on with those that come.
    Tail {
        /// So many of those that are there.
        #[arg(short = 'n', long, default_value_t = 10, value_name = "N")]
        lines: u64,
        /// Go on with those that come.
        #[arg(short, long)]
        follow: bool,
    },
    /// Compute every leaf, tile and root anew, and compare.
    Verify {
        /// A signed checkpoint that was kept elsewhere. By default those that the configuration has sent to files; without
        /// one, a lineage whose end was cut off looks whole.
        #[arg(long, value_name = "FILE")]
        checkpoint: Option<PathBuf>,
        /// Only what came after this signed checkpoint, whose lineage was verified then.
        #[arg(long, value_name = "FILE", conflicts_with = "checkpoint")]
        since: Option<PathBuf>,
        /// The key that signed the checkpoints: `name+id+key`. By default this sidecar's own.
        #[arg(long, value_name = "VKEY")]
        key: Option<String>,
    },
    /// Print a receipt for a call's record (c2sp.org/tlog-proof), which proves it offline.
    Prove {
        /// The call.
        #[arg(value_parser = super::door::id::<CallId>)]
        call: CallId,
        /// Which of its records: by default its verdict.
        #[arg(long, value_name = "KIND")]
        kind: Option<String>,
    },
    /// Write records out, one JSON document a line, or the tree as files that can be served (c2sp.org/tlog-tiles).
    Export {
        /// From this record on.
        #[arg(long, default_value_t = 0, value_name = "SEQ")]
        from: u64,
        /// Without private fields.
        #[arg(long)]
        public: bool,
        /// Write the checkpoint, tiles and entries into this folder instead.
        #[arg(long, value_name = "DIR")]
        tiles: Option<PathBuf>,
    },
    /// Erase the private fields of a call's records. The sidecar must not be running; while it is, ask its admin door.
    Erase {
        /// The call.
        #[arg(value_parser = super::door::id::<CallId>)]
        call: CallId,
        /// Why, for the record.
        #[arg(long, default_value = "", value_name = "TEXT")]
        why: String,
    },
}

/// A lineage where it lies, and what is known of it.
#[derive(Debug, Default)]
pub struct Lying {
    /// The file.
    pub path: PathBuf,
    /// What checks its checkpoints, if that is known.
    pub vkey: Option<String>,
    /// Files that its checkpoints were sent to.
    pub checkpoints: Vec<PathBuf>,
    /// Where its keys lie.
    pub keys: Option<PathBuf>,
}

impl Lying {
    /// The lineage of a configuration.
    pub fn of(config: &Config) -> Self {
        Self {
            path: config.lineage.path.clone(),
            vkey: crate::app::vkey(config).ok(),
            checkpoints: config.lineage.checkpoint_files(),
            keys: Some(config.keys.clone()),
        }
    }
}

/// Runs one command on a lineage.
pub fn run(command: LineageCommand, lying: &Lying, output: Output, out: &mut dyn Write) -> Result<Exit, Failure> {
    if let LineageCommand::Erase { call, why } = &command {
        return erase(lying, (*call, why), output, out);
    }
    let reader = open(&lying.path)?;
    match command {
        LineageCommand::List { agent, action, decision, limit } => {
            list(&reader, &Filter { agent, action, decision, limit, ..Filter::default() }, output, out)
        }
        LineageCommand::Show { call } => show(&reader, call, output, out),
        LineageCommand::Tail { lines, follow } => tail::run(&reader, lines, follow, output, out),
        LineageCommand::Verify { checkpoint, since, key } => {
            let asked = verify::Asked { checkpoint, since, key: key.or_else(|| lying.vkey.clone()) };
            verify::run(reader, asked, &lying.checkpoints, output, out)
        }
        LineageCommand::Prove { call, kind } => prove::run(&reader, call, kind.as_deref(), output, out),
        LineageCommand::Export { tiles: Some(folder), .. } => export::tiles(&reader, &folder, output, out),
        LineageCommand::Export { from, public, tiles: None } => export::records(reader, (from, public), output, out),
        LineageCommand::Erase { .. } => Ok(Exit::Done),
    }
}

/// Opens a lineage to read it. Where there is none, a sidecar has not served yet, or it lies elsewhere.
pub(super) fn open(path: &Path) -> Result<Reader, Failure> {
    Reader::open(path).map_err(|error| {
        let is_absent = matches!(&error, StoreError::Open { source, .. } if source.kind() == io::ErrorKind::NotFound);
        if !is_absent {
            return error.into();
        }
        Failure::Away(format!(
            "there is no `{}`: nothing is recorded before `countersign serve` starts for the first time",
            path.display()
        ))
    })
}

fn erase(lying: &Lying, (call, why): (CallId, &str), output: Output, out: &mut dyn Write) -> Result<Exit, Failure> {
    let keys = lying.keys.as_deref().ok_or_else(|| {
        Failure::Usage("erasing is recorded and signed, which wants the configuration with the lineage's key".into())
    })?;
    let erased = crate::app::erase(&lying.path, keys, call, why)?;
    let done = if erased.is_empty() { Exit::No } else { Exit::Done };
    if output != Output::Text {
        document(&serde_json::json!({ "call": call, "erased": erased }), out)?;
        return Ok(done);
    }
    if erased.is_empty() {
        writeln!(out, "nothing of call `{call}` can be erased")?;
    } else {
        writeln!(out, "erased: the private fields of {} records of call `{call}`", erased.len())?;
    }
    Ok(done)
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

/// One JSON document on a line of its own. What a terminal would obey or hide is escaped.
pub(super) fn document<T: Serialize>(value: &T, out: &mut dyn Write) -> Result<(), Failure> {
    let json = serde_json::to_string(value).map_err(|cause| Failure::Away(cause.to_string()))?;
    let mut shown = String::with_capacity(json.len());
    for c in json.chars() {
        if is_printable(c) {
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
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::Unread;
        }
        Self::Away(format!("the output cannot be written: {error}"))
    }
}
