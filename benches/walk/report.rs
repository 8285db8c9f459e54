//! What was measured, as tables and against the goals.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::load::Outcome;
use super::plan::{Measured, Plan, RULES, WALKS};

/// One figure of an outcome.
type Figure = fn(&Outcome) -> f64;

const CPU: Figure = |outcome| outcome.cpu;
const P50: Figure = |outcome| outcome.p50;
const P99: Figure = |outcome| outcome.p99;
const RATE: Figure = |outcome| outcome.rate;
const WAITS: Figure = |outcome| outcome.waits;

/// A run's figures.
pub struct Report<'a> {
    /// What was measured.
    pub measured: &'a Measured,
    /// How.
    pub plan: &'a Plan,
    /// Whether processes were kept on cores of their own.
    pub pinned: bool,
}

impl Report<'_> {
    /// Everything, in Markdown.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let pinned = if self.pinned { "pinned" } else { "NOT pinned" };
        let _ = writeln!(text, "{} rounds of {} ms; {pinned}; {}", self.plan.rounds, self.plan.count_ms, machine());
        let _ = writeln!(text, "load before each round: {}", self.measured.loads.join(" | "));
        let _ = writeln!(text, "one durable commit of the store alone: p50 {:.0} µs\n", self.commit());
        for connections in &self.plan.connections {
            self.walks(*connections, &mut text);
        }
        self.threads(&mut text);
        self.rules(&mut text);
        self.denied(&mut text);
        self.goals(&mut text);
        text
    }

    /// Everything, with every round's figures.
    pub fn json(&self) -> Value {
        json!({
            "machine": machine(),
            "pinned": self.pinned,
            "rounds": self.plan.rounds,
            "count_ms": self.plan.count_ms,
            "measured": self.measured,
            "goals": self.figures().into_iter().map(|(name, figure, goal)| json!({ "name": name, "figure": figure, "goal": goal })).collect::<Vec<_>>(),
        })
    }

    fn walks(&self, connections: usize, text: &mut String) {
        let _ = writeln!(
            text,
            "| {connections} connections | calls/s | p50 µs | p99 µs | CPU µs/call | × bare hyper | waits/call |"
        );
        text.push_str("|---|---|---|---|---|---|---|\n");
        for name in ["direct", "bare"].into_iter().chain(WALKS.map(|(name, _)| name)) {
            self.line(name, ("bare", connections), text);
        }
        text.push('\n');
    }

    /// One line of a table, unless it was not measured. The CPU of the upstream itself is not what `direct` costs.
    fn line(&self, name: &str, (to, connections): (&str, usize), text: &mut String) {
        let outcomes = self.measured.of(name, connections);
        if outcomes.is_empty() {
            return;
        }
        let figure = |figure: Figure| median(outcomes.iter().map(figure).collect());
        let (rate, p50, p99) = (figure(RATE), figure(P50), figure(P99));
        let _ = if name == "direct" {
            writeln!(text, "| {name} | {rate:.0} | {p50:.0} | {p99:.0} | – | – | – |")
        } else {
            let ratio = self.ratio((name, connections), (to, connections), CPU);
            writeln!(
                text,
                "| {name} | {rate:.0} | {p50:.0} | {p99:.0} | {:.1} | {ratio:.2} | {:.2} |",
                figure(CPU),
                figure(WAITS)
            )
        };
    }

    fn threads(&self, text: &mut String) {
        let most = self.most();
        let _ =
            writeln!(text, "| CPU µs/call by thread, {most} connections | calls | lineage writer | everything else |");
        text.push_str("|---|---|---|---|\n");
        for (name, _) in WALKS {
            let of = |thread: &str| {
                median(
                    self.measured
                        .of(name, most)
                        .iter()
                        .map(|outcome| outcome.threads.get(thread).copied().unwrap_or_default())
                        .collect(),
                )
            };
            let all = median(self.measured.of(name, most).iter().map(CPU).collect());
            let (calls, writer) = (of("calls-0"), of("lineage-writer"));
            let _ = writeln!(text, "| {name} | {calls:.1} | {writer:.1} | {:.1} |", all - calls - writer);
        }
        text.push('\n');
    }

    fn rules(&self, text: &mut String) {
        let most = self.most();
        let _ = writeln!(
            text,
            "| rules, {most} connections | calls/s | p50 µs | p99 µs | CPU µs/call | × 20 rules | waits/call |"
        );
        text.push_str("|---|---|---|---|---|---|---|\n");
        self.line(WALKS.map(|(name, _)| name).first().copied().unwrap_or_default(), ("full, jwt", most), text);
        for (name, _) in RULES {
            let base = if name.ends_with("counting") { "20, counting" } else { "full, jwt" };
            self.line(name, (base, most), text);
        }
        text.push('\n');
    }

    fn denied(&self, text: &mut String) {
        let most = self.most();
        let _ = writeln!(
            text,
            "| refusals, {most} connections | calls/s | p50 µs | p99 µs | CPU µs/call | × bare refusal | waits/call |"
        );
        text.push_str("|---|---|---|---|---|---|---|\n");
        for name in ["bare refusal", "denied", "denied, logged"] {
            self.line(name, ("bare refusal", most), text);
        }
        text.push('\n');
    }

    fn goals(&self, text: &mut String) {
        text.push_str("| goal | measured | at most |\n|---|---|---|\n");
        for (name, figure, goal) in self.figures() {
            let verdict = if figure.is_nan() {
                "not measured"
            } else if figure <= goal {
                "held"
            } else {
                "missed"
            };
            let _ = writeln!(text, "| {name} | {figure:.2} | {goal} ({verdict}) |");
        }
    }

    /// The goals of this run: what, measured, at most.
    fn figures(&self) -> Vec<(&'static str, f64, f64)> {
        let most = self.most();
        let full = self.measured.of("full, jwt", most);
        let alone = |name: &str| self.measured.of(name, 1).iter();
        let with_commit = alone("bare")
            .zip(self.commits())
            .zip(alone("full, jwt"))
            .filter_map(|((bare, commit), full)| Some(full.p50 / (bare.p50 + commit?)));
        let rules = |name: &str, base: &str| self.ratio((name, most), (base, most), CPU);
        vec![
            ("PERF1 CPU a call, full, × bare", self.ratio(("full, jwt", most), ("bare", most), CPU), 3.5),
            ("PERF2 p50 at 1, full, × (bare + one commit)", median(with_commit.collect()), 1.25),
            ("PERF2 p50 at 1, normal, × bare", self.ratio(("normal, jwt", 1), ("bare", 1), P50), 1.3),
            ("PERF2 p99 / p50, full", median(full.iter().map(|outcome| outcome.p99 / outcome.p50).collect()), 2.5),
            ("PERF4 200 scoped rules, × 20", rules("200 scoped", "full, jwt"), 1.15),
            ("PERF4 2 000 scoped rules, × 20", rules("2000 scoped", "full, jwt"), 1.3),
            ("PERF4 the same with a fact that changes, 200", rules("200 scoped, counting", "20, counting"), 1.15),
            ("PERF4 the same with a fact that changes, 2 000", rules("2000 scoped, counting", "20, counting"), 1.3),
            ("PERF7 a refusal, × bare refusal", self.ratio(("denied", most), ("bare refusal", most), CPU), 2.5),
        ]
    }

    /// The median of the rounds' ratios: what moves both within a round cancels out.
    fn ratio(&self, of: (&str, usize), to: (&str, usize), figure: Figure) -> f64 {
        let pairs = self.measured.of(of.0, of.1).iter().zip(self.measured.of(to.0, to.1));
        median(pairs.map(|(one, other)| figure(one) / figure(other)).collect())
    }

    fn commit(&self) -> f64 {
        median(self.commits().flatten().collect())
    }

    /// What one commit took in each round; nothing where something else kept the core busy, since a commit that had to
    /// wait for the core would make a call look cheap beside it.
    fn commits(&self) -> impl Iterator<Item = Option<f64>> {
        let least = self.measured.commits.iter().copied().fold(f64::INFINITY, f64::min);
        self.measured.commits.iter().map(move |commit| Some(*commit).filter(|commit| *commit <= 3.0 * least))
    }

    fn most(&self) -> usize {
        self.plan.connections.last().copied().unwrap_or(1)
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    let upper = figures.get(middle).copied().unwrap_or(f64::NAN);
    let lower = figures.get(figures.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN);
    f64::midpoint(lower, upper)
}

fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model =
        info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, model)| model.trim()));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} × {}, Linux {}", model.unwrap_or("unknown processor"), read("/proc/sys/kernel/osrelease").trim())
}
