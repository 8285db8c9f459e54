//! G: what one peer takes of memory, descriptors and time is bounded, and others go on meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use countersign::app::Seams;
use countersign::model::{Clock, Timestamp};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::bench::{Bench, get, post, wanted};
use super::program::Program;
use crate::suite::common::invariants;
use crate::suite::common::raw::{FINE, Reply};
use crate::suite::common::sidecar::{Wanted, all};

/// How a connection that says no more comes to its end: after how long, and with which status, if any.
async fn ends(mut stream: TcpStream) -> (Duration, u16) {
    let begun = Instant::now();
    let mut answer = Vec::new();
    let ended = timeout(Duration::from_secs(40), stream.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "it is still open: {}", String::from_utf8_lossy(&answer));
    let status = answer.get(9..12).and_then(|status| std::str::from_utf8(status).ok()?.parse().ok()).unwrap_or(0);
    (begun.elapsed(), status)
}

#[tokio::test]
async fn g1_heads_that_do_not_come_are_given_up_while_others_are_served() {
    let program = Program::usual().await;
    let mut halves = Vec::new();
    for number in 0..400 {
        let mut stream = TcpStream::connect(program.agent().door).await.unwrap();
        let part: &[u8] = match number % 4 {
            0 => b"",
            1 => b"G",
            2 => b"GET /tracker/notes HTTP/1.1\r\nhost: x\r\nx: ",
            _ => b"PRI * HTTP/2.0\r\n",
        };
        stream.write_all(part).await.unwrap();
        halves.push(stream);
    }
    for _ in 0..5 {
        assert_eq!(program.ask(get("/tracker/notes")).await.status, 200);
    }
    for (took, status) in all(halves.into_iter().map(ends)).await {
        assert!(took < Duration::from_secs(12) && status == 0, "{took:?} {status}");
    }
    program.hold().await;
}

#[tokio::test]
async fn g2_a_body_that_pauses_is_given_up() {
    let bench = Bench::usual().await;
    let mut stream = TcpStream::connect(bench.sidecar.door).await.unwrap();
    let head = format!(
        "POST /tracker/notes HTTP/1.1\r\nhost: {}\r\ncontent-length: 100\r\nconnection: close\r\n\r\nx",
        bench.sidecar.door
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let (took, status) = ends(stream).await;
    assert!(status == 408 && took >= Duration::from_secs(9), "{took:?} {status}");
    assert_eq!((bench.a.requests().len(), bench.sidecar.vault.minted()), (0, 0));
    bench.hold().await;
}

#[tokio::test]
async fn g4_heads_that_are_too_long_are_refused() {
    let bench = Bench::usual().await;
    let many = (0..101).map(|number| format!("x-{number}: 1\r\n")).collect::<Vec<_>>().concat();
    let cases = [
        (format!("GET /tracker/notes HTTP/1.1\r\nhost: HOST\r\n{many}\r\n"), 431),
        (format!("GET /tracker/notes?{} HTTP/1.1\r\nhost: HOST\r\n\r\n", "x".repeat(70_000)), 414),
        (format!("GET /tracker/notes HTTP/1.1\r\nhost: HOST\r\nx: {}\r\n\r\n", "x".repeat(500_000)), 431),
    ];
    for (request, status) in cases {
        let mut stream = TcpStream::connect(bench.sidecar.door).await.unwrap();
        let _ = stream.write_all(request.replace("HOST", &bench.sidecar.door.to_string()).as_bytes()).await;
        let (_, got) = ends(stream).await;
        // A peer that is still writing may see the connection close before it sees why.
        assert!(got == status || got == 0 || (got, status) == (431, 414), "{got} instead of {status}");
    }
    assert_eq!(bench.a.requests().len(), 0);
    bench.hold().await;
}

#[tokio::test]
async fn g5_an_endless_body_ends_at_the_limit() {
    let program = Program::start(Wanted { tool: "max_body = \"1MiB\"", ..wanted() }, &[]).await;
    let mut stream = TcpStream::connect(program.agent().door).await.unwrap();
    let head =
        format!("POST /tracker/notes HTTP/1.1\r\nhost: {}\r\ntransfer-encoding: chunked\r\n\r\n", program.agent().door);
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x1_0000));
    let mut sent = 0_usize;
    while sent < 64 << 20
        && timeout(Duration::from_secs(5), stream.write_all(chunk.as_bytes())).await.is_ok_and(|w| w.is_ok())
    {
        sent += 0x1_0000;
    }
    assert!(sent < 16 << 20, "{sent} bytes were taken");
    assert_eq!(program.a.requests().len(), 0);
    program.hold().await;
}

