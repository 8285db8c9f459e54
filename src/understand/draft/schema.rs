//! What a specification says of one value: its type, its format, what is in it. References are followed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::understand::FactType;

/// References that are followed from one place, at most: they may go round.
const HOPS: usize = 8;

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

    /// Where a reference leads that does not lead anywhere here.
    pub(super) fn astray(self, value: &'a Value) -> Option<&'a str> {
        self.resolve(value).get("$ref").and_then(Value::as_str)
    }

    /// A schema and all that it is put together of, each once.
    pub(super) fn parts(self, schema: &'a Value) -> Vec<&'a Value> {
        let (mut found, mut seen, mut next) = (Vec::new(), BTreeSet::new(), vec![schema]);
        while let Some(part) = next.pop() {
            if !seen.insert(std::ptr::from_ref(part)) {
                continue;
            }
            found.push(part);
            // What stands beside a reference holds as well, since 3.1.
            let referred = self.resolve(part);
            let parts = ["oneOf", "anyOf", "allOf"].into_iter().filter_map(|key| part.get(key)?.as_array());
            next.extend(parts.flat_map(|parts| parts.iter().rev()).chain([referred]));
        }
        found
    }

    /// The members of an object, also where it is put together of several.
    pub(super) fn members(self, schema: &'a Value) -> BTreeMap<&'a str, &'a Value> {
        let mut found = BTreeMap::new();
        for part in self.parts(schema) {
            for (name, member) in part.get("properties").and_then(Value::as_object).into_iter().flatten() {
                found.entry(name.as_str()).or_insert(member);
            }
        }
        found
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
}

/// Whether the specification itself holds all values that there are.
pub(super) fn is_chosen(schema: &Value) -> bool {
    schema.get("enum").or_else(|| schema.get("const")).is_some()
}

/// A pointer to a member of what this one leads to (RFC 6901).
pub(super) fn child(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}
