//! What has passed so far, counted while it passes.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::Digest;

/// Counts and hashes bytes as they pass. Clones count together.
#[derive(Clone)]
pub struct Tally(Arc<Mutex<Counted>>);

struct Counted {
    bytes: u64,
    whole: bool,
    digest: ring::digest::Context,
}

/// Bytes that passed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Passed {
    /// How many.
    pub bytes: u64,
    /// Whether they were all there were.
    pub whole: bool,
    /// SHA-256 over them.
    pub digest: Digest,
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tally")
    }
}

impl Default for Tally {
    fn default() -> Self {
        let digest = ring::digest::Context::new(&ring::digest::SHA256);
        Self(Arc::new(Mutex::new(Counted { bytes: 0, whole: false, digest })))
    }
}

impl Tally {
    /// These have passed as well.
    pub fn add(&self, bytes: &[u8]) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.bytes = counted.bytes.saturating_add(bytes.len() as u64);
        counted.digest.update(bytes);
    }

    /// That was all.
    pub fn finish(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).whole = true;
    }

    /// What has passed by now.
    pub fn passed(&self) -> Passed {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut digest = Digest([0; 32]);
        digest.0.copy_from_slice(counted.digest.clone().finish().as_ref());
        Passed { bytes: counted.bytes, whole: counted.whole, digest }
    }
}
