//! Proofs, tiles and receipts: made by us, checked by published vectors, by ourselves, and by somebody else's program.

use std::fs;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign::cli::lineage::LineageCommand;
use countersign::cli::{Exit, Output};
use countersign::model::{Digest, Revocation};
use countersign::record::tiles::leaf_hash;
use countersign::record::tiles::proof::{is_consistent, is_included};
use countersign::record::{Checkpoint, Lineage, Reader};
use serde_json::Value;

use super::fixture::*;
use crate::suite::common::checkout::checkout;

const VECTORS: &str = include_str!("vectors/merkle.jsonl");

/// Some roots of the vectors are words, "wrong root" for one; whatever they are, they are not the right one.
fn digest(value: &Value) -> Option<Digest> {
    let bytes = STANDARD.decode(value.as_str()?).ok()?;
    Some(bytes.as_slice().try_into().map_or_else(|_| Digest::of(&[b"no digest", bytes.as_slice()].concat()), Digest))
}

/// A vector's proof.
fn steps(vector: &Value) -> Option<Vec<Digest>> {
    match &vector["proof"] {
        Value::Null => Some(Vec::new()),
        steps => steps.as_array().unwrap().iter().map(digest).collect(),
    }
}

/// Whether a vector is accepted.
fn accepted(vector: &Value) -> bool {
    let number = |name: &str| vector[name].as_u64().unwrap();
    let accepted = || match vector["kind"].as_str().unwrap() {
        "inclusion" => {
            let whole = |name: &str| STANDARD.decode(vector[name].as_str()?).ok()?.try_into().ok().map(Digest);
            let (leaf, root) = (whole("leafHash")?, whole("root")?);
            Some(is_included(leaf, number("leafIdx"), number("treeSize"), &steps(vector)?, root))
        }
        _ => {
            let older = (number("size1"), digest(&vector["root1"])?);
            let newer = (number("size2"), digest(&vector["root2"])?);
            Some(is_consistent(older, newer, &steps(vector)?))
        }
    };
    accepted().unwrap_or(false)
}

#[test]
fn the_published_vectors_come_out_as_published() {
    let vectors: Vec<Value> = VECTORS.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(vectors.len(), 196);
    for vector in &vectors {
        assert_eq!(accepted(vector), vector["wantErr"] == false, "{vector}");
    }
    assert!(vectors.iter().filter(|vector| vector["size1"] == 0).all(|vector| !accepted(vector)));
}

/// A lineage with a tile of level 1 that is not full, one of level 0 that is not, and two checkpoints.
fn lineage() -> (Place, String) {
    let place = Place::new();
    let (lineage, _) = place.open();
    for n in 0..100 {
        drop(lineage.append(refused(5_000 + n)));
    }
    put(&lineage, permitted(1));
    drop(lineage);
    let early = Reader::open(&place.path()).unwrap().checkpoint().unwrap().unwrap();
    let (lineage, _) = place.open();
    for n in 0..800 {
        drop(lineage.append(refused(1_000 + n)));
    }
    put(&lineage, ended(1, Revocation::Confirmed));
    drop(lineage);
    (place, early)
}

#[test]
fn every_record_is_proven_and_every_earlier_tree_is_the_beginning() {
    let (place, early) = lineage();
    let reader = Reader::open(&place.path()).unwrap();
    let size = reader.size().unwrap();
    let root = reader.root(size).unwrap();
    let latest = Checkpoint::parse(&reader.checkpoint().unwrap().unwrap()).unwrap();
    assert_eq!((latest.size, latest.root, size), (size, root, 902));
    let entries: Vec<Vec<u8>> = (0..4)
        .flat_map(|index| {
            let width = if index == 3 { 902 % 256 } else { 256 };
            unbundle(&reader.entries(index, width).unwrap().unwrap())
        })
        .collect();
    for (seq, entry) in (0..).zip(&entries) {
        let path = reader.inclusion(seq, size).unwrap();
        assert!(is_included(leaf_hash(entry), seq, size, &path, root), "{seq}");
    }
    let early = Checkpoint::parse(&early).unwrap();
    assert!(is_consistent((early.size, early.root), (size, root), &reader.consistency(early.size, size).unwrap()));
    for older in [1, 2, 101, 255, 256, 257, 511, 512, 768, 901, 902] {
        let path = reader.consistency(older, size).unwrap();
        assert!(is_consistent((older, reader.root(older).unwrap()), (size, root), &path), "{older}");
    }
}

fn unbundle(mut bundle: &[u8]) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    while let Some((length, rest)) = bundle.split_first_chunk::<2>() {
        let (entry, rest) = rest.split_at(usize::from(u16::from_be_bytes(*length)));
        entries.push(entry.to_vec());
        bundle = rest;
    }
    entries
}

#[test]
fn a_tile_of_any_width_is_served_and_none_beyond_the_tree() {
    let (place, _) = lineage();
    let reader = Reader::open(&place.path()).unwrap();
    assert_eq!(reader.tile(0, 0, 256).unwrap().unwrap().len(), 8_192);
    assert_eq!(reader.tile(0, 3, 134).unwrap().unwrap().len(), 134 * 32);
    assert_eq!(reader.tile(0, 0, 5).unwrap().unwrap(), reader.tile(0, 0, 256).unwrap().unwrap()[..160]);
    assert_eq!(reader.tile(1, 0, 3).unwrap().unwrap().len(), 96);
    for (level, index, width) in [(0, 3, 135), (0, 3, 256), (1, 0, 4), (2, 0, 1), (0, 4, 1), (63, 0, 1)] {
        assert_eq!(reader.tile(level, index, width).unwrap(), None, "{level}/{index}.p/{width}");
    }
    assert_eq!(reader.entries(3, 135).unwrap(), None);
}

