//! Answers that stream: how fast a long one passes, how much memory it takes, and how soon an event arrives.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream as Peer;

use super::child::{Core, Server, announce, role};
use super::load::{head_end, place};
use super::plan::{Plan, USUAL};
use super::sidecar::Sidecar;

/// What is asked for to get the long answer, and to get events. The tool's door has `/tracker` before them.
const LONG: &str = "/repos/octo/hello/issues/get/1";
const EVENTS: &str = "/repos/octo/hello/issues/get/2";

/// Events of one answer, and how long the tool waits between them.
const COUNT: usize = 200;
const PAUSE: Duration = Duration::from_millis(2);

/// What came of one way to the tool.
#[derive(Debug)]
pub struct Streamed {
    /// The way.
    pub name: &'static str,
    /// MiB of the long answer in a second, one for each round.
    pub rates: Vec<f64>,
    /// KiB of memory that it held before the first long answer, and the most it ever held.
    pub memory: (u64, u64),
    /// µs from the tool's sending of an event to its arrival, sorted.
    pub delays: Vec<f64>,
}

/// Sends the long answer and the events over every way in turn.
pub fn run(plan: &Plan, folder: &Path, tell: &mut dyn FnMut(&str)) -> Result<Vec<Streamed>> {
    let bytes = plan.long.to_string();
    let tool = Server::start(role(Core::Other, &["flood", &bytes])?)?;
    let at = format!("127.0.0.1:{}", tool.port);
    let bare = Server::start(role(Core::Measured, &["bare", &at])?)?;
    let hashing = Server::start(role(Core::Measured, &["hashing", &at])?)?;
    let sidecar = Sidecar::start(&plan.program, &folder.join("stream"), tool.port, &USUAL)?;
    let ways = [
        ("direct", &tool, "", None),
        ("bare", &bare, "", None),
        ("bare and SHA-256", &hashing, "", None),
        ("full, jwt", &sidecar.server, "/tracker", Some(sidecar.task.as_str())),
    ];
    let mut streamed = Vec::new();
    for (name, server, before, task) in ways {
        let held = memory(server.pid(), "VmRSS:")?;
        let (long, events) = (format!("{before}{LONG}"), format!("{before}{EVENTS}"));
        let delays = events_over(server.port, &events, task).with_context(|| format!("{name}, events"))?;
        streamed.push((Streamed { name, rates: Vec::new(), memory: (held, 0), delays }, server, long, task));
    }
    for round in 1..=plan.rounds {
        tell(&format!("long answers, round {round} of {}", plan.rounds));
        for (streamed, server, long, task) in &mut streamed {
            streamed.rates.push(long_over(server.port, long, *task).with_context(|| streamed.name)?);
            streamed.memory.1 = memory(server.pid(), "VmHWM:")?;
        }
    }
    Ok(streamed.into_iter().map(|(streamed, ..)| streamed).collect())
}

/// The tables.
pub fn text(streamed: &[Streamed], bytes: u64) -> String {
    use std::fmt::Write as _;
    let mut text = format!(
        "| a streamed answer of {} MiB | MiB/s | × bare and SHA-256 | memory before, KiB | most | event p50 µs | p99 |\n\
         |---|---|---|---|---|---|---|\n",
        bytes >> 20
    );
    let median = |rates: &[f64]| {
        let mut sorted = rates.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted.get(place(sorted.len(), 0.5)).copied().unwrap_or_default()
    };
    let base = streamed.iter().find(|way| way.name == "bare and SHA-256");
    for way in streamed {
        let ratios: Vec<f64> = base
            .map(|base| way.rates.iter().zip(&base.rates).map(|(own, base)| own / base).collect())
            .unwrap_or_default();
        let at = |share| way.delays.get(place(way.delays.len(), share)).copied().unwrap_or_default();
        let (before, most) = way.memory;
        let _ = writeln!(
            text,
            "| {} | {:.0} | {:.2} | {before} | {most} | {:.0} | {:.0} |",
            way.name,
            median(&way.rates),
            median(&ratios),
            at(0.5),
            at(0.99)
        );
    }
    text
}

