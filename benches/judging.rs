//! What judging costs by itself, in a task that knows much and among many tasks: `cargo bench --bench judging`.
//!
//! From a request that was read to its verdict (understand, reserve, judge), without wire, disk or credential; and of that
//! the judgement alone (reserve, judge). The starter policies of the strict preset judge. A loaded task has read an answer
//! with 1 000 trusted values and 200 KB of a stranger's words, and its agent has 1 000 habits; a bare one has none of
//! it. Every other call is asked about. `--smoke` shows in a second that it works.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use countersign::app::{Environment, load};
use countersign::config::Config;
use countersign::judge::{Verdict, judge};
use countersign::mediate::Rulebook;
use countersign::memory::Memory;
use countersign::model::{
    AgentName, Aims, Baseline, BaselineRule, Call, CallId, Caller, Course, Digest, Evidence, Given, Grant, Incoming,
    Key, OpenedBy, Payload, Peer, Proof, Reading, Task, TaskId, Timestamp, Word, Workload,
};
use countersign::understand::{aim, understand};

const CATALOG: &str = r#"
[actions."inbox.read"]
match = "GET /inbox"
effect = "read"
resource = "inbox"
yields = [{ at = "/*/from", label = "trusted" }, { at = "/*/text", label = "untrusted" }]

[actions."mail.send"]
match = "POST /send"
effect = "send"
resource = "mail"
sinks = [
    { at = "body:/to", kind = "destination" },
    { at = "body:/title", kind = "words" },
    { at = "body:/text", kind = "text" },
]
"#;

const CONFIG: &str = r#"
[policies]
dir = "policies"
[agents.helper]
identify = [{ peer = { uid = 1 } }]
tools = ["mail"]
[reviewers.sam]
token = { file = "sam.token" }
may = ["approve"]
roles = ["owner", "on-call"]
[tools.mail]
upstream = "https://mail.example"
catalog = "mail.toml"
issuer = "calls"
[issuers.calls]
kind = "jwt"
"#;

/// Trusted values, and habits, of a loaded task.
const KNOWN: usize = 1_000;

/// Bytes of a stranger's words that it has read.
const TAINT: usize = 200_000;

/// Tuesday, ten o'clock.
const NOW: i64 = 1_795_514_400_000;

