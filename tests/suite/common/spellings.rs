//! A secret that can be nothing else, and the ways it could be spelled where it should not stand.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom as _, SystemRandom};

/// A text that stands nowhere else. It holds what percent-encoding, JSON and base64url would write differently.
pub fn canary() -> String {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).unwrap();
    format!("CANARY+/\"{}", hex::encode(bytes))
}

/// Whether `part` stands in `bytes`.
pub fn holds(bytes: &[u8], part: &[u8]) -> bool {
    // Its last byte first: most places fail there at once.
    let Some((last, front)) = part.split_last() else { return true };
    let place = |(at, byte): (usize, &u8)| byte == last && bytes[..at + front.len()][at..] == *front;
    bytes.len() >= part.len() && bytes[front.len()..].iter().enumerate().any(place)
}

/// In which of its spellings the secret stands in `bytes`.
pub fn spelled(bytes: &[u8], secret: &str) -> Option<&'static str> {
    let lower = bytes.to_ascii_lowercase();
    let found = |(_, spelling): &(&str, Vec<u8>)| holds(bytes, spelling) || holds(&lower, spelling);
    spellings(secret).iter().find(|spelling| found(spelling)).map(|(name, _)| *name)
}

fn spellings(secret: &str) -> Vec<(&'static str, Vec<u8>)> {
    let plain = secret.as_bytes();
    let percent = |byte: &u8| format!("%{byte:02x}");
    let reserved = |byte: &u8| if byte.is_ascii_alphanumeric() { char::from(*byte).to_string() } else { percent(byte) };
    let escaped = serde_json::to_string(secret).unwrap();
    let escaped = escaped.trim_matches('"');
    let mut all = vec![
        ("as it is", plain.to_vec()),
        ("backwards", plain.iter().rev().copied().collect()),
        ("in hex", hex::encode(plain).into_bytes()),
        ("percent-encoded", plain.iter().map(reserved).collect::<String>().to_ascii_lowercase().into_bytes()),
        ("wholly percent-encoded", plain.iter().map(percent).collect::<String>().into_bytes()),
        ("JSON-escaped", escaped.as_bytes().to_vec()),
        ("JSON-escaped with slashes", escaped.replace('/', "\\/").into_bytes()),
        ("as a list of bytes", format!("{plain:?}").trim_matches(['[', ']']).as_bytes().to_vec()),
        ("as a list of bytes, compact", format!("{plain:?}").replace(' ', "").trim_matches(['[', ']']).into()),
    ];
    for before in 0..3 {
        // Characters that no byte but the secret's own has a share in.
        let padded = [&b"xx"[..before], plain].concat();
        let own = |text: String| text.as_bytes()[(before * 8).div_ceil(6)..padded.len() * 8 / 6].to_vec();
        all.push(("in base64", own(STANDARD_NO_PAD.encode(&padded))));
        all.push(("in base64url", own(URL_SAFE_NO_PAD.encode(&padded))));
    }
    all
}

#[test]
fn a_secret_is_found_however_it_is_spelled() {
    let secret = canary();
    for before in ["", "a", "ab", "abc"] {
        let around = format!("{before}{secret}b");
        let all = [
            around.clone(),
            hex::encode(&around),
            hex::encode_upper(&around),
            STANDARD_NO_PAD.encode(&around),
            URL_SAFE_NO_PAD.encode(&around),
            serde_json::to_string(&around).unwrap(),
            around.replace('/', "%2F").replace('+', "%2B").replace('"', "%22"),
            around.bytes().rev().map(char::from).collect(),
            format!("{:?}", around.as_bytes()),
        ];
        for text in all {
            assert!(spelled(text.as_bytes(), &secret).is_some(), "{text}");
        }
    }
    assert_eq!(spelled(canary().as_bytes(), &secret), None);
}
