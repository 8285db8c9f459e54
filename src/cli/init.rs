//! `countersign init`: a configuration to begin with, from three answers or as many flags. It overwrites nothing.

mod answers;
mod ask;
mod files;
mod text;

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use self::answers::{Answers, Proof};
use self::files::Laid;
use super::progress::Progress;
use super::{Exit, Failure, Output};
use crate::app;
use crate::config::Config;
use crate::understand::draft::{self, Calls, Draft};

/// Bytes a specification may have. GitHub's own has 13 MB, and 73 with every reference written out.
const LARGEST_SPEC: u64 = 128 << 20;

/// What to begin with. Whatever is left out is asked for, on a terminal.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct InitArguments {
    /// The folder to lay the files out in; it is made if need be.
    #[arg(default_value = ".", value_name = "DIR")]
    dir: PathBuf,
    /// What the agent is called.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// A catalog of this program: `anthropic`, `github`, `openai`, `slack`, or `rest` for any other tool.
    #[arg(long, value_name = "NAME")]
    catalog: Option<String>,
    /// Where the tool is; needed unless the catalog or the specification says so.
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// What the tool is called: the first part of the paths that the agent calls.
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
    /// An OpenAPI specification, in JSON or YAML, to draft the tool's catalog from.
    #[arg(long, value_name = "SPEC", conflicts_with = "catalog")]
    openapi: Option<PathBuf>,
    /// What proves the agent: `user` (any process of yours), `token`, `unit:NAME` or `exe:PATH`.
    #[arg(long, value_name = "PROOF")]
    proof: Option<Proof>,
    /// What the tool's credential is: `none`, `env:NAME`, `file:PATH`, or `jwt` for tokens of our own.
    #[arg(long, value_name = "CREDENTIAL")]
    credential: Option<answers::Credential>,
    /// Watch the agent only: what it does is recorded, nothing is refused by a rule.
    #[arg(long)]
    observe: bool,
    /// The port of the agents' door; the admin door gets the next one.
    #[arg(long, value_name = "PORT", default_value_t = 7080)]
    port: u16,
}

pub(super) fn run(arguments: &InitArguments, output: Output) -> Result<Exit, Failure> {
    let spec = arguments.openapi.as_deref().map(|path| drafted(path, output)).transpose()?;
    let config = arguments.dir.join("countersign.toml");
    let mut arguments = arguments.clone();
    let beside = spec.is_some() && config.exists();
    if !beside && std::io::stdin().is_terminal() {
        ask::missing(&mut arguments, &mut std::io::stdin().lock(), &mut std::io::stderr())?;
    }
    let answers = Answers::of(&arguments, spec.as_ref())?;
    let told =
        if beside { add_catalog(&arguments, &answers, spec)? } else { begin(&arguments, &answers, spec, output)? };
    let mut out = std::io::stdout().lock();
    match output {
        Output::Text => write!(out, "{}", told.text)?,
        Output::Json | Output::Jsonl => writeln!(out, "{}", told.json)?,
    }
    told.missing.map_or(Ok(Exit::Done), |missing| Err(Failure::Usage(missing)))
}

/// What is told when all is done.
struct Told {
    text: String,
    json: serde_json::Value,
    /// What is still to be done before it serves.
    missing: Option<String>,
}