fn main() -> Result<()> {
    let smoke = std::env::args().any(|argument| argument == "--smoke");
    let (sizes, rounds, calls) = if smoke { (vec![1, 100], 1, 200) } else { (vec![1, 1_000, 100_000], 5, 4_000) };
    let folder = tempfile::tempdir()?;
    lay_out(folder.path())?;
    let mut worlds = vec![World::new(folder.path(), 1, false)?];
    for tasks in sizes {
        worlds.push(World::new(folder.path(), tasks, true)?);
    }
    for _ in 0..rounds {
        for world in &mut worlds {
            world.play(calls)?;
        }
    }
    let mut out = std::io::stdout();
    writeln!(
        out,
        "| live tasks | knows | request to verdict p50 µs | p99 µs | judgement p50 µs | p99 µs | × one loaded task, p50 |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    let one = worlds.get_mut(1).map_or(Duration::ZERO, |world| quantile(&mut world.judged, 50));
    for world in &mut worlds {
        let knows = if world.loaded { "1 000 values, 1 000 habits, 200 KB" } else { "nothing" };
        let [all, worst] = [50, 99].map(|part| quantile(&mut world.whole, part).as_secs_f64() * 1e6);
        let [judged, judged_worst] = [50, 99].map(|part| quantile(&mut world.judged, part).as_secs_f64() * 1e6);
        let ratio = judged / (one.as_secs_f64() * 1e6);
        writeln!(
            out,
            "| {} | {knows} | {all:.1} | {worst:.1} | {judged:.1} | {judged_worst:.1} | {ratio:.2} |",
            world.tasks
        )?;
    }
    writeln!(out, "\na loaded task takes {} KB", memory_of_a_task(folder.path(), if smoke { 5 } else { 200 })?)?;
    Ok(())
}

/// A configuration with the starter policies, the strict ones.
fn lay_out(folder: &Path) -> Result<()> {
    let policies = folder.join("policies");
    std::fs::create_dir(&policies)?;
    for entry in std::fs::read_dir(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("policies"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "cedar") {
            std::fs::copy(&path, policies.join(path.file_name().context("a name")?))?;
        }
    }
    std::fs::write(folder.join("mail.toml"), CATALOG)?;
    std::fs::write(folder.join("sam.token"), "a-token-of-sam-who-is-asked")?;
    std::fs::set_permissions(folder.join("sam.token"), std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    Ok(())
}

struct World {
    tasks: u64,
    loaded: bool,
    rulebook: Rulebook,
    memory: Memory,
    task: Arc<Task>,
    whole: Vec<Duration>,
    judged: Vec<Duration>,
}

impl World {
    fn new(folder: &Path, tasks: u64, loaded: bool) -> Result<Self> {
        let config = Config::parse(CONFIG, folder)?;
        let rulebook = load(&config, CONFIG, &Environment::default())?.rulebook;
        let memory = Memory::default();
        for number in 1..tasks {
            open(&memory, number);
        }
        let task = open(&memory, 0);
        let world = Self { tasks, loaded, rulebook, memory, task, whole: Vec::new(), judged: Vec::new() };
        if loaded {
            world.fill(&world.task)?;
            world.memory.baselines().ratify(&agent(), 1, habits());
        }
        Ok(world)
    }

    /// The task reads what a system of record and a stranger say.
    fn fill(&self, task: &Arc<Task>) -> Result<()> {
        let request = http::Request::get("/mail/inbox").header("host", "door").body(Payload::Whole(Bytes::new()))?;
        let call = self.understood(request, task)?;
        let (facts, reservation) = self.memory.reserve(&call, &self.rulebook.bounds, None)?;
        let Verdict::Allow(permit) = judge(&self.rulebook.policies, call, facts, reservation) else {
            bail!("a read is not let");
        };
        let (call, _, slot) = permit.spend();
        let words = |number: usize| {
            let words: Vec<String> = (0..TAINT / KNOWN / 10).map(|word| format!("w{number:04}{word:04}")).collect();
            words.join(" ")
        };
        let items: Vec<_> = (0..KNOWN)
            .map(|number| serde_json::json!({ "from": format!("colleague{number}@corp.example"), "text": words(number) }))
            .collect();
        let body = serde_json::to_vec(&items)?;
        slot.take_in(&call.action.yields, call.received_at);
        slot.learn(&call, Reading { body: &body, json: true, success: true });
        Ok(())
    }

    fn understood(&self, request: http::Request<Payload>, task: &Arc<Task>) -> Result<Box<Call>> {
        let aimed = aim(&request, &caller(), &self.rulebook.catalog)?;
        Ok(understand(incoming(request), caller(), task.clone(), aimed)?)
    }

    fn play(&mut self, calls: usize) -> Result<()> {
        for number in 0..calls {
            // Every other one is aimed at somebody whom nobody has named.
            let to = if number % 2 == 0 { "ana@corp.example".to_owned() } else { format!("eve{number}@evil.example") };
            let text =
                format!("{} see https://corp.example/report and ask ana@corp.example", "as was asked for ".repeat(100));
            let body =
                serde_json::json!({ "to": ["ana@corp.example", to], "title": "The report of this week", "text": text });
            let request = http::Request::post("/mail/send")
                .header("host", "door")
                .header("content-type", "application/json")
                .header("agent-intent", "action=\"mail.send\", purpose=\"as asked\"")
                .body(Payload::Whole(serde_json::to_vec(&body)?.into()))?;
            let begun = Instant::now();
            let call = self.understood(request, &self.task)?;
            let understood = Instant::now();
            let (facts, reservation) = self.memory.reserve(&call, &self.rulebook.bounds, None)?;
            let verdict = judge(&self.rulebook.policies, call, facts, reservation);
            self.judged.push(understood.elapsed());
            self.whole.push(begun.elapsed());
            let is_let = matches!(verdict, Verdict::Allow(_));
            ensure!(is_let == (number % 2 == 0), "call {number} came out otherwise than it should: {verdict:?}");
        }
        Ok(())
    }
}

/// What a loaded task takes, in whole KB: what the process has more of when so many of them are there.
fn memory_of_a_task(folder: &Path, tasks: u64) -> Result<u64> {
    let world = World::new(folder, 1, true)?;
    let before = resident()?;
    let many: Vec<Arc<Task>> = (1..=tasks).map(|number| open(&world.memory, number)).collect();
    for task in &many {
        world.fill(task)?;
    }
    Ok(resident()?.saturating_sub(before) / tasks)
}

fn resident() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn agent() -> AgentName {
    AgentName("helper".into())
}

fn caller() -> Caller {
    let workload = Workload { proofs: vec![Proof::Process], id: "uid:1".to_owned(), attributes: BTreeMap::new() };
    Caller { agent: agent(), workload: Arc::new(workload), expires_at: None }
}

fn incoming(request: http::Request<Payload>) -> Incoming {
    let now = Timestamp::from_millis(NOW);
    let peer = Arc::new(Peer::Loopback { address: ([127, 0, 0, 1], 1).into(), uid: Some(1) });
    Incoming {
        id: CallId::new(now, [0; 10]),
        received_at: now,
        evidence: Evidence { peer, bearer: None },
        task: None,
        door: http::uri::Scheme::HTTP,
        request,
    }
}

/// A task that whoever opened it has named somebody and something for.
fn open(memory: &Memory, number: u64) -> Arc<Task> {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    let now = Timestamp::from_millis(NOW);
    let line = Grant { action: "mail/mail.send".into(), resource: None, max: None };
    let task = Task {
        id: TaskId::new(now, random),
        agent: agent(),
        opened_by: OpenedBy::Framework,
        on_behalf_of: None,
        goal: "send the report".to_owned(),
        grant: vec![line],
        version: 1,
        values: Arc::new(Given::new(&["Send ana@corp.example the report https://corp.example/report".to_owned()])),
        parent: None,
        depth: 0,
        opened_at: now,
        expires_at: Some(now.after(Duration::from_secs(3_600))),
    };
    memory.open(task.clone(), Digest::of(&number.to_be_bytes()), now);
    Arc::new(task)
}

/// As many habits as a loaded task has values.
fn habits() -> Baseline {
    let rule = BaselineRule { tasks: 1, days: 1, enough: 1, ..BaselineRule::default() };
    let course = |first: usize| {
        let name = |number: usize| Key::of(Digest::of(&number.to_be_bytes()));
        let values = (first..first + KNOWN / 2).map(|number| (name(number), Word::Attested)).collect();
        let values = BTreeMap::from([("mail/mail.send body:/to".into(), values)]);
        let resources = ["mail/mail".to_owned(), "mail/inbox".to_owned()].into();
        let actions = BTreeMap::from([("mail/mail.send".into(), 1), ("mail/inbox.read".into(), 1)]);
        let aims = Aims { values, resources, sources: ["uid:1".to_owned()].into() };
        Course { actions, aims, most_in_a_minute: u32::MAX, ..Course::default() }
    };
    let at = Timestamp::from_millis(NOW - 86_400_000);
    Baseline::draft(&[(at, course(0)), (at, course(KNOWN / 2))], &rule)
}

fn quantile(times: &mut [Duration], part: usize) -> Duration {
    times.sort_unstable();
    times.get(times.len() * part / 100).copied().unwrap_or_default()
}
