//! The load: so many kept connections, on each one call after another, every latency kept.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::cpu::Used;

/// What is asked of the load.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Order {
    /// Where to.
    pub port: u16,
    /// The path of each call.
    pub path: String,
    /// The task's token, if there is one.
    pub task: Option<String>,
    /// The status each answer must have.
    pub status: u16,
    /// Connections.
    pub connections: usize,
    /// Before anything is counted, in milliseconds.
    pub warm_ms: u64,
    /// While it is counted, in milliseconds.
    pub count_ms: u64,
    /// The process whose CPU time is counted.
    pub pid: u32,
}

/// What came of it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Outcome {
    /// Calls in a second.
    pub rate: f64,
    /// Half of the calls were answered in so many µs.
    pub p50: f64,
    /// 99 of 100 were.
    pub p99: f64,
    /// CPU of the process, µs a call.
    pub cpu: f64,
    /// The same by the name of the thread.
    pub threads: std::collections::BTreeMap<String, f64>,
    /// Times its threads waited for something, a call.
    pub waits: f64,
}

/// Carries out an order.
pub async fn run(order: Order) -> Result<Outcome> {
    let now = Instant::now();
    let start = now + Duration::from_millis(order.warm_ms);
    let stop = start + Duration::from_millis(order.count_ms);
    let calls = Rc::new(Cell::new(0_u32));
    let latencies = Rc::new(RefCell::new(Vec::<u32>::with_capacity(1 << 20)));
    let request: Rc<[u8]> = request(&order).into();
    let mut connections = JoinSet::new();
    for _ in 0..order.connections {
        let stream = TcpStream::connect(("127.0.0.1", order.port)).await?;
        stream.set_nodelay(true)?;
        let mut connection = Connection { stream, seen: Vec::with_capacity(8_192), status: order.status };
        let (request, calls, latencies) = (Rc::clone(&request), Rc::clone(&calls), Rc::clone(&latencies));
        connections.spawn_local(async move {
            loop {
                let begun = Instant::now();
                if begun >= stop {
                    return anyhow::Ok(());
                }
                connection.call(&request).await?;
                calls.set(calls.get() + 1);
                if begun >= start {
                    latencies.borrow_mut().push(u32::try_from(begun.elapsed().as_nanos()).unwrap_or(u32::MAX));
                }
            }
        });
    }
    let counted = async {
        sleep_until(start).await;
        let (began, before, first) = (Instant::now(), Used::of(order.pid), calls.get());
        sleep_until(stop).await;
        let made = calls.get() - first;
        (made, Used::of(order.pid).since(&before, made), began.elapsed())
    };
    let (made, used, took) = counted.await;
    while let Some(ended) = connections.join_next().await {
        ended.context("a connection's task")??;
    }
    let mut latencies = latencies.take();
    latencies.sort_unstable();
    let at = |share: f64| f64::from(latencies.get(place(latencies.len(), share)).copied().unwrap_or_default()) / 1e3;
    Ok(Outcome {
        rate: f64::from(made) / took.as_secs_f64(),
        p50: at(0.50),
        p99: at(0.99),
        cpu: used.process,
        threads: used.threads,
        waits: used.waits,
    })
}

/// Where in a sorted list of so many the given share of them ends.
pub fn place(count: usize, share: f64) -> usize {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a list"
    )]
    let place = (count as f64 * share) as usize;
    place.min(count.saturating_sub(1))
}

/// Just behind the empty line that ends a head, if it is there.
pub fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

fn request(order: &Order) -> Vec<u8> {
    let task = order.task.as_ref().map_or_else(String::new, |task| format!("agent-task: {task}\r\n"));
    format!("GET {} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\naccept: application/json\r\n{task}\r\n", order.path, order.port)
        .into_bytes()
}

struct Connection {
    stream: TcpStream,
    seen: Vec<u8>,
    status: u16,
}

impl Connection {
    /// One call, from the first byte sent to the last received.
    async fn call(&mut self, request: &[u8]) -> Result<()> {
        self.stream.write_all(request).await?;
        self.seen.clear();
        let mut whole = None;
        loop {
            if whole.is_none() {
                whole = self.answer_end()?;
            }
            match whole {
                Some(whole) if self.seen.len() == whole => return Ok(()),
                Some(whole) if self.seen.len() > whole => bail!("more came than one answer"),
                Some(_) | None => {}
            }
            if self.stream.read_buf(&mut self.seen).await? == 0 {
                bail!("the connection was closed");
            }
        }
    }

    /// Where the answer ends, once its head is there.
    fn answer_end(&self) -> Result<Option<usize>> {
        let Some(head_end) = head_end(&self.seen) else { return Ok(None) };
        let head = self.seen.get(..head_end).map(String::from_utf8_lossy).unwrap_or_default();
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse::<u16>().ok());
        if status != Some(self.status) {
            bail!("the answer is not {}: {}", self.status, String::from_utf8_lossy(&self.seen));
        }
        let length = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        Ok(Some(head_end + length.context("an answer without `Content-Length`")?))
    }
}
