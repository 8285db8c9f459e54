//! What was sent, what was judged, what arrived (ATTACKS A14): thousands of requests made from good ones by a seeded
//! generator, each read by the sidecar and, at the upstream, by a second reader that shares no code with it.
//!
//! `COUNTERSIGN_SEED` chooses another run; `COUNTERSIGN_LONG` a longer one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use countersign::model::{CallId, Digest};
use tokio::time::timeout;

use super::bench::{Bench, judged};
use crate::suite::common::sidecar::all;
use crate::suite::common::wire::{Agent, Answer, Kind, Message};

/// Requests that are under way at a time.
const TOGETHER: usize = 16;

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }

    fn of<T: Copy>(&mut self, these: &[T]) -> T {
        these[self.below(these.len())]
    }
}

const METHODS: [&str; 9] = ["GET", "GET", "POST", "POST", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"];
const SEGMENTS: [&str; 14] =
    ["a", "admin", "repos", "octo", "hello", "issues", "x.y", "%20", "%C3%A4", "~", "pay", "notes", "1,2", "a:b"];
const QUERIES: [&str; 9] = ["", "", "?", "?a=1", "?state=open", "?a=1&b=%20", "?x[]=1&x[]=2", "?q=a+b", "?a/b"];
const FIELDS: [&str; 12] = [
    "accept: */*",
    "accept: text/html",
    "user-agent: agent/1.0",
    "if-none-match: \"x\"",
    "agent-intent: action=\"read\"",
    "x-unknown: 1",
    "cookie: a=b",
    "content-type: application/json",
    "content-type: text/plain",
    "accept-language: de, en;q=0.5",
    "idempotency-key: k",
    "te: trailers",
];
const BODIES: [&str; 6] =
    ["", "{}", r#"{"amount":7,"to":"a"}"#, "plain text", "GET /tracker/admin HTTP/1.1\r\n\r\n", "[1,2]"];

/// A request that is well, mostly.
fn good(random: &mut Random, host: &str) -> Vec<u8> {
    let depth = 1 + random.below(4);
    let path = (0..depth).map(|_| random.of(&SEGMENTS)).collect::<Vec<_>>().join("/");
    let method = random.of(&METHODS);
    let mut text =
        format!("{method} /tracker/{path}{} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n", random.of(&QUERIES));
    for _ in 0..random.below(4) {
        text.extend([random.of(&FIELDS), "\r\n"]);
    }
    let body = random.of(&BODIES);
    match random.below(3) {
        0 if body.is_empty() => text += "\r\n",
        1 => {
            let (front, back) = body.split_at(body.len() / 2);
            text += "transfer-encoding: chunked\r\n\r\n";
            for part in [front, back].into_iter().filter(|part| !part.is_empty()) {
                let _ = write!(text, "{:x}\r\n{part}\r\n", part.len());
            }
            text += "0\r\n\r\n";
        }
        _ => {
            let _ = write!(text, "content-length: {}\r\n\r\n{body}", body.len());
        }
    }
    text.into_bytes()
}

const BYTES: [u8; 24] = *b"\r\n\0 \t:;,%/.\\?#&=+@0\x0b\x7f\x80\xff\"";
const LINES: [&str; 20] = [
    "content-length: 0\r\n",
    "content-length: 5\r\n",
    "Content-Length : 3\r\n",
    "transfer-encoding: chunked\r\n",
    "Transfer-Encoding: identity, chunked\r\n",
    "transfer-encoding: xchunked\r\n",
    "host: evil.test\r\n",
    "x_host: evil.test\r\n",
    "connection: accept, user-agent\r\n",
    "expect: 100-continue\r\n",
    "upgrade: h2c\r\n",
    "content-encoding: gzip\r\n",
    "authorization: Bearer own\r\n",
    "x-http-method-override: DELETE\r\n",
    "x-original-url: /admin\r\n",
    " folded: x\r\n",
    "\r\n",
    "\n",
    "trailer: host\r\n",
    "content-type: application/json; charset=utf-16\r\n",
];
const PIECES: [&str; 16] = [
    "..",
    "/../",
    "//",
    "/./",
    "%2e%2e",
    "%2F",
    "%5c",
    ";x",
    "%00",
    "%zz",
    "?access_token=x",
    "#x",
    "\\",
    "\u{e4}",
    "http://evil.test/",
    "*",
];

/// The same with one thing changed.
fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    let at = random.below(bytes.len());
    let place = |bytes: &[u8], random: &mut Random, end: &[u8]| {
        let places: Vec<usize> = bytes
            .windows(end.len())
            .enumerate()
            .filter(|(_, part)| *part == end)
            .map(|(at, _)| at + end.len())
            .collect();
        if places.is_empty() { bytes.len() } else { random.of(&places) }
    };
    match random.below(8) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes.insert(at, random.of(&BYTES)),
        2 => {
            bytes.remove(at);
        }
        3 => {
            let end = (at + 1 + random.below(24)).min(bytes.len());
            let part = bytes[at..end].to_vec();
            bytes.splice(at..at, part);
        }
        4 => {
            let end = (at + 1 + random.below(12)).min(bytes.len());
            bytes.drain(at..end);
        }
        5 | 6 => {
            let line = place(bytes, random, b"\r\n");
            bytes.splice(line..line, random.of(&LINES).bytes());
        }
        _ => {
            let inner = place(bytes, random, b"/");
            bytes.splice(inner..inner, random.of(&PIECES).bytes());
        }
    }
}

