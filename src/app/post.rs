//! One message to a server that the operator names.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request};
use http_body_util::Full;

use crate::forward::{RequestBody, Upstream};
use crate::model::Tool;

/// Posts a text of this type. The error is for the log.
pub(super) async fn post(
    upstream: &Arc<dyn Upstream>,
    tool: &Arc<Tool>,
    kind: &'static str,
    text: &str,
) -> Result<(), String> {
    let path = if tool.base_path.is_empty() { "/" } else { tool.base_path.as_str() };
    let mut request = Request::new(RequestBody::Whole(Full::new(Bytes::from(text.to_owned()))));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = path.parse().map_err(|_| "its address has no path".to_owned())?;
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    let answer = tokio::time::timeout(tool.max_call, upstream.send(tool, request)).await;
    let answer = answer.map_err(|_| "it took too long".to_owned())?.map_err(|error| error.to_string())?;
    if answer.status().is_success() { Ok(()) } else { Err(format!("it answered {}", answer.status())) }
}
