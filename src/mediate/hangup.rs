//! How a call's task learns that the agent has hung up.

use tokio::sync::oneshot;

use super::Refusal;

/// Held by whoever waits for the answer; dropping it is hanging up.
#[derive(Debug)]
pub struct Waiting(#[expect(dead_code, reason = "it is there to be dropped")] oneshot::Sender<()>);

/// Held by the call's task.
#[derive(Debug)]
pub struct Hangup(oneshot::Receiver<()>);

/// The two ends of the line.
pub fn line() -> (Waiting, Hangup) {
    let (waiting, call) = oneshot::channel();
    (Waiting(waiting), Hangup(call))
}

impl Hangup {
    /// Stops a call whose agent is gone, between two steps.
    pub fn check(&mut self) -> Result<(), Refusal> {
        match self.0.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => Ok(()),
            Ok(()) | Err(oneshot::error::TryRecvError::Closed) => Err(Refusal::Abandoned),
        }
    }

    /// Takes a step that waits, unless the agent is gone before it is done.
    pub async fn unless_gone<T>(&mut self, step: impl Future<Output = T>) -> Result<T, Refusal> {
        tokio::select! {
            biased;
            () = self.happened() => Err(Refusal::Abandoned),
            done = step => Ok(done),
        }
    }

    /// Resolves once the agent is gone; whoever waits for it may stop waiting.
    pub async fn happened(&mut self) {
        let _ = (&mut self.0).await;
    }

    /// Resolves once the agent is gone.
    pub async fn happens(self) {
        let _ = self.0.await;
    }
}
