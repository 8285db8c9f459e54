//! The walls of the house (DESIGN §4): who may import whom, who may read a clock, a secret, the environment.
//!
//! The checker is a function over `(path, text)`, so it is itself tested: on the tree as it is, which has no breach, and
//! on planted sources (`planted.rs`), each of which breaches one wall and is reported under its name.
//!
//! What it sees is syntax: `use` trees (nested, renamed, globs), full paths anywhere, attributes, and the tokens of
//! macros, all resolved to where they lead. What it cannot see is types: a value handed over is not an import.
//!
//! `#[cfg(test)]` modules may read clocks, environment and secrets and may be impure. They may not break layers or
//! rooms: a test that needs an upper layer belongs in `tests/`. Nothing else may be switched by `cfg(test)`.

mod attributes;
mod form;
mod lockfile;
mod names;
mod planted;
mod reading;
mod tokens;
mod walls;

use std::fs;
use std::path::Path;

use reading::Source;
use walls::{Breach, Wall, breaches};

use super::common::checkout::checkout;

/// From the top down: a layer may import any layer below it. Rooms stand side by side in one layer.
const LAYERS: &[&[&str]] =
    &[&["main"], &["cli"], &["app"], &["serve"], &["mediate"], ROOMS, &["telemetry"], &["model"]];

/// The rooms of the walk, and the rail under them.
const ROOMS: &[&str] = &["identify", "understand", "judge", "mint", "forward", "revoke", "record", "memory"];

/// What stands beside the layers: (it, who may import it, what it may import).
const BESIDE: &[(&str, &[&str], &[&str])] = &[("config", &["cli", "app"], &["model"])];

/// What may be named across a wall all the same: (importer, the room, items). Rules as the rooms
/// hold them, proofs that are handed on, and seams.
const HANDED_ON: &[(&str, &str, &[&str])] = &[
    ("config", "identify", &["PeerRule"]),
    ("config", "judge", &["IntentRule"]),
    ("config", "memory", &["ChainRule", "DeskRule", "LimitRule", "Per"]),
    ("config", "forward", &["forbidden", "forbidden_answer"]),
    ("judge", "memory", &["Reservation", "Slot"]),
    ("record", "judge", &["Permit", "No"]),
    ("record", "memory", &["Privilege", "Slot"]),
    ("mint", "judge", &["Permit"]),
    ("mint", "record", RECORD_WORDS),
    ("mint", "record", &["Sealer"]),
    ("mint", "revoke", &["Lease", "Reaper"]),
    ("forward", "revoke", &["Lease", "Leased", "Tunnel", "Answer", "Echo", "cut"]),
    ("revoke", "memory", &["Slot"]),
    ("revoke", "mint", &["Issuer", "Issuers", "IssuerError"]),
    ("revoke", "record", RECORD_WORDS),
    ("revoke", "record", &["Sealer"]),
    ("memory", "record", RECORD_WORDS),
];

/// The seam of the rail, and the words that records are written in.
const RECORD_WORDS: &[&str] = &[
    "Lineage",
    "Receipt",
    "Unavailable",
    "Recorded",
    "Open",
    "Record",
    "Event",
    "Loaded",
    "Permitted",
    "Refused",
    "Minted",
    "Ended",
    "Settled",
    "Opened",
    "Closed",
    "AnswerNote",
    "CredentialNote",
    "CredentialPlan",
    "HandleNote",
    "Limbo",
    "OpenCall",
    "Rail",
];

/// Traits with several real implementations. Such an implementation is named in its own room and in `app`.
const SEAMS: &[&str] = &["Attestor", "Issuer", "Upstream", "Lineage", "Desk"];

/// Same arguments, same answer: no async, clock, randomness, files, sockets, environment.
const PURE: &[&str] =
    &["understand", "judge", "record::tiles", "record::entry", "forward::headers", "forward::redact::spelling"];

/// What a pure module may not name, at or below these paths.
const IMPURE: &[&str] = &[
    "tokio",
    "hyper",
    "hyper_util",
    "reqwest",
    "tokio_rustls",
    "rusqlite",
    "axum",
    "rustix",
    "libc",
    "rand",
    "getrandom",
    "fastrand",
    "ring::rand",
    "uuid::Uuid::new_v4",
    "uuid::Uuid::now_v7",
    "uuid::Uuid::now_v6",
    "uuid::Uuid::now_v1",
    "chrono::Utc::now",
    "chrono::Local",
    "std::time::SystemTime",
    "std::time::Instant",
    "std::time::UNIX_EPOCH",
    "std::fs",
    "std::env",
    "std::net",
    "std::os",
    "std::process",
    "std::thread",
    "std::future",
    "std::task",
    "futures",
    "futures_util",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "jsonwebtoken::get_current_timestamp",
];

/// Exceptions to the above: an address is a value.
const PURE_AFTER_ALL: &[&str] = &[
    "std::net::IpAddr",
    "std::net::Ipv4Addr",
    "std::net::Ipv6Addr",
    "std::net::SocketAddr",
    "std::net::AddrParseError",
];

