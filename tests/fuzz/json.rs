//! A JSON body is accepted exactly if a reader that knows nothing of ours finds one document in it, of one reading.

use std::sync::LazyLock;

use countersign::model::Payload;
use countersign::understand::Catalog;

use super::sent::{catalog, understood};

static CATALOG: LazyLock<Catalog> =
    LazyLock::new(|| catalog("[actions.a]\nmatch = \"POST /x\"\neffect = \"read\"\nresource = \"x\"\n"));

/// Input: the body.
pub fn holds(bytes: &[u8]) -> bool {
    if bytes.is_empty() {
        return false;
    }
    let call = understood(&CATALOG, "POST", "/x", bytes);
    let read = Reader::whole(bytes);
    assert_eq!(call.is_some(), read.is_ok(), "we and the other reader differ, which says {read:?}");
    let Some(call) = call else { return false };
    let Payload::Whole(body) = &call.payload else { panic!("the body was not read") };
    assert_eq!(&body[..], bytes, "what was judged is what is sent");
    // serde_json gives a name of its own a meaning in its `Value`, which step 2 does not read bodies into.
    if String::from_utf8_lossy(bytes).contains("private") {
        return true;
    }
    // What one that keeps the last of two names writes is what came, but for space and spelling.
    let last: serde_json::Value = serde_json::from_slice(bytes).expect("serde_json reads it");
    let again = serde_json::to_vec(&last).unwrap();
    assert_eq!(Reader::whole(&again).unwrap(), read.unwrap(), "as many names and values as before");
    true
}

/// What a document holds.
#[derive(Debug, Default, Eq, PartialEq)]
struct Held {
    names: usize,
    values: usize,
}

/// RFC 8259, by the letter, with the limits of step 2: 64 levels, names that differ in every case, numbers of a double.
struct Reader<'a> {
    rest: &'a [u8],
    held: Held,
}

impl<'a> Reader<'a> {
    fn whole(bytes: &'a [u8]) -> Result<Held, &'static str> {
        std::str::from_utf8(bytes).map_err(|_| "not UTF-8")?;
        let mut reader = Self { rest: bytes, held: Held::default() };
        reader.value(0)?;
        reader.space();
        if reader.rest.is_empty() { Ok(reader.held) } else { Err("something stands behind the document") }
    }

    fn value(&mut self, depth: usize) -> Result<(), &'static str> {
        self.held.values += 1;
        self.space();
        match *self.rest.first().ok_or("the end")? {
            b'{' | b'[' if depth == 64 => Err("too deep"),
            b'{' => self.object(depth + 1),
            b'[' => self.array(depth + 1),
            b'"' => self.string().map(|_| ()),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), &'static str> {
        let mut names: Vec<String> = Vec::new();
        self.items(b'{', b'}', |reader| {
            reader.space();
            let name = reader.string()?;
            if names.iter().any(|other| alike(other, &name)) {
                return Err("a name stands twice");
            }
            names.push(name);
            reader.held.names += 1;
            reader.space();
            reader.word(b":")?;
            reader.value(depth)
        })
    }

    fn array(&mut self, depth: usize) -> Result<(), &'static str> {
        self.items(b'[', b']', |reader| reader.value(depth))
    }

    fn items(
        &mut self,
        open: u8,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Result<(), &'static str>,
    ) -> Result<(), &'static str> {
        self.word(&[open])?;
        self.space();
        if self.word(&[close]).is_ok() {
            return Ok(());
        }
        loop {
            item(self)?;
            self.space();
            if self.word(&[close]).is_ok() {
                return Ok(());
            }
            self.word(b",")?;
        }
    }

    fn string(&mut self) -> Result<String, &'static str> {
        self.word(b"\"")?;
        let mut units: Vec<u16> = Vec::new();
        let text = std::str::from_utf8(self.rest).unwrap();
        let mut letters = text.char_indices();
        while let Some((at, letter)) = letters.next() {
            let unit = match letter {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return String::from_utf16(&units).map_err(|_| "half a surrogate pair");
                }
                '\\' => match letters.next().ok_or("the end")?.1 {
                    same @ ('"' | '\\' | '/') => same as u16,
                    'b' => 8,
                    't' => 9,
                    'n' => 10,
                    'f' => 12,
                    'r' => 13,
                    'u' => {
                        let mut unit = 0;
                        for _ in 0..4 {
                            let digit = letters.next().and_then(|(_, digit)| digit.to_digit(16)).ok_or("no hex")?;
                            unit = unit * 16 + u16::try_from(digit).unwrap();
                        }
                        unit
                    }
                    _ => return Err("no such escape"),
                },
                '\0'..='\u{1f}' => return Err("a control character"),
                letter => {
                    units.extend_from_slice(letter.encode_utf16(&mut [0; 2]));
                    continue;
                }
            };
            units.push(unit);
        }
        Err("the end")
    }

    fn number(&mut self) -> Result<(), &'static str> {
        let end = self.rest.iter().position(|byte| !b"+-.eE0123456789".contains(byte)).unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(end);
        let number = std::str::from_utf8(number).unwrap();
        let (mantissa, exponent) = number.split_once(['e', 'E']).map_or((number, None), |(a, b)| (a, Some(b)));
        let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(a, b)| (a, Some(b)));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let whole = whole.strip_prefix('-').unwrap_or(whole);
        let exponent = exponent.map(|exponent| exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
        let right = digits(whole)
            && (whole == "0" || !whole.starts_with('0'))
            && fraction.is_none_or(digits)
            && exponent.is_none_or(digits);
        if !right {
            return Err("no number");
        }
        if !number.parse::<f64>().unwrap().is_finite() {
            return Err("a number beyond a double");
        }
        self.rest = rest;
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Result<(), &'static str> {
        self.rest = self.rest.strip_prefix(word).ok_or("something else")?;
        Ok(())
    }

    fn space(&mut self) {
        let end = self.rest.iter().position(|byte| !b" \t\r\n".contains(byte)).unwrap_or(self.rest.len());
        self.rest = &self.rest[end..];
    }
}

/// Whether a parser that does not mind case may take two names for one.
fn alike(a: &str, b: &str) -> bool {
    let both = |name: &str| name.to_uppercase().to_lowercase();
    a.to_lowercase() == b.to_lowercase() || a.to_uppercase() == b.to_uppercase() || both(a) == both(b)
}
