//! A catalog as it is written.

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
    pub(super) matches: String,
    pub(super) effect: Effect,
    pub(super) resource: String,
    #[serde(default)]
    pub(super) scope: BTreeMap<String, Value>,
    #[serde(default)]
    pub(super) facts: BTreeMap<String, FactFile>,
    #[serde(default)]
    pub(super) body: BodyRule,
    #[serde(default)]
    pub(super) sinks: Vec<SinkFile>,
    #[serde(default)]
    pub(super) yields: Vec<YieldFile>,
    #[serde(default)]
    pub(super) rewrite: Vec<String>,
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
