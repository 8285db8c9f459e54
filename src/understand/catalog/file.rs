//! A catalog as it is written: one TOML file, unknown keys are errors.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::super::sinks::SinkFile;
use super::FactType;
use crate::model::{BodyRule, Effect, Field, Label, NotAPointer, Pointer};

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
    at: String,
    label: Label,
}

impl YieldFile {
    pub(super) fn field(self) -> Result<Field, String> {
        let Self { at, label } = self;
        let whole = at.is_empty().then(Pointer::whole);
        let at = whole.map_or_else(|| at.parse().map_err(|why: NotAPointer| format!("`yields`: {why}")), Ok)?;
        Ok(Field { at, label })
    }
}
