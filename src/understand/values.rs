//! Where in a call a value stands, and how it is read from there: exactly, or not at all.

use std::collections::BTreeMap;

use serde_json::Value;

use super::catalog::FactType;
use super::target::Target;
use super::{Error, json};
use crate::model::Argument;

/// Where the values of a call come from.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    /// The target as it stands.
    pub target: &'a Target,
    /// The path's parameters, decoded.
    pub path: &'a BTreeMap<String, String>,
    /// The body, if it is JSON.
    pub body: Option<&'a [u8]>,
    /// There is no body.
    pub empty: bool,
}

/// What of an action's calls is there to be read when they are judged.
#[derive(Debug)]
pub struct Readable<'a> {
    /// The names of the path's parameters.
    pub parameters: Vec<&'a str>,
    /// The body is.
    pub body: bool,
}

impl<'a> Values<'a> {
    /// The body, if there is one; an error if it is not JSON.
    pub fn json(&self) -> Result<Option<&'a [u8]>, Error> {
        if self.body.is_none() && !self.empty {
            return Err(Error::TypeUnknown(
                "the catalog reads values from this body; send it as `application/json`".to_owned(),
            ));
        }
        Ok(self.body)
    }
}

/// Where in a call a value stands: `path:owner`, `query:state`, `body:/title`.
#[derive(Debug)]
pub enum Place {
    Path(String),
    Query(String),
    Body(String),
}

/// A value as it was found: its text, and whether the text is JSON's.
pub enum Found {
    Plain(String),
    Json(String),
}

impl Place {
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("path", name)) => Ok(Self::Path(name.to_owned())),
            Some(("query", name)) => Ok(Self::Query(name.to_owned())),
            Some(("body", pointer)) if pointer.starts_with('/') => Ok(Self::Body(pointer.to_owned())),
            _ => Err(format!("`{text}` is no place; write `path:name`, `query:name` or `body:/pointer`")),
        }
    }

    /// An error, if it would never be there.
    pub fn check(&self, readable: &Readable<'_>) -> Result<(), String> {
        match self {
            Self::Path(name) if !readable.parameters.contains(&name.as_str()) => {
                Err(format!("`match` has no `{{{name}}}`"))
            }
            Self::Body(pointer) if !readable.body => {
                Err(format!("`body:{pointer}` cannot be read, because the body is not read before the call is judged"))
            }
            Self::Path(_) | Self::Query(_) | Self::Body(_) => Ok(()),
        }
    }

    pub fn read(&self, values: &Values<'_>) -> Result<Option<Found>, Error> {
        match self {
            Self::Path(name) => Ok(values.path.get(name).cloned().map(Found::Plain)),
            Self::Query(name) => {
                let value = values.target.query(name).map_err(Error::Unclear)?;
                Ok(value.map(|value| Found::Plain(value.to_owned())))
            }
            Self::Body(pointer) => {
                let Some(body) = values.json()? else { return Ok(None) };
                let found = json::at(body, pointer).map_err(Error::Unclear)?;
                Ok(found.map(|raw| Found::Json(raw.to_owned())))
            }
        }
    }
}

/// The value as the type wants it; nothing if it is not of that type, or if the tool could read another from it.
pub fn argument(kind: FactType, found: &Found) -> Option<Argument> {
    let text = match found {
        Found::Plain(text) => text.clone(),
        Found::Json(raw) if raw.starts_with('"') => json::text(raw)?,
        Found::Json(raw) if raw.starts_with(['{', '[']) || raw == "null" => return None,
        Found::Json(raw) if matches!(raw.as_str(), "true" | "false") => raw.clone(),
        Found::Json(raw) => {
            let one_way = if kind == FactType::String { json::is_shortest(raw) } else { json::is_kept(raw) };
            one_way.then(|| raw.clone())?
        }
    };
    match kind {
        FactType::String => Some(Argument::Text(text)),
        // `007`, `+7` and `-0` are numbers to some.
        FactType::Long => text.parse().ok().filter(|long: &i64| long.to_string() == text).map(Argument::Long),
        FactType::Bool => text.parse().ok().map(Argument::Bool),
        FactType::Decimal => decimal(&text).map(Argument::Decimal),
    }
}

/// Text that Cedar's `decimal` takes: digits, a point, one to four digits.
fn decimal(text: &str) -> Option<String> {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    match unsigned.split_once('.') {
        Some((whole, part)) if digits(whole) && digits(part) && part.len() <= 4 && whole.len() <= 14 => {
            Some(text.to_owned())
        }
        None if digits(unsigned) && unsigned.len() <= 14 => Some(format!("{text}.0")),
        Some(_) | None => None,
    }
}

/// Text with `{name}` for the path's parameters, `{query:name}` and `{body:/pointer}` for other values.
#[derive(Debug)]
pub struct Template(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(String),
    Value { name: String, place: Place },
}

impl Template {
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            let (name, behind) =
                behind.split_once('}').ok_or_else(|| format!("`{text}` opens a brace and does not close it"))?;
            let place = if name.contains(':') {
                Place::parse(name)?
            } else {
                Place::Path(name.trim_start_matches('*').to_owned())
            };
            parts.push(Part::Text(before.to_owned()));
            parts.push(Part::Value { name: name.to_owned(), place });
            rest = behind;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self(parts))
    }

    /// One of the path's parameters, and nothing else.
    pub fn of_parameter(name: &str) -> Self {
        Self(vec![Part::Value { name: name.to_owned(), place: Place::Path(name.to_owned()) }])
    }

    /// An error, if it names what would never be there.
    pub fn check(&self, readable: &Readable<'_>) -> Result<(), String> {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(_) => Ok(()),
            Part::Value { place, .. } => place.check(readable),
        })
    }

    pub fn fill(&self, values: &Values<'_>) -> Result<String, Error> {
        let several = self.0.iter().filter(|part| matches!(part, Part::Value { .. })).count() > 1;
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Value { name, place } => {
                    let found = place.read(values)?.and_then(|found| argument(FactType::String, &found));
                    let Some(Argument::Text(value)) = found else {
                        return Err(Error::Unclear(format!(
                            "the request holds no `{name}`, which names what it acts on"
                        )));
                    };
                    // `a/b` + `c` and `a` + `b/c` would name the same thing.
                    if several && value.contains('/') {
                        return Err(Error::Unclear(format!(
                            "`{name}` may hold no slash, because it is one part of a resource's name"
                        )));
                    }
                    text.push_str(&value);
                }
            }
        }
        Ok(text)
    }
}

/// An error, if a text in it can never be filled in.
pub fn check(value: &Value, readable: &Readable<'_>) -> Result<(), String> {
    match value {
        Value::String(text) => Template::parse(text)?.check(readable),
        Value::Array(items) => items.iter().try_for_each(|item| check(item, readable)),
        Value::Object(members) => members.values().try_for_each(|item| check(item, readable)),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

pub fn fill(value: &Value, values: &Values<'_>) -> Result<Value, Error> {
    Ok(match value {
        Value::String(text) => Value::String(Template::parse(text).map_err(Error::Unclear)?.fill(values)?),
        Value::Array(items) => Value::Array(items.iter().map(|item| fill(item, values)).collect::<Result<_, _>>()?),
        Value::Object(members) => Value::Object(
            members.iter().map(|(key, item)| Ok((key.clone(), fill(item, values)?))).collect::<Result<_, Error>>()?,
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    })
}
