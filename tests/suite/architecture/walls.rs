//! The walls, and who has breached them.

use std::collections::BTreeSet;
use std::fmt;

use super::names::Scopes;
use super::reading::{Found, Source, Spot, read};
use super::tokens::Segments;
use super::{
    BESIDE, CLIENTS, CLOCKS, HANDED_ON, IMPURE, LAYERS, MAY_EXPOSE, MAY_READ_CLOCK, MAY_READ_ENVIRONMENT,
    MAY_SUBSCRIBE, PURE, PURE_AFTER_ALL, ROOMS, SEAMS, form,
};

/// A wall of the house.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Wall {
    Parsed,
    Layers,
    Model,
    Rooms,
    Purity,
    Mediate,
    Concrete,
    Clock,
    Environment,
    Statics,
    Subscriber,
    Secrets,
    TestSwitches,
    CatchAll,
    Files,
    Allow,
    Ignore,
    Words,
    Lockfile,
}

impl Wall {
    pub(super) const ALL: &[Self] = &[
        Self::Parsed,
        Self::Layers,
        Self::Model,
        Self::Rooms,
        Self::Purity,
        Self::Mediate,
        Self::Concrete,
        Self::Clock,
        Self::Environment,
        Self::Statics,
        Self::Subscriber,
        Self::Secrets,
        Self::TestSwitches,
        Self::CatchAll,
        Self::Files,
        Self::Allow,
        Self::Ignore,
        Self::Words,
        Self::Lockfile,
    ];
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parsed => "every source can be read",
            Self::Layers => "imports go down the layers",
            Self::Model => "model imports nothing of ours",
            Self::Rooms => "rooms hand on proofs and share nothing else",
            Self::Purity => "pure modules are pure",
            Self::Mediate => "mediate names rooms, not what is in them",
            Self::Concrete => "only app names what implements a seam",
            Self::Clock => "the wall clock is read at the edge",
            Self::Environment => "the environment is read at the edge",
            Self::Statics => "there is no static state",
            Self::Subscriber => "telemetry installs the subscriber",
            Self::Secrets => "secrets come out where they are used",
            Self::TestSwitches => "production code does not know of tests",
            Self::CatchAll => "a match on our own enum names every variant",
            Self::Files => "files are where and what they should be",
            Self::Allow => "a lint is expected with a reason, never allowed",
            Self::Ignore => "no test is ignored off the list",
            Self::Words => "names say what a thing is",
            Self::Lockfile => "the lockfile holds what we agreed to",
        })
    }
}

/// Where a wall is breached, and by what.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Breach {
    pub(super) wall: Wall,
    pub(super) path: String,
    pub(super) line: usize,
    pub(super) what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {} ({})", self.path, self.line, self.what, self.wall)
    }
}

/// What a rule is told of one spot.
pub(super) struct Seen<'a> {
    pub(super) spot: &'a Spot,
    /// The module without its root: `["judge", "values"]`; `["main"]` in the binary.
    pub(super) module: &'a [String],
    /// The path of a `Found::Path`, from the root, as written; empty for anything else.
    pub(super) written: Segments,
    /// The same with re-exports followed.
    pub(super) canonical: Segments,
}

/// What all files together say.
pub(super) struct House {
    scopes: Scopes,
    enums: BTreeSet<String>,
    /// Types that implement a seam: the top module each lives in, and its name.
    concrete: BTreeSet<(String, String)>,
}

/// Every breach in `sources`, file by file; what is breached the same way twice in a file is told once.
pub(super) fn breaches(sources: &[Source]) -> Vec<Breach> {
    let mut found = Vec::new();
    let mut scopes = Scopes::default();
    let mut files = Vec::new();
    for source in sources {
        found.extend(form::of_text(source));
        match read(&source.text, module_of(&source.path), &mut scopes) {
            Ok(spots) => files.push((source, spots)),
            Err(error) => found.push(Breach {
                wall: Wall::Parsed,
                path: source.path.clone(),
                line: error.span().start().line,
                what: error.to_string(),
            }),
        }
    }
    mark_test_files(&mut files);
    let house = House::new(scopes, files.iter().flat_map(|(_, spots)| spots));
    for (source, spots) in &files {
        for spot in spots {
            for (wall, what) in house.judge(source, spot) {
                found.push(Breach { wall, path: source.path.clone(), line: spot.line, what });
            }
        }
    }
    found.sort_by(|a, b| (&a.path, a.wall, &a.what, a.line).cmp(&(&b.path, b.wall, &b.what, b.line)));
    found.dedup_by(|next, kept| (&next.path, next.wall, &next.what) == (&kept.path, kept.wall, &kept.what));
    found
}

/// `src/judge/values.rs` is `crate::judge::values`; what is not in `src` is a root of its own.
fn module_of(path: &str) -> Segments {
    let Some(inner) = path.strip_prefix("src/") else { return vec![path.to_owned()] };
    let inner = inner.strip_suffix(".rs").unwrap_or(inner);
    match inner {
        "main" => vec!["main".to_owned()],
        "lib" => vec!["crate".to_owned()],
        _ => std::iter::once("crate").chain(inner.split('/')).map(str::to_owned).collect(),
    }
}

