//! G7–G9: floods of HTTP/2 frames end their connection, cost little, and leave others alone.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::bench::get;
use super::program::Program;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame (RFC 9113 §4.1).
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A field that is not indexed, with a literal name (RFC 7541 §6.2.2), both of less than 127 bytes.
fn field(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).unwrap();
    [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
}

fn request(authority: &str, method: &str) -> Vec<u8> {
    let pseudo = [(":method", method), (":scheme", "http"), (":path", "/tracker/notes"), (":authority", authority)];
    pseudo.iter().flat_map(|(name, value)| field(name, value)).collect()
}

/// Sends a flood of up to `count` pieces, reading what comes; gives how many were taken before the connection ended.
async fn flood(program: &Program, count: u32, piece: impl Fn(u32) -> Vec<u8>) -> u32 {
    let stream = TcpStream::connect(program.agent().door).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    write.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await.unwrap();
    let reading = tokio::spawn(async move {
        let mut sink = vec![0; 1 << 16];
        while read.read(&mut sink).await.is_ok_and(|length| length > 0) {}
    });
    let mut taken = 0;
    while taken < count {
        let mut batch = Vec::new();
        for _ in 0..64 {
            batch.extend(piece(taken));
            taken += 1;
        }
        match timeout(Duration::from_secs(10), write.write_all(&batch)).await {
            Ok(Ok(())) if !reading.is_finished() => {}
            _ => break,
        }
    }
    drop(write);
    let _ = timeout(Duration::from_secs(10), reading).await;
    taken
}

async fn others_are_served(program: &Program) {
    for _ in 0..3 {
        let answer = timeout(Duration::from_secs(5), program.ask(get("/tracker/notes"))).await;
        assert_eq!(answer.expect("an answer").status, 200);
    }
}

#[tokio::test]
async fn g7_streams_that_are_opened_and_reset_end_the_connection() {
    let program = Program::usual().await;
    let authority = program.agent().door.to_string();
    let taken = flood(&program, 100_000, |number| {
        let stream = number * 2 + 1;
        let opened = frame(HEADERS, END_HEADERS | END_STREAM, stream, &request(&authority, "GET"));
        [opened, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    })
    .await;
    assert!(taken < 50_000, "{taken} resets were taken");
    let calls = program.a.requests().len();
    assert!(calls < 2_000, "{calls} calls were made for nobody");
    others_are_served(&program).await;
    program.hold().await;
}

#[tokio::test]
async fn g8_heads_without_end_and_heads_that_unpack_to_much_are_refused() {
    let program = Program::usual().await;
    let authority = program.agent().door.to_string();
    let taken = flood(&program, 20_000, |number| {
        let more = field("x", &"y".repeat(100)).repeat(100);
        if number == 0 {
            frame(HEADERS, END_STREAM, 1, &request(&authority, "GET"))
        } else {
            frame(CONTINUATION, 0, 1, &more)
        }
    })
    .await;
    assert!(taken < 2_000, "{taken} continuations were taken");
    // One long field goes into the table (RFC 7541 §6.2.1), and is then named again and again by one byte (§6.1).
    let value = "z".repeat(3_900);
    flood(&program, 2_000, |number| {
        let mut head = request(&authority, "GET");
        head.extend([0x40, 1, b'x', 0x7f, 0xbd, 0x1d]);
        head.extend(value.as_bytes());
        head.extend(std::iter::repeat_n(0xbe, 8_000));
        frame(HEADERS, END_HEADERS | END_STREAM, number * 2 + 1, &head)
    })
    .await;
    assert_eq!(program.a.requests().len(), 0, "a head of 30 MB was passed on");
    others_are_served(&program).await;
    program.hold().await;
}

#[tokio::test]
async fn g9_empty_frames_pings_settings_and_closed_windows_cost_little() {
    let program = Program::usual().await;
    let authority = program.agent().door.to_string();
    let pieces: [&(dyn Fn(u32) -> Vec<u8> + Sync); 5] = [
        &|number| match number {
            0 => frame(HEADERS, END_HEADERS, 1, &request(&authority, "POST")),
            _ => frame(DATA, 0, 1, &[]),
        },
        &|number| frame(PING, 0, 0, &u64::from(number).to_be_bytes()),
        &|_| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]),
        // Made to reset our own streams: an update of nothing on each (CVE-2025-8671).
        &|number| {
            let stream = number * 2 + 1;
            let opened = frame(HEADERS, END_HEADERS | END_STREAM, stream, &request(&authority, "GET"));
            [opened, frame(WINDOW_UPDATE, 0, stream, &0_u32.to_be_bytes())].concat()
        },
        // A window of nothing, and many answers wanted.
        &|number| match number {
            0 => frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]),
            _ => frame(HEADERS, END_HEADERS | END_STREAM, number * 2 + 1, &request(&authority, "GET")),
        },
    ];
    for piece in pieces {
        flood(&program, 20_000, piece).await;
        others_are_served(&program).await;
    }
    program.hold().await;
}
