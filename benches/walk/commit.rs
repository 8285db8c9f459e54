//! What the store alone takes for one durable record: SQLite, WAL, `synchronous = FULL`, one row of 1 KB a transaction.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use rusqlite::{Connection, params};

/// Microseconds that each of so many commits took, sorted.
pub fn commits(folder: &Path, count: u32) -> Result<Vec<f64>> {
    let db = Connection::open(folder.join("commits.db"))?;
    db.pragma_update(None, "journal_mode", "wal")?;
    db.pragma_update(None, "synchronous", "full")?;
    db.pragma_update(None, "wal_autocheckpoint", 0)?;
    db.execute_batch("CREATE TABLE IF NOT EXISTS records (seq INTEGER PRIMARY KEY, entry BLOB NOT NULL) STRICT")?;
    let row = vec![b'x'; 1_024];
    let mut insert = db.prepare("INSERT INTO records (entry) VALUES (?)")?;
    let mut took = Vec::new();
    for _ in 0..count {
        let begun = Instant::now();
        insert.execute(params![row])?;
        took.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    took.sort_by(f64::total_cmp);
    drop(insert);
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(took)
}
