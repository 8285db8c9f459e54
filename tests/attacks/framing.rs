//! Requests and answers that two readers could cut in different places (ATTACKS A1 to A13): one reading, or none.

use std::time::Duration;

use super::bench::{Bench, get, request, wanted};
use super::program::Program;
use crate::suite::common::raw::Reply;
use crate::suite::common::sidecar::Wanted;
use countersign::app::Seams;

const HEAD: &str = "POST /tracker/notes HTTP/1.1\r\nhost: HOST\r\n";

/// One request gets through as one, framed by one length, whatever followed it; the connection is closed behind it.
async fn is_one_request(bench: &Bench, bytes: &str, body: &[u8]) {
    let before = bench.a.requests().len();
    let exchange = bench.exchange(bytes, 1).await;
    assert_eq!(exchange.statuses(), [200], "{bytes}\n{exchange:?}");
    assert!(exchange.closed, "left open: {bytes}");
    let seen = bench.a.requests();
    assert_eq!(seen.len(), before + 1, "{bytes}\n{seen:?}");
    let seen = seen.last().unwrap();
    assert_eq!(seen.body, body, "{bytes}\n{seen:?}");
    assert_eq!(seen.all("content-length"), [body.len().to_string()], "{bytes}");
    assert!(seen.all("transfer-encoding").is_empty(), "{bytes}");
}

#[tokio::test]
async fn a_length_and_a_coding_hide_no_second_request() {
    let bench = Bench::usual().await;
    let hidden = "0\r\n\r\nGET /tracker/hidden HTTP/1.1\r\nhost: HOST\r\n\r\n";
    for framing in
        ["content-length: 6\r\ntransfer-encoding: chunked", "transfer-encoding: chunked\r\ncontent-length: 4"]
    {
        is_one_request(&bench, &format!("{HEAD}{framing}\r\n\r\n{hidden}"), b"").await;
    }
    let seen: Vec<_> = bench.a.requests().into_iter().map(|seen| seen.start).collect();
    assert_eq!(seen, ["POST /notes HTTP/1.1"; 2]);
    bench.hold().await;
}

#[tokio::test]
async fn there_is_one_length_or_none() {
    let bench = Bench::usual().await;
    let same = format!("{HEAD}connection: close\r\ncontent-length: 3\r\ncontent-length: 3\r\n\r\nabc");
    is_one_request(&bench, &same, b"abc").await;
    for lengths in [
        "content-length: 3\r\ncontent-length: 0",
        "content-length: 0\r\ncontent-length: 3",
        "content-length: 3, 3",
        "content-length: 3, 0",
        "content-length: +3",
        "content-length: 0x3",
        "content-length: -1",
        "content-length: 3 0",
        "content-length: 3;",
        "content-length:",
        "content-length: 18446744073709551616",
        "content-length : 3",
        "content-length: \u{b}3",
    ] {
        bench.is_turned_away(format!("{HEAD}{lengths}\r\n\r\nabc"), 400).await;
    }
    assert_eq!(bench.a.connections(), 1);
    bench.hold().await;
}

