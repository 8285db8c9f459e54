//! One key pair, of either kind that tokens are signed with.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, Signature};
use serde_json::{Value, json};

use crate::model::{Algorithm, Digest, Secret};

/// A private key with its public one.
#[derive(Debug)]
pub(super) enum Pair {
    /// On the curve P-256.
    P256(EcdsaKeyPair),
    /// On the curve Ed25519.
    Ed25519(Ed25519KeyPair),
}

impl Pair {
    /// A new one, in PKCS#8.
    pub(super) fn make(algorithm: Algorithm, random: &SystemRandom) -> Option<Secret> {
        let made = match algorithm {
            Algorithm::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, random),
            Algorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(random),
        };
        made.ok().map(|document| Secret::new(document.as_ref()))
    }

    /// Reads one of either kind.
    pub(super) fn read(pkcs8: &Secret, random: &SystemRandom) -> Option<Self> {
        let p256 = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.expose(), random).map(Self::P256);
        p256.or_else(|_| Ed25519KeyPair::from_pkcs8(pkcs8.expose()).map(Self::Ed25519)).ok()
    }

    /// What it signs by.
    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Self::P256(_) => Algorithm::Es256,
            Self::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// Signs: the 64 bytes r ‖ s of ES256 (RFC 7518 §3.4), or those of Ed25519 (RFC 8032 §5.1.6).
    pub(super) fn sign(&self, message: &[u8], random: &SystemRandom) -> Option<Signature> {
        match self {
            Self::P256(pair) => pair.sign(random, message).ok(),
            Self::Ed25519(pair) => Some(pair.sign(message)),
        }
    }

    /// The public key's members that tell it from others (RFC 7638 §3.2, RFC 8037 §2), without whitespace and in order.
    fn public(&self) -> String {
        // ring gives a P-256 point as 0x04 ‖ x ‖ y (SEC 1 §2.3.3).
        let part = |bytes: &[u8], range| URL_SAFE_NO_PAD.encode(bytes.get(range).unwrap_or_default());
        match self {
            Self::P256(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = (part(point, 1..33), part(point, 33..65));
                format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)
            }
            Self::Ed25519(pair) => {
                let x = part(pair.public_key().as_ref(), 0..32);
                format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)
            }
        }
    }

    /// The thumbprint of the public key (RFC 7638).
    pub(super) fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(Digest::of(self.public().as_bytes()).0)
    }

    /// The public key as a JWK under this name.
    pub(super) fn jwk(&self, id: &str) -> Value {
        let mut jwk: Value = serde_json::from_str(&self.public()).unwrap_or_default();
        if let Some(jwk) = jwk.as_object_mut() {
            let more = json!({ "use": "sig", "alg": self.algorithm().name(), "kid": id });
            jwk.extend(more.as_object().cloned().unwrap_or_default());
        }
        jwk
    }
}
