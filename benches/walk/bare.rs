//! What everything is a ratio to: hyper alone, on one thread, without any mediation.

use std::convert::Infallible;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};

/// A proxy that passes requests and answers on as they come, over a pool of kept connections.
pub async fn proxy(upstream: &str) -> Result<()> {
    let authority: Authority = upstream.parse().context("the upstream's address")?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(connector);
    let listener = super::child::announce().await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (client, authority) = (client.clone(), authority.clone());
        let service = service_fn(move |request: Request<Incoming>| client.request(readdressed(request, &authority)));
        tokio::task::spawn_local(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// The same, with SHA-256 over every answer: what a record of it costs at least.
pub async fn hashing(upstream: &str) -> Result<()> {
    let authority: Authority = upstream.parse().context("the upstream's address")?;
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
    let listener = super::child::announce().await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (client, authority) = (client.clone(), authority.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = client.request(readdressed(request, &authority));
            async move {
                let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
                answer.await.map(|answer| {
                    answer.map(|body| {
                        body.map_frame(move |frame| {
                            frame.data_ref().into_iter().for_each(|data| digest.update(data));
                            frame
                        })
                    })
                })
            }
        });
        tokio::task::spawn_local(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// A server that reads whatever is posted to it and says nothing: who is sent spans and metrics.
pub async fn receiver() -> Result<()> {
    let listener = super::child::announce().await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let service = service_fn(move |request: Request<Incoming>| async move {
            request.into_body().collect().await.map(|_| Response::new(Full::<Bytes>::default()))
        });
        tokio::task::spawn_local(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// A server that refuses everything by itself, with an answer as long as one of ours.
pub async fn refusal() -> Result<()> {
    let body = Bytes::from(format!("{{\"type\":\"/-/problems/denied\",\"title\":\"{}\"}}", "x".repeat(256)));
    let listener = super::child::announce().await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let body = body.clone();
        let service = service_fn(move |_: Request<Incoming>| {
            let mut answer = Response::new(Full::new(body.clone()));
            *answer.status_mut() = StatusCode::FORBIDDEN;
            answer.headers_mut().insert("content-type", HeaderValue::from_static("application/problem+json"));
            async move { Ok::<_, Infallible>(answer) }
        });
        tokio::task::spawn_local(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

fn readdressed(mut request: Request<Incoming>, authority: &Authority) -> Request<Incoming> {
    let mut parts = request.uri().clone().into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority.clone());
    parts.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request.headers_mut().remove("host");
    request
}
