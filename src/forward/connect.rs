//! Connections to tools: the name is asked for once, the answer is judged, the address dialled is the one judged.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::Scheme;
use http::{HeaderValue, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::BoxFuture;
use super::address::is_metadata_name;
use super::client::Error;
use super::egress::{self, Blocked, MOST_ADDRESSES};
use super::wire::Wire;
use crate::model::{Clock, Tool};

/// How every connection is made.
#[derive(Clone)]
pub struct Dial {
    /// Who knows the addresses of names.
    pub resolver: Resolver,
    /// Where our own doors listen: never dialled.
    pub own: Arc<[SocketAddr]>,
    /// Whose certificates are believed; see [`tls`].
    pub tls: Arc<ClientConfig>,
    /// How long each step may take: asking for the name, connecting, the handshake. Five seconds is usual.
    pub patience: Duration,
    /// Our name in `Via`, as it is sent: `1.1 NAME`.
    pub via: HeaderValue,
}

impl Dial {
    /// The same, for connections that speak HTTP/1.1 and nothing else.
    pub(super) fn over_http_1(&self) -> Self {
        let mut tls = (*self.tls).clone();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { tls: Arc::new(tls), ..self.clone() }
    }
}

/// Asks for the addresses of a host and port.
#[derive(Clone)]
pub struct Resolver(Arc<Ask>);

type Ask = dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync;

impl Resolver {
    /// The operating system's, as configured there.
    pub fn system() -> Self {
        Self::new(|host, port| {
            Box::pin(async move {
                let found = tokio::net::lookup_host((host, port)).await?;
                // One more than may be, so that too many are noticed and never all copied.
                Ok(found.take(MOST_ADDRESSES + 1).collect())
            })
        })
    }

    /// Any other.
    pub fn new(
        ask: impl Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(ask))
    }
}

/// TLS 1.2 and 1.3 by ring, for HTTP/2 and HTTP/1.1 (RFC 7301), believing `roots`.
///
/// Every connection verifies the certificate anew: no session is resumed, since a resumed one is not checked for expiry.
pub fn tls(roots: RootCertStore, clock: Clock) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_details(provider, Arc::new(HandedClock(clock)));
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| Error::Tls(error.to_string()))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// Makes the connections of one tool.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) dial: Dial,
    pub(super) tool: Arc<Tool>,
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Wire>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Self::Response, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    // Where to is the tool's to say, not the URI's: they are the same, and only one was configured.
    fn call(&mut self, _: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect().await.map(TokioIo::new) })
    }
}

impl Connector {
    async fn connect(&self) -> Result<Wire, Error> {
        let addresses = self.addresses().await?;
        let address = egress::allowed(&addresses, &self.tool.networks, &self.dial.own)?;
        let plain = self.tool.scheme == Scheme::HTTP;
        if plain && !egress::is_listed(address.ip(), &self.tool.networks) {
            return Err(Blocked::Plaintext(address.ip()).into());
        }
        let stream = self.within("connecting", TcpStream::connect(address)).await?;
        let stream = stream.map_err(|error| Error::Unreachable(format!("`{address}`: {error}")))?;
        let local = stream.set_nodelay(true).and_then(|()| stream.local_addr());
        let local = local.map_err(|error| Error::Unreachable(format!("`{address}`: {error}")))?;
        if egress::came_home(local, address, &self.dial.own) {
            return Err(Blocked::Loop(address).into());
        }
        if plain { Ok(Wire::Plain(stream)) } else { self.handshake(stream).await }
    }

    /// Asked once for each connection; an address is its own answer.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, Error> {
        let (host, port) = (self.host(), self.tool.port());
        if is_metadata_name(host) {
            return Err(Blocked::Metadata(host.to_owned()).into());
        }
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let Resolver(ask) = &self.dial.resolver;
        let found = self.within("asking for the name", ask(host.to_owned(), port)).await?;
        match found {
            Ok(addresses) if addresses.is_empty() => Err(Error::Unreachable(format!("`{host}` has no address"))),
            Ok(addresses) => Ok(addresses),
            Err(error) => Err(Error::Unreachable(format!("`{host}`: {error}"))),
        }
    }

    async fn handshake(&self, stream: TcpStream) -> Result<Wire, Error> {
        let host = self.host();
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Error::Tls(format!("`{host}` is no name a certificate could carry")))?;
        let connector = TlsConnector::from(Arc::clone(&self.dial.tls));
        let shaken = self.within("the TLS handshake", connector.connect(name, stream)).await?;
        let stream = shaken.map_err(|error| Error::Tls(format!("`{host}`: {error}")))?;
        Ok(Wire::Tls(Box::new(stream)))
    }

    fn host(&self) -> &str {
        let host = self.tool.authority.host();
        host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host)
    }

    async fn within<T>(&self, step: &'static str, future: impl Future<Output = T>) -> Result<T, Error> {
        tokio::time::timeout(self.dial.patience, future).await.map_err(|_| Error::Timeout(step))
    }
}

