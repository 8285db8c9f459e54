//! News for pages that are open: how many records there are, and which questions wait. The page fetches itself anew then.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use tokio::sync::OwnedSemaphorePermit;

use super::visit::Visit;
use super::words::text;
use crate::model::May;
use crate::record::Reader;
use crate::serve::admin::approvals;

/// How often is looked.
const LOOK: Duration = Duration::from_secs(1);

/// Looks without news after which something is sent all the same, so that a connection that is gone is noticed.
const QUIET: u32 = 15;

/// Server-sent events (HTML §9.2), until the session or the sidecar ends.
pub(super) async fn news(visit: Visit) -> Response {
    if let Err(why) = visit.reviewer.must(May::Read) {
        return why.into_response();
    }
    let Some(place) = visit.sources.sessions.live() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many pages are kept up to date; reload this one\n")
            .into_response();
    };
    let watching = Watching { visit, last: String::new(), quiet: 0, _place: place };
    let events = stream::unfold(watching, |mut watching| async move {
        let event = watching.next().await?;
        Some((Ok::<_, Infallible>(event), watching))
    });
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}

struct Watching {
    visit: Visit,
    last: String,
    quiet: u32,
    _place: OwnedSemaphorePermit,
}

impl Watching {
    /// What is sent next. `None` once there is nothing more to tell.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if !self.last.is_empty() {
                let mut stop = self.visit.sources.stop.clone();
                let stopped = stop.wait_for(|stop| *stop);
                if tokio::time::timeout(LOOK, stopped).await.is_ok() {
                    return None;
                }
            }
            if !self.visit.is_open() {
                return None;
            }
            let now = self.look().await?;
            if now != self.last {
                (self.last, self.quiet) = (now, 0);
                return Some(format!("data: {}\n\n", self.last).into());
            }
            self.quiet += 1;
            if self.quiet >= QUIET {
                self.quiet = 0;
                return Some(Bytes::from_static(b": still here\n\n"));
            }
        }
    }

    async fn look(&self) -> Option<String> {
        let (lineage, _) = self.visit.reads();
        let size = lineage.ask(Reader::size).await.ok()?;
        let (sources, reviewer) = self.visit.asks();
        let asks = approvals::list(sources, reviewer).await.ok()?;
        let waiting = asks.get("approvals")?.as_array()?.iter().filter(|ask| text(ask, "/state") == Some("waiting"));
        Some(format!("{{\"records\":{size},\"waiting\":{}}}", waiting.count()))
    }
}
