//! The Merkle tree over all records (RFC 6962 §2.1), kept as full tiles of 256 hashes (C2SP tlog-tiles) and a right edge.

pub mod proof;

use ring::digest;

use crate::model::Digest;

/// Hashes in a full tile, and children of a tile's node in the level above.
pub const WIDTH: usize = 256;

/// Bytes of a full tile.
pub const TILE_BYTES: usize = WIDTH * 32;

/// The hash of a leaf: SHA-256(0x00 ‖ entry) (RFC 6962 §2.1).
pub fn leaf_hash(entry: &[u8]) -> Digest {
    hash(&[&[0x00], entry])
}

/// The hash of an inner node: SHA-256(0x01 ‖ left ‖ right) (RFC 6962 §2.1).
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    hash(&[&[0x01], &left.0, &right.0])
}

/// The hashes in a stored tile; `None` if it is not full.
pub fn tile_hashes(bytes: &[u8]) -> Option<Vec<Digest>> {
    let (hashes, rest) = bytes.as_chunks::<32>();
    (bytes.len() == TILE_BYTES && rest.is_empty()).then(|| hashes.iter().map(|hash| Digest(*hash)).collect())
}

/// A tile that has just become full. It never changes again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CompletedTile {
    /// 0 holds leaf hashes; level n holds the roots of the tiles of level n − 1.
    pub level: u8,
    /// Its place in its level, from the left, from 0.
    pub index: u64,
    /// Its 256 hashes, one after the other: 8192 bytes.
    pub hashes: Vec<u8>,
}

/// The right edge of the tree: what its full tiles do not hold. At most 255 hashes a level.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Edge {
    size: u64,
    levels: Vec<Vec<Digest>>,
}

impl Edge {
    /// The edge of an empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// The edge of a tree of `size` leaves whose full tiles are stored.
    ///
    /// `leaf` gives the leaf hash at an index, and `tile` the 256 hashes of a full tile by level and index. Either's
    /// error ends it.
    pub fn rebuild<E>(
        size: u64,
        mut leaf: impl FnMut(u64) -> Result<Digest, E>,
        mut tile: impl FnMut(u8, u64) -> Result<Vec<Digest>, E>,
    ) -> Result<Self, E> {
        let mut levels = Vec::new();
        let mut count = size;
        let mut below = None;
        while count > 0 {
            let full = count - count % WIDTH as u64;
            let hashes = match below {
                None => (full..count).map(&mut leaf).collect::<Result<Vec<_>, E>>()?,
                Some(level) => (full..count)
                    .map(|index| tile(level, index).map(|hashes| perfect_root(&hashes)))
                    .collect::<Result<Vec<_>, E>>()?,
            };
            levels.push(hashes);
            below = Some(below.map_or(0, |level: u8| level.saturating_add(1)));
            count /= WIDTH as u64;
        }
        Ok(Self { size, levels })
    }

    /// The hashes that no full tile holds, by level and tile: leaves, and above them the roots of the full tiles below.
    pub fn begun(&self) -> impl Iterator<Item = (u8, u64, Vec<u8>)> {
        let mut count = self.size;
        (0..=u8::MAX).zip(&self.levels).map(move |(level, hashes)| {
            let index = count / WIDTH as u64;
            count = index;
            (level, index, hashes.iter().flat_map(|hash| hash.0).collect())
        })
    }

    /// Leaves in the tree.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf on the right, and returns the tiles that became full by it, from the leaves up.
    pub fn push(&mut self, leaf: Digest) -> Vec<CompletedTile> {
        let mut completed = Vec::new();
        let mut carried = Some(leaf);
        let mut above = self.size;
        for level in 0..=u8::MAX {
            let Some(hash) = carried.take() else { break };
            let width = usize::from(level);
            if self.levels.len() <= width {
                self.levels.push(Vec::with_capacity(WIDTH));
            }
            let Some(hashes) = self.levels.get_mut(width) else { break };
            hashes.push(hash);
            if hashes.len() == WIDTH {
                carried = Some(perfect_root(hashes));
                let bytes = hashes.iter().flat_map(|hash| hash.0).collect();
                completed.push(CompletedTile { level, index: above / WIDTH as u64, hashes: bytes });
                hashes.clear();
            }
            above /= WIDTH as u64;
        }
        self.size += 1;
        completed
    }

