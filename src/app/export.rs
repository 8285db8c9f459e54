//! Sends spans and metrics to whoever receives them. No call waits for it, and none is held up by a receiver that is away.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::post::{Letter, post};
use crate::forward::Upstream;
use crate::model::{Clock, Tool};
use crate::telemetry::{self, Finished, Metrics, Source};

/// How often it is looked whether spans wait. Whoever hands one on wakes nobody: that would cost a call more than its span.
const LOOK: Duration = Duration::from_millis(100);

/// Spans in one message, at most.
const BATCH: usize = 1_024;

/// How long a span waits for others.
const WAIT: Duration = Duration::from_secs(1);

/// How long it may take to send what is left when the sidecar stops.
const FAREWELL: Duration = Duration::from_secs(3);

/// The type of every message (OTLP 1.x, "Binary Protobuf Encoding").
const PROTOBUF: &str = "application/x-protobuf";

/// What is sent, to whom, as whom.
#[derive(Clone)]
pub(super) struct Export {
    /// Who receives it.
    pub(super) to: Arc<Tool>,
    /// The way there.
    pub(super) upstream: Arc<dyn Upstream>,
    /// Who sends.
    pub(super) source: Source,
    /// What is counted.
    pub(super) metrics: Arc<Metrics>,
    /// Where the time comes from.
    pub(super) clock: Clock,
    /// How often metrics are sent.
    pub(super) every: Duration,
}

/// An export that runs.
pub(super) struct Exporting {
    stop: watch::Sender<bool>,
    spans: JoinHandle<()>,
    metrics: JoinHandle<()>,
}

impl Export {
    /// Sends from here on.
    pub(super) fn begin(self, spans: mpsc::Receiver<Finished>) -> Exporting {
        let (stop, stopped) = watch::channel(false);
        let metrics = tokio::spawn(self.clone().send_metrics(stopped.clone()));
        Exporting { stop, spans: tokio::spawn(self.send_spans(spans, stopped)), metrics }
    }

    async fn send_spans(self, mut spans: mpsc::Receiver<Finished>, stop: watch::Receiver<bool>) {
        let (mut batch, mut since, mut away) = (Vec::new(), Instant::now(), false);
        loop {
            let stopping = *stop.borrow();
            while let Some(span) = (batch.len() < BATCH).then(|| spans.try_recv().ok()).flatten() {
                batch.push(span);
            }
            let full = batch.len() == BATCH;
            if full || !batch.is_empty() && (stopping || since.elapsed() >= WAIT) {
                let sending = std::mem::take(&mut batch);
                let count = sending.len();
                if self.send("/v1/traces", telemetry::traces(&self.source, sending), &mut away).await {
                    self.metrics.spans_sent(count);
                } else {
                    self.metrics.spans_failed(count);
                }
                since = Instant::now();
            } else if stopping {
                return;
            } else if batch.is_empty() {
                since = Instant::now();
            }
            if !full && !stopping {
                sleep(LOOK).await;
            }
        }
    }

    async fn send_metrics(self, mut stop: watch::Receiver<bool>) {
        let mut away = false;
        loop {
            let stopping = timeout(self.every, stop.wait_for(|stop| *stop)).await.is_ok();
            self.send("/v1/metrics", telemetry::metrics(&self.source, &self.metrics, self.clock.now()), &mut away)
                .await;
            if stopping {
                return;
            }
        }
    }

    /// Whether the receiver took it. That it is away is logged once, and once that it is back.
    async fn send(&self, below: &'static str, body: Vec<u8>, away: &mut bool) -> bool {
        let sent = post(&self.upstream, &self.to, Letter { below, kind: PROTOBUF, body: Bytes::from(body) }).await;
        let to = self.to.origin();
        match &sent {
            Ok(()) if *away => tracing::info!(to, below, "telemetry is taken again"),
            Err(why) if !*away => {
                tracing::warn!(to, below, why, "telemetry is not taken; what is not is counted and let go");
            }
            Ok(()) | Err(_) => {}
        }
        *away = sent.is_err();
        sent.is_ok()
    }
}

impl Exporting {
    /// Sends what is left, as far as that takes no longer than a moment.
    pub(super) async fn end(self) {
        self.stop.send_replace(true);
        let (mut spans, mut metrics) = (self.spans, self.metrics);
        let both = async { (&mut spans).await.is_ok() & (&mut metrics).await.is_ok() };
        if timeout(FAREWELL, both).await.is_err() {
            spans.abort();
            metrics.abort();
        }
    }
}