/// Everything that a first call takes.
fn begin(arguments: &InitArguments, answers: &Answers, spec: Option<Draft>, output: Output) -> Result<Told, Failure> {
    let written = text::configuration(answers);
    let at = arguments.dir.join("countersign.toml");
    let config = Config::parse(&written, &arguments.dir)
        .map_err(|error| Failure::Usage(format!("{}: {error}", at.display())))?;
    let mut laid = Laid::within(&arguments.dir);
    laid.open("countersign.toml", written.clone());
    laid.policies();
    laid.secret("tokens/framework");
    laid.secret("tokens/owner");
    if answers.proof == Proof::Token {
        laid.secret(&format!("tokens/{}", answers.agent));
    }
    laid.unless_there(".gitignore", "/tokens/\n/keys/\n/lineage.db*\n");
    if let Some(draft) = &spec {
        laid.open(&answers.tool.catalog, draft.to_string());
    }
    let files = laid.write()?;
    let progress = Progress::of("checking what was written", output);
    let missing = app::load(&config, &written, &app::Environment::default()).err();
    drop(progress);
    let door = format!("http://127.0.0.1:{}/{}", answers.port, answers.tool.name);
    let command = command(&at);
    let serve = format!("{command} serve");
    let first = spec.as_ref().map_or_else(|| Some(answers.tool.first.clone()), first_call);
    let next =
        text::Next { folder: &arguments.dir, files: &files, command: &command, door: &door, first: first.as_deref() };
    let text = text::farewell(answers, &next);
    let left_out = spec.map_or(0, |draft| draft.left_out.len());
    Ok(Told {
        json: json!({ "written": files, "serve": serve, "door": door, "first": first.map(|first| door + &first), "reviewer_token": arguments.dir.join("tokens/owner"), "left_out": left_out }),
        text: text + &left_out_line(left_out),
        missing: missing.map(|error| format!("all is written, but before it serves this is to be mended: {error}")),
    })
}

/// A catalog beside a configuration that is there already.
fn add_catalog(arguments: &InitArguments, answers: &Answers, spec: Option<Draft>) -> Result<Told, Failure> {
    let draft = spec.unwrap_or_default();
    let mut laid = Laid::within(&arguments.dir);
    laid.open(&answers.tool.catalog, draft.to_string());
    let files = laid.write()?;
    let table = text::tool(&answers.tool) + &text::issuer(answers);
    let config = arguments.dir.join("countersign.toml");
    let text = format!(
        "wrote {}: {} actions, to be reviewed\n{} is there already and stays as it is; add to it, and name the tool among an agent's `tools`:\n\n{table}",
        files.join(", "),
        draft.actions.len(),
        config.display(),
    );
    let json = json!({ "written": files, "add": table, "left_out": draft.left_out.len() });
    Ok(Told { text: text + &left_out_line(draft.left_out.len()), json, missing: None })
}

fn left_out_line(count: usize) -> String {
    if count == 0 {
        String::new()
    } else {
        format!("{count} operations are left out; the catalog's first lines say why\n")
    }
}

/// Reads the configuration of a command that makes no sense without one.
pub(super) fn begun(path: &Path) -> Result<(Config, String), Failure> {
    super::read(path).map_err(|failure| {
        if path.symlink_metadata().is_ok() {
            return failure;
        }
        Failure::Usage(format!("{failure}; begin with `countersign init`, or name another with `--config FILE`"))
    })
}

/// The program, told where its configuration is.
fn command(config: &Path) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-".contains(letter);
    let shown = config.display().to_string();
    if shown == "./countersign.toml" || shown == "countersign.toml" {
        "countersign".to_owned()
    } else if shown.chars().all(plain) {
        format!("countersign --config {shown}")
    } else {
        format!("countersign --config '{}'", shown.replace('\'', "'\\''"))
    }
}

/// A call that looks, and needs no value to be made.
fn first_call(draft: &Draft) -> Option<String> {
    draft.actions.values().filter(|action| action.effect.is_read()).find_map(|action| match &action.calls {
        Calls::Http { method, path } if method == "GET" && !path.contains('{') => Some(path.clone()),
        Calls::Http { .. } | Calls::Mcp(_) => None,
    })
}

fn drafted(path: &Path, output: Output) -> Result<Draft, Failure> {
    let at = |why: &dyn std::fmt::Display| Failure::Usage(format!("{}: {why}", path.display()));
    let progress = Progress::of("reading the specification", output);
    let file = std::fs::File::open(path).map_err(|error| at(&error))?;
    let mut text = String::new();
    let length = file.take(LARGEST_SPEC + 1).read_to_string(&mut text).map_err(|error| at(&error))?;
    if length as u64 > LARGEST_SPEC {
        return Err(at(&"this is larger than any specification we know of (128 MiB)"));
    }
    progress.step("drafting the catalog");
    let draft = draft::from_openapi(&text).map_err(|error| at(&error))?;
    if draft.actions.is_empty() {
        return Err(at(&"there is no operation in this specification"));
    }
    Ok(draft)
}
