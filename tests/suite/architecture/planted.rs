//! A small house without a breach, and what is planted in it: breaches of each wall, and what only looks like one.

use super::reading::Source;
use super::walls::Wall;

/// A file that breaches one wall.
pub(super) struct Plant {
    pub(super) wall: Wall,
    pub(super) path: &'static str,
    pub(super) text: &'static str,
}

const fn plant(wall: Wall, path: &'static str, text: &'static str) -> Plant {
    Plant { wall, path, text }
}

/// The house the plants are put in.
pub(super) fn house() -> Vec<Source> {
    let files = [
        ("src/lib.rs", "//! The map.\npub mod model;\npub mod judge;\n#[cfg(test)]\nmod memory;\n"),
        ("src/main.rs", "//! Runs.\nfn main() { countersign::cli::run(std::env::args()) }\n"),
        ("src/cli.rs", "//! Commands.\nuse crate::{app, config::Config};\npub fn run() { app::open(Config); }\n"),
        ("src/app.rs", "//! Builds.\nuse crate::record::SqliteLineage;\npub fn open(_: crate::config::Config) {}\n"),
        ("src/config.rs", "//! As written.\nuse crate::model::Effect;\npub struct Config;\n"),
        ("src/serve.rs", "//! Doors.\nuse crate::mediate::walk;\nfn now() { std::time::SystemTime::now(); }\n"),
        ("src/mediate.rs", "//! The walk.\nuse crate::{judge, judge::Permit};\npub fn walk() { judge::judge() }\n"),
        (
            "src/judge.rs",
            "//! Judges.\npub mod policy;\nuse crate::memory::Slot;\npub struct Permit;\npub fn judge() {}\n",
        ),
        ("src/judge/policy.rs", "//! Policies.\npub struct Set;\n"),
        ("src/mint.rs", "//! Lends.\nuse crate::record::Open;\npub trait Issuer {}\n"),
        ("src/forward.rs", "//! Sends.\nuse crate::revoke::Lease;\n"),
        ("src/revoke.rs", "//! Ends.\npub struct Lease;\n"),
        (
            "src/record.rs",
            "//! The rail.\nmod sqlite;\npub use self::sqlite::SqliteLineage;\npub trait Lineage {}\npub struct Open;\n",
        ),
        (
            "src/record/sqlite.rs",
            "//! The store.\npub struct SqliteLineage;\nimpl super::Lineage for SqliteLineage {}\n",
        ),
        ("src/memory.rs", "//! Remembers.\npub struct Slot;\n"),
        ("src/telemetry.rs", "//! Tells.\npub fn start() { tracing_subscriber::fmt().init() }\n"),
        ("src/model.rs", "//! Nouns.\nmod action;\npub use action::Effect;\n"),
        ("src/model/action.rs", "//! Actions.\npub enum Effect { Read, Write, Send }\n"),
    ];
    files.iter().map(|(path, text)| Source { path: (*path).to_owned(), text: (*text).to_owned() }).collect()
}

/// The house with this file in it, in place of its own if it has one there.
pub(super) fn house_with(path: &str, text: &str) -> Vec<Source> {
    let mut sources = house();
    sources.retain(|source| source.path != path);
    sources.push(Source { path: path.to_owned(), text: text.to_owned() });
    sources
}

