//! A draft from calls that were seen, as far as methods and targets tell: of a tool that nobody has described.
//!
//! Whoever made the calls chose these words. So each method is drafted from its own calls alone, all of it is bounded, and
//! what does not fit is counted.

use std::collections::BTreeMap;

use super::paths::{End, Paths};
use super::{Calls, Draft, Drafted, Fact, Sink, guess, name, tools};
use crate::model::SinkKind;
use crate::understand::target::Target;
use crate::understand::{FactType, METHODS};

/// Actions of a draft, at most.
const ACTIONS: usize = 300;

/// Values that a draft shows to policies, at most.
const FACTS: usize = 12;

/// Calls that were alike.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `POST`.
    pub method: String,
    /// Path and query, as the tool got them.
    pub target: String,
    /// How many.
    pub count: u64,
}

/// An action as it was found: its path with parameters, and what its calls have in common.
struct Found {
    path: String,
    method: String,
    end: End,
}

/// Drafts an action for each method and path, with a parameter where a path holds what looks like an id, or where many
/// different things stood.
pub fn from_observed(seen: impl IntoIterator<Item = Seen>) -> Draft {
    let (mut paths, mut draft) = (Paths::default(), Draft::default());
    let (mut unread, mut crowded) = (0, 0);
    for Seen { method, target, count } in seen {
        let known = METHODS.iter().any(|known| known.as_str() == method);
        let Some(target) = Target::parse(&target).ok().filter(|_| known) else {
            unread += count;
            continue;
        };
        match paths.end(&method, target.path()) {
            Some(end) => end.take_in(&target, count),
            None => crowded += count,
        }
    }
    let mut found = Vec::new();
    paths.each(&mut |method, path, end| found.push(Found { path, method: method.to_owned(), end }));
    found.sort_by(|a, b| (b.end.count, &a.path, &a.method).cmp(&(a.end.count, &b.path, &b.method)));
    let rare: u64 = found.iter().skip(ACTIONS).map(|rare| rare.end.count).sum();
    found.truncate(ACTIONS);
    found.sort_by(|a, b| (&a.path, &a.method).cmp(&(&b.path, &b.method)));
    for (why, calls) in [
        ("calls that no catalog could match".to_owned(), unread),
        ("calls whose paths are too many, or too long, to be told apart".to_owned(), crowded),
        (format!("calls of further actions; the {ACTIONS} that were called most are here"), rare),
    ] {
        if calls > 0 {
            draft.left_out.push(format!("{why}: {calls}"));
        }
    }
    let is_bodied = |found: &Found| !guess::of_method(&found.method).is_read();
    if found.iter().any(is_bodied) {
        draft.left_out.push("what bodies hold: no record keeps it, so no `body:` is among facts and sinks".to_owned());
    }
    for found in found {
        draft.add(&name::of_path(&found.method, &found.path), drafted(found));
    }
    draft
}

fn drafted(Found { path, method, end }: Found) -> Drafted {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let literal = segments.iter().rfind(|segment| !segment.starts_with('{'));
    let of_literal = name::words(literal.copied().unwrap_or_default());
    let (effect, because) = guess::effect((guess::of_method(&method), &method), &of_literal, method == "POST");
    let in_path = segments.iter().filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    let in_path = in_path.map(|name| ("path", name, guess::sink(name, None).or(Some(SinkKind::Object))));
    let in_query = end.query.iter().filter(|(_, one_way)| **one_way);
    let in_query = in_query.map(|(name, _)| ("query", name.as_str(), guess::sink(name, None)));
    let (mut facts, mut sinks) = (BTreeMap::new(), Vec::new());
    for (place, argument, kind) in in_path.chain(in_query) {
        let (Some(kind), at) = (kind, format!("{place}:{argument}")) else { continue };
        if kind != SinkKind::Text && facts.len() < FACTS {
            facts.entry(name::of_fact(argument)).or_insert(Fact { at: at.clone(), kind: FactType::String });
        }
        if !effect.is_read() || kind == SinkKind::Destination && place == "query" {
            sinks.push(Sink { at, kind });
        }
    }
    Drafted {
        resource: if segments.is_empty() { "/".to_owned() } else { segments.join("/") },
        yields: tools::yields(effect, &segments.iter().flat_map(|segment| name::words(segment)).collect::<Vec<_>>()),
        about: if end.count == 1 { "1 call".to_owned() } else { format!("{} calls", end.count) },
        calls: Calls::Http { method, path },
        effect,
        because,
        facts,
        sinks,
    }
}
