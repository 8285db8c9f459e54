//! A permission that nobody waited for, written down as the refusal it became.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::entry::Payload;
use super::super::{Event, Permitted, Record, Refused, StoreError};
use super::queue::{Pending, Queue};
use crate::model::{Code, Decision};

/// Private fields that a refusal shares with a permission.
const SHARED: [&str; 7] = ["workload", "resource", "purpose", "declared", "target", "args", "on_behalf_of"];

/// The refusal in place of `permitted`, of the same call and holding the same places.
pub fn in_place_of(permitted: &Pending, queue: &Queue) -> Result<Pending, StoreError> {
    let Permitted { agent, action, method, facts, policies, .. } = serde_json::from_slice(&permitted.encoded.entry)?;
    let refused = Refused {
        code: Code::RecordUnavailable.name().to_owned(),
        decision: Decision::Unavailable.name().to_owned(),
        rules: Vec::new(),
        agent: Some(agent),
        method,
        action: Some(action),
        facts: Some(facts),
        policies: Some(policies),
    };
    let mut private = BTreeMap::from([("why", Value::from("the record was not durable in time"))]);
    if let Some(body) = &permitted.encoded.payload {
        let mut values = Payload::parse(body)?.values()?;
        private.extend(SHARED.iter().filter_map(|name| values.remove(*name).map(|value| (*name, value))));
    }
    let event = Event::Refused(Box::new(refused));
    let Pending { call, task, places, .. } = *permitted;
    let record = Record { at: queue.clock().now(), call, task, event, private };
    let (nobody, _) = tokio::sync::oneshot::channel();
    queue.prepare(record, places, nobody)
}