fn memory(pid: u32, what: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)).context("no such line")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Asks, and reads up to the end of the head; gives what came behind it.
fn ask(port: u16, path: &str, task: Option<&str>) -> Result<(TcpStream, String, Vec<u8>)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    let task = task.map_or_else(String::new, |task| format!("agent-task: {task}\r\n"));
    write!(stream, "GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n{task}connection: close\r\n\r\n")?;
    let mut seen = vec![0; 1 << 16];
    let mut length = 0;
    loop {
        let read = stream.read(seen.get_mut(length..).unwrap_or_default())?;
        length += read;
        let so_far = seen.get(..length).unwrap_or_default();
        if let Some(end) = head_end(so_far) {
            let (head, rest) = so_far.split_at(end);
            return Ok((stream, String::from_utf8_lossy(head).into_owned(), rest.to_vec()));
        }
        if read == 0 {
            bail!("no head: {}", String::from_utf8_lossy(so_far));
        }
    }
}

/// MiB a second.
fn long_over(port: u16, path: &str, task: Option<&str>) -> Result<f64> {
    let begun = Instant::now();
    let (mut stream, head, rest) = ask(port, path, task)?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.with_context(|| head.clone())?.parse()?;
    let (mut seen, mut buffer) = (rest.len(), vec![0; 1 << 18]);
    while seen < length {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            bail!("{seen} of {length} bytes came");
        }
        seen += read;
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let mib = length as f64 / f64::from(1 << 20);
    Ok(mib / begun.elapsed().as_secs_f64())
}

/// µs from sending to arrival, sorted. An event says when it was sent.
fn events_over(port: u16, path: &str, task: Option<&str>) -> Result<Vec<f64>> {
    let (mut stream, head, mut seen) = ask(port, path, task)?;
    if !head.starts_with("HTTP/1.1 200 ") {
        bail!("{head}");
    }
    let (mut delays, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    while delays.len() < COUNT {
        let read = stream.read(&mut buffer)?;
        let now = now();
        seen.extend_from_slice(buffer.get(..read).unwrap_or_default());
        let text = String::from_utf8_lossy(&seen).into_owned();
        let Some(last) = text.rfind("\n\n") else {
            if read == 0 {
                bail!("{} events came", delays.len());
            }
            continue;
        };
        for event in text.lines().filter_map(|line| line.strip_prefix("data: ")) {
            let sent: u64 = event.trim().parse()?;
            #[expect(clippy::cast_precision_loss, reason = "a delay")]
            delays.push(now.saturating_sub(sent) as f64 / 1e3);
        }
        seen.drain(..last + 2);
    }
    delays.sort_by(f64::total_cmp);
    Ok(delays)
}

/// Nanoseconds since 1970: two processes of one machine agree on them.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The tool: a long answer, or events.
pub async fn flood(bytes: u64) -> Result<()> {
    let listener = announce().await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::task::spawn_local(answer(stream, bytes));
    }
}

async fn answer(mut stream: Peer, bytes: u64) -> std::io::Result<()> {
    let mut seen = Vec::with_capacity(4_096);
    while head_end(&seen).is_none() {
        if stream.read_buf(&mut seen).await? == 0 {
            return Ok(());
        }
    }
    if String::from_utf8_lossy(&seen).contains(EVENTS) {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n").await?;
        for _ in 0..COUNT {
            tokio::time::sleep(PAUSE).await;
            stream.write_all(format!("data: {}\n\n", now()).as_bytes()).await?;
        }
        return Ok(());
    }
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let piece = b"0123456789abcdef".repeat(1 << 12);
    let mut left = usize::try_from(bytes).unwrap_or(usize::MAX);
    while left > 0 {
        let length = left.min(piece.len());
        stream.write_all(piece.get(..length).unwrap_or_default()).await?;
        left -= length;
    }
    Ok(())
}
