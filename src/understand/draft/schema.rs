//! What a specification says of one value: its type, its format, what is in it. References are followed.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::understand::FactType;

/// References that are followed from one place, at most: they may go round.
const HOPS: usize = 8;

/// How deep an answer is looked into.
const DEEP: usize = 4;

/// A specification, to follow references in.
#[derive(Clone, Copy)]
pub(super) struct Spec<'a>(pub(super) &'a Value);

impl<'a> Spec<'a> {
    /// What stands there, or where it refers to.
    pub(super) fn resolve(self, mut value: &'a Value) -> &'a Value {
        for _ in 0..HOPS {
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else { break };
            let Some(found) = reference.strip_prefix('#').and_then(|pointer| self.0.pointer(pointer)) else { break };
            value = found;
        }
        value
    }

    /// The members of an object, also where it is put together of several.
    pub(super) fn members(self, schema: &'a Value) -> BTreeMap<&'a str, &'a Value> {
        let mut found = BTreeMap::new();
        self.collect(schema, HOPS, &mut found);
        found
    }

    fn collect(self, schema: &'a Value, hops: usize, found: &mut BTreeMap<&'a str, &'a Value>) {
        let schema = self.resolve(schema);
        let own = schema.get("properties").and_then(Value::as_object);
        for (name, member) in own.into_iter().flatten() {
            found.entry(name.as_str()).or_insert(member);
        }
        let parts = ["allOf", "oneOf", "anyOf"].into_iter().filter_map(|key| schema.get(key)?.as_array());
        for part in parts.flatten().filter(|_| hops > 0) {
            self.collect(part, hops - 1, found);
        }
    }

    /// The type a policy can compare it by, if it always has one.
    pub(super) fn kind(self, schema: &'a Value) -> Option<FactType> {
        let schema = self.resolve(schema);
        if schema.get("nullable").and_then(Value::as_bool) == Some(true) {
            return None;
        }
        match schema.get("type") {
            Some(Value::String(kind)) => match kind.as_str() {
                "string" => Some(FactType::String),
                "integer" => Some(FactType::Long),
                "boolean" => Some(FactType::Bool),
                // Cedar's decimal holds four digits behind the point; a call with five would be refused.
                _ => None,
            },
            Some(_) => None,
            None => {
                let all =
                    |key: &str| Some(schema.get(key)?.as_array()?.iter().map(|part| self.kind_of_part(part)).collect());
                let kinds: Vec<Option<FactType>> = all("oneOf").or_else(|| all("anyOf"))?;
                let scalar = kinds.iter().all(|kind| matches!(kind, Some(FactType::String | FactType::Long)));
                (scalar && !kinds.is_empty()).then_some(FactType::String)
            }
        }
    }

    fn kind_of_part(self, part: &'a Value) -> Option<FactType> {
        let part = self.resolve(part);
        part.get("type").and_then(|_| self.kind(part))
    }

    /// Its format.
    pub(super) fn format(self, schema: &'a Value) -> Option<&'a str> {
        self.resolve(schema).get("format").and_then(Value::as_str)
    }

    /// Whether it is one of a few words.
    pub(super) fn is_chosen(self, schema: &'a Value) -> bool {
        self.resolve(schema).get("enum").is_some()
    }

    /// Pointers to the strings of an answer that somebody may have written: not dates, addresses, ids or chosen words.
    pub(super) fn strings(self, schema: &'a Value) -> Vec<(String, &'a str)> {
        let mut found = Vec::new();
        self.look(schema, (String::new(), ""), DEEP, &mut found);
        found
    }

    fn look(self, schema: &'a Value, at: (String, &'a str), deep: usize, found: &mut Vec<(String, &'a str)>) {
        let schema = self.resolve(schema);
        if let Some(items) = schema.get("items").filter(|_| deep > 0) {
            self.look(items, (format!("{}/*", at.0), at.1), deep - 1, found);
        }
        let members = self.members(schema);
        for (name, member) in members.iter().filter(|_| deep > 0) {
            let escaped = name.replace('~', "~0").replace('/', "~1");
            self.look(member, (format!("{}/{escaped}", at.0), name), deep - 1, found);
        }
        let says =
            |text: &Value| text == "string" || text.as_array().is_some_and(|all| all.iter().any(|one| one == "string"));
        let plain = schema.get("type").is_some_and(says) && !self.is_chosen(schema) && schema.get("const").is_none();
        if plain && matches!(self.format(schema), None | Some("html" | "markdown" | "password" | "byte" | "binary")) {
            found.push(at);
        }
    }
}
