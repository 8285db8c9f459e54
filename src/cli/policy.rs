//! `countersign policy`: for whoever writes the rules.

mod again;
mod catalog;
mod change;
mod explain;
mod since;
mod suggest;
pub(super) mod test;

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use self::since::Since;
use super::progress::Progress;
use super::{Exit, Failure, Output};
use crate::app::Material;
use crate::config::Config;
use crate::model::CallId;
use crate::record::{Decided, Reader};

/// What to do with policies.
#[derive(Args, Debug)]
pub struct PolicyArguments {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Try the cases beside the policies: `NAME.cases.toml` beside `NAME.cedar`.
    Test {
        /// Fail as well if a rule lacks a case in which it holds, or one in which it does not.
        #[arg(long)]
        strict: bool,
    },
    /// Judge recorded calls again: by the very policies that judged them, or by a draft.
    Replay {
        #[command(flatten)]
        which: Which,
        /// Judge by the policies in this folder instead, and tell what would change.
        #[arg(long, value_name = "DIR")]
        policies: Option<PathBuf>,
        /// With `--policies`: as if every agent were in mode `enforce`.
        #[arg(long, requires = "policies")]
        enforce: bool,
    },
    /// What the policies on disk change: which rules, and which recorded calls.
    Diff {
        #[command(flatten)]
        which: Which,
        /// The policies in this folder rather than those the configuration names.
        #[arg(long, value_name = "DIR")]
        policies: Option<PathBuf>,
        /// As if every agent were in mode `enforce`.
        #[arg(long)]
        enforce: bool,
    },
    /// Why a call was let or not: every rule, every fact it read, and what would have to be otherwise.
    Explain {
        /// The call.
        #[arg(value_parser = super::door::id::<CallId>)]
        call: CallId,
        /// By the policies on disk, rather than by those that judged it.
        #[arg(long)]
        current: bool,
    },
    /// Draft the narrowest policies that let the recorded calls pass; or a catalog from calls that none describes.
    Suggest {
        #[command(flatten)]
        which: Which,
        /// A catalog for this tool instead, from calls that were recorded as `TOOL/unclassified`, or under the catalog `rest`.
        #[arg(long, value_name = "TOOL")]
        catalog: Option<String>,
        /// With `--catalog`: write it into this file, which must not be there yet.
        #[arg(long, value_name = "FILE", requires = "catalog")]
        write: Option<PathBuf>,
    },
}

/// Which recorded calls.
#[derive(Args, Debug)]
struct Which {
    /// Those since then: a length of time such as `7d`, or a time such as `2026-11-24T08:00:00Z`. By default, all.
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
    /// Those of this agent.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
}

/// What a command on policies works with.
struct Bench<'a> {
    config: Config,
    text: String,
    output: Output,
    out: &'a mut dyn Write,
}

pub(super) fn run(
    arguments: &PolicyArguments,
    path: &Path,
    output: Output,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let (config, text) = super::init::begun(path)?;
    let mut bench = Bench { config, text, output, out };
    match &arguments.command {
        PolicyCommand::Test { strict } => test::run(&mut bench, *strict),
        PolicyCommand::Replay { which, policies: None, enforce: _ } => again::run(&mut bench, which),
        PolicyCommand::Replay { which, policies: Some(folder), enforce } => {
            bench.config.policies.clone_from(folder);
            change::run(&mut bench, which, *enforce, false)
        }
        PolicyCommand::Diff { which, policies, enforce } => {
            if let Some(folder) = policies {
                bench.config.policies.clone_from(folder);
            }
            change::run(&mut bench, which, *enforce, true)
        }
        PolicyCommand::Explain { call, current } => explain::run(&mut bench, *call, *current),
        PolicyCommand::Suggest { which, catalog: None, write: _ } => suggest::run(&mut bench, which),
        PolicyCommand::Suggest { which, catalog: Some(tool), write } => {
            catalog::run(&mut bench, which, &catalog::Asked { tool, write: write.as_ref() })
        }
    }
}

impl Bench<'_> {
    /// What lies on disk.
    fn material(&self) -> Result<Material, Failure> {
        Ok(Material::of_files(&self.config, &self.text)?)
    }

    /// Says how far all that was recorded is read.
    fn progress(&self) -> Progress {
        Progress::of("reading the lineage", self.output)
    }

    fn reader(&self) -> Result<Reader, Failure> {
        super::lineage::open(&self.config.lineage.path)
    }
}

impl Which {
    /// Their verdicts, in order.
    fn decided(&self, reader: &Reader) -> Result<Vec<Decided>, Failure> {
        let mut decided = reader.decided(self.since.unwrap_or_default().0)?;
        decided.retain(|it| self.agent.is_none() || it.agent == self.agent);
        Ok(decided)
    }
}
