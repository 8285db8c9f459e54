//! A secret that an answer echoes is masked in every spelling, however the answer is cut; and nothing else is.

use std::collections::{BTreeSet, VecDeque};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use countersign::forward::{Redacting, Redactor};
use countersign::model::{BoxError, Placement, Secret};
use countersign::revoke::Echo;
use http_body::{Body, Frame};

/// Bytes from here on stand for a spelling, whole or in part; what is below stands for itself.
const SPELLED: u8 = 0xc0;

/// Input: how long the secret is, the secret, how many cuts, the cuts, and the body.
pub fn holds(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first() else { return false };
    let Some((secret, rest)) = rest.split_at_checked(16 + usize::from(length % 24)) else { return false };
    let secret: Vec<u8> = secret.iter().map(|byte| visible(*byte)).collect();
    let Some((count, rest)) = rest.split_first() else { return false };
    let Some((cuts, pieces)) = rest.split_at_checked(usize::from(count % 8)) else { return false };
    let mut body = Vec::new();
    for piece in &pieces[..pieces.len().min(600)] {
        if *piece < SPELLED {
            body.push(*piece);
        } else {
            let spelling = spelled(&secret, piece % WAYS);
            // Half of those that a byte may stand for are cut short.
            let end = if piece & 16 == 0 { spelling.len() } else { spelling.len() - 1 - usize::from(piece & 15) };
            body.extend_from_slice(&spelling[..end]);
        }
    }
    // Known gap: a secret that ends in `%` or a backslash, written with other escapes, as the very last of an answer.
    body.push(b'\n');
    let (whole, heard) = passed(&secret, &body, &[]);
    let (cut, heard_cut) = passed(&secret, &body, cuts);
    assert_eq!((cut, heard_cut), (whole.clone(), heard), "cut, it is masked in another way");
    assert_eq!(whole.len(), body.len(), "the length is kept");
    assert_eq!(heard, whole != body, "an echo is told exactly if something is masked");
    let left = |how: &u8| {
        let spelling = spelled(&secret, *how);
        whole.windows(spelling.len()).any(|part| part == spelling)
    };
    assert_eq!((0..WAYS).find(left), None, "a spelling of the secret is still there");
    assert!(!heard || can_be_read(&secret, &body), "something else was masked");
    heard
}

/// Visible, and nothing that a mask is made of.
fn visible(byte: u8) -> u8 {
    match b'!' + byte % 94 {
        b'[' | b']' | b'*' => b'+',
        visible => visible,
    }
}

/// What passes of a body that comes in parts, and whether an echo was heard.
fn passed(secret: &[u8], body: &[u8], cuts: &[u8]) -> (Vec<u8>, bool) {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| usize::from(*cut) * (body.len() + 1) / 256).collect();
    cuts.extend([0, body.len()]);
    cuts.sort_unstable();
    let parts = cuts.windows(2).map(|pair| Bytes::copy_from_slice(&body[pair[0]..pair[1]])).collect();
    let placement = Placement::Header { name: http::header::AUTHORIZATION, prefix: "Bearer ".to_owned() };
    let redactor = Redactor::new(Secret::new(secret), &placement, Echo::default()).unwrap();
    let mut masked = Redacting::new(Parts(parts), Some(redactor));
    let mut out = Vec::new();
    while let Poll::Ready(Some(frame)) = Pin::new(&mut masked).poll_frame(&mut Context::from_waker(Waker::noop())) {
        out.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    (out, masked.has_echoed())
}

/// A body in parts.
struct Parts(VecDeque<Bytes>);

impl Body for Parts {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(self.0.pop_front().map(|part| Ok(Frame::data(part))))
    }
}

/// So many ways there are.
const WAYS: u8 = 16;

