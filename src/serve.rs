//! The doors: connections are accepted, requests read whole, each call carried by a task of its own.

pub mod admin;
mod asks;
pub mod checked;
pub mod gateway;
mod listener;
pub mod oauth;
mod pages;
mod patient;
mod places;
mod reply;
mod tasks;
mod ui;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

pub use self::listener::Listener;
use self::patient::{Held, Patient, UnderWay};
pub use self::places::Places;
use self::places::{Free, Place};
pub use self::ui::Sessions;
use crate::identify::{Observer, observe_tcp};
use crate::model::{BoxError, Peer};
use crate::telemetry::{Connected, Metrics};

/// Bytes a request's head may have.
const LARGEST_HEAD: usize = 64 * 1024;

/// The same for HTTP/2, where a header's name and value count 32 bytes more (RFC 9113 §6.5.2).
const LARGEST_HEADER_LIST: u32 = 64 * 1024;

/// Requests that may be under way on one HTTP/2 connection.
const STREAMS: u32 = 64;

/// Streams that a peer may reset, or make us reset, before its connection is closed (CVE-2023-44487, CVE-2025-8671).
const RESETS: usize = 20;

/// Bytes of a body that a peer may send before they are asked for, and of all bodies on a connection.
const WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// Bytes of an answer that wait for a peer that reads slowly.
const SEND_BUFFER: usize = 64 * 1024;

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// How often an HTTP/2 peer is asked whether it still lives, and how long it may take to say so.
const ALIVE: Duration = Duration::from_secs(20);

/// What answers the requests of a door.
pub trait Answers: Send + Sync + 'static {
    /// What its answers' bodies are.
    type Body: Body<Data: Send, Error: Into<BoxError>> + Send + 'static;

    /// Answers one request of a peer. Dropping the future is the peer's hanging up.
    fn answer(&self, peer: Arc<Peer>, request: Request<Incoming>) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// What every connection of a door meets.
pub struct Door<A> {
    /// What answers.
    pub answers: Arc<A>,
    /// How many connections there may be.
    pub places: Arc<Places>,
    /// What it proves itself with, if it speaks TLS.
    pub tls: Option<TlsAcceptor>,
    /// Where connections are counted.
    pub metrics: Arc<Metrics>,
    /// Turns true when the sidecar stops.
    pub stop: watch::Receiver<bool>,
}

/// Accepts connections until the sidecar stops, then waits until those that are open have had their answers.
pub async fn serve(listener: Listener, door: Door<impl Answers>) -> io::Result<()> {
    let mut stop = door.stop.clone();
    let open = watch::Sender::new(0);
    let accepting = Accepting { door, protocol: protocol(), open: open.clone() };
    let accepting = async {
        match listener {
            Listener::Tcp(listener) => accepting.tcp(TcpListener::from_std(listener)?).await,
            Listener::Unix(listener) => accepting.unix(UnixListener::from_std(listener)?).await,
        }
    };
    tokio::select! {
        ended = accepting => return ended,
        _ = stop.wait_for(|stop| *stop) => {}
    }
    let _ = open.subscribe().wait_for(|open| *open == 0).await;
    Ok(())
}

/// HTTP/1.1 and HTTP/2, with what a peer may have of each.
fn protocol() -> Protocol {
    let mut protocol = Protocol::new(TokioExecutor::new());
    protocol.http1().max_buf_size(LARGEST_HEAD);
    protocol
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(LARGEST_HEADER_LIST)
        .max_concurrent_streams(STREAMS)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(RESETS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(ALIVE)
        .keep_alive_timeout(ALIVE);
    protocol
}

type Protocol = auto::Builder<TokioExecutor>;

struct Accepting<A> {
    door: Door<A>,
    protocol: Protocol,
    open: watch::Sender<usize>,
}

/// What a connection holds for as long as it is open, as a connection or as a tunnel.
struct Guest {
    _connected: Connected,
    open: watch::Sender<usize>,
    _place: Place,
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.open.send_modify(|open| *open = open.saturating_sub(1));
    }
}

impl<A: Answers> Accepting<A> {
    async fn tcp(&self, listener: TcpListener) -> io::Result<()> {
        let here = listener.local_addr()?;
        loop {
            let Some(((stream, there), free)) = self.next(listener.accept()).await else { continue };
            // Small answers should not wait for one another.
            let _ = stream.set_nodelay(true);
            let local = stream.local_addr().unwrap_or(here);
            self.spawn(async move { Ok((stream, observe_tcp(there, local))) }, free);
        }
    }

    async fn unix(&self, listener: UnixListener) -> io::Result<()> {
        let observer = Observer::new();
        loop {
            let Some(((stream, _), free)) = self.next(listener.accept()).await else { continue };
            let observer = observer.clone();
            let observed = async move {
                let peer = observer.unix(&stream).await?;
                Ok((stream, peer))
            };
            self.spawn(observed, free);
        }
    }

    /// The next connection, once there is a place for it. Out of file descriptors, it waits rather than spins.
    async fn next<S>(&self, accept: impl Future<Output = io::Result<S>>) -> Option<(S, Free)> {
        let free = self.door.places.free().await?;
        match accept.await {
            Ok(accepted) => Some((accepted, free)),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                None
            }
        }
    }

    fn spawn<I>(&self, observed: impl Future<Output = io::Result<(I, Peer)>> + Send + 'static, free: Free)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Door { answers, places, tls, metrics, stop } = &self.door;
        let (answers, places, tls, stop) = (answers.clone(), places.clone(), tls.clone(), stop.clone());
        let (protocol, connected, open) = (self.protocol.clone(), metrics.connected(), self.open.clone());
        tokio::spawn(async move {
            let (mut io, peer) = match observed.await {
                Ok((io, peer)) => (io, Arc::new(peer)),
                Err(error) => return tracing::warn!(%error, "the peer of a connection could not be observed"),
            };
            let Some(place) = places.take(free, &peer) else {
                tracing::warn!("a peer has its share of connections; one more is turned away");
                let _ = io.write_all(&reply::crowded()).await;
                return;
            };
            open.send_modify(|open| *open = open.saturating_add(1));
            let guest = Guest { _connected: connected, open, _place: place };
            let Some(tls) = tls else { return connection(&protocol, (io, guest), (answers, peer), stop).await };
            match tokio::time::timeout(HANDSHAKE, tls.accept(io)).await {
                Ok(Ok(io)) => connection(&protocol, (io, guest), (answers, peer), stop).await,
                Ok(Err(error)) => tracing::debug!(%error, "a handshake failed"),
                Err(_) => tracing::debug!("a handshake took too long"),
            }
        });
    }
}

async fn connection<A: Answers>(
    protocol: &Protocol,
    (io, guest): (impl AsyncRead + AsyncWrite + Unpin + Send + 'static, Guest),
    (answers, peer): (Arc<A>, Arc<Peer>),
    mut stop: watch::Receiver<bool>,
) {
    let under_way = UnderWay::default();
    let io = Patient::new(io, under_way.clone(), guest);
    let service = service_fn(move |request| {
        let (answers, peer, busy) = (answers.clone(), peer.clone(), under_way.begin());
        async move {
            let answer = answers.answer(peer, request).await;
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                busy.for_good();
            }
            Ok::<_, Infallible>(answer.map(|body| Held::new(body, busy)))
        }
    });
    let mut connection = pin!(protocol.serve_connection_with_upgrades(TokioIo::new(io), service));
    let stopped = async {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = stopped => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
