//! Tools behind TLS: who they are is proven before a byte of a call is sent, and HTTP/2 is spoken where they agree to it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use countersign::model::Digest;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{Request, Response, Version};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use rcgen::CertificateParams;
use rustls::RootCertStore;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{accept_async, client_async};

use super::bench::{get, judged, post};
use super::certified::{Authority, Body, NAME, Names, PATIENCE, listen, self_signed, serve, way, well};
use super::floods::{HEADERS, RST_STREAM, SETTINGS, frame};
use crate::suite::common::gate::Gate;
use crate::suite::common::invariants;
use crate::suite::common::sidecar::{Sidecar, Wanted};

const BOTH: [&str; 2] = ["h2", "http/1.1"];
const GOAWAY: u8 = 7;
const ACK: u8 = 1;

const CATALOG: &str = concat!(
    include_str!("tracker.toml"),
    "[actions.live]\nmatch = \"GET /live\"\neffect = \"read\"\nresource = \"live\"\nbody = \"websocket\"\n"
);

/// A sidecar whose tool is `https://tool.test`, at this address, believing these authorities.
async fn sidecar(address: SocketAddr, roots: RootCertStore) -> Sidecar {
    let names = Names::of(vec![vec![address]]);
    let wanted = Wanted {
        origin: Some(format!("https://{NAME}:8443")),
        networks: "networks = [\"127.0.0.0/8\"]",
        listen: "workers = 1",
        catalog: CATALOG,
        ..Wanted::default()
    };
    Sidecar::start(wanted, way(names.resolver(), roots)).await
}

/// A tool that counts the bytes it is sent behind its handshake.
async fn counting(acceptor: TlsAcceptor) -> (SocketAddr, Arc<AtomicUsize>) {
    let bytes = Arc::new(AtomicUsize::new(0));
    let count = bytes.clone();
    let address = listen(acceptor, move |mut stream: TlsStream<TcpStream>| {
        let count = count.clone();
        async move {
            let mut head = vec![0; 4_096];
            while let Ok(length @ 1..) = stream.read(&mut head).await {
                count.fetch_add(length, Ordering::SeqCst);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nwell").await;
            }
        }
    })
    .await;
    (address, bytes)
}

#[tokio::test]
async fn e11_nothing_is_said_to_a_tool_that_does_not_prove_its_name() {
    let (known, other, narrow) = (Authority::new(), Authority::new(), Authority::for_names(&["other.test"]));
    let same = |_: &mut CertificateParams| {};
    let over = |params: &mut CertificateParams| params.not_after = rcgen::date_time_ymd(2025, 1, 1);
    let early = |params: &mut CertificateParams| params.not_before = rcgen::date_time_ymd(2900, 1, 1);
    for (what, acceptor, roots, status) in [
        ("good", known.server(NAME, same, &[]), known.roots(), 200),
        ("expired", known.server(NAME, over, &[]), known.roots(), 502),
        ("not valid yet", known.server(NAME, early, &[]), known.roots(), 502),
        ("another name", known.server("other.test", same, &[]), known.roots(), 502),
        ("a name below", known.server("a.tool.test", same, &[]), known.roots(), 502),
        ("another authority", other.server(NAME, same, &[]), known.roots(), 502),
        ("an authority for other names", narrow.server(NAME, same, &[]), narrow.roots(), 502),
        ("its own authority", self_signed(), known.roots(), 502),
    ] {
        let (address, bytes) = counting(acceptor).await;
        let mut sidecar = sidecar(address, roots).await;
        let answer = sidecar.send(&get("/tracker/notes")).await;
        assert_eq!(answer.status, status, "{what}: {answer:?}");
        if status == 502 {
            assert_eq!(answer.code().1, "upstream_failed", "{what}");
            assert!(!answer.body.contains("certificate"), "{what}: {answer:?}");
            let ended = sidecar.story(answer.call(), "ended").await.last("ended").unwrap().entry.clone();
            assert!(ended["why"].as_str().unwrap().contains("certificate"), "{what}: {ended}");
        }
        assert_eq!(bytes.load(Ordering::SeqCst) > 0, status == 200, "{what}: bytes of a call were sent");
        sidecar.wait_for("ended", 1).await;
        invariants::hold(&mut sidecar).await;
    }
}

