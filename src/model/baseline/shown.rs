//! A baseline as people look at it, and what another one would change. Values are counted, never named: nobody could read
//! their hashes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;

use super::Baseline;
use crate::model::{Key, Timestamp};

/// A baseline, to be looked at.
#[derive(Clone, Debug, Serialize)]
pub struct ShownBaseline<'a> {
    /// Tasks that it was learned from.
    pub tasks: u32,
    /// When the first of them ended.
    pub since: Option<Timestamp>,
    /// When the last of them did.
    pub until: Option<Timestamp>,
    /// There are enough of them.
    pub ready: bool,
    /// The chance below which something is unusual, in ten-thousandths.
    pub alpha: u32,
    /// Which of `hour`, `rate`, `size` and `step` cannot be told to be unusual yet: too few tasks were seen for that.
    pub insufficient: BTreeSet<&'static str>,
    /// Actions, and in how many tasks each was.
    pub actions: &'a BTreeMap<Arc<str>, u32>,
    /// Which action came behind which.
    pub steps: &'a BTreeSet<(Arc<str>, Arc<str>)>,
    /// What was acted on.
    pub resources: &'a BTreeSet<String>,
    /// From where it called.
    pub sources: &'a BTreeSet<String>,
    /// How many values are habits, by the action and the sink they stand in.
    pub values: BTreeMap<&'a str, usize>,
    /// In how many tasks each tool was called in each hour of the day, in UTC.
    pub heat: &'a BTreeMap<Arc<str>, Vec<u32>>,
    /// What was done too rarely to be a habit.
    pub rare: u32,
}

/// What is in one baseline and not in another.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Difference {
    /// Only in the later one.
    pub added: Habits,
    /// Only in the earlier one.
    pub removed: Habits,
}

/// Habits, as people look at them.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Habits {
    /// Actions.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub actions: BTreeSet<Arc<str>>,
    /// Which action came behind which.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub steps: BTreeSet<(Arc<str>, Arc<str>)>,
    /// What was acted on.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub resources: BTreeSet<String>,
    /// From where it called.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub sources: BTreeSet<String>,
    /// How many values, by the action and the sink they stand in.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<Arc<str>, usize>,
}

impl Baseline {
    /// To be looked at.
    pub fn shown(&self) -> ShownBaseline<'_> {
        ShownBaseline {
            tasks: self.tasks,
            since: self.since,
            until: self.until,
            ready: self.ready,
            alpha: self.alpha,
            insufficient: self.insufficient(),
            actions: &self.actions,
            steps: &self.steps,
            resources: &self.resources,
            sources: &self.sources,
            values: self.values.iter().map(|(place, keys)| (&**place, keys.len())).collect(),
            heat: &self.heat,
            rare: self.rare,
        }
    }

    /// What `later` would change.
    pub fn difference(&self, later: &Self) -> Difference {
        Difference { added: later.without(self), removed: self.without(later) }
    }

    fn without(&self, other: &Self) -> Habits {
        let keys = |place: &Arc<str>, keys: &BTreeSet<Key>| {
            keys.iter().filter(|key| !other.values.get(place).is_some_and(|others| others.contains(key))).count()
        };
        let values = self.values.iter().map(|(place, all)| (place.clone(), keys(place, all)));
        Habits {
            actions: self.actions.keys().filter(|action| !other.actions.contains_key(*action)).cloned().collect(),
            steps: self.steps.difference(&other.steps).cloned().collect(),
            resources: self.resources.difference(&other.resources).cloned().collect(),
            sources: self.sources.difference(&other.sources).cloned().collect(),
            values: values.filter(|(_, count)| *count > 0).collect(),
        }
    }
}
