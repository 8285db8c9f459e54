//! Values that matter: what a call is aimed at, in the one form in which they are compared.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Digest;
use super::words::{exact, is_odd, words};

/// Words of a run that a text vouches for as a whole.
const RUN: usize = 8;

/// A value, or a run of words, by hash: 16 bytes of the SHA-256 of its normal form.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Key([u8; 16]);

impl Key {
    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// From its bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Of the digest of a normal form.
    pub fn of(digest: Digest) -> Self {
        Self(digest.0.first_chunk().copied().unwrap_or_default())
    }
}

/// Shown as 32 hexadecimal digits.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Serialize for Key {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut key = [0; 16];
        let text = String::deserialize(deserializer)?;
        hex::decode_to_slice(text, &mut key).map_err(serde::de::Error::custom)?;
        Ok(Self(key))
    }
}

/// What kind of thing a sink takes, and so what of it must be vouched for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "lowercase")]
pub enum SinkKind {
    /// Where something goes, or to whom: every value.
    Destination,
    /// Which thing it is done to: every value.
    Object,
    /// Free text: the addresses, links, account and telephone numbers and keys in it.
    Text,
    /// A few words, as a title: nothing, unless a stranger wrote these very words.
    Words,
    /// What is read from: nothing. If whoever opened the task named it, what it brings was asked for.
    Source,
}

impl SinkKind {
    /// As catalogs name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Destination => "destination",
            Self::Object => "object",
            Self::Text => "text",
            Self::Words => "words",
            Self::Source => "source",
        }
    }
}

/// What stands in one sink of a call.
#[derive(Clone, Debug)]
pub struct Critical {
    /// The sink, by where it is: `body:/recipients`.
    pub sink: Arc<str>,
    /// What it takes.
    pub kind: SinkKind,
    /// What its values name, if the catalog says: `member`. Sinks of one tool whose values name the same share habits.
    pub of: Option<Arc<str>>,
    /// What must be vouched for.
    pub values: Vec<Aimed>,
}

impl Critical {
    /// The name of one of its values, in this sink of this agent's action and nowhere else.
    pub fn name(&self, agent: &str, action: &str, value: &Aimed) -> Key {
        value.name(&[agent, action, &self.sink])
    }
}

/// One value that must be vouched for.
#[derive(Clone)]
pub struct Aimed {
    /// Its words, in normal form: what is compared with what strangers wrote.
    pub words: Vec<String>,
    /// Itself by hash, or each run of its words if it is longer than one; its words as they stand (`exact`), since `docs/*` is
    /// not `docs`.
    pub keys: Vec<Key>,
    exact: String,
    /// It is a link that carries nothing but where it leads: no query, no fragment, no name before the host.
    pub is_plain_link: bool,
}

/// The values of calls are not for logs.
impl fmt::Debug for Aimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<value of {} words>", self.words.len())
    }
}

impl Aimed {
    /// Its name under these parts, and under no others.
    pub fn name(&self, parts: &[&str]) -> Key {
        let mut text = Vec::with_capacity(128);
        for part in parts.iter().copied().chain([&*self.exact]) {
            text.extend_from_slice(&(part.len() as u64).to_be_bytes());
            text.extend_from_slice(part.as_bytes());
        }
        Key::of(Digest::of(&text))
    }

    /// Whether it is no other thing than its words in normal form: nothing stands around them that might make it one.
    pub fn is_plain(&self) -> bool {
        self.exact == self.words.join(" ")
    }

    /// Nothing if there is nothing in it.
    pub fn new(text: &str) -> Option<Self> {
        let (words, bare): (Vec<String>, _) = (words(text).collect(), text.trim());
        if words.is_empty() {
            let key = Key::of(Digest::of(bare.as_bytes()));
            return (!bare.is_empty()).then(|| Self {
                words: vec![bare.to_owned()],
                keys: vec![key],
                exact: bare.to_owned(),
                is_plain_link: false,
            });
        }
        // `>13`, `|ana@corp.example`: no text has a word like that.
        let cut = bare.starts_with(['|', '>', ',', ';', ')', ']', '}']) || bare.ends_with(['|', '<', '(', '[', '{']);
        let exact = if cut { vec![bare.to_lowercase()] } else { exact(text) };
        let keys = exact.windows(RUN.min(exact.len())).map(key).collect();
        Some(Self { words, keys, exact: exact.join(" "), is_plain_link: is_plain_link(bare) })
    }
}

/// The values that whoever opened a task gave for it. A restart keeps each as a whole, and no longer what stands in it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(from = "Vec<Digest>", into = "Vec<Digest>")]
pub struct Given {
    /// Digests of their normal forms, in order, each once.
    whole: Vec<Digest>,
    /// All that they vouch for, in order.
    keys: Vec<Key>,
}

impl Given {
    /// These.
    pub fn new(texts: &[String]) -> Self {
        let normal = |text: &String| Digest::of(words(text).collect::<Vec<_>>().join(" ").as_bytes());
        let keys = texts.iter().flat_map(|text| vouched(text)).collect();
        Self { whole: texts.iter().map(normal).collect(), keys }.in_order()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.whole.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.whole.is_empty()
    }

    /// Whether a value stands in them.
    pub fn has(&self, value: &Aimed) -> bool {
        value.keys.iter().all(|key| self.keys.binary_search(key).is_ok())
    }

    /// Whether all of these stand in them.
    pub fn covers(&self, texts: &[String]) -> bool {
        texts.iter().filter_map(|text| Aimed::new(text)).all(|value| self.has(&value))
    }

