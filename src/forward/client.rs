//! The client that calls go out through: a pool of connections for each tool, no redirects, no proxies, no second try.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA};
use http::uri::PathAndQuery;
use http::{Extensions, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::answer::{self, AnswerBody};
use super::connect::{Connector, Dial};
use super::egress::Blocked;
use super::{BoxFuture, RequestBody, Upstream};
use crate::model::Tool;

/// Idle connections kept for a tool.
const MOST_IDLE: usize = 64;
/// How long a connection is kept idle.
const IDLE: Duration = Duration::from_secs(30);
/// Bytes an answer's head may have, and the most read at once of its body: with 64 KiB, a long one passes a fifth slower. hyper
/// allows 100 headers in a head.
const LARGEST_HEAD: usize = 256 * 1024;
/// The same for HTTP/2, where a header's name and value count 32 bytes more (RFC 9113 §6.5.2).
const LARGEST_HEADER_LIST: u32 = 64 * 1024;
/// Bytes of an answer that HTTP/2 lets a tool send before they are asked for, and of all answers on a connection.
const WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// How often a tool's HTTP/2 connection is asked whether it still lives.
const ALIVE: Duration = Duration::from_secs(20);
/// Streams that a tool may reset, or break, before its connection is closed (CVE-2023-44487, CVE-2025-8671).
const RESETS: usize = 64;

/// Why there is no answer. For the log; it names hosts and addresses, but no path and no query.
///
/// Only after [`Error::Protocol`] may the tool have seen the call: the others come before a byte of it is written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The address is one this tool may not reach.
    #[error("{0}")]
    Blocked(#[from] Blocked),
    /// Nobody answers there.
    #[error("the tool cannot be reached: {0}")]
    Unreachable(String),
    /// Somebody answers, and is not who they should be.
    #[error("the tool's certificate or handshake is not good: {0}")]
    Tls(String),
    /// A step on the way there took too long. How long the answer may take is not decided here.
    #[error("{0} took too long")]
    Timeout(&'static str),
    /// The tool hung up, or answered something that cannot be read in one way only.
    #[error("the tool did not answer properly: {0}")]
    Protocol(String),
}

/// Calls tools over HTTP/2 where their TLS agrees to it, and over HTTP/1.1 otherwise. Pools, networks and names of tools never mix: each has a client of its own.
///
/// Belongs to the runtime it is used on, since its connections are driven there: build one for each.
pub struct HyperUpstream {
    dial: Dial,
    pools: Mutex<BTreeMap<Arc<str>, Pool>>,
}

struct Pool {
    tool: Arc<Tool>,
    clients: Clients,
}

/// The clients of one tool.
#[derive(Clone)]
struct Clients {
    calls: Client<Connector, RequestBody>,
    /// Only HTTP/1.1 switches protocols (RFC 9113 §8.6).
    tunnels: Client<Connector, RequestBody>,
}

impl HyperUpstream {
    /// With no connections yet.
    pub fn new(dial: Dial) -> Self {
        Self { dial, pools: Mutex::new(BTreeMap::new()) }
    }

    /// Empties every pool, as must be done when policy changes: idle connections are closed, those in use close after
    /// their answer. A tool that was loaded anew gets an empty pool without this.
    pub fn forget(&self) {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn clients(&self, tool: &Arc<Tool>) -> Clients {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        // The same name with other networks is another tool.
        if let Some(pool) = pools.get(&tool.name).filter(|pool| Arc::ptr_eq(&pool.tool, tool)) {
            return pool.clients.clone();
        }
        let connector = Connector { dial: self.dial.clone(), tool: Arc::clone(tool) };
        let tunnels = Connector { dial: self.dial.over_http_1(), ..connector.clone() };
        let clients = Clients { calls: build(connector), tunnels: build(tunnels) };
        pools.insert(Arc::clone(&tool.name), Pool { tool: Arc::clone(tool), clients: clients.clone() });
        clients
    }

    fn forget_one(&self, tool: &Arc<Tool>) {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).remove(&tool.name);
    }
}

impl Upstream for HyperUpstream {
    fn send(
        &self,
        tool: &Arc<Tool>,
        request: Request<RequestBody>,
    ) -> BoxFuture<'_, Result<Response<AnswerBody>, Error>> {
        let tool = Arc::clone(tool);
        let upgrade = request.headers().contains_key(UPGRADE);
        let answer = addressed(&tool, &self.dial.via, request).map(|request| {
            let clients = self.clients(&tool);
            if upgrade { clients.tunnels.request(request) } else { clients.calls.request(request) }
        });
        Box::pin(async move {
            let mut answer = answer?.await.map_err(|error| explain(&error))?;
            if let Some(reason) = answer::ambiguity(&answer, upgrade) {
                // Whatever follows on this connection must not be taken for the next call's answer.
                self.forget_one(&tool);
                return Err(Error::Protocol(reason.to_owned()));
            }
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                let tunnel = hyper::upgrade::on(&mut answer);
                return Ok(answer.map(|_| AnswerBody::Tunnel(tunnel)));
            }
            // hyper leaves the tool's own reason phrase and a handle on the connection in here.
            *answer.extensions_mut() = Extensions::new();
            Ok(answer.map(AnswerBody::Hyper))
        })
    }
}

