//! JSON in the one reading it may have (RFC 8259, and RFC 7493 §2.3: no duplicate names).

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// How deep a body may nest. serde_json stops at 128 by itself; servers differ beyond far less.
const DEPTH: usize = 64;

/// Refuses a body that two parsers could read differently: duplicate names, names that differ in case only, more than
/// one document, deep nesting. The error is for the agent.
pub fn check(body: &[u8]) -> Result<(), String> {
    let mut parser = serde_json::Deserializer::from_slice(body);
    Strict { depth: 0 }
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

#[derive(serde::Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(transparent)]
struct Name(String);

struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: serde::de::Error>(&self) -> Result<Self, E> {
        if self.depth < DEPTH { Ok(Self { depth: self.depth + 1 }) } else { Err(E::custom("it nests too deeply")) }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
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
        let mut seen: HashMap<String, ()> = HashMap::new();
        while let Some(name) = members.next_key::<String>()? {
            let folded = folded(&name);
            if seen.insert(folded, ()).is_some() {
                return Err(A::Error::custom(format_args!(
                    "the name `{}` stands twice in one object",
                    name.escape_debug()
                )));
            }
            members.next_value_seed(self.deeper()?)?;
        }
        Ok(())
    }
}

/// The string that a JSON text is, if it is one.
pub fn text(raw: &str) -> Option<String> {
    let mut parser = serde_json::Deserializer::from_str(raw);
    String::deserialize(&mut parser).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

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
