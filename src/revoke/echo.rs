//! What tells that a tool said a credential back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the credential lent for a call was found in its answer. Shared by who looks for it and who ends it.
#[derive(Clone, Debug, Default)]
pub struct Echo(Arc<AtomicBool>);

impl Echo {
    /// It was found.
    pub fn hear(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was found so far.
    pub fn is_heard(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
