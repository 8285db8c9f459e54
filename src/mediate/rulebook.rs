//! Everything that judges, in one version: a call sees one from its first step to its verdict.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::identify::Identify;
use crate::judge::{Policies, Question, stands};
use crate::memory::{Bounds, CallUnderWay, Memory};
use crate::model::{Askers, CallId, Digest, Reviewers, Timestamp};
use crate::understand::{Catalog, ToolCatalog};

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
    /// Which tools may ask about our tokens.
    pub askers: Askers,
}

impl Rulebook {
    /// Whether a call that another version permitted may go on by this one: its agent and its action are there, its tool is
    /// where it was, and by what was known when it was judged it is permitted.
    pub fn lets_go_on(&self, call: &CallUnderWay) -> bool {
        let question = Question { agent: &call.agent, action: &call.action, resource: &call.resource };
        let tool = self.catalog.tool(&call.agent, &call.tool.name);
        let known = |there: &ToolCatalog| self.catalog.knows(&call.agent, there, &call.action);
        tool.is_some_and(|there| there.tool.leads_where(&call.tool) && known(there))
            && stands(&self.policies, &question, &call.facts)
    }
}

/// The rulebook that new calls are judged by.
pub struct Current {
    rulebook: ArcSwap<Rulebook>,
    news: Mutex<News>,
}

/// What has become of the files that are loaded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct News {
    /// How many times something was loaded.
    pub generation: u64,
    /// When it was, the last time.
    pub since: Timestamp,
    /// Why what lies there now is not loaded, if it is not.
    pub trouble: Option<String>,
}

impl Current {
    /// This one first.
    pub fn new(rulebook: Rulebook, since: Timestamp) -> Self {
        let news = News { generation: 1, since, trouble: None };
        Self { rulebook: ArcSwap::from_pointee(rulebook), news: Mutex::new(news) }
    }

    /// The one that is current. Whoever holds it sees no other.
    pub fn now(&self) -> Arc<Rulebook> {
        self.rulebook.load_full()
    }

    /// From here on, new calls are judged by this one, and those under way that it does not permit are cut.
    pub fn replace(&self, rulebook: Rulebook, memory: &Memory, now: Timestamp) {
        let rulebook = Arc::new(rulebook);
        self.rulebook.store(rulebook.clone());
        memory.cut(|call| !rulebook.lets_go_on(call));
        let mut news = self.news();
        *news = News { generation: news.generation.saturating_add(1), since: now, trouble: None };
    }

    /// Judges a call that has just come under way again, if another version than `by` is current by now.
    ///
    /// The call is in the list of calls under way before this looks which rulebook is current, and `replace` walks through
    /// that list after it has put another one there: one of the two finds the call.
    pub fn judge_again(&self, by: Digest, id: CallId, memory: &Memory) {
        let now = self.now();
        if by != now.policies.version() {
            memory.cut(|call| call.id == id && !now.lets_go_on(call));
        }
    }

    /// What has become of the files.
    pub fn told(&self) -> News {
        self.news().clone()
    }

    /// What lies there now is not loaded, for this reason; or it is what is loaded after all.
    pub fn trouble(&self, why: Option<String>) {
        self.news().trouble = why;
    }

    fn news(&self) -> std::sync::MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
