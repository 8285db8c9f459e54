//! What others check without the file: tiles and entries as they are served, proofs, and a receipt for one record.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::{OptionalExtension as _, params};

use super::sqlite::{schema, tail};
use super::tiles::proof::{self, Nodes};
use super::tiles::{WIDTH, perfect_root, tile_hashes};
use super::{Checkpoint, Reader, StoreError};
use crate::model::Digest;

/// What the first line of a receipt says (c2sp.org/tlog-proof).
const PROOF: &str = "c2sp.org/tlog-proof@v1";

impl Reader {
    /// A tile's hashes, one after the other: as many as `width` (1 to 256) of those at `level` from `index * 256` on (C2SP
    /// tlog-tiles). `None` if the tree is not that large.
    pub fn tile(&self, level: u8, index: u64, width: u16) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(Rows::of(self)
            .row(level, index, usize::from(width))?
            .map(|hashes| hashes.iter().flat_map(|hash| hash.0).collect()))
    }

    /// The entries under a tile of level 0, each behind its length in 16 bits, big end first (C2SP tlog-tiles). `None` if the
    /// tree is not that large.
    pub fn entries(&self, index: u64, width: u16) -> Result<Option<Vec<u8>>, StoreError> {
        let from = index.saturating_mul(WIDTH as u64);
        let mut bundle = Vec::new();
        let mut found = 0;
        self.each_entry(from, from.saturating_add(u64::from(width)), &mut |_, entry| {
            let length = u16::try_from(entry.len()).unwrap_or(u16::MAX);
            bundle.extend_from_slice(&length.to_be_bytes());
            bundle.extend_from_slice(entry);
            found += 1;
        })?;
        Ok((found == width).then_some(bundle))
    }

    /// The root over the first `size` records.
    pub fn root(&self, size: u64) -> Result<Digest, StoreError> {
        if size == 0 { Ok(Digest::of(b"")) } else { proof::root(&mut Rows::of(self), size) }
    }

    /// The way from a record to the root over the first `size` records (RFC 9162 §2.1.3.1).
    pub fn inclusion(&self, seq: u64, size: u64) -> Result<Vec<Digest>, StoreError> {
        proof::inclusion(&mut Rows::of(self), seq, size)
    }

    /// What shows that the first `larger` records begin with the first `smaller` (RFC 9162 §2.1.4.1).
    pub fn consistency(&self, smaller: u64, larger: u64) -> Result<Vec<Digest>, StoreError> {
        proof::consistency(&mut Rows::of(self), smaller, larger)
    }

    /// A receipt that proves a record offline (c2sp.org/tlog-proof): its place, the way to the root, and the latest signed
    /// checkpoint. Its extra data is the entry. `None` if no checkpoint covers the record yet, or there is no such record.
    pub fn receipt(&self, seq: u64) -> Result<Option<String>, StoreError> {
        let view = self.db.unchecked_transaction()?;
        let Some(note) = self.checkpoint()? else { return Ok(None) };
        let Checkpoint { size, root, .. } = Checkpoint::parse(&note)?;
        let mut entry = None;
        self.each_entry(seq, seq.saturating_add(1), &mut |leaf, bytes| entry = Some((leaf, STANDARD.encode(bytes))))?;
        let Some((leaf, entry)) = entry.filter(|_| seq < size) else { return Ok(None) };
        let path = self.inclusion(seq, size)?;
        view.finish()?;
        if !proof::is_included(leaf, seq, size, &path, root) {
            let what = "no way leads from it to the latest checkpoint's root".to_owned();
            return Err(StoreError::Damaged { seq, what });
        }
        let steps: String = path.iter().map(|hash| STANDARD.encode(hash.0) + "\n").collect();
        Ok(Some(format!("{PROOF}\nextra {entry}\nindex {seq}\n{steps}\n{note}")))
    }

    fn each_entry(&self, from: u64, to: u64, tell: &mut dyn FnMut(Digest, &[u8])) -> Result<(), StoreError> {
        self.through(from..to, &mut |db, part| {
            let sql = "SELECT leaf, entry FROM records WHERE seq >= ? AND seq < ? ORDER BY seq";
            let mut rows = db.prepare_cached(sql)?;
            let mut rows = rows.query(params![schema::row(part.start), schema::row(part.end)])?;
            while let Some(row) = rows.next()? {
                tell(Digest(row.get(0)?), row.get_ref(1)?.as_blob().unwrap_or_default());
            }
            Ok(())
        })
    }
}

