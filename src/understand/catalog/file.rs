//! A catalog as it is written: one TOML file, unknown keys are errors.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::FactType;
use crate::model::{BodyRule, Effect, Label};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) actions: BTreeMap<String, ActionFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ActionFile {
    #[serde(rename = "match")]
    pub(super) matches: MatchFile,
    pub(super) effect: Effect,
    pub(super) resource: String,
    #[serde(default)]
    pub(super) scope: BTreeMap<String, Value>,
    #[serde(default)]
    pub(super) facts: BTreeMap<String, FactFile>,
    #[serde(default)]
    pub(super) body: BodyRule,
    #[serde(default)]
    pub(super) yields: Vec<YieldFile>,
    #[serde(default)]
    pub(super) sinks: Vec<SinkFile>,
    #[serde(default)]
    pub(super) rewrite: Vec<String>,
}

/// A method and a path, or several that do the same.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum MatchFile {
    One(String),
    Several(Vec<String>),
}

impl MatchFile {
    /// Each as a method and a path.
    pub(super) fn pairs(&self) -> Result<Vec<(&str, &str)>, String> {
        let all = match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(all) if all.is_empty() => return Err("`match` names no call".to_owned()),
            Self::Several(all) => all,
        };
        let no_pair = |one: &String| format!("`match` is a method, a space and a path, and `{one}` is not");
        all.iter().map(|one| one.split_once(' ').ok_or_else(|| no_pair(one))).collect()
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum FactFile {
    At(String),
    Typed(TypedFactFile),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TypedFactFile {
    pub(super) at: String,
    #[serde(rename = "type", default)]
    pub(super) kind: FactType,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct YieldFile {
    #[serde(rename = "at")]
    _at: String,
    pub(super) label: Label,
}

/// An argument that does harm if a stranger chose it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SinkFile {
    pub(super) at: String,
    #[serde(rename = "kind")]
    pub(super) _kind: SinkKind,
}

/// What such an argument is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "lowercase")]
pub enum SinkKind {
    /// Who or what gets something: an address, a channel, a URL.
    Destination,
    /// What is acted on.
    Object,
    /// What is said.
    Text,
}

impl SinkKind {
    /// As catalogs name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Destination => "destination",
            Self::Object => "object",
            Self::Text => "text",
        }
    }
}
