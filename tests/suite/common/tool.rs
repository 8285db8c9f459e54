//! A tool that takes every call down and can be made to stop before its head or in the middle of its body.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use countersign::model::CallId;
use http::{HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::gate::Gate;
use super::raw::Witness;

pub struct Tool {
    pub origin: String,
    pub before_head: Gate,
    pub in_body: Gate,
    seen: Mutex<Vec<Request<Bytes>>>,
    lent: Mutex<Vec<(CallId, bool)>>,
    witness: Mutex<Option<Witness>>,
    floods: AtomicBool,
}

/// What it answers, in two parts.
pub const PARTS: [&str; 2] = [r#"{"answer":"#, r#""forty-two"}"#];

impl Tool {
    pub async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let tool = Arc::new(Self {
            origin,
            before_head: Gate::open(),
            in_body: Gate::open(),
            seen: Mutex::default(),
            lent: Mutex::default(),
            witness: Mutex::default(),
            floods: AtomicBool::new(false),
        });
        let serving = tool.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let tool = serving.clone();
                let service = service_fn(move |request| {
                    let tool = tool.clone();
                    async move { Ok::<_, Infallible>(tool.answer(request).await) }
                });
                tokio::spawn(async move {
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        tool
    }

    /// From now on an answer is far longer than any buffer on the way.
    pub fn flood(&self) {
        self.floods.store(true, Ordering::Relaxed);
    }

    /// From here on it knows whom to ask about credentials.
    pub fn witnessed_by(&self, witness: Witness) {
        *self.witness.lock().unwrap() = Some(witness);
    }

    /// Calls whose credentials came, and whether each had a committed permission by then.
    pub fn lent(&self) -> Vec<(CallId, bool)> {
        self.lent.lock().unwrap().clone()
    }

    pub fn seen(&self) -> Vec<Request<Bytes>> {
        self.seen.lock().unwrap().clone()
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Parts> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        if let Some(witness) = self.witness.lock().unwrap().clone() {
            let values: Vec<&[u8]> = head.headers.values().map(HeaderValue::as_bytes).collect();
            self.lent.lock().unwrap().extend(witness.look(&values.join(&b'\n')));
        }
        self.seen.lock().unwrap().push(Request::from_parts(head, body));
        self.before_head.pass().await;
        let (send, receive) = tokio::sync::mpsc::channel(1);
        let (gate, floods) = (self.in_body.clone(), self.floods.load(Ordering::Relaxed));
        tokio::spawn(async move {
            let _ = send.send(PARTS[0]).await;
            gate.pass().await;
            let _ = send.send(PARTS[1]).await;
            let mut left = if floods { 1 << 20 } else { 0 };
            while left > 0
                && send.send("a kilobyte would be longer than this, but not by so much as to matter").await.is_ok()
            {
                left -= 1;
            }
        });
        Response::new(Parts(receive))
    }
}

/// The parts as they come.
struct Parts(tokio::sync::mpsc::Receiver<&'static str>);

impl Body for Parts {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|part| part.map(|part| Ok(Frame::data(Bytes::from_static(part.as_bytes())))))
    }
}
