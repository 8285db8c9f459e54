//! Records that were moved out of the lineage's file: whole tiles of them, in files beside it. The tree stays where it was.

use std::ops::Range;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::sqlite::schema::{self, BASE, END, beside, number, row};
use super::{Reader, StoreError};

/// A file of records that were moved out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Archive {
    /// Its first record. It names the file, so that files sort by it.
    pub first: u64,
    /// Where it lies.
    pub path: PathBuf,
}

impl Archive {
    /// The archives of the lineage at `path` that are there, the earliest first.
    pub fn all(path: &Path) -> Vec<Self> {
        let files = std::fs::read_dir(folder(path)).into_iter().flatten().flatten();
        let archive = |file: std::fs::DirEntry| {
            let path = file.path();
            let first = path.file_name()?.to_str()?.strip_suffix(".db")?.parse().ok()?;
            Some(Self { first, path })
        };
        let mut all: Vec<Self> = files.filter_map(archive).collect();
        all.sort_by_key(|archive| archive.first);
        all
    }

    /// The one that begins with a record.
    pub fn beginning_with(path: &Path, first: u64) -> Self {
        Self { first, path: folder(path).join(format!("{first:020}.db")) }
    }

    /// Opens it for reading; and says which records are in it.
    pub fn open(&self) -> Result<(Connection, Range<u64>), StoreError> {
        let db = schema::read_only(&self.path)?;
        let end = number(&db, END)?.unwrap_or(self.first);
        Ok((db, self.first..end))
    }
}

/// Looks at some records, in the file they are in.
type Look<'a, T> = dyn FnMut(&Connection, Range<u64>) -> Result<T, StoreError> + 'a;

/// The folder of the archives of the lineage at `path`.
pub fn folder(path: &Path) -> PathBuf {
    beside(path, "-archive")
}

/// The end of what is archived from `base` on without a gap; `base` if nothing of it is.
pub fn archived_from(path: &Path, base: u64) -> u64 {
    let covers = |archive: Archive| archive.open().ok().map(|(_, range)| range).filter(|range| range.contains(&base));
    Archive::all(path).into_iter().rev().find_map(covers).map_or(base, |range| range.end)
}

/// Takes the private fields of these records out of every archive that holds them.
pub fn erase(path: &Path, records: &[u64]) -> Result<(), StoreError> {
    for archive in Archive::all(path) {
        let (_, range) = archive.open()?;
        let within: Vec<&u64> = records.iter().filter(|seq| range.contains(seq)).collect();
        if within.is_empty() {
            continue;
        }
        let db = schema::connect_archive(&archive.path)?;
        for seq in within {
            db.execute("DELETE FROM payloads WHERE seq = ?", [row(*seq)])?;
        }
    }
    Ok(())
}

impl Reader {
    /// The first record that is in the file itself. Those before it are in archives, if these are there.
    pub(super) fn base(&self) -> Result<u64, StoreError> {
        Ok(number(&self.db, BASE)?.unwrap_or(0))
    }

    /// Looks at these records wherever they are, the latest first: once for each file that has some of them, until `look`
    /// says that it has seen enough.
    pub(super) fn back_through(&self, within: Range<u64>, look: &mut Look<'_, bool>) -> Result<(), StoreError> {
        let here = within.start.max(self.base()?)..within.end;
        if !here.is_empty() && look(&self.db, here)? {
            return Ok(());
        }
        self.back_through_archives(within, look)
    }

    /// The same for the records in archives alone.
    pub(super) fn back_through_archives(
        &self,
        within: Range<u64>,
        look: &mut Look<'_, bool>,
    ) -> Result<(), StoreError> {
        let mut end = self.base()?.min(within.end);
        if end <= within.start {
            return Ok(());
        }
        for archive in Archive::all(&self.path).into_iter().rev().filter(|archive| archive.first < within.end) {
            let (db, range) = archive.open()?;
            let range = range.start.max(within.start)..range.end.min(end);
            if range.is_empty() {
                continue;
            }
            end = range.start;
            if look(&db, range)? || end <= within.start {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Looks at the records from `from` to before `to`, in order, wherever they are: once for each file that has some of them.
    pub(super) fn through(&self, within: Range<u64>, look: &mut Look<'_, ()>) -> Result<(), StoreError> {
        let base = self.base()?;
        let mut from = within.start;
        if from < base {
            for archive in Archive::all(&self.path) {
                let (db, range) = archive.open()?;
                let part = from.max(range.start)..range.end.min(base).min(within.end);
                if !part.is_empty() {
                    from = part.end;
                    look(&db, part)?;
                }
            }
        }
        look(&self.db, from.max(base)..within.end)
    }
}

/// Copies records and their private fields into an archive of their own, durably.
pub fn make(path: &Path, records: Range<u64>) -> Result<(), StoreError> {
    let archive = Archive::beginning_with(path, records.start);
    let shown = |path: &Path| path.display().to_string();
    let failed = |source| StoreError::Open { path: shown(&archive.path), source };
    let folder = folder(path);
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let new = archive.path.with_extension("new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let db = schema::create_archive(&new, records.end)?;
    let attached = "ATTACH DATABASE ? AS lineage";
    db.execute(attached, [path.as_os_str().to_str().ok_or_else(|| StoreError::Foreign(shown(path)))?])?;
    let range = params![row(records.start), row(records.end)];
    let tx = db.unchecked_transaction()?;
    for table in ["records", "payloads"] {
        tx.execute(
            &format!("INSERT INTO main.{table} SELECT * FROM lineage.{table} WHERE seq >= ? AND seq < ? ORDER BY seq"),
            range,
        )?;
    }
    let copied: Option<i64> = tx.query_row("SELECT count(*) FROM main.records", [], |found| found.get(0)).optional()?;
    tx.commit()?;
    if copied != Some(row(records.end - records.start)) {
        return Err(StoreError::Damaged { seq: records.start, what: "records are missing behind it".into() });
    }
    db.close().map_err(|(_, cause)| cause)?;
    std::fs::File::open(&new).and_then(|file| file.sync_all()).map_err(failed)?;
    std::fs::rename(&new, &archive.path).map_err(failed)?;
    // Before anything is taken out of the lineage, the archive's name must be on the disk; and its folder's.
    for folder in [folder.as_path(), folder.parent().unwrap_or(Path::new("."))] {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    }
    Ok(())
}
