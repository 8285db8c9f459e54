//! A request, read by the step that reads every request: step 2.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use countersign::model::{Call, CallId, Evidence, Incoming, Payload, Peer, Tool};
use countersign::understand::{Catalog, ToolCatalog, aim, understand};
use http::Request;
use http::header::CONTENT_TYPE;

use super::nouns;

/// A catalog of the one tool `t`, which the agent `a` may call.
pub fn catalog(actions: &str) -> Catalog {
    let tool = Tool { max_body: 1 << 20, ..Tool::clone(&nouns::tool("t")) };
    let tool = ToolCatalog::parse(Arc::new(tool), actions).unwrap();
    Catalog::new(vec![tool], BTreeMap::from([(nouns::agent("a"), BTreeSet::from(["t".into()]))]))
}

/// What a request to `t` is understood as, if it is. `target` begins behind the tool's name; a body is sent as JSON.
pub fn understood(catalog: &Catalog, method: &str, target: &str, body: &[u8]) -> Option<Box<Call>> {
    let mut request = Request::builder().method(method).uri(format!("/t{target}"));
    if !body.is_empty() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let request = request.body(Payload::Whole(Bytes::copy_from_slice(body))).ok()?;
    let evidence = Evidence { peer: Arc::new(Peer::Remote("192.0.2.7:9".parse().unwrap())), bearer: None };
    let incoming = Incoming {
        id: CallId::new(nouns::at(7), [3; 10]),
        received_at: nouns::at(7),
        task: None,
        evidence,
        door: http::uri::Scheme::HTTP,
        request,
    };
    let caller = nouns::caller("a", "token:x");
    let aim = aim(&incoming.request, &caller, catalog).ok()?;
    understand(incoming, caller, Arc::new(nouns::task("a", 1)), aim).ok()
}

/// Percent-decoded once, as any reader does it; what is no escape stays.
pub fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                plain.push(u8::try_from(high * 16 + low).unwrap());
                at += 3;
            }
            (byte, _, _) => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    plain
}
