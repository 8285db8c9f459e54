//! A draft from a plain list of tools, such as an MCP server gives.

use std::collections::BTreeMap;

use super::{Calls, Draft, Drafted, Fact, Sink, Yield, guess, name};
use crate::model::SinkKind;
use crate::model::{Effect, Label};
use crate::understand::FactType;

/// A tool as a list names it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// What it is called by.
    pub name: String,
    /// What it is said to be allowed.
    pub permission: Permission,
    /// The names of its arguments.
    pub arguments: Vec<String>,
    /// What it is for, in a line; may be empty.
    pub about: String,
}

/// What a tool is said to be allowed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Permission {
    /// To look.
    Read,
    /// To change something.
    Write,
    /// To run something.
    Execute,
}

/// Drafts an action for each tool. A `tools/call` of MCP carries the arguments in `params.arguments`, so they are read there.
pub fn from_tools(tools: &[Listed]) -> Draft {
    let mut draft = Draft::default();
    for tool in tools {
        let drafted = drafted(tool);
        draft.add(&name::of_operation(&tool.name, None), drafted);
    }
    draft
}

fn drafted(tool: &Listed) -> Drafted {
    let (least, said) = match tool.permission {
        Permission::Read => (Effect::Read, "listed as reading"),
        Permission::Write => (Effect::Write, "listed as writing"),
        Permission::Execute => (Effect::Execute, "listed as executing"),
    };
    let words = name::words(&tool.name);
    let (effect, because) = guess::effect((least, said), &words, least == Effect::Write);
    let mut facts = BTreeMap::new();
    let mut sinks = Vec::new();
    for argument in &tool.arguments {
        let at = format!("body:/params/arguments/{}", argument.replace('~', "~0").replace('/', "~1"));
        let Some(kind) = guess::sink(argument, None) else { continue };
        if kind != SinkKind::Text {
            facts.insert(name::words(argument).join("_"), Fact { at: at.clone(), kind: FactType::String });
        }
        if !effect.is_read() || kind == SinkKind::Destination {
            sinks.push(Sink { at, kind });
        }
    }
    Drafted {
        calls: Calls::Mcp(tool.name.clone()),
        effect,
        because,
        resource: tool.name.clone(),
        facts,
        sinks,
        yields: yields(effect, &words),
        about: tool.about.clone(),
    }
}

/// Nothing is known of the answer, so all of it may be anybody's words.
pub(super) fn yields(effect: Effect, words: &[String]) -> Vec<Yield> {
    let whole = |label, because: String| Yield { at: String::new(), label, because };
    let untrusted = whole(Label::Untrusted, "nothing is said of the answer".to_owned());
    let private = guess::private(words).filter(|_| effect.is_read());
    let private = private.map(|word| whole(Label::Private, format!("`{word}`")));
    [untrusted].into_iter().chain(private).collect()
}
