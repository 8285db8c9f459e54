//! The doors: connections are accepted, requests read whole, each call carried by a task of its own.

pub mod admin;
mod checked;
pub mod gateway;
mod oauth;
mod pages;
mod reply;
mod tasks;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::identify::{Observer, observe_tcp};
use crate::model::Peer;
use crate::telemetry::Metrics;

/// How long a request's head may take to arrive.
const HEAD: Duration = Duration::from_secs(5);

/// Connections of one door at a time.
const CONNECTIONS: usize = 4_096;

/// Bytes a request's head may have.
const LARGEST_HEAD: usize = 64 * 1024;

/// What answers the requests of a door.
pub trait Answers: Send + Sync + 'static {
    /// What its answers' bodies are.
    type Body: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static;

    /// Answers one request of a peer. Dropping the future is the peer's hanging up.
    fn answer(&self, peer: Arc<Peer>, request: Request<Incoming>) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// A bound door that nobody has accepted from yet.
#[derive(Debug)]
pub enum Listener {
    /// On loopback.
    Tcp(std::net::TcpListener),
    /// On a path.
    Unix(StdUnixListener),
}

impl Listener {
    /// Binds a TCP address.
    pub fn tcp(address: SocketAddr) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(Self::Tcp(listener))
    }

    /// Binds a path with this mode. A socket that nobody answers on is replaced; anything else there is an error.
    pub fn unix(path: &Path, mode: u32) -> io::Result<Self> {
        match std::fs::symlink_metadata(path) {
            Ok(there) if there.file_type().is_socket() && StdUnixStream::connect(path).is_err() => {
                std::fs::remove_file(path)?;
            }
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AddrInUse, "something is there already")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let listener = StdUnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        listener.set_nonblocking(true)?;
        Ok(Self::Unix(listener))
    }

    /// Where it listens, if that is an address.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// The same door, for another thread to accept from.
    pub fn share(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(listener) => Self::Tcp(listener.try_clone()?),
            Self::Unix(listener) => Self::Unix(listener.try_clone()?),
        })
    }
}

/// Accepts connections until `stop` turns true, then waits until those that are open have had their answers.
pub async fn serve(
    listener: Listener,
    answers: Arc<impl Answers>,
    metrics: Arc<Metrics>,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let open = Arc::new(Semaphore::new(CONNECTIONS));
    let door = Door { answers, metrics, open: open.clone(), stop: stop.clone() };
    let accepting = async {
        match listener {
            Listener::Tcp(listener) => door.accept_tcp(TcpListener::from_std(listener)?).await,
            Listener::Unix(listener) => door.accept_unix(UnixListener::from_std(listener)?).await,
        }
    };
    tokio::select! {
        ended = accepting => return ended,
        _ = stop.wait_for(|stop| *stop) => {}
    }
    let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
    let _all_closed = open.acquire_many(all).await;
    Ok(())
}

struct Door<A> {
    answers: Arc<A>,
    metrics: Arc<Metrics>,
    open: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
}

impl<A: Answers> Door<A> {
    async fn accept_tcp(&self, listener: TcpListener) -> io::Result<()> {
        let here = listener.local_addr()?;
        loop {
            let Some(((stream, there), place)) = self.next(listener.accept()).await else { continue };
            // Small answers should not wait for one another.
            let _ = stream.set_nodelay(true);
            let local = stream.local_addr().unwrap_or(here);
            self.spawn(async move { Ok((stream, observe_tcp(there, local))) }, place);
        }
    }

    async fn accept_unix(&self, listener: UnixListener) -> io::Result<()> {
        let observer = Observer::new();
        loop {
            let Some(((stream, _), place)) = self.next(listener.accept()).await else { continue };
            let observer = observer.clone();
            let observed = async move {
                let peer = observer.unix(&stream).await?;
                Ok((stream, peer))
            };
            self.spawn(observed, place);
        }
    }

    /// The next connection, once there is a place for it. Out of file descriptors, it waits rather than spins.
    async fn next<S>(&self, accept: impl Future<Output = io::Result<S>>) -> Option<(S, OwnedSemaphorePermit)> {
        let place = self.open.clone().acquire_owned().await.ok()?;
        match accept.await {
            Ok(accepted) => Some((accepted, place)),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                None
            }
        }
    }

    fn spawn<I>(
        &self,
        observed: impl Future<Output = io::Result<(I, Peer)>> + Send + 'static,
        place: OwnedSemaphorePermit,
    ) where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (answers, stop, connected) = (self.answers.clone(), self.stop.clone(), self.metrics.connected());
        tokio::spawn(async move {
            match observed.await {
                Ok((io, peer)) => connection(io, Arc::new(peer), answers, stop).await,
                Err(error) => tracing::warn!(%error, "the peer of a connection could not be observed"),
            }
            drop((connected, place));
        });
    }
}

async fn connection<A: Answers>(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Arc<Peer>,
    answers: Arc<A>,
    mut stop: watch::Receiver<bool>,
) {
    let service = service_fn(move |request| {
        let (answers, peer) = (answers.clone(), peer.clone());
        async move { Ok::<_, Infallible>(answers.answer(peer, request).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(LARGEST_HEAD);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
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
