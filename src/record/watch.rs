//! Whoever waits for a long reading is told how far it is.

use std::fmt;

use super::{Reader, StoreError};

/// Who is told.
pub struct Watch {
    total: u64,
    told: Box<dyn Fn(u64, u64) + Send>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("total", &self.total).finish_non_exhaustive()
    }
}

impl Reader {
    /// What reads on through the lineage tells from here on how many records it is past, and how many there are.
    pub fn watched_by(mut self, told: impl Fn(u64, u64) + Send + 'static) -> Result<Self, StoreError> {
        self.watch = Some(Watch { total: self.size()?, told: Box::new(told) });
        Ok(self)
    }

    /// It is past so many.
    pub(super) fn tell_past(&self, records: u64) {
        if let Some(watch) = &self.watch {
            (watch.told)(records.min(watch.total), watch.total);
        }
    }
}
