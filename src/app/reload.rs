//! What the configuration names, read again while calls go on: whole, or not at all.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::file::read;
use super::load::{Parts, load};
use super::look::{Look, Watched};
use super::{Environment, StartError, Walk, share};
use crate::config::{Config, ConfigError};
use crate::forward::HyperUpstream;
use crate::record;

/// How often files are read again that changed while they were read, and how long to wait before that.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(100);

/// What can be loaded anew.
pub(super) struct Reload {
    walk: Walk,
    environment: Environment,
    upstreams: Vec<Arc<HyperUpstream>>,
    state: Mutex<State>,
}

/// What was loaded last.
struct State {
    fixed: std::collections::BTreeMap<String, String>,
    watched: Watched,
    tokens: crate::model::Digest,
    /// A record of something that was not put in force may stand in the lineage.
    unsure: bool,
}

/// What came of a reload.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reloaded {
    /// Everything was as it is.
    Unchanged,
    /// Something else judges from here on.
    Replaced,
}

impl Reload {
    /// Of what was loaded at the start.
    pub(super) fn new(
        config: &Config,
        tokens: crate::model::Digest,
        walk: Walk,
        environment: Environment,
        upstreams: Vec<Arc<HyperUpstream>>,
    ) -> Arc<Self> {
        let state = State { fixed: config.fixed(), watched: Watched::by(config), tokens, unsure: false };
        Arc::new(Self { walk, environment, upstreams, state: Mutex::new(state) })
    }

    /// Reads the configuration in `file` and all it names. If it makes sense, that is recorded, and judges from then on; if
    /// not, what was loaded before goes on, and the error is logged, counted and recorded.
    pub(super) async fn reload(self: &Arc<Self>, file: &Path) -> Result<Reloaded, StartError> {
        let mut state = self.state.lock().await;
        let done = match self.read_again(file, &state).await {
            Ok((config, parts)) => self.put_in_force(&config, parts, &mut state).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &done {
            let why = error.to_string();
            tracing::error!(why, "what lies on the disk is not loaded; what was loaded before goes on");
            self.walk.metrics.not_loaded();
            self.walk.rulebook.trouble(Some(why.clone()));
            let Walk { rail, rulebook, .. } = &self.walk;
            if let Err(error) =
                rail.commit(record::not_loaded(rulebook.now().policies.version(), &why, rail.now())).await
            {
                tracing::warn!(%error, "nor could that be recorded");
            }
        }
        done
    }

    /// What lies there now: the same before it was read and after.
    async fn read_again(self: &Arc<Self>, file: &Path, state: &State) -> Result<(Config, Parts), StartError> {
        for _ in 0..TRIES {
            let before = state.watched.look(file).await;
            let (this, file_, fixed) = (self.clone(), file.to_owned(), state.fixed.clone());
            let reading = tokio::task::spawn_blocking(move || this.read(&file_, &fixed));
            let found = reading.await.map_err(|error| StartError::Machine(error.to_string()))?;
            if before == state.watched.look(file).await {
                return found;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err(StartError::Machine("the configuration's files change while they are read".to_owned()))
    }

    fn read(
        &self,
        file: &Path,
        fixed: &std::collections::BTreeMap<String, String>,
    ) -> Result<(Config, Parts), StartError> {
        let text = read(file)?;
        let config = Config::parse(&text, file.parent().unwrap_or(Path::new("")))?;
        let now = config.fixed();
        let differs = |key: &&String| now.get(*key) != fixed.get(*key);
        if let Some(key) = now.keys().chain(fixed.keys()).find(differs) {
            let why = "this takes a restart; until then, or until it says what it did, nothing else is loaded either";
            return Err(ConfigError::Value { key: key.clone(), why: why.to_owned() }.into());
        }
        let parts = load(&config, &text, &self.environment)?;
        Ok((config, parts))
    }

    async fn put_in_force(&self, config: &Config, parts: Parts, state: &mut State) -> Result<Reloaded, StartError> {
        let Walk { rulebook, memory, rail, metrics, .. } = &self.walk;
        let Parts { rulebook: new, tokens, loaded, compiled: _ } = parts;
        let version = loaded.version;
        if version == rulebook.now().policies.version() && tokens == state.tokens && !state.unsure {
            rulebook.trouble(None);
            metrics.is_loaded();
            return Ok(Reloaded::Unchanged);
        }
        // Should nobody know whether this is written, the next reload writes down what it comes to, whatever that is.
        state.unsure = true;
        rail.commit(record::loaded(loaded, rail.now())).await?;
        state.unsure = false;
        memory.share(share(config));
        rulebook.replace(new, memory, rail.now());
        // What was allowed when a connection was made may not be any more.
        self.upstreams.iter().for_each(|upstream| upstream.forget());
        metrics.loaded();
        (state.tokens, state.watched) = (tokens, Watched::by(config));
        tracing::info!(%version, generation = rulebook.told().generation, "what lies on the disk is loaded");
        Ok(Reloaded::Replaced)
    }

    /// Reloads whenever the files have changed and lie still, or a bell rings; for as long as it is polled.
    pub(super) async fn follow(self: Arc<Self>, file: PathBuf, mut bell: tokio::signal::unix::Signal) {
        let (mut seen, mut settled): (Option<Look>, Option<Look>) = (None, None);
        loop {
            let rung = tokio::select! {
                Some(()) = bell.recv() => true,
                () = tokio::time::sleep(EVERY) => false,
            };
            let look = self.state.lock().await.watched.look(&file).await;
            let lies_still = seen.as_ref() == Some(&look);
            if rung {
                tracing::info!("told to load anew");
                let _ = self.reload(&file).await;
            } else if lies_still && settled.as_ref() != Some(&look) {
                let tried = self.reload(&file).await;
                // What could not be recorded is tried again; what makes no sense makes none until it is changed.
                settled = (!matches!(tried, Err(StartError::Record(_)))).then(|| look.clone());
            }
            seen = Some(look);
        }
    }
}

/// How often to look whether files have changed. They are loaded once two looks are the same, so that what is being written
/// is left to be finished.
const EVERY: Duration = Duration::from_secs(1);