    /// The root of the tree (RFC 6962 §2.1); SHA-256 of nothing if it is empty.
    pub fn root(&self) -> Digest {
        let mut root = None;
        for hashes in &self.levels {
            let mut rest = hashes.as_slice();
            for bit in 0..usize::BITS {
                let width = 1_usize << bit;
                if width > rest.len() {
                    break;
                }
                if rest.len() & width != 0 {
                    let (left, perfect) = rest.split_at(rest.len() - width);
                    let subtree = perfect_root(perfect);
                    root = Some(root.map_or(subtree, |right| node_hash(&subtree, &right)));
                    rest = left;
                }
            }
        }
        root.unwrap_or_else(|| hash(&[]))
    }

    /// Becomes a copy of `other`, in the memory it already has.
    pub fn copy_from(&mut self, other: &Self) {
        self.size = other.size;
        self.levels.clone_from(&other.levels);
    }
}

/// The root over hashes whose number is a power of two.
pub fn perfect_root(hashes: &[Digest]) -> Digest {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = fold_pairs(&row);
    }
    row.first().copied().unwrap_or_else(|| hash(&[]))
}

fn fold_pairs(hashes: &[Digest]) -> Vec<Digest> {
    let (pairs, rest) = hashes.as_chunks::<2>();
    pairs.iter().map(|[left, right]| node_hash(left, right)).chain(rest.iter().copied()).collect()
}

fn hash(parts: &[&[u8]]) -> Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    Digest(out)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// RFC 6962 §2.1, word for word.
    fn naive(leaves: &[Digest]) -> Digest {
        match leaves {
            [] => Digest::of(b""),
            [one] => *one,
            many => {
                let (left, right) = many.split_at(many.len().next_power_of_two() / 2);
                node_hash(&naive(left), &naive(right))
            }
        }
    }

    fn leaves(count: u64) -> Vec<Digest> {
        (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
    }

    #[test]
    fn the_reference_tree_has_its_reference_roots() {
        let entries =
            ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        let mut edge = Edge::new();
        assert_eq!(edge.root().to_string(), roots[0]);
        for (entry, root) in entries.iter().zip(&roots[1..]) {
            edge.push(leaf_hash(&hex::decode(entry).unwrap()));
            assert_eq!(edge.root().to_string(), *root);
        }
    }

    #[test]
    fn the_edge_has_the_root_of_the_whole_tree_at_every_size() {
        let all = leaves(600);
        let mut edge = Edge::new();
        for (size, leaf) in all.iter().enumerate() {
            assert_eq!(edge.root(), naive(&all[..size]), "{size}");
            edge.push(*leaf);
        }
        assert_eq!((edge.root(), edge.size()), (naive(&all), 600));
    }

    #[test]
    fn an_edge_comes_back_from_its_tiles_at_any_size() {
        let all = leaves(65_536 + 300);
        let mut stored = BTreeMap::new();
        let mut edge = Edge::new();
        for leaf in &all {
            for tile in edge.push(*leaf) {
                stored.insert((tile.level, tile.index), tile_hashes(&tile.hashes).unwrap());
            }
        }
        assert_eq!(edge.root(), naive(&all));
        assert_eq!(stored.keys().filter(|(level, _)| *level == 1).count(), 1);
        for size in [0, 1, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 65_836] {
            let leaf = |seq: u64| Ok::<_, ()>(all[usize::try_from(seq).unwrap()]);
            let rebuilt =
                Edge::rebuild(size, leaf, |level, index| stored.get(&(level, index)).cloned().ok_or(())).unwrap();
            assert_eq!(rebuilt.root(), naive(&all[..usize::try_from(size).unwrap()]), "{size}");
            assert_eq!(rebuilt.size(), size);
        }
        let mut copy = Edge::new();
        copy.copy_from(&edge);
        assert_eq!(copy, edge);
    }

    #[test]
    fn a_torn_tile_is_no_tile() {
        assert!(tile_hashes(&[0; TILE_BYTES - 1]).is_none());
        assert!(tile_hashes(&[0; TILE_BYTES + 32]).is_none());
    }
}
