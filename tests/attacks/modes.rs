//! What HTTP can do beside a request and an answer (ATTACKS F3 to F6): waiting for leave, trailers, other protocols, early
//! hints, answers that may have no body. None of it passes unjudged, and none of it upsets what comes after.

use super::bench::{Bench, get, post, request};
use crate::suite::common::raw::{FINE, Reply};
use crate::suite::common::wire::Kind;

#[tokio::test]
async fn leave_to_send_a_body_is_given_here_and_asked_of_nobody() {
    let bench = Bench::single().await;
    let body = r#"{"a":1}"#;
    let head = post("/tracker/notes", body).replace("connection: close", "expect: 100-continue").replace(body, "");
    let mut line = bench.agent().line().await;
    line.say(&head).await;
    assert_eq!(line.answer().await.unwrap().status, 100);
    assert_eq!(bench.a.connections(), 0, "nothing is sent before the body has come");
    line.say(body).await;
    assert_eq!(line.answer().await.unwrap().status, 200);
    let (seen, _) = bench.calls(1).await.remove(0);
    assert!(seen.all("expect").is_empty());
    assert_eq!((&seen.body[..], seen.all("content-length")), (body.as_bytes(), vec!["7"]));
    // Whoever does not wait is not told to go on, once more or twice.
    let eager = head.replace("content-length: 7", "content-length: 7\r\nconnection: close") + body;
    let exchange = bench.exchange(&eager, 2).await;
    assert_eq!(exchange.statuses().last(), Some(&200));
    assert!(exchange.statuses().len() <= 2, "{exchange:?}");
    // An upstream's own leave is for us.
    bench.a.reply(Reply::new(format!("HTTP/1.1 100 Continue\r\n\r\n{FINE}")));
    assert_eq!(bench.exchange(get("/tracker/a"), 1).await.statuses(), [200]);
    // And no other expectation is passed on.
    assert_eq!(bench.ask(request("GET /tracker/a", &["expect: 200-ok"], "")).await.status, 200);
    assert!(bench.a.requests().iter().all(|seen| seen.all("expect").is_empty()));
    bench.hold().await;
}

#[tokio::test]
async fn trailers_end_here_in_both_directions() {
    let bench = Bench::single().await;
    let chunked = request(
        "POST /tracker/notes",
        &["trailer: Authorization, x-evil, content-length", "te: trailers", "transfer-encoding: chunked"],
        "3\r\nabc\r\n0\r\nAuthorization: evil\r\nx-evil: 1\r\nContent-Length: 99\r\nhost: evil.test\r\n\r\n",
    );
    bench.a.reply(Reply::new(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: set-cookie, x-evil\r\n\r\n2\r\nok\r\n0\r\nset-cookie: evil=1\r\nx-evil: 1\r\ncontent-length: 0\r\n\r\n",
    ));
    let exchange = bench.exchange(&chunked, 1).await;
    assert_eq!((exchange.statuses(), exchange.answers[0].body.as_str()), (vec![200], "ok"));
    assert!(!exchange.answers[0].head.contains("evil") && exchange.answers[0].header("trailer").is_none());
    let (seen, _) = bench.calls(1).await.remove(0);
    assert_eq!((&seen.body[..], seen.all("content-length")), (&b"abc"[..], vec!["3"]));
    assert!(!String::from_utf8(bench.a.bytes().concat()).unwrap().contains("evil"));
    for name in ["trailer", "te", "transfer-encoding"] {
        assert!(seen.all(name).is_empty(), "{name}");
    }
    assert_eq!(bench.ask(get("/tracker/a")).await.status, 200);
    bench.hold().await;
}

