//! The one type that holds secrets.

use std::fmt;

use zeroize::Zeroizing;

use super::Digest;

/// Bytes that nobody may see: not printable, not serialisable, not clonable, wiped when dropped.
///
/// ```
/// use countersign::model::Secret;
/// fn is_debug(_: impl std::fmt::Debug) {}
/// is_debug(Secret::new("s"));
/// ```
///
/// ```compile_fail,E0277
/// use countersign::model::Secret;
/// fn is_display(_: impl std::fmt::Display) {}
/// is_display(Secret::new("s"));
/// ```
///
/// ```compile_fail,E0277
/// use countersign::model::Secret;
/// fn is_serialize(_: impl serde::Serialize) {}
/// is_serialize(Secret::new("s"));
/// ```
///
/// ```compile_fail,E0277
/// use countersign::model::Secret;
/// fn is_clone(_: impl Clone) {}
/// is_clone(Secret::new("s"));
/// ```
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Bytes that a secret needs to be told from other words, and so to be kept out of answers.
    pub const SHORTEST: usize = 8;

    /// Takes the bytes over; the caller keeps no copy.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// SHA-256 over the bytes: what a secret is found by and compared with, without being kept.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }

    /// Whether it has fewer bytes than it needs to be told from other words.
    pub fn is_short(&self) -> bool {
        self.0.len() < Self::SHORTEST
    }

    /// The only way out. `tests/architecture` holds the list of places that may call it.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_as_none() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?} {secret:#?} {:?}", Some(&secret)), "<secret> <secret> Some(<secret>)");
    }
}