fn printed(place: &Place, command: LineageCommand) -> (String, Exit) {
    let mut out = Vec::new();
    let exit = countersign::cli::lineage::run(command, &place.lying(), Output::Text, &mut out).unwrap();
    (String::from_utf8(out).unwrap(), exit)
}

/// Runs the stranger's program: Python, its own library, written from `docs/lineage-format.md`.
fn stranger(arguments: &[&str]) -> (bool, String) {
    let program = checkout("tests/store/stranger.py");
    let output = Command::new("python3").arg(program).args(arguments).output().expect("python3 runs");
    let told = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&told).into_owned())
}

#[test]
fn a_stranger_accepts_our_receipts_and_refuses_bent_ones() {
    let (place, _) = lineage();
    let (text, exit) = printed(&place, LineageCommand::Prove { call: call(1), kind: Some("ended".into()) });
    assert_eq!(exit, Exit::Done);
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nextra ") && text.contains("\nindex 901\n"), "{text}");
    let file = place.folder.path().join("receipt.tlog-proof");
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        stranger(&["receipt", file.to_str().unwrap(), &place.vkey()])
    };
    let (accepted, told) = check(&text);
    assert!(accepted, "{told}");
    let lines: Vec<&str> = text.lines().collect();
    let step = lines[3];
    let bent = [
        text.replace("index 901", "index 900"),
        text.replace("index 901", "index 0901"),
        text.replace(step, &STANDARD.encode([7; 32])),
        text.replace(&format!("{step}\n"), ""),
        text.replace(&format!("{step}\n"), &format!("{step}\n{step}\n")),
        text.replace("\n902\n", "\n903\n"),
        text.replace("extra e", "extra f"),
        text.replace("tlog-proof@v1", "tlog-proof@v2"),
        text.replace("\n\n— ", "\n— "),
    ];
    for bent in bent {
        assert_ne!(bent, text);
        let (accepted, told) = check(&bent);
        assert!(!accepted, "{told}\n{bent}");
    }
    fs::write(&file, &text).unwrap();
    let (accepted, _) = stranger(&["receipt", file.to_str().unwrap(), &Place::new().vkey()]);
    assert!(!accepted, "another key");
}

#[test]
fn a_stranger_walks_the_tiles_and_finds_what_was_bent() {
    let (place, early) = lineage();
    let folder = place.folder.path().join("log");
    let (_, exit) = printed(&place, LineageCommand::Export { from: 0, public: false, tiles: Some(folder.clone()) });
    assert_eq!(exit, Exit::Done);
    let kept = place.folder.path().join("kept");
    fs::write(&kept, early).unwrap();
    let walk = || stranger(&["tiles", folder.to_str().unwrap(), &place.vkey(), kept.to_str().unwrap()]);
    let (sound, told) = walk();
    assert!(sound && told.contains("902 entries") && told.contains("101 before"), "{told}");
    for path in ["tile/0/000", "tile/1/000.p/3", "tile/entries/002", "tile/0/003.p/134", "checkpoint"] {
        let path = folder.join(path);
        let whole = fs::read(&path).unwrap();
        let mut bent = whole.clone();
        bent[20] ^= 1;
        fs::write(&path, bent).unwrap();
        assert!(!walk().0, "a flipped bit in {}", path.display());
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        assert!(!walk().0, "a byte missing in {}", path.display());
        fs::write(&path, whole).unwrap();
    }
    assert!(walk().0);
    let other = Place::new();
    let (lineage, _) = other.open();
    (0..101).for_each(|n| drop(lineage.append(refused(n))));
    drop(lineage);
    fs::write(&kept, Reader::open(&other.path()).unwrap().checkpoint().unwrap().unwrap()).unwrap();
    assert!(!walk().0, "the kept checkpoint is of another lineage");
}

/// The library wants a newer Python than some machines have, so `tests/all` says which one has it, or leaves this out.
#[test]
fn a_library_of_another_author_accepts_our_log_and_refuses_a_bent_one() {
    let Ok(python) = std::env::var("COUNTERSIGN_TLOG_PYTHON") else {
        println!("left out: `COUNTERSIGN_TLOG_PYTHON` names no Python that has `aics-tlog`; `tests/all` installs it");
        return;
    };
    let (place, early) = lineage();
    let at = |name: &str| place.folder.path().join(name);
    let (log, kept, receipt) = (at("log"), at("kept"), at("receipt"));
    printed(&place, LineageCommand::Export { from: 0, public: false, tiles: Some(log.clone()) });
    fs::write(&kept, early).unwrap();
    let (text, _) = printed(&place, LineageCommand::Prove { call: call(1), kind: None });
    fs::write(&receipt, &text).unwrap();
    let program = checkout("tests/store/other_author.py");
    let check = || {
        let files =
            [log.as_os_str(), place.vkey().as_ref(), kept.as_os_str(), receipt.as_os_str()].map(ToOwned::to_owned);
        let output = Command::new(&python).arg(&program).args(files).output().expect("it runs");
        let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.success(), told)
    };
    let (sound, told) = check();
    assert!(sound && told.starts_with("sound: 902 entries, 101 of them before"), "{told}");
    for path in ["log/tile/0/001", "log/tile/entries/003.p/134", "log/checkpoint", "kept", "receipt"] {
        let whole = fs::read(at(path)).unwrap();
        let mut bent = whole.clone();
        bent[whole.len() / 3] ^= 1;
        fs::write(at(path), bent).unwrap();
        assert!(!check().0, "a flipped bit in {path}");
        fs::write(at(path), whole).unwrap();
    }
}