#[tokio::test]
async fn the_only_coding_is_chunked_and_it_is_said_once() {
    let bench = Bench::usual().await;
    for codings in [
        "transfer-encoding: xchunked",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: identity, chunked",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: identity",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked, chunked",
        "transfer-encoding: identity\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        "transfer-encoding: \u{b}chunked",
        "transfer-encoding : chunked",
        "transfer-encoding: chunked;x=1",
        "transfer-encoding: ,chunked",
        "transfer-encoding:",
    ] {
        bench.is_turned_away(format!("{HEAD}{codings}\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), 400).await;
    }
    assert_eq!(bench.a.connections(), 0);
    is_one_request(
        &bench,
        &format!("{HEAD}connection: close\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        b"abc",
    )
    .await;
    bench.hold().await;
}

#[tokio::test]
async fn there_is_one_version() {
    let bench = Bench::usual().await;
    for bytes in [
        "POST /tracker/notes HTTP/1.0\r\nhost: HOST\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /tracker/notes HTTP/1.0\r\nhost: HOST\r\n\r\n",
        "GET /tracker/notes\r\n\r\n",
        "GET /tracker/notes\r\nhost: HOST\r\n\r\n",
        "GET /tracker/notes HTTP/1.2\r\nhost: HOST\r\n\r\n",
        "GET /tracker/notes HTTP/2.0\r\nhost: HOST\r\n\r\n",
        "GET /tracker/notes http/1.1\r\nhost: HOST\r\n\r\n",
        "GET  /tracker/notes HTTP/1.1\r\nhost: HOST\r\n\r\n",
        "GET /tracker/notes HTTP/1.1 x\r\nhost: HOST\r\n\r\n",
    ] {
        bench.is_turned_away(bytes, 400).await;
    }
    assert_eq!(bench.a.connections(), 0);
    bench.hold().await;
}

#[tokio::test]
async fn a_line_ends_in_one_way_where_it_matters() {
    let bench = Bench::usual().await;
    for bytes in [
        "GET /tracker/notes HTTP/1.1\r\nhost: HOST\r\nx: a\r\n b\r\n\r\n",
        "GET /tracker/notes HTTP/1.1\r\nhost: HOST\r\nx: a\rb\r\n\r\n",
        "GET /tracker/notes HTTP/1.1\r\nhost: HOST\r\nx: a\0b\r\n\r\n",
        "GET /tracker/notes HTTP/1.1\r\nhost: HOST\r\n: a\r\n\r\n",
        "GET /tracker/notes HTTP/1.1\r\nhost: HOST\r\nno colon\r\n\r\n",
        "GET /tracker/notes HTTP/1.1\r\nhost: HOST\r\nx y: a\r\n\r\n",
        "GET /tracker/no\rtes HTTP/1.1\r\nhost: HOST\r\n\r\n",
        "GET /tracker/notes HTTP/1.1\r\n host: HOST\r\n\r\n",
    ] {
        bench.is_turned_away(bytes, 400).await;
    }
    assert_eq!(bench.a.connections(), 0);
    // Some say LF alone. What is sent on says CRLF: the upstream's reader takes nothing else.
    let bare = bench.ask("GET /tracker/notes HTTP/1.1\nhost: HOST\naccept: a/b\nconnection: close\n\n").await;
    assert_eq!(bare.status, 200);
    let seen = bench.a.bytes().concat();
    assert!(seen.iter().enumerate().all(|(at, byte)| *byte != b'\n' || seen[at - 1] == b'\r'));
    assert_eq!(bench.a.requests()[0].all("accept"), ["a/b"]);
    bench.hold().await;
}

#[tokio::test]
async fn a_bad_chunk_is_seen_before_anything_is_lent() {
    let bench = Bench::usual().await;
    let long = format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(64 * 1024));
    for chunks in [
        "3\nabc\r\n0\r\n\r\n",
        "3;\nabc\r\n0\r\n\r\n",
        "3;x\nabc\r\n0\r\n\r\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabc\r\nGET /tracker/hidden HTTP/1.1\r\n\r\n",
        &long,
    ] {
        bench.is_turned_away(format!("{HEAD}transfer-encoding: chunked\r\n\r\n{chunks}"), 400).await;
    }
    assert_eq!(bench.a.connections(), 0);
    // An extension says nothing (RFC 9112 §7.1.1), and nothing of it is sent on.
    for chunks in ["3;x=1\r\nabc\r\n0;y\r\n\r\n", "3;\0e\r\nabc\r\n0\r\n\r\n"] {
        let bytes = format!("{HEAD}connection: close\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
        is_one_request(&bench, &bytes, b"abc").await;
    }
    bench.hold().await;
}

#[tokio::test]
async fn a_header_that_is_not_ascii_is_refused_and_recorded() {
    let bench = Bench::usual().await;
    let bytes =
        [&b"GET /tracker/notes HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\naccept: a\xffb\r\n\r\n"[..]].concat();
    let refused = bench.is_turned_away(bytes, 400).await.answers.remove(0);
    assert_eq!(refused.code(), (400, "request_unclear".to_owned()));
    let story = bench.sidecar.story(refused.call(), "refused").await;
    let why = crate::suite::common::invariants::private(&story.records[0], "why").as_str().unwrap().to_owned();
    assert!(why.contains("`accept`") && why.is_ascii(), "{why}");
    bench.hold().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_call() {
    // 401 where the kernel no longer tells whose a connection is that its peer has half closed.
    let bench = Bench::usual().await;
    let mut line = bench.agent().line().await;
    line.say(format!("{HEAD}content-length: 10\r\n\r\nabc")).await;
    line.end().await;
    let answer = line.answer().await;
    assert!(answer.as_ref().is_none_or(|answer| matches!(answer.status, 400 | 401)), "{answer:?}");
    let mut line = bench.agent().line().await;
    line.say(format!("{HEAD}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")).await;
    line.end().await;
    let answer = line.answer().await;
    assert!(answer.as_ref().is_none_or(|answer| matches!(answer.status, 400 | 401)), "{answer:?}");
    // And one that just stops coming.
    let mut line = bench.agent().line().await;
    line.say(format!("{HEAD}content-length: 10\r\n\r\nabc")).await;
    let late = tokio::time::timeout(Duration::from_secs(15), line.answer()).await.expect("within the body's patience");
    assert_eq!(late.unwrap().code(), (408, "too_slow".to_owned()));
    assert!(line.answer().await.is_none(), "left open");
    assert_eq!((bench.a.connections(), bench.sidecar.vault.minted()), (0, 0));
    bench.hold().await;
}

#[tokio::test]
async fn what_follows_a_refused_body_is_a_call_of_its_own() {
    let bench = Bench::usual().await;
    let body = "GET /tracker/hidden HTTP/1.1\r\nhost: HOST\r\n\r\n".replace("HOST", "h").repeat(20_000);
    let length = body.len();
    let ok = get("/tracker/ok");
    let denied = format!("POST /tracker/admin HTTP/1.1\r\nhost: HOST\r\ncontent-length: {length}\r\n\r\n{body}{ok}");
    assert_eq!(bench.exchange(denied, 2).await.statuses(), [403, 200]);
    // Longer than the tool takes: not read at all, and so the connection is over.
    let length = 11 << 20;
    let large = format!("POST /tracker/notes HTTP/1.1\r\nhost: HOST\r\ncontent-length: {length}\r\n\r\n{body}{ok}");
    let exchange = bench.exchange(large, 1).await;
    assert_eq!((exchange.statuses(), exchange.closed), (vec![413], true));
    let seen: Vec<_> = bench.a.requests().into_iter().map(|seen| seen.start).collect();
    assert_eq!(seen, ["GET /ok HTTP/1.1"]);
    bench.hold().await;
}

#[tokio::test]
async fn each_of_several_requests_is_judged_and_answered_in_order() {
    let bench = Bench::usual().await;
    let body = "GET /tracker/hidden HTTP/1.1\r\n\r\n";
    let first = format!("GET /tracker/1 HTTP/1.1\r\nhost: HOST\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let second = "GET /tracker/admin HTTP/1.1\r\nhost: HOST\r\n\r\n";
    let third = get("/tracker/3");
    bench.a.reply(Reply::new("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1"));
    bench.a.reply(Reply::new("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n3"));
    let exchange = bench.exchange(format!("{first}{second}{third}"), 3).await;
    assert_eq!(exchange.statuses(), [200, 403, 200]);
    assert_eq!((exchange.answers[0].body.as_str(), exchange.answers[2].body.as_str()), ("1", "3"));
    let calls = bench.calls(2).await;
    assert_eq!((calls[0].0.start.as_str(), &calls[0].0.body[..]), ("GET /1 HTTP/1.1", body.as_bytes()));
    assert_eq!(calls[0].0.all("content-length"), [body.len().to_string()]);
    assert_eq!(calls[1].0.start, "GET /3 HTTP/1.1");
    bench.hold().await;
}

#[tokio::test]
async fn an_answer_that_can_be_cut_in_two_ways_is_no_answer_and_spoils_none() {
    let bench = Bench::single().await;
    for head in [
        "content-length: 4\r\ntransfer-encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
        "content-length: 4\r\ncontent-length: 0\r\n\r\nevil",
        "content-length: 0\r\ncontent-length: 4\r\n\r\nevil",
        "content-length: 4, 4\r\n\r\nevil",
        "content-length: +4\r\n\r\nevil",
        "transfer-encoding: xchunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
        "transfer-encoding: gzip, chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
        "x: a\r\n b\r\ncontent-length: 4\r\n\r\nevil",
        "content-length : 4\r\n\r\nevil",
        "x\0y: 1\r\ncontent-length: 4\r\n\r\nevil",
    ] {
        bench.a.reply(Reply::new(format!("HTTP/1.1 200 OK\r\n{head}")));
        let exchange = bench.exchange(get("/tracker/a") + &get("/tracker/b"), 1).await;
        assert_eq!(exchange.answers[0].code(), (502, "upstream_failed".to_owned()), "{head}");
        assert!(!exchange.answers.iter().any(|answer| answer.body.contains("evil")), "{head}");
        let next = bench.ask(get("/tracker/c")).await;
        assert_eq!((next.status, next.body.as_str()), (200, r#"{"well":true}"#), "{head}");
    }
    bench.hold().await;
}

#[tokio::test]
async fn bytes_behind_an_answer_reach_nobody() {
    let bench = Bench::single().await;
    let smuggled = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    for answer in [
        format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok{smuggled}"),
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{smuggled}"),
    ] {
        bench.a.reply(Reply::new(answer));
        for body in ["ok", r#"{"well":true}"#, r#"{"well":true}"#] {
            assert_eq!(bench.ask(get("/tracker/a")).await.body, body);
        }
        let on: Vec<usize> = bench.a.arrived().iter().rev().take(3).map(|arrived| arrived.connection).collect();
        assert!(on[2] != on[1] && on[1] == on[0], "the connection was used again: {on:?}");
    }
    bench.hold().await;
}

#[tokio::test]
async fn a_flood_of_interim_answers_is_passed_to_nobody() {
    let program = Program::usual().await;
    let flood = "HTTP/1.1 103 Early Hints\r\nlink: </evil>\r\n\r\n".repeat(20_000);
    program.a.reply(Reply::new(format!("{flood}{}", crate::suite::common::raw::FINE)));
    program.a.reply(Reply::new(&flood).then_close());
    for _ in 0..2 {
        let exchange = program.agent().exchange(get("/tracker/a"), 1).await;
        assert!(matches!(exchange.statuses()[..], [200 | 502]), "{exchange:?}");
    }
    assert_eq!(program.ask(get("/tracker/a")).await.status, 200);
    program.hold().await;
}

#[tokio::test]
async fn interim_answers_without_end_are_cut_at_the_calls_time() {
    let bench = Bench::start(Wanted { tool: "max_call = \"1s\"", ..wanted() }, Seams::default()).await;
    bench.a.reply(Reply::new("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"));
    assert_eq!(bench.ask(get("/tracker/a")).await.code(), (504, "upstream_timeout".to_owned()));
    assert_eq!(bench.ask(get("/tracker/b")).await.status, 200);
    bench.hold().await;
}

#[tokio::test]
async fn an_answer_that_comes_before_its_request_has_ended_is_the_answer_to_that_one_only() {
    let bench = Bench::single().await;
    let body = "x".repeat(8 << 20);
    bench.a.reply(Reply::new("HTTP/1.1 403 Forbidden\r\ncontent-length: 5\r\n\r\nearly").early());
    let length = format!("content-length: {}", body.len());
    let early = bench.ask(request("POST /tracker/notes", &[&length], &body)).await;
    assert!(early.status == 502 || (early.status, early.body.as_str()) == (403, "early"), "{early:?}");
    for _ in 0..3 {
        let next = bench.ask(get("/tracker/a")).await;
        assert_eq!((next.status, next.body.as_str()), (200, r#"{"well":true}"#));
    }
    bench.hold().await;
}
