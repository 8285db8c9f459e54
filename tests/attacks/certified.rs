//! A way to the tools by names and authorities of a test's own, and a tool behind TLS at its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use countersign::app::{Seams, wall_clock};
use countersign::forward::{Dial, HyperUpstream, Resolver, Upstream, tls};
use http::{HeaderValue, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, Certificate, CertificateParams, GeneralSubtree, IsCa, Issuer, KeyPair, NameConstraints};
use rustls::RootCertStore;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The name that every certificate is for, but where a test wants another.
pub const NAME: &str = "tool.test";

/// How long each step on the way may take.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// The way to the tools, by this resolver and these authorities.
pub fn way(resolver: Resolver, roots: RootCertStore) -> Seams {
    let between = move |_: Arc<dyn Upstream>| -> Arc<dyn Upstream> {
        Arc::new(HyperUpstream::new(Dial {
            resolver: resolver.clone(),
            own: Arc::new([]),
            tls: tls(roots.clone(), wall_clock()).unwrap(),
            patience: PATIENCE,
            via: HeaderValue::from_static("1.1 countersign-test"),
        }))
    };
    Seams { upstream: Some(Box::new(between)), ..Seams::default() }
}

/// What names resolve to: these answers one after the other, the last of them from then on.
#[derive(Default)]
pub struct Names {
    answers: Mutex<Vec<Vec<SocketAddr>>>,
    asked: AtomicUsize,
}

impl Names {
    pub fn of(answers: Vec<Vec<SocketAddr>>) -> Arc<Self> {
        let names = Arc::new(Self::default());
        names.are(answers);
        names
    }

    /// From now on.
    pub fn are(&self, answers: Vec<Vec<SocketAddr>>) {
        *self.answers.lock().unwrap() = answers;
    }

    pub fn resolver(self: &Arc<Self>) -> Resolver {
        let names = self.clone();
        Resolver::new(move |_, _| {
            let answer = names.next();
            Box::pin(async move { Ok(answer) })
        })
    }

    /// How often anybody asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn next(&self) -> Vec<SocketAddr> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        if answers.len() > 1 { answers.remove(0) } else { answers.first().cloned().unwrap_or_default() }
    }
}

/// An authority, and what it believes of itself.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
}

impl Authority {
    pub fn new() -> Self {
        Self::for_names(&[])
    }

    /// One that may only speak for these names, if any are given.
    pub fn for_names(names: &[&str]) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        if !names.is_empty() {
            let permitted_subtrees = names.iter().map(|name| GeneralSubtree::DnsName((*name).to_owned())).collect();
            params.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        roots
    }

    /// A server's side, with a certificate for `name` as `change` leaves it, offering these protocols.
    pub fn server(&self, name: &str, change: impl Fn(&mut CertificateParams), protocols: &[&str]) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut params);
        acceptor(&params.signed_by(&key, &self.issuer).unwrap(), &key, protocols)
    }
}

/// A server's side, with a certificate that nobody signed but itself.
pub fn self_signed() -> TlsAcceptor {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
    acceptor(&params.self_signed(&key).unwrap(), &key, &[])
}

fn acceptor(certificate: &Certificate, key: &KeyPair, protocols: &[&str]) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

/// Listens, and hands each connection that has shaken hands to `serve`.
pub async fn listen<F>(acceptor: TlsAcceptor, serve: impl Fn(TlsStream<TcpStream>) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                tokio::spawn(serve(stream));
            }
        }
    });
    address
}

/// The body of an answer.
pub type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A tool over whatever its TLS agrees to, which takes every request down and answers as it is told.
pub async fn serve<F>(
    stream: TlsStream<TcpStream>,
    seen: Arc<Mutex<Vec<Request<Bytes>>>>,
    answer: impl Fn(usize) -> F + Clone + Send + 'static,
) where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (seen, answer) = (seen.clone(), answer.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let number = {
                let mut seen = seen.lock().unwrap();
                seen.push(Request::from_parts(head, body));
                seen.len()
            };
            Ok::<_, hyper::Error>(answer(number).await)
        }
    });
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

/// A short answer.
pub fn well() -> Response<Body> {
    Response::new(Full::new(Bytes::from_static(b"well")).boxed_unsync())
}
