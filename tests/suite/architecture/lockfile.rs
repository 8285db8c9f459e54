//! What the lockfile may not hold: other people's crypto libraries, known-bad versions, sources that can change.

use super::walls::{Breach, Wall};

/// The one registry everything comes from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Crates that never enter, and why.
const BANNED: &[(&str, &str)] = &[
    ("openssl", "TLS is rustls with ring"),
    ("openssl-sys", "TLS is rustls with ring"),
    ("native-tls", "TLS is rustls with ring"),
    ("aws-lc-rs", "the crypto provider is ring"),
    ("aws-lc-sys", "the crypto provider is ring"),
    ("rsa", "RUSTSEC-2023-0071: its private key operations leak by timing"),
];

/// Crates that enter from this version on, and why.
const AT_LEAST: &[(&str, [u64; 3], &str)] = &[
    ("h2", [0, 4, 16], "RUSTSEC-2026-0258"),
    ("jsonwebtoken", [10, 3, 0], "CVE-2026-25537: a string `nbf` was not checked"),
];

/// Every breach in the text of a `Cargo.lock`.
pub(super) fn breaches(text: &str) -> Vec<Breach> {
    let lock: toml::Table = match text.parse() {
        Ok(lock) => lock,
        Err(error) => return vec![breach("the lockfile", &error.to_string())],
    };
    let packages = lock.get("package").and_then(toml::Value::as_array).map_or(&[][..], Vec::as_slice);
    if packages.is_empty() {
        return vec![breach("the lockfile", "it lists no packages")];
    }
    packages.iter().flat_map(of_package).collect()
}

fn of_package(package: &toml::Value) -> Vec<Breach> {
    let field = |name| package.get(name).and_then(toml::Value::as_str).unwrap_or_default();
    let (name, version, source) = (field("name"), field("version"), field("source"));
    let banned = BANNED.iter().filter(|(banned, _)| *banned == name).map(|(_, why)| *why);
    let old = AT_LEAST.iter().filter(|(wanted, least, _)| *wanted == name && numbers(version) < *least).map(|it| it.2);
    let foreign = (!source.is_empty() && source != REGISTRY).then_some("it does not come from crates.io");
    let pathed = (source.is_empty() && name != "countersign").then_some("it comes from a folder");
    banned.chain(old).chain(foreign).chain(pathed).map(|why| breach(&format!("{name} {version}"), why)).collect()
}

/// Major, minor and patch. A pre-release counts as the release it comes before.
fn numbers(version: &str) -> [u64; 3] {
    let mut parts = version.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

fn breach(what: &str, why: &str) -> Breach {
    Breach { wall: Wall::Lockfile, path: "Cargo.lock".to_owned(), line: 1, what: format!("{what}: {why}") }
}
