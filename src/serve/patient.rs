//! A connection for as long as patience lasts: with a head that does not come, with silence, with a peer that does not read.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a request's head may take, from the first byte of it, and the first of all from the connection.
const HEAD: Duration = Duration::from_secs(5);

/// How long a connection may be silent between two requests.
const IDLE: Duration = Duration::from_secs(60);

/// How long the peer may leave unread what is written to it.
const UNREAD: Duration = Duration::from_secs(30);

/// How many requests of a connection are under way. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct UnderWay(Arc<AtomicUsize>);

/// A request that is under way, until it is dropped.
#[derive(Debug)]
pub struct Busy(UnderWay);

pin_project_lite::pin_project! {
    /// An answer's body, whose request is under way until it is dropped.
    pub struct Held<B> {
        #[pin]
        body: B,
        busy: Busy,
    }
}

impl<B> Held<B> {
    /// The request ends with this body.
    pub fn new(body: B, busy: Busy) -> Self {
        Self { body, busy }
    }
}

impl<B: Body> Body for Held<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Busy {
    /// The connection becomes a tunnel, which has limits of its own: from here on it is never without a request.
    pub fn for_good(&self) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl UnderWay {
    /// One more.
    pub fn begin(&self) -> Busy {
        self.0.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    fn is_none(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection whose peer is waited for no longer than is good, and what is held for as long as it is open.
pub struct Patient<I, G> {
    io: I,
    under_way: UnderWay,
    /// Until when bytes must come, while no request is under way.
    silent: Deadline,
    /// Whether some of a head has come.
    begun: bool,
    /// Until when what was written must be read.
    unread: Option<Deadline>,
    _guest: G,
}

impl<I, G> Patient<I, G> {
    /// From now on.
    pub fn new(io: I, under_way: UnderWay, guest: G) -> Self {
        Self { io, under_way, silent: Deadline::within(HEAD), begun: true, unread: None, _guest: guest }
    }

    /// Nothing comes: whether that has lasted for too long.
    fn is_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.under_way.is_none() {
            self.begun = false;
            self.silent.at = None;
            return false;
        }
        if self.silent.at.is_none() {
            self.silent.set(IDLE);
        }
        self.silent.has_come(cx)
    }

    /// Something came: if it is of a head, the rest of that has to follow.
    fn heard(&mut self) {
        if !self.begun && self.under_way.is_none() {
            self.begun = true;
            self.silent.set(HEAD);
        }
    }

    fn after_write<T>(&mut self, written: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            if let Some(unread) = &mut self.unread {
                unread.at = None;
            }
            return written;
        }
        let unread = self.unread.get_or_insert_with(|| Deadline::within(UNREAD));
        if unread.at.is_none() {
            unread.set(UNREAD);
        }
        if unread.has_come(cx) { Poll::Ready(Err(io::ErrorKind::TimedOut.into())) } else { Poll::Pending }
    }
}

impl<I: AsyncRead + Unpin, G: Unpin> AsyncRead for Patient<I, G> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        match Pin::new(&mut this.io).poll_read(cx, buf) {
            Poll::Pending if this.is_overdue(cx) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
            Poll::Ready(read) => {
                if buf.filled().len() > before {
                    this.heard();
                }
                Poll::Ready(read)
            }
        }
    }
}

impl<I: AsyncWrite + Unpin, G: Unpin> AsyncWrite for Patient<I, G> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write(cx, buf);
        this.after_write(written, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.io).poll_write_vectored(cx, bufs);
        this.after_write(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.io).poll_flush(cx);
        this.after_write(flushed, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.io).poll_shutdown(cx);
        this.after_write(shut, cx)
    }
}

/// A time, if one is set, and the timer that tells when it has come. The timer may ring early and is then set again, so
/// that moving the time further away, which each request does, costs next to nothing.
struct Deadline {
    at: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

impl Deadline {
    fn within(span: Duration) -> Self {
        let at = Instant::now() + span;
        Self { at: Some(at), timer: Box::pin(sleep_until(at)) }
    }

    fn set(&mut self, span: Duration) {
        let at = Instant::now() + span;
        self.at = Some(at);
        if at < self.timer.deadline() || self.timer.is_elapsed() {
            self.timer.as_mut().reset(at);
        }
    }

    fn has_come(&mut self, cx: &mut Context<'_>) -> bool {
        while let Some(at) = self.at {
            if self.timer.as_mut().poll(cx).is_pending() {
                return false;
            }
            if Instant::now() >= at {
                return true;
            }
            self.timer.as_mut().reset(at);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::time::{advance, timeout};

    use super::*;

    fn patient() -> (Patient<DuplexStream, ()>, DuplexStream, UnderWay) {
        let (near, far) = duplex(64);
        let under_way = UnderWay::default();
        (Patient::new(near, under_way.clone(), ()), far, under_way)
    }

    /// How many seconds a read lasts before patience ends; nothing if it does not within two minutes.
    async fn lasts(patient: &mut Patient<DuplexStream, ()>) -> Option<u64> {
        let begun = Instant::now();
        let read = timeout(Duration::from_secs(120), patient.read(&mut [0; 8])).await.ok()?;
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);
        Some(begun.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_come_or_drips_is_given_up() {
        let (mut silent, _far, _) = patient();
        assert_eq!(lasts(&mut silent).await, Some(5));
        let (mut dripping, mut far, _) = patient();
        for _ in 0..2 {
            advance(Duration::from_secs(2)).await;
            far.write_all(b"G").await.unwrap();
            assert_eq!(dripping.read(&mut [0; 8]).await.unwrap(), 1);
        }
        assert_eq!(lasts(&mut dripping).await, Some(1), "a byte now and then buys no time");
    }

    #[tokio::test(start_paused = true)]
    async fn between_requests_there_is_a_minute_and_during_one_no_limit() {
        let (mut patient, mut far, under_way) = patient();
        let busy = under_way.begin();
        assert_eq!(lasts(&mut patient).await, None);
        drop(busy);
        assert_eq!(lasts(&mut patient).await, Some(60));
        let (mut patient, mut other, under_way) = self::patient();
        let busy = under_way.begin();
        assert_eq!(lasts(&mut patient).await, None);
        drop(busy);
        assert!(timeout(Duration::from_secs(30), patient.read(&mut [0; 8])).await.is_err());
        other.write_all(b"G").await.unwrap();
        assert_eq!(patient.read(&mut [0; 8]).await.unwrap(), 1);
        assert_eq!(lasts(&mut patient).await, Some(5), "a head that has begun has to end");
        let _ = far.write_all(b"").await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_given_up() {
        let (mut patient, mut far, _) = patient();
        let begun = Instant::now();
        let written = timeout(Duration::from_secs(120), patient.write_all(&[0; 100])).await.unwrap();
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(begun.elapsed().as_secs(), 30);
        far.read_exact(&mut [0; 64]).await.unwrap();
        patient.write_all(&[0; 10]).await.unwrap();
    }
}
