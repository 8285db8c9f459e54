//! For this room's tests: a tool on loopback that answers by script.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderValue, Request, Uri};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::client::{Error, HyperUpstream};
use super::connect::{self, Dial, Resolver};
use super::{RequestBody, Upstream};
use crate::model::{Clock, Timestamp, Tool};

/// A dial that knows `address` by every name and believes nobody's certificate.
pub(super) fn dial(address: SocketAddr) -> Dial {
    let clock = Clock::new(|| Timestamp::from_millis(1_795_324_800_000));
    Dial {
        resolver: Resolver::new(move |_, _| Box::pin(async move { Ok(vec![address]) })),
        own: Arc::new([]),
        tls: connect::tls(rustls::RootCertStore::empty(), clock).unwrap(),
        patience: Duration::from_secs(2),
        via: HeaderValue::from_static("1.1 countersign-test"),
    }
}

pub(super) fn tool(origin: &str, networks: &[&str]) -> Arc<Tool> {
    let uri: Uri = origin.parse().unwrap();
    Arc::new(Tool {
        name: "tool".into(),
        scheme: uri.scheme().unwrap().clone(),
        authority: uri.authority().unwrap().clone(),
        base_path: String::new(),
        networks: networks.iter().map(|text| text.parse().unwrap()).collect(),
        issuer: "none".into(),
        max_call: Duration::from_secs(10),
        max_body: 1024,
        request_headers: Vec::new(),
        answer_headers: Vec::new(),
    })
}

pub(super) fn get(path: &str) -> Request<RequestBody> {
    Request::builder().uri(path).header("authorization", "Bearer lent").body(RequestBody::default()).unwrap()
}

/// Why `tool` was not called. Fails, rather than waits for an answer, when it was.
pub(super) async fn refusal(upstream: &HyperUpstream, tool: &Arc<Tool>) -> Error {
    let answer = tokio::time::timeout(Duration::from_secs(3), upstream.send(tool, get("/")));
    answer.await.expect("the call was sent").unwrap_err()
}

/// A server on loopback that answers the n-th request of a connection with the n-th text, and then hangs up.
pub(super) struct Fake {
    pub(super) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    pub(super) async fn start(answers: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let fake = Self { address, connections: Arc::clone(&connections), requests: Arc::clone(&requests) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(converse(stream, answers, Arc::clone(&requests)));
            }
        });
        fake
    }

    pub(super) async fn connections(&self) -> usize {
        // Long enough for a connection that should not have been made to be noticed.
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.connections.load(Ordering::SeqCst)
    }

    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    pub(super) fn origin(&self) -> String {
        format!("http://tool.test:{}", self.address.port())
    }
}

async fn converse(mut stream: TcpStream, answers: &[&str], requests: Arc<Mutex<Vec<String>>>) {
    for answer in answers {
        let mut bytes = Vec::new();
        while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
        }
        requests.lock().unwrap().push(String::from_utf8(bytes).unwrap());
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}
