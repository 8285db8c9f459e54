//! A lineage in a temporary folder, and records to put into it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use countersign::cli::lineage::Lying;
use countersign::model::{CallId, Clock, Digest, Ending, Revocation, Secret, TaskId, Timestamp};
use countersign::record::{
    Closed, CredentialNote, CredentialPlan, Ended, Event, FactsNote, HandleNote, Limbo, Lineage, Minted, Opened,
    Options, Permitted, Receipt, Record, Refused, Rotate, Settled, Signer, SqliteLineage, StoreError, Sync,
    Unavailable,
};
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;
use serde_json::json;
use tempfile::TempDir;

/// How often a checkpoint is signed.
pub const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

/// When everything here begins.
pub const START: i64 = 1_795_324_800_000;

/// A folder with a lineage and its key.
pub struct Place {
    pub folder: TempDir,
    pkcs8: Vec<u8>,
}

impl Place {
    pub fn new() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self { folder: tempfile::tempdir().unwrap(), pkcs8: pkcs8.as_ref().to_vec() }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("lineage.db")
    }

    pub fn signer(&self) -> Signer {
        signer(&self.pkcs8)
    }

    /// The key it is signed with, PKCS#8.
    pub fn key(&self) -> &[u8] {
        &self.pkcs8
    }

    pub fn vkey(&self) -> String {
        self.signer().vkey()
    }

    pub fn open(&self) -> (Arc<SqliteLineage>, Limbo) {
        // A process that another test starts at this moment holds a copy of every lock until it has become its program.
        let tries = (0..100).map(|_| self.try_open(1024)).inspect(|tried| {
            if matches!(tried, Err(StoreError::InUse(_))) {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        });
        let mut tries = tries.skip_while(|tried| matches!(tried, Err(StoreError::InUse(_))));
        tries.next().expect("the lock is free within a second").unwrap()
    }

    pub fn try_open(&self, room: usize) -> Result<(Arc<SqliteLineage>, Limbo), StoreError> {
        SqliteLineage::open(self.options(room), self.signer(), clock())
    }

    /// A lineage that counts nothing together, and keeps little space.
    pub fn options(&self, room: usize) -> Options {
        Options {
            path: self.path(),
            sync: Sync::Normal,
            room,
            whole: usize::MAX,
            reserve: 64 * 1024,
            signed_every: SECOND,
            rotate: Rotate::default(),
        }
    }

    /// Where it lies, for the commands.
    pub fn lying(&self) -> Lying {
        Lying { path: self.path(), vkey: Some(self.vkey()), ..Lying::default() }
    }

    /// The database itself, for a test to do to it what nobody should.
    pub fn sql(&self) -> rusqlite::Connection {
        let db = rusqlite::Connection::open(self.path()).unwrap();
        db.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
        db
    }
}

/// The signer of a key.
pub fn signer(pkcs8: &[u8]) -> Signer {
    Signer::new("lineage.test", &Secret::new(pkcs8.to_vec())).unwrap()
}

/// A clock that goes on by a millisecond each time it is read.
pub fn clock() -> Clock {
    let now = AtomicI64::new(START);
    Clock::new(move || Timestamp::from_millis(now.fetch_add(1, Ordering::Relaxed)))
}

pub fn call(n: u64) -> CallId {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&n.to_be_bytes());
    CallId::new(Timestamp::from_millis(START), random)
}

pub fn task(n: u8) -> TaskId {
    TaskId::new(Timestamp::from_millis(START), [n; 10])
}

pub fn record(call: Option<CallId>, event: Event) -> Record {
    Record { at: Timestamp::from_millis(START), call, task: Some(task(1)), event, private: BTreeMap::new() }
}

pub fn permitted(n: u64) -> Record {
    let credential = CredentialPlan {
        issuer: "own".into(),
        kind: "jwt".into(),
        handle: HandleNote::Named(format!("jti-{n}")),
        expires_at: Some(Timestamp::from_millis(START + 20_000)),
    };
    let permitted = Permitted {
        agent: if n.is_multiple_of(2) { "triage".into() } else { "billing".into() },
        parent: None,
        action: "tickets/issues.create".into(),
        effect: "write".into(),
        audience: "http://127.0.0.1:9000".into(),
        method: "POST".into(),
        length: Some(120),
        brought_credential: false,
        facts: FactsNote::Read(
            json!({"labels": ["untrusted"], "chain": {"calls": 3}, "intent": {"declared": true, "matches": true}}),
        ),
        ttl_ms: Some(60_000),
        would: None,
        rules: vec!["writes.declared".into()],
        policies: Digest::of(b"policies"),
        credential,
    };
    let private = BTreeMap::from([
        ("resource", json!("octo/hello")),
        ("purpose", json!("file the crash the user reported")),
        ("target", json!("/repos/octo/hello/issues")),
    ]);
    Record { private, ..record(Some(call(n)), Event::Permitted(Box::new(permitted))) }
}

pub fn ended(n: u64, revocation: Revocation) -> Record {
    let at = |ms| Some(Timestamp::from_millis(START + ms));
    let credential = CredentialNote { revocation, minted_at: at(1), ended_at: at(13), expires_at: at(20_000) };
    let ended = Ended { ending: Ending::Completed, why: None, sent: None, answer: None, echo: false, credential };
    record(Some(call(n)), Event::Ended(ended))
}

pub fn refused(n: u64) -> Record {
    let refused = Refused {
        code: "denied".into(),
        decision: "deny".into(),
        rules: vec!["no.strangers".into()],
        agent: Some("triage".into()),
        method: "GET".into(),
        action: Some("tickets/files.get".into()),
        ..Refused::default()
    };
    let private = BTreeMap::from([("why", json!("line one\u{1b}[2Jline two"))]);
    Record { private, ..record(Some(call(n)), Event::Refused(Box::new(refused))) }
}

pub fn minted(n: u64, handle: &str) -> Record {
    record(Some(call(n)), Event::Minted(Minted { issuer: "vault".into(), handle: handle.into(), expires_at: None }))
}

pub fn settled(n: u64) -> Record {
    record(Some(call(n)), Event::Settled(Settled { issuer: "own".into(), revocation: Revocation::Confirmed }))
}

pub fn opened(n: u8, until: i64) -> Record {
    let opened = Opened {
        agent: "triage".into(),
        opened_by: "framework".into(),
        token: Digest::of(&[n]),
        parent: None,
        depth: 0,
        expires_at: Some(Timestamp::from_millis(START + until)),
    };
    let private = BTreeMap::from([("goal", json!("triage the new issues"))]);
    Record { task: Some(task(n)), private, ..record(None, Event::Opened(opened)) }
}

pub fn closed(n: u8) -> Record {
    Record { task: Some(task(n)), ..record(None, Event::Closed(Closed { by: "opener".into() })) }
}

/// Waits for a receipt.
pub fn wait(receipt: Receipt) -> Result<u64, Unavailable> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(receipt)
}

/// Appends and waits until it is durable.
pub fn put(lineage: &SqliteLineage, record: Record) -> u64 {
    wait(lineage.append(record)).unwrap()
}

/// Waits, up to ten seconds, until something is so.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed().as_secs() < 10, "not within ten seconds: {what}");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}