/// A file that is declared under `#[cfg(test)]` is a test as a whole.
fn mark_test_files(files: &mut [(&Source, Vec<Spot>)]) {
    let spots = files.iter().flat_map(|(_, spots)| spots);
    let tests: Vec<Segments> = spots
        .filter_map(|spot| match &spot.found {
            Found::TestModule(module) => Some(module.clone()),
            _ => None,
        })
        .collect();
    for spot in files.iter_mut().flat_map(|(_, spots)| spots) {
        spot.in_test |= tests.iter().any(|test| spot.module.starts_with(test));
    }
}

impl House {
    fn new<'a>(scopes: Scopes, spots: impl Iterator<Item = &'a Spot>) -> Self {
        let mut house = Self { scopes, enums: BTreeSet::new(), concrete: BTreeSet::new() };
        for spot in spots {
            match &spot.found {
                Found::Enum(name) if !spot.in_test => {
                    house.enums.insert(name.clone());
                }
                Found::Implemented { of, by } if !spot.in_test && spot.module.len() > 1 => {
                    let seam = of.last().is_some_and(|seam| SEAMS.contains(&seam.as_str()));
                    if seam && house.scopes.absolute(&spot.module, of).first().is_some_and(|root| root == "crate") {
                        house.concrete.insert((spot.module[1].clone(), by.clone()));
                    }
                }
                _ => {}
            }
        }
        house
    }

    fn judge(&self, source: &Source, spot: &Spot) -> Vec<(Wall, String)> {
        let mut found: Vec<(Wall, String)> = form::of_spot(source, spot).into_iter().collect();
        if !source.path.starts_with("src/") {
            return found;
        }
        let written = match &spot.found {
            Found::Path(path) => self.scopes.absolute(&spot.module, path),
            _ => Segments::new(),
        };
        let canonical = self.scopes.canonical(&written);
        let module = if spot.module[0] == "main" { &spot.module[..] } else { &spot.module[1..] };
        let seen = Seen { spot, module, written, canonical };
        found.extend(self.imports(&seen));
        found.extend(self.concrete(&seen));
        found.extend(self.mediate(&seen));
        found.extend(self.catch_all(&seen));
        if !spot.in_test {
            found.extend(purity(&seen));
            found.extend(self.clock(&seen));
            found.extend(environment(&seen));
            found.extend(secrets(&seen));
        }
        found.extend(subscriber(&seen));
        found.extend(matches!(spot.found, Found::Static).then(|| (Wall::Statics, "a static".to_owned())));
        found
    }

    /// Walls between the layers, and between the rooms.
    fn imports(&self, seen: &Seen<'_>) -> Option<(Wall, String)> {
        let [root, to, ..] = &seen.written[..] else { return None };
        let from = seen.module.first()?;
        if root != "crate" || from == to {
            return None;
        }
        let told = seen.written.join("::");
        if !self.scopes.has(&seen.written[..2]) {
            return Some((Wall::Layers, format!("`{told}` is not in any room of the house")));
        }
        if from == "model" {
            return Some((Wall::Model, format!("model names `{told}`")));
        }
        if is_handed_on(from, to, seen.written.get(2)) || lies_below(from, to) {
            return None;
        }
        let rooms = ROOMS.contains(&from.as_str()) && ROOMS.contains(&to.as_str());
        Some((if rooms { Wall::Rooms } else { Wall::Layers }, format!("{from} names `{told}`")))
    }

    /// Outside its own room, an implementation of a seam is named by `app`.
    fn concrete(&self, seen: &Seen<'_>) -> Option<(Wall, String)> {
        let from = seen.module.first()?;
        let [root, home, inner @ ..] = &seen.canonical[..] else { return None };
        let handed_on = seen.written.get(1).is_some_and(|room| is_handed_on(from, room, seen.written.get(2)));
        if from == "app" || root != "crate" || from == home || handed_on {
            return None;
        }
        let (_, name) = self.concrete.iter().find(|(room, name)| room == home && inner.contains(name))?;
        Some((Wall::Concrete, format!("{from} names `{name}`")))
    }

    fn mediate(&self, seen: &Seen<'_>) -> Option<(Wall, String)> {
        if seen.module.first()? != "mediate" {
            return None;
        }
        let inner = seen.written.first()? == "crate"
            && ROOMS.contains(&seen.written.get(1)?.as_str())
            && seen.written.len() > 2
            && self.scopes.has(&seen.written[..3]);
        let client = CLIENTS.iter().any(|client| leads_to(&seen.canonical, client));
        (inner || client).then(|| (Wall::Mediate, format!("mediate names `{}`", seen.written.join("::"))))
    }

    fn clock(&self, seen: &Seen<'_>) -> Option<(Wall, String)> {
        if is_in(seen.module, MAY_READ_CLOCK) {
            return None;
        }
        let reads = match &seen.spot.found {
            Found::Path(_) => CLOCKS.iter().any(|clock| ends_in(&seen.canonical, clock)),
            Found::Method { receiver, name, .. } if name == "elapsed" => {
                let receiver = self.scopes.canonical(&self.scopes.absolute(&seen.spot.module, receiver));
                receiver.last().is_some_and(|last| last == "UNIX_EPOCH")
            }
            _ => false,
        };
        reads.then(|| (Wall::Clock, format!("{} reads the wall clock", seen.module.join("::"))))
    }

    fn catch_all(&self, seen: &Seen<'_>) -> Option<(Wall, String)> {
        let Found::CatchAll { others, by } = &seen.spot.found else { return None };
        if seen.spot.in_test {
            return None;
        }
        let of_ours = others.iter().find_map(|path| {
            let path = match (path.first().map(String::as_str), by) {
                (Some("Self"), Some(by)) => [std::slice::from_ref(by), &path[1..]].concat(),
                _ => path.clone(),
            };
            let path = self.scopes.canonical(&self.scopes.absolute(&seen.spot.module, &path));
            let [.., owner, _] = &path[..] else { return None };
            (path[0] == seen.spot.module[0] && self.enums.contains(owner)).then(|| owner.clone())
        })?;
        Some((Wall::CatchAll, format!("an arm takes whatever is left of `{of_ours}`")))
    }
}