/// Certificates are valid at the time that was handed in, not at one read here.
#[derive(Debug)]
struct HandedClock(Clock);

impl TimeProvider for HandedClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(self.0.now().unsigned_millis())))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rustls::pki_types::PrivateKeyDer;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::super::Upstream;
    use super::super::client::HyperUpstream;
    use super::super::fake_tool::{Fake, dial, get, refusal, tool};
    use super::*;
    use crate::model::Timestamp;

    // Below, `2000::1` is public and nobody's: a guard that fails calls no stranger.
    const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

    /// A resolver that gives these answers one after the other, and counts.
    fn rebinding(answers: Vec<Vec<SocketAddr>>) -> (Resolver, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let resolver = Resolver::new(move |_, _| {
            let answer = answers[count.fetch_add(1, Ordering::SeqCst) % answers.len()].clone();
            Box::pin(async move { Ok(answer) })
        });
        (resolver, asked)
    }

    #[tokio::test]
    async fn the_address_dialled_is_the_one_judged_and_the_name_is_asked_for_once() {
        let (wanted, inner) = (Fake::start(&[FINE]).await, Fake::start(&[FINE]).await);
        let (resolver, asked) = rebinding(vec![vec![wanted.address], vec![inner.address]]);
        let upstream = HyperUpstream::new(Dial { resolver, ..dial(wanted.address) });
        let tool = tool("http://tool.test", &["127.0.0.0/8"]);
        upstream.send(&tool, get("/")).await.unwrap();
        assert_eq!((asked.load(Ordering::SeqCst), wanted.connections().await, inner.connections().await), (1, 1, 0));
    }

    #[tokio::test]
    async fn a_name_that_is_half_inside_is_not_dialled() {
        let inner = Fake::start(&[FINE]).await;
        let public: SocketAddr = "[2000::1]:443".parse().unwrap();
        for answer in [vec![public, inner.address], vec![inner.address, public]] {
            let (resolver, _) = rebinding(vec![answer]);
            let upstream = HyperUpstream::new(Dial { resolver, ..dial(public) });
            let refused = refusal(&upstream, &tool("https://tool.test", &[])).await;
            assert!(matches!(refused, Error::Blocked(Blocked::Private { .. })), "{refused:?}");
        }
        assert_eq!(inner.connections().await, 0);
    }

    #[tokio::test]
    async fn an_address_or_a_metadata_name_is_never_asked_for() {
        let (resolver, asked) = rebinding(vec![vec!["[2000::1]:443".parse().unwrap()]]);
        let upstream = HyperUpstream::new(Dial { resolver, ..dial("[2000::1]:443".parse().unwrap()) });
        for host in ["169.254.169.254", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "metadata.google.internal"] {
            let tool = tool(&format!("http://{host}"), &["0.0.0.0/0", "::/0"]);
            let refused = refusal(&upstream, &tool).await;
            assert!(matches!(refused, Error::Blocked(Blocked::Metadata(_))), "{host}: {refused:?}");
        }
        let loopback = refusal(&upstream, &tool("https://[::1]", &[])).await;
        assert!(matches!(loopback, Error::Blocked(Blocked::Private { .. })), "{loopback:?}");
        assert_eq!(asked.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn the_systems_resolver_opens_no_way_round_by_odd_spellings() {
        let nobody = dial("[2000::1]:443".parse().unwrap());
        let upstream = HyperUpstream::new(Dial { resolver: Resolver::system(), ..nobody });
        for host in ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "017700000001", "0", "localhost", "localhost."] {
            let refused = refusal(&upstream, &tool(&format!("https://{host}"), &[])).await;
            assert!(matches!(refused, Error::Blocked(_) | Error::Unreachable(_)), "{host}: {refused:?}");
        }
    }

    #[tokio::test]
    async fn our_own_door_is_not_called_by_any_of_its_addresses() {
        let door = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = door.local_addr().unwrap().port();
        let mut addresses = vec![SocketAddr::from(([127, 0, 0, 1], port)), SocketAddr::from(([0, 0, 0, 0], port))];
        // The machine's outer address, where it has one: a datagram socket learns it without sending anything.
        let probe = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        if probe.connect("192.0.2.1:9").is_ok() {
            addresses.push(SocketAddr::new(probe.local_addr().unwrap().ip(), port));
        }
        for address in addresses {
            let own = Arc::new([door.local_addr().unwrap()]);
            let upstream = HyperUpstream::new(Dial { own, ..dial(address) });
            let refused = refusal(&upstream, &tool("http://tool.test", &["0.0.0.0/0"])).await;
            assert!(matches!(refused, Error::Blocked(Blocked::Loop(_))), "{address}: {refused:?}");
        }
    }

    #[tokio::test]
    async fn without_tls_only_listed_networks_are_called() {
        let upstream = HyperUpstream::new(dial("[2000::1]:80".parse().unwrap()));
        let refused = refusal(&upstream, &tool("http://tool.test", &[])).await;
        assert!(matches!(refused, Error::Blocked(Blocked::Plaintext(_))), "{refused:?}");
    }

    #[tokio::test]
    async fn a_resolver_or_a_handshake_that_hangs_is_given_up() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let patience = Duration::from_millis(50);
        let tool = tool("https://tool.test", &["127.0.0.0/8"]);
        let stalled = HyperUpstream::new(Dial { patience, ..dial(silent.local_addr().unwrap()) });
        assert!(matches!(stalled.send(&tool, get("/")).await, Err(Error::Timeout("the TLS handshake"))));
        let resolver = Resolver::new(|_, _| Box::pin(std::future::pending()));
        let stalled = HyperUpstream::new(Dial { resolver, patience, ..dial(silent.local_addr().unwrap()) });
        assert!(matches!(stalled.send(&tool, get("/")).await, Err(Error::Timeout("asking for the name"))));
    }

    /// A TLS server for `tool.test`, until the end of 2027, that tells what it saw: a handshake that failed, or the
    /// name that was asked for, the protocol agreed on and the first bytes.
    async fn server() -> (SocketAddr, RootCertStore, tokio::task::JoinHandle<Option<(String, Vec<u8>, Vec<u8>)>>) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["tool.test".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2027, 12, 31);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = builder.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await.ok()?;
            let mut head = vec![0; 1024];
            let length = stream.read(&mut head).await.ok()?;
            head.truncate(length);
            stream.write_all(FINE.as_bytes()).await.ok()?;
            let session = stream.get_ref().1;
            Some((session.server_name()?.to_owned(), session.alpn_protocol()?.to_vec(), head))
        });
        (address, roots, seen)
    }

    fn clock(year: i64) -> Clock {
        Clock::new(move || Timestamp::from_millis((year - 1970) * 365_250 * 86_400))
    }

    #[tokio::test]
    async fn a_tool_is_called_by_its_name_over_http_1() {
        let (address, roots, seen) = server().await;
        let upstream = HyperUpstream::new(Dial { tls: tls(roots, clock(2026)).unwrap(), ..dial(address) });
        let answer = upstream.send(&tool("https://tool.test", &["127.0.0.0/8"]), get("/x")).await.unwrap();
        assert_eq!(answer.status(), 200);
        let (name, protocol, head) = seen.await.unwrap().unwrap();
        assert_eq!((name.as_str(), protocol.as_slice()), ("tool.test", b"http/1.1".as_slice()));
        assert!(head.starts_with(b"GET /x HTTP/1.1\r\n"));
    }

    #[tokio::test]
    async fn a_bad_certificate_is_refused_before_a_byte_of_the_head_is_sent() {
        for (host, known, year) in [("tool.test", false, 2026), ("other.test", true, 2026), ("tool.test", true, 2028)] {
            let (address, roots, seen) = server().await;
            let roots = if known { roots } else { RootCertStore::empty() };
            let upstream = HyperUpstream::new(Dial { tls: tls(roots, clock(year)).unwrap(), ..dial(address) });
            let refused = refusal(&upstream, &tool(&format!("https://{host}"), &["127.0.0.0/8"])).await;
            assert!(matches!(refused, Error::Tls(_)), "{host} {known} {year}: {refused:?}");
            assert_eq!(seen.await.unwrap(), None, "{host} {known} {year}");
        }
    }
}
