//! Step 4: lend a credential for one permitted call.

mod fixed;
mod jwt;
mod keys;
mod lent;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use self::fixed::{NoCredential, StaticSecret};
pub use self::jwt::{CALL_DETAILS, JwtIssuer, JwtOptions};
pub use self::keys::{KeyError, KeyRing, Schedule, write_private};
pub use self::lent::{Lent, Token, claims};
use crate::judge::Permit;
use crate::model::{BoxFuture, Call, Credential, Handle, Lifetime, Scope, Secret, Timestamp};
use crate::record::{CredentialPlan, Event, HandleNote, Minted, Record, Recorded, Sealer, Unavailable};
use crate::revoke::{Lease, Reaper};

/// Something that can lend a credential for one call, and perhaps end it.
pub trait Issuer: Send + Sync {
    /// The kind, as the configuration spells it.
    fn kind(&self) -> &'static str;

    /// What would be minted, decided before it is and written down with the verdict.
    fn plan(&self, permit: &Permit, now: Timestamp) -> Plan;

    /// When a credential of this kind is no longer needed.
    fn lifetime(&self) -> Lifetime;

    /// Whether a credential of this kind can be ended early.
    fn can_revoke(&self) -> bool;

    /// Mints.
    fn mint<'a>(&'a self, order: Order<'a>) -> BoxFuture<'a, Result<Credential, IssuerError>>;

    /// Ends a credential. `Ok` means that the issuer confirmed it, or says it is no longer there.
    fn revoke<'a>(&'a self, handle: &'a Handle) -> BoxFuture<'a, Result<(), IssuerError>>;
}

/// What an issuer will mint for a call.
#[derive(Clone, Debug)]
pub struct Plan {
    /// By what name it can be ended.
    pub handle: HandleNote,
    /// When it ends by itself at the latest; `None` for a standing secret, and where there is none.
    pub expires_at: Option<Timestamp>,
}

/// What an issuer is asked for: this call and nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The call as it was judged.
    pub call: &'a Call,
    /// The narrowest of what policy, task and intent allow.
    pub scope: &'a Scope,
    /// What was planned and recorded.
    pub plan: &'a CredentialPlan,
    /// The verdict's place in the lineage.
    pub position: u64,
    /// The time.
    pub now: Timestamp,
}

/// Why an issuer did not do what it was asked. The text is for the log and the record.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// It said no: nothing was minted, nothing was ended.
    #[error("the issuer refused: {0}")]
    Refused(Told),
    /// It did not say: it may have done it.
    #[error("the issuer did not answer clearly: {0}")]
    Unclear(Told),
}

/// What is told of an issuer's answer: words of ours and a status. Its own words have no place here, since an issuer
/// may quote in them the secret it was asked with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Told {
    words: &'static str,
    status: Option<u16>,
}

impl Told {
    /// An answer over HTTP with this status.
    pub fn status(words: &'static str, status: u16) -> Self {
        Self { words, status: Some(status) }
    }
}

impl From<&'static str> for Told {
    fn from(words: &'static str) -> Self {
        Self { words, status: None }
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words)?;
        self.status.map_or(Ok(()), |status| write!(f, " (status {status})"))
    }
}

/// Every issuer, by the name it has in the configuration.
pub struct Issuers {
    by_name: BTreeMap<Arc<str>, Arc<dyn Issuer>>,
    sealer: Arc<Sealer>,
    deadline: Duration,
}

/// Why there is no credential. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No issuer has this name.
    #[error("the tool's issuer is not configured")]
    Missing,
    /// An earlier credential of this issuer may still live.
    #[error("the issuer is quarantined until {0}, when a credential of unknown end has expired")]
    Quarantined(Timestamp),
    /// It failed.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// It took too long, and may have minted.
    #[error("the issuer did not answer within {0:?}")]
    Late(Duration),
    /// What it gave lives longer than was asked, or forever.
    #[error("the issuer gave a credential that ends {given}, asked was {asked}")]
    Overgrant {
        /// When it ends.
        given: String,
        /// When it was to end.
        asked: Timestamp,
    },
    /// The name of what was minted could not be recorded.
    #[error("what was minted could not be recorded: {0}")]
    Record(#[from] Unavailable),
}