/// Says the bytes and hears every answer; says that it is done once nothing comes any more.
async fn converse(agent: &Agent, bytes: &[u8]) -> Vec<Answer> {
    let mut line = agent.line().await;
    line.say(bytes).await;
    let kind = if bytes.starts_with(b"HEAD ") { Kind::Bodiless } else { Kind::Answer };
    let (mut answers, mut done) = (Vec::new(), false);
    loop {
        match timeout(Duration::from_millis(1_000), line.answer_as(kind)).await {
            Ok(Some(answer)) => answers.push(answer),
            Ok(None) => return answers,
            Err(_) if done => return answers,
            Err(_) => {
                line.end().await;
                done = true;
            }
        }
    }
}

#[tokio::test]
async fn what_arrives_is_what_was_judged_is_what_was_sent() {
    let seed = std::env::var("COUNTERSIGN_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_124);
    let count = if std::env::var_os("COUNTERSIGN_LONG").is_some() { 10_000 } else { 500 };
    println!("seed {seed}, {count} requests");
    let bench = Bench::usual().await;
    let (mut random, host) = (Random(seed), bench.sidecar.door.to_string());
    let mut said: Vec<(Vec<u8>, Vec<Answer>)> = Vec::new();
    while said.len() < count {
        let mut batch = Vec::new();
        for _ in 0..TOGETHER.min(count - said.len()) {
            let mut bytes = good(&mut random, &host);
            for _ in 0..random.below(4) {
                mutate(&mut random, &mut bytes);
            }
            batch.push(bytes);
        }
        let answers = all(batch.iter().map(|bytes| converse(bench.agent(), bytes))).await;
        said.extend(batch.into_iter().zip(answers));
    }
    let arrived = agrees_with_the_records(&bench).await;
    agrees_with_what_was_said(&said, &arrived);
    let (through, all) = (arrived.len(), said.len());
    println!("{through} of {all} got through");
    assert!(through > all / 10 && through < all * 9 / 10, "{through} of {all} got through: this proves little");
    bench.hold().await;
}

/// Each request at the upstream is, by the second reader, the call that was permitted.
async fn agrees_with_the_records(bench: &Bench) -> BTreeMap<CallId, Message> {
    let stories = bench.sidecar.wait_for("ended", bench.a.arrived().len()).await;
    let mut found = BTreeMap::new();
    for arrived in bench.a.arrived() {
        let [(call, true)] = arrived.lent[..] else { panic!("{arrived:?}") };
        let story = stories.iter().find(|story| story.call == Some(call)).unwrap();
        let permitted = story.first("permitted").unwrap();
        let seen = arrived.message;
        let digest = Digest::of(&seen.body).to_string();
        assert_eq!(judged(permitted), (seen.method().to_owned(), seen.target().to_owned(), digest), "{seen:?}");
        assert_eq!(permitted.entry["length"], seen.body.len(), "{seen:?}");
        assert_eq!(seen.all("host"), [bench.a.address.to_string()], "{seen:?}");
        assert_ne!(permitted.entry["effect"], "delete", "{seen:?}");
        assert!(found.insert(call, seen).is_none(), "{call} came twice");
    }
    found
}

/// What was refused reached nobody. What got through is, if there is one reading of what was sent, that.
fn agrees_with_what_was_said(said: &[(Vec<u8>, Vec<Answer>)], arrived: &BTreeMap<CallId, Message>) {
    for (bytes, answers) in said {
        let shown = String::from_utf8_lossy(bytes);
        for (at, answer) in answers.iter().enumerate() {
            if answer.header("countersign-call").is_none() {
                continue;
            }
            let seen = arrived.get(&answer.call());
            assert_eq!(seen.is_some(), answer.status == 200, "{shown}\n{answer:?}");
            // Only what comes first is surely what its first bytes say.
            let Some(seen) = seen.filter(|_| at == 0) else { continue };
            let Ok(sent) = Message::read(bytes, Kind::Request) else { continue };
            // A fragment is no part of a target (RFC 9112 §3.2.1): hyper cuts it off, before anything is judged.
            let (target, _) = sent.target().split_once('#').unwrap_or((sent.target(), ""));
            let target = target.strip_prefix("/tracker").unwrap();
            let what = |message: &Message, target: &str| {
                (message.method().to_owned(), target.to_owned(), message.body.clone())
            };
            assert_eq!(what(&sent, target), what(seen, seen.target()), "{shown}");
        }
    }
}
