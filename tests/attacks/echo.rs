//! A tool that says back the credential it was called with: in whatever spelling, wherever it is cut, encoded or not, the
//! agent gets a mask, and the record says so.

use std::io::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use countersign::model::Lifetime;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use tokio::io::AsyncReadExt as _;

use super::mirror::{Lender, Mirror, Piece, chunked, header, whole};

/// A token as most are, and one that has to be escaped wherever it goes.
const TOKEN: &str = "eyJ0eXAiOiJhdCtqd3QifQ.eyJDQU5BUlkiOiJ5ZXMifQ.c2lnbmF0dXJl_-CANARY";
const ODD: &str = "CAN/ARY\"with\\odd+bytes=~?>%41end";

const SPELLINGS: usize = 16;

fn each(text: &str, write: impl Fn(u8) -> String) -> String {
    text.bytes().map(write).collect()
}

fn but_for_letters(text: &str, write: impl Fn(u8) -> String) -> String {
    each(text, |byte| if byte.is_ascii_alphanumeric() { char::from(byte).into() } else { write(byte) })
}

fn json(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap();
    quoted.strip_prefix('"').unwrap().strip_suffix('"').unwrap().to_owned()
}

/// What the tool says, and what of it must not be left.
fn spelled(secret: &str, number: usize) -> (String, String) {
    let inner = |before: &str, text: String| {
        // Without the characters that hold bits of a neighbour.
        let core = text.get((before.len() * 8).div_ceil(6)..(before.len() + secret.len()) * 8 / 6).unwrap().to_owned();
        (text, core)
    };
    let same = |text: String| (text.clone(), text);
    match number {
        0 => same(json(secret)),
        1 => same(json(secret).replace('/', "\\/")),
        2 => same(each(secret, |byte| format!("\\u{byte:04x}"))),
        3 => same(but_for_letters(secret, |byte| format!("\\u{byte:04X}"))),
        4 => same(each(secret, |byte| format!("%{byte:02x}"))),
        5 => same(each(secret, |byte| format!("%{byte:02X}"))),
        6 => same(but_for_letters(secret, |byte| format!("%{byte:02x}"))),
        7 => same(but_for_letters(secret, |byte| format!("%{byte:02X}"))),
        8 => same(hex::encode(secret)),
        9 => same(hex::encode_upper(secret)),
        10 => inner("", STANDARD.encode(secret)),
        11 => inner("Bearer ", STANDARD.encode(format!("Bearer {secret}"))),
        12 => inner("user:", STANDARD.encode(format!("user:{secret}"))),
        13 => inner("Bearer ", URL_SAFE_NO_PAD.encode(format!("Bearer {secret} "))),
        14 => inner("user:", URL_SAFE_NO_PAD.encode(format!("user:{secret}?"))),
        _ => inner("x", STANDARD.encode(format!("x{secret}xyz"))),
    }
}

/// Says back what `Authorization` held, as the path's first segment says, framed as the second one does.
fn says_back(request: &str) -> Vec<Piece> {
    let path = request.split(' ').nth(1).unwrap();
    let mut segments = path.strip_prefix("/base/").unwrap().split('/');
    let (number, framing) = (segments.next().unwrap().parse().unwrap(), segments.next().unwrap());
    let secret = header(request, "authorization").unwrap().strip_prefix("Bearer ").unwrap();
    let (said, _) = spelled(secret, number);
    let body = format!("{{\"you said\":\"{said}\",\"and\":[\"{said}\"]}}");
    let middle = body.find(&said).unwrap() + said.len() / 2;
    match framing {
        "whole" => whole("content-type: application/json\r\n", body.as_bytes()),
        "halves" => chunked("", &[&body.as_bytes()[..middle], &body.as_bytes()[middle..]]),
        _ => chunked("", &body.as_bytes().chunks(5).collect::<Vec<_>>()),
    }
}

