//! Everything that judges, in one version: a call sees one from its first step to its verdict.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::identify::Identify;
use crate::judge::Policies;
use crate::memory::Bounds;
use crate::model::Reviewers;
use crate::understand::Catalog;

/// What was loaded together.
pub struct Rulebook {
    /// Who may call, and how each is proven.
    pub identify: Identify,
    /// What calls do.
    pub catalog: Catalog,
    /// How much agents may do.
    pub bounds: Bounds,
    /// What is allowed.
    pub policies: Policies,
    /// Who may look at what was done, and decide what may be.
    pub reviewers: Reviewers,
}

/// The rulebook that new calls are judged by.
pub struct Current(ArcSwap<Rulebook>);

impl Current {
    /// This one first.
    pub fn new(rulebook: Rulebook) -> Self {
        Self(ArcSwap::from_pointee(rulebook))
    }

    /// The one that is current. Whoever holds it sees no other.
    pub fn now(&self) -> Arc<Rulebook> {
        self.0.load_full()
    }

    /// From here on, new calls are judged by this one.
    pub fn replace(&self, rulebook: Rulebook) {
        self.0.store(Arc::new(rulebook));
    }
}
