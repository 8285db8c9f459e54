//! What a task has heard in answers: which values a system of record stands behind, and which words a stranger may have
//! written. Kept by hash, in order, so that it is small and can be laid aside.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use super::lesson::Lesson;
use crate::model::{Aimed, CallId, Key};

/// What trusted fields of answers may vouch for in one task. What comes beyond that is vouched for by nobody.
const MOST_TRUSTED: usize = 16_384;

/// Words, and pairs of words, of answers that are told apart in one task. What comes beyond that was read by nobody.
const MOST_READ: usize = 65_536;

/// Set in a mark: whoever opened the task had named what was read.
const NAMED: u32 = 1 << 31;

/// What a task has heard.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Hashes that nobody outside of this process can foresee.
    hasher: RandomState,
    /// In order.
    trusted: Vec<Key>,
    /// Words, and pairs of words, by hash, in order.
    words: Vec<u64>,
    /// For each of these the first call that brought it, by its place in `calls`; and whether it was named.
    marks: Vec<u32>,
    /// The calls whose answers these are.
    calls: Vec<CallId>,
}

impl Heard {
    /// Takes in what an answer brought.
    pub(super) fn learn(&mut self, lesson: &Lesson) {
        let room = MOST_TRUSTED.saturating_sub(self.trusted.len());
        let new = lesson.trusted.iter().filter(|key| self.trusted.binary_search(key).is_err());
        let mut new: Vec<Key> = new.copied().collect();
        new.sort_unstable();
        new.dedup();
        new.truncate(room);
        self.trusted.extend(new);
        self.trusted.sort_unstable();
        self.trusted.shrink_to_fit();
        if lesson.untrusted.is_empty() {
            return;
        }
        let call = u32::try_from(self.calls.len()).unwrap_or(!NAMED).min(!NAMED);
        self.calls.push(lesson.call);
        let mut hashes: Vec<u64> = lesson.untrusted.iter().flat_map(|words| self.hashes(words)).collect();
        hashes.sort_unstable();
        hashes.dedup();
        self.merge(&hashes, call | if lesson.named { NAMED } else { 0 });
    }

    /// Each word, and each with the one behind it.
    fn hashes<'a>(&'a self, words: &'a [String]) -> impl Iterator<Item = u64> + 'a {
        let pairs = words.iter().zip(words.iter().skip(1)).map(|pair| self.hasher.hash_one(pair));
        words.iter().map(|word| self.hasher.hash_one(word)).chain(pairs)
    }

    /// Puts hashes that are in order among the others. One that is there already keeps its call.
    fn merge(&mut self, hashes: &[u64], mark: u32) {
        let mut room = MOST_READ.saturating_sub(self.words.len());
        let (mut words, mut marks) = (Vec::new(), Vec::new());
        let mut old = self.words.iter().copied().zip(self.marks.iter().copied()).peekable();
        for hash in hashes {
            while let Some((word, mark)) = old.next_if(|(word, _)| word < hash) {
                words.push(word);
                marks.push(mark);
            }
            let before = old.next_if(|(word, _)| word == hash).map(|(_, before)| before | (mark & NAMED));
            if before.is_none() && room == 0 {
                continue;
            }
            room -= usize::from(before.is_none());
            words.push(*hash);
            marks.push(before.unwrap_or(mark));
        }
        for (word, mark) in old {
            words.push(word);
            marks.push(mark);
        }
        words.shrink_to_fit();
        marks.shrink_to_fit();
        (self.words, self.marks) = (words, marks);
    }

    /// Whether a trusted field vouches for a value.
    pub(super) fn trusts(&self, value: &Aimed) -> bool {
        value.keys.iter().all(|key| self.trusted.binary_search(key).is_ok())
    }

    /// The call by which a value came: all of its words, each behind the one before it.
    pub(super) fn read_in(&self, value: &Aimed) -> Option<CallId> {
        let last = self
            .marks_of(&value.words)?
            .map(|mark| mark.map(|mark| mark & !NAMED))
            .try_fold(0, |last, mark| mark.map(|mark| last.max(mark)))?;
        self.calls.get(usize::try_from(last).ok()?).copied()
    }

    /// Whether it stands in what whoever opened the task had named.
    pub(super) fn was_named(&self, value: &Aimed) -> bool {
        value.is_plain()
            && self
                .marks_of(&value.words)
                .is_some_and(|mut marks| marks.all(|mark| mark.is_some_and(|mark| mark & NAMED != 0)))
    }

    fn marks_of<'a>(&'a self, words: &'a [String]) -> Option<impl Iterator<Item = Option<u32>> + 'a> {
        let first = self.hasher.hash_one(words.first()?);
        let pairs = words.iter().zip(words.iter().skip(1)).map(|pair| self.hasher.hash_one(pair));
        let find = |hash: u64| self.words.binary_search(&hash).ok().and_then(|place| self.marks.get(place).copied());
        Some(std::iter::once(first).chain(pairs).map(find))
    }

    /// Bytes that it takes, about.
    pub(super) fn size(&self) -> usize {
        self.trusted.len() * 16 + self.words.len() * 12 + self.calls.len() * 16 + 64
    }

    /// All of it but for the hasher, to be laid aside.
    pub(super) fn written(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.size());
        for count in [self.trusted.len(), self.words.len(), self.calls.len()] {
            bytes.extend_from_slice(&(count as u64).to_le_bytes());
        }
        self.trusted.iter().for_each(|key| bytes.extend_from_slice(key.as_bytes()));
        self.words.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
        self.marks.iter().for_each(|mark| bytes.extend_from_slice(&mark.to_le_bytes()));
        self.calls.iter().for_each(|call| bytes.extend_from_slice(call.as_bytes()));
        bytes
    }

    /// What was laid aside; nothing if that is not whole.
    pub(super) fn read(bytes: &[u8], hasher: RandomState) -> Option<Self> {
        let mut rest = bytes;
        let mut count =
            || usize::try_from(u64::from_le_bytes(take(&mut rest)?)).ok().filter(|count| *count <= MOST_READ);
        let (trusted, words, calls) = (count()?, count()?, count()?);
        let heard = Self {
            hasher,
            trusted: (0..trusted).map(|_| take(&mut rest).map(Key::from_bytes)).collect::<Option<_>>()?,
            words: (0..words).map(|_| take(&mut rest).map(u64::from_le_bytes)).collect::<Option<_>>()?,
            marks: (0..words).map(|_| take(&mut rest).map(u32::from_le_bytes)).collect::<Option<_>>()?,
            calls: (0..calls).map(|_| take(&mut rest).map(CallId::from_bytes)).collect::<Option<_>>()?,
        };
        rest.is_empty().then_some(heard)
    }

    /// What it was laid aside without.
    pub(super) fn hasher(&self) -> RandomState {
        self.hasher.clone()
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*first)
}
