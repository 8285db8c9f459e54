//! The commands by other means: completions for shells, pages for `man`, the reference in the docs.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, Command, CommandFactory as _};
use clap_complete::Shell;

use super::{Arguments, Exit, Failure};

/// For which shell.
#[derive(Args, Debug)]
pub(super) struct CompletionsArguments {
    /// The shell.
    shell: Shell,
}

/// Where to.
#[derive(Args, Debug)]
pub(super) struct ManArguments {
    /// Write one page for each command into this folder, instead of printing the first.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn completions(arguments: &CompletionsArguments) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "countersign", &mut text);
    print(&text)
}

pub(super) fn man(arguments: &ManArguments) -> Result<Exit, Failure> {
    let Some(folder) = &arguments.dir else {
        let mut text = Vec::new();
        clap_mangen::Man::new(Arguments::command()).render(&mut text)?;
        return print(&text);
    };
    let failed = |error: std::io::Error| Failure::Usage(format!("`{}`: {error}", folder.display()));
    std::fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(Arguments::command(), folder).map_err(failed)?;
    Ok(Exit::Done)
}

fn print(text: &[u8]) -> Result<Exit, Failure> {
    std::io::stdout().lock().write_all(text)?;
    Ok(Exit::Done)
}

/// The page of commands, in Markdown: each with its arguments and options.
pub fn page() -> String {
    let mut root = Arguments::command();
    root.build();
    let mut text = String::from(
        "# Commands\n\n\
         Generated from the program's own help. Every command takes `--config FILE` (by default `countersign.toml`) and\n\
         `--output text|json|jsonl`. What prints a text for others to read prints it as it is, whatever `--output` says:\n\
         `check --schema`, `check --rules`, `completions`, `man`; so do `demo` and `serve`. `NO_COLOR` takes colours out of help and errors; results never have any. What takes\n\
         long says on a terminal how far it is, on stderr and for text only; nothing of that stays.\n\n\
         | code | what a command came to |\n|---|---|\n\
         | 0 | done |\n\
         | 1 | the answer is no: a check failed, the lineage does not verify, a case failed, something is bad |\n\
         | 2 | the arguments or the configuration make no sense |\n\
         | 3 | whoever asks may not do this |\n\
         | 4 | something that is needed is not there: a door, a disk, a lineage |\n\
         | 141 | whoever read the output left, as `head` does |\n",
    );
    for command in root.get_subcommands() {
        section(&mut text, command);
    }
    text
}

fn section(text: &mut String, command: &Command) {
    if command.get_name() == "help" || command.is_hide_set() {
        return;
    }
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let name = command.get_bin_name().unwrap_or(command.get_name());
    let _ = write!(text, "\n## `{name}`\n\n{about}.\n");
    let global = |id: &str| matches!(id, "config" | "output" | "help" | "version");
    let mut rows = String::new();
    for argument in
        command.get_arguments().filter(|argument| !argument.is_hide_set() && !global(argument.get_id().as_str()))
    {
        let help = argument.get_help().map(|help| help.to_string().replace('|', "\\|")).unwrap_or_default();
        let _ = writeln!(rows, "| `{}` | {help} |", argument.to_string().replace('|', "\\|"));
    }
    if !rows.is_empty() {
        let _ = write!(text, "\n| argument | |\n|---|---|\n{rows}");
    }
    command.get_subcommands().for_each(|inner| section(text, inner));
}
