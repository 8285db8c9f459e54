//! The target of a request in the one form it may have: what policy reads is what the wire carries.
//!
//! Nothing is normalised. A target that a second parser could read in another way is refused: RFC 3986 §6.2 lists the
//! ways in which two spellings may mean the same, and each of them but one is refused here.

use percent_encoding::percent_decode_str;

use crate::model::names_credential;

/// A path and query of which there is exactly one reading.
#[derive(Debug)]
pub struct Target {
    wire: String,
    path_len: usize,
    query: Vec<Pair>,
}

/// A field of the query, decoded; and whether a plus stood in it, which means a space to some and a plus to others.
#[derive(Debug)]
struct Pair {
    key: String,
    value: String,
    has_plus: bool,
}

/// Characters of a segment that need no encoding (RFC 3986 §3.3, pchar), without `;`: some servers cut there.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte)
}

impl Target {
    /// Reads `/path?query`. The error says what is unclear, for the agent.
    pub fn parse(wire: &str) -> Result<Self, String> {
        let (path, query) = wire.split_once('?').map_or((wire, None), |(path, query)| (path, Some(query)));
        check_path(path)?;
        let query = query.map(parse_query).transpose()?.unwrap_or_default();
        Ok(Self { wire: wire.to_owned(), path_len: path.len(), query })
    }

    /// The path, as sent.
    pub fn path(&self) -> &str {
        self.wire.get(..self.path_len).unwrap_or_default()
    }

    /// Path and query, as sent.
    pub fn into_wire(self) -> String {
        self.wire
    }

    /// The key of a credential in the query, if there is one: it cannot be taken out of what is judged and sent.
    pub fn credential(&self) -> Option<&str> {
        self.query.iter().map(|pair| pair.key.as_str()).find(|key| names_credential(key))
    }

    /// The keys of the query, decoded, in order.
    pub fn fields(&self) -> impl Iterator<Item = &str> {
        self.query.iter().map(|pair| pair.key.as_str())
    }

    /// The one value of `key` in the query; an error if there are several, or if a server could read it in two ways, or take
    /// another key for it.
    pub fn query(&self, key: &str) -> Result<Option<&str>, String> {
        let alike = |pair: &&Pair| pair.key != key && folded(&pair.key) == folded(key);
        if let Some(other) = self.query.iter().find(alike) {
            return Err(format!("write `{key}` in the query, and not `{}`", other.key.escape_debug()));
        }
        let mut pairs = self.query.iter().filter(|pair| pair.key == key);
        let first = pairs.next();
        if pairs.next().is_some() {
            return Err(format!("the query holds `{key}` more than once"));
        }
        if first.is_some_and(|pair| pair.has_plus) {
            return Err(format!("in the query's `{key}`, write a space as %20 and a plus as %2B: `+` means either"));
        }
        Ok(first.map(|pair| pair.value.as_str()))
    }
}

/// One name for all keys that some server takes for one another: some do not mind case, some cut a list's brackets off, some
/// trim, and some write `_` for what no variable may be called.
fn folded(key: &str) -> String {
    let name = key.trim();
    let name = name.find('[').filter(|at| *at > 0).map_or(name, |at| name.split_at(at).0);
    name.replace(['.', ' '], "_").to_uppercase().to_lowercase()
}

/// Decodes what `check_path` has let pass.
pub fn decode(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

fn check_path(path: &str) -> Result<(), String> {
    let rest = path.strip_prefix('/').ok_or("the path does not begin with a slash")?;
    let mut segments = rest.split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if segment.is_empty() && !last {
            return Err("the path holds an empty segment".to_owned());
        }
        check_escapes(segment, is_plain, true)?;
        if matches!(segment, "." | "..") {
            return Err("the path holds a dot segment".to_owned());
        }
    }
    Ok(())
}

fn parse_query(query: &str) -> Result<Vec<Pair>, String> {
    let plain = |byte| is_plain(byte) || b"/?".contains(&byte);
    let bracketed = |byte| plain(byte) || b"[]".contains(&byte);
    let mut pairs = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        check_escapes(key, bracketed, true)?;
        check_escapes(value, plain, false)?;
        pairs.push(Pair { key: decode(key), value: decode(value), has_plus: value.contains('+') });
    }
    Ok(pairs)
}

