//! HTTP/2 in and out: the same judgement, one authority, no headers that do not belong there.

use countersign::app::Seams;
use http::{Method, Request, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::suite::common::invariants;
use crate::suite::common::sidecar::{Sidecar, Wanted};

async fn client(sidecar: &Sidecar) -> SendRequest<Full<bytes::Bytes>> {
    let stream = TcpStream::connect(sidecar.door).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

fn get(authority: &str) -> http::request::Builder {
    Request::get(format!("http://{authority}/tracker/repos/octo/hello/issues/7"))
}

#[tokio::test]
async fn calls_over_http_2_are_judged_like_any_other() {
    let mut sidecar = Sidecar::usual().await;
    let mut sender = client(&sidecar).await;
    let door = sidecar.door.to_string();
    let mut calls = Vec::new();
    for _ in 0..3 {
        sender.ready().await.unwrap();
        calls.push(sender.send_request(get(&door).body(Full::default()).unwrap()));
    }
    for call in calls {
        let answer = call.await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
        assert!(answer.headers().contains_key("countersign-call"));
        assert!(answer.into_body().collect().await.unwrap().to_bytes().ends_with(b"\"forty-two\"}"));
    }
    let seen = sidecar.tool.seen();
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[0].headers()["host"], sidecar.tool.origin.trim_start_matches("http://"));
    sidecar.wait_for("ended", 3).await;
    drop(sender);
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn an_authority_that_is_not_ours_or_is_told_twice_is_refused() {
    let mut sidecar = Sidecar::usual().await;
    let mut sender = client(&sidecar).await;
    let door = sidecar.door.to_string();
    let requests = [
        (get("evil.test").body(Full::default()).unwrap(), 421),
        (get(&door).header("host", "evil.test").body(Full::default()).unwrap(), 400),
        (get(&door).header("host", &door).body(Full::default()).unwrap(), 200),
        (get(&door).header("origin", "https://evil.test").body(Full::default()).unwrap(), 403),
        (get(&door).method("BREW").body(Full::default()).unwrap(), 405),
    ];
    for (request, status) in requests {
        let told = format!("{request:?}");
        sender.ready().await.unwrap();
        assert_eq!(sender.send_request(request).await.unwrap().status().as_u16(), status, "{told}");
    }
    let connect = Request::builder().method(Method::CONNECT).uri("evil.test:443").body(Full::default()).unwrap();
    sender.ready().await.unwrap();
    assert_eq!(sender.send_request(connect).await.unwrap().status().as_u16(), 405);
    sidecar.wait_for("ended", 1).await;
    drop(sender);
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn a_body_over_http_2_is_read_whole_and_bounded() {
    let wanted = Wanted { tool: "max_body = \"1KiB\"", ..Wanted::default() };
    let mut sidecar = Sidecar::start(wanted, Seams::default()).await;
    let mut sender = client(&sidecar).await;
    let post = |body: &'static [u8]| {
        Request::post(format!("http://{}/tracker/repos/octo/hello/issues/7/comments", sidecar.door))
            .body(Full::new(bytes::Bytes::from_static(body)))
            .unwrap()
    };
    for (body, status) in [(&b"hello"[..], 200), (&[b'x'; 2_000][..], 413)] {
        sender.ready().await.unwrap();
        assert_eq!(sender.send_request(post(body)).await.unwrap().status().as_u16(), status);
    }
    assert_eq!(sidecar.tool.seen().remove(0).body(), "hello");
    sidecar.wait_for("ended", 1).await;
    drop(sender);
    invariants::hold(&mut sidecar).await;
}
