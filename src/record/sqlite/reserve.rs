//! Space on the disk that is kept for endings: when there is no other, calls are refused and what runs can still end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rustix::fs::statvfs;

use super::super::StoreError;
use super::schema::beside;

/// Bytes below which a disk counts as full, whatever the error was called.
const NEXT_TO_NOTHING: u64 = 256 * 1024;

/// A file that takes up space beside the lineage, until that space is needed.
#[derive(Debug)]
pub struct Reserve {
    path: PathBuf,
    bytes: u64,
    held: bool,
}

impl Reserve {
    /// Takes `bytes` beside the lineage at `path`, if they can be had.
    pub fn take(path: &Path, bytes: u64) -> Self {
        let mut reserve = Self { path: beside(path, "-reserve"), bytes, held: false };
        if let Err(cause) = reserve.take_again() {
            tracing::error!(%cause, bytes, "no space can be kept for endings: no call is permitted until there is some");
        }
        reserve
    }

    /// Whether the space is kept. While it is not, nothing may begin.
    pub const fn is_held(&self) -> bool {
        self.held
    }

    /// Gives the space to the lineage. False if it was given already.
    pub fn spend(&mut self) -> bool {
        let held = std::mem::take(&mut self.held);
        if held && let Err(cause) = fs::remove_file(&self.path) {
            tracing::warn!(%cause, "the space kept for endings cannot be given back");
        }
        held
    }

    /// Takes the space again, if there is some beyond it: what was given up a moment ago is not to be taken from the
    /// endings it was given up for.
    pub fn take_again(&mut self) -> io::Result<()> {
        let taken = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.path)
            .and_then(|file| fill(&file, self.bytes));
        if taken.is_err() {
            // What was taken of it belongs to the lineage.
            let _ = fs::remove_file(&self.path);
        }
        self.held = taken.is_ok();
        taken
    }
}

/// Whether it failed for want of space.
pub fn is_full(cause: &StoreError, path: &Path) -> bool {
    let StoreError::Database(cause) = cause else { return false };
    match cause.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => true,
        Some(_) | None => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            statvfs(folder).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) < NEXT_TO_NOTHING)
        }
    }
}

/// Makes a file of this many bytes that are there: a hole would hold a place in the file and none on the disk.
fn fill(mut file: &File, bytes: u64) -> io::Result<()> {
    let found = file.metadata()?;
    if bytes == 0 || found.len() == bytes && found.blocks().saturating_mul(512) >= bytes {
        return Ok(());
    }
    file.set_len(0)?;
    let zeros = vec![0; 1 << 20];
    let mut left = bytes.saturating_add(bytes / 4).saturating_add(NEXT_TO_NOTHING);
    while left > 0 {
        let now = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
        file.write_all(zeros.get(..now).unwrap_or_default())?;
        left -= now as u64;
    }
    file.set_len(bytes)?;
    file.sync_all()
}