/// One breach each.
pub(super) const PLANTS: &[Plant] = &[
    plant(Wall::Parsed, "src/judge/a.rs", "//! A.\nfn {\n"),
    plant(Wall::Layers, "src/mediate.rs", "//! A.\nuse crate::serve::Door;\n"),
    plant(Wall::Layers, "src/judge/a.rs", "//! A.\nuse super::super::mediate;\n"),
    plant(Wall::Layers, "src/serve/a.rs", "//! A.\nfn a() -> crate::app::Parts { todo!() }\n"),
    plant(Wall::Layers, "src/mint/a.rs", "//! A.\n#[serde(default = \"crate::config::ttl\")]\nstruct A;\n"),
    plant(Wall::Layers, "src/telemetry.rs", "//! A.\nfn a() { log!(crate::judge::Permit) }\n"),
    plant(Wall::Layers, "src/app/a.rs", "//! A.\nuse crate::cli as above;\n"),
    plant(Wall::Layers, "src/config/a.rs", "//! A.\nuse crate::record::*;\n"),
    plant(Wall::Layers, "src/serve/a.rs", "//! A.\nuse crate::Effect;\n"),
    plant(Wall::Layers, "src/attic.rs", "//! A.\n"),
    plant(Wall::Layers, "src/mint/a.rs", "//! A.\n#[cfg(test)]\nmod tests { use crate::serve::Door; }\n"),
    plant(Wall::Layers, "src/mint/a.rs", "//! A.\nmacro_rules! a { () => { $crate::serve::door() } }\n"),
    plant(Wall::Model, "src/model/a.rs", "//! A.\nuse crate::judge::Permit;\n"),
    plant(Wall::Model, "src/model/a.rs", "//! A.\npub(in crate::telemetry) fn a() {}\n"),
    plant(Wall::Rooms, "src/mint/a.rs", "//! A.\nuse crate::forward::Client;\n"),
    plant(Wall::Rooms, "src/judge/a.rs", "//! A.\nuse crate::memory::{Slot, Store};\n"),
    plant(Wall::Rooms, "src/judge/a.rs", "//! A.\nuse crate::memory as m;\nfn a(_: &m::Store) {}\n"),
    plant(Wall::Rooms, "src/judge/a.rs", "//! A.\nuse crate::memory::*;\n"),
    plant(Wall::Rooms, "src/mint/a.rs", "//! A.\nfn a() { vec![super::super::forward::send()] }\n"),
    plant(Wall::Rooms, "src/mint/a.rs", "//! A.\nuse crate::record;\nfn a(_: record::sqlite::Rows) {}\n"),
    plant(Wall::Rooms, "src/mint/a.rs", "//! A.\nfn a() { select! { use crate::{forward::b}; } }\n"),
    plant(Wall::Purity, "src/judge/a.rs", "//! A.\nasync fn a() {}\n"),
    plant(Wall::Purity, "src/judge/a.rs", "//! A.\nfn a() { join!(async { 1 }) }\n"),
    plant(Wall::Purity, "src/understand/a.rs", "//! A.\nfn a() { tokio::task::yield_now() }\n"),
    plant(Wall::Purity, "src/understand.rs", "//! A.\nuse std::{fmt, fs::File};\n"),
    plant(Wall::Purity, "src/judge/a.rs", "//! A.\nuse std::time::Instant as T;\nfn a() { T::now(); }\n"),
    plant(Wall::Purity, "src/judge/a.rs", "//! A.\nuse std::time::*;\n"),
    plant(Wall::Purity, "src/judge/a.rs", "//! A.\nuse std as s;\nfn a() { s::fs::read(\"x\"); }\n"),
    plant(Wall::Purity, "src/judge/a.rs", "//! A.\nfn a() { uuid::Uuid::new_v4(); }\n"),
    plant(Wall::Purity, "src/judge/a.rs", "//! A.\nfn a() { std::net::TcpStream::connect(\"x\"); }\n"),
    plant(Wall::Purity, "src/record/tiles.rs", "//! A.\nuse ring::rand::SystemRandom;\n"),
    plant(Wall::Purity, "src/record/entry.rs", "//! A.\nuse core::future::Future;\n"),
    plant(Wall::Mediate, "src/mediate.rs", "//! A.\nuse crate::judge::policy::Set;\n"),
    plant(Wall::Mediate, "src/mediate.rs", "//! A.\nuse crate::judge;\nfn a(_: judge::policy::Set) {}\n"),
    plant(Wall::Mediate, "src/mediate/a.rs", "//! A.\nuse hyper_util::client::legacy::Client;\n"),
    plant(Wall::Concrete, "src/serve/a.rs", "//! A.\nuse crate::record::SqliteLineage;\n"),
    plant(Wall::Concrete, "src/cli.rs", "//! A.\nfn a() { crate::record::SqliteLineage::open() }\n"),
    plant(Wall::Clock, "src/mint/a.rs", "//! A.\nfn a() { std::time::SystemTime::now(); }\n"),
    plant(Wall::Clock, "src/record/a.rs", "//! A.\nuse chrono::Utc as Z;\nconst A: fn() = Z::now;\n"),
    plant(Wall::Clock, "src/mint/a.rs", "//! A.\nfn a() { info!(at = SystemTime::now()) }\n"),
    plant(Wall::Clock, "src/mint/a.rs", "//! A.\nfn a() { <std::time::SystemTime>::now(); }\n"),
    plant(Wall::Clock, "src/mint/a.rs", "//! A.\ntype T = std::time::SystemTime;\nfn a() { T::now(); }\n"),
    plant(Wall::Clock, "src/mint/a.rs", "//! A.\nuse std::time::UNIX_EPOCH as E;\nfn a() { E.elapsed(); }\n"),
    plant(
        Wall::Clock,
        "src/mint/a.rs",
        "//! A.\nuse std::time::SystemTime as T;\nmod b { use super::*; fn a() { T::now(); } }\n",
    ),
    plant(
        Wall::Clock,
        "src/mint/a.rs",
        "//! A.\nmod b { pub use std::time::SystemTime as T; }\nuse b::T as U;\nfn a() { U::now(); }\n",
    ),
    plant(Wall::Clock, "src/main.rs", "//! A.\nfn main() { uuid::Uuid::now_v7(); }\n"),
    plant(Wall::Environment, "src/mint/a.rs", "//! A.\nfn a() { std::env::var(\"A\"); }\n"),
    plant(Wall::Environment, "src/serve/a.rs", "//! A.\nuse std::{env, fmt};\nfn a() { env::args(); }\n"),
    plant(Wall::Environment, "src/config/a.rs", "//! A.\nuse std::env::var as read;\n"),
    plant(Wall::Statics, "src/mint/a.rs", "//! A.\nstatic A: u8 = 1;\n"),
    plant(Wall::Statics, "src/app/a.rs", "//! A.\nfn a() { static A: OnceLock<u8> = OnceLock::new(); }\n"),
    plant(Wall::Statics, "src/mint/a.rs", "//! A.\nthread_local!(const A: u8 = 1);\n"),
    plant(Wall::Statics, "src/mint/a.rs", "//! A.\nmacro_rules! a { () => { static A: u8 = 1; } }\n"),
    plant(Wall::Statics, "src/mint/a.rs", "//! A.\n#[cfg(test)]\nmod tests { static A: u8 = 1; }\n"),
    plant(Wall::Subscriber, "src/app/a.rs", "//! A.\nfn a() { tracing_subscriber::registry() }\n"),
    plant(Wall::Subscriber, "src/app/a.rs", "//! A.\nfn a() { crate::telemetry::layers().init() }\n"),
    plant(Wall::Subscriber, "src/cli/a.rs", "//! A.\nuse tracing::subscriber::set_global_default as set;\n"),
    plant(Wall::Secrets, "src/serve/a.rs", "//! A.\nfn a(b: Secret) { b.expose(); }\n"),
    plant(Wall::Secrets, "src/record/a.rs", "//! A.\nfn a(b: Secret) { info!(\"{:?}\", b.expose()) }\n"),
    plant(
        Wall::Secrets,
        "src/app/a.rs",
        "//! A.\nuse crate::model::Secret as S;\nfn a() { b.map(S::expose); }\nuse crate::model::Secret;\nfn c() { b.map(Secret::expose); }\n",
    ),
    plant(Wall::TestSwitches, "src/mint/a.rs", "//! A.\n#[cfg(test)]\nfn a() {}\n"),
    plant(Wall::TestSwitches, "src/mint/a.rs", "//! A.\n#[cfg(not(test))]\nmod a {}\n"),
    plant(Wall::TestSwitches, "src/mint/a.rs", "//! A.\nfn a() { if cfg!(test) {} }\n"),
    plant(
        Wall::CatchAll,
        "src/judge/a.rs",
        "//! A.\nuse crate::model::Effect;\nfn a(e: Effect) { match e { Effect::Read => 1, _ => 2 }; }\n",
    ),
    plant(
        Wall::CatchAll,
        "src/model/action.rs",
        "//! A.\npub enum Effect { Read, Write }\nimpl Effect { fn a(&self) { match self { Self::Read => 1, other => 2 }; } }\n",
    ),
    plant(Wall::Files, "src/judge/mod.rs", "//! A.\n"),
    plant(Wall::Files, "src/judge/a/b/c.rs", "//! A.\n"),
    plant(Wall::Files, "src/judge/a.rs", "use std::fmt;\n"),
    plant(Wall::Files, "src/judge/a.rs", "//! A.\n#[path = \"../b.rs\"]\nmod b;\n"),
    plant(Wall::Files, "src/judge/a.rs", "//! A.\ninclude!(\"b.rs\");\n"),
    plant(Wall::Files, "src/lib.rs", "//! A.\npub mod judge;\npub use judge::Permit;\n"),
    plant(Wall::Allow, "src/judge/a.rs", "//! A.\n#[allow(dead_code)]\nfn a() {}\n"),
    plant(Wall::Allow, "tests/a.rs", "//! A.\n#![cfg_attr(unix, allow(dead_code))]\n"),
    plant(Wall::Ignore, "tests/a.rs", "//! A.\n#[test]\n#[ignore = \"slow\"]\nfn a() {}\n"),
    plant(Wall::Ignore, "src/judge/a.rs", "//! A.\n#[cfg(test)]\nmod tests { #[test] #[ignore] fn a() {} }\n"),
    plant(Wall::Words, "src/judge/a.rs", "//! A.\npub struct PolicyEngine;\n"),
    plant(Wall::Words, "src/judge/utils.rs", "//! A.\n"),
];

