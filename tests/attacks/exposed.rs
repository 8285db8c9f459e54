//! G10 and the exposed door: TLS or nothing, a handshake in time, a name it is called by, and no proof but a token.

use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign::app::Seams;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::suite::common::invariants;
use crate::suite::common::raw::{Raw, Reply};
use crate::suite::common::sidecar::{Sidecar, Wanted};

const TOKEN: &str = "a-token-for-an-agent-elsewhere";

/// A sidecar whose door speaks TLS as `door.test`, and who believes it.
async fn start(upstream: Option<Arc<Raw>>) -> (Sidecar, RootCertStore) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["door.test".to_owned()]).unwrap().self_signed(&key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let files = vec![
        ("door.pem", rcgen_pem("CERTIFICATE", certificate.der())),
        ("door.key", rcgen_pem("PRIVATE KEY", &key.serialize_der())),
        ("agent.token", TOKEN.to_owned()),
    ];
    let listen = "expose = true\nhosts = [\"door.test\"]\ntls = { certificate = \"door.pem\", key = \"door.key\" }";
    let identify = "identify = [{ token = { file = \"agent.token\" } }]".to_owned();
    let wanted = Wanted { listen, identify, upstream, files, ..Wanted::default() };
    (Sidecar::start(wanted, Seams::default()).await, roots)
}

/// RFC 7468 §2.
fn rcgen_pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

async fn tls(sidecar: &Sidecar, roots: &RootCertStore, protocol: &[u8]) -> TlsStream<TcpStream> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots.clone())
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(sidecar.door).await.unwrap();
    let name = ServerName::try_from("door.test").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

async fn get(stream: &mut TlsStream<TcpStream>, head: &str) -> String {
    let request = format!("GET /tracker/repos/octo/hello/issues/7 HTTP/1.1\r\nconnection: close\r\n{head}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // Not every peer says goodbye (`close_notify`).
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn agents_elsewhere_call_over_tls_by_its_name_with_a_token() {
    let (mut sidecar, roots) = start(None).await;
    let proof = format!("authorization: Bearer {TOKEN}\r\n");
    for (head, status) in [
        (format!("host: door.test\r\n{proof}"), 200),
        ("host: door.test\r\n".to_owned(), 401),
        (format!("host: evil.test\r\n{proof}"), 421),
    ] {
        let answer = get(&mut tls(&sidecar, &roots, b"http/1.1").await, &head).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {answer}");
    }
    let stream = tls(&sidecar, &roots, b"h2").await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get("https://door.test/tracker/repos/octo/hello/issues/7")
        .header("authorization", format!("Bearer {TOKEN}"))
        .body(Empty::<bytes::Bytes>::new())
        .unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.into_body().collect().await.unwrap();
    drop(sender);
    sidecar.wait_for("ended", 2).await;
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn a_link_leads_back_to_a_door_that_speaks_tls() {
    let upstream = Raw::start().await;
    let target = format!("{}/repos/octo/hello/issues/8", upstream.origin);
    upstream.reply(Reply::new(format!("HTTP/1.1 302 Found\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n")));
    let (mut sidecar, roots) = start(Some(upstream)).await;
    let head = format!("host: door.test\r\nauthorization: Bearer {TOKEN}\r\n");
    let answer = get(&mut tls(&sidecar, &roots, b"http/1.1").await, &head).await;
    assert!(answer.contains("\r\nlocation: https://door.test/tracker/repos/octo/hello/issues/8\r\n"), "{answer}");
    sidecar.wait_for("ended", 1).await;
    invariants::hold(&mut sidecar).await;
}

#[tokio::test]
async fn g10_a_handshake_that_stalls_or_is_none_is_given_up_while_others_are_served() {
    let (mut sidecar, roots) = start(None).await;
    let begun = Instant::now();
    let mut stalled = TcpStream::connect(sidecar.door).await.unwrap();
    stalled.write_all(&[22, 3, 1, 2, 0]).await.unwrap();
    let mut plain = TcpStream::connect(sidecar.door).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\nhost: door.test\r\n\r\n").await.unwrap();
    let mut told = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), plain.read_to_end(&mut told)).await.expect("an end at once");
    assert!(!told.starts_with(b"HTTP/"), "{}", String::from_utf8_lossy(&told));
    let head = format!("host: door.test\r\nauthorization: Bearer {TOKEN}\r\n");
    let answer = get(&mut tls(&sidecar, &roots, b"http/1.1").await, &head).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let _ =
        tokio::time::timeout(Duration::from_secs(20), stalled.read_to_end(&mut told)).await.expect("an end in time");
    assert!(begun.elapsed() >= Duration::from_secs(4), "{:?}", begun.elapsed());
    sidecar.wait_for("ended", 1).await;
    invariants::hold(&mut sidecar).await;
}
