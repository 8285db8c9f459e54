//! The ways in which a secret may be written in an answer, and where in some bytes one of them stands.
//!
//! Nothing is written out beforehand but the first few bytes of each spelling, the probe: a search for those is fast
//! and finds where a spelling may begin; there it is read symbol by symbol against the secret itself. So any mixture of
//! escapes is seen, whatever set of characters an encoder thinks it has to escape.

use std::ops::Range;

use aho_corasick::packed;
use memchr::memmem;
use zeroize::Zeroize as _;

use super::way::{Fit, Way, escapes};
use crate::model::Secret;

/// Bytes of a probe, at most.
const PROBE: usize = 8;

/// Once so many bytes were searched, it is worth what it costs to make a search for all probes at once: it takes about as
/// long as to search 16 KiB probe by probe.
const LONG: usize = 128 * 1024;

/// A probe of so many bytes is not branched any further.
const ENOUGH: usize = 3;

/// What is looked for in an answer. Wiped when dropped.
pub struct Spellings {
    texts: Vec<Secret>,
    probes: Vec<Probe>,
    longest_probe: usize,
    shortest: usize,
    searched: usize,
    at_once: Option<packed::Searcher>,
}

/// How a spelling begins, and where this stands next in the bytes that are searched.
#[derive(Clone, Copy)]
struct Probe {
    bytes: [u8; PROBE],
    length: usize,
    text: usize,
    way: Way,
    next: Option<usize>,
}

impl Spellings {
    /// Those of a secret, and of what is in it if it is the pair of `Basic` (RFC 7617): the pair and its password. What is
    /// short is not looked for: it would be found in innocent words.
    pub fn of(secret: Secret, is_basic: bool) -> Self {
        let inner = if is_basic { pair(&secret) } else { [None, None] };
        let texts = std::iter::once(secret).chain(inner.into_iter().flatten());
        let texts: Vec<Secret> = texts.filter(|text| !text.is_short()).collect();
        let mut probes = Probes { found: Vec::with_capacity(16), shortest: usize::MAX };
        for (index, text) in texts.iter().enumerate() {
            probes.add(index, text.expose());
        }
        let longest_probe = probes.found.iter().map(|probe| probe.length).max().unwrap_or(0);
        Self { texts, longest_probe, shortest: probes.shortest, probes: probes.found, searched: 0, at_once: None }
    }

    /// Bytes without which there is nothing to find.
    pub fn shortest(&self) -> usize {
        self.shortest
    }

    /// Tells `found` every spelling in `bytes`, from left to right, and gives where one begins that may go on behind
    /// them; their end if none does, or if they are `over`.
    pub fn search(&mut self, bytes: &[u8], over: bool, mut found: impl FnMut(Range<usize>)) -> usize {
        if over && bytes.len() < self.shortest {
            return bytes.len();
        }
        if self.is_clean(bytes) {
            return if over { bytes.len() } else { self.begun(bytes, 0) };
        }
        let mut from = 0;
        self.seek(bytes, from, |_| true);
        while let Some(at) = self.probes.iter().filter_map(|probe| probe.next).min() {
            match self.fit(bytes, at, over) {
                Fit::Part => return at,
                Fit::Whole(end) => {
                    found(at..end);
                    from = end;
                }
                Fit::No => from = at + 1,
            }
            self.seek(bytes, from, |next| next.is_some_and(|next| next < from));
        }
        if over { bytes.len() } else { self.begun(bytes, from) }
    }

    /// Whether it is certain that no probe stands in `bytes`, which is asked only of what is long.
    fn is_clean(&mut self, bytes: &[u8]) -> bool {
        let before = self.searched;
        self.searched = before.saturating_add(bytes.len());
        if before <= LONG && self.searched > LONG {
            let mut builder = packed::Searcher::builder();
            builder.extend(self.probes.iter().map(Probe::bytes));
            // `None` where the machine has no instructions for it.
            self.at_once = builder.build();
        }
        self.at_once.as_ref().is_some_and(|all| all.find(bytes).is_none())
    }

    fn seek(&mut self, bytes: &[u8], from: usize, wanted: impl Fn(Option<usize>) -> bool) {
        let rest = bytes.get(from..).unwrap_or_default();
        for probe in self.probes.iter_mut().filter(|probe| wanted(probe.next)) {
            probe.next = memmem::find(rest, probe.bytes()).map(|place| from + place);
        }
    }

