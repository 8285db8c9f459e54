//! The paths of calls as a tree, in which what stands for many becomes a parameter.

use std::collections::BTreeMap;

use super::guess;
use super::segment::{self, Collection};
use crate::understand::target::Target;

/// Segments of a path, at most.
const DEEPEST: usize = 16;

/// Segments of all paths together, at most; what looks like an id counts once.
const ROOM: usize = 20_000;

/// Different segments in one place, from which on they are values rather than names.
const MANY: usize = 9;

/// The same where no name stood before: that is where an API names what it has.
const MANY_AT_FIRST: usize = 33;

/// Fields of a query that are looked at.
const FIELDS: usize = 32;

/// Bytes of a field's name.
const FIELD: usize = 64;

/// All paths, each method's on their own: what was seen of one says nothing of another.
#[derive(Default)]
pub(super) struct Paths {
    methods: BTreeMap<String, Node>,
    taken: usize,
}

/// Where paths end alike.
#[derive(Default)]
pub(super) struct End {
    /// So many did.
    pub(super) count: u64,
    /// The fields of their queries; and whether each could be read in one way, whenever it was there.
    pub(super) query: BTreeMap<String, bool>,
}

#[derive(Default)]
struct Node {
    end: Option<End>,
    named: BTreeMap<String, Node>,
    value: Option<Box<Node>>,
}

impl Paths {
    /// Where a path ends; nowhere, if there is no room for it.
    pub(super) fn end(&mut self, method: &str, path: &str) -> Option<&mut End> {
        let segments: Vec<&str> = path.split('/').skip(1).take(DEEPEST + 1).collect();
        let node = self.methods.entry(method.to_owned()).or_default();
        let lacking = node.lacking(&segments, Collection::default());
        if segments.len() > DEEPEST || self.taken + lacking > ROOM {
            return None;
        }
        self.taken += lacking;
        let (mut node, mut before) = (node, Collection::default());
        for segment in segments {
            let value = before.is_value(segment);
            before = before.then(segment, value);
            node = if value {
                &mut **node.value.get_or_insert_default()
            } else {
                node.named.entry(segment.to_owned()).or_default()
            };
        }
        Some(node.end.get_or_insert_default())
    }

    /// Tells each method, path with its parameters, and what is known of its calls.
    pub(super) fn each(self, tell: &mut impl FnMut(&str, String, End)) {
        for (method, mut node) in self.methods {
            node.generalise(&method, Collection::default());
            node.tell(&mut Vec::new(), &mut |path, end| tell(&method, path, end));
        }
    }
}

impl End {
    /// One more, or several.
    pub(super) fn take_in(&mut self, target: &Target, count: u64) {
        self.count = self.count.saturating_add(count);
        for name in target.fields().take(FIELDS) {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.[]".contains(&byte);
            let room = self.query.len() < FIELDS || self.query.contains_key(name);
            if room && !name.is_empty() && name.len() <= FIELD && name.bytes().all(plain) {
                let one_way = target.query(name).is_ok();
                *self.query.entry(name.to_owned()).or_insert(true) &= one_way;
            }
        }
    }

    fn merge(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        for (name, one_way) in other.query {
            *self.query.entry(name).or_insert(true) &= one_way;
        }
    }
}

impl Node {
    /// How many segments of this path are not there yet.
    fn lacking(&self, segments: &[&str], before: Collection<'_>) -> usize {
        let Some((segment, rest)) = segments.split_first() else { return 0 };
        let value = before.is_value(segment);
        let next = if value { self.value.as_deref() } else { self.named.get(*segment) };
        next.map_or(segments.len(), |next| next.lacking(rest, before.then(segment, value)))
    }

    fn merge(&mut self, other: Self) {
        if let Some(end) = other.end {
            self.end.get_or_insert_default().merge(end);
        }
        for (name, node) in other.named {
            self.named.entry(name).or_default().merge(node);
        }
        if let Some(node) = other.value {
            self.value.get_or_insert_default().merge(*node);
        }
    }

    /// Makes one parameter of names that are too many to be names.
    fn generalise(&mut self, method: &str, before: Collection<'_>) {
        let many = if before.is_beginning() { MANY_AT_FIRST } else { MANY };
        let is_name = |segment: &str| segment::is_verb(segment) || guess::worsens(method, segment);
        if self.named.keys().filter(|segment| !is_name(segment)).count() >= many {
            let named = std::mem::take(&mut self.named);
            for (segment, node) in named {
                if is_name(&segment) {
                    self.named.insert(segment, node);
                } else {
                    self.value.get_or_insert_default().merge(node);
                }
            }
        }
        for (segment, node) in &mut self.named {
            node.generalise(method, before.then(segment, false));
        }
        if let Some(node) = &mut self.value {
            node.generalise(method, before.then("", true));
        }
    }

    fn tell(self, before: &mut Vec<String>, tell: &mut impl FnMut(String, End)) {
        if let Some(end) = self.end {
            tell(format!("/{}", before.join("/")), end);
        }
        for (segment, node) in self.named {
            before.push(segment);
            node.tell(before, tell);
            before.pop();
        }
        if let Some(node) = self.value {
            before.push(segment::parameter(before));
            node.tell(before, tell);
            before.pop();
        }
    }
}
