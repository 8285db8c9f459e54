//! What the lineage takes by itself, small and large: `cargo bench --bench lineage`.
//!
//! A record's cost, a call's wait for it with and without the log being moved, a proof, and a reviewer's questions, at a
//! thousand and a hundred thousand records; `--sizes 1000,10000000` says otherwise, `--smoke` shows in a second that it
//! works. The lineage is made under `target/tmp`: 10⁷ records take about 15 GB there.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result};
use countersign::model::{CallId, Clock, Digest, Ending, Revocation, Secret, TaskId, Timestamp};
use countersign::record::{
    Checkpoint, CredentialNote, CredentialPlan, Ended, Event, FactsNote, Filter, HandleNote, Lineage, Options,
    Permitted, Reader, Receipt, Record, Rotate, Signer, SqliteLineage, Sync,
};
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;
use serde_json::json;
use tokio::runtime::Runtime;

/// Records written in one go, in a round that is timed.
const BURST: u64 = 20_000;

/// One call in so many is of an agent that seldom calls.
const RARELY: u64 = 100_000;

/// Calls that wait for their record at a time.
const TOGETHER: usize = 64;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let smoke = arguments.iter().any(|argument| argument == "--smoke");
    let asked = arguments.iter().position(|argument| argument == "--sizes").and_then(|at| arguments.get(at + 1));
    let sizes = match asked {
        Some(list) => list.split(',').map(str::parse).collect::<Result<Vec<u64>, _>>()?,
        None if smoke => vec![300],
        None => vec![1_000, 100_000],
    };
    let rounds = if smoke { 1 } else { 5 };
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(&folder)?;
    say(
        "| records | µs/record | CPU µs/record, writer | wait p50 µs | wait p99 µs | p99 while the log moves | proof µs | list ms | rare agent ms | one call ms | MB |",
    )?;
    say("|---|---|---|---|---|---|---|---|---|---|---|")?;
    for size in sizes {
        let place = tempfile::tempdir_in(&folder)?;
        let burst = BURST.min(size);
        say(&Bench::new(place.path().join("lineage.db"))?.measure(size, rounds, burst)?)?;
    }
    Ok(())
}

struct Bench {
    path: PathBuf,
    runtime: Runtime,
    lineage: Arc<SqliteLineage>,
    next: u64,
}

impl Bench {
    fn new(path: PathBuf) -> Result<Self> {
        let failed = |_| anyhow::anyhow!("no key could be made");
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(failed)?;
        let signer = Signer::new("bench.invalid", &Secret::new(pkcs8.as_ref()))?;
        let signed_every = Duration::from_secs(1);
        let options = Options {
            path: path.clone(),
            sync: Sync::Normal,
            room: 1 << 20,
            whole: usize::MAX,
            reserve: 0,
            signed_every,
            rotate: Rotate::default(),
        };
        let (lineage, _) = SqliteLineage::open(options, signer, Clock::new(|| Timestamp::from(SystemTime::now())))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { path, runtime, lineage, next: 0 })
    }

    fn measure(mut self, size: u64, rounds: usize, burst: u64) -> Result<String> {
        self.fill(size)?;
        let (mut each, mut writer) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (begun, before) = (Instant::now(), cpu("lineage-writer"));
            self.fill(burst)?;
            let records = f64::from(u32::try_from(burst)?);
            each.push(begun.elapsed().as_secs_f64() * 1e6 / records);
            writer.push((cpu("lineage-writer") - before) * 1e6 / records);
        }
        let (quiet, moving) = (self.waits(2_000, false)?, self.waits(2_000, true)?);
        let reader = Reader::open(&self.path)?;
        // A proof leads to a checkpoint's root, as in a receipt; the first one comes within a second.
        while reader.checkpoint()?.is_none() {
            std::thread::sleep(Duration::from_millis(50));
        }
        let total = Checkpoint::parse(&reader.checkpoint()?.unwrap_or_default())?.size;
        let proof = timed(200, |n| reader.inclusion((n * 7_919) % total, total).map(drop).map_err(Into::into))?;
        let list = Filter { limit: 50, ..Filter::default() };
        let listed = timed(5, |_| reader.calls(&list).map(drop).map_err(Into::into))?;
        let rare = Filter { agent: Some("rare".into()), limit: 50, ..Filter::default() };
        let rarely = timed(1, |_| reader.calls(&rare).map(drop).map_err(Into::into))?;
        let one = timed(20, |n| reader.story(call((n * 104_729) % self.next)).map(drop).map_err(Into::into))?;
        let megabytes = std::fs::metadata(&self.path)?.len() >> 20;
        let [each, writer, proof, listed, rarely, one] =
            [each, writer, proof, listed, rarely, one].map(|all| median(&all));
        Ok(format!(
            "| {size} | {each:.1} | {writer:.1} | {:.0} | {:.0} | {:.0} | {proof:.0} | {:.1} | {:.1} | {:.2} | {megabytes} |",
            at(&quiet, 0.5),
            at(&quiet, 0.99),
            at(&moving, 0.99),
            listed / 1e3,
            rarely / 1e3,
            one / 1e3,
        ))
    }

    /// So many records: each call permitted, waited for among others, and ended.
    fn fill(&mut self, records: u64) -> Result<()> {
        let mut waiting: Vec<Receipt> = Vec::with_capacity(TOGETHER);
        for _ in 0..records.div_ceil(2) {
            waiting.push(self.lineage.append(permitted(self.next)));
            drop(self.lineage.append(ended(self.next)));
            self.next += 1;
            if waiting.len() == TOGETHER {
                self.runtime.block_on(all(&mut waiting))?;
            }
        }
        self.runtime.block_on(all(&mut waiting))
    }

    /// Microseconds that one call at a time waits for its record, sorted.
    fn waits(&mut self, count: usize, moving: bool) -> Result<Vec<f64>> {
        let mut waits = Vec::with_capacity(count);
        let db = rusqlite::Connection::open(&self.path)?;
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(!moving));
        let stopped = Arc::clone(&stop);
        let mover = std::thread::Builder::new().name("bench-mover".into()).spawn(move || {
            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
            }
        })?;
        for _ in 0..count {
            let begun = Instant::now();
            let receipt = self.lineage.append(permitted(self.next));
            self.runtime.block_on(receipt)?;
            waits.push(begun.elapsed().as_secs_f64() * 1e6);
            drop(self.lineage.append(ended(self.next)));
            self.next += 1;
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        let _ = mover.join();
        waits.sort_by(f64::total_cmp);
        Ok(waits)
    }
}