#[tokio::test]
async fn g10_a_handshake_that_stalls_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut sidecar = sidecar(listener.local_addr().unwrap(), RootCertStore::empty()).await;
    let begun = Instant::now();
    let answer = sidecar.send(&get("/tracker/notes")).await;
    assert_eq!(answer.code(), (504, "upstream_timeout".to_owned()));
    assert!(begun.elapsed() < PATIENCE * 5, "{:?}", begun.elapsed());
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut hello = Vec::new();
    let _ = stream.read_to_end(&mut hello).await;
    assert!(hello.starts_with(&[0x16, 3]) && !hello.windows(5).any(|word| word == b"notes"), "a hello and no more");
    invariants::hold(&mut sidecar).await;
}

/// In two parts, of which the second comes when the test has read the first.
fn in_parts(held: Gate) -> Response<Body> {
    let parts = futures_util::stream::iter(["one", "two"]).then(move |part| {
        let held = held.clone();
        async move {
            if part == "two" {
                held.pass().await;
            }
            Ok(Frame::data(Bytes::from_static(part.as_bytes())))
        }
    });
    Response::new(StreamBody::new(Box::pin(parts)).boxed_unsync())
}

#[tokio::test]
async fn a_tool_that_speaks_http_2_is_called_over_it_and_gets_what_was_judged() {
    let authority = Authority::new();
    let seen: Arc<Mutex<Vec<Request<Bytes>>>> = Arc::default();
    let (gate, taken, connections) = (Gate::open(), seen.clone(), Arc::new(AtomicUsize::new(0)));
    gate.close();
    let (held, count) = (gate.clone(), connections.clone());
    let address = listen(authority.server(NAME, |_| {}, &BOTH), move |stream| {
        count.fetch_add(1, Ordering::SeqCst);
        let held = held.clone();
        serve(stream, taken.clone(), move |number| {
            let held = held.clone();
            async move { if number > 1 { well() } else { in_parts(held) } }
        })
    })
    .await;
    let mut sidecar = sidecar(address, authority.roots()).await;
    let body = r#"{"a":1}"#;
    let request = post("/tracker/notes?x=1", body)
        .replace("content-type", "te: trailers\r\nproxy-connection: keep-alive\r\nkeep-alive: 5\r\ncontent-type");
    let mut stream = sidecar.begin(&request).await;
    let mut heard = Vec::new();
    while !heard.windows(3).any(|part| part == b"one") {
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_buf(&mut heard)).await;
        assert_ne!(read.expect("the first part, while the second is held back").unwrap(), 0);
    }
    gate.release();
    stream.read_to_end(&mut heard).await.unwrap();
    assert!(heard.windows(3).any(|part| part == b"two"), "{}", String::from_utf8_lossy(&heard));
    assert!(heard.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&heard));
    assert_eq!(sidecar.send(&get("/tracker/notes")).await.body, "well");
    let story = sidecar
        .wait_for("ended", 2)
        .await
        .into_iter()
        .find(|story| story.first("permitted").unwrap().entry["method"] == "POST");
    let story = story.unwrap();
    let requests = seen.lock().unwrap().clone();
    let seen = &requests[0];
    assert_eq!((seen.version(), connections.load(Ordering::SeqCst), requests.len()), (Version::HTTP_2, 1, 2));
    let target = seen.uri().path_and_query().unwrap().to_string();
    let arrived = (seen.method().to_string(), target, Digest::of(seen.body()).to_string());
    assert_eq!(judged(story.first("permitted").unwrap()), arrived);
    assert_eq!(arrived.1, "/notes?x=1");
    assert_eq!((seen.uri().scheme_str(), seen.uri().authority().unwrap().as_str()), (Some("https"), "tool.test:8443"));
    assert_eq!(seen.headers()["authorization"], format!("Bearer {}", sidecar.vault.secret(1)));
    // What HTTP/2 has no place for (RFC 9113 §8.2.2), and what says the host a second time.
    for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te", "host"] {
        assert!(!seen.headers().contains_key(name), "{name}: {:?}", seen.headers());
    }
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn a_stream_or_a_connection_that_the_tool_breaks_off_is_one_failure_and_no_second_try() {
    let reset = |code: u32| frame(RST_STREAM, 0, 1, &code.to_be_bytes());
    let away = |last: u32, code: u32| frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat());
    for (what, said) in [
        ("an error in the stream", reset(2)),
        ("a stream cancelled", reset(8)),
        ("a stream refused", reset(7)),
        ("an error in the connection", away(1, 2)),
        ("a farewell to a call that was read", away(1, 0)),
        ("a farewell to a call that was not read", away(0, 0)),
        ("a hang-up", Vec::new()),
    ] {
        let authority = Authority::new();
        let heads = Arc::new(AtomicUsize::new(0));
        let count = heads.clone();
        let address = listen(authority.server(NAME, |_| {}, &BOTH), move |stream| {
            let (said, count) = (said.clone(), count.clone());
            async move { answer_heads(stream, &said, &count).await }
        })
        .await;
        let mut sidecar = sidecar(address, authority.roots()).await;
        let begun = Instant::now();
        let answer = sidecar.send(&post("/tracker/notes", "{}")).await;
        assert_eq!(answer.code(), (502, "upstream_failed".to_owned()), "{what}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{what}: {:?}", begun.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(heads.load(Ordering::SeqCst), 1, "{what}: it was sent again");
        sidecar.wait_for("ended", 1).await;
        invariants::hold(&mut sidecar).await;
    }
}

