//! Places for connections: how many there are, and how many one peer may have.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::Peer;

/// Of all places, the most that one peer may have, in hundredths: the rest is there for others.
const SHARE: usize = 75;

/// Places for connections, shared by everything that accepts at one door.
#[derive(Debug)]
pub struct Places {
    free: Arc<Semaphore>,
    most_of_one: usize,
    taken: Mutex<BTreeMap<Whose, usize>>,
}

/// Who is at the other end, as far as a connection shows before anything is read: processes of one user count together.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Whose {
    User(u32),
    Address(IpAddr),
}

/// A place that is nobody's yet.
#[derive(Debug)]
pub struct Free(#[expect(dead_code, reason = "it is there to be dropped")] OwnedSemaphorePermit);

/// A peer's place; free again when dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    whose: Whose,
    _free: Free,
}

impl Places {
    /// So many of them.
    pub fn new(count: usize) -> Arc<Self> {
        let count = count.clamp(1, Semaphore::MAX_PERMITS);
        let most_of_one = count.saturating_mul(SHARE).div_ceil(100);
        Arc::new(Self { free: Arc::new(Semaphore::new(count)), most_of_one, taken: Mutex::default() })
    }

    /// Waits for a place. Who comes meanwhile waits in the kernel's queue.
    pub async fn free(self: &Arc<Self>) -> Option<Free> {
        self.free.clone().acquire_owned().await.ok().map(Free)
    }

    /// Gives the place to a peer; `None` if it has its share already.
    pub fn take(self: &Arc<Self>, free: Free, peer: &Peer) -> Option<Place> {
        let whose = match peer {
            Peer::Process(process) => Whose::User(process.uid),
            Peer::Loopback { uid: Some(uid), .. } => Whose::User(*uid),
            Peer::Loopback { address, uid: None } | Peer::Remote(address) => Whose::Address(address.ip()),
        };
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(whose).or_insert(0);
        if *count >= self.most_of_one {
            return None;
        }
        *count = count.saturating_add(1);
        Some(Place { places: self.clone(), whose, _free: free })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let left = taken.get(&self.whose).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            taken.remove(&self.whose);
        } else {
            taken.insert(self.whose, left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_peer_takes_its_share_and_leaves_the_rest() {
        let places = Places::new(4);
        let peer = |uid| Peer::Loopback { address: "127.0.0.1:1".parse().unwrap(), uid: Some(uid) };
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(places.take(places.free().await.unwrap(), &peer(1)).unwrap());
        }
        let free = places.free().await.unwrap();
        assert!(places.take(free, &peer(1)).is_none(), "three of four are its share");
        let free = places.free().await.expect("a place that was not taken is free again");
        let other = places.take(free, &peer(2)).unwrap();
        assert!(tokio::time::timeout(std::time::Duration::from_millis(20), places.free()).await.is_err());
        drop((held, other));
        assert!(places.taken.lock().unwrap().is_empty());
        assert!(places.take(places.free().await.unwrap(), &peer(1)).is_some());
    }
}
