//! A catalog to begin with, drafted from what a tool says of itself, or from what was seen of it. Every guess is marked for somebody to look at.
//!
//! A guess trusts no more than what it is made from: a name can make an effect worse than its method says, never better.

mod answer;
mod argument;
mod guess;
mod name;
mod observed;
mod openapi;
mod paths;
mod print;
mod schema;
mod segment;
mod tools;

use std::collections::BTreeMap;

pub use self::observed::{Seen, from_observed};
pub use self::openapi::{NotASpec, from_openapi};
pub use self::tools::{Listed, Permission, from_tools};
use super::FactType;
use crate::model::SinkKind;
use crate::model::{Effect, Label};

/// A catalog that nobody has looked at yet.
#[derive(Debug, Default)]
pub struct Draft {
    /// Where the tool says it is.
    pub upstream: Option<String>,
    /// What it can do, by name.
    pub actions: BTreeMap<String, Drafted>,
    /// What a catalog cannot say, each with the reason.
    pub left_out: Vec<String>,
}

/// One action, as far as could be guessed.
#[derive(Debug)]
pub struct Drafted {
    /// Which calls it is.
    pub calls: Calls,
    /// What it does.
    pub effect: Effect,
    /// What that was guessed from.
    pub because: String,
    /// What it acts on.
    pub resource: String,
    /// Argument values for policies, by name.
    pub facts: BTreeMap<String, Fact>,
    /// Arguments that do harm if a stranger chose them.
    pub sinks: Vec<Sink>,
    /// What its answer brings.
    pub yields: Vec<Yield>,
    /// What the tool says it is for, in a line.
    pub about: String,
}

/// Which calls an action is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Calls {
    /// A method and a path.
    Http {
        /// `POST`.
        method: String,
        /// `/repos/{owner}/{repo}/issues`.
        path: String,
    },
    /// A tool of an MCP server.
    Mcp(String),
}

/// Where an argument value is, and of which type.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fact {
    /// `path:owner`, `query:state`, `body:/title`.
    pub at: String,
    /// Its type.
    pub kind: FactType,
}

/// Where such an argument is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sink {
    /// `path:owner`, `query:url`, `body:/to`.
    pub at: String,
    /// What it is.
    pub kind: SinkKind,
}

/// What part of an answer brings which label.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Yield {
    /// A JSON pointer; the empty one is the whole answer.
    pub at: String,
    /// Which.
    pub label: Label,
    /// What that was guessed from.
    pub because: String,
}

impl Draft {
    /// Takes the action up under this name, or the next one that is free.
    fn add(&mut self, name: &str, action: Drafted) {
        // The door calls by this name what no catalog knows.
        let name = if name.is_empty() || name == "unclassified" { "call" } else { name };
        let free = |name: &String| !self.actions.contains_key(name);
        // Of one more than there are, one is free.
        let all = self.actions.len() + 2;
        let numbered = || (2..=all).map(|number| format!("{name}-{number}")).find(free);
        let name = Some(name.to_owned()).filter(free).or_else(numbered).unwrap_or_default();
        self.actions.insert(name, action);
    }
}
