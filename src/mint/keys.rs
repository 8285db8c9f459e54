//! The keys that sign our tokens: they persist, they rotate, and no token outlives the publication of its key.
//!
//! A key is published before it signs and stays published until nothing it signed can be valid, so that a verifier
//! that fetches the set now and then always finds the key it needs.

mod pair;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use ring::rand::SystemRandom;
use serde_json::{Value, json};

use self::pair::Pair;
use crate::model::{Algorithm, Secret, Timestamp};

/// When keys come and go.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// How long a key signs before a new one is made.
    pub rotate: Duration,
    /// How long a new key is published before it signs.
    pub lead: Duration,
    /// How long an old key stays published after it last signed.
    pub grace: Duration,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            rotate: Duration::from_secs(30 * 86_400),
            lead: Duration::from_secs(3_600),
            grace: Duration::from_secs(3_600),
        }
    }
}

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The folder or a file in it.
    #[error("`{path}`: {error}")]
    File {
        /// Which.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// A file that holds no key.
    #[error("`{0}` holds no P-256 or Ed25519 key in PKCS#8; move it away to have a new one made")]
    NoKey(String),
    /// There is no randomness.
    #[error("no key could be made")]
    NoRandomness,
}

/// A key that signs, or did, or will.
#[derive(Debug)]
pub struct Key {
    /// Its id: the thumbprint of the public key (RFC 7638).
    pub id: String,
    pair: Pair,
    made_at: Timestamp,
    path: PathBuf,
}

/// The keys of one issuer, in a folder of its own.
#[derive(Debug)]
pub struct KeyRing {
    folder: PathBuf,
    algorithm: Algorithm,
    schedule: Schedule,
    keys: RwLock<Vec<Arc<Key>>>,
    turning: Mutex<()>,
    random: SystemRandom,
}

impl KeyRing {
    /// Reads the keys in `folder`, makes the first if there is none, and turns the ring to `now`. Where another algorithm is
    /// asked for than before, the next key is of that kind, and published first, as every next key is.
    pub fn open(folder: &Path, algorithm: Algorithm, schedule: Schedule, now: Timestamp) -> Result<Self, KeyError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| at(folder, error))?;
        let ring = Self {
            folder: folder.to_owned(),
            algorithm,
            schedule,
            keys: RwLock::default(),
            turning: Mutex::default(),
            random: SystemRandom::new(),
        };
        let mut keys = Vec::new();
        for entry in fs::read_dir(folder).map_err(|error| at(folder, error))? {
            let path = entry.map_err(|error| at(folder, error))?.path();
            if path.extension().is_some_and(|extension| extension == "p8") {
                keys.push(Arc::new(ring.read(&path)?));
            }
        }
        keys.sort_by_key(|key| key.made_at);
        *ring.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        ring.turn(now)?;
        Ok(ring)
    }

    /// Makes the next key if it is time to, and takes down keys that are no longer needed. Cheap; called by the hour.
    pub fn turn(&self, now: Timestamp) -> Result<(), KeyError> {
        let _turning = self.turning.lock().unwrap_or_else(PoisonError::into_inner);
        let mut keys = self.published();
        let is_due = |newest: &Arc<Key>| {
            newest.made_at.after(self.schedule.rotate) <= now || newest.algorithm() != self.algorithm
        };
        if keys.last().is_none_or(is_due) {
            keys.push(Arc::new(self.make(now)?));
        }
        let ages: Vec<Timestamp> = keys.iter().map(|key| key.made_at).collect();
        let keep = self.schedule.first_needed(&ages, now);
        for old in keys.drain(..keep.min(keys.len())) {
            fs::remove_file(&old.path).map_err(|error| at(&old.path, error))?;
        }
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    /// The key that signs now.
    pub fn signing(&self, now: Timestamp) -> Option<Arc<Key>> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let led = keys.iter().rev().find(|key| key.made_at.after(self.schedule.lead) <= now);
        led.or_else(|| keys.first()).cloned()
    }

    /// Signs with a key of this ring.
    pub fn sign(&self, key: &Key, message: &[u8]) -> Option<ring::signature::Signature> {
        key.pair.sign(message, &self.random)
    }

    /// The public keys as a JWK set (RFC 7517 §5).
    pub fn jwks(&self) -> Value {
        let keys: Vec<Value> = self.published().iter().map(|key| key.pair.jwk(&key.id)).collect();
        json!({ "keys": keys })
    }

    fn published(&self) -> Vec<Arc<Key>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn make(&self, now: Timestamp) -> Result<Key, KeyError> {
        let document = Pair::make(self.algorithm, &self.random).ok_or(KeyError::NoRandomness)?;
        let path = self.folder.join(format!("{:015}.p8", now.unsigned_millis()));
        write_private(&path, document.expose()).map_err(|error| at(&path, error))?;
        self.read(&path)
    }

    fn read(&self, path: &Path) -> Result<Key, KeyError> {
        let no_key = || KeyError::NoKey(path.display().to_string());
        let bytes = Secret::new(fs::read(path).map_err(|error| at(path, error))?);
        let made_at = path
            .file_stem()
            .and_then(|stem| stem.to_str()?.parse().ok())
            .map(Timestamp::from_millis)
            .ok_or_else(no_key)?;
        let pair = Pair::read(&bytes, &self.random).ok_or_else(no_key)?;
        Ok(Key { id: pair.thumbprint(), pair, made_at, path: path.to_owned() })
    }
}

