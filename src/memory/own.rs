//! What an agent opens for itself: so many tasks at a time, and in a second. Each is kept and recorded, and the agent alone
//! says how large it is.

use crate::model::Timestamp;

/// Tasks that an agent may have open which it opened for itself.
pub const MOST_OWN: usize = 256;

/// Tasks that an agent may open for itself within a second.
pub const OWN_A_SECOND: u32 = 20;

/// What one agent has opened for itself.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// That is open.
    pub(super) open: usize,
    /// In which second how many were begun.
    pace: (i64, u32),
}

impl Own {
    /// Whether one more fits.
    pub(super) fn take(&mut self, now: Timestamp) -> bool {
        if self.pace.0 != now.seconds() {
            self.pace = (now.seconds(), 0);
        }
        let fits = self.open < MOST_OWN && self.pace.1 < OWN_A_SECOND;
        self.pace.1 += u32::from(fits);
        fits
    }
}
