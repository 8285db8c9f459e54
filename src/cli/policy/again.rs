//! `countersign policy replay`: does what judged a call then say the same today?

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;

use super::super::lineage::{document, plain};
use super::super::{Exit, Failure, Output};
use super::{Bench, Which};
use crate::app::{History, Recalled};
use crate::cli::progress::Progress;
use crate::model::{CallId, Told};
use crate::record::{Decided, Reader};

/// What came of judging again.
#[derive(Default, Serialize)]
pub struct Replayed {
    /// Calls whose verdict, rules and time to live came out as recorded.
    pub same: u64,
    /// Those whose did not.
    pub different: Vec<Different>,
    /// Those that cannot be judged again, by the reason why.
    pub left_out: BTreeMap<String, u64>,
}

/// A verdict that came out otherwise.
#[derive(Serialize)]
pub struct Different {
    /// The call.
    pub call: Option<CallId>,
    /// What was recorded.
    pub recorded: Told,
    /// What came out.
    pub again: Told,
}

/// Judges each of these calls by the policies that are recorded as having judged it.
fn replay(reader: &Reader, decided: &[Decided], progress: &Progress) -> Result<Replayed, Failure> {
    let mut history = History::of(reader)?;
    let mut replayed = Replayed::default();
    for it in progress.over(decided) {
        match again(&mut history, it) {
            Ok(again) if again.agrees(&it.told) => replayed.same += 1,
            Ok(again) => replayed.different.push(Different { call: it.call, recorded: it.told.clone(), again }),
            Err(why) => *replayed.left_out.entry(why).or_default() += it.count,
        }
    }
    Ok(replayed)
}

fn again(history: &mut History<'_>, decided: &Decided) -> Result<Told, String> {
    let basis = decided.basis.as_ref().map_err(|lost| lost.why().to_owned())?;
    let policies = history.policies(basis.policies)?;
    Ok(Recalled::of(decided, basis, policies)?.judge(policies, None).told())
}

pub(super) fn run(bench: &mut Bench<'_>, which: &Which) -> Result<Exit, Failure> {
    let progress = bench.progress();
    let reader = bench.reader()?.watched_by(progress.counter())?;
    let decided = which.decided(&reader)?;
    progress.step("judging again");
    let replayed = replay(&reader, &decided, &progress)?;
    drop(progress);
    match bench.output {
        Output::Text => tell(&replayed, bench.out)?,
        Output::Json => document(&replayed, bench.out)?,
        Output::Jsonl => replayed.different.iter().try_for_each(|it| document(it, bench.out))?,
    }
    Ok(if replayed.different.is_empty() { Exit::Done } else { Exit::No })
}

fn tell(replayed: &Replayed, out: &mut dyn Write) -> Result<(), Failure> {
    let different = replayed.different.len();
    writeln!(
        out,
        "{} calls judged again by what judged them then: {different} came out otherwise",
        replayed.same + different as u64
    )?;
    for it in &replayed.different {
        writeln!(out, "  recorded {}", said(&it.recorded))?;
        writeln!(out, "  again    {}", said(&it.again))?;
        if let Some(call) = it.call {
            writeln!(out, "           countersign policy explain {call}")?;
        }
    }
    left_out(&replayed.left_out, out)
}

/// What cannot be judged again, and why.
pub fn left_out(reasons: &BTreeMap<String, u64>, out: &mut dyn Write) -> Result<(), Failure> {
    for (why, count) in reasons {
        writeln!(out, "  left out: {count} {}", plain(why))?;
    }
    Ok(())
}

/// A verdict in a line.
pub fn said(told: &Told) -> String {
    let by = if told.rules.is_empty() { "no rule".to_owned() } else { told.rules.join(", ") };
    let ttl = told.ttl_ms.map(|ms| format!(", for {ms} ms")).unwrap_or_default();
    let code = told.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
    let would = told.would.as_ref();
    let would = would.map(|it| format!("; would {} by {}", it.decision.name(), it.rules.join(", ")));
    plain(&format!("{}{code} by {by}{ttl}{}", told.decision.name(), would.unwrap_or_default()))
}