    /// What of all that may begin at this place does. Whatever is not decided yet decides.
    fn fit(&self, bytes: &[u8], at: usize, over: bool) -> Fit {
        let mut best = Fit::No;
        for probe in self.probes.iter().filter(|probe| probe.next == Some(at)) {
            let Some(text) = self.texts.get(probe.text).map(Secret::expose) else { continue };
            for fit in probe.way.read(text, bytes, at) {
                best = match (best, fit) {
                    (_, Fit::Part) if !over => return Fit::Part,
                    (Fit::Whole(a), Fit::Whole(b)) => Fit::Whole(a.max(b)),
                    (Fit::No | Fit::Part, fit) => fit,
                    (best @ Fit::Whole(_), Fit::No | Fit::Part) => best,
                };
            }
        }
        if best == Fit::Part { Fit::No } else { best }
    }

    /// Where a probe begins that the end of `bytes` cuts.
    fn begun(&self, bytes: &[u8], from: usize) -> usize {
        let first = from.max(bytes.len().saturating_sub(self.longest_probe.saturating_sub(1)));
        let cut = |at: &usize| {
            let tail = bytes.get(*at..).unwrap_or_default();
            self.probes.iter().any(|probe| probe.bytes().starts_with(tail))
        };
        (first..bytes.len()).find(cut).unwrap_or(bytes.len())
    }
}

impl Drop for Spellings {
    fn drop(&mut self) {
        for probe in &mut self.probes {
            probe.bytes.zeroize();
        }
    }
}

/// The pair that a secret behind `Basic` is the base64 of, and the password in it.
fn pair(secret: &Secret) -> [Option<Secret>; 2] {
    use base64::Engine as _;
    let Ok(pair) = base64::engine::general_purpose::STANDARD.decode(secret.expose()) else { return [None, None] };
    let colon = pair.iter().position(|byte| *byte == b':');
    let password = colon.and_then(|colon| pair.get(colon + 1..)).map(Secret::new);
    [Some(Secret::new(pair)), password]
}

