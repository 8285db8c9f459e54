//! The tree as others read it: checkpoint, tiles, entries (C2SP tlog-tiles), and the receipt for a call.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::{Value, json};

use super::Sources;
use super::reviewer::{Denied, Id, Lineage};
use crate::model::{CallId, May, Reviewer};
use crate::record::{self, Stored, TilePath};

/// The latest signed checkpoint. It names no call, so it is for everybody who reaches this door.
pub(in crate::serve) async fn checkpoint(lineage: Lineage) -> Result<Response, Denied> {
    let note = lineage.ask(record::Reader::checkpoint).await?;
    let note = note.ok_or_else(|| Denied::unknown("no checkpoint has been signed yet"))?;
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-store")], note).into_response())
}

/// A tile of hashes, for everybody who reaches this door; or a bundle of entries, which name agents and actions, for those
/// who may read.
pub(in crate::serve) async fn tile(
    lineage: Lineage,
    reviewer: Result<Reviewer, Denied>,
    Path(path): Path<String>,
) -> Result<Response, Denied> {
    let no_tile = || Denied::unknown("no such tile");
    let TilePath { level, index, width } = TilePath::parse(&path).ok_or_else(no_tile)?;
    if level.is_none() {
        reviewer?.must(May::Read)?;
    }
    let found = lineage.ask(move |reader| match level {
        Some(level) => reader.tile(level, index, width),
        None => reader.entries(index, width),
    });
    // It never changes: the one of another size has another path.
    let lasting = (CACHE_CONTROL, "max-age=31536000, immutable");
    let bytes = found.await?.ok_or_else(no_tile)?;
    Ok(([(CONTENT_TYPE, "application/octet-stream"), lasting], bytes).into_response())
}

/// The receipts of a call's records (C2SP tlog-proof), for those that a checkpoint covers.
pub(in crate::serve) async fn proof(
    lineage: Lineage,
    reviewer: Reviewer,
    Id(call): Id<CallId>,
) -> Result<Json<Value>, Denied> {
    reviewer.must(May::Read)?;
    let proofs = lineage.ask(move |reader| {
        let records = reader.story(call)?.map(|story| story.records).unwrap_or_default();
        let proof = |record: &Stored| {
            let proof = reader.receipt(record.seq)?;
            Ok(json!({ "seq": record.seq, "kind": record.kind(), "proof": proof }))
        };
        records.iter().map(proof).collect::<Result<Vec<_>, _>>()
    });
    Ok(Json(json!({ "call": call, "proofs": proofs.await? })))
}

/// Erases what is private in a call's records, and records that.
pub(in crate::serve) async fn erase(
    State(sources): State<Arc<Sources>>,
    lineage: Lineage,
    reviewer: Reviewer,
    Id(call): Id<CallId>,
) -> Result<Json<Value>, Denied> {
    reviewer.must(May::Erase)?;
    let records = lineage.ask(move |reader| reader.erasable(call)).await?;
    if records.is_empty() {
        return Err(Denied::unknown("nothing of this call can be erased"));
    }
    let record = record::erased(call, records.clone(), reviewer.by(), "", sources.rail.now());
    let seq = sources.rail.commit(record).await.map_err(|error| Denied::unrecorded(&error))?;
    Ok(Json(json!({ "erased": records, "recorded": seq })))
}
