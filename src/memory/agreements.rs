//! What somebody has agreed to, so that they are not asked the same again: an agent's action with this value in that sink.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use super::lock;
use crate::model::{Aimed, Call, Critical, Key, Timestamp, ValueFacts};

/// Agreements that are remembered. Beyond that, what would be over first is asked about again.
const MOST: usize = 65_536;

/// Agreements that are not over. A restart forgets them, and asks again.
#[derive(Debug, Default)]
pub(super) struct Agreements(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    until: HashMap<Key, Timestamp>,
    by_end: BTreeSet<(Timestamp, Key)>,
}

impl Agreements {
    /// Somebody has agreed to this call: its unattested values are remembered for so long.
    pub(super) fn keep(&self, call: &Call, values: &ValueFacts, during: Duration) {
        if during.is_zero() || values.unattested.is_empty() {
            return;
        }
        let until = call.received_at.after(during);
        let mut held = lock(&self.0);
        let unattested = call.action.critical.iter().filter(|one| values.unattested.contains_key(&one.sink));
        for (one, value) in unattested.flat_map(|one| one.values.iter().map(move |value| (one, value))) {
            let name = one.name(call.caller.agent.as_str(), &call.action.name, value);
            if let Some(before) = held.until.insert(name, until) {
                held.by_end.remove(&(before, name));
            }
            held.by_end.insert((until, name));
        }
        while held.until.len() > MOST
            && let Some((_, name)) = held.by_end.pop_first()
        {
            held.until.remove(&name);
        }
    }

    /// Whether somebody has agreed to this value there, and not too long ago.
    pub(super) fn has(&self, call: &Call, one: &Critical, value: &Aimed) -> bool {
        let mut held = lock(&self.0);
        while let Some((_, name)) = held.by_end.first().copied().filter(|(until, _)| *until <= call.received_at) {
            held.by_end.pop_first();
            held.until.remove(&name);
        }
        !held.until.is_empty()
            && held.until.contains_key(&one.name(call.caller.agent.as_str(), &call.action.name, value))
    }
}