impl Key {
    /// What it signs by.
    pub fn algorithm(&self) -> Algorithm {
        self.pair.algorithm()
    }
}

impl Schedule {
    /// The place of the first key that is still needed, of keys made at these times, oldest first.
    ///
    /// Key i last signs when key i+1 has been published for `lead`; `grace` later, nothing needs it.
    fn first_needed(&self, made_at: &[Timestamp], now: Timestamp) -> usize {
        let done = |next: &Timestamp| next.after(self.lead).after(self.grace) <= now;
        made_at.iter().skip(1).take_while(|next| done(next)).count()
    }
}

/// Writes a file that only its owner can read, whole or not at all.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let whole = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&whole)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&whole, path)?;
    match path.parent() {
        Some(folder) => fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn at(path: &Path, error: std::io::Error) -> KeyError {
    KeyError::File { path: path.display().to_string(), error }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn ids(ring: &KeyRing) -> Vec<String> {
        ring.published().iter().map(|key| key.id.clone()).collect()
    }

    #[test]
    fn a_key_is_published_before_it_signs_and_after_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let start = Timestamp::from_millis(1_000_000_000_000);
        let schedule = Schedule { rotate: 24 * HOUR, lead: HOUR, grace: 2 * HOUR };
        let ring = KeyRing::open(folder.path(), Algorithm::Es256, schedule, start).unwrap();
        let first = ring.signing(start).unwrap().id.clone();

        let turned = start.after(24 * HOUR);
        ring.turn(turned).unwrap();
        assert_eq!(ids(&ring).len(), 2, "the next key is published");
        assert_eq!(ring.signing(turned).unwrap().id, first, "but does not sign yet");

        let led = turned.after(HOUR);
        ring.turn(led).unwrap();
        let second = ring.signing(led).unwrap().id.clone();
        assert_ne!(second, first);
        assert!(ids(&ring).contains(&first), "what the first has signed can still be verified");

        ring.turn(led.after(2 * HOUR)).unwrap();
        assert_eq!(ids(&ring), std::slice::from_ref(&second));
        drop(ring);
        let again = KeyRing::open(folder.path(), Algorithm::Es256, schedule, led.after(3 * HOUR)).unwrap();
        assert_eq!(ids(&again), [second], "keys persist");
    }

    #[test]
    fn another_algorithm_comes_as_every_next_key_does() {
        let folder = tempfile::tempdir().unwrap();
        let start = Timestamp::from_millis(1_000_000_000_000);
        let open = |algorithm, now| KeyRing::open(folder.path(), algorithm, Schedule::default(), now).unwrap();
        let first = open(Algorithm::Es256, start).signing(start).unwrap().id.clone();
        let later = start.after(HOUR);
        let ring = open(Algorithm::EdDsa, later);
        assert_eq!((ids(&ring).len(), ring.signing(later).unwrap().id.clone()), (2, first), "it is published first");
        let led = later.after(HOUR);
        let key = ring.signing(led).unwrap();
        assert_eq!(key.algorithm(), Algorithm::EdDsa);
        let jwk = ring.jwks()["keys"][1].clone();
        let told = (&jwk["kty"], &jwk["crv"], &jwk["alg"], &jwk["kid"]);
        assert_eq!(told, (&"OKP".into(), &"Ed25519".into(), &"EdDSA".into(), &key.id.as_str().into()));
        let public = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(jwk["x"].as_str().unwrap()).unwrap();
        let signature = ring.sign(&key, b"a token").unwrap();
        let public = ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, public);
        public.verify(b"a token", signature.as_ref()).unwrap();
    }

    #[test]
    fn a_key_file_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("jwt");
        let ring = KeyRing::open(&inner, Algorithm::Es256, Schedule::default(), Timestamp::from_millis(5)).unwrap();
        let path = &ring.published()[0].path;
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&inner).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
