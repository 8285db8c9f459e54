//! A record as bytes: the leaf that stays for ever, and the payload that can be erased without breaking the tree.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::tiles::leaf_hash;
use super::{Event, Record, StoreError};
use crate::model::{CallId, Digest, TaskId, Timestamp};

/// Bytes an entry may have: its length is written in 16 bits where entries are served (C2SP tlog-tiles).
pub const MAX_ENTRY: usize = 65_535;

/// Bytes the private fields of a record may have: an agent chooses some of them, and a record is no place to keep a body.
pub const MAX_PAYLOAD: usize = 256 * 1024;

/// A record, ready to be stored.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Encoded {
    /// RFC 6962 leaf hash of `entry`.
    pub leaf: Digest,
    /// The exact bytes the tree is over: compact JSON.
    pub entry: Vec<u8>,
    /// The salt and the private fields; `None` if the record has no private field.
    pub payload: Option<Vec<u8>>,
}

/// Writes a record down.
///
/// The leaf is `{"v":1,"kind":…,"at":…,"call":…,"task":…, the event's fields, "private":{name: base64 commitment}}`, the
/// payload `{"salt":…,"fields":{name: value}}`. Fails if the leaf has more than [`MAX_ENTRY`] bytes, or the payload more
/// than [`MAX_PAYLOAD`].
pub fn encode(record: &Record, salt: &[u8; 32]) -> Result<Encoded, StoreError> {
    let (payload, private) = conceal(&record.private, salt)?;
    let entry = match &record.event {
        Event::Loaded(event) => leaf(record, event, private),
        Event::Permitted(event) => leaf(record, event, private),
        Event::Refused(event) => leaf(record, event, private),
        Event::Minted(event) => leaf(record, event, private),
        Event::Ended(event) => leaf(record, event, private),
        Event::Settled(event) => leaf(record, event, private),
        Event::Opened(event) => leaf(record, event, private),
        Event::Closed(event) => leaf(record, event, private),
        Event::Repeated(event) => leaf(record, event, private),
        Event::Erased(event) => leaf(record, event, private),
        Event::Asked(event) => leaf(record, event, private),
        Event::Resolved(event) => leaf(record, event, private),
        Event::Amended(event) => leaf(record, event, private),
        Event::Quarantined(event) => leaf(record, event, private),
        Event::Released(event) => leaf(record, event, private),
        Event::GlassBroken(event) => leaf(record, event, private),
        Event::Reviewed(event) => leaf(record, event, private),
        Event::NotLoaded(event) => leaf(record, event, private),
        Event::Learned(event) => leaf(record, event, private),
        Event::Ratified(event) => leaf(record, event, private),
        Event::Reset(event) => leaf(record, event, private),
    }?;
    if entry.len() > MAX_ENTRY {
        return Err(StoreError::TooLong { bytes: entry.len(), most: MAX_ENTRY });
    }
    if let Some(bytes) = payload.as_ref().map(Vec::len).filter(|bytes| *bytes > MAX_PAYLOAD) {
        return Err(StoreError::TooLong { bytes, most: MAX_PAYLOAD });
    }
    Ok(Encoded { leaf: leaf_hash(&entry), entry, payload })
}

/// What a leaf holds in place of a private value: SHA-256(SHA-256(salt ‖ name) ‖ 0x00 ‖ value as compact JSON).
///
/// The inner hash can be handed to somebody to show one field, and tells nothing about the others.
pub fn commitment(salt: &[u8], name: &str, value: &[u8]) -> Digest {
    let field_salt = sha256(&[salt, name.as_bytes()]);
    sha256(&[&field_salt.0, &[0x00], value])
}

/// A payload as it was stored; each value as the very bytes that were committed to.
#[derive(Debug, Deserialize)]
pub struct Payload {
    /// The record's salt, base64.
    pub salt: String,
    /// The private fields.
    pub fields: BTreeMap<String, Box<RawValue>>,
}

impl Payload {
    /// Reads a stored payload.
    pub fn parse(body: &[u8]) -> Result<Self, StoreError> {
        Ok(serde_json::from_slice(body)?)
    }

    /// The private fields, as values.
    pub fn values(&self) -> Result<Map<String, Value>, StoreError> {
        self.fields.iter().map(|(name, value)| Ok((name.clone(), serde_json::from_str(value.get())?))).collect()
    }

