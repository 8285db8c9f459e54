//! What a mediated call costs beside a bare proxy, through the real program: `cargo bench --bench walk`.
//!
//! `--stream` measures answers that stream; `--tasks N` what N live tasks cost; `--smoke` shows in some seconds that it works; `--json FILE` keeps every figure; `--rounds N` says how often;
//! `--program PATH` measures another `countersign`; `--only WORD` measures what has the word in its name (may be repeated).
//! Two cores are wanted: what is measured runs on the first, upstream and load on the second.

/// The parts of the bench. It is also every process it starts: proxy, upstream, load.
mod walk {
    pub mod bare;
    pub mod child;
    pub mod commit;
    pub mod cpu;
    pub mod load;
    pub mod plan;
    pub mod report;
    pub mod rules;
    pub mod sidecar;
    pub mod stream;
    pub mod tasks;
    pub mod upstream;
}

use std::future::Future;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use walk::plan::Plan;
use walk::report::Report;
use walk::{bare, child, commit, load, plan, sidecar, stream, tasks, upstream};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next().unwrap_or_default();
    let second = arguments.next().unwrap_or_default();
    match first.as_str() {
        "upstream" => on_one_thread(upstream::serve()),
        "bare" => on_one_thread(bare::proxy(&second)),
        "hashing" => on_one_thread(bare::hashing(&second)),
        "flood" => on_one_thread(stream::flood(second.parse()?)),
        "refusal" => on_one_thread(bare::refusal()),
        "receiver" => on_one_thread(bare::receiver()),
        "sidecar" => sidecar(second.parse()?),
        "load" => say(&serde_json::to_string(&on_one_thread(load::run(serde_json::from_str(&second)?))?)?),
        "commits" => {
            let count = arguments.next().unwrap_or_default().parse()?;
            let took = commit::commits(&PathBuf::from(second), count)?;
            say(&took.get(load::place(took.len(), 0.5)).copied().unwrap_or_default().to_string())
        }
        _ => run(),
    }
}

/// Serves for another bench, in front of what listens there, until nobody holds its input any more. Says where, and what
/// a call has to bear.
fn sidecar(upstream: u16) -> Result<()> {
    let folder = tempfile::tempdir_in(target()?)?;
    let program = PathBuf::from(env!("CARGO_BIN_EXE_countersign"));
    let sidecar = sidecar::Sidecar::start(&program, folder.path(), upstream, &plan::USUAL)?;
    let (port, path, task) = (sidecar.server.port, sidecar::PERMITTED, &sidecar.task);
    say(&serde_json::json!({ "port": port, "path": path, "headers": { "agent-task": task } }).to_string())?;
    let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
    Ok(())
}

/// Not under /tmp, which may be memory: a commit would cost nothing there.
fn target() -> Result<PathBuf> {
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(&target)?;
    Ok(target)
}

fn run() -> Result<()> {
    let (plan, json) = asked()?;
    let folder = tempfile::tempdir_in(target()?)?;
    let mut told = Ok(());
    if plan.stream {
        let streamed = stream::run(&plan, folder.path(), &mut |what| told = say(what))?;
        told?;
        return say(&format!("\n{}", stream::text(&streamed, plan.long)));
    }
    if let Some(count) = plan.tasks {
        let text = tasks::run(&plan, folder.path(), count, &mut |what| told = say(what))?;
        told?;
        return say(&format!("\n{text}"));
    }
    let measured = plan.run(folder.path(), &mut |what| told = say(what))?;
    told?;
    let report = Report { measured: &measured, plan: &plan, pinned: child::can_pin() };
    if let Some(path) = json {
        std::fs::write(&path, serde_json::to_vec_pretty(&report.json())?)
            .with_context(|| path.display().to_string())?;
    }
    say(&format!("\n{}", report.text()))
}

/// The plan that the arguments ask for. Those of cargo's own (`--bench`) and of test runners are passed over.
fn asked() -> Result<(Plan, Option<PathBuf>)> {
    let mut plan = Plan {
        rounds: 5,
        warm_ms: 300,
        count_ms: 2_000,
        commits: 500,
        connections: vec![1, 16, 64],
        program: PathBuf::from(env!("CARGO_BIN_EXE_countersign")),
        only: Vec::new(),
        stream: false,
        tasks: None,
        long: 1 << 30,
    };
    let mut json = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("`{argument}` needs a value"));
        match argument.as_str() {
            "--smoke" => {
                plan = Plan {
                    rounds: 1,
                    warm_ms: 50,
                    count_ms: 150,
                    commits: 20,
                    connections: vec![1, 8],
                    long: 1 << 24,
                    ..plan
                }
            }
            "--stream" => plan.stream = true,
            "--tasks" => plan.tasks = Some(value()?.parse()?),
            "--json" => json = Some(PathBuf::from(value()?)),
            "--rounds" => plan.rounds = value()?.parse()?,
            "--program" => plan.program = PathBuf::from(value()?),
            "--only" => plan.only.push(value()?),
            _ => {}
        }
    }
    Ok((plan, json))
}

fn on_one_thread<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, future)
}

fn say(what: &str) -> Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{what}")?)
}