#[tokio::test]
async fn a_credential_that_is_said_back_reaches_the_agent_in_no_spelling() {
    for secret in [TOKEN, ODD] {
        let mirror = Mirror::of(secret, says_back).await;
        for number in 0..SPELLINGS {
            let (said, kept) = spelled(secret, number);
            for framing in ["whole", "halves", "bytes"] {
                let answer = mirror.get(&format!("/{number}/{framing}")).await;
                let (text, shown) = (answer.text(), format!("{number} {framing}: {said}"));
                assert!(answer.status == 200 && answer.is_whole, "{shown}: {answer:?}");
                assert!(!text.contains(&kept), "{shown}: {text}");
                assert!(text.contains("[redacted:cred]"), "{shown}: {text}");
                let full = format!("{{\"you said\":\"{said}\",\"and\":[\"{said}\"]}}");
                assert_eq!(text.len(), full.len(), "{shown}: {text}");
                assert!(text.starts_with("{\"you said\":\"") && text.ends_with("\"]}"), "{shown}: {text}");
                serde_json::from_str::<serde_json::Value>(&text)
                    .unwrap_or_else(|error| panic!("{shown}: {error}: {text}"));
                let ended = mirror.ended(&answer).await;
                assert_eq!((&ended["ending"], &ended["echo"]), (&"completed".into(), &true.into()), "{shown}: {ended}");
            }
        }
        mirror.stop().await;
    }
}

#[tokio::test]
async fn an_answer_that_does_not_hold_the_credential_passes_to_the_byte() {
    let body = br#"{"token":"eyJ0eXAiOiJhdCtqd3QifQ.of-somebody-else","part":"eyJDQU5BUlkiOiJ5ZXMifQ"}"#;
    let head = "etag: \"1\"\r\ncontent-digest: sha-256=:x:\r\n";
    let mirror = Mirror::of(TOKEN, move |_| whole(head, body)).await;
    let answer = mirror.get("/x").await;
    assert_eq!(answer.body, body);
    assert_eq!((answer.header("etag"), answer.header("content-digest")), (Some("\"1\""), Some("sha-256=:x:")));
    assert_eq!(mirror.ended(&answer).await.get("echo"), None);
    mirror.stop().await;
}

#[tokio::test]
async fn a_credential_in_a_head_is_masked_and_what_vouched_for_the_bytes_is_dropped() {
    let mirror = Mirror::of(TOKEN, |request| {
        let said = header(request, "authorization").unwrap();
        let hexed = hex::encode(said);
        whole(
            &format!(
                "x-said: {said}\r\nlink: </x?t={hexed}>\r\nset-cookie: a={said}\r\netag: \"1\"\r\nx-request-id: 7\r\n"
            ),
            b"{}",
        )
    })
    .await;
    let answer = mirror.get("/x").await;
    let masked = format!("Bearer [redacted:cred]{}", "*".repeat(TOKEN.len() - 15));
    assert_eq!(answer.header("x-said"), Some(masked.as_str()));
    assert!(!answer.head.contains(TOKEN) && !answer.head.contains(&hex::encode(TOKEN)), "{answer:?}");
    assert_eq!((answer.header("etag"), answer.header("x-request-id")), (None, Some("7")));
    assert_eq!(mirror.ended(&answer).await["echo"], true);
    mirror.stop().await;
}

#[tokio::test]
async fn what_vouches_for_the_bytes_is_dropped_where_the_first_of_them_are_masked() {
    let mirror = Mirror::of(TOKEN, |request| {
        let head = "etag: \"1\"\r\nrepr-digest: sha-256=:x:\r\ncontent-md5: x\r\n";
        let mut pieces = match request.split(' ').nth(1).unwrap() {
            "/base/first" => whole(head, TOKEN.as_bytes()),
            _ => chunked(head, &[b"first", TOKEN.as_bytes()]),
        };
        if pieces.len() > 1 {
            pieces.insert(2, Piece::Wait);
        }
        pieces
    })
    .await;
    let first = mirror.get("/first").await;
    assert_eq!(first.text().len(), TOKEN.len());
    for name in ["etag", "repr-digest", "content-md5"] {
        assert_eq!(first.header(name), None, "{name}");
    }
    // Once the head is on its way, a digest that no longer fits is how a client notices.
    mirror.go_on.add_permits(1);
    let later = mirror.get("/later").await;
    assert_eq!(later.header("etag"), Some("\"1\""));
    assert!(later.is_whole && !later.text().contains("CANARY"), "{later:?}");
    mirror.stop().await;
}

