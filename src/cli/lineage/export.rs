//! `countersign lineage export`: the records as lines, or the tree as files that anybody can serve.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::{Exit, Failure, Output, document};
use crate::cli::progress::Progress;
use crate::record::{Checkpoint, Reader, tile_path};

/// Records that are read at a time.
const PAGE: usize = 256;

/// Hashes and entries of a whole tile.
const WIDTH: u64 = 256;

/// One JSON document a record: its place, its entry, its private fields (null where they were erased).
///
/// Whoever keeps what came goes on behind the last record they have, and so has each exactly once.
pub fn records(
    reader: Reader,
    (from, public): (u64, bool),
    output: Output,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let progress = Progress::beside("exporting", output);
    let reader = reader.watched_by(progress.counter())?;
    let mut next = from;
    loop {
        let records = reader.records(next, PAGE)?;
        let Some(last) = records.last() else { return Ok(Exit::Done) };
        next = last.seq.saturating_add(1);
        for record in &records {
            if public {
                document(&serde_json::json!({ "seq": record.seq, "entry": record.entry }), out)?;
            } else {
                document(record, out)?;
            }
        }
    }
}

/// The latest checkpoint, and the tiles and entries of its tree, laid out as c2sp.org/tlog-tiles has them served.
///
/// Whole tiles never change, so those that are there already are left alone.
pub fn tiles(reader: &Reader, folder: &Path, output: Output, out: &mut dyn Write) -> Result<Exit, Failure> {
    let Some(note) = reader.checkpoint()? else {
        writeln!(out, "no checkpoint has been signed yet")?;
        return Ok(Exit::No);
    };
    let size = Checkpoint::parse(&note)?.size;
    let progress = Progress::of("exporting", output);
    let exported = progress.counter();
    let (mut count, mut level) = (size, 0);
    while count > 0 {
        for index in 0..count.div_ceil(WIDTH) {
            let width = u16::try_from(WIDTH.min(count - index * WIDTH)).unwrap_or(256);
            let missing = || Failure::Away(format!("tile {level}/{index} cannot be read"));
            let path = folder.join(tile_path(&level.to_string(), index, width));
            lay(&path, width == 256, || reader.tile(level, index, width)?.ok_or_else(missing))?;
            if level == 0 {
                exported(index * WIDTH + u64::from(width), size);
                let path = folder.join(tile_path("entries", index, width));
                lay(&path, width == 256, || reader.entries(index, width)?.ok_or_else(missing))?;
            }
        }
        count /= WIDTH;
        level += 1;
    }
    lay(&folder.join("checkpoint"), false, || Ok(note.into_bytes()))?;
    drop(progress);
    match output {
        Output::Text => writeln!(out, "{size} records, in `{}`", folder.display())?,
        Output::Json | Output::Jsonl => {
            document(&serde_json::json!({ "records": size, "folder": folder.display().to_string() }), out)?;
        }
    }
    Ok(Exit::Done)
}

fn lay(path: &Path, once: bool, make: impl FnOnce() -> Result<Vec<u8>, Failure>) -> Result<(), Failure> {
    if once && path.exists() {
        return Ok(());
    }
    let bytes = make()?;
    let written = || -> io::Result<()> {
        fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        let new = path.with_extension("new");
        fs::write(&new, bytes)?;
        fs::rename(&new, path)
    };
    written().map_err(|cause| Failure::Usage(format!("`{}`: {cause}", path.display())))
}
