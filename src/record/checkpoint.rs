//! What the tree was at one size, signed: a C2SP checkpoint (c2sp.org/tlog-checkpoint) in a C2SP signed note.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use super::StoreError;
use crate::model::{Digest, Secret};

/// The algorithm byte of Ed25519 in keys and key ids (c2sp.org/signed-note).
const ED25519_KIND: u8 = 0x01;

/// Signatures a note may carry here; a reader must take at least 16 (c2sp.org/signed-note).
const MAX_SIGNATURES: usize = 64;

/// The tree at one size.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checkpoint {
    /// The name of the lineage.
    pub origin: String,
    /// Records it covers.
    pub size: u64,
    /// The root over these records.
    pub root: Digest,
}

impl Checkpoint {
    /// Reads a note without looking at its signatures.
    pub fn parse(note: &str) -> Result<Self, StoreError> {
        let (text, signatures) = split(note)?;
        for line in signatures {
            Signature::parse(line)?;
        }
        Self::parse_text(text)
    }

    /// Reads a note that `verifier`'s key signed. Signatures of other keys count for nothing.
    pub fn verify(note: &str, verifier: &Verifier) -> Result<Self, StoreError> {
        Self::parse_text(verifier.open(note)?)
    }

    fn parse_text(text: &str) -> Result<Self, StoreError> {
        let mut lines = text.lines();
        let origin = lines.next().filter(|line| !line.is_empty()).ok_or(StoreError::Note("it has no origin"))?;
        let size = lines.next().and_then(strict_number).ok_or(StoreError::Note("its size is not a plain number"))?;
        let root = lines.next().and_then(|line| STANDARD.decode(line).ok()?.try_into().ok());
        let root = root.ok_or(StoreError::Note("its root is not 32 bytes in base64"))?;
        if lines.any(str::is_empty) {
            return Err(StoreError::Note("it has an empty line"));
        }
        Ok(Self { origin: origin.to_owned(), size, root: Digest(root) })
    }
}

impl fmt::Display for Checkpoint {
    /// The text that is signed, with the newline at its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, STANDARD.encode(self.root.0))
    }
}

/// Signs checkpoints of one lineage. The key's name is the lineage's.
#[derive(Debug)]
pub struct Signer {
    pair: Ed25519KeyPair,
    verifier: Verifier,
}

impl Signer {
    /// A signer for the lineage named `origin`, with an Ed25519 key in PKCS#8 (RFC 8410 §7).
    ///
    /// A name that is empty or holds spaces, plus signs or control characters is an error, and so is any other kind of key.
    pub fn new(origin: &str, pkcs8: &Secret) -> Result<Self, StoreError> {
        if !is_key_name(origin) {
            return Err(StoreError::SigningKey(
                "its name is empty or holds a space, a plus sign or a control character",
            ));
        }
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8.expose())
            .map_err(|_| StoreError::SigningKey("it is not an Ed25519 key in PKCS#8"))?;
        let mut key = [0; 32];
        key.copy_from_slice(pair.public_key().as_ref());
        Ok(Self { pair, verifier: Verifier { name: origin.to_owned(), key } })
    }

    /// Signs the tree at one size. Only what is durable may be signed: no two checkpoints may ever contradict each other.
    pub fn sign(&self, size: u64, root: Digest) -> String {
        let text = Checkpoint { origin: self.verifier.name.clone(), size, root }.to_string();
        let signature = self.pair.sign(text.as_bytes());
        let blob = [&self.verifier.key_id(), signature.as_ref()].concat();
        format!("{text}\n— {} {}\n", self.verifier.name, STANDARD.encode(blob))
    }

    /// What checks this signer's notes.
    pub const fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// What others check this signer's notes with: `name+keyid+key` (c2sp.org/signed-note, verifier keys).
    pub fn vkey(&self) -> String {
        self.verifier.to_string()
    }
}

/// A public key that checkpoints are checked with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verifier {
    name: String,
    key: [u8; 32],
}

impl Verifier {
    /// Reads `name+keyid+key` (c2sp.org/signed-note); a key id that does not fit name and key is an error.
    pub fn parse(vkey: &str) -> Result<Self, StoreError> {
        let read = || {
            let mut parts = vkey.trim().splitn(3, '+');
            let (name, id, key) = (parts.next()?, parts.next()?, parts.next()?);
            let key = STANDARD.decode(key).ok()?;
            let (kind, key) = key.split_first()?;
            let verifier = Self { name: name.to_owned(), key: key.try_into().ok()? };
            let fits = *kind == ED25519_KIND && is_key_name(name) && id == hex::encode(verifier.key_id());
            fits.then_some(verifier)
        };
        read().ok_or_else(|| StoreError::VerificationKey(vkey.to_owned()))
    }

    /// The text of a note that this key signed, with its last newline (c2sp.org/signed-note).
    fn open<'a>(&self, note: &'a str) -> Result<&'a str, StoreError> {
        let (text, signatures) = split(note)?;
        let mut signed = false;
        for line in signatures {
            let signature = Signature::parse(line)?;
            if signature.name == self.name && signature.key_id == self.key_id() {
                let key = UnparsedPublicKey::new(&ED25519, self.key);
                key.verify(text.as_bytes(), &signature.bytes)
                    .map_err(|_| StoreError::Note("its signature does not fit its text"))?;
                signed = true;
            }
        }
        if signed { Ok(text) } else { Err(StoreError::Note("it is not signed by the expected key")) }
    }

    /// The first four bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ key) (c2sp.org/signed-note).
    fn key_id(&self) -> [u8; 4] {
        let named = [self.name.as_bytes(), &[b'\n', ED25519_KIND], &self.key].concat();
        let [a, b, c, d, ..] = Digest::of(&named).0;
        [a, b, c, d]
    }
}