/// No breach each.
pub(super) const INNOCENT: &[(&str, &str)] = &[
    (
        "src/judge/a.rs",
        "//! A.\n//! Reads no `std::env::var`, see [`crate::serve`].\nfn a() { log!(\"crate::serve::x\"); }\n",
    ),
    ("src/main.rs", "//! A.\n#[global_allocator]\nstatic ALLOCATOR: MiMalloc = MiMalloc;\n"),
    (
        "src/judge/a.rs",
        "//! A.\n#[cfg(test)]\nmod tests { use std::fs::read; fn a(b: Secret) { b.expose(); std::time::SystemTime::now(); } }\n",
    ),
    (
        "src/judge/a.rs",
        "//! A.\nuse std::net::{IpAddr, SocketAddr};\nuse std::time::Duration;\nfn a<T: 'static>(env: T, tokio: T) { f!(&'static str, env) }\n",
    ),
    (
        "src/judge/a.rs",
        "//! A.\nuse super::policy::{self, Set};\nuse crate::memory::{self, Slot};\nfn a(_: memory::Slot) {}\n",
    ),
    (
        "src/judge/a.rs",
        "//! A.\nfn a(n: u8) { match n { 1 => Some(1), _ => None }; match x { E::A if true => 1, E::A | E::B => 2 }; }\n",
    ),
    ("src/understand.rs", "//! A.\nmod http;\nuse ::http::HeaderMap;\nfn a() { http::env::tokio() }\n"),
    (
        "src/mint/a.rs",
        "//! A.\nfn a() { let at = std::time::Instant::now(); at.elapsed(); tokio::time::sleep(b).await }\n",
    ),
    ("src/record/seal.rs", "//! A.\nfn a(b: &crate::model::Secret) { b.expose(); }\n"),
    ("src/serve/a.rs", "//! A.\nuse crate::record::Lineage;\nfn a(b: &dyn Lineage, c: Starter) { c.init(1) }\n"),
    ("src/memory/tests.rs", "//! A.\nfn a() { std::env::var(\"A\"); }\n"),
    ("tests/a.rs", "//! A.\nuse countersign::serve::Door;\nfn a() { std::env::var(\"A\"); }\n"),
];

/// A lockfile without a breach.
pub(super) const LOCKFILE: &str = "version = 4\n
[[package]]\nname = \"countersign\"\nversion = \"0.1.0\"\n
[[package]]\nname = \"h2\"\nversion = \"0.4.20\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n";

/// What is planted at its end: one breach each.
pub(super) const LOCKFILES: &[&str] = &[
    "[[package]]\nname = \"openssl-sys\"\nversion = \"0.9.1\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n",
    "[[package]]\nname = \"aws-lc-sys\"\nversion = \"0.3.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n",
    "[[package]]\nname = \"native-tls\"\nversion = \"0.2.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n",
    "[[package]]\nname = \"rsa\"\nversion = \"0.9.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n",
    "[[package]]\nname = \"h2\"\nversion = \"0.4.15\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n",
    "[[package]]\nname = \"mine\"\nversion = \"1.0.0\"\nsource = \"git+https://example.com/mine\"\n",
    "[[package]]\nname = \"near\"\nversion = \"1.0.0\"\n",
];