    /// Both.
    pub fn joined(&self, more: &Self) -> Self {
        let whole = [self.whole.as_slice(), &more.whole].concat();
        Self { whole, keys: [self.keys.as_slice(), &more.keys].concat() }.in_order()
    }

    fn in_order(mut self) -> Self {
        self.whole.sort_unstable();
        self.whole.dedup();
        self.keys.sort_unstable();
        self.keys.dedup();
        self
    }
}

impl From<Vec<Digest>> for Given {
    fn from(whole: Vec<Digest>) -> Self {
        let keys = whole.iter().map(|digest| Key::of(*digest)).collect();
        Self { whole, keys }.in_order()
    }
}

impl From<Given> for Vec<Digest> {
    fn from(given: Given) -> Self {
        given.whole
    }
}

/// All that a text vouches for: every run of up to eight of its words, in normal form and as they stand, and what stands in
/// these as an address or link.
pub fn vouched(text: &str) -> Vec<Key> {
    let mut keys: Vec<Key> = runs(&words(text).collect::<Vec<_>>()).map(key).collect();
    let exact = exact(text);
    let says = |run: &&[String]| run.iter().any(|word| word.contains(char::is_alphanumeric));
    keys.extend(runs(&exact).filter(|run| run.iter().any(|word| is_odd(word))).filter(says).map(key));
    keys.extend(super::entity::entities(text).iter().filter_map(|entity| Aimed::new(entity)).flat_map(|one| one.keys));
    keys
}

fn runs(words: &[String]) -> impl Iterator<Item = &[String]> {
    (0..words.len()).flat_map(|start| {
        let rest = words.get(start..).unwrap_or_default();
        (1..=RUN.min(rest.len())).filter_map(|length| rest.get(..length))
    })
}

fn key(run: &[String]) -> Key {
    Key::of(Digest::of(run.join(" ").as_bytes()))
}

fn is_plain_link(text: &str) -> bool {
    super::entity::is_link(text) && !text.contains(['?', '#', '@', ' ', '%'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vouches(text: &str, value: &str) -> bool {
        let known = vouched(text);
        Aimed::new(value).unwrap().keys.iter().all(|key| known.contains(key))
    }

    #[test]
    fn a_sentence_vouches_for_what_stands_in_it_and_for_nothing_else() {
        let said = "Please pay 'Le Marais Boutique' (see https://www.example.com/bills/) and tell Ana <ana@corp.example>, file 13.";
        for value in [
            "le marais boutique",
            "LE MARAIS",
            "example.com/bills",
            "http://example.com/bills/",
            "ana@corp.example",
            "13",
        ] {
            assert!(vouches(said, value), "{value}");
        }
        for value in [
            "le boutique",
            "example.com",
            "ana@corp.example.evil",
            "1",
            "3",
            "boutique le",
            "аna@corp.example",
            "ana@corp\u{200b}.example",
        ] {
            assert!(!vouches(said, value), "{value}");
        }
    }

    #[test]
    fn a_mark_that_makes_another_thing_of_a_value_is_not_overlooked() {
        let said = "Delete 'docs/old.txt', file 13 and projects/x; pay $100 to ana@corp.example (www.example.com).";
        for value in
            ["docs/old.txt.", "'13'", "#13", "@ana@corp.example", "projects/x/", "$100", "100", "https://example.com/"]
        {
            assert!(vouches(said, value), "{value}");
        }
        for value in [
            "docs/old.txt/../..",
            "../docs/old.txt",
            "/docs/old.txt",
            "projects/x/*",
            "projects/x/..",
            "~/projects/x",
            "*13*",
            "13%",
            ">13",
            "13|",
            "|ana@corp.example",
            "-13",
            "13 *",
            "- 13",
            "_13",
            "-100",
            ".100",
            "+100",
            "*ana@corp.example",
            "ana@corp.example\u{0}",
            "www.ana@corp.example",
        ] {
            assert!(!vouches(said, value), "{value}");
        }
        assert!(vouches("Remove projects/x/* at once.", "projects/x/*"), "who says so means so");
        let plain = |value: &str| Aimed::new(value).unwrap().is_plain();
        assert!(plain("Ana Gomez.") && !plain("docs/*") && !plain("13 *"));
    }

    #[test]
    fn a_long_value_is_vouched_for_by_all_of_its_words_in_their_order() {
        let said = "one two three four five six seven eight nine ten eleven";
        assert!(vouches(said, "two three four five six seven eight nine ten"));
        assert!(!vouches(said, "two three four five six seven eight nine eleven"));
        assert_eq!(Aimed::new("one two three four five six seven eight nine ten").unwrap().keys.len(), 3);
    }

    #[test]
    fn what_has_no_words_is_compared_as_it_stands() {
        assert!(Aimed::new(" ").is_none());
        assert_eq!(Aimed::new("--").unwrap().keys, Aimed::new(" -- ").unwrap().keys);
        assert!(!vouches("a -- b", "--"), "marks are no words, so no text vouches for them");
    }

    #[test]
    fn a_link_that_carries_more_than_where_it_leads_is_not_plain() {
        for (link, plain) in [
            ("www.informations.com", true),
            ("https://example.com/a/b", true),
            ("https://example.com/a?b=secret", false),
            ("https://example.com/#secret", false),
            ("https://secret@example.com/", false),
            ("https://example.com/%73ecret", false),
            ("not a link", false),
        ] {
            assert_eq!(Aimed::new(link).unwrap().is_plain_link, plain, "{link}");
        }
    }
}
