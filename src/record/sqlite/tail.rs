//! The tree as it lies in the file: its right edge, proven against the last checkpoint.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::super::checkpoint::Verifier;
use super::super::tiles::{Edge, WIDTH, leaf_hash, tile_hashes};
use super::super::{Checkpoint, StoreError};
use super::schema::row;
use crate::model::Digest;

/// The right edge, and the size its last checkpoint covers.
#[derive(Debug)]
pub struct Tail {
    pub edge: Edge,
    pub checkpointed: u64,
}

/// Rebuilds the edge and checks all that came after the last checkpoint: entries against leaves, leaves against tiles,
/// and what came before it against its root.
pub fn prove(db: &Connection, verifier: &Verifier) -> Result<Tail, StoreError> {
    let size = size(db)?;
    let last: Option<String> =
        db.query_row("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1", [], |found| found.get(0)).optional()?;
    let Some(note) = last else {
        return Ok(Tail { edge: prove_from(db, Edge::new(), size)?, checkpointed: 0 });
    };
    let checkpoint = Checkpoint::verify(&note, verifier)?;
    if checkpoint.size > size {
        let what = format!("it is missing: the last checkpoint covers {} records", checkpoint.size);
        return Err(StoreError::Damaged { seq: size, what });
    }
    let edge = edge_at(db, checkpoint.size)?;
    if edge.root() != checkpoint.root {
        let what = "the tree up to here has another root than its checkpoint says".to_owned();
        return Err(StoreError::Damaged { seq: checkpoint.size.saturating_sub(1), what });
    }
    Ok(Tail { edge: prove_from(db, edge, size)?, checkpointed: checkpoint.size })
}

/// The edge at a size, from stored tiles and leaves as they are.
pub fn edge_at(db: &Connection, size: u64) -> Result<Edge, StoreError> {
    let mut leaves = db.prepare("SELECT leaf FROM records WHERE seq = ?")?;
    let mut tiles = db.prepare("SELECT hashes FROM tiles WHERE level = ? AND idx = ?")?;
    Edge::rebuild(
        size,
        |seq| {
            let leaf: Option<[u8; 32]> = leaves.query_row([row(seq)], |found| found.get(0)).optional()?;
            match leaf {
                Some(leaf) => Ok(Digest(leaf)),
                // It was moved into an archive; its hash was not.
                None => tile_leaf(db, seq),
            }
        },
        |level, index| {
            let bytes: Option<Vec<u8>> =
                tiles.query_row(params![level, row(index)], |found| found.get(0)).optional()?;
            let hashes = bytes.and_then(|bytes| tile_hashes(&bytes));
            hashes.ok_or_else(|| torn(level, index, "is missing or torn"))
        },
    )
}

fn tile_leaf(db: &Connection, seq: u64) -> Result<Digest, StoreError> {
    let mut tiles = db.prepare_cached("SELECT hashes FROM tiles WHERE level = 0 AND idx = ?")?;
    let (index, within) = (seq / WIDTH as u64, usize::try_from(seq % WIDTH as u64).unwrap_or(WIDTH));
    let bytes: Option<Vec<u8>> = tiles.query_row([row(index)], |found| found.get(0)).optional()?;
    let hash = bytes.and_then(|bytes| tile_hashes(&bytes)?.get(within).copied());
    hash.ok_or_else(|| StoreError::Damaged { seq, what: "it is missing".into() })
}

/// Records in the file.
pub fn size(db: &Connection) -> Result<u64, StoreError> {
    let last: Option<i64> = db.query_row("SELECT max(seq) FROM records", [], |found| found.get(0))?;
    Ok(last.and_then(|last| u64::try_from(last).ok()).map_or(0, |last| last + 1))
}

/// A tile that is wrong, named by the first record below it.
pub fn torn(level: u8, index: u64, what: &str) -> StoreError {
    let below = 256_u64.saturating_pow(u32::from(level) + 1);
    StoreError::Damaged { seq: index.saturating_mul(below), what: format!("tile {level}/{index} {what}") }
}

fn prove_from(db: &Connection, mut edge: Edge, size: u64) -> Result<Edge, StoreError> {
    let mut rows = db.prepare("SELECT seq, leaf, entry FROM records WHERE seq >= ? ORDER BY seq")?;
    let mut rows = rows.query([row(edge.size())])?;
    let mut tiles = db.prepare("SELECT hashes FROM tiles WHERE level = ? AND idx = ?")?;
    while edge.size() < size {
        let seq = edge.size();
        let damaged = |what: &str| StoreError::Damaged { seq, what: what.to_owned() };
        let found =
            rows.next()?.filter(|found| found.get(0) == Ok(row(seq))).ok_or_else(|| damaged("it is missing"))?;
        let leaf = leaf_hash(found.get_ref(2)?.as_blob().unwrap_or_default());
        if found.get_ref(1)?.as_blob() != Ok(&leaf.0) {
            return Err(damaged("its leaf is not the hash of its entry"));
        }
        for tile in edge.push(leaf) {
            let stored: Option<Vec<u8>> =
                tiles.query_row(params![tile.level, row(tile.index)], |found| found.get(0)).optional()?;
            if stored.as_ref() != Some(&tile.hashes) {
                return Err(torn(tile.level, tile.index, "does not hold the hashes of what lies below it"));
            }
        }
    }
    Ok(edge)
}
