//! Files of values that agents may use.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::parsed::{ConfigError, named, wrong};
use super::{AgentFile, DirectoryFile};

/// The files of directories; an error if an agent names one that is not there.
pub(super) fn parse(
    files: BTreeMap<String, DirectoryFile>,
    agents: &BTreeMap<String, AgentFile>,
    base: &Path,
) -> Result<BTreeMap<String, PathBuf>, ConfigError> {
    let path = |(name, directory): (String, DirectoryFile)| {
        Ok((named("directories", &name)?.to_string(), base.join(directory.file)))
    };
    let directories: BTreeMap<String, PathBuf> = files.into_iter().map(path).collect::<Result<_, ConfigError>>()?;
    for (agent, file) in agents {
        let unknown = file.directories.iter().find(|name| !directories.contains_key(*name));
        if let Some(name) = unknown {
            let why = format!("there is no `[directories.{name}]`");
            return Err(wrong(format!("agents.{agent}.directories"), why));
        }
    }
    Ok(directories)
}
