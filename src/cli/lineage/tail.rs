//! `countersign lineage tail`: the last records, and those that come.

use std::io::Write;
use std::time::Duration;

use serde_json::Value;

use super::{Exit, Failure, Output, document, story};
use crate::record::{Reader, Stored};

/// How often to look for more.
const EVERY: Duration = Duration::from_millis(200);

/// Records that are read at a time.
const PAGE: usize = 256;

pub fn run(reader: &Reader, lines: u64, follow: bool, output: Output, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut next = reader.size()?.saturating_sub(lines);
    loop {
        let records = reader.records(next, PAGE)?;
        for record in &records {
            match output {
                Output::Text => writeln!(out, "{}", line(record))?,
                Output::Json | Output::Jsonl => document(record, out)?,
            }
            next = record.seq.saturating_add(1);
        }
        out.flush()?;
        if records.is_empty() {
            if !follow {
                return Ok(Exit::Done);
            }
            std::thread::sleep(EVERY);
        }
    }
}

/// Place, time and kind, who and what, how it came out, and which call it was.
fn line(record: &Stored) -> String {
    let text = |name: &str| record.entry.pointer(name).and_then(Value::as_str).map(story::plain);
    let parts = [
        text("/at"),
        Some(format!("{:9}", record.kind())),
        text("/agent"),
        text("/action"),
        text("/code").or_else(|| text("/ending")).or_else(|| text("/revocation")),
        record.entry.get("count").and_then(Value::as_u64).map(|count| format!("×{count}")),
        text("/call"),
    ];
    let told: Vec<String> = parts.into_iter().flatten().collect();
    format!("{:>8}  {}", record.seq, told.join("  "))
}
