//! The facts of a call in its record: on their way in, and out again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::Facts;

/// The facts of a call: as they were judged, or as they were read back.
#[derive(Clone, Debug)]
pub enum FactsNote {
    /// On their way into a record.
    Judged(Arc<Facts>),
    /// Out of one.
    Read(Value),
}

impl Serialize for FactsNote {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Judged(facts) => facts.serialize(serializer),
            Self::Read(value) => value.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for FactsNote {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::Read)
    }
}
