//! The plain HTTP client of the demo's agent, its tools and its thief.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Sends one request and reads the whole answer.
pub(super) async fn send(request: Request<Bytes>) -> Result<Response<Bytes>, String> {
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let answer = client.request(request.map(Full::new)).await.map_err(|error| error.to_string())?;
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
    Ok(Response::from_parts(head, body))
}

/// The body of a GET.
pub(super) async fn get(url: &str) -> Result<Bytes, String> {
    let request = Request::get(url).body(Bytes::new()).map_err(|error| error.to_string())?;
    send(request).await.map(Response::into_body)
}