fn build(connector: Connector) -> Client<Connector, RequestBody> {
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(MOST_IDLE)
        .http1_max_buf_size(LARGEST_HEAD)
        .timer(TokioTimer::new())
        .http2_max_header_list_size(LARGEST_HEADER_LIST)
        .http2_initial_stream_window_size(WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_pending_accept_reset_streams(RESETS)
        .http2_max_local_error_reset_streams(RESETS)
        .http2_keep_alive_interval(ALIVE)
        // Only a request of which nothing was written, because an idle connection had closed, is sent on another one
        // (hyper gives it back unread). A call that may have been seen is never sent twice.
        .retry_canceled_requests(true)
        .build(connector)
}

/// The request as it goes to `tool` and nowhere else: scheme, authority and framing are set here, whatever it says, and
/// our name in `Via` (RFC 9110 §7.6.3), by which we would know a call that came back to us.
fn addressed(tool: &Tool, via: &HeaderValue, mut request: Request<RequestBody>) -> Result<Request<RequestBody>, Error> {
    let path = request.uri().path_and_query().filter(|path| path.as_str().starts_with('/')).cloned();
    let path: PathAndQuery = path.ok_or_else(|| Error::Protocol("the call's target is no path".to_owned()))?;
    let uri = Uri::builder().scheme(tool.scheme.clone()).authority(tool.authority.clone()).path_and_query(path);
    *request.uri_mut() = uri.build().map_err(|error| Error::Protocol(error.to_string()))?;
    *request.version_mut() = Version::HTTP_11;
    *request.extensions_mut() = Extensions::new();
    let length = request.body().size_hint().exact();
    let says_zero = matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH);
    let headers = request.headers_mut();
    for name in [TRANSFER_ENCODING, TRAILER, HOST, CONTENT_LENGTH] {
        headers.remove(name);
    }
    if !headers.contains_key(UPGRADE) {
        headers.remove(CONNECTION);
    }
    headers.insert(VIA, via.clone());
    // Without a length, hyper frames what streams by chunks.
    if let Some(length) = length.filter(|length| *length > 0 || says_zero) {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(request)
}

/// What our connector said, if it was asked; else what hyper says, without the request.
fn explain(error: &legacy::Error) -> Error {
    let mut cause = error.source();
    let mut innermost = None;
    while let Some(inner) = cause {
        if let Some(ours) = inner.downcast_ref::<Error>() {
            return ours.clone();
        }
        if inner.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) {
            return Error::Unreachable("the connection closed before the call was written".to_owned());
        }
        innermost = Some(inner);
        cause = inner.source();
    }
    Error::Protocol(innermost.map_or_else(|| error.to_string(), ToString::to_string))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use bytes::Bytes;
    use http_body_util::BodyExt;

    use super::super::fake_tool::{Fake, dial, get, tool};
    use super::*;

    const LOOPBACK: &[&str] = &["127.0.0.0/8"];
    const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

    async fn body(answer: Response<AnswerBody>) -> Bytes {
        answer.into_body().collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "the fake's script is static, so a test leaks what it writes")]
    async fn a_redirect_is_an_answer_like_any_other() {
        let elsewhere = Fake::start(&[FINE]).await;
        for status in [301, 302, 303, 307, 308] {
            let text =
                format!("HTTP/1.1 {status} x\r\nlocation: {}/stolen\r\ncontent-length: 0\r\n\r\n", elsewhere.origin());
            let fake = Fake::start(vec![&*text.leak()].leak()).await;
            let upstream = HyperUpstream::new(dial(fake.address));
            let answer = upstream.send(&tool(&fake.origin(), LOOPBACK), get("/a?b=c")).await.unwrap();
            assert_eq!(answer.status(), status);
            assert!(answer.extensions().is_empty());
            assert!(answer.headers()["location"].to_str().unwrap().ends_with("/stolen"));
            assert_eq!((fake.connections().await, fake.requests().len()), (1, 1));
        }
        assert_eq!(elsewhere.connections().await, 0);
    }

    #[test]
    fn proxy_variables_are_not_read() {
        let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        proxy.set_nonblocking(true).unwrap();
        let url = format!("http://{}", proxy.local_addr().unwrap());
        let here = module_path!().split_once("::").unwrap().1;
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", &format!("{here}::a_redirect_is_an_answer_like_any_other")]);
        for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
            child.env(name, &url);
        }
        let output = child.env("NO_PROXY", "").env("no_proxy", "").output().unwrap();
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
        assert_eq!(proxy.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }

    #[tokio::test]
    async fn a_call_that_may_have_been_seen_is_not_sent_again() {
        let fake = Fake::start(&[FINE, ""]).await;
        let upstream = HyperUpstream::new(dial(fake.address));
        let tool = tool(&fake.origin(), LOOPBACK);
        body(upstream.send(&tool, get("/first")).await.unwrap()).await;
        let second = upstream.send(&tool, get("/second?token=x")).await.unwrap_err();
        assert!(matches!(second, Error::Protocol(_)), "{second:?}");
        assert!(!second.to_string().contains("token"));
        assert_eq!((fake.connections().await, fake.requests().len()), (1, 2));
    }

    #[tokio::test]
    async fn a_connection_that_closed_while_idle_costs_no_call() {
        let fake = Fake::start(&[FINE]).await;
        let upstream = HyperUpstream::new(dial(fake.address));
        let tool = tool(&fake.origin(), LOOPBACK);
        for call in 1..4 {
            assert_eq!(body(upstream.send(&tool, get("/")).await.unwrap()).await, "ok");
            assert_eq!((fake.connections().await, fake.requests().len()), (call, call));
        }
    }

    #[tokio::test]
    async fn a_pool_is_not_outlived_by_the_networks_it_was_made_for() {
        let fake = Fake::start(&[FINE, FINE, FINE]).await;
        let upstream = HyperUpstream::new(dial(fake.address));
        let before = tool(&fake.origin(), LOOPBACK);
        body(upstream.send(&before, get("/1")).await.unwrap()).await;
        body(upstream.send(&before, get("/2")).await.unwrap()).await;
        assert_eq!(fake.connections().await, 1);
        let after = upstream.send(&tool(&fake.origin(), &["10.0.0.0/8"]), get("/3")).await;
        assert!(matches!(after, Err(Error::Blocked(Blocked::Private { .. }))), "{after:?}");
        body(upstream.send(&before, get("/4")).await.unwrap()).await;
        upstream.forget();
        body(upstream.send(&before, get("/5")).await.unwrap()).await;
        assert_eq!((fake.connections().await, fake.requests().len()), (3, 4));
    }

    #[tokio::test]
    #[expect(clippy::disallowed_methods, reason = "the fake's script is static, so a test leaks what it writes")]
    async fn an_answer_framed_in_two_ways_is_refused_and_its_connection_given_up() {
        for head in [
            "200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked",
            "200 OK\r\ntransfer-encoding: gzip, chunked",
            "200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked",
            "200 OK\r\ncontent-length: 7\r\ncontent-length: 7",
            "200 OK\r\ncontent-length: 7, 7",
            "200 OK\r\ncontent-length: 7\r\ncontent-length: 8",
            "200 OK\r\ncontent-length: 0\r\ncontent-length: 0",
            "204 No Content\r\ntransfer-encoding: chunked\r\ncontent-length: 0",
            "101 Switching Protocols\r\nupgrade: foo\r\nconnection: upgrade",
        ] {
            // With nothing behind the head, hyper would use the connection again.
            let rest = if head.ends_with("length: 0") { "" } else { "2\r\nok\r\n0\r\n\r\n" };
            let bad: &str = format!("HTTP/1.1 {head}\r\n\r\n{rest}").leak();
            let fake = Fake::start(vec![FINE, bad, FINE].leak()).await;
            let upstream = HyperUpstream::new(dial(fake.address));
            let tool = tool(&fake.origin(), LOOPBACK);
            assert_eq!(body(upstream.send(&tool, get("/")).await.unwrap()).await, "ok", "{head}");
            let second = upstream.send(&tool, get("/")).await;
            assert!(matches!(second, Err(Error::Protocol(_))), "{head}: {second:?}");
            assert_eq!(body(upstream.send(&tool, get("/")).await.unwrap()).await, "ok", "{head}");
            assert_eq!(fake.connections().await, 2, "{head}");
        }
    }

    #[tokio::test]
    async fn bytes_behind_an_answer_are_nobodys() {
        let fake = Fake::start(&[
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
            FINE,
        ])
        .await;
        let upstream = HyperUpstream::new(dial(fake.address));
        let tool = tool(&fake.origin(), LOOPBACK);
        for _ in 0..3 {
            assert_eq!(body(upstream.send(&tool, get("/")).await.unwrap()).await, "ok");
        }
        assert_eq!(fake.connections().await, 3);
    }

    #[tokio::test]
    async fn trailers_are_dropped() {
        let fake = Fake::start(&["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: authorization\r\n\r\n2\r\nok\r\n0\r\nauthorization: evil\r\n\r\n"]).await;
        let upstream = HyperUpstream::new(dial(fake.address));
        let answer = upstream.send(&tool(&fake.origin(), LOOPBACK), get("/")).await.unwrap();
        let whole = answer.into_body().collect().await.unwrap();
        assert!(whole.trailers().is_none());
        assert_eq!(whole.to_bytes(), "ok");
    }

    #[tokio::test]
    async fn where_a_call_goes_and_how_it_is_framed_is_not_the_requests_to_say() {
        let fake = Fake::start(&[FINE]).await;
        let upstream = HyperUpstream::new(dial(fake.address));
        let mut request = get("http://evil.test:1/p?q=%20");
        *request.method_mut() = Method::POST;
        for (name, value) in [("host", "evil.test"), ("content-length", "99"), ("transfer-encoding", "chunked")] {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        upstream.send(&tool(&fake.origin(), LOOPBACK), request).await.unwrap();
        let seen = fake.requests().remove(0);
        assert!(seen.starts_with("POST /p?q=%20 HTTP/1.1\r\n"), "{seen}");
        assert!(seen.contains(&format!("host: tool.test:{}\r\n", fake.address.port())), "{seen}");
        assert!(seen.contains("content-length: 0\r\n") && !seen.contains("transfer-encoding"), "{seen}");
        let asterisk = upstream.send(&tool(&fake.origin(), LOOPBACK), get("*")).await;
        assert!(matches!(asterisk, Err(Error::Protocol(_))));
    }
}
