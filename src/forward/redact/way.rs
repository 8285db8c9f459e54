//! How a text may be written: as it is, in base64, in hexadecimal, and each symbol of these escaped or not.

/// How a text is written. Each symbol may besides be escaped as in a URL (RFC 3986 §2.1) or in JSON (RFC 8259 §7).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// As it is.
    Plain,
    /// RFC 4648 §4 and §5, without the characters that hold bits of a neighbour as well.
    Base64 {
        /// Bits of the text that stand in such a character before it.
        skipped: usize,
    },
    /// RFC 4648 §8, in either case.
    Hex,
}

/// Whether a text stands at a place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fit {
    /// It does not.
    No,
    /// So far it does, and there the bytes end.
    Part,
    /// It does, and ends before this byte.
    Whole(usize),
}

/// RFC 4648 §4.
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

impl Way {
    /// Every way. Base64 thrice: for a text that begins at a multiple of three bytes, one behind it, two behind it.
    pub(super) const ALL: [Self; 5] =
        [Self::Plain, Self::Base64 { skipped: 0 }, Self::Base64 { skipped: 4 }, Self::Base64 { skipped: 2 }, Self::Hex];

    /// Symbols that a text is in this way.
    pub(super) fn length(self, text: &[u8]) -> usize {
        match self {
            Self::Plain => text.len(),
            Self::Base64 { skipped } => (text.len() * 8).saturating_sub(skipped) / 6,
            Self::Hex => text.len() * 2,
        }
    }

    /// One of these symbols; hexadecimal ones in lower case.
    pub(super) fn symbol(self, text: &[u8], place: usize) -> Option<u8> {
        match self {
            Self::Plain => text.get(place).copied(),
            Self::Base64 { skipped } => {
                let bit = skipped + place * 6;
                let (byte, shift) = (bit / 8, bit % 8);
                let high = u16::from(*text.get(byte)?) << 8;
                let low = match text.get(byte + 1) {
                    Some(low) => u16::from(*low),
                    None if shift <= 2 => 0,
                    None => return None,
                };
                BASE64.get(usize::from((high | low) >> (10 - shift) & 63)).copied()
            }
            Self::Hex => {
                let byte = *text.get(place / 2)?;
                Some(hex_digit(if place.is_multiple_of(2) { byte >> 4 } else { byte & 15 }, b'a'))
            }
        }
    }

    /// What stands for a symbol in the other alphabet (RFC 4648 §5).
    pub(super) fn twin(self, symbol: u8) -> Option<u8> {
        match (self, symbol) {
            (Self::Base64 { .. }, b'+') => Some(b'-'),
            (Self::Base64 { .. }, b'/') => Some(b'_'),
            (Self::Plain | Self::Base64 { .. } | Self::Hex, _) => None,
        }
    }

    /// Whether `text` stands at a place of `bytes`: with whatever is an escape read as one, and with nothing read so.
    pub(super) fn read(self, text: &[u8], bytes: &[u8], at: usize) -> [Fit; 2] {
        let rest = bytes.get(at..).unwrap_or_default();
        let literal = match self {
            Self::Plain if rest.starts_with(text) => Fit::Whole(at + text.len()),
            Self::Plain if text.starts_with(rest) => Fit::Part,
            Self::Plain | Self::Base64 { .. } | Self::Hex => Fit::No,
        };
        [self.read_escaped(text, bytes, at), literal]
    }

    fn read_escaped(self, text: &[u8], bytes: &[u8], mut at: usize) -> Fit {
        for place in 0..self.length(text) {
            let Some(symbol) = self.symbol(text, place) else { return Fit::No };
            match self.step(symbol, bytes.get(at..).unwrap_or_default()) {
                Fit::Whole(taken) => at += taken,
                fit @ (Fit::Part | Fit::No) => return fit,
            }
        }
        Fit::Whole(at)
    }

