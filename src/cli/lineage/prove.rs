//! `countersign lineage prove`: a receipt for one record of a call, which needs nothing of ours to be checked.

use std::io::Write;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::{Exit, Failure, Output, document};
use crate::model::CallId;
use crate::record::{Reader, Stored};

/// How long to wait for the next checkpoint: one is signed every second while records come.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Serialize)]
struct Proof<'a> {
    call: CallId,
    seq: u64,
    kind: &'a str,
    proof: String,
}

pub fn run(
    reader: &Reader,
    call: CallId,
    kind: Option<&str>,
    output: Output,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let no = |out: &mut dyn Write, why: String| {
        match output {
            Output::Text => writeln!(out, "{why}")?,
            Output::Json | Output::Jsonl => {}
        }
        Ok(Exit::No)
    };
    let Some(story) = reader.story(call)? else { return no(out, format!("nothing is recorded of call `{call}`")) };
    let wanted = |record: &&Stored| kind.is_none_or(|kind| record.kind() == kind);
    let Some(record) = story.records.iter().find(wanted) else {
        let kinds: Vec<&str> = story.records.iter().map(Stored::kind).collect();
        return no(out, format!("call `{call}` has no such record, but {}", kinds.join(", ")));
    };
    let until = Instant::now() + PATIENCE;
    let proof = loop {
        match reader.receipt(record.seq)? {
            Some(proof) => break proof,
            None if Instant::now() < until => std::thread::sleep(Duration::from_millis(100)),
            None => return no(out, format!("no signed checkpoint covers record {} yet", record.seq)),
        }
    };
    match output {
        Output::Text => write!(out, "{proof}")?,
        Output::Json | Output::Jsonl => {
            document(&Proof { call, seq: record.seq, kind: record.kind(), proof }, out)?;
        }
    }
    Ok(Exit::Done)
}
