//! The answer on its way back, with the lease it holds until its last byte.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::{Lease, Live};
use crate::memory::Slot;
use crate::model::{Answered, BoxFuture, Digest, Ending};

pin_project_lite::pin_project! {
    /// A body that owes its call an ending: completed with the last byte, failed with an error, expired at its
    /// deadline, cut with its task, abandoned when dropped before.
    pub struct Leased<B> {
        #[pin]
        body: B,
        deadline: Instant,
        over: tokio::sync::watch::Receiver<Option<Ending>>,
        cut: Option<BoxFuture<'static, Ending>>,
        owed: Option<Owed>,
    }
}

struct Owed {
    live: Live,
    #[expect(dead_code, reason = "held until the answer is over")]
    slot: Slot,
    status: u16,
    bytes: u64,
    digest: ring::digest::Context,
}

/// Why an answer broke off. The agent sees a broken connection; the record says why.
#[derive(Debug, thiserror::Error)]
#[error("the answer was cut: {}", .0.name())]
pub struct Cut(Ending);

impl<B: Body> Leased<B> {
    /// The head has come, with this body behind it; `deadline` bounds the whole call.
    pub fn new(lease: Lease, status: u16, body: B, deadline: Instant) -> Self {
        let over = lease.over();
        let (slot, live) = lease.head_came();
        let owed = Owed { live, slot, status, bytes: 0, digest: ring::digest::Context::new(&ring::digest::SHA256) };
        let ended = body.is_end_stream();
        let mut leased = Self { body, deadline, over, cut: None, owed: Some(owed) };
        if ended {
            leased.owed.take().into_iter().for_each(|owed| owed.end(Ending::Completed));
        }
        leased
    }
}

impl Owed {
    fn end(mut self, ending: Ending) {
        self.live.ending = ending;
    }
}

impl Drop for Owed {
    /// However far the answer came, that far is recorded; then `live` pays what is owed.
    fn drop(&mut self) {
        let mut digest = Digest([0; 32]);
        digest.0.copy_from_slice(self.digest.clone().finish().as_ref());
        self.live.answered = Some(Answered { status: self.status, bytes: self.bytes, digest });
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
        loop {
            let Some(owed) = this.owed.as_mut() else { return Poll::Ready(None) };
            let ending = match this.body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers may carry anything past every check, so they end here.
                    let Ok(data) = frame.into_data() else { continue };
                    owed.bytes = owed.bytes.saturating_add(data.len() as u64);
                    owed.digest.update(&data);
                    if this.body.is_end_stream() {
                        this.owed.take().into_iter().for_each(|owed| owed.end(Ending::Completed));
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Poll::Ready(None) => {
                    this.owed.take().into_iter().for_each(|owed| owed.end(Ending::Completed));
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Err(error))) => {
                    this.owed.take().into_iter().for_each(|owed| owed.end(Ending::Failed));
                    return Poll::Ready(Some(Err(error.into())));
                }
                Poll::Pending => {
                    let cut = this.cut.get_or_insert_with(|| Box::pin(cut(*this.deadline, this.over.clone())));
                    std::task::ready!(cut.as_mut().poll(cx))
                }
            };
            this.owed.take().into_iter().for_each(|owed| owed.end(ending));
            return Poll::Ready(Some(Err(Box::new(Cut(ending)))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.owed.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Resolves when the call has to end before its answer does, with the ending.
pub async fn cut(deadline: Instant, mut over: tokio::sync::watch::Receiver<Option<Ending>>) -> Ending {
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
