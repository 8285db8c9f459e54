//! `countersign lineage verify`: is it what it was, and against what was that checked.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{Exit, Failure, Output, document, story};
use crate::cli::progress::Progress;
use crate::record::{Checkpoint, Reader, Report, Verdict, Verifier, verify, verify_since};

/// What to check it against.
pub struct Asked {
    pub checkpoint: Option<PathBuf>,
    pub since: Option<PathBuf>,
    pub key: Option<String>,
}

pub fn run(
    reader: Reader,
    asked: Asked,
    kept: &[PathBuf],
    output: Output,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let read = |path: &Path| {
        fs::read_to_string(path).map_err(|cause| Failure::Usage(format!("`{}`: {cause}", path.display())))
    };
    let note = |path: &Path| {
        let note = read(path)?;
        Checkpoint::parse(&note).map_err(|cause| Failure::Usage(format!("`{}`: {cause}", path.display())))?;
        Ok::<String, Failure>(note)
    };
    let key = asked.key.as_deref();
    if let Some(key) = key {
        Verifier::parse(key).map_err(|cause| Failure::Usage(format!("`--key`: {cause}")))?;
    }
    let since = asked.since.as_deref().map(note).transpose()?;
    let checkpoint = asked.checkpoint.as_deref().map(note).transpose()?;
    let progress = Progress::of("verifying", output);
    let reader = &reader.watched_by(progress.counter())?;
    let report = match (&since, &checkpoint) {
        (Some(since), _) => verify_since(reader, since, key),
        (None, Some(checkpoint)) => verify(reader, Some(checkpoint), key),
        (None, None) => verify(reader, furthest(kept).as_deref(), key),
    };
    drop(progress);
    tell(&report, output, out)?;
    Ok(if report.is_intact() { Exit::Done } else { Exit::No })
}

/// Of the checkpoints that were sent to files, the one that covers most.
fn furthest(kept: &[PathBuf]) -> Option<String> {
    let notes = kept.iter().filter_map(|path| fs::read_to_string(path).ok());
    notes.max_by_key(|note| Checkpoint::parse(note).map_or(0, |checkpoint| checkpoint.size))
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
    if report.taken > 0 {
        writeln!(
            out,
            "  not read again: the first {} records, whose tiles have the root of the checkpoint",
            report.taken
        )?;
    }
    let signed =
        if report.signatures_checked { "signatures checked" } else { "signatures not checked: no key was given" };
    writeln!(out, "  stored checkpoints: {} fit, {signed}", report.checkpoints)?;
    if report.absent > 0 {
        writeln!(
            out,
            "  not here: the archives of {} records; their hashes fit, and no more was looked at",
            report.absent
        )?;
    }
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
