//! JSON in the one reading it may have (RFC 8259, and RFC 7493 §2.3: no duplicate names).

use std::cell::Cell;
use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// How deep a body may nest. serde_json stops at 128 by itself; servers differ beyond far less.
const DEPTH: usize = 64;

/// How many names a body may hold, in all its objects together.
const NAMES: usize = 100_000;

/// The largest whole number that a parser which knows only IEEE 754 doubles keeps (RFC 7493 §2.2).
const LARGEST: u64 = (1 << 53) - 1;

/// Significant digits that such a parser keeps of any number.
const DIGITS: usize = 15;

/// Refuses a body that two parsers could read differently: duplicate names, names that differ in case only, more than
/// one document, deep nesting, very many names. The error is for the agent.
pub fn check(body: &[u8]) -> Result<(), String> {
    let mut parser = serde_json::Deserializer::from_slice(body);
    Strict { depth: 0, names: &Cell::new(0) }
        .deserialize(&mut parser)
        .and_then(|()| parser.end())
        .map_err(|error| format!("the JSON body is unclear: {error}"))
}

/// One name for all names that a parser which does not mind case may take for one another.
fn folded(name: &str) -> String {
    name.to_uppercase().to_lowercase()
}

/// The text of the value that `pointer` (RFC 6901) names in a body that `check` has let pass. An error, if there is none but
/// one whose name differs in case only: some servers would take it for the one that is asked for.
///
/// The text rather than the value, because a number's text is exact and its `f64` is not.
pub fn at<'a>(body: &'a [u8], pointer: &str) -> Result<Option<&'a str>, String> {
    let Ok(mut here) = serde_json::from_slice::<&RawValue>(body) else { return Ok(None) };
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        let next = if here.get().starts_with('[') {
            let items: Vec<&RawValue> = serde_json::from_str(here.get()).unwrap_or_default();
            token.parse::<usize>().ok().and_then(|place| items.get(place).copied())
        } else {
            let members: BTreeMap<Name, &RawValue> = serde_json::from_str(here.get()).unwrap_or_default();
            let found = members.get(&Name(token.clone())).copied();
            let alike = |name: &&Name| folded(&name.0) == folded(&token);
            if let Some(Name(other)) = members.keys().find(alike).filter(|_| found.is_none()) {
                return Err(format!("write `{token}` in the JSON body, and not `{}`", other.escape_debug()));
            }
            found
        };
        let Some(next) = next else { return Ok(None) };
        here = next;
    }
    Ok(Some(here.get()))
}

/// What stands directly in an object or array, with its name if it has one; none if that is more than `most`.
pub fn members(raw: &str, most: usize) -> Option<Vec<Member<'_>>> {
    serde_json::Deserializer::from_str(raw).deserialize_any(Members(most)).ok()
}

/// A member of an object, or an item of an array.
pub type Member<'a> = (Option<String>, &'a str);

struct Members(usize);

impl<'de> Visitor<'de> for Members {
    type Value = Vec<Member<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object or array of at most {}", self.0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while let Some(item) = items.next_element::<&RawValue>()? {
            found.push((None, item.get()));
            if found.len() > self.0 {
                return Err(A::Error::invalid_length(found.len(), &self));
            }
        }
        Ok(found)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = Vec::new();
        while let Some((name, member)) = members.next_entry::<String, &RawValue>()? {
            found.push((Some(name), member.get()));
            if found.len() > self.0 {
                return Err(A::Error::invalid_length(found.len(), &self));
            }
        }
        Ok(found)
    }
}

#[derive(serde::Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(transparent)]
struct Name(String);

#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: usize,
    names: &'a Cell<usize>,
}

impl Strict<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth < DEPTH {
            Ok(Self { depth: self.depth + 1, ..self })
        } else {
            Err(E::custom("it nests too deeply"))
        }
    }

    fn named<E: serde::de::Error>(self) -> Result<(), E> {
        self.names.set(self.names.get() + 1);
        if self.names.get() > NAMES { Err(E::custom(format_args!("it holds more than {NAMES} names"))) } else { Ok(()) }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self.deeper()?)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut seen: HashSet<String> = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            self.named()?;
            if !seen.insert(folded(&name)) {
                return Err(A::Error::custom(format_args!(
                    "the name `{}` stands twice in one object",
                    name.escape_debug()
                )));
            }
            members.next_value_seed(inner)?;
        }
        Ok(())
    }
}

