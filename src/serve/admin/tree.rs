//! The tree as others read it: checkpoint, tiles, entries (C2SP tlog-tiles), and the receipt for a call.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use serde_json::json;

use super::{Known, Sources, may, read, refused_to};
use crate::model::CallId;
use crate::record::{Reader, Stored, TilePath};

/// The latest signed checkpoint. It names no call, so it is for everybody who reaches this door.
pub(super) async fn checkpoint(State(sources): State<Arc<Sources>>) -> Response {
    match ask(sources, |reader| reader.checkpoint().ok().flatten()).await {
        Some(note) => {
            ([(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-store")], note).into_response()
        }
        None => (StatusCode::NOT_FOUND, "no checkpoint has been signed yet\n").into_response(),
    }
}

/// A tile of hashes, for everybody who reaches this door; or a bundle of entries, which name agents and actions, for those
/// who may read.
pub(super) async fn tile(
    State(sources): State<Arc<Sources>>,
    peer: Known,
    headers: HeaderMap,
    Path(path): Path<String>,
) -> Response {
    let Some(TilePath { level, index, width }) = TilePath::parse(&path) else { return no_tile() };
    if level.is_none() && !may(&sources.readers, &sources, &peer, &headers) {
        return refused_to();
    }
    let found = ask(sources, move |reader| match level {
        Some(level) => reader.tile(level, index, width).ok().flatten(),
        None => reader.entries(index, width).ok().flatten(),
    });
    match found.await {
        Some(bytes) => {
            // It never changes: the one of another size has another path.
            let lasting = (CACHE_CONTROL, "max-age=31536000, immutable");
            ([(CONTENT_TYPE, "application/octet-stream"), lasting], bytes).into_response()
        }
        None => no_tile(),
    }
}

/// The receipts of a call's records (C2SP tlog-proof), for those that a checkpoint covers.
pub(super) async fn proof(
    State(sources): State<Arc<Sources>>,
    peer: Known,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    let Ok(id) = id.parse::<CallId>() else { return (StatusCode::NOT_FOUND, "no such call\n").into_response() };
    let proofs = move |reader: &Reader| {
        let records = reader.story(id)?.map(|story| story.records).unwrap_or_default();
        let proof = |record: &Stored| {
            let proof = reader.receipt(record.seq)?;
            Ok(json!({ "seq": record.seq, "kind": record.kind(), "proof": proof }))
        };
        records.iter().map(proof).collect::<Result<Vec<_>, crate::record::StoreError>>()
    };
    read(sources, &peer, &headers, move |reader| proofs(reader).map(|proofs| json!({ "call": id, "proofs": proofs })))
        .await
}

/// Erases what is private in a call's records, and records that.
pub(super) async fn erase(
    State(sources): State<Arc<Sources>>,
    peer: Known,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Response {
    let Ok(id) = id.parse::<CallId>() else { return (StatusCode::NOT_FOUND, "no such call\n").into_response() };
    if !may(&sources.erasers, &sources, &peer, &headers) {
        return refused_to();
    }
    let rail = sources.rail.clone();
    let Some(records) = ask(sources, move |reader| reader.erasable(id).ok()).await else {
        return (StatusCode::SERVICE_UNAVAILABLE, "the lineage could not be read\n").into_response();
    };
    if records.is_empty() {
        return (StatusCode::NOT_FOUND, "nothing of this call can be erased\n").into_response();
    }
    let record = crate::record::erased(id, records.clone(), "operator", "", rail.now());
    match rail.commit(record).await {
        Ok(seq) => Json(json!({ "erased": records, "recorded": seq })).into_response(),
        Err(error) => {
            tracing::warn!(%error, "nothing was erased");
            (StatusCode::SERVICE_UNAVAILABLE, "nothing was erased: it could not be recorded\n").into_response()
        }
    }
}

async fn ask<T: Send + 'static>(
    sources: Arc<Sources>,
    question: impl FnOnce(&Reader) -> Option<T> + Send + 'static,
) -> Option<T> {
    let asked = tokio::task::spawn_blocking(move || question(&(sources.reader)().ok()?));
    asked.await.ok().flatten()
}

fn no_tile() -> Response {
    (StatusCode::NOT_FOUND, "no such tile\n").into_response()
}
