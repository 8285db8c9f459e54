//! The tables of a lineage file, and the connections to it.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _};

use super::super::StoreError;
use super::Sync;

/// The format written here. 1 had no `repeated` and no `erased` records, 2 did not say where verdicts lie, 3 had no habits;
/// all are taken on as they are.
pub const FORMAT: u32 = 4;

/// The format one must know at least to write a file of ours. A later program says in `needs` whether this one may go on
/// with what it made; a file that needs more is refused, and left as it is.
const NEEDS_LEAST: u32 = 1;

/// `meta`: that format.
pub const NEEDS: &str = "needs";

/// `meta`: the lowest record the search for open calls must start at.
pub const OPEN_CALLS_FROM: &str = "open_calls_from";

/// `meta`: the lowest record the search for open tasks must start at.
pub const OPEN_TASKS_FROM: &str = "open_tasks_from";

/// `meta`: the first record that is in the file itself.
pub const BASE: &str = "base";

/// `meta` of an archive: the record behind its last.
pub const END: &str = "end";

/// The format one must know at least once records were moved out of the file.
pub const NEEDS_ARCHIVES: u32 = 2;

/// How long a connection waits for another one's lock.
const PATIENCE: Duration = Duration::from_secs(2);

const TABLES: &str = "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    -- One row a record; `seq` is its place in the tree, from 0. `entry` is what the leaf is a hash of.
    CREATE TABLE records (
        seq INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        call BLOB,
        task BLOB,
        at INTEGER NOT NULL,
        leaf BLOB NOT NULL,
        entry BLOB NOT NULL
    ) STRICT;
    CREATE INDEX records_by_call ON records (call) WHERE call IS NOT NULL;
    CREATE INDEX records_of_tasks ON records (kind) WHERE kind IN ('opened', 'closed');
    -- Private fields: a row may be deleted, and the tree stays whole.
    CREATE TABLE payloads (seq INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
    CREATE TABLE tiles (level INTEGER, idx INTEGER, hashes BLOB NOT NULL, PRIMARY KEY (level, idx)) STRICT, WITHOUT ROWID;
    CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT;
    CREATE TABLE texts (digest BLOB PRIMARY KEY, body TEXT NOT NULL) STRICT;
";

/// The right edge of the tree, as of the last checkpoint: what full tiles and records tell as well, but at the cost of
/// reading hundreds of them for a proof.
const EDGE: &str = "
    CREATE TABLE IF NOT EXISTS edge (level INTEGER PRIMARY KEY, idx INTEGER NOT NULL, hashes BLOB NOT NULL) STRICT;
";

/// What people said and decided, and what tasks have shown, by kind: formats before 3 had none of the former and formats
/// before 4 none of the latter, so the table is whole from its first row.
const OF_PEOPLE: &str = "
    CREATE TABLE IF NOT EXISTS said (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL) STRICT;
    CREATE INDEX IF NOT EXISTS said_by_kind ON said (kind, seq);
";

/// The kinds of records that are in `said`.
pub const SAID: [&str; 10] = [
    "asked",
    "resolved",
    "amended",
    "quarantined",
    "released",
    "glass_broken",
    "reviewed",
    "learned",
    "ratified",
    "reset",
];

/// Where verdicts lie (`filing`): which blocks of records hold a combination of agent, action and decision, in a task or
/// in any. What is in no run of covered blocks must be looked through.
const FILING: &str = "
    CREATE TABLE IF NOT EXISTS combinations (id INTEGER PRIMARY KEY, agent TEXT, action TEXT, decision TEXT NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS filed (
        task BLOB NOT NULL,
        combination INTEGER NOT NULL,
        block INTEGER NOT NULL,
        PRIMARY KEY (task, combination, block)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS covered (first INTEGER PRIMARY KEY, last INTEGER NOT NULL) STRICT;
";

/// Opens the file for writing and makes it if it is not there, readable for its owner only.
pub fn create(path: &Path, sync: Sync) -> Result<Connection, StoreError> {
    let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    if let Err(source) = new
        && source.kind() != std::io::ErrorKind::AlreadyExists
    {
        return Err(StoreError::Open { path: path.display().to_string(), source });
    }
    let db = connect(path, sync)?;
    if table_count(&db)? == 0 {
        let tx = db.unchecked_transaction()?;
        tx.execute_batch(TABLES)?;
        tx.execute_batch(EDGE)?;
        tx.execute_batch(OF_PEOPLE)?;
        tx.execute_batch(FILING)?;
        tx.execute(
            "INSERT INTO meta VALUES ('format', ?), ('needs', ?)",
            [FORMAT.to_string(), NEEDS_LEAST.to_string()],
        )?;
        tx.commit()?;
    }
    if check_format(&db, path)? < FORMAT {
        // What it needs already, for its archives for instance, it goes on needing.
        let needs = number(&db, NEEDS)?.unwrap_or(0).max(NEEDS_LEAST.into());
        let tx = db.unchecked_transaction()?;
        tx.execute_batch(EDGE)?;
        tx.execute_batch(OF_PEOPLE)?;
        tx.execute_batch(FILING)?;
        tx.execute(
            "INSERT OR REPLACE INTO meta VALUES ('format', ?), ('needs', ?)",
            [u64::from(FORMAT), needs].map(|n| n.to_string()),
        )?;
        tx.commit()?;
    }
    sync_folder(path)?;
    Ok(db)
}

/// Makes an archive of records up to before `end`.
pub fn create_archive(path: &Path, end: u64) -> Result<Connection, StoreError> {
    let new = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    new.map_err(|source| StoreError::Open { path: path.display().to_string(), source })?;
    let db = connect_archive(path)?;
    // Until it is whole and synced it bears another name, and what is left of it after a crash is thrown away.
    db.pragma_update(None, "journal_mode", "off")?;
    db.pragma_update(None, "synchronous", "off")?;
    let tx = db.unchecked_transaction()?;
    tx.execute_batch(TABLES)?;
    let meta = [FORMAT.to_string(), NEEDS_ARCHIVES.to_string(), end.to_string()];
    tx.execute("INSERT INTO meta VALUES ('format', ?), ('needs', ?), ('end', ?)", meta)?;
    tx.commit()?;
    Ok(db)
}

/// Opens an archive for writing. It has no log beside it: it is written once, and but for erasing never again.
pub fn connect_archive(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(PATIENCE)?;
    db.pragma_update(None, "journal_mode", "delete")?;
    db.pragma_update(None, "synchronous", "full")?;
    db.pragma_update(None, "secure_delete", "on")?;
    Ok(db)
}

/// Opens a file for writing that must be there.
pub fn connect(path: &Path, sync: Sync) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(PATIENCE)?;
    db.set_prepared_statement_cache_capacity(32);
    db.pragma_update(None, "journal_mode", "wal")?;
    db.pragma_update(None, "wal_autocheckpoint", 0)?;
    db.pragma_update(None, "synchronous", sync.name())?;
    // What is erased is written over, and not only forgotten.
    db.pragma_update(None, "secure_delete", "on")?;
    db.pragma_update(None, "temp_store", "memory")?;
    db.pragma_update(None, "cache_size", -8192)?;
    Ok(db)
}

/// Opens a file for reading only, while it is written or when it is a copy on a medium that cannot be written.
pub fn read_only(path: &Path) -> Result<Connection, StoreError> {
    let plain = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let readable = |db: Connection| table_count(&db).map(|_| db);
    let db = match Connection::open_with_flags(path, plain).and_then(readable) {
        Ok(db) => db,
        // In WAL mode even a reader writes beside the file; where it cannot, the file must be at rest.
        Err(cause) => {
            let escaped = percent_encoding::percent_encode(
                path.as_os_str().as_encoded_bytes(),
                percent_encoding::NON_ALPHANUMERIC,
            );
            let uri = format!("file:{}?immutable=1", escaped.to_string().replace("%2F", "/"));
            let at_rest = std::fs::metadata(beside(path, "-wal")).map_or(0, |wal| wal.len()) == 0;
            let immutable = at_rest && path.is_file();
            let reopened = immutable.then(|| Connection::open_with_flags(uri, plain | OpenFlags::SQLITE_OPEN_URI));
            reopened.unwrap_or(Err(cause)).and_then(readable)?
        }
    };
    db.busy_timeout(PATIENCE)?;
    check_format(&db, path)?;
    Ok(db)
}

/// The path of a file that SQLite or we keep beside `path`.
pub fn beside(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A number in `meta`.
pub fn number(db: &Connection, key: &str) -> Result<Option<u64>, StoreError> {
    let text: Option<String> =
        db.query_row("SELECT value FROM meta WHERE key = ?", [key], |row| row.get(0)).optional()?;
    Ok(text.and_then(|text| text.parse().ok()))
}

/// A place in the tree, as the database counts.
pub fn row(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

fn table_count(db: &Connection) -> rusqlite::Result<i64> {
    db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
}

/// The file's format, if this program may read and write it.
fn check_format(db: &Connection, path: &Path) -> Result<u32, StoreError> {
    let shown = path.display().to_string();
    let found: Option<String> = db
        .query_row("SELECT value FROM meta WHERE key = 'format'", [], |row| row.get(0))
        .optional()
        .map_err(|_| StoreError::Foreign(shown.clone()))?;
    let found = found.ok_or_else(|| StoreError::Foreign(shown.clone()))?;
    let needs = number(db, NEEDS)?;
    match found.parse::<u32>() {
        Ok(format) if format <= FORMAT || needs.is_some_and(|needs| needs <= u64::from(FORMAT)) => Ok(format),
        Ok(_) | Err(_) => Err(StoreError::Newer { path: shown, found, known: FORMAT }),
    }
}

/// Makes the new file's name durable: its content is SQLite's business, its place in the folder is ours.
fn sync_folder(path: &Path) -> Result<(), StoreError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let synced = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|source| StoreError::Open { path: folder.display().to_string(), source })
}