/// The string that a JSON text is, if it is one.
pub fn text(raw: &str) -> Option<String> {
    let mut parser = serde_json::Deserializer::from_str(raw);
    String::deserialize(&mut parser).ok()
}

/// Whether a JSON number is one that every parser keeps as it is: not larger than a double is exact, not more digits
/// than it holds (RFC 8259 §6, RFC 7493 §2.2).
pub fn is_kept(number: &str) -> bool {
    match number.trim_start_matches('-').parse::<u64>() {
        Ok(whole) => whole <= LARGEST,
        Err(_) => {
            let digits = number.trim_start_matches(['-', '0', '.']).bytes().filter(u8::is_ascii_digit).count();
            digits <= DIGITS && !number.contains(['e', 'E'])
        }
    }
}

/// Whether a JSON number is also written in the only way it can be: as text it is compared with, `1.0` is not `1`.
pub fn is_shortest(number: &str) -> bool {
    let dull = number == "-0" || number.contains('.') && number.ends_with(['0', '.']);
    is_kept(number) && !dull
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_a_double_rounds_is_not_kept() {
        for number in ["0", "-0", "1.5", "1.50", "9007199254740991", "-9007199254740991", "0.000000000000001"] {
            assert!(is_kept(number), "{number}");
        }
        for number in ["9007199254740992", "9007199254740993", "18446744073709551616", "1e3", "0.1234567890123456"] {
            assert!(!is_kept(number) && !is_shortest(number), "{number}");
        }
        for number in ["0", "-1", "1.5", "10", "0.5"] {
            assert!(is_shortest(number), "{number}");
        }
        for number in ["-0", "1.0", "1.50", "0.0"] {
            assert!(!is_shortest(number), "{number}");
        }
    }

    #[test]
    fn a_body_holds_so_many_names_and_no_more() {
        let body = |names: usize| {
            let members: Vec<String> = (0..names).map(|name| format!("\"{name}\":1")).collect();
            let (front, back) = members.split_at(names / 2);
            format!("[{{{}}},{{{}}}]", front.join(","), back.join(","))
        };
        assert!(check(body(NAMES).as_bytes()).is_ok());
        assert!(check(body(NAMES + 1).as_bytes()).unwrap_err().contains("more than 100000 names"));
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_refused() {
        let deep = format!("{}{}", "[".repeat(70), "]".repeat(70));
        for body in [
            r#"{"amount":1,"amount":1000}"#,
            r#"{"amount":1,"amoun\u0074":1000}"#,
            r#"{"name":1,"Name":2}"#,
            "{}{}",
            "{} x",
            "\u{feff}{}",
            r#"{"a":"\ud800"}"#,
            "{\"a\":1}\0",
            "[1,]",
            "01",
            "1e400",
            "NaN",
            "// x\n{}",
            &deep,
            r#"{"a":{"b":1,"B":2}}"#,
            r#"{"\u017fum":1000,"sum":1}"#,
            r#"[{"x":1,"x":1}]"#,
            "",
        ] {
            assert!(check(body.as_bytes()).is_err(), "{body}");
        }
        assert!(check(b"\"\xff\"").is_err());
        for body in [r#"{"a":[1,2.5,null,true,{"b":"x"}],"c":{}}"#, "[]", "3", " {} "] {
            assert!(check(body.as_bytes()).is_ok(), "{body}");
        }
    }

    #[test]
    fn a_pointer_finds_the_exact_text() {
        let body = br#"{"a":{"b/c":[10.500000000000000001,"x\u0041"]},"n":18446744073709551616}"#;
        assert_eq!(at(body, "/a/b~1c/0").unwrap(), Some("10.500000000000000001"));
        assert_eq!(at(body, "/a/b~1c/1").unwrap().and_then(text).as_deref(), Some("xA"));
        assert_eq!(at(body, "/n").unwrap(), Some("18446744073709551616"));
        assert_eq!(at(body, "/a/nothing").unwrap(), None);
        assert!(at(body, "/N").is_err() && at(body, "/A/b~1c").is_err(), "another case is another name to some");
    }
}
