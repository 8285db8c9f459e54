//! How often somebody may ask within a second.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::model::Timestamp;

/// Who has asked how often, in which second: one entry for each name that was ever configured.
#[derive(Debug, Default)]
pub(super) struct Pace {
    asked: Mutex<BTreeMap<String, (i64, u32)>>,
}

impl Pace {
    /// Whether one question more of `who` fits into this second, in which `most` do.
    pub(super) fn take(&self, who: &str, most: u32, now: Timestamp) -> bool {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if !asked.contains_key(who) {
            asked.insert(who.to_owned(), (now.seconds(), 0));
        }
        let Some((second, count)) = asked.get_mut(who) else { return false };
        if *second != now.seconds() {
            (*second, *count) = (now.seconds(), 0);
        }
        *count = count.saturating_add(1);
        *count <= most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_who_asks_too_often_waits_for_the_next_second_and_nobody_else_does() {
        let (pace, now) = (Pace::default(), Timestamp::from_millis(5_000));
        let asked: Vec<bool> = (0..4).map(|_| pace.take("drive", 3, now)).collect();
        assert_eq!(asked, [true, true, true, false]);
        assert!(pace.take("tracker", 3, now));
        assert!(pace.take("drive", 3, Timestamp::from_millis(6_000)));
    }
}
