//! What all calls share: places and bytes of memory, and how much of them one agent may take.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::lock;
use crate::model::AgentName;

/// How much may be under way at a time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RoomRule {
    /// Calls.
    pub calls: usize,
    /// Bytes of requests that were read whole.
    pub bytes: usize,
    /// Of both, what one agent may take, in hundredths.
    pub share: usize,
}

impl Default for RoomRule {
    fn default() -> Self {
        Self { calls: 4_096, bytes: 256 << 20, share: 100 }
    }
}

/// Room for calls.
#[derive(Debug)]
pub struct Room {
    calls: usize,
    bytes: usize,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    share: usize,
    all: Amount,
    by_agent: BTreeMap<AgentName, Amount>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Amount {
    calls: usize,
    bytes: usize,
}

/// There is no room for more: not for anybody, or not for this agent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Crowded {
    /// All of it is taken.
    #[error("all the room for calls is taken")]
    All,
    /// The agent's share is.
    #[error("the agent's share of the room for calls is taken")]
    Share,
}

/// A call's place, and the bytes it holds; given back when dropped.
#[derive(Debug)]
pub struct Place {
    room: Arc<Room>,
    agent: AgentName,
    held: Amount,
}

impl Room {
    /// With nothing taken yet.
    pub fn new(rule: RoomRule) -> Arc<Self> {
        let RoomRule { calls, bytes, share } = rule;
        Arc::new(Self { calls, bytes, used: Mutex::new(Used { share, ..Used::default() }) })
    }

    /// From here on, one agent may take so much of it, in hundredths.
    pub fn share(&self, share: usize) {
        lock(&self.used).share = share;
    }

    /// A place for one more call of this agent.
    pub fn enter(self: &Arc<Self>, agent: &AgentName) -> Result<Place, Crowded> {
        let mut place = Place { room: self.clone(), agent: agent.clone(), held: Amount::default() };
        place.take(Amount { calls: 1, bytes: 0 })?;
        Ok(place)
    }
}

impl Place {
    /// Makes room for so many bytes more.
    pub fn hold(&mut self, bytes: usize) -> Result<(), Crowded> {
        self.take(Amount { calls: 0, bytes })
    }

    fn take(&mut self, more: Amount) -> Result<(), Crowded> {
        let Room { calls, bytes, .. } = *self.room;
        let most = Amount { calls, bytes };
        let mut used = lock(&self.room.used);
        let share = used.share;
        let part = |whole: usize| whole.saturating_mul(share).div_ceil(100);
        let all = used.all.plus(more);
        if !all.fits(most) {
            return Err(Crowded::All);
        }
        let own = used.by_agent.get(&self.agent).copied().unwrap_or_default().plus(more);
        if !own.fits(Amount { calls: part(calls), bytes: part(bytes) }) {
            return Err(Crowded::Share);
        }
        used.all = all;
        match used.by_agent.get_mut(&self.agent) {
            Some(there) => *there = own,
            None => drop(used.by_agent.insert(self.agent.clone(), own)),
        }
        self.held = self.held.plus(more);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut used = lock(&self.room.used);
        used.all = used.all.less(self.held);
        if let Some(own) = used.by_agent.get_mut(&self.agent) {
            *own = own.less(self.held);
        }
    }
}

impl Amount {
    fn plus(self, more: Self) -> Self {
        Self { calls: self.calls.saturating_add(more.calls), bytes: self.bytes.saturating_add(more.bytes) }
    }

    fn less(self, gone: Self) -> Self {
        Self { calls: self.calls.saturating_sub(gone.calls), bytes: self.bytes.saturating_sub(gone.bytes) }
    }

    fn fits(self, most: Self) -> bool {
        self.calls <= most.calls && self.bytes <= most.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_agent_never_takes_what_another_needs() {
        let room = Room::new(RoomRule { calls: 4, bytes: 100, share: 50 });
        let (greedy, modest) = (AgentName("greedy".into()), AgentName("modest".into()));
        let mut places: Vec<Place> = (0..2).map(|_| room.enter(&greedy).unwrap()).collect();
        assert_eq!(room.enter(&greedy).unwrap_err(), Crowded::Share);
        assert!(places[0].hold(50).is_ok());
        assert_eq!(places[1].hold(1), Err(Crowded::Share));
        let mut other = room.enter(&modest).unwrap();
        assert!(other.hold(50).is_ok());
        assert_eq!(other.hold(1), Err(Crowded::All));
        places.clear();
        assert!(room.enter(&greedy).unwrap().hold(50).is_ok(), "what is given back can be taken again");
    }
}
