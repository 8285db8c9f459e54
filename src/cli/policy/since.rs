//! A time in the past, as people write it: `7d`, or a timestamp.

use std::str::FromStr;
use std::time::SystemTime;

use crate::config::Span;
use crate::model::Timestamp;

/// From this time on; by default, from the beginning.
#[derive(Clone, Copy, Debug)]
pub struct Since(pub Timestamp);

impl Default for Since {
    fn default() -> Self {
        Self(Timestamp::from_millis(i64::MIN))
    }
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(span) = text.parse::<Span>() {
            let before = i64::try_from(span.0.as_millis()).unwrap_or(i64::MAX);
            let now = Timestamp::from(SystemTime::now()).millis();
            return Ok(Self(Timestamp::from_millis(now.saturating_sub(before))));
        }
        let wrong =
            || format!("`{text}` is neither a length of time such as `7d` nor a time such as `2026-11-24T08:00:00Z`");
        serde_json::from_value(text.into()).map(Self).map_err(|_| wrong())
    }
}