#[tokio::test]
async fn g12_out_of_descriptors_calls_go_on_and_nothing_spins() {
    let program = Program::under(&["prlimit", "--nofile=64:64"], wanted()).await;
    let mut idle = Vec::new();
    for _ in 0..80 {
        idle.push(TcpStream::connect(program.agent().door).await.unwrap());
    }
    let before = program.cpu();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(program.cpu() < before + Duration::from_millis(500), "it spins");
    // Those that say nothing make room within seconds.
    let (mut statuses, begun) = (Vec::new(), Instant::now());
    while statuses.last() != Some(&200) && begun.elapsed() < Duration::from_secs(30) {
        statuses.push(program.ask(get("/tracker/notes")).await.status);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(statuses.pop(), Some(200));
    assert!(statuses.iter().all(|status| *status == 503), "{statuses:?}");
    let permitted = |story: &countersign::record::Story| story.first("permitted").is_some();
    assert_eq!(invariants::stories(&program.reader()).iter().filter(|story| permitted(story)).count(), 1);
    drop(idle);
    program.hold().await;
}

#[tokio::test]
async fn g13_more_bodies_than_memory_is_set_aside_for_are_refused_and_none_is_lost() {
    let wanted = Wanted { listen: "buffer = \"8MiB\"", tool: "max_body = \"4MiB\"", ..wanted() };
    let program = Program::start(wanted, &[]).await;
    let body = "x".repeat(3 << 20);
    let request = post("/tracker/notes", &body).replace("application/json", "text/plain");
    program.a.before_answer.close();
    let (calls, ()) = tokio::join!(all((0..8).map(|_| program.ask(&request))), async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        program.a.before_answer.release();
    });
    let mut statuses: Vec<u16> = calls.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 503, 503, 503, 503, 503, 503], "{calls:?}");
    assert!(calls.iter().all(|answer| answer.status == 200 || answer.code() == (503, "overloaded".to_owned())));
    assert_eq!(program.ask(&request).await.status, 200, "what was given back can be taken again");
    program.hold().await;
}

#[tokio::test]
async fn g14_an_agent_that_is_always_refused_makes_no_series_and_every_refusal_is_counted() {
    let program = Program::usual().await;
    let series = async |program: &Program| program.metrics().await.body.lines().count();
    let before = series(&program).await;
    let ask = async |first: usize| {
        for number in first..first + 250 {
            let target = format!("/nothing-{number}/x/{number}");
            let one = get(&target).replace("HOST", &format!("{}", program.agent().door));
            assert_eq!(program.ask(one).await.status, 404);
        }
    };
    all((0..4).map(|part| ask(part * 250))).await;
    assert_eq!(series(&program).await, before);
    let metrics = program.metrics().await.body;
    assert!(metrics.contains("countersign_calls_total{code=\"tool_unknown\",outcome=\"refused\"} 1000"), "{metrics}");
    program.hold().await;
}

#[tokio::test]
async fn g15_calls_that_wait_for_a_slow_tool_hold_up_nobody_else() {
    let more = "[agents.other]\nidentify = [{ token = { file = \"other.token\" } }]\ntools = [\"quick\"]\nintent = \"never\"\n\
                [tools.quick]\nupstream = \"QUICK\"\ncatalog = \"tracker.toml\"\nissuer = \"vault\"\n\
                networks = [\"127.0.0.0/8\"]\nplaintext = true\n";
    let quick = crate::suite::common::raw::Raw::start().await;
    let proof = "a-token-for-the-other-agent";
    let identify = "identify = [{ token = { file = \"helper.token\" } }]".to_owned();
    let files = vec![("other.token", proof.to_owned()), ("helper.token", "a-token-for-the-helper".to_owned())];
    let wanted =
        Wanted { more: more.replace("QUICK", &quick.origin), files, identify, listen: "connections = 200", ..wanted() };
    let mut bench = Bench::start(wanted, Seams::default()).await;
    bench.sidecar.may_call(std::slice::from_ref(&quick));
    bench.sidecar.upstreams.push(quick.clone());
    bench.a.before_answer.close();
    let bearer = |token: &str, target: &str| {
        get(target).replace("connection: close", &format!("authorization: Bearer {token}\r\nconnection: close"))
    };
    let slow = bearer("a-token-for-the-helper", "/tracker/notes");
    let (waiting, ()) = tokio::join!(all((0..120).map(|_| bench.ask(&slow))), async {
        bench.a.before_answer.reached(100).await;
        for _ in 0..20 {
            let answer = timeout(Duration::from_secs(5), bench.ask(bearer(proof, "/quick/notes"))).await;
            assert_eq!(answer.expect("an answer at once").status, 200);
        }
        bench.a.before_answer.release();
    });
    // The helper has half of 200 places, and no more.
    let refused = waiting.iter().filter(|answer| answer.code() == (503, "overloaded".to_owned())).count();
    assert_eq!((refused, waiting.iter().filter(|answer| answer.status == 200).count()), (20, 100));
    bench.hold().await;
}

