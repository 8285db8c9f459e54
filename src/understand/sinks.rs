//! Where a call is aimed: the values in the sinks that the catalog names.

use std::sync::Arc;

use serde::Deserialize;

use super::values::{Found, Place, Readable, Values};
use super::{Error, json};
use crate::model::{Aimed, Critical, SinkKind, entities};

/// Values that a sink may hold.
const MOST: usize = 256;

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
        let mut texts = Vec::new();
        match &self.place {
            Place::Body(pointer) => each(pointer, values, &mut texts)?,
            Place::Path(_) | Place::Query(_) => {
                texts.extend(self.place.read(values)?.map(|found| match found {
                    Found::Plain(text) | Found::Json(text) => text,
                }));
            }
        }
        if texts.len() > MOST || texts.iter().map(String::len).sum::<usize>() > LONGEST {
            return Err(Error::Unclear(format!("`{}` holds more than can be judged", self.name)));
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

/// Every scalar below a pointer of which some steps may be any.
fn each(pointer: &str, values: &Values<'_>, texts: &mut Vec<String>) -> Result<(), Error> {
    let (before, behind) = match pointer.split_once("/*") {
        Some((before, behind)) if behind.is_empty() || behind.starts_with('/') => (before, Some(behind)),
        Some(_) | None => (pointer, None),
    };
    let found = match Place::Body(before.to_owned()).read(values)? {
        Some(Found::Json(raw)) => raw,
        Some(Found::Plain(_)) | None => return Ok(()),
    };
    let Some(behind) = behind else {
        return scalars(&found, texts);
    };
    for raw in json::children(&found) {
        match behind {
            "" => scalars(raw, texts)?,
            behind => each(behind, &Values { body: Some(raw.as_bytes()), ..*values }, texts)?,
        }
    }
    Ok(())
}

/// Every string, number and truth in a JSON text.
fn scalars(raw: &str, texts: &mut Vec<String>) -> Result<(), Error> {
    if raw.starts_with(['{', '[']) {
        return json::children(raw).into_iter().try_for_each(|child| scalars(child, texts));
    }
    if raw == "null" {
        return Ok(());
    }
    let text = if raw.starts_with('"') {
        json::text(raw).ok_or_else(|| Error::Unclear("a string of the body cannot be read".to_owned()))?
    } else {
        raw.to_owned()
    };
    texts.push(text);
    Ok(())
}
