//! Parses the arguments, runs one command, ends with its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    countersign::cli::main()
}
