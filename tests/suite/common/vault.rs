//! A vault that chooses the names of its leases, and the issuer that asks it over HTTP: the sidecar learns a handle only
//! after minting. The vault outlives the sidecars that are killed around it.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use countersign::judge::Permit;
use countersign::mint::{Issuer, IssuerError, Order, Plan};
use countersign::model::{BoxFuture, CallId, Credential, Handle, Lifetime, Placement, Secret, Timestamp};
use countersign::record::HandleNote;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::gate::Gate;
use super::spellings;

/// How the vault behaves.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Mood {
    #[default]
    Well,
    /// Says no, clearly.
    Refuses,
    /// Mints, and answers nonsense.
    Garbles,
    /// Mints for longer than was asked.
    Overgrants,
    /// Mints well, but does not revoke.
    KeepsLeases,
}

pub struct Vault {
    pub origin: String,
    pub before_mint: Gate,
    pub behind_mint: Gate,
    pub before_revoke: Gate,
    /// What every secret of this vault begins with, and no other text in the world.
    pub canary: String,
    mood: Mutex<Mood>,
    leases: Mutex<Vec<Lease>>,
}

/// A credential: it was minted for one call, and lives or does not.
struct Lease {
    call: Option<CallId>,
    lives: bool,
}

impl Vault {
    pub async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let vault = Arc::new(Self {
            origin,
            before_mint: Gate::open(),
            behind_mint: Gate::open(),
            before_revoke: Gate::open(),
            canary: spellings::canary(),
            mood: Mutex::default(),
            leases: Mutex::default(),
        });
        let serving = vault.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let vault = serving.clone();
                let service = service_fn(move |request| {
                    let vault = vault.clone();
                    // A vault goes on with what it was asked even if the one who asked is gone.
                    async move {
                        Ok::<_, Infallible>(tokio::spawn(async move { vault.answer(request).await }).await.unwrap())
                    }
                });
                tokio::spawn(async move {
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        vault
    }

    pub fn be(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    /// Leases minted so far.
    pub fn minted(&self) -> usize {
        self.leases.lock().unwrap().len()
    }

    /// Leases that still live.
    pub fn live(&self) -> usize {
        self.leases.lock().unwrap().iter().filter(|lease| lease.lives).count()
    }

    /// The secret of the n-th lease, from 1.
    pub fn secret(&self, lease: usize) -> String {
        format!("{}.{lease}.", self.canary)
    }

    /// The calls whose secrets stand in these bytes.
    pub fn calls_of(&self, bytes: &[u8]) -> Vec<CallId> {
        let leases = self.leases.lock().unwrap();
        let stands = |lease: usize| spellings::holds(bytes, self.secret(lease + 1).as_bytes());
        leases.iter().enumerate().filter(|(lease, _)| stands(*lease)).filter_map(|(_, lease)| lease.call).collect()
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let mood = *self.mood.lock().unwrap();
        let path = request.uri().path().to_owned();
        let asked = request.into_body().collect().await.unwrap().to_bytes();
        let asked: Value = serde_json::from_slice(&asked).unwrap_or_default();
        if path == "/mint" {
            self.before_mint.pass().await;
            if mood == Mood::Refuses {
                return said(403, "the client secret hunter2 may not");
            }
            let lease = self.mint(asked["call"].as_str().and_then(|call| call.parse().ok()));
            self.behind_mint.pass().await;
            let ttl = asked["ttl_ms"].as_i64().unwrap_or(0) + if mood == Mood::Overgrants { 3_600_000 } else { 0 };
            return match mood {
                Mood::Garbles => said(200, "<html>"),
                Mood::Well | Mood::Overgrants | Mood::KeepsLeases | Mood::Refuses => said(
                    200,
                    &json!({ "lease": format!("lease-{lease}"), "secret": self.secret(lease), "ttl_ms": ttl })
                        .to_string(),
                ),
            };
        }
        self.before_revoke.pass().await;
        if mood == Mood::KeepsLeases {
            return said(500, "later");
        }
        let named = asked["lease"].as_str().and_then(|name| name.strip_prefix("lease-")?.parse::<usize>().ok());
        if let Some(named) = named {
            self.leases.lock().unwrap()[named - 1].lives = false;
        }
        said(204, "")
    }

    fn mint(&self, call: Option<CallId>) -> usize {
        let mut leases = self.leases.lock().unwrap();
        leases.push(Lease { call, lives: true });
        leases.len()
    }
}

fn said(status: u16, body: &str) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::new(Bytes::from(body.to_owned()))).unwrap()
}

/// The issuer's side.
pub struct VaultIssuer {
    pub origin: String,
    pub lifetime: Lifetime,
}

impl VaultIssuer {
    async fn ask(&self, path: &str, body: Value) -> Result<(u16, Bytes), IssuerError> {
        let unclear = |error: &dyn std::fmt::Display| IssuerError::Unclear(error.to_string());
        let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let request =
            Request::post(format!("{}{path}", self.origin)).body(Full::new(Bytes::from(body.to_string()))).unwrap();
        let answer = client.request(request).await.map_err(|error| unclear(&error))?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.map_err(|error| unclear(&error))?.to_bytes();
        Ok((status, body))
    }
}

impl Issuer for VaultIssuer {
    fn kind(&self) -> &'static str {
        "test_vault"
    }

    fn plan(&self, permit: &Permit, now: Timestamp) -> Plan {
        Plan { handle: HandleNote::Sealed, expires_at: Some(permit.expires_at(now)) }
    }

    fn lifetime(&self) -> Lifetime {
        self.lifetime
    }

    fn can_revoke(&self) -> bool {
        true
    }

    fn mint<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Result<Credential, IssuerError>> {
        Box::pin(async move {
            let left = order.plan.expires_at.map_or(Duration::ZERO, |end| end.since(order.now));
            let asked =
                json!({ "call": order.call.id.to_string(), "ttl_ms": u64::try_from(left.as_millis()).unwrap() });
            let (status, body) = self.ask("/mint", asked).await?;
            if status != 200 {
                return Err(IssuerError::Refused(format!("status {status}: {}", String::from_utf8_lossy(&body))));
            }
            let answer: Value =
                serde_json::from_slice(&body).map_err(|error| IssuerError::Unclear(error.to_string()))?;
            let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
            Ok(Credential {
                secret: Secret::new(text("secret")),
                handle: Handle::Sealed(Secret::new(text("lease"))),
                expires_at: Some(order.now.after(Duration::from_millis(answer["ttl_ms"].as_u64().unwrap_or(0)))),
                placement: Placement::Header { name: http::header::AUTHORIZATION, prefix: "Bearer ".to_owned() },
            })
        })
    }

    fn revoke<'a>(&'a self, handle: &'a Handle) -> BoxFuture<'a, Result<(), IssuerError>> {
        Box::pin(async move {
            let Handle::Sealed(lease) = handle else { return Err(IssuerError::Refused("no lease".to_owned())) };
            let lease = String::from_utf8_lossy(lease.expose()).into_owned();
            match self.ask("/revoke", json!({ "lease": lease })).await? {
                (200..=299 | 404, _) => Ok(()),
                (status, _) => Err(IssuerError::Unclear(format!("status {status}"))),
            }
        })
    }
}