    /// Whether `rest` begins with a symbol, and in how many bytes.
    fn step(self, symbol: u8, rest: &[u8]) -> Fit {
        let Some(first) = rest.first() else { return Fit::Part };
        if matches!(first, b'%' | b'\\') {
            for escape in escapes(symbol) {
                let escape = escape.bytes();
                let both = rest.len().min(escape.len());
                if !rest.iter().zip(escape).all(|(a, b)| a.eq_ignore_ascii_case(b)) {
                    continue;
                }
                return if both == escape.len() { Fit::Whole(both) } else { Fit::Part };
            }
        }
        let same = match self {
            Self::Plain => *first == symbol,
            Self::Base64 { .. } => *first == symbol || self.twin(symbol) == Some(*first),
            Self::Hex => first.eq_ignore_ascii_case(&symbol),
        };
        if same { Fit::Whole(1) } else { Fit::No }
    }
}

/// One way to escape a byte.
#[derive(Clone, Copy)]
pub(super) struct Escape {
    bytes: [u8; 6],
    length: usize,
}

impl Escape {
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Every way to escape a byte, with small digits and with capital ones.
pub(super) fn escapes(byte: u8) -> impl Iterator<Item = Escape> {
    let [small, capital] = [b'a', b'A'].map(|ten| {
        let (high, low) = (hex_digit(byte >> 4, ten), hex_digit(byte & 15, ten));
        let percent = Escape { bytes: [b'%', high, low, 0, 0, 0], length: 3 };
        let unicode = Escape { bytes: [b'\\', b'u', b'0', b'0', high, low], length: 6 };
        [percent, unicode]
    });
    let has_short = matches!(byte, b'"' | b'\'' | b'/' | b'\\');
    let short = has_short.then_some(Escape { bytes: [b'\\', byte, 0, 0, 0, 0], length: 2 });
    small.into_iter().chain(capital).chain(short)
}

fn hex_digit(value: u8, ten: u8) -> u8 {
    if value < 10 { b'0' + value } else { ten + (value - 10) }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD_NO_PAD;

    use super::*;

    fn written(way: Way, text: &[u8]) -> String {
        (0..way.length(text)).map(|place| char::from(way.symbol(text, place).unwrap())).collect()
    }

    #[test]
    fn base64_is_known_wherever_a_text_begins() {
        let text = b"\x00\xffsecret?>~bytes\xfb\xf0";
        for (before, way) in Way::ALL[1..4].iter().enumerate() {
            for behind in 0..4 {
                let whole = [&b"xy"[..before], text, &b"xyz"[..behind]].concat();
                let symbols = written(*way, text);
                assert!(STANDARD_NO_PAD.encode(&whole).contains(&symbols), "{before} {behind} {symbols}");
                assert!(symbols.len() * 6 + 10 >= text.len() * 8, "all but the ends: {symbols}");
                assert_eq!(way.symbol(text, symbols.len()), None);
            }
        }
        assert_eq!(written(Way::Hex, b"\x0a\xff"), "0aff");
    }

    #[test]
    fn escapes_are_read_and_may_be_cut_anywhere() {
        let text = br#"a/"\%2b"#;
        for whole in [
            r#"a/"\%2b"#,
            r#"a\/\"\\%2b"#,
            "%61%2F%22%5c%252b",
            r"\u0061\u002f\u0022\u005C\u0025\u0032\u0062",
            r#"a%2f\"\u005c%252b"#,
        ] {
            let fits = Way::Plain.read(text, whole.as_bytes(), 0);
            assert!(fits.contains(&Fit::Whole(whole.len())), "{whole}: {fits:?}");
            for cut in 0..whole.len() {
                let fits = Way::Plain.read(text, &whole.as_bytes()[..cut], 0);
                assert!(fits.contains(&Fit::Part), "{whole} cut at {cut}: {fits:?}");
            }
        }
        for not in ["a/x", "%61%2f%23", r"a\x", r#"a/"\%2c"#] {
            assert_eq!(Way::Plain.read(text, not.as_bytes(), 0), [Fit::No; 2], "{not}");
        }
    }
}