#[tokio::test]
async fn another_protocol_is_neither_asked_for_nor_taken_up() {
    let bench = Bench::single().await;
    let early = "GET /tracker/admin HTTP/1.1\r\nhost: HOST\r\nconnection: close\r\n\r\n";
    for protocol in ["foo", "websocket", "h2c", "TLS/1.0"] {
        let upgrade = format!(
            "GET /tracker/a HTTP/1.1\r\nhost: HOST\r\nconnection: upgrade, http2-settings\r\nupgrade: {protocol}\r\n\
             http2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             sec-websocket-version: 13\r\n\r\n"
        );
        // What was sent along is the next request, and judged as that; or no request at all.
        assert_eq!(bench.exchange(format!("{upgrade}{early}"), 2).await.statuses(), [200, 403], "{protocol}");
        let raw = bench.exchange(format!("{upgrade}\x01\x02raw bytes\r\n\r\n"), 2).await;
        assert_eq!((raw.statuses(), raw.closed), (vec![200, 400], true), "{protocol}");
    }
    for seen in bench.a.requests() {
        for name in ["upgrade", "connection", "http2-settings", "sec-websocket-key"] {
            assert!(seen.all(name).is_empty(), "{seen:?}");
        }
    }
    assert!(!String::from_utf8(bench.a.bytes().concat()).unwrap().contains("raw bytes"));
    // Nor may the upstream switch by itself: the agent's bytes never become its own conversation with it.
    let before = bench.a.connections();
    bench.a.reply(Reply::new("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: foo\r\n\r\nevil"));
    let switched = bench.exchange(get("/tracker/a"), 1).await;
    assert_eq!(switched.answers[0].code(), (502, "upstream_failed".to_owned()));
    assert!(!switched.answers[0].body.contains("evil"));
    assert_eq!(bench.ask(get("/tracker/a")).await.status, 200);
    assert!(bench.a.connections() > before, "the connection was used again");
    bench.hold().await;
}

#[tokio::test]
async fn hints_that_come_early_are_for_nobody() {
    let bench = Bench::single().await;
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </evil>; rel=preload\r\nset-cookie: evil=1\r\n\r\n";
    bench.a.reply(Reply::new(format!("{hints}{hints}{FINE}")));
    let exchange = bench.exchange(get("/tracker/a"), 1).await;
    assert_eq!(exchange.statuses(), [200]);
    assert!(!exchange.answers[0].head.contains("evil"), "{exchange:?}");
    assert_eq!(bench.ask(get("/tracker/a")).await.status, 200);
    bench.hold().await;
}

#[tokio::test]
async fn an_answer_that_has_no_body_has_none() {
    let bench = Bench::single().await;
    let smuggled = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    for status in ["204 No Content", "304 Not Modified"] {
        for framing in ["content-length: 43\r\n", "transfer-encoding: chunked\r\n", ""] {
            bench.a.reply(Reply::new(format!("HTTP/1.1 {status}\r\n{framing}\r\n{smuggled}")));
            let exchange = bench.exchange(get("/tracker/a"), 1).await;
            let found = exchange.answers[0].status;
            assert!(found == 502 || status.starts_with(&found.to_string()), "{status}, {framing}: {exchange:?}");
            assert_eq!((exchange.answers.len(), exchange.rest.len()), (1, 0), "{status}, {framing}: {exchange:?}");
            for _ in 0..2 {
                assert_eq!(bench.ask(get("/tracker/b")).await.body, r#"{"well":true}"#, "{status}, {framing}");
            }
        }
    }
    bench.hold().await;
}

#[tokio::test]
async fn the_answer_to_a_head_has_no_body_whatever_it_says() {
    let bench = Bench::single().await;
    let smuggled = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    for framing in [format!("content-length: {}\r\n", smuggled.len()), "transfer-encoding: chunked\r\n".to_owned()] {
        bench.a.reply(Reply::new(format!("HTTP/1.1 200 OK\r\n{framing}\r\n{smuggled}")));
        let mut line = bench.agent().line().await;
        line.say(request("HEAD /tracker/a", &[], "")).await;
        let answer = line.answer_as(Kind::Bodiless).await.unwrap();
        assert!(answer.status == 200 || answer.status == 502, "{answer:?}");
        while line.hear().await {}
        assert_eq!(line.rest(), b"", "something follows the answer to a HEAD");
        for _ in 0..2 {
            assert_eq!(bench.ask(get("/tracker/b")).await.body, r#"{"well":true}"#, "{framing}");
        }
    }
    // A refusal of one has no body either.
    let mut line = bench.agent().line().await;
    line.say(request("HEAD /nothing/a", &[], "")).await;
    assert_eq!(line.answer_as(Kind::Bodiless).await.unwrap().status, 404);
    while line.hear().await {}
    assert_eq!(line.rest(), b"");
    bench.hold().await;
}
