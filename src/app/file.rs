//! Files that people write, read with care: what is there may be no file, or have no end.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::StartError;

/// Bytes that a file of the configuration may have.
pub(super) const LARGEST: u64 = 4 << 20;

/// Opens a file for reading. What is no file but a pipe makes nobody wait.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or(0);
    File::options().read(true).custom_flags(flags).open(path)
}

/// What is in a file that people write, which is not large.
pub fn read(path: &Path) -> Result<String, StartError> {
    let text = || {
        let file = open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("this is no file"));
        }
        let mut text = String::new();
        if file.take(LARGEST + 1).read_to_string(&mut text)? as u64 > LARGEST {
            return Err(io::Error::other(format!("more than {} MiB; nobody has written that", LARGEST >> 20)));
        }
        Ok(text)
    };
    text().map_err(|error| StartError::File { path: path.display().to_string(), error })
}