/// One of the ways in which encoders write a secret.
fn spelled(secret: &[u8], how: u8) -> Vec<u8> {
    let each = |escape: fn(u8) -> String| secret.iter().map(|byte| escape(*byte)).collect::<String>();
    let text = match how {
        0 => String::from_utf8(secret.to_vec()).unwrap(),
        1 => base64(secret, 1).replace('+', "-").replace('/', "_"),
        2 => hex::encode(secret),
        3 => hex::encode_upper(secret),
        4 => each(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).into() } else { format!("%{byte:02X}") }),
        5 => each(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).into() } else { format!("%{byte:02x}") }),
        6 => each(|byte| format!("%{byte:02x}")),
        7 => json(secret),
        8 => each(|byte| format!("\\u{byte:04x}")),
        9 => json(secret).replace('/', "\\/"),
        10..=12 => base64(secret, usize::from(how) - 10),
        13 => base64(secret, 0).replace('+', "-").replace('/', "_"),
        14 => base64(secret, 1).replace('+', "%2B").replace('/', "%2F"),
        _ => base64(secret, 2).replace('/', "\\/"),
    };
    text.into_bytes()
}

fn json(secret: &[u8]) -> String {
    let quoted = serde_json::to_string(std::str::from_utf8(secret).unwrap()).unwrap();
    quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap().to_owned()
}

/// Behind so many other bytes; only characters that no byte but the secret's own has a share in.
fn base64(secret: &[u8], before: usize) -> String {
    let padded = [&b"xx"[..before], secret].concat();
    let encoded = STANDARD_NO_PAD.encode(&padded);
    encoded.get((before * 8).div_ceil(6)..padded.len() * 8 / 6).unwrap().to_owned()
}

/// Whether a secret can be read anywhere in a body: as it is, in hexadecimal, in base64, with whatever escapes.
fn can_be_read(secret: &[u8], body: &[u8]) -> bool {
    let mut ways: Vec<Vec<[u8; 2]>> = vec![secret.iter().map(|byte| [*byte; 2]).collect()];
    ways.push(hex::encode(secret).bytes().map(|digit| [digit, digit.to_ascii_uppercase()]).collect());
    ways.extend((0..3).map(|before| base64(secret, before).bytes().map(|symbol| [symbol, twin(symbol)]).collect()));
    (0..body.len()).any(|at| ways.iter().any(|symbols| reads(symbols, &body[at..])))
}

fn twin(symbol: u8) -> u8 {
    match symbol {
        b'+' => b'-',
        b'/' => b'_',
        symbol => symbol,
    }
}

/// Whether `body` begins with these symbols, each escaped or not: every place a reader may have come to is followed.
fn reads(symbols: &[[u8; 2]], body: &[u8]) -> bool {
    let mut places = BTreeSet::from([0]);
    for symbol in symbols {
        let steps = places.iter().flat_map(|at: &usize| {
            let rest = &body[*at..];
            let literal = rest.first().map(|byte| (*byte, 1));
            [literal, escape(rest)].into_iter().flatten().map(move |(byte, taken)| (byte, at + taken))
        });
        places = steps.filter(|(byte, _)| symbol.contains(byte)).map(|(_, at)| at).collect();
    }
    !places.is_empty()
}

/// The byte that is escaped here as in a URL (RFC 3986 §2.1) or in JSON (RFC 8259 §7), and how many bytes that takes.
fn escape(body: &[u8]) -> Option<(u8, usize)> {
    let hex = |from: usize| {
        let digits = std::str::from_utf8(body.get(from..from + 2)?).ok()?;
        digits.bytes().all(|it| it.is_ascii_hexdigit()).then(|| u8::from_str_radix(digits, 16).unwrap())
    };
    match body {
        [b'%', ..] => Some((hex(1)?, 3)),
        [b'\\', b'u' | b'U', b'0', b'0', ..] => Some((hex(4)?, 6)),
        [b'\\', byte @ (b'"' | b'\\' | b'/' | b'\''), ..] => Some((*byte, 2)),
        _ => None,
    }
}