/// The tree's hashes, from tiles and, at the right edge, from what was noted of it and from records.
///
/// A proof comes by the same tile several times, so each is read and hashed once.
struct Rows<'a> {
    reader: &'a Reader,
    full: BTreeMap<(u8, u64), Vec<Digest>>,
    /// The first hashes of tiles that are not full, as far as they were asked for.
    begun: BTreeMap<(u8, u64), Vec<Digest>>,
}

impl<'a> Rows<'a> {
    const fn of(reader: &'a Reader) -> Self {
        Self { reader, full: BTreeMap::new(), begun: BTreeMap::new() }
    }

    /// The first `width` hashes of a tile, if there are so many.
    fn row(&mut self, level: u8, index: u64, width: usize) -> Result<Option<&[Digest]>, StoreError> {
        let place = (level, index);
        if !self.begun.contains_key(&place) {
            if self.full(level, index)?.is_some() {
                return Ok(self.full.get(&place).and_then(|full| full.get(..width)));
            }
            let noted = self.edge(level, index)?;
            self.begun.insert(place, noted);
        }
        let known = self.begun.get(&place).map_or(0, Vec::len);
        if known < width {
            let more = self.behind(place, known, width)?;
            self.begun.entry(place).or_default().extend(more);
        }
        Ok(self.begun.get(&place).and_then(|hashes| hashes.get(..width)))
    }

    /// Those of a tile's hashes from `known` to before `width` that are there.
    fn behind(&mut self, (level, index): (u8, u64), known: usize, width: usize) -> Result<Vec<Digest>, StoreError> {
        let from = index.saturating_mul(WIDTH as u64);
        let (start, end) = (from.saturating_add(known as u64), from.saturating_add(width as u64));
        let mut hashes = Vec::with_capacity(width - known);
        if let Some(below) = level.checked_sub(1) {
            for child in start..end {
                let Some(full) = self.full(below, child)? else { break };
                hashes.push(perfect_root(full));
            }
        } else {
            let sql = "SELECT leaf FROM records WHERE seq >= ? AND seq < ? ORDER BY seq";
            let mut rows = self.reader.db.prepare_cached(sql)?;
            let mut rows = rows.query(params![schema::row(start), schema::row(end)])?;
            while let Some(row) = rows.next()? {
                hashes.push(Digest(row.get(0)?));
            }
        }
        Ok(hashes)
    }

    /// Those of a tile's first hashes that were noted at the last checkpoint. A tile only grows, so they are still its first;
    /// that they are right is for a proof to show.
    fn edge(&self, level: u8, index: u64) -> Result<Vec<Digest>, StoreError> {
        let sql = "SELECT hashes FROM edge WHERE level = ? AND idx = ?";
        // A file of an older version has none; one that only a reader has seen of it, neither.
        let Ok(mut noted) = self.reader.db.prepare_cached(sql) else { return Ok(Vec::new()) };
        let bytes: Option<Vec<u8>> =
            noted.query_row(params![level, schema::row(index)], |row| row.get(0)).optional()?;
        Ok(bytes.unwrap_or_default().as_chunks::<32>().0.iter().map(|hash| Digest(*hash)).collect())
    }

    fn full(&mut self, level: u8, index: u64) -> Result<Option<&[Digest]>, StoreError> {
        if !self.full.contains_key(&(level, index)) {
            let sql = "SELECT hashes FROM tiles WHERE level = ? AND idx = ?";
            let mut tiles = self.reader.db.prepare_cached(sql)?;
            let stored: Option<Vec<u8>> =
                tiles.query_row(params![level, schema::row(index)], |row| row.get(0)).optional()?;
            let Some(stored) = stored else { return Ok(None) };
            let hashes = tile_hashes(&stored).ok_or_else(|| tail::torn(level, index, "is torn"))?;
            self.full.insert((level, index), hashes);
        }
        Ok(self.full.get(&(level, index)).map(Vec::as_slice))
    }
}

impl Nodes for Rows<'_> {
    type Error = StoreError;

    fn node(&mut self, height: u32, index: u64) -> Result<Digest, StoreError> {
        let level = u8::try_from(height / 8).unwrap_or(u8::MAX);
        let width = 1_u64 << (height % 8);
        let first = index.saturating_mul(width);
        let (tile, within) = (first / WIDTH as u64, usize::try_from(first % WIDTH as u64).unwrap_or(WIDTH));
        let end = within.saturating_add(usize::try_from(width).unwrap_or(WIDTH));
        let hashes = self.row(level, tile, end)?.and_then(|row| row.get(within..end));
        hashes.map(perfect_root).ok_or_else(|| tail::torn(level, tile, "is missing"))
    }
}