/// Speaks just enough HTTP/2 to answer each head with these bytes, and hangs up.
async fn answer_heads(mut stream: TlsStream<TcpStream>, said: &[u8], heads: &AtomicUsize) {
    let mut preface = [0; 24];
    let _ = stream.read_exact(&mut preface).await;
    let _ = stream.write_all(&frame(SETTINGS, 0, 0, &[])).await;
    let mut head = [0; 9];
    while stream.read_exact(&mut head).await.is_ok() {
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        if stream.read_exact(&mut payload).await.is_err() {
            return;
        }
        if head[3] == SETTINGS && head[4] & ACK == 0 {
            let _ = stream.write_all(&frame(SETTINGS, ACK, 0, &[])).await;
        }
        if head[3] == HEADERS {
            heads.fetch_add(1, Ordering::SeqCst);
            let _ = stream.write_all(said).await;
            let _ = stream.flush().await;
            // What is on its way should not be overtaken by the end of the connection.
            tokio::time::sleep(Duration::from_millis(50)).await;
            return;
        }
    }
}

#[tokio::test]
async fn a_tunnel_to_a_tool_that_speaks_http_2_goes_over_http_1() {
    let authority = Authority::new();
    let protocols: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let agreed = protocols.clone();
    let address = listen(authority.server(NAME, |_| {}, &BOTH), move |stream: TlsStream<TcpStream>| {
        agreed.lock().unwrap().push(stream.get_ref().1.alpn_protocol().unwrap_or_default().to_vec());
        async move {
            let Ok(mut socket) = accept_async(stream).await else { return };
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() {
                    let _ = socket.send(message).await;
                }
            }
        }
    })
    .await;
    let mut sidecar = sidecar(address, authority.roots()).await;
    let stream = TcpStream::connect(sidecar.door).await.unwrap();
    let request = format!("ws://{}/tracker/live", sidecar.door).into_client_request().unwrap();
    let (mut socket, answer) = client_async(request, stream).await.unwrap();
    assert_eq!(answer.status(), 101);
    socket.send(Message::text("one")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("one"));
    socket.close(None).await.unwrap();
    while let Some(Ok(_)) = socket.next().await {}
    assert_eq!(*protocols.lock().unwrap(), [b"http/1.1".to_vec()]);
    sidecar.wait_for("ended", 1).await;
    invariants::hold(&mut sidecar).await;
}