impl Probe {
    fn with(mut self, byte: u8) -> Self {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
        self
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Probes as they are found.
struct Probes {
    found: Vec<Probe>,
    shortest: usize,
}

impl Probes {
    fn add(&mut self, text: usize, bytes: &[u8]) {
        for way in Way::ALL {
            self.shortest = self.shortest.min(way.length(bytes));
            let begin = Probe { bytes: [0; PROBE], length: 0, text, way, next: None };
            match way {
                Way::Hex => {
                    let lower = (0..PROBE).filter_map(|place| way.symbol(bytes, place)).fold(begin, Probe::with);
                    let upper = Probe { bytes: lower.bytes.map(|byte| byte.to_ascii_uppercase()), ..lower };
                    self.push(lower);
                    self.push(upper);
                }
                Way::Plain => {
                    // An encoder may escape what nobody has to.
                    let first = way.symbol(bytes, 0).unwrap_or_default();
                    for escape in escapes(first).filter(|escape| escape.bytes().len() >= ENOUGH) {
                        self.push(escape.bytes().iter().copied().fold(begin, Probe::with));
                    }
                    self.grow(begin, bytes, 0);
                }
                Way::Base64 { .. } => self.grow(begin, bytes, 0),
            }
        }
    }

    /// Goes on from a probe that holds what stands before `place`, with each way to write what stands there.
    fn grow(&mut self, mut probe: Probe, text: &[u8], mut place: usize) {
        while probe.length < PROBE
            && let Some(symbol) = probe.way.symbol(text, place)
        {
            place += 1;
            if symbol.is_ascii_alphanumeric() {
                probe = probe.with(symbol);
                continue;
            }
            if probe.length >= ENOUGH {
                break;
            }
            for escape in escapes(symbol) {
                let longer = escape.bytes().iter().copied().fold(probe, Probe::with);
                if longer.length >= ENOUGH { self.push(longer) } else { self.grow(longer, text, place) }
            }
            if let Some(twin) = probe.way.twin(symbol) {
                self.grow(probe.with(twin), text, place);
            }
            probe = probe.with(symbol);
        }
        self.push(probe);
    }

    fn push(&mut self, probe: Probe) {
        let same = |known: &Probe| known.bytes() == probe.bytes() && known.text == probe.text && known.way == probe.way;
        if !self.found.iter().any(same) {
            self.found.push(probe);
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    /// So many ways to write a secret, with what stands around it where that matters.
    const WRITTEN: usize = 16;

    fn each(bytes: &[u8], escape: impl Fn(u8) -> String) -> String {
        bytes.iter().map(|byte| escape(*byte)).collect()
    }

    fn needed(bytes: &[u8], escape: impl Fn(u8) -> String) -> String {
        each(bytes, |byte| if byte.is_ascii_alphanumeric() { char::from(byte).into() } else { escape(byte) })
    }

    fn json(text: &[u8]) -> String {
        let quoted = serde_json::to_string(std::str::from_utf8(text).unwrap()).unwrap();
        quoted.strip_prefix('"').unwrap().strip_suffix('"').unwrap().to_owned()
    }

    fn written(secret: &[u8], how: usize, before: &[u8], behind: &[u8]) -> String {
        let among = [before, secret, behind].concat();
        match how {
            0 => String::from_utf8(secret.to_vec()).unwrap(),
            1 => each(secret, |byte| format!("%{byte:02x}")),
            2 => each(secret, |byte| format!("%{byte:02X}")),
            3 => needed(secret, |byte| format!("%{byte:02x}")),
            4 => needed(secret, |byte| format!("%{byte:02X}")),
            5 => hex::encode(secret),
            6 => hex::encode_upper(secret),
            7 => STANDARD.encode(among),
            8 => URL_SAFE_NO_PAD.encode(among),
            9 => json(secret),
            10 => json(secret).replace('/', "\\/"),
            11 => each(secret, |byte| format!("\\u{byte:04x}")),
            12 => needed(secret, |byte| format!("\\u{byte:04X}")),
            13 => STANDARD.encode(among).replace('/', "\\/"),
            14 => needed(STANDARD.encode(among).as_bytes(), |byte| format!("%{byte:02X}")),
            _ => needed(secret, |byte| if byte == b'/' { "\\/".to_owned() } else { format!("%{byte:02x}") }),
        }
    }

    fn found(secret: &[u8], basic: bool, text: &[u8]) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        Spellings::of(Secret::new(secret), basic).search(text, true, |range| found.push(range));
        found
    }

    proptest! {
        #[test]
        fn a_secret_is_found_however_it_is_written(
            secret in "[!-~]{9,60}", how in 0..WRITTEN, before in "[ -~]{0,3}", behind in "[ -~]{0,3}",
            left in "[a-z %\\\\]{0,90}", right in "[a-z %]{0,90}",
        ) {
            let spelled = written(secret.as_bytes(), how, before.as_bytes(), behind.as_bytes());
            let text = format!("{left}\n{spelled}\n{right}");
            let found = found(secret.as_bytes(), false, text.as_bytes());
            let covered = found.iter().any(|range| {
                // What is a neighbour's in part stays.
                let slack = if matches!(how, 7 | 8 | 13 | 14) { 24 } else { 0 };
                range.start <= left.len() + 1 + slack && range.end + slack > left.len() + spelled.len()
            });
            prop_assert!(covered, "{how}: {spelled} in {text}: {found:?}");
        }

        #[test]
        fn nothing_is_found_where_the_secret_is_not(text in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(found(b"Xq7$kk/2+\"pP\\9", false, &text).is_empty());
        }
    }

    #[test]
    fn the_pair_behind_basic_and_its_password_are_found_too() {
        let secret = STANDARD.encode("octo:correct horse");
        for shown in [
            "octo:correct horse",
            "correct horse",
            "correct%20horse",
            "correct\\u0020horse",
            "636f727265637420686f727365",
        ] {
            let pair = found(secret.as_bytes(), true, format!("<{shown}>").as_bytes());
            assert!(pair.len() == 1 && pair[0] == (1..shown.len() + 1), "{shown}: {pair:?}");
            assert!(found(secret.as_bytes(), false, format!("<{shown}>").as_bytes()).is_empty(), "{shown}");
        }
        for inner in ["x:correct horse", "octo:correct horse"] {
            assert_eq!(found(secret.as_bytes(), true, STANDARD.encode(inner).as_bytes()).len(), 1, "{inner}");
        }
        assert!(found(STANDARD.encode("a:b").as_bytes(), true, b"a:b of a tab:b").is_empty());
    }

    #[test]
    fn only_what_may_be_a_beginning_is_held_back() {
        let mut spellings = Spellings::of(Secret::new("hunter2-hunter2"), false);
        let mut held = |text: &str| text.len() - spellings.search(text.as_bytes(), false, |_| {});
        for (text, expected) in [
            ("data: fine\n\n", 0),
            ("a hun", 3),
            ("a hunter2-hunter", 14),
            ("a hunter3", 0),
            ("x\\", 1),
            ("x\\n", 0),
            ("%6", 2),
            ("%68%7", 5),
            ("%68%74", 0),
            ("hunter2-hunter2", 0),
            ("hunter2-hunter2h", 1),
            ("aHVudGVyMi1o", 12),
            ("6875", 4),
        ] {
            assert_eq!(held(text), expected, "{text}");
        }
    }
}
