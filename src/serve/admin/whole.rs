//! The lineage as a whole: how long it is, what was signed last, and whether it is what it was.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use super::Sources;
use super::reviewer::{Denied, Lineage};
use crate::model::{May, Reviewer};
use crate::record;

/// How many records there are, the latest signed checkpoint, why nothing can be written if nothing can, and what came out
/// when it was last verified here.
pub(in crate::serve) async fn lineage(
    State(sources): State<Arc<Sources>>,
    reviewer: Reviewer,
) -> Result<Json<Value>, Denied> {
    reviewer.must(May::Read)?;
    let (size, checkpoint) = Lineage(sources.clone()).ask(|reader| Ok((reader.size()?, reader.checkpoint()?))).await?;
    // While somebody verifies it, what came out before is not told.
    let verified = sources.verified.try_lock().map_or(json!({ "under_way": true }), |verified| json!(*verified));
    let trouble = sources.rail.trouble();
    Ok(Json(json!({
        "size": size, "checkpoint": checkpoint, "key": sources.vkey, "trouble": trouble, "verified": verified,
    })))
}

/// Computes every leaf, tile and root anew, and compares. It changes nothing, and takes as long as there are records.
pub(in crate::serve) async fn verify(
    State(sources): State<Arc<Sources>>,
    reviewer: Reviewer,
) -> Result<Json<Value>, Denied> {
    reviewer.must(May::Read)?;
    let Ok(mut verified) = sources.verified.try_lock() else {
        return Err(Denied::conflict("it is being verified already"));
    };
    let vkey = sources.vkey.clone();
    let report = Lineage(sources.clone()).ask(move |reader| Ok(record::verify(reader, None, Some(&vkey)))).await?;
    let told = json!({ "at": sources.rail.now(), "report": report });
    *verified = Some(told.clone());
    Ok(Json(told))
}
