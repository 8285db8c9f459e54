//! The commands, one file each.

mod agents;
mod approvals;
mod baseline;
mod check;
mod demo;
mod doctor;
mod door;
mod init;
mod known;
pub mod lineage;
pub mod policy;
mod progress;
pub mod reference;
mod serve;
mod task;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::app::{ConcealError, StartError};
use crate::config::Config;

/// A sidecar between an AI agent and its tools: every call is proven, judged, given one credential, and recorded.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, about, arg_required_else_help = true)]
struct Arguments {
    /// The configuration file.
    #[arg(long, global = true, default_value = "countersign.toml", value_name = "FILE")]
    config: PathBuf,
    /// How results are printed.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Open the doors and mediate calls.
    Serve(serve::ServeArguments),
    /// See a benign task, an injected one and a stolen token, on this machine alone.
    Demo(demo::DemoArguments),
    /// Begin: a configuration, policies, and a catalog drafted from a specification.
    Init(init::InitArguments),
    /// Check the configuration, its catalogs and policies.
    Check(check::CheckArguments),
    /// See what is as it should be here, what is not, and what to do about it.
    Doctor(doctor::DoctorArguments),
    /// Test policies, judge recorded calls again, ask why, and draft.
    Policy(policy::PolicyArguments),
    /// See what agents usually do, and put that in force.
    Baseline(baseline::BaselineArguments),
    /// See which tasks there are and what they may still do, and end them.
    Task(task::TaskArguments),
    /// See which agents there are, stop them, let them go on.
    Agents(agents::AgentsArguments),
    /// See which calls wait for somebody to agree, and answer.
    Approvals(approvals::ApprovalsArguments),
    /// See which credentials are lent, and end them.
    Credentials(agents::CredentialsArguments),
    /// Look at what was recorded.
    Lineage(lineage::LineageArguments),
    /// Print what a shell needs to complete these commands.
    Completions(reference::CompletionsArguments),
    /// Print the manual page, or write them all.
    Man(reference::ManArguments),
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// One JSON document.
    Json,
    /// One JSON document a line.
    Jsonl,
}

/// What a command came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// Done: 0.
    Done,
    /// The answer is no: 1.
    No,
}

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The arguments or the configuration make no sense: 2.
    #[error("{0}")]
    Usage(String),
    /// Whoever asks may not do this: 3.
    #[error("{0}")]
    Refused(String),
    /// Something that is needed is not there: 4.
    #[error("{0}")]
    Away(String),
    /// Whoever read the output has left, as `head` does. Nobody is told; 141, as for a program that the signal for it ends.
    #[error("nobody reads the output any more")]
    Unread,
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are not errors; everything else is wrong usage.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    match run(arguments) {
        Ok(Exit::Done) => ExitCode::SUCCESS,
        Ok(Exit::No) => ExitCode::from(1),
        Err(failure) => {
            let code = match failure {
                Failure::Usage(_) => 2,
                Failure::Refused(_) => 3,
                Failure::Away(_) => 4,
                Failure::Unread => return ExitCode::from(141),
            };
            let _ = writeln!(std::io::stderr(), "countersign: {failure}");
            ExitCode::from(code)
        }
    }
}

fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let Arguments { config, output, command } = arguments;
    match command {
        Command::Serve(serve) => serve::run(&serve, &config),
        Command::Demo(demo) => demo::run(&demo),
        Command::Init(init) => init::run(&init, output),
        Command::Check(check) => check::run(&check, &config, output),
        Command::Doctor(doctor) => doctor::run(&doctor, &config, output),
        Command::Completions(completions) => reference::completions(&completions),
        Command::Man(man) => reference::man(&man),
        Command::Policy(arguments) => policy::run(&arguments, &config, output, &mut std::io::stdout().lock()),
        Command::Baseline(baseline) => baseline::run(&baseline, &config, output),
        Command::Task(agents) => task::run(&agents, &config, output),
        Command::Agents(agents) => agents::run(&agents, &config, output),
        Command::Approvals(approvals) => approvals::run(&approvals, &config, output),
        Command::Credentials(credentials) => agents::credentials(&credentials, &config, output),
        Command::Lineage(lineage::LineageArguments { file: Some(copy), command }) => {
            // A copy may lie where there is no sidecar; where there is one, its key and checkpoints count.
            let own = read(&config).ok().map(|(config, _)| lineage::Lying::of(&config));
            let lying = lineage::Lying { path: copy, ..own.unwrap_or_default() };
            lineage::run(command, &lying, output, &mut std::io::stdout().lock())
        }
        Command::Lineage(lineage::LineageArguments { file: None, command }) => {
            let (config, _) = read(&config)?;
            lineage::run(command, &lineage::Lying::of(&config), output, &mut std::io::stdout().lock())
        }
    }
}

/// Reads a configuration, and keeps its text for the record.
fn read(path: &std::path::Path) -> Result<(Config, String), Failure> {
    let at = |why: &dyn std::fmt::Display| Failure::Usage(format!("{}: {why}", path.display()));
    let text = crate::app::read(path)?;
    let base = path.parent().unwrap_or(std::path::Path::new(""));
    let config = Config::parse(&text, base).map_err(|error| at(&error))?;
    Ok((config, text))
}

/// A runtime for the main thread, which carries everything but calls.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| Failure::Away(format!("no runtime could be started: {error}")))
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(_)
            | StartError::Catalog { .. }
            | StartError::NoCatalog { .. }
            | StartError::Policy(_)
            | StartError::Secret(_)
            | StartError::Unanswerable(_)
            | StartError::Conceal(ConcealError::NotHandedOver)
            | StartError::File { .. } => Self::Usage(error.to_string()),
            StartError::Conceal(ConcealError::Kernel { .. })
            | StartError::Key(_)
            | StartError::Store(_)
            | StartError::Record(_)
            | StartError::Door { .. }
            | StartError::Machine(_) => Self::Away(error.to_string()),
        }
    }
}
