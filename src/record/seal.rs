//! Names of credentials that are as good as secrets, encrypted under the store's key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

use super::StoreError;
use crate::model::Secret;

/// Seals and opens under one key: AES-256-GCM (NIST SP 800-38D) with a random nonce each time.
#[derive(Debug)]
pub struct Sealer {
    key: LessSafeKey,
    random: SystemRandom,
}

impl Sealer {
    /// A sealer under the store's key of 32 bytes; a key of another length is an error.
    pub fn new(key: &Secret) -> Result<Self, StoreError> {
        let wrong = |_| StoreError::StoreKey(key.expose().len());
        let key = UnboundKey::new(&AES_256_GCM, key.expose()).map_err(wrong)?;
        Ok(Self { key: LessSafeKey::new(key), random: SystemRandom::new() })
    }

    /// Encrypts `plain`; it opens only with the same `aad`: the bytes of the call's id. Base64 of nonce ‖ ciphertext ‖ tag.
    pub fn seal(&self, plain: &[u8], aad: &[u8]) -> Result<String, StoreError> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| StoreError::Random)?;
        let mut sealed = plain.to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(unique, Aad::from(aad), &mut sealed).map_err(|_| StoreError::Sealed)?;
        Ok(STANDARD.encode([nonce.as_slice(), &sealed].concat()))
    }

    /// Decrypts what `seal` made with the same key and `aad`; anything else is an error.
    pub fn open(&self, sealed: &str, aad: &[u8]) -> Result<Secret, StoreError> {
        let bytes = STANDARD.decode(sealed).map_err(|_| StoreError::Sealed)?;
        let (nonce, body) = bytes.split_first_chunk::<NONCE_LEN>().ok_or(StoreError::Sealed)?;
        let mut body = zeroize::Zeroizing::new(body.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self.key.open_in_place(nonce, Aad::from(aad), &mut body).map_err(|_| StoreError::Sealed)?;
        Ok(Secret::new(&*plain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_name_opens_for_its_own_call_only() {
        let sealer = Sealer::new(&Secret::new([5; 32])).unwrap();
        let sealed = sealer.seal(b"lease/42", b"call one").unwrap();
        assert_eq!(sealer.open(&sealed, b"call one").unwrap().expose(), b"lease/42");
        assert!(sealer.open(&sealed, b"call two").is_err());
        assert!(Sealer::new(&Secret::new([6; 32])).unwrap().open(&sealed, b"call one").is_err());
        assert_ne!(sealed, sealer.seal(b"lease/42", b"call one").unwrap());
    }

    #[test]
    fn a_changed_or_cut_seal_does_not_open() {
        let sealer = Sealer::new(&Secret::new([5; 32])).unwrap();
        let sealed = STANDARD.decode(sealer.seal(b"lease/42", b"call").unwrap()).unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(sealer.open(&STANDARD.encode(&changed), b"call").is_err(), "{at}");
            assert!(sealer.open(&STANDARD.encode(&sealed[..at]), b"call").is_err(), "{at}");
        }
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        assert!(matches!(Sealer::new(&Secret::new([5; 16])), Err(StoreError::StoreKey(16))));
    }
}
