//! Files that are laid out together: all of them, or none. What is there is never written over.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::cli::Failure;

/// The starter policies. Those of odd hours want a look first: they ask at night.
const POLICIES: [(&str, &str); 24] = [
    ("allow.cedar", include_str!("../../../policies/allow.cedar")),
    ("allow.cases.toml", include_str!("../../../policies/allow.cases.toml")),
    ("callers.cedar", include_str!("../../../policies/callers.cedar")),
    ("callers.cases.toml", include_str!("../../../policies/callers.cases.toml")),
    ("change.balanced.cedar", include_str!("../../../policies/change.balanced.cedar")),
    ("change.balanced.cases.toml", include_str!("../../../policies/change.balanced.cases.toml")),
    ("change.strict.cedar", include_str!("../../../policies/change.strict.cedar")),
    ("change.strict.cases.toml", include_str!("../../../policies/change.strict.cases.toml")),
    ("habits.balanced.cedar", include_str!("../../../policies/habits.balanced.cedar")),
    ("habits.balanced.cases.toml", include_str!("../../../policies/habits.balanced.cases.toml")),
    ("habits.strict.cedar", include_str!("../../../policies/habits.strict.cedar")),
    ("habits.strict.cases.toml", include_str!("../../../policies/habits.strict.cases.toml")),
    ("intent.cedar", include_str!("../../../policies/intent.cedar")),
    ("intent.cases.toml", include_str!("../../../policies/intent.cases.toml")),
    ("tasks.cedar", include_str!("../../../policies/tasks.cedar")),
    ("tasks.cases.toml", include_str!("../../../policies/tasks.cases.toml")),
    ("untrusted.cedar", include_str!("../../../policies/untrusted.cedar")),
    ("untrusted.cases.toml", include_str!("../../../policies/untrusted.cases.toml")),
    ("values.balanced.cedar", include_str!("../../../policies/values.balanced.cedar")),
    ("values.balanced.cases.toml", include_str!("../../../policies/values.balanced.cases.toml")),
    ("values.strict.cedar", include_str!("../../../policies/values.strict.cedar")),
    ("values.strict.cases.toml", include_str!("../../../policies/values.strict.cases.toml")),
    ("hours.cedar.off", include_str!("../../../policies/hours.cedar")),
    ("hours.cases.toml.off", include_str!("../../../policies/hours.cases.toml")),
];

/// Bytes of a token that nobody guesses.
const TOKEN: usize = 32;

/// What is to be written.
pub(super) struct Laid {
    folder: PathBuf,
    files: Vec<(PathBuf, Content)>,
}

enum Content {
    Open(String),
    /// Drawn when it is written, for its owner alone.
    Secret,
    /// Left as it is where it is there.
    UnlessThere(String),
}

impl Laid {
    pub(super) fn within(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), files: Vec::new() }
    }

    pub(super) fn open(&mut self, name: &str, text: String) {
        self.files.push((self.folder.join(name), Content::Open(text)));
    }

    pub(super) fn secret(&mut self, name: &str) {
        self.files.push((self.folder.join(name), Content::Secret));
    }

    pub(super) fn unless_there(&mut self, name: &str, text: &str) {
        self.files.push((self.folder.join(name), Content::UnlessThere(text.to_owned())));
    }

    pub(super) fn policies(&mut self) {
        for (name, text) in POLICIES {
            self.open(&format!("policies/{name}"), text.to_owned());
        }
    }

    /// Writes them, and gives their names.
    pub(super) fn write(self) -> Result<Vec<String>, Failure> {
        let there = |(path, content): &(PathBuf, Content)| {
            let kept = matches!(content, Content::UnlessThere(_)) || path.symlink_metadata().is_err();
            if kept { None } else { Some(format!("`{}`", path.display())) }
        };
        let found: Vec<String> = self.files.iter().filter_map(there).collect();
        if !found.is_empty() {
            let are = if found.len() == 1 { "is" } else { "are" };
            return Err(Failure::Usage(format!("{} {are} there already; nothing was written", found.join(", "))));
        }
        let mut written = Vec::new();
        for (path, content) in self.files {
            let at = |error: std::io::Error| Failure::Usage(format!("`{}`: {error}", path.display()));
            let (text, mode) = match content {
                Content::UnlessThere(_) if path.symlink_metadata().is_ok() => continue,
                Content::Open(text) | Content::UnlessThere(text) => (text, 0o644),
                Content::Secret => (token()? + "\n", 0o600),
            };
            if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                let private = if mode == 0o600 { 0o700 } else { 0o755 };
                DirBuilder::new().recursive(true).mode(private).create(folder).map_err(at)?;
            }
            // Not there a moment ago is not enough: whoever makes it in between keeps it.
            let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path).map_err(at)?;
            file.write_all(text.as_bytes()).map_err(at)?;
            written.push(path.display().to_string());
        }
        Ok(written)
    }
}

fn token() -> Result<String, Failure> {
    let mut bytes = [0; TOKEN];
    let drawn = SystemRandom::new().fill(&mut bytes);
    drawn.map_err(|_| Failure::Away("the system gives no random bytes".to_owned()))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
