//! Where a path leads: the names each module of the tree knows, and what they stand for.

use std::collections::{BTreeMap, BTreeSet};

use super::tokens::Segments;

/// How often a name may stand for another name. More is a circle.
const DEPTH: usize = 12;

/// What one module knows.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    /// Names brought in by `use` or `type`, and the paths they stand for, as written.
    pub(super) aliases: BTreeMap<String, Segments>,
    /// Modules brought in whole, as written, without the `*`.
    pub(super) globs: Vec<Segments>,
    /// Modules and types declared here.
    pub(super) own: BTreeSet<String>,
}

/// What every module of the tree knows, by the module's path from `crate` (or from `main`, the binary's root).
#[derive(Clone, Debug, Default)]
pub(super) struct Scopes(BTreeMap<Segments, Scope>);

impl Scopes {
    pub(super) fn module(&mut self, module: &[String]) -> &mut Scope {
        self.0.entry(module.to_vec()).or_default()
    }

    /// Whether this is a module of the tree.
    pub(super) fn has(&self, module: &[String]) -> bool {
        self.0.contains_key(module)
    }

    /// The path from the root (`crate` or an external crate) of a path written in `module`, as written but for its
    /// first word: whoever imports a re-export imports from where it is re-exported.
    pub(super) fn absolute(&self, module: &[String], path: &[String]) -> Segments {
        self.rooted(module, path, DEPTH)
    }

    /// The path of what it finally is, re-exports followed.
    pub(super) fn canonical(&self, absolute: &[String]) -> Segments {
        self.followed(absolute, DEPTH)
    }

    fn rooted(&self, module: &[String], path: &[String], depth: usize) -> Segments {
        let Some((first, rest)) = path.split_first() else { return Segments::new() };
        match first.as_str() {
            "::" => normal(rest),
            "crate" => join(&module[..1], rest),
            "countersign" => join(&["crate".to_owned()], rest),
            "self" if !rest.is_empty() => self.descend(module, rest, depth),
            "super" => {
                let up = module.len().saturating_sub(1).max(1);
                self.ascend(&module[..up], rest, depth)
            }
            word => match self.lookup(module, word, depth) {
                Some(target) => join(&target, rest),
                None => normal(path),
            },
        }
    }

    fn ascend(&self, module: &[String], rest: &[String], depth: usize) -> Segments {
        match rest.first().map(String::as_str) {
            Some("super") => self.rooted(module, rest, depth),
            Some(_) => self.descend(module, rest, depth),
            None => module.to_vec(),
        }
    }

    /// `self::x` and `super::x`: `x` may itself be an alias there.
    fn descend(&self, module: &[String], rest: &[String], depth: usize) -> Segments {
        let Some((first, after)) = rest.split_first() else { return module.to_vec() };
        match self.lookup(module, first, depth) {
            Some(target) => join(&target, after),
            None => join(module, rest),
        }
    }

    fn lookup(&self, module: &[String], word: &str, depth: usize) -> Option<Segments> {
        let depth = depth.checked_sub(1)?;
        let scope = self.0.get(module)?;
        if scope.own.contains(word) {
            return Some(join(module, &[word.to_owned()]));
        }
        if let Some(target) = scope.aliases.get(word) {
            let itself = target.first().is_some_and(|first| first == word);
            return Some(if itself { normal(target) } else { self.rooted(module, target, depth) });
        }
        scope.globs.iter().find_map(|glob| {
            let within = self.rooted(module, glob, depth);
            if within == module { None } else { self.lookup(&within, word, depth) }
        })
    }

    fn followed(&self, path: &[String], depth: usize) -> Segments {
        let Some(depth) = depth.checked_sub(1) else { return path.to_vec() };
        for at in 1..path.len() {
            let (module, rest) = path.split_at(at);
            let Some(scope) = self.0.get(module) else { continue };
            let Some((word, after)) = rest.split_first() else { continue };
            if scope.own.contains(word) {
                continue;
            }
            if let Some(target) = self.lookup(module, word, depth) {
                return self.followed(&join(&target, after), depth);
            }
        }
        path.to_vec()
    }
}

fn join(module: &[String], rest: &[String]) -> Segments {
    module.iter().chain(rest).cloned().collect()
}

/// `core` and `alloc` are parts of `std`.
fn normal(path: &[String]) -> Segments {
    let mut path = path.to_vec();
    if let Some(first) = path.first_mut()
        && (first == "core" || first == "alloc")
    {
        "std".clone_into(first);
    }
    path
}
