//! Files of the checkout whose tests run.

use std::env;
use std::path::PathBuf;

/// A file or folder, by its path from the root.
///
/// The runner says where that is when the tests run, and not the compiler: a target folder that several checkouts share
/// may hold a test that another of them, gone by now, has built.
pub fn checkout(path: &str) -> PathBuf {
    let root = env::var_os("CARGO_MANIFEST_DIR").expect("cargo and nextest say where the checkout is");
    PathBuf::from(root).join(path)
}
