//! On whose word a task has the values that its calls are aimed at.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use super::lesson::Lesson;
use super::live::Live;
use super::lock;
use crate::model::{Aimed, CallId, Critical, Key, SinkKind, ValueFacts};

/// What trusted fields of answers may vouch for in one task. What comes beyond that is vouched for by nobody.
const MOST_TRUSTED: usize = 16_384;

/// Words, and pairs of words, of answers that are told apart in one task. What comes beyond that was read by nobody.
const MOST_READ: usize = 65_536;

/// What a task has learned from answers.
#[derive(Debug, Default)]
pub(super) struct Learned {
    trusted: HashSet<Key>,
    /// All that is untrusted, and of that what whoever opened the task had named.
    read: Words,
    named: Words,
    /// The calls whose answers these are.
    calls: Vec<CallId>,
}

/// Which words followed which, by a hash that nobody outside of this process can foresee.
#[derive(Debug, Default)]
struct Words {
    hasher: RandomState,
    /// A word, or a pair, and the first of the calls that brought it.
    seen: HashMap<u64, u32>,
}

impl Words {
    fn add(&mut self, words: &[String], call: u32) {
        for (place, word) in words.iter().enumerate() {
            if self.seen.len() >= MOST_READ {
                return;
            }
            self.seen.entry(self.hasher.hash_one(word)).or_insert(call);
            if let Some(next) = words.get(place + 1) {
                self.seen.entry(self.hasher.hash_one((word, next))).or_insert(call);
            }
        }
    }

    /// The call by which this came: all of its words, each behind the one before it.
    fn find(&self, words: &[String]) -> Option<u32> {
        let first = self.seen.get(&self.hasher.hash_one(words.first()?))?;
        let pairs = words.iter().zip(words.iter().skip(1));
        let mut calls = pairs.map(|pair| self.seen.get(&self.hasher.hash_one(pair)));
        calls.try_fold(*first, |first, call| call.map(|call| first.max(*call)))
    }
}

impl Learned {
    fn learn(&mut self, lesson: &Lesson) {
        for key in &lesson.trusted {
            if self.trusted.len() >= MOST_TRUSTED {
                break;
            }
            self.trusted.insert(*key);
        }
        if lesson.untrusted.is_empty() {
            return;
        }
        let call = u32::try_from(self.calls.len()).unwrap_or(u32::MAX);
        self.calls.push(lesson.call);
        for words in &lesson.untrusted {
            self.read.add(words, call);
            if lesson.named {
                self.named.add(words, call);
            }
        }
    }

    fn read_in(&self, value: &Aimed) -> Option<CallId> {
        let call = self.read.find(&value.words)?;
        self.calls.get(usize::try_from(call).ok()?).copied()
    }
}

/// What others than the task vouch for: a directory, or an approval.
pub(super) type Elsewhere<'a> = dyn Fn(&Critical, &Aimed) -> bool + 'a;

impl Live {
    /// Takes in what an answer brought, here and in the parents, who read what their children say.
    pub(super) fn learn(self: &Arc<Self>, lesson: &Lesson) {
        for live in self.line() {
            lock(&live.state).learned.get_or_insert_default().learn(lesson);
        }
    }

    /// Who stands behind the values of a call.
    pub(super) fn weigh(self: &Arc<Self>, critical: &[Critical], elsewhere: &Elsewhere<'_>) -> ValueFacts {
        let mut facts = ValueFacts::default();
        for one in critical {
            match one.kind {
                SinkKind::Source => continue,
                SinkKind::Destination | SinkKind::Object | SinkKind::Text | SinkKind::Words => {}
            }
            facts.critical.insert(one.sink.clone());
            let stands = |value: &&Aimed| match one.kind {
                SinkKind::Words => self.vouches(value) || elsewhere(one, value) || self.was_read_in(value).is_none(),
                SinkKind::Destination | SinkKind::Object | SinkKind::Text | SinkKind::Source => {
                    self.vouches(value) || elsewhere(one, value)
                }
            };
            let open: Vec<&Aimed> = one.values.iter().filter(|value| !stands(value)).collect();
            if !open.is_empty() {
                self.tell(one, &open, &mut facts);
            }
        }
        facts
    }

    /// Nobody stands behind these: what is known of them all the same.
    fn tell(self: &Arc<Self>, one: &Critical, open: &[&Aimed], facts: &mut ValueFacts) {
        let seen = open.iter().find_map(|value| self.was_read_in(value));
        facts.unattested.insert(one.sink.clone(), seen);
        if open.iter().all(|value| self.was_named(value)) {
            facts.delegated.insert(one.sink.clone());
        }
        if open.iter().all(|value| value.is_plain_link && self.was_read_in(value).is_some()) {
            facts.quoted.insert(one.sink.clone());
        }
    }

    /// Whether whoever opened the task had named all that this call reads from.
    pub(super) fn names(&self, critical: &[Critical]) -> bool {
        let mut sources = critical.iter().filter(|one| one.kind == SinkKind::Source).peekable();
        if sources.peek().is_none() {
            return false;
        }
        let given = self.task().values.clone();
        sources.flat_map(|one| &one.values).all(|value| given.has(value))
    }

    fn vouches(self: &Arc<Self>, value: &Aimed) -> bool {
        let trusted = |learned: &Learned| value.keys.iter().all(|key| learned.trusted.contains(key));
        self.task().values.has(value)
            || self.line().any(|live| lock(&live.state).learned.as_deref().is_some_and(trusted))
    }

    fn was_read_in(self: &Arc<Self>, value: &Aimed) -> Option<CallId> {
        self.line().find_map(|live| lock(&live.state).learned.as_deref().and_then(|learned| learned.read_in(value)))
    }

    fn was_named(self: &Arc<Self>, value: &Aimed) -> bool {
        let named = |learned: &Learned| learned.named.find(&value.words).is_some();
        self.line().any(|live| lock(&live.state).learned.as_deref().is_some_and(named))
    }
}
