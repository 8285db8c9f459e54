//! The answer on its way back, with the lease it holds until its last byte.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::{Lease, Live};
use crate::memory::Slot;
use crate::model::{Answered, Digest, Ending};

pin_project_lite::pin_project! {
    /// A body that owes its call an ending: completed with the last byte, failed with an error, expired at its
    /// deadline, cut with its task, abandoned when dropped before.
    pub struct Leased<B> {
        #[pin]
        body: B,
        deadline: Instant,
        over: watch::Receiver<Option<Ending>>,
        state: Arc<Mutex<State>>,
        watcher: Option<Watcher>,
    }
}

/// What the body and its watcher share.
struct State {
    owed: Option<Owed>,
    cut: Option<Ending>,
    waker: Option<Waker>,
}

/// What is owed once the answer is over, however far it came.
struct Owed {
    live: Live,
    #[expect(dead_code, reason = "held until the answer is over")]
    slot: Slot,
    status: u16,
    bytes: u64,
    digest: ring::digest::Context,
}

/// Ends the call at its deadline or with its task, even while an agent that does not read keeps the body from being
/// asked for more. Started only for an answer that does not come in one piece.
struct Watcher(AbortHandle);

/// Why an answer broke off. The agent sees a broken connection; the record says why.
#[derive(Debug, thiserror::Error)]
#[error("the answer was cut: {}", .0.name())]
pub struct Cut(Ending);

impl<B: Body> Leased<B> {
    /// The head has come, with this body behind it; `deadline` bounds the whole call.
    pub fn new(lease: Lease, status: u16, body: B, deadline: Instant) -> Self {
        let over = lease.over();
        let (slot, live) = lease.into_owed();
        let owed = Owed { live, slot, status, bytes: 0, digest: ring::digest::Context::new(&ring::digest::SHA256) };
        let mut state = State { owed: Some(owed), cut: None, waker: None };
        if body.is_end_stream() {
            state.end(Ending::Completed);
        }
        Self { body, deadline, over, state: Arc::new(Mutex::new(state)), watcher: None }
    }
}

impl State {
    fn end(&mut self, ending: Ending) {
        if let Some(mut owed) = self.owed.take() {
            owed.live.outcome.ending = ending;
        }
    }
}

impl Drop for Owed {
    /// However far the answer came, that far is recorded; then `live` pays what is owed.
    fn drop(&mut self) {
        let mut digest = Digest([0; 32]);
        digest.0.copy_from_slice(self.digest.clone().finish().as_ref());
        self.live.outcome.answered = Some(Answered { status: self.status, bytes: self.bytes, digest });
    }
}

impl Watcher {
    fn start(state: &Arc<Mutex<State>>, deadline: Instant, over: watch::Receiver<Option<Ending>>) -> Self {
        let state = Arc::downgrade(state);
        let watching = tokio::spawn(async move {
            let ending = cut(deadline, over).await;
            let Some(state) = state.upgrade() else { return };
            let mut state = lock(&state);
            state.cut = Some(ending);
            state.end(ending);
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
        });
        Self(watching.abort_handle())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<B> Body for Leased<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut this = self.project();
        let polled = loop {
            match this.body.as_mut().poll_frame(cx) {
                // Trailers may carry anything past every check, so they end here.
                Poll::Ready(Some(Ok(frame))) if !frame.is_data() => {}
                polled => break polled,
            }
        };
        let mut state = lock(this.state);
        if let Some(ending) = state.cut {
            return Poll::Ready(Some(Err(Box::new(Cut(ending)))));
        }
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                let data = frame.into_data().unwrap_or_default();
                if let Some(owed) = &mut state.owed {
                    owed.bytes = owed.bytes.saturating_add(data.len() as u64);
                    owed.digest.update(&data);
                    owed.live.listen();
                }
                if this.body.is_end_stream() {
                    state.end(Ending::Completed);
                } else {
                    this.watcher.get_or_insert_with(|| Watcher::start(this.state, *this.deadline, this.over.clone()));
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Poll::Ready(None) => {
                state.end(Ending::Completed);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                let error = error.into();
                if let Some(owed) = &mut state.owed {
                    owed.live.outcome.why = Some(error.to_string());
                }
                state.end(Ending::Failed);
                Poll::Ready(Some(Err(error)))
            }
            Poll::Pending => {
                state.waker = Some(cx.waker().clone());
                this.watcher.get_or_insert_with(|| Watcher::start(this.state, *this.deadline, this.over.clone()));
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let state = lock(&self.state);
        state.owed.is_none() && state.cut.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Resolves when the call has to end before its answer does, with the ending.
pub async fn cut(deadline: Instant, mut over: watch::Receiver<Option<Ending>>) -> Ending {
    let task_over = async {
        let ending = over.wait_for(Option::is_some).await.map(|ending| *ending);
        match ending {
            Ok(ending) => ending.unwrap_or(Ending::Revoked),
            // The task is gone without a word, which only happens to one that nobody can end any more.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        ending = task_over => ending,
        () = tokio::time::sleep_until(deadline) => Ending::Expired,
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