#[tokio::test]
async fn the_pair_behind_basic_and_its_password_are_masked_as_well() {
    let pair = "octo:correct-CANARY/horse";
    // base64 of the pair.
    let lender = Lender { prefix: "Basic ", ..Lender::new("b2N0bzpjb3JyZWN0LUNBTkFSWS9ob3JzZQ==") };
    assert_eq!(STANDARD.encode(pair), lender.secret);
    let mirror = Mirror::start(lender, move |request| {
        let password = "correct-CANARY/horse";
        let said = [
            pair.to_owned(),
            password.to_owned(),
            password.replace('/', "%2F"),
            hex::encode(pair),
            STANDARD.encode(format!("me:{password}")),
        ];
        whole("", format!("{}|{}", header(request, "authorization").unwrap(), said.join("|")).as_bytes())
    })
    .await;
    let text = mirror.get("/x").await.text();
    let said: Vec<&str> = text.split('|').collect();
    assert_eq!(said[0], "Basic [redacted:cred]*********************", "{text}");
    assert_eq!((said[1].len(), said[2]), (pair.len(), "[redacted:cred]*****"));
    for part in said {
        assert!(part.contains("[redacted:cred]"), "{part}");
        assert!(!part.contains("horse") && !part.contains("686f727365"), "{part}");
    }
    mirror.stop().await;
}

#[tokio::test]
async fn a_credential_that_is_still_lent_is_ended_as_soon_as_it_is_said_back() {
    for (said, expected) in [(TOKEN, 1), ("nothing of the kind", 0)] {
        let lender = Lender { lifetime: Lifetime::End, ..Lender::new(TOKEN) };
        let mirror = Mirror::start(lender, move |_| {
            let mut pieces = chunked("", &[said.as_bytes(), b"the rest"]);
            pieces.insert(2, Piece::Wait);
            pieces
        })
        .await;
        let calling = mirror.get("/x");
        let looking = async {
            tokio::time::sleep(Duration::from_millis(400)).await;
            let revoked = mirror.lender.revoked();
            mirror.go_on.add_permits(1);
            revoked
        };
        let (answer, revoked) = tokio::join!(calling, looking);
        assert_eq!(revoked, expected, "while the answer is under way");
        assert!(answer.is_whole && answer.text().ends_with("the rest"), "{answer:?}");
        let ended = mirror.ended(&answer).await;
        assert_eq!((&ended["ending"], &ended["credential"]["revocation"]), (&"completed".into(), &"confirmed".into()));
        assert_eq!(ended.get("echo").is_some(), expected == 1, "{ended}");
        assert_eq!(mirror.lender.revoked(), 1);
        mirror.stop().await;
    }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// Brotli that holds a short text as it is (RFC 7932 §9.2).
fn brotli(text: &[u8]) -> Vec<u8> {
    let head = ((text.len() - 1) | 1 << 16) << 4;
    [&head.to_le_bytes()[..3], text, &[3]].concat()
}

#[tokio::test]
async fn an_answer_is_decoded_before_it_is_masked() {
    let mirror = Mirror::of(TOKEN, |request| {
        let said = format!("you said {}", header(request, "authorization").unwrap());
        let (coding, body) = match request.split(' ').nth(1).unwrap() {
            "/base/gzip" => ("gzip", gzip(said.as_bytes())),
            "/base/deflate" => ("deflate", zlib(said.as_bytes())),
            _ => ("br", brotli(said.as_bytes())),
        };
        whole(&format!("content-encoding: {coding}\r\netag: \"1\"\r\n"), &body)
    })
    .await;
    for coding in ["gzip", "deflate", "br"] {
        let answer = mirror.get(&format!("/{coding}")).await;
        assert!(
            answer.text().starts_with("you said Bearer [redacted:cred]**") && answer.is_whole,
            "{coding}: {answer:?}"
        );
        assert_eq!((answer.header("content-encoding"), answer.header("etag")), (None, None));
        assert_eq!(mirror.ended(&answer).await["echo"], true);
    }
    assert!(mirror.seen().iter().all(|request| header(request, "accept-encoding") == Some("identity")));
    mirror.stop().await;
}

#[tokio::test]
async fn an_event_arrives_before_the_next_one_is_there_encoded_or_not() {
    let mirror = Mirror::of(TOKEN, |request| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let mut flushed = |text: &str| {
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.flush().unwrap();
            std::mem::take(encoder.get_mut())
        };
        let mut pieces = if request.contains("/gzip") {
            let events = [flushed("data: e1\n\n"), flushed("data: e2\n\n")];
            let end = encoder.finish().unwrap();
            chunked("content-type: text/event-stream\r\ncontent-encoding: gzip\r\n", &[&events[0], &events[1], &end])
        } else {
            chunked("content-type: text/event-stream\r\n", &[b"data: e1\n\n", b"data: e2\n\n"])
        };
        pieces.insert(2, Piece::Wait);
        pieces
    })
    .await;
    for path in ["gzip", "plain"] {
        let mut stream =
            mirror.begin(&format!("GET /tool/{path} HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\r\n")).await;
        let mut bytes = Vec::new();
        let first = async {
            while !String::from_utf8_lossy(&bytes).contains("data: e1\n\n") {
                assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0);
            }
        };
        tokio::time::timeout(Duration::from_secs(5), first)
            .await
            .unwrap_or_else(|_| panic!("{path}: the event is held back"));
        mirror.go_on.add_permits(1);
        stream.read_to_end(&mut bytes).await.unwrap();
        assert!(String::from_utf8_lossy(&bytes).contains("data: e2\n\n"), "{path}");
    }
    mirror.stop().await;
}

