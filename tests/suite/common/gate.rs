//! A gate that a fake stops at until the test opens it, so that a test can act exactly there.

use std::sync::Arc;

use countersign::model::BoxFuture;
use countersign::record::{Lineage, Receipt, Record};
use tokio::sync::watch;

#[derive(Clone)]
pub struct Gate(Arc<State>);

struct State {
    open: watch::Sender<bool>,
    reached: watch::Sender<usize>,
}

impl Gate {
    pub fn open() -> Self {
        Self(Arc::new(State { open: watch::Sender::new(true), reached: watch::Sender::new(0) }))
    }

    pub fn close(&self) {
        self.0.open.send_replace(false);
    }

    pub fn release(&self) {
        self.0.open.send_replace(true);
    }

    /// Called by the fake.
    pub async fn pass(&self) {
        self.0.reached.send_modify(|count| *count += 1);
        let _ = self.0.open.subscribe().wait_for(|open| *open).await;
    }

    /// Called by the test: waits until the fake has come here so many times.
    pub async fn reached(&self, times: usize) {
        let mut reached = self.0.reached.subscribe();
        let wait = reached.wait_for(|count| *count >= times);
        let seen = tokio::time::timeout(std::time::Duration::from_secs(10), wait).await.is_ok();
        assert!(seen, "the gate was not reached {times} times");
    }
}

/// A lineage with a gate before and one behind the records of one kind.
pub struct GatedLineage {
    pub inner: Arc<dyn Lineage>,
    pub kind: &'static str,
    pub before: Gate,
    pub behind: Gate,
}

impl Lineage for GatedLineage {
    fn append(&self, record: Record) -> Receipt {
        if record.event.kind() != self.kind {
            return self.inner.append(record);
        }
        let (inner, before, behind) = (self.inner.clone(), self.before.clone(), self.behind.clone());
        let gated: BoxFuture<'static, _> = Box::pin(async move {
            before.pass().await;
            let result = inner.append(record).await;
            behind.pass().await;
            result
        });
        gated
    }

    fn trouble(&self) -> Option<String> {
        self.inner.trouble()
    }
}
