//! The files themselves: one writer holds the lock, and the files written are the files at the path.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::super::StoreError;
use super::schema::beside;

/// The right to write, for as long as it lives.
#[derive(Debug)]
pub struct Lock {
    _held: File,
}

impl Lock {
    /// Takes the lock file beside `path`; an error if another process has it.
    pub fn take(path: &Path) -> Result<Self, StoreError> {
        let at = beside(path, ".lock");
        let unusable = |source| StoreError::Open { path: at.display().to_string(), source };
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&at).map_err(unusable)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _held: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::InUse(path.display().to_string())),
            Err(errno) => Err(unusable(errno.into())),
        }
    }
}

/// Which files are being written. A deleted file takes writes and keeps nothing.
#[derive(Debug)]
pub struct Files {
    places: [(PathBuf, (u64, u64)); 2],
}

impl Files {
    /// The file and its log, as they are now.
    pub fn of(path: &Path) -> io::Result<Self> {
        let log = beside(path, "-wal");
        Ok(Self { places: [(path.to_owned(), identity(path)?), (log.clone(), identity(&log)?)] })
    }

    /// Whether both are still where they were.
    pub fn are_in_place(&self) -> bool {
        self.places.iter().all(|(path, known)| identity(path).is_ok_and(|found| found == *known))
    }
}

/// Writes a log over itself and makes it durable.
///
/// After a failed sync the system takes for written what is not on the disk, and a later sync says nothing of it. What is
/// read here is what everybody has read meanwhile; only when it is written anew does a sync mean anything again.
pub fn rewrite_log(path: &Path) -> io::Result<()> {
    let log = match OpenOptions::new().read(true).write(true).open(beside(path, "-wal")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let (mut at, mut part) = (0, vec![0; 1 << 20]);
    loop {
        let bytes = log.read_at(&mut part, at)?;
        let Some(read) = part.get(..bytes).filter(|read| !read.is_empty()) else { break };
        log.write_all_at(read, at)?;
        at += bytes as u64;
    }
    log.sync_all()
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = std::fs::metadata(path)?;
    Ok((found.dev(), found.ino()))
}