    /// The commitments a leaf over these fields must hold, base64.
    pub fn commitments(&self) -> Option<BTreeMap<&str, String>> {
        let salt = STANDARD.decode(&self.salt).ok()?;
        let mut shown = BTreeMap::new();
        for (name, value) in &self.fields {
            shown.insert(name.as_str(), STANDARD.encode(commitment(&salt, name, value.get().as_bytes()).0));
        }
        Some(shown)
    }
}

#[derive(Serialize)]
struct Leaf<'a, E> {
    v: u8,
    kind: &'static str,
    at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<CallId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<TaskId>,
    #[serde(flatten)]
    event: &'a E,
    #[serde(skip_serializing_if = "Commitments::is_empty")]
    private: Commitments,
}

struct Commitments(Vec<(&'static str, Digest)>);

impl Commitments {
    const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Commitments {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, digest)| (name, STANDARD.encode(digest.0))))
    }
}

fn leaf<E: Serialize>(record: &Record, event: &E, private: Commitments) -> Result<Vec<u8>, StoreError> {
    let Record { at, call, task, .. } = *record;
    let mut entry = Vec::with_capacity(1024);
    serde_json::to_writer(&mut entry, &Leaf { v: 1, kind: record.event.kind(), at, call, task, event, private })?;
    Ok(entry)
}

/// Writes each value once, and commits to the bytes as they were written.
fn conceal(
    private: &BTreeMap<&'static str, Value>,
    salt: &[u8; 32],
) -> Result<(Option<Vec<u8>>, Commitments), StoreError> {
    let mut commitments = Commitments(Vec::with_capacity(private.len()));
    if private.is_empty() {
        return Ok((None, commitments));
    }
    let mut body = Vec::with_capacity(512);
    body.extend_from_slice(b"{\"salt\":\"");
    body.extend_from_slice(STANDARD.encode(salt).as_bytes());
    body.extend_from_slice(b"\",\"fields\":");
    let mut opening = b'{';
    for (name, value) in private {
        body.push(opening);
        serde_json::to_writer(&mut body, name)?;
        body.push(b':');
        let start = body.len();
        serde_json::to_writer(&mut body, value)?;
        commitments.0.push((name, commitment(salt, name, body.get(start..).unwrap_or_default())));
        opening = b',';
    }
    body.extend_from_slice(b"}}");
    Ok((Some(body), commitments))
}

fn sha256(parts: &[&[u8]]) -> Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    Digest(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Closed, Refused};
    use super::*;

    fn record(private: BTreeMap<&'static str, Value>) -> Record {
        let at = Timestamp::from_millis(1_795_324_800_123);
        let event = Event::Closed(Closed { by: "opener".into() });
        Record { at, call: Some(CallId::new(at, [7; 10])), task: None, event, private }
    }

    #[test]
    fn a_leaf_reads_as_documented() {
        let encoded = encode(&record(BTreeMap::new()), &[1; 32]).unwrap();
        let text = String::from_utf8(encoded.entry).unwrap();
        assert!(text.starts_with(r#"{"v":1,"kind":"closed","at":"2026-11-22T05:20:00.123Z","call":"01"#), "{text}");
        assert!(text.ends_with(r#","by":"opener"}"#), "{text}");
        assert!(encoded.payload.is_none());
    }

    #[test]
    fn a_payload_opens_its_commitments() {
        let fields =
            BTreeMap::from([("purpose", json!("file the crash")), ("args", json!({"b": 1, "a": [true, null]}))]);
        let encoded = encode(&record(fields), &[3; 32]).unwrap();
        let leaf: Value = serde_json::from_slice(&encoded.entry).unwrap();
        let payload = Payload::parse(&encoded.payload.unwrap()).unwrap();
        assert_eq!(serde_json::to_value(payload.commitments().unwrap()).unwrap(), leaf["private"]);
        assert!(!leaf.to_string().contains("crash"));
    }

    #[test]
    fn one_field_is_shown_without_the_others() {
        let field_salt = sha256(&[&[3; 32], b"purpose"]);
        assert_eq!(commitment(&[3; 32], "purpose", b"\"x\""), sha256(&[&field_salt.0, b"\0\"x\""]));
        assert_ne!(commitment(&[3; 32], "purpose", b"\"x\""), commitment(&[3; 32], "target", b"\"x\""));
    }

    #[test]
    fn a_leaf_that_is_too_long_is_refused() {
        let mut long = record(BTreeMap::new());
        long.event = Event::Refused(Box::new(Refused { code: "x".repeat(MAX_ENTRY), ..Refused::default() }));
        assert!(matches!(encode(&long, &[0; 32]), Err(StoreError::TooLong { .. })));
    }
}
