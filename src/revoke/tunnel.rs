//! A tunnel, with the lease it holds until either side ends it.

use super::{Lease, Live};
use crate::memory::Slot;
use crate::model::{Answered, Ending, Tally};

/// The status that opens a tunnel (RFC 9110 §15.2.2).
const SWITCHED: u16 = 101;

/// A tunnel that owes its call an ending: whatever it was told last, and abandoned if nothing.
pub struct Tunnel {
    live: Live,
    received: Tally,
    _slot: Slot,
}

impl Tunnel {
    /// The tool has switched protocols: a credential that is checked once is ended.
    pub fn new(lease: Lease) -> Self {
        let (slot, live) = lease.into_owed();
        Self { live, received: Tally::default(), _slot: slot }
    }

    /// Where what the tool sends is counted.
    pub fn received(&self) -> Tally {
        self.received.clone()
    }

    /// Ends a credential that the tool has said back.
    pub fn listen(&mut self) {
        self.live.listen();
    }

    /// It ended like this.
    pub fn cut(mut self, ending: Ending) {
        self.live.outcome.ending = ending;
    }

    /// It broke.
    pub fn fail(mut self, why: &dyn std::fmt::Display) {
        self.live.outcome.ending = Ending::Failed;
        self.live.outcome.why = Some(why.to_string());
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        let received = self.received.passed();
        self.live.outcome.answered =
            Some(Answered { status: SWITCHED, bytes: received.bytes, digest: received.digest });
    }
}