/// Readings of the wall clock, by the last two words of their paths.
const CLOCKS: &[&str] = &[
    "SystemTime::now",
    "Utc::now",
    "Local::now",
    "Uuid::now_v1",
    "Uuid::now_v6",
    "Uuid::now_v7",
    "Timestamp::now",
    "OffsetDateTime::now_utc",
    "jsonwebtoken::get_current_timestamp",
];

/// Who may read the wall clock. Everyone else is handed a `model::Clock`.
const MAY_READ_CLOCK: &[&str] = &["serve", "app", "cli"];

/// Who may read environment and arguments.
const MAY_READ_ENVIRONMENT: &[&str] = &["main", "cli", "app"];

/// Who may install a subscriber, and so who may name `tracing_subscriber`.
const MAY_SUBSCRIBE: &[&str] = &["telemetry"];

/// Who may call `Secret::expose`.
const MAY_EXPOSE: &[&str] = &[
    "mint",
    "forward",
    "identify",
    "serve::lend",
    "serve::tasks",
    "app::desk",
    "record::seal",
    "record::checkpoint",
    "record::connect",
    "memory::connect",
];

/// What `mediate` does not speak to itself.
const CLIENTS: &[&str] = &["hyper", "hyper_util", "reqwest", "tokio_rustls", "tokio::net"];

/// Tests that may carry `#[ignore = "reason"]`, each with the same reason. None.
const IGNORED: &[(&str, &str)] = &[];

/// Words that say nothing about the thing they name (DESIGN §6.3).
const EMPTY_WORDS: &[&str] =
    &["manager", "handler", "engine", "context", "util", "utils", "helper", "helpers", "common"];

/// Folders below `src`, at most: `src/record/sqlite/queue.rs` lies in two.
const FOLDERS: usize = 2;

/// Lines in a file, at most.
const FILE_LINES: usize = 400;

#[test]
fn the_house_keeps_its_walls() {
    let tree = tree();
    assert!(tree.iter().any(|source| source.path == "src/model.rs"), "the sources are not where they should be");
    let found: Vec<String> = breaches(&tree).iter().map(Breach::to_string).collect();
    assert!(found.is_empty(), "{} breaches:\n{}", found.len(), found.join("\n"));
}

#[test]
fn the_lockfile_keeps_its_wall() {
    let found = lockfile::breaches(&fs::read_to_string(checkout("Cargo.lock")).unwrap());
    assert!(found.is_empty(), "{}", found.iter().map(Breach::to_string).collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_breach_of_each_wall_is_found() {
    assert_eq!(breaches(&planted::house()), [], "the house the plants are put in has a breach itself");
    let mut missed = Vec::new();
    for plant in planted::PLANTS {
        let found = breaches(&planted::house_with(plant.path, plant.text));
        let right = found.iter().all(|breach| breach.wall == plant.wall && breach.path == plant.path);
        if found.is_empty() || !right {
            let told: Vec<String> = found.iter().map(Breach::to_string).collect();
            missed.push(format!("expected only `{}` in {}:\n{}found: {told:#?}\n", plant.wall, plant.path, plant.text));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn a_file_of_a_line_too_many_is_found() {
    let long = |lines: usize| format!("//! A.\n{}", "\n".repeat(lines - 1));
    assert_eq!(breaches(&planted::house_with("tests/a.rs", &long(FILE_LINES))), []);
    let found = breaches(&planted::house_with("tests/a.rs", &long(FILE_LINES + 1)));
    assert_eq!(found.iter().map(|breach| breach.wall).collect::<Vec<_>>(), [Wall::Files]);
}

#[test]
fn every_wall_has_a_planted_breach() {
    for wall in Wall::ALL {
        let planted = planted::PLANTS.iter().any(|plant| plant.wall == *wall)
            || planted::LOCKFILES.iter().any(|_| *wall == Wall::Lockfile);
        assert!(planted, "no plant breaches the wall `{wall}`");
    }
}

#[test]
fn what_only_looks_like_a_breach_is_let_be() {
    for (path, text) in planted::INNOCENT {
        assert_eq!(breaches(&planted::house_with(path, text)), [], "in {path}:\n{text}");
    }
}

#[test]
fn a_breach_in_the_lockfile_is_found() {
    assert_eq!(lockfile::breaches(planted::LOCKFILE), []);
    for plant in planted::LOCKFILES {
        let found = lockfile::breaches(&format!("{}{plant}", planted::LOCKFILE));
        assert_eq!(found.iter().map(|breach| breach.wall).collect::<Vec<_>>(), [Wall::Lockfile], "{plant}");
    }
}

/// Every Rust source of the package, in order of its path.
fn tree() -> Vec<Source> {
    let mut sources = Vec::new();
    for folder in ["benches", "examples", "fuzz/fuzz_targets", "fuzz/src", "src", "tests"] {
        gather(&checkout(folder), folder, &mut sources);
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

fn gather(folder: &Path, name: &str, into: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = format!("{name}/{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() {
            gather(&path, &name, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(Source { path: name, text: fs::read_to_string(&path).unwrap() });
        }
    }
}