async fn all(waiting: &mut Vec<Receipt>) -> Result<()> {
    for receipt in waiting.drain(..) {
        receipt.await?;
    }
    Ok(())
}

fn timed(times: u64, mut run: impl FnMut(u64) -> Result<()>) -> Result<Vec<f64>> {
    let mut took = Vec::new();
    for n in 0..times {
        let begun = Instant::now();
        run(n)?;
        took.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    took.sort_by(f64::total_cmp);
    Ok(took)
}

fn median(sorted: &[f64]) -> f64 {
    let mut all = sorted.to_vec();
    all.sort_by(f64::total_cmp);
    at(&all, 0.5)
}

fn at(sorted: &[f64], share: f64) -> f64 {
    let place = (0..sorted.len()).find(|place| {
        (f64::from(u32::try_from(*place).unwrap_or(0)) + 1.0)
            >= share * f64::from(u32::try_from(sorted.len()).unwrap_or(1))
    });
    place.and_then(|place| sorted.get(place)).copied().unwrap_or_default()
}

/// Seconds of CPU that the threads of this name have used (proc(5)).
fn cpu(thread: &str) -> f64 {
    let mut seconds = 0.0;
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let Some((head, fields)) = stat.rsplit_once(')') else { continue };
        if head.split_once('(').is_some_and(|(_, name)| name == thread) {
            seconds +=
                fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>()
                    / 100.0;
        }
    }
    seconds
}

fn call(n: u64) -> CallId {
    let mut random = [0; 10];
    if let Some(tail) = random.last_chunk_mut::<8>() {
        *tail = n.to_be_bytes();
    }
    CallId::new(Timestamp::from_millis(1_795_324_800_000 + i64::try_from(n / 4).unwrap_or(0)), random)
}

fn record(n: u64, event: Event, private: BTreeMap<&'static str, serde_json::Value>) -> Record {
    let at = Timestamp::from(SystemTime::now());
    Record { at, call: Some(call(n)), task: Some(TaskId::implicit(Digest::of(b"triage"))), event, private }
}

/// About as large as one of a real call.
fn permitted(n: u64) -> Record {
    let credential = CredentialPlan {
        issuer: "own".into(),
        kind: "jwt".into(),
        handle: HandleNote::Named(format!("jti-{n:020}")),
        expires_at: Some(Timestamp::from_millis(1_795_324_820_000)),
    };
    let facts = json!({
        "intent": { "declared": true, "source": "header", "matches": true, "purpose_present": true },
        "task": { "present": true, "opened_by": "framework", "declared": true, "depth": 0, "age_s": 12 },
        "workload": { "kind": "peer", "strength": 2 }, "labels": ["untrusted"],
        "chain": { "calls": 3, "repeats": 0, "concurrent": 1, "actions": ["tickets/issues.get"] },
        "limits": {}, "time": { "hour": 5, "weekday": 7 }, "body": "whole",
    });
    let permitted = Permitted {
        agent: if n.is_multiple_of(RARELY) { "rare".into() } else { "triage".into() },
        parent: None,
        action: "tickets/issues.create".into(),
        effect: "write".into(),
        audience: "https://tickets.example.com".into(),
        method: "POST".into(),
        length: Some(120),
        brought_credential: false,
        facts: FactsNote::Read(facts),
        ttl_ms: Some(60_000),
        would: None,
        rules: vec!["writes.declared".into()],
        policies: Digest::of(b"policies"),
        credential,
    };
    let private = BTreeMap::from([
        ("workload", json!({ "id": "uid:1000", "kind": "peer", "attributes": { "exe": "/usr/bin/python3" } })),
        ("resource", json!("octo/hello")),
        ("purpose", json!("file the crash the user reported")),
        ("target", json!("/repos/octo/hello/issues")),
        ("content", json!(Digest::of(&n.to_be_bytes()).to_string())),
    ]);
    record(n, Event::Permitted(Box::new(permitted)), private)
}

fn ended(n: u64) -> Record {
    let at = Some(Timestamp::from_millis(1_795_324_800_001));
    let credential = CredentialNote { revocation: Revocation::Confirmed, minted_at: at, ended_at: at, expires_at: at };
    let ended = Ended { ending: Ending::Completed, why: None, sent: None, answer: None, echo: false, credential };
    record(n, Event::Ended(ended), BTreeMap::from([("answer_digest", json!(Digest::of(b"answer").to_string()))]))
}

fn say(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").context("the output cannot be written")
}
