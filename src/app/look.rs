//! Whether files have changed: by what the file system says of them, which costs a look and works wherever files lie.
//!
//! A watch by the kernel (inotify) would be told sooner. But it sees nothing of a change at the other end of a network
//! mount, has to be put on every folder that a symbolic link passes through, and needs looking at the files all the same.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::secrets;
use crate::config::{CatalogFrom, Config, ToolConfig};

/// The files of a configuration beside its own.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    files: Vec<PathBuf>,
    policies: PathBuf,
}

/// What was seen: of each file that is there, which one it is, how long, and when it was changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Look(BTreeMap<PathBuf, Option<Stamp>>);

/// Device and inode, size, and the two times of change in nanoseconds. Whoever sets back the one cannot set back the other.
type Stamp = (u64, u64, u64, (i64, i64), (i64, i64));

impl Watched {
    /// Those that a configuration names.
    pub(super) fn by(config: &Config) -> Self {
        let file = |tool: &ToolConfig| match &tool.catalog {
            CatalogFrom::File(path) => Some(path.clone()),
            CatalogFrom::Embedded(_) => None,
        };
        let catalogs = config.tools.iter().filter_map(file).chain(config.directories.values().cloned());
        Self { files: catalogs.chain(secrets::files(config)).collect(), policies: config.policies.clone() }
    }

    /// How they and the configuration itself look now.
    pub(super) async fn look(&self, config: &Path) -> Look {
        let (this, config) = (self.clone(), config.to_owned());
        // A file system may let one wait.
        let looked = tokio::task::spawn_blocking(move || this.look_now(config));
        looked.await.unwrap_or(Look(BTreeMap::new()))
    }

    fn look_now(self, config: PathBuf) -> Look {
        let policies = std::fs::read_dir(&self.policies).into_iter().flatten().flatten().map(|entry| entry.path());
        let policies = policies.filter(|path| path.extension().is_some_and(|extension| extension == "cedar"));
        let folder = self.policies.clone();
        let all = self.files.into_iter().chain(policies.collect::<Vec<_>>()).chain([folder, config]);
        Look(all.map(|path| (path.clone(), stamp(&path))).collect())
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = std::fs::metadata(path).ok()?;
    let (modified, changed) = ((found.mtime(), found.mtime_nsec()), (found.ctime(), found.ctime_nsec()));
    Some((found.dev(), found.ino(), found.size(), modified, changed))
}
