//! One message to a server that the operator names.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};

use crate::forward::{RequestBody, Upstream};
use crate::model::Tool;

/// Bytes of an answer that are read, so that its connection can be used again. Nobody looks at them.
const ANSWER: usize = 64 * 1024;

/// What is sent.
pub(super) struct Letter {
    /// Where, below the server's address; often nothing.
    pub(super) below: &'static str,
    /// Its type.
    pub(super) kind: &'static str,
    /// What it says.
    pub(super) body: Bytes,
}

/// Posts a letter. The error is for the log.
pub(super) async fn post(upstream: &Arc<dyn Upstream>, tool: &Arc<Tool>, letter: Letter) -> Result<(), String> {
    let Letter { below, kind, body } = letter;
    let path = format!("{}{below}", tool.base_path);
    let path = if path.is_empty() { "/".to_owned() } else { path };
    let mut request = Request::new(RequestBody::Whole(Full::new(body)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = path.parse().map_err(|_| "its address has no path".to_owned())?;
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    let posted = async {
        let answer = upstream.send(tool, request).await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let _ = http_body_util::Limited::new(answer.into_body(), ANSWER).collect().await;
        if status.is_success() { Ok(()) } else { Err(format!("it answered {status}")) }
    };
    tokio::time::timeout(tool.max_call, posted).await.map_err(|_| "it took too long".to_owned())?
}