/// `strict`: no escape may stand for a character that means something in a path, or that needs no escape.
fn check_escapes(text: &str, plain: impl Fn(u8) -> bool, strict: bool) -> Result<(), String> {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            if plain(byte) {
                continue;
            }
            return Err(format!("the target holds `{}` unencoded", char::from(byte).escape_default()));
        }
        let (Some(high), Some(low)) = (bytes.next().and_then(hex), bytes.next().and_then(hex)) else {
            return Err("a `%` is not followed by two hexadecimal digits".to_owned());
        };
        let decoded = high.value * 16 + low.value;
        if decoded < 0x20 || decoded == 0x7f {
            return Err("the target holds an encoded control character".to_owned());
        }
        if strict && (high.lower || low.lower) {
            return Err("write percent-encodings with capital digits".to_owned());
        }
        let unreserved = decoded.is_ascii_alphanumeric() || b"-._~".contains(&decoded);
        if strict && (unreserved || b"/\\%;?#".contains(&decoded)) {
            return Err(format!("`{}` may not be percent-encoded here", char::from(decoded)));
        }
    }
    if percent_decode_str(text).decode_utf8().is_err() {
        return Err("the target's percent-encodings are not UTF-8".to_owned());
    }
    Ok(())
}

struct HexDigit {
    value: u8,
    lower: bool,
}

fn hex(byte: u8) -> Option<HexDigit> {
    let value = char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())?;
    Some(HexDigit { value, lower: byte.is_ascii_lowercase() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_plain_target_is_read_as_it_stands() {
        let target = Target::parse("/repos/octo/hello%20world/issues?state=open&q=a%2Bb&labels[]=x").unwrap();
        for other in ["State", "state[]", "state%20", "%20STATE[0]"] {
            let target = Target::parse(&format!("/a?q=1&{other}=closed")).unwrap();
            assert!(target.query("state").is_err() && target.query("q").is_ok(), "{other}");
        }
        assert_eq!(target.path(), "/repos/octo/hello%20world/issues");
        assert_eq!(target.query("state").unwrap(), Some("open"));
        assert_eq!(target.query("labels[]").unwrap(), Some("x"));
        assert_eq!(target.query("none").unwrap(), None);
        assert!(Target::parse("/").is_ok());
        assert!(Target::parse("/a/").is_ok());
    }

    #[test]
    fn whatever_has_two_readings_is_refused() {
        for wire in [
            "/a/../admin",
            "/a/%2e%2e/admin",
            "/a/%2E%2E%2fadmin",
            "//admin",
            "/a//admin",
            "/./admin",
            "/a\\..\\admin",
            "/a%5c",
            "/a%5C",
            "/admin;x=1",
            "/a/..;/admin",
            "/admin%00",
            "/%61dmin",
            "/%2561dmin",
            "/admin%3fx",
            "/admin%3Fx",
            "/admin%23",
            "/%c0%ae",
            "/%C0%AE",
            "/%zz",
            "/%",
            "/a%2",
            "/a%0D%0A",
            "/a b",
            "/ä",
            "a",
            "/a?x=%00",
            "/a?x;y",
            "/a?%69d=1",
            "/a?x=%FF",
            "/a#x",
            "/a?x=a b",
        ] {
            assert!(Target::parse(wire).is_err(), "{wire}");
        }
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_where_policy_reads_it() {
        let target = Target::parse("/a?id=1&id=2&to=a+b&cc=a%2Bb").unwrap();
        assert!(target.query("id").is_err());
        assert!(target.query("to").is_err());
        assert_eq!(target.query("cc").unwrap(), Some("a+b"));
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_sent_unchanged(wire in "/[-a-zA-Z0-9._~%/;?&=+ä\\\\]{0,40}") {
            if let Ok(target) = Target::parse(&wire) {
                prop_assert!(!target.path().contains("//"));
                for segment in target.path().split('/') {
                    let decoded = decode(segment);
                    prop_assert!(decoded != "." && decoded != ".." && !decoded.contains(['/', '\\', '%', ';']));
                }
                prop_assert_eq!(target.into_wire(), wire);
            }
        }
    }
}
