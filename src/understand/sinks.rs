//! Where a call is aimed: the values in the sinks that the catalog names.

use std::sync::Arc;

use serde::Deserialize;

use super::values::{Found, Place, Readable, Values};
use super::{Error, json};
use crate::model::{Aimed, Critical, SinkKind, entities};

/// Values that a sink may hold.
const MOST: usize = 256;

/// Objects, arrays and members that are gone through to find them.
const GONE_THROUGH: usize = 4_096;

/// Bytes of a sink's text that are looked through.
const LONGEST: usize = 256 * 1024;

/// A sink as the catalog says it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SinkFile {
    at: String,
    kind: SinkKind,
    of: Option<String>,
}

/// Where a value goes that matters.
#[derive(Debug)]
pub struct Sink {
    name: Arc<str>,
    place: Place,
    kind: SinkKind,
    of: Option<Arc<str>>,
}

impl Sink {
    /// From the catalog; an error if nothing could ever stand there.
    pub fn new(file: SinkFile, readable: &Readable<'_>) -> Result<Self, String> {
        let place = Place::parse(&file.at)?;
        place.check(readable)?;
        Ok(Self { name: file.at.into(), place, kind: file.kind, of: file.of.map(Into::into) })
    }

    /// Whether it is in the body.
    pub fn reads_body(&self) -> bool {
        match self.place {
            Place::Body(_) => true,
            Place::Path(_) | Place::Query(_) => false,
        }
    }

    /// What of it somebody must stand behind in this call; nothing if there is nothing in it.
    pub fn critical(&self, values: &Values<'_>) -> Result<Option<Critical>, Error> {
        let too_much = || Error::Unclear(format!("`{}` holds more than can be judged", self.name));
        let mut texts = Vec::new();
        match &self.place {
            Place::Body(pointer) => {
                let body = values.json()?.map(|body| json::at(body, "")).transpose().map_err(Error::Unclear)?.flatten();
                if let Some(body) = body {
                    let mut walk = Walk { texts, left: GONE_THROUGH };
                    walk.each(body, pointer).map_err(|stop| stop.map_or_else(too_much, Error::Unclear))?;
                    texts = walk.texts;
                }
            }
            Place::Path(_) | Place::Query(_) => {
                texts.extend(self.place.read(values)?.map(|found| match found {
                    Found::Plain(text) | Found::Json(text) => text,
                }));
            }
        }
        if texts.len() > MOST || texts.iter().map(String::len).sum::<usize>() > LONGEST {
            return Err(too_much());
        }
        let aimed: Vec<Aimed> = match self.kind {
            SinkKind::Text => {
                texts.iter().flat_map(|text| entities(text)).filter_map(|entity| Aimed::new(&entity)).collect()
            }
            SinkKind::Destination | SinkKind::Object | SinkKind::Words | SinkKind::Source => {
                texts.iter().filter_map(|text| Aimed::new(text)).collect()
            }
        };
        let critical = Critical { sink: self.name.clone(), kind: self.kind, of: self.of.clone(), values: aimed };
        Ok((!critical.values.is_empty()).then_some(critical))
    }
}

/// The way to every scalar below a pointer of which some steps may be any. What has another shape than the pointer says is
/// not passed over: servers read a list where one is meant, an object for a list, and an address for an object that holds one.
struct Walk {
    texts: Vec<String>,
    left: usize,
}

/// Why a walk ends: what is unclear, or nothing if it is too much.
type Stop = Option<String>;

impl Walk {
    fn each(&mut self, raw: &str, pointer: &str) -> Result<(), Stop> {
        let Some((step, behind)) = next_step(pointer) else { return self.scalars(raw) };
        let is_list = raw.starts_with('[');
        let has_steps = if is_list { step == "*" || step.parse::<usize>().is_ok() } else { raw.starts_with('{') };
        if !has_steps {
            return self.scalars(raw);
        }
        if step == "*" {
            return self.members(raw, |walk, (_, member)| walk.each(member, behind));
        }
        match json::at(raw.as_bytes(), &format!("/{step}"))? {
            Some(found) => self.each(found, behind),
            None => Ok(()),
        }
    }

    /// Every string, number and truth in a JSON text; and what leads somewhere in the names of its members.
    fn scalars(&mut self, raw: &str) -> Result<(), Stop> {
        if raw.starts_with(['{', '[']) {
            return self.members(raw, |walk, (name, member)| {
                walk.texts.extend(name.iter().flat_map(|name| entities(name)));
                walk.scalars(member)
            });
        }
        if raw == "null" {
            return Ok(());
        }
        let text = if raw.starts_with('"') {
            json::text(raw).ok_or_else(|| "a string of the body cannot be read".to_owned())?
        } else {
            raw.to_owned()
        };
        self.texts.push(text);
        if self.texts.len() > MOST { Err(None) } else { Ok(()) }
    }

    fn members(
        &mut self,
        raw: &str,
        mut visit: impl FnMut(&mut Self, json::Member<'_>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let members = json::members(raw, self.left).ok_or(None)?;
        self.left -= members.len();
        members.into_iter().try_for_each(|member| visit(self, member))
    }
}

fn next_step(pointer: &str) -> Option<(&str, &str)> {
    let rest = pointer.strip_prefix('/')?;
    Some(rest.find('/').map_or((rest, ""), |end| rest.split_at(end)))
}
