//! How unusual a score is beside those of tasks that were learned from: split-conformal, so that the rate of false alarms is
//! what was asked for and needs no shape of the distribution (Vovk et al. 2005; Bates et al., arXiv 2104.08279).

use serde::{Deserialize, Serialize};

/// Of the scores of tasks, how many of the greatest are kept: below them nothing is unusual.
const KEPT: usize = 32;

/// The scores of some tasks, as far as what is unusual depends on them.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Tail {
    /// Tasks that were scored.
    tasks: u32,
    /// The greatest scores, the least of them first.
    greatest: Vec<u64>,
}

impl Tail {
    /// Of the scores of all tasks.
    pub(super) fn of(mut scores: Vec<u64>) -> Self {
        scores.sort_unstable();
        let tasks = u32::try_from(scores.len()).unwrap_or(u32::MAX);
        let greatest = scores.split_off(scores.len().saturating_sub(KEPT));
        Self { tasks, greatest }
    }

    /// Whether enough tasks were seen to tell `alpha` from nothing.
    pub(super) fn tells(&self, alpha: u32) -> bool {
        self.chance(u64::MAX, alpha).is_some()
    }

    /// The chance that a task like those scores at least so much, in ten-thousandths, rounded up; `None` while too few were
    /// seen to tell `alpha` from nothing. A score that is not among the greatest has a greater chance than this says.
    pub(super) fn chance(&self, score: u64, alpha: u32) -> Option<u32> {
        let one_in = self.tasks.saturating_add(1);
        let above = self.greatest.iter().rev().take_while(|kept| **kept >= score).count();
        let above = u32::try_from(above).unwrap_or(u32::MAX);
        let chance = |rank: u32| rank.saturating_mul(10_000).div_ceil(one_in);
        (chance(1) <= alpha).then(|| chance(above.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_too_few_tasks_cannot_tell_is_not_told() {
        let tail = Tail::of((0..98).collect());
        assert_eq!(tail.chance(1_000, 100), None, "one in 99 is more than one in a hundred");
        let tail = Tail::of((0..99).collect());
        assert_eq!(tail.chance(1_000, 100), Some(100));
        assert_eq!(tail.chance(98, 100), Some(200), "one of them was as great");
        assert_eq!(tail.chance(0, 100), Some(3_300), "and no more is told of what is usual");
    }
}