impl fmt::Display for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [[ED25519_KIND].as_slice(), &self.key].concat();
        write!(f, "{}+{}+{}", self.name, hex::encode(self.key_id()), STANDARD.encode(key))
    }
}

struct Signature<'a> {
    name: &'a str,
    key_id: [u8; 4],
    bytes: Vec<u8>,
}

impl<'a> Signature<'a> {
    fn parse(line: &'a str) -> Result<Self, StoreError> {
        let read = || {
            let (name, blob) = line.strip_prefix("— ")?.split_once(' ')?;
            let blob = STANDARD.decode(blob).ok()?;
            let (key_id, bytes) = blob.split_first_chunk::<4>()?;
            let whole = is_key_name(name) && !bytes.is_empty();
            whole.then(|| Self { name, key_id: *key_id, bytes: bytes.to_vec() })
        };
        read().ok_or(StoreError::Note("a signature line cannot be read"))
    }
}

/// The text with its last newline, and the signature lines behind the last empty line.
fn split(note: &str) -> Result<(&str, Vec<&str>), StoreError> {
    if note.chars().any(|c| c != '\n' && c.is_control()) {
        return Err(StoreError::Note("it holds control characters"));
    }
    let (text, signatures) = note.rsplit_once("\n\n").ok_or(StoreError::Note("it has no signatures"))?;
    let text = note.get(..=text.len()).unwrap_or(text);
    let signatures = signatures.strip_suffix('\n').ok_or(StoreError::Note("it does not end with a newline"))?;
    let lines: Vec<&str> = signatures.split('\n').collect();
    if lines.len() > MAX_SIGNATURES {
        return Err(StoreError::Note("it has too many signatures"));
    }
    Ok((text, lines))
}

fn strict_number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c == '+' || c.is_whitespace() || c.is_control())
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;

    use super::*;

    fn signer() -> Signer {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Signer::new("lineage.example", &Secret::new(pkcs8.as_ref())).unwrap()
    }

    #[test]
    fn the_example_key_of_the_standard_has_its_key_id() {
        let vkey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
        let verifier = Verifier::parse(vkey).unwrap();
        assert_eq!((hex::encode(verifier.key_id()), verifier.to_string()), ("530d903a".into(), vkey.into()));
        assert!(Verifier::parse(&vkey.replace("530d903a", "530d903b")).is_err());
    }

    /// Note and key are those of the example in Go's `golang.org/x/mod/sumdb/note`, where the format comes from.
    #[test]
    fn the_example_note_of_its_first_author_opens_and_with_any_bit_changed_does_not() {
        let verifier = Verifier::parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
        let text =
            "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
        let signature = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";
        let note = format!("{text}\n— PeterNeumann {signature}\n");
        assert_eq!(verifier.open(&note).unwrap(), text);
        for (at, bit) in (0..note.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut bent = note.clone().into_bytes();
            bent[at] ^= 1 << bit;
            let opened = String::from_utf8(bent).is_ok_and(|bent| verifier.open(&bent).is_ok());
            assert!(!opened, "bit {bit} of byte {at}");
        }
        assert!(Verifier::parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TX").is_err());
    }

    #[test]
    fn a_signed_checkpoint_verifies_and_reads_back() {
        let signer = signer();
        let note = signer.sign(42, Digest::of(b"tree"));
        let verifier = Verifier::parse(&signer.vkey()).unwrap();
        let read = Checkpoint::verify(&note, &verifier).unwrap();
        assert_eq!(read, Checkpoint { origin: "lineage.example".into(), size: 42, root: Digest::of(b"tree") });
        assert_eq!(Checkpoint::parse(&note).unwrap(), read);
    }

    #[test]
    fn a_changed_checkpoint_does_not_verify() {
        let signer = signer();
        let note = signer.sign(42, Digest::of(b"tree"));
        for wrong in [
            note.replace("\n42\n", "\n43\n"),
            note.replace("\n42\n", "\n042\n"),
            note.replace("\n42\n", "\n+42\n"),
            note.trim_end().to_owned(),
            note.replace("\n\n", "\n"),
            note.replace("lineage.example\n42", "lineage.example\r\n42"),
            note.replace("— lineage.example", "— lineage.sample"),
        ] {
            assert!(Checkpoint::verify(&wrong, signer.verifier()).is_err(), "{wrong}");
        }
        assert!(Checkpoint::verify(&note, super::tests::signer().verifier()).is_err());
    }

    #[test]
    fn signatures_of_strangers_are_ignored() {
        let ours = signer();
        let note = ours.sign(7, Digest::of(b"tree"));
        let stranger = Signer::new("other.example", &{
            let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
            Secret::new(pkcs8.as_ref())
        })
        .unwrap();
        let theirs = stranger.sign(7, Digest::of(b"tree"));
        let line = theirs.lines().last().unwrap();
        assert!(Checkpoint::verify(&format!("{note}{line}\n"), ours.verifier()).is_ok());
    }

    #[test]
    fn a_key_with_a_bad_name_is_refused() {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        for name in ["", "a b", "a+b", "a\nb"] {
            assert!(Signer::new(name, &Secret::new(pkcs8.as_ref())).is_err(), "{name:?}");
        }
    }
}
