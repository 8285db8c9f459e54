//! CPU time of a process and of its threads, as the kernel counts it.

use std::collections::BTreeMap;
use std::fs;

/// Ticks a second in `/proc`; 100 on every Linux for which Rust is built (proc(5), `sysconf(_SC_CLK_TCK)`).
const TICKS: f64 = 100.0;

/// What a process had used at one moment.
#[derive(Clone, Debug, Default)]
pub struct Used {
    /// Seconds in user and kernel mode of all its threads, also of those that have ended.
    pub process: f64,
    /// The same for each thread name.
    pub threads: BTreeMap<String, f64>,
    /// Times its threads stopped to wait for something.
    pub waits: f64,
}

impl Used {
    /// Of a process that runs now. What cannot be read counts as nothing.
    pub fn of(pid: u32) -> Self {
        let process = stat(&format!("/proc/{pid}/stat")).map_or(0.0, |(_, seconds)| seconds);
        let mut used = Self { process, ..Self::default() };
        for entry in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let path = entry.path().display().to_string();
            if let Some((name, seconds)) = stat(&format!("{path}/stat")) {
                *used.threads.entry(name).or_default() += seconds;
            }
            used.waits += waits(&format!("{path}/status")).unwrap_or_default();
        }
        used
    }

    /// Since an earlier moment, microseconds a call.
    pub fn since(&self, before: &Self, calls: u32) -> Self {
        let each = 1e6 / f64::from(calls.max(1));
        let earlier = |name: &String| before.threads.get(name).copied().unwrap_or_default();
        let threads = self.threads.iter().map(|(name, now)| (name.clone(), (now - earlier(name)) * each));
        Self {
            process: (self.process - before.process) * each,
            threads: threads.collect(),
            waits: (self.waits - before.waits) * each / 1e6,
        }
    }
}

/// The name in parentheses, then utime and stime as the 12th and 13th field behind it (proc(5)).
fn stat(path: &str) -> Option<(String, f64)> {
    let text = fs::read_to_string(path).ok()?;
    let (head, fields) = text.rsplit_once(')')?;
    let name = head.split_once('(')?.1.to_owned();
    let mut fields = fields.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((name, (user + system) / TICKS))
}

fn waits(path: &str) -> Option<f64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with("voluntary_ctxt_switches"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