#[tokio::test]
async fn a_bomb_breaks_off_the_answer_and_what_cannot_be_decoded_is_refused() {
    let zeros = vec![0; 64 * 1024 * 1024];
    let (gzipped, zlibbed) = (gzip(&zeros), zlib(&zeros));
    // 40 MiB of zeros.
    let brotlied = STANDARD
        .decode("y///P/gnAOKxQCD3/o///3/wTwDEYRGA7v0f////4J8AiMMCAN37P/7//8E/ARCHBQC693/5//+HfwIgDgsAdO//AA==")
        .unwrap();
    let mirror = Mirror::of(TOKEN, move |request| {
        let (coding, body) = match request.split(' ').nth(1).unwrap() {
            "/base/gzip" => ("gzip", &gzipped),
            "/base/deflate" => ("deflate", &zlibbed),
            "/base/br" => ("br", &brotlied),
            "/base/nested" => ("gzip, gzip", &gzipped),
            "/base/zstd" => ("zstd", &gzipped),
            _ => ("br", &gzipped),
        };
        whole(&format!("content-encoding: {coding}\r\n"), body)
    })
    .await;
    for path in ["gzip", "deflate", "br", "broken"] {
        let answer = mirror.get(&format!("/{path}")).await;
        assert!(!answer.is_whole && answer.body.len() <= 16 * 1024 * 1024, "{path}: {}", answer.body.len());
        let ended = mirror.ended(&answer).await;
        assert_eq!(ended["ending"], "failed", "{path}: {ended}");
        let why = if path == "broken" { "not encoded as" } else { "more than 100 times its size" };
        assert!(ended["why"].as_str().unwrap().contains(why), "{path}: {ended}");
    }
    for path in ["nested", "zstd"] {
        let answer = mirror.get(&format!("/{path}")).await;
        assert_eq!(answer.status, 502, "{path}: {answer:?}");
        assert!(answer.text().contains("upstream_failed"), "{answer:?}");
    }
    mirror.stop().await;
}
