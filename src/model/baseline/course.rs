//! What one task shows of its agent's habits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{Key, Timestamp};

/// Hours of a week.
pub const HOURS: usize = 168;

/// How many different actions, steps from one to the next, resources, sources and values a task can show. What comes
/// beyond that it does not show.
const MOST_ACTIONS: usize = 64;
const MOST_STEPS: usize = 256;
const MOST_RESOURCES: usize = 256;
const MOST_SOURCES: usize = 16;
const MOST_VALUES: usize = 512;

/// Bytes of a resource or a source that is shown; longer ones are not.
const LONGEST: usize = 256;

/// A task from its first call to its end.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Course {
    /// The hours of the week in which it called each tool, in UTC: 0 is Monday at midnight.
    pub hours: BTreeMap<Arc<str>, BTreeSet<u8>>,
    /// How often each action was permitted, by full name.
    pub actions: BTreeMap<Arc<str>, u32>,
    /// How often an action came behind another one: first `""`, where it was the first of all.
    pub steps: Vec<(Arc<str>, Arc<str>, u32)>,
    /// The most calls in one minute of the clock.
    pub most_in_a_minute: u32,
    /// Bytes of the longest body.
    pub longest_body: u64,
    /// What is private of it: in a record it lies apart.
    #[serde(skip)]
    pub aims: Aims,
}

/// What the calls of a task were aimed at, and from where they came.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Aims {
    /// What was acted on, with its tool.
    pub resources: BTreeSet<String>,
    /// The workloads that called.
    pub sources: BTreeSet<String>,
    /// Values by hash, under the action and the sink they stood in.
    pub values: BTreeMap<Arc<str>, BTreeMap<Key, Word>>,
}

/// On whose word a value was used. What nobody stood behind never becomes a habit.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// Nobody's, and no stranger's either.
    Nobody,
    /// Somebody who is believed stood behind it.
    Attested,
    /// A person agreed to it.
    Agreed,
}

/// One permitted call, as far as habits go.
#[derive(Debug)]
pub struct Made<'a> {
    /// The action behind which it came; `""` if it was the first.
    pub behind: &'a Arc<str>,
    /// The tool.
    pub tool: &'a Arc<str>,
    /// The action.
    pub action: &'a Arc<str>,
    /// What it acts on, with its tool.
    pub resource: &'a str,
    /// The workload that called.
    pub source: &'a str,
    /// When.
    pub at: Timestamp,
    /// Calls of its task in this minute, this one counted.
    pub in_a_minute: u32,
    /// Bytes of its body, where that was read.
    pub bytes: Option<u64>,
    /// Its values.
    pub values: &'a [Used],
}

/// One value of a call.
#[derive(Clone, Debug)]
pub struct Used {
    /// The action and the sink.
    pub place: Arc<str>,
    /// The value there, by hash.
    pub key: Key,
    /// It is where something goes.
    pub is_destination: bool,
}

impl Course {
    /// One more call was permitted. `words` says on whose word it had each of its values.
    pub fn add(&mut self, call: &Made<'_>, words: &[Word]) {
        if self.hours.len() < MOST_ACTIONS || self.hours.contains_key(call.tool) {
            self.hours.entry(call.tool.clone()).or_default().insert(hour_of_week(call.at));
        }
        if self.actions.len() < MOST_ACTIONS || self.actions.contains_key(call.action) {
            let calls = self.actions.entry(call.action.clone()).or_default();
            *calls = calls.saturating_add(1);
        }
        let same = |(from, to, _): &&mut (Arc<str>, Arc<str>, u32)| from == call.behind && to == call.action;
        if let Some((_, _, count)) = self.steps.iter_mut().find(same) {
            *count = count.saturating_add(1);
        } else if self.steps.len() < MOST_STEPS {
            self.steps.push((call.behind.clone(), call.action.clone(), 1));
        }
        self.most_in_a_minute = self.most_in_a_minute.max(call.in_a_minute);
        self.longest_body = self.longest_body.max(call.bytes.unwrap_or(0));
        keep(&mut self.aims.resources, call.resource, MOST_RESOURCES);
        keep(&mut self.aims.sources, call.source, MOST_SOURCES);
        let mut room = MOST_VALUES.saturating_sub(self.aims.values.values().map(BTreeMap::len).sum());
        for (Used { place, key, .. }, word) in call.values.iter().zip(words) {
            let there = self.aims.values.get_mut(place).and_then(|keys| keys.get_mut(key));
            if let Some(before) = there {
                *before = (*before).max(*word);
            } else if room > 0 {
                room -= 1;
                self.aims.values.entry(place.clone()).or_default().insert(*key, *word);
            }
        }
    }

    /// The hours of the week in which it called anything.
    pub fn all_hours(&self) -> BTreeSet<u8> {
        self.hours.values().flatten().copied().collect()
    }

    /// How many things it shows.
    pub fn len(&self) -> usize {
        let values: usize = self.aims.values.values().map(BTreeMap::len).sum();
        self.actions.len() + self.steps.len() + self.aims.resources.len() + self.aims.sources.len() + values
    }

    /// It shows nothing: no call was permitted in it.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }
}

/// Hours since Monday at midnight, in UTC.
pub fn hour_of_week(at: Timestamp) -> u8 {
    u8::try_from((at.weekday().saturating_sub(1)) * 24 + at.hour()).unwrap_or(0)
}

fn keep(texts: &mut BTreeSet<String>, text: &str, most: usize) {
    if texts.len() < most && text.len() <= LONGEST && !texts.contains(text) {
        texts.insert(text.to_owned());
    }
}
