//! Quantities as people write them: `60s`, `10MiB`.

use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

/// A length of time: a whole number and `ms`, `s`, `m`, `h` or `d`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct Span(pub Duration);

/// How long something is remembered: a length of time, or `never`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct Remembered(pub Duration);

impl Default for Remembered {
    fn default() -> Self {
        Self(Duration::from_secs(8 * 3_600))
    }
}

/// An amount of bytes: a whole number and `B`, `KiB` or `MiB`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "String")]
pub struct Bytes(pub usize);

/// Text that is no such quantity.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is no {what}")]
pub struct NoQuantity {
    text: String,
    what: &'static str,
}

impl Span {
    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl FromStr for Span {
    type Err = NoQuantity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong =
            || NoQuantity { text: text.to_owned(), what: "length of time such as `500ms`, `60s`, `5m`, `1h` or `30d`" };
        let (number, unit) = split(text).ok_or_else(wrong)?;
        let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs);
        let duration = match unit {
            "ms" => Some(Duration::from_millis(number)),
            "s" => seconds(1),
            "m" => seconds(60),
            "h" => seconds(3_600),
            "d" => seconds(86_400),
            _ => None,
        };
        duration.filter(|duration| !duration.is_zero()).map(Self).ok_or_else(wrong)
    }
}

impl FromStr for Bytes {
    type Err = NoQuantity;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || NoQuantity { text: text.to_owned(), what: "amount of bytes such as `64KiB` or `10MiB`" };
        let (number, unit) = split(text).ok_or_else(wrong)?;
        let each = match unit {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            _ => return Err(wrong()),
        };
        number.checked_mul(each).and_then(|bytes| usize::try_from(bytes).ok()).map(Self).ok_or_else(wrong)
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit))
}

impl TryFrom<String> for Span {
    type Error = NoQuantity;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl TryFrom<String> for Remembered {
    type Error = NoQuantity;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == "never" {
            return Ok(Self(Duration::ZERO));
        }
        text.parse().map(|Span(duration)| Self(duration))
    }
}

impl TryFrom<String> for Bytes {
    type Error = NoQuantity;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_people_write_them() {
        assert_eq!("90s".parse::<Span>().unwrap().0, Duration::from_secs(90));
        assert_eq!("5m".parse::<Span>().unwrap().0, Duration::from_secs(300));
        assert_eq!("64KiB".parse::<Bytes>().unwrap().0, 65_536);
        for wrong in ["", "s", "10", "0s", "-1s", "1.5s", "1 s", "99999999999999999999s", "9999999999999999999d"] {
            assert!(wrong.parse::<Span>().is_err(), "{wrong}");
        }
    }
}
