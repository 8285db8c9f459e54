//! What live tasks cost: memory of each, and what a call in one of them costs beside a call where there is only one.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::child::{Core, Server, role};
use super::load::{Order, Outcome};
use super::plan::{Plan, USUAL, said};
use super::sidecar::{FRAMEWORK, OPENING, PERMITTED, Sidecar, token_of};

/// Connections that open tasks at a time.
const OPENERS: u32 = 16;

/// Tasks that are used, and different calls made in each.
const ACTIVE: u32 = 100;
const CALLS: u32 = 500;

/// Opens `count` tasks in one of two sidecars, measures both in turn, and tells what came of it.
pub fn run(plan: &Plan, folder: &Path, count: u32, tell: &mut dyn FnMut(&str)) -> Result<String> {
    let upstream = Server::start(role(Core::Other, &["upstream"])?)?;
    let one = Sidecar::start(&plan.program, &folder.join("one"), upstream.port, &USUAL)?;
    let many = Sidecar::start(&plan.program, &folder.join("many"), upstream.port, &USUAL)?;
    std::thread::sleep(Duration::from_secs(1));
    let idle = resident(many.server.pid())?;
    // So that what every sidecar keeps once it has worked is not taken for what tasks cost.
    drop(load(plan, &many, 1)?);
    drop(load(plan, &many, 64)?);
    let before = resident(many.server.pid())?;
    open(many.server.port, count)?;
    std::thread::sleep(Duration::from_secs(1));
    let opened = resident(many.server.pid())?;
    tell(&format!("{count} tasks are open"));
    for token in &open(many.server.port, ACTIVE)? {
        call(many.server.port, token)?;
    }
    let active = resident(many.server.pid())?;
    let mut ratios = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..plan.rounds {
        let [at_one, among_many] = [load(plan, &one, 1)?, load(plan, &many, 1)?];
        let [busy_one, busy_many] = [load(plan, &one, 64)?, load(plan, &many, 64)?];
        for (ratios, (these, those)) in ratios.iter_mut().zip([
            (among_many.p50, at_one.p50),
            (busy_many.p50, busy_one.p50),
            (busy_many.cpu, busy_one.cpu),
        ]) {
            ratios.push(these / those);
        }
    }
    let each = |more: f64, less: f64, of: u32| (more - less) / f64::from(of.max(1));
    let mut text = String::new();
    let _ = writeln!(text, "| live tasks: {count} | measured | at most |\n|---|---|---|");
    let [p50, busy, cpu] = ratios.map(median);
    for (what, figure, most) in [
        ("an idle sidecar, MB", idle / 1024.0, 60.0),
        ("an idle task, KB", each(opened, before, count), 4.0),
        (&*format!("a task in which {CALLS} different calls were made, KB"), each(active, opened, ACTIVE), 64.0),
        ("p50 at one connection, × one task", p50, 1.1),
        ("p50 at 64 connections, × one task", busy, 1.1),
        ("CPU a call at 64 connections, × one task", cpu, 1.1),
    ] {
        let _ = writeln!(text, "| {what} | {figure:.2} | {most} |");
    }
    Ok(text)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

fn load(plan: &Plan, sidecar: &Sidecar, connections: usize) -> Result<Outcome> {
    let order = Order {
        port: sidecar.server.port,
        path: PERMITTED.to_owned(),
        task: Some(sidecar.task.clone()),
        status: 200,
        connections,
        warm_ms: plan.warm_ms,
        count_ms: plan.count_ms,
        pid: sidecar.server.pid(),
    };
    said(&["load", &serde_json::to_string(&order)?], Core::Other)
}

/// Kilobytes (of 1 024 bytes) that a process has in memory.
fn resident(pid: u32) -> Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find(|line| line.starts_with("VmRSS")).context("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).context("no figure")?.parse()?)
}

/// Opens so many tasks; gives their tokens.
fn open(port: u16, count: u32) -> Result<Vec<String>> {
    let each = |opener: u32| -> Result<Vec<String>> {
        let mut line = Line::new(port)?;
        let request = format!(
            "POST /-/tasks HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {FRAMEWORK}\r\n\
             content-length: {}\r\n\r\n{OPENING}",
            OPENING.len()
        );
        (opener..count).step_by(OPENERS as usize).map(|_| token_of(&line.ask(&request)?)).collect()
    };
    std::thread::scope(|scope| {
        let openers: Vec<_> = (0..OPENERS).map(|opener| scope.spawn(move || each(opener))).collect();
        let mut tokens = Vec::new();
        for opener in openers {
            tokens.extend(opener.join().ok().context("an opener failed")??);
        }
        Ok(tokens)
    })
}

/// Makes different calls in a task.
fn call(port: u16, token: &str) -> Result<()> {
    let mut line = Line::new(port)?;
    for number in 0..CALLS {
        let path = PERMITTED.replace("/7", &format!("/{number}"));
        let answer =
            line.ask(&format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nagent-task: {token}\r\n\r\n"))?;
        if answer.is_empty() {
            bail!("a call has no answer");
        }
    }
    Ok(())
}

/// One kept connection.
struct Line(BufReader<TcpStream>);

impl Line {
    fn new(port: u16) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    /// The body of the answer, which must be a yes.
    fn ask(&mut self, request: &str) -> Result<String> {
        self.0.get_mut().write_all(request.as_bytes())?;
        let (mut length, mut first) = (0, String::new());
        self.0.read_line(&mut first)?;
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? < 3 {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        if !first.starts_with("HTTP/1.1 20") {
            bail!("{first}{}", String::from_utf8_lossy(&body));
        }
        Ok(String::from_utf8(body)?)
    }
}