impl Issuers {
    /// `deadline` bounds the wait for one credential.
    pub fn new(by_name: BTreeMap<Arc<str>, Arc<dyn Issuer>>, sealer: Arc<Sealer>, deadline: Duration) -> Self {
        Self { by_name, sealer, deadline }
    }

    /// The issuer of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Issuer>> {
        self.by_name.get(name)
    }

    /// What will be minted for a permitted call, to be recorded with its verdict.
    pub fn plan(&self, permit: &Permit, reaper: &Reaper, now: Timestamp) -> Result<CredentialPlan, Error> {
        let name = &permit.call().tool.issuer;
        let issuer = self.get(name).ok_or(Error::Missing)?;
        if let Some(until) = reaper.quarantined(name, now) {
            return Err(Error::Quarantined(until));
        }
        let plan = issuer.plan(permit, now);
        Ok(CredentialPlan {
            issuer: name.to_string(),
            kind: issuer.kind().to_owned(),
            handle: plan.handle,
            expires_at: plan.expires_at,
        })
    }
}

/// Mints for a call whose verdict stands on the rail, and for no other.
pub async fn mint(issuers: &Issuers, recorded: Recorded, reaper: &Arc<Reaper>) -> Result<Lease, Error> {
    let issuer = issuers.get(&recorded.plan().issuer).ok_or(Error::Missing)?.clone();
    let now = recorded.now();
    let (position, plan, asked) = (recorded.position(), recorded.plan().clone(), recorded.plan().expires_at);
    let mut lease = Lease::begin(recorded, issuer.clone(), reaper.clone());
    let order = Order { call: lease.call(), scope: lease.scope(), plan: &plan, position, now };
    let minted = tokio::time::timeout(issuers.deadline, issuer.mint(order)).await;
    let credential = match minted {
        Ok(Ok(credential)) => credential,
        Ok(Err(error)) => {
            if matches!(error, IssuerError::Refused(_)) {
                lease.not_minted();
            }
            lease.fail(&error);
            return Err(error.into());
        }
        Err(_) => {
            let error = Error::Late(issuers.deadline);
            lease.fail(&error);
            return Err(error);
        }
    };
    let learned = match &credential.handle {
        Handle::Sealed(handle) => Some(seal(issuers, &lease, handle, &credential)),
        Handle::Nothing | Handle::Named(_) => None,
    };
    let given = credential.expires_at;
    lease.hold(credential);
    if let Some(learned) = learned {
        // A name that is not recorded could not be ended after a crash: without it the credential is not used.
        let recorded = match learned {
            Ok(record) => lease.rail().clone().commit(record).await,
            Err(error) => Err(error),
        };
        if let Err(error) = recorded {
            lease.fail(&error);
            return Err(error.into());
        }
    }
    if let Some(asked) = asked.filter(|asked| given.is_none_or(|given| given > *asked)) {
        let error =
            Error::Overgrant { given: given.map_or_else(|| "never".to_owned(), |given| given.to_string()), asked };
        lease.fail(&error);
        return Err(error);
    }
    Ok(lease)
}

fn seal(issuers: &Issuers, lease: &Lease, handle: &Secret, credential: &Credential) -> Result<Record, Unavailable> {
    let call = lease.call();
    let minted = Minted {
        issuer: call.tool.issuer.to_string(),
        handle: issuers
            .sealer
            .seal(handle.expose(), call.id.as_bytes())
            .map_err(|error| Unavailable::Failed(error.to_string()))?,
        expires_at: credential.expires_at,
    };
    Ok(Record {
        at: lease.rail().now(),
        call: Some(call.id),
        task: Some(call.task.id),
        event: Event::Minted(minted),
        private: BTreeMap::new(),
    })
}