/// A clock that stands still for whoever carries calls, with all that this one does, while it is told to.
#[derive(Clone, Default)]
struct Standstill {
    wanted: Arc<AtomicBool>,
    reached: Arc<AtomicBool>,
}

impl Standstill {
    fn clock(&self) -> Clock {
        let Self { wanted, reached } = self.clone();
        Clock::new(move || {
            while wanted.load(Ordering::SeqCst)
                && thread::current().name().is_some_and(|name| name.starts_with("calls-"))
            {
                reached.store(true, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(1));
            }
            Timestamp::from(SystemTime::now())
        })
    }

    /// Until what carries calls stands still.
    async fn reached(&self) {
        while !self.reached.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test]
async fn g15_who_comes_behind_a_flood_is_judged_before_most_of_it() {
    let (loud, quiet) = ("a-token-for-the-loud-agent", "a-token-for-the-quiet-agent");
    let more = "[agents.quiet]\nidentify = [{ token = { file = \"quiet.token\" } }]\ntools = [\"tracker\"]\nintent = \"never\"\n";
    let identify = "identify = [{ token = { file = \"loud.token\" } }]".to_owned();
    let files = vec![("quiet.token", quiet.to_owned()), ("loud.token", loud.to_owned())];
    let wanted = Wanted { more: more.to_owned(), files, identify, listen: "workers = 1", ..wanted() };
    let still = Standstill::default();
    let bench = Bench::start(wanted, Seams { clock: Some(still.clock()), ..Seams::default() }).await;
    let call =
        |token: &str| get("/tracker/notes").replace("connection: close", &format!("authorization: Bearer {token}"));
    let mut lines = Vec::new();
    for token in std::iter::repeat_n(loud, 41).chain([quiet]) {
        let mut line = bench.agent().line().await;
        line.say(call(token)).await;
        assert_eq!(line.answer().await.expect("an answer").status, 200);
        lines.push((line, token));
    }
    // All are there at once, the quiet one's last.
    still.wanted.store(true, Ordering::SeqCst);
    for (number, (line, token)) in lines.iter_mut().enumerate() {
        line.say(call(token)).await;
        if number == 0 {
            still.reached().await;
        }
    }
    still.wanted.store(false, Ordering::SeqCst);
    let mut calls = Vec::new();
    for (line, _) in &mut lines {
        let answer = line.answer().await.expect("an answer");
        assert_eq!(answer.status, 200);
        calls.push(answer.call());
    }
    let permitted = bench.sidecar.records("permitted");
    let order: Vec<_> = permitted.iter().skip(42).filter_map(|record| record.entry["call"].as_str()).collect();
    let last = calls.last().unwrap().to_string();
    let place = order.iter().position(|call| *call == last).unwrap();
    assert!(place < 5, "it was number {place} of {}", order.len());
    drop(lines);
    bench.hold().await;
}

#[tokio::test]
async fn g3_an_agent_that_does_not_read_is_held_in_bounded_memory_and_cut() {
    let program = Program::start(Wanted { tool: "max_call = \"2s\"", ..wanted() }, &[]).await;
    let (before, _) = FINE.split_once("content-length").unwrap();
    let long = format!("{before}content-length: 134217728\r\n\r\n");
    let mut bytes = long.into_bytes();
    bytes.resize(bytes.len() + (64 << 20), b'x');
    program.a.reply(Reply::new(bytes));
    let mut stream = TcpStream::connect(program.agent().door).await.unwrap();
    let request = get("/tracker/notes").replace("HOST", &program.agent().door.to_string());
    stream.write_all(request.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let stories = invariants::stories(&program.reader());
    assert_eq!(stories[0].last("ended").unwrap().entry["ending"], "expired");
    assert!(program.memory() < 128 << 20, "{} bytes of memory", program.memory());
    drop(stream);
    program.hold().await;
}
