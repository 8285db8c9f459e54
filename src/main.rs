//! Parses the arguments, runs one command, ends with its exit code.

use std::process::ExitCode;

/// A call is many small things that are made and dropped on one thread, and a large one: its task. With the C library's
/// allocator a tenth more of its time goes there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    countersign::cli::main()
}
