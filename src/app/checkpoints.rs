//! Signed checkpoints on their way out of reach of whoever can change the lineage; and what came back from there.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::StartError;
use super::post::{Letter, post};
use crate::config::{Elsewhere, Lineage};
use crate::forward::{Dial, HyperUpstream, Upstream};
use crate::record::{Checkpoint, Reader, StoreError, Verifier};

/// How often to look for a new one. The store signs one a second while records come.
const EVERY: Duration = Duration::from_secs(1);

/// How long a server that did not take one is left alone.
const PAUSE: Duration = Duration::from_secs(15);

/// No lineage may have fallen behind what it said elsewhere: then it was rolled back, cut off or replaced.
pub(super) fn compare(lineage: &Lineage, verifier: &Verifier) -> Result<(), StartError> {
    for file in lineage.checkpoint_files() {
        let note = match fs::read_to_string(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(StartError::File { path: file.display().to_string(), error }),
            Ok(note) => note,
        };
        let told = Checkpoint::verify(&note, verifier)?;
        let shown = file.display().to_string();
        if !lineage.path.exists() {
            return Err(StoreError::RolledBack { file: shown, told: told.size, size: 0 }.into());
        }
        let reader = Reader::open(&lineage.path)?;
        let size = reader.size()?;
        if told.size > size || reader.root(told.size)? != told.root {
            return Err(StoreError::RolledBack { file: shown, told: told.size, size }.into());
        }
    }
    Ok(())
}

/// Sends each new checkpoint to every place, until `stop` turns true; then once more, so that the last one is out.
///
/// What is read here is durable already, so none that was seen is ever taken back.
pub(super) async fn send(lineage: PathBuf, places: Vec<Elsewhere>, dial: Dial, mut stop: watch::Receiver<bool>) {
    let upstream: Arc<dyn Upstream> = Arc::new(HyperUpstream::new(dial));
    let mut places: Vec<Place> = places.into_iter().map(|to| Place { to, sent: None, not_before: None }).collect();
    loop {
        let stopping = *stop.borrow();
        let path = lineage.clone();
        let latest = tokio::task::spawn_blocking(move || Reader::open(&path).ok()?.checkpoint().ok()?).await;
        if let Ok(Some(note)) = latest {
            for place in &mut places {
                place.offer(&note, &upstream).await;
            }
        }
        if stopping {
            return;
        }
        let _ = tokio::time::timeout(EVERY, stop.wait_for(|stop| *stop)).await;
    }
}

struct Place {
    to: Elsewhere,
    sent: Option<String>,
    not_before: Option<tokio::time::Instant>,
}

impl Place {
    async fn offer(&mut self, note: &str, upstream: &Arc<dyn Upstream>) {
        let now = tokio::time::Instant::now();
        if self.sent.as_deref() == Some(note) || self.not_before.is_some_and(|then| now < then) {
            return;
        }
        let (shown, result) = match &self.to {
            Elsewhere::File(path) => (path.display().to_string(), keep(path.clone(), note.to_owned()).await),
            Elsewhere::Url(tool) => {
                let body = Bytes::from(note.to_owned());
                let letter = Letter { below: "", kind: "text/plain; charset=utf-8", body };
                (tool.origin(), post(upstream, tool, letter).await)
            }
        };
        match result {
            Ok(()) => {
                self.sent = Some(note.to_owned());
                self.not_before = None;
            }
            Err(why) => {
                tracing::warn!(to = shown, why, "a checkpoint could not be sent");
                self.not_before = Some(now + PAUSE);
            }
        }
    }
}

async fn keep(path: PathBuf, note: String) -> Result<(), String> {
    let written = tokio::task::spawn_blocking(move || replace(&path, &note)).await;
    written.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

/// Whole or not at all, and durable.
fn replace(path: &Path, note: &str) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut file = File::create(&new)?;
    file.write_all(note.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
