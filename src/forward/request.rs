//! What is sent behind a request's head: a body that was judged whole, or one that streams past.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use http_body_util::combinators::BoxBody;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::model::{BoxError, Tally};

/// How long a body that streams may pause.
const IDLE: Duration = Duration::from_secs(10);

/// A request's body on its way to the tool.
#[derive(Debug)]
pub enum RequestBody {
    /// Judged whole, sent as it is.
    Whole(Full<Bytes>),
    /// Sent as it comes.
    Streamed(Box<Streamed>),
}

/// A body that passes unread: counted, hashed, and broken off where it is too long, too slow or badly framed. Breaking it
/// off closes the connection to the tool, so that the tool cannot take what it got for the whole.
#[derive(Debug)]
pub struct Streamed {
    body: BoxBody<Bytes, BoxError>,
    left: usize,
    idle: Pin<Box<Sleep>>,
    tally: Tally,
    fault: FaultCell,
}

/// Where the fault of a body that was broken off is told.
pub type FaultCell = Arc<Mutex<Option<Fault>>>;

/// Why a body that streams was broken off. The agent's fault; the text may be shown to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Fault {
    /// More than the tool's `max_body`.
    #[error("the body is larger than the tool takes")]
    Long,
    /// No byte for ten seconds.
    #[error("the body did not arrive in time")]
    Slow,
    /// It ended early, or its framing is wrong.
    #[error("the body is not framed as its head says")]
    Broken,
}

impl RequestBody {
    /// A body that streams, of at most so many bytes; what passes is counted in `tally`.
    pub fn streamed(body: BoxBody<Bytes, BoxError>, most: usize, tally: Tally) -> (Self, FaultCell) {
        let fault = FaultCell::default();
        let idle = Box::pin(sleep_until(Instant::now() + IDLE));
        let streamed = Streamed { body, left: most, idle, tally, fault: fault.clone() };
        (Self::Streamed(Box::new(streamed)), fault)
    }
}

impl Default for RequestBody {
    fn default() -> Self {
        Self::Whole(Full::default())
    }
}

impl Streamed {
    fn broken_off(&self, fault: Fault) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
        Poll::Ready(Some(Err(Box::new(fault))))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let streamed = match self.get_mut() {
            Self::Whole(body) => return Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Streamed(streamed) => streamed,
        };
        loop {
            let Poll::Ready(frame) = Pin::new(&mut streamed.body).poll_frame(cx) else {
                ready!(streamed.idle.as_mut().poll(cx));
                return streamed.broken_off(Fault::Slow);
            };
            streamed.idle.as_mut().reset(Instant::now() + IDLE);
            let data = match frame {
                None => {
                    streamed.tally.finish();
                    return Poll::Ready(None);
                }
                Some(Err(_)) => return streamed.broken_off(Fault::Broken),
                Some(Ok(frame)) => frame.into_data(),
            };
            // Trailers may carry anything past every check, so they end here.
            let Ok(data) = data else { continue };
            let Some(left) = streamed.left.checked_sub(data.len()) else { return streamed.broken_off(Fault::Long) };
            streamed.left = left;
            streamed.tally.add(&data);
            // Whoever knows the length does not ask for the end.
            if streamed.body.is_end_stream() {
                streamed.tally.finish();
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            // Its end has to be seen to be counted.
            Self::Streamed(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Streamed(streamed) => streamed.body.size_hint(),
        }
    }
}
