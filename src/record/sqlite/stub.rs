//! What is written of a record that cannot be written as it is: shorter, or no more than that it was.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::{Event, Record, Refused, StoreError};
use crate::model::Digest;

/// Bytes that stay of a text in a record that had to be shortened.
const SHORT: usize = 1024;

/// The same record with less in it: of what is cut away its length and SHA-256 stay.
pub fn shortened(record: Record) -> Record {
    let private = record.private.into_iter().map(|(name, value)| (name, cut(value))).collect();
    Record { event: shorter(record.event), private, ..record }
}

/// No more than that it happened, and why there is no more.
pub fn stub(record: Record, cause: &StoreError) -> Record {
    let why = format!("this record could not be written down: {cause}");
    let Record { at, call, task, event, .. } = record;
    let (event, private) = match event {
        Event::Refused(refused) => {
            let Refused { code, decision, agent, .. } = *refused;
            let stub = Refused { code, decision, agent, ..Refused::default() };
            (Event::Refused(Box::new(stub)), BTreeMap::from([("why", Value::from(why))]))
        }
        Event::Ended(mut ended) => {
            ended.why = Some(why);
            (Event::Ended(ended), BTreeMap::new())
        }
        whole @ (Event::Loaded(_)
        | Event::Permitted(_)
        | Event::Minted(_)
        | Event::Settled(_)
        | Event::Opened(_)
        | Event::Closed(_)
        | Event::Repeated(_)
        | Event::Erased(_)
        | Event::Asked(_)
        | Event::Resolved(_)
        | Event::Amended(_)
        | Event::Quarantined(_)
        | Event::Released(_)
        | Event::GlassBroken(_)
        | Event::Reviewed(_)
        | Event::NotLoaded(_)
        | Event::Learned(_)
        | Event::Ratified(_)
        | Event::Reset(_)) => (whole, BTreeMap::new()),
    };
    Record { at, call, task, event, private }
}

fn shorter(event: Event) -> Event {
    match event {
        Event::Refused(mut refused) => {
            refused.facts = None;
            refused.rules.truncate(16);
            let texts = [&mut refused.code, &mut refused.decision, &mut refused.method];
            let optional = [refused.agent.as_mut(), refused.action.as_mut()];
            texts.into_iter().chain(optional.into_iter().flatten()).chain(&mut refused.rules).for_each(shorten);
            Event::Refused(refused)
        }
        Event::Ended(mut ended) => {
            ended.why.iter_mut().for_each(shorten);
            Event::Ended(ended)
        }
        Event::Settled(mut settled) => {
            shorten(&mut settled.issuer);
            Event::Settled(settled)
        }
        Event::Repeated(mut repeated) => {
            repeated.rules.truncate(16);
            repeated.rules.iter_mut().chain(&mut repeated.agent).chain(&mut repeated.action).for_each(shorten);
            Event::Repeated(repeated)
        }
        whole @ (Event::Loaded(_)
        | Event::Permitted(_)
        | Event::Minted(_)
        | Event::Opened(_)
        | Event::Closed(_)
        | Event::Erased(_)
        | Event::Asked(_)
        | Event::Resolved(_)
        | Event::Amended(_)
        | Event::Quarantined(_)
        | Event::Released(_)
        | Event::GlassBroken(_)
        | Event::Reviewed(_)
        | Event::NotLoaded(_)
        | Event::Learned(_)
        | Event::Ratified(_)
        | Event::Reset(_)) => whole,
    }
}

fn shorten(text: &mut String) {
    if text.len() > SHORT {
        let tail = format!("… ({} bytes, sha256 {})", text.len(), Digest::of(text.as_bytes()));
        text.truncate(text.floor_char_boundary(SHORT));
        text.push_str(&tail);
    }
}

fn cut(value: Value) -> Value {
    match value {
        Value::String(mut text) => {
            shorten(&mut text);
            Value::String(text)
        }
        other => {
            let bytes = other.to_string();
            if bytes.len() <= SHORT {
                return other;
            }
            json!({ "cut": bytes.len(), "sha256": Digest::of(bytes.as_bytes()) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    fn refusal(private: BTreeMap<&'static str, Value>) -> Record {
        let refused = Refused { code: "denied".into(), method: "GET".into(), ..Refused::default() };
        let event = Event::Refused(Box::new(refused));
        Record { at: Timestamp::from_millis(0), call: None, task: None, event, private }
    }

    #[test]
    fn what_is_cut_away_leaves_its_length_and_digest() {
        let long = "x".repeat(10_000_000);
        let args = json!({ "a": "y".repeat(5_000) });
        let digest = Digest::of(args.to_string().as_bytes());
        let private = BTreeMap::from([("why", long.clone().into()), ("args", args), ("peer", "pid 1".into())]);
        let record = shortened(refusal(private));
        let why = record.private["why"].as_str().unwrap();
        assert!(
            why.len() < 1_200 && why.ends_with(&format!("(10000000 bytes, sha256 {})", Digest::of(long.as_bytes())))
        );
        assert_eq!(record.private["args"]["sha256"], digest.to_string());
        assert_eq!(record.private["peer"], "pid 1");
    }

    #[test]
    fn a_stub_says_why_there_is_no_more() {
        let stub = stub(refusal(BTreeMap::new()), &StoreError::Random);
        assert!(stub.private["why"].as_str().unwrap().contains("could not be written down"));
        assert!(matches!(stub.event, Event::Refused(refused) if refused.code == "denied" && refused.method.is_empty()));
    }
}