/// Whether the table hands this item of `to` on to `from`; without an item, whether it hands on anything.
fn is_handed_on(from: &str, to: &str, item: Option<&String>) -> bool {
    let mut items = HANDED_ON.iter().filter(|(by, of, _)| *by == from && *of == to).flat_map(|(_, _, items)| *items);
    match item {
        Some(item) => items.any(|handed| handed == item),
        None => items.next().is_some(),
    }
}

fn lies_below(from: &str, to: &str) -> bool {
    if let Some((_, importers, _)) = BESIDE.iter().find(|(beside, ..)| *beside == to) {
        return importers.contains(&from);
    }
    if let Some((_, _, imports)) = BESIDE.iter().find(|(beside, ..)| *beside == from) {
        return imports.contains(&to);
    }
    let layer = |name: &str| LAYERS.iter().position(|layer| layer.contains(&name));
    matches!((layer(from), layer(to)), (Some(from), Some(to)) if from < to)
}

fn purity(seen: &Seen<'_>) -> Option<(Wall, String)> {
    if !is_in(seen.module, PURE) {
        return None;
    }
    let what = match &seen.spot.found {
        Found::Async => "something async".to_owned(),
        Found::Path(_) if PURE_AFTER_ALL.iter().any(|value| leads_to(&seen.canonical, value)) => return None,
        Found::Path(_) if IMPURE.iter().any(|impure| leads_to(&seen.canonical, impure)) => {
            format!("`{}`", seen.canonical.join("::"))
        }
        _ => return None,
    };
    Some((Wall::Purity, format!("{} names {what}", seen.module.join("::"))))
}

fn environment(seen: &Seen<'_>) -> Option<(Wall, String)> {
    let reads = leads_to(&seen.canonical, "std::env") && !is_in(seen.module, MAY_READ_ENVIRONMENT);
    reads.then(|| (Wall::Environment, format!("`{}`", seen.canonical.join("::"))))
}

fn subscriber(seen: &Seen<'_>) -> Option<(Wall, String)> {
    if is_in(seen.module, MAY_SUBSCRIBE) {
        return None;
    }
    let what = match &seen.spot.found {
        Found::Path(_) if leads_to(&seen.canonical, "tracing_subscriber") => seen.canonical.join("::"),
        Found::Path(_) if seen.canonical.last().is_some_and(|last| last == "set_global_default") => {
            seen.canonical.join("::")
        }
        Found::Method { name, arguments: false, .. } if name == "init" || name == "try_init" => format!(".{name}()"),
        _ => return None,
    };
    Some((Wall::Subscriber, format!("`{what}`")))
}

fn secrets(seen: &Seen<'_>) -> Option<(Wall, String)> {
    let exposes = match &seen.spot.found {
        Found::Method { name, .. } => name == "expose",
        Found::Path(_) => ends_in(&seen.canonical, "Secret::expose"),
        _ => false,
    };
    (exposes && !is_in(seen.module, MAY_EXPOSE))
        .then(|| (Wall::Secrets, format!("{} exposes a secret", seen.module.join("::"))))
}

/// Whether the module is one of `places`, or lies within one.
fn is_in(module: &[String], places: &[&str]) -> bool {
    places.iter().any(|place| starts_with(module, place))
}

/// Whether the path names `target` or something in it, or is a glob that brings it in.
fn leads_to(path: &[String], target: &str) -> bool {
    let glob = path.split_last().filter(|(last, above)| *last == "*" && !above.is_empty());
    starts_with(path, target) || glob.is_some_and(|(_, above)| target.starts_with(&format!("{}::", above.join("::"))))
}

fn starts_with(path: &[String], target: &str) -> bool {
    let mut words = path.iter();
    target.split("::").all(|word| words.next().is_some_and(|next| next == word))
}

fn ends_in(path: &[String], target: &str) -> bool {
    let mut words = path.iter().rev();
    target.rsplit("::").all(|word| words.next().is_some_and(|next| next == word))
}
