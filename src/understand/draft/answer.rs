//! What of an answer somebody may have written, as far as its schema tells; and whether the schema tells all.

use std::collections::BTreeMap;

use serde_json::Value;

use super::schema::{Spec, child, is_chosen};

/// How deep an answer is looked into.
const DEEP: usize = 5;

/// Schemas that are put together of others, at most so often: they may go round.
const HOPS: usize = 16;

/// Schemas of one answer that are looked at.
const LOOKS: usize = 20_000;

/// What a schema can hold that is more than it says in the ways that are read here.
const UNREAD: [&str; 7] =
    ["$dynamicRef", "$recursiveRef", "if", "then", "else", "dependentSchemas", "unevaluatedItems"];

/// The strings of an answer: not dates, ids or chosen words.
pub(super) struct Strings<'a> {
    /// Pointers to them, each with the name of its field.
    pub(super) found: BTreeMap<String, &'a str>,
    /// A place where there may be more of them, which nothing describes.
    pub(super) beyond: Option<String>,
    spec: Spec<'a>,
    looks: usize,
}

impl<'a> Strings<'a> {
    /// Those of answers of these schemas.
    pub(super) fn of(spec: Spec<'a>, schemas: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut strings = Self { found: BTreeMap::new(), beyond: None, spec, looks: LOOKS };
        for schema in schemas {
            strings.look(schema, (String::new(), ""), DEEP);
        }
        strings
    }

    fn look(&mut self, schema: &'a Value, (at, name): (String, &'a str), deep: usize) {
        let said = self.said(schema, HOPS);
        let Some(kinds) = said.kinds.filter(|_| said.members && said.items && self.looks > 0) else {
            self.is_not_all(&at);
            // What is described is named all the same.
            return self.inside(schema, &at, name, deep);
        };
        if said.is_text() {
            self.found.insert(at.clone(), name);
        }
        if kinds & (OBJECT | ARRAY) != 0 {
            self.inside(schema, &at, name, deep);
        }
    }

    fn inside(&mut self, schema: &'a Value, at: &str, name: &'a str, deep: usize) {
        if deep == 0 || self.looks == 0 {
            return self.is_not_all(at);
        }
        for part in self.spec.parts(schema) {
            for (name, member) in part.get("properties").and_then(Value::as_object).into_iter().flatten() {
                self.look(member, (child(at, name), name), deep - 1);
            }
            let map = |key: &str| part.get(key).filter(|rest| **rest != Value::Bool(false));
            let rest = ["additionalProperties", "unevaluatedProperties"].into_iter().filter_map(map);
            let patterns = part.get("patternProperties").and_then(Value::as_object).into_iter().flatten();
            for member in rest.chain(patterns.map(|(_, member)| member)) {
                // The names of its members may be anybody's, too.
                self.is_not_all(at);
                self.look(member, (format!("{at}/*"), name), deep - 1);
            }
            for items in ["items", "prefixItems"].into_iter().filter_map(|key| part.get(key)) {
                for items in items.as_array().map_or(std::slice::from_ref(items), Vec::as_slice) {
                    self.look(items, (format!("{at}/*"), name), deep - 1);
                }
            }
            if UNREAD.iter().any(|key| part.get(key).is_some()) {
                self.is_not_all(at);
            }
        }
    }

    fn is_not_all(&mut self, at: &str) {
        self.beyond.get_or_insert_with(|| at.to_owned());
    }

    fn said(&mut self, schema: &'a Value, hops: usize) -> Said {
        self.looks = self.looks.saturating_sub(1);
        let schema = self.spec.resolve(schema);
        if hops == 0 || self.looks == 0 || schema.get("$ref").is_some() {
            return Said::NOTHING;
        }
        let mut said = Said::itself(schema);
        for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            said = said.and(self.said(part, hops - 1));
        }
        for key in ["anyOf", "oneOf"] {
            let parts = schema.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let one = parts.iter().map(|part| self.said(part, hops - 1)).reduce(Said::or);
            said = one.map_or(said, |one| said.and(one));
        }
        said
    }
}

const STRING: u8 = 1;
const OBJECT: u8 = 2;
const ARRAY: u8 = 4;
const OTHER: u8 = 8;

/// What a schema says of one place, without what lies deeper.
#[derive(Clone, Copy)]
struct Said {
    /// The kinds of values that may stand there, if it says so.
    kinds: Option<u8>,
    /// No object may, or its members are described.
    members: bool,
    /// No array may, or its items are described.
    items: bool,
    /// A string there may hold anything.
    plain: bool,
}

impl Said {
    const NOTHING: Self = Self { kinds: None, members: false, items: false, plain: true };

    /// None but what the specification itself holds, or none at all.
    const CHOSEN: Self = Self { kinds: Some(0), members: true, items: true, plain: false };

    fn itself(schema: &Value) -> Self {
        if *schema == Value::Bool(false) || is_chosen(schema) {
            return Self::CHOSEN;
        }
        let kinds = match schema.get("type") {
            Some(Value::Array(all)) => all.iter().map(kind).try_fold(0, |kinds, kind| Some(kinds | kind?)),
            Some(one) => kind(one),
            None => None,
        };
        let described = |keys: &[&str]| keys.iter().any(|key| schema.get(key).is_some_and(|said| !is_empty(said)));
        let never = |kind: u8| kinds.is_some_and(|kinds| kinds & kind == 0);
        let format = schema.get("format").and_then(Value::as_str);
        Self {
            kinds,
            members: never(OBJECT) || described(&["properties", "patternProperties", "additionalProperties"]),
            items: never(ARRAY) || described(&["items", "prefixItems"]),
            plain: !matches!(format, Some("date" | "date-time" | "time" | "duration" | "uuid" | "ipv4" | "ipv6")),
        }
    }

    /// Both hold.
    fn and(self, other: Self) -> Self {
        let kinds = match (self.kinds, other.kinds) {
            (Some(one), Some(two)) if one & two != 0 => Some(one & two),
            // Nothing could be both: rather either.
            (Some(one), Some(two)) => Some(one | two),
            (one, two) => one.or(two),
        };
        Self {
            kinds,
            members: self.members || other.members,
            items: self.items || other.items,
            plain: self.plain && other.plain,
        }
    }

    /// One of both holds.
    fn or(self, other: Self) -> Self {
        Self {
            kinds: self.kinds.zip(other.kinds).map(|(one, two)| one | two),
            members: self.members && other.members,
            items: self.items && other.items,
            plain: self.is_text() || other.is_text(),
        }
    }

    fn is_text(self) -> bool {
        self.plain && self.kinds.is_none_or(|kinds| kinds & STRING != 0)
    }
}

/// Empty `properties` describe nothing.
fn is_empty(said: &Value) -> bool {
    said.as_object().is_some_and(serde_json::Map::is_empty) || said.as_array().is_some_and(Vec::is_empty)
}

fn kind(name: &Value) -> Option<u8> {
    match name.as_str()? {
        "string" => Some(STRING),
        "object" => Some(OBJECT),
        "array" => Some(ARRAY),
        "integer" | "number" | "boolean" | "null" => Some(OTHER),
        _ => None,
    }
}
