//! `countersign policy suggest --catalog`: what a tool's calls do, drafted from those that no catalog describes.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::lineage::{document, plain};
use super::super::{Exit, Failure, Output};
use super::{Bench, Which};
use crate::cli::progress::Progress;
use crate::config::CatalogFrom;
use crate::model::Timestamp;
use crate::record::{Filter, Reader, Story};
use crate::understand::draft::{Draft, Seen, from_observed};

/// Calls that are read at a time.
const PAGE: usize = 256;

/// The catalog that knows nothing of any tool in particular.
const GENERIC: &str = "rest";

/// For what, and where to.
pub(super) struct Asked<'a> {
    pub tool: &'a str,
    pub write: Option<&'a PathBuf>,
}

/// What was recorded of a tool's calls.
#[derive(Default)]
struct Recorded {
    /// Those that the tool answered, by method and target.
    seen: BTreeMap<(String, String), u64>,
    calls: u64,
    erased: u64,
    unanswered: u64,
}

pub(super) fn run(bench: &mut Bench<'_>, which: &Which, asked: &Asked<'_>) -> Result<Exit, Failure> {
    let action = unknown_to_its_catalog(bench, asked.tool)?;
    let progress = Progress::of("reading the lineage", bench.output);
    let recorded = Recorded::read(&bench.reader()?, which, action, &progress)?;
    drop(progress);
    let Recorded { seen, calls, erased, unanswered } = recorded;
    let seen = seen.into_iter().map(|((method, target), count)| Seen { method, target, count });
    let mut draft = from_observed(seen);
    for (count, why) in [
        (unanswered, "calls that the tool did not answer, or answered with 404 or 405"),
        (erased, "calls whose private fields were erased"),
    ] {
        if count > 0 {
            draft.left_out.push(format!("{why}: {count}"));
        }
    }
    if draft.actions.is_empty() {
        let tool = asked.tool;
        let why = if calls == 0 {
            format!("no call of tool `{tool}` is recorded that its catalog does not describe; see `mode = \"observe\"`")
        } else {
            format!("of the calls of tool `{tool}`, none can be drafted from: {}", plain(&draft.left_out.join("; ")))
        };
        return Err(Failure::Usage(why));
    }
    match asked.write {
        Some(file) => written(bench, asked.tool, &draft, file)?,
        None if bench.output == Output::Text => write!(bench.out, "{draft}")?,
        None => document(&told(&draft, ("draft", draft.to_string().into()), calls), bench.out)?,
    }
    Ok(Exit::Done)
}

/// The action that calls are recorded as which the tool's own catalog does not describe: all of them, where it has none.
fn unknown_to_its_catalog(bench: &Bench<'_>, name: &str) -> Result<String, Failure> {
    let tools = &bench.config.tools;
    let tool = tools.iter().find(|tool| *tool.tool.name == *name);
    let tool = tool.ok_or_else(|| {
        let all: Vec<String> = tools.iter().map(|tool| format!("`{}`", tool.tool.name)).collect();
        Failure::Usage(format!("`--catalog`: there is no tool `{name}`; there are {}", all.join(", ")))
    })?;
    let generic = matches!(&tool.catalog, CatalogFrom::Embedded(catalog) if **catalog == *GENERIC);
    Ok(if generic { format!("{name}/") } else { format!("{name}/unclassified") })
}

fn told(draft: &Draft, (key, value): (&str, Value), calls: u64) -> Value {
    json!({ key: value, "actions": draft.actions.len(), "calls": calls, "left_out": draft.left_out })
}

/// Writes the draft into a file that is not there yet.
fn written(bench: &mut Bench<'_>, tool: &str, draft: &Draft, file: &Path) -> Result<(), Failure> {
    let made = OpenOptions::new().write(true).create_new(true).open(file);
    made.and_then(|mut made| made.write_all(draft.to_string().as_bytes())).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Failure::Usage(format!("`{}` is there already; nothing was written", file.display()))
        }
        _ => Failure::Usage(format!("`{}`: {error}", file.display())),
    })?;
    let (file, actions) = (plain(&file.display().to_string()), draft.actions.len());
    if bench.output != Output::Text {
        return document(&json!({ "written": file, "actions": actions, "left_out": draft.left_out }), bench.out);
    }
    writeln!(bench.out, "wrote {file}: {actions} actions, to be reviewed")?;
    writeln!(
        bench.out,
        "it describes what `[tools.{tool}]` has no catalog for: name it there as `catalog`, or add it to the file"
    )?;
    writeln!(bench.out, "that is named there; then `countersign check`")?;
    if !draft.left_out.is_empty() {
        writeln!(bench.out, "its first lines say what is left out, and why")?;
    }
    Ok(())
}

impl Recorded {
    fn read(reader: &Reader, which: &Which, action: String, progress: &Progress) -> Result<Self, Failure> {
        let (size, count, since) = (reader.size()?, progress.counter(), which.since.unwrap_or_default().0);
        let (agent, decision) = (which.agent.clone(), Some("allow".to_owned()));
        let mut filter = Filter { agent, action: Some(action), decision, limit: PAGE, ..Filter::default() };
        let mut recorded = Self::default();
        loop {
            let stories = reader.calls(&filter)?;
            for story in &stories {
                let Some(permitted) = story.last("permitted") else { continue };
                let at = permitted.entry.get("at").and_then(|at| serde_json::from_value::<Timestamp>(at.clone()).ok());
                if at.is_some_and(|at| at < since) {
                    return Ok(recorded);
                }
                recorded.take_in(story);
                filter.before = Some(permitted.seq);
            }
            count(size.saturating_sub(filter.before.unwrap_or(0)), size);
            if stories.len() < PAGE {
                return Ok(recorded);
            }
        }
    }

    fn take_in(&mut self, story: &Story) {
        let Some(permitted) = story.last("permitted") else { return };
        self.calls += 1;
        let status = story.last("ended").and_then(|ended| ended.entry.pointer("/answer/status")?.as_u64());
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let target = text(permitted.private.as_ref().and_then(|private| private.get("target")));
        match (status, target) {
            (None | Some(404 | 405), _) => self.unanswered += 1,
            (Some(_), None) => self.erased += 1,
            (Some(_), Some(target)) => {
                let method = text(permitted.entry.get("method")).unwrap_or_default();
                *self.seen.entry((method, target)).or_default() += 1;
            }
        }
    }
}
