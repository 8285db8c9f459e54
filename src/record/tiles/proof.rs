//! Proofs over the tree: that a leaf is in it, and that a larger tree is a smaller one with more on the right (RFC 9162 §2.1).

use super::node_hash;
use crate::model::Digest;

/// The hash of a perfect subtree: `2^height` leaves from `index * 2^height` on.
pub trait Nodes {
    /// Why there is none.
    type Error;

    /// That hash. Asked only for subtrees that lie within the tree as a whole.
    fn node(&mut self, height: u32, index: u64) -> Result<Digest, Self::Error>;
}

/// The root of the tree of the first `size` leaves. An empty tree has no nodes, and is the caller's business.
pub fn root<N: Nodes>(nodes: &mut N, size: u64) -> Result<Digest, N::Error> {
    range(nodes, 0, size)
}

/// The way from leaf `index` up to the root over `size` leaves: the leaf's sibling first (RFC 9162 §2.1.3.1).
///
/// Nothing if `index` is not below `size`.
pub fn inclusion<N: Nodes>(nodes: &mut N, index: u64, size: u64) -> Result<Vec<Digest>, N::Error> {
    let mut path = Vec::new();
    let (mut start, mut end) = (0, size);
    while index < size && end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(range(nodes, middle, end)?);
            end = middle;
        } else {
            path.push(range(nodes, start, middle)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// What shows that the tree of `larger` leaves begins with that of `smaller` (RFC 9162 §2.1.4.1).
///
/// Nothing if there is nothing to show: `smaller` is 0, or not below `larger`.
pub fn consistency<N: Nodes>(nodes: &mut N, smaller: u64, larger: u64) -> Result<Vec<Digest>, N::Error> {
    let mut path = Vec::new();
    if smaller == 0 || smaller >= larger {
        return Ok(path);
    }
    let (mut start, mut end) = (0, larger);
    while smaller < end {
        let middle = start + split(end - start);
        if smaller <= middle {
            path.push(range(nodes, middle, end)?);
            end = middle;
        } else {
            path.push(range(nodes, start, middle)?);
            start = middle;
        }
    }
    if start > 0 {
        path.push(range(nodes, start, end)?);
    }
    path.reverse();
    Ok(path)
}

/// Whether `proof` leads from leaf `index` to `root` over `size` leaves (RFC 9162 §2.1.3.2).
pub fn is_included(leaf: Digest, index: u64, size: u64, proof: &[Digest], root: Digest) -> bool {
    if index >= size {
        return false;
    }
    let (mut place, mut last, mut hash) = (index, size - 1, leaf);
    for step in proof {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            hash = node_hash(step, &hash);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, step);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0 && hash == root
}

/// Whether `proof` shows that the tree of `larger` begins with that of `smaller` (RFC 9162 §2.1.4.2). A size and its root each.
///
/// An empty tree is the beginning of every tree and shows nothing: from size 0 there is no proof, and it is refused.
pub fn is_consistent(smaller: (u64, Digest), larger: (u64, Digest), proof: &[Digest]) -> bool {
    let ((size1, root1), (size2, root2)) = (smaller, larger);
    if size1 == 0 || size1 > size2 {
        return false;
    }
    if size1 == size2 {
        return proof.is_empty() && root1 == root2;
    }
    // A smaller tree that is perfect is a node of the larger one, and its root is not sent.
    let mut steps = size1.is_power_of_two().then_some(root1).into_iter().chain(proof.iter().copied());
    let (mut place, mut last) = (size1 - 1, size2 - 1);
    let shift = place.trailing_ones();
    (place, last) = (place.checked_shr(shift).unwrap_or(0), last.checked_shr(shift).unwrap_or(0));
    let Some(first) = steps.next() else { return false };
    let (mut old, mut new) = (first, first);
    for step in steps {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            (old, new) = (node_hash(&step, &old), node_hash(&step, &new));
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            new = node_hash(&new, &step);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0 && old == root1 && new == root2
}

/// The hash over the leaves from `start` to before `end`, as the tree splits them.
fn range<N: Nodes>(nodes: &mut N, start: u64, end: u64) -> Result<Digest, N::Error> {
    let count = end - start;
    if count.is_power_of_two() {
        let height = count.trailing_zeros();
        return nodes.node(height, start >> height);
    }
    let middle = start + split(count);
    let (left, right) = (range(nodes, start, middle)?, range(nodes, middle, end)?);
    Ok(node_hash(&left, &right))
}

/// The largest power of two below `count`, which is at least 2.
const fn split(count: u64) -> u64 {
    count.next_power_of_two() / 2
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::super::{Edge, leaf_hash};
    use super::*;

    struct Leaves(Vec<Digest>);

    impl Nodes for Leaves {
        type Error = Infallible;

        fn node(&mut self, height: u32, index: u64) -> Result<Digest, Infallible> {
            let (from, count) = (usize::try_from(index << height).unwrap(), 1_usize << height);
            let mut row = self.0[from..from + count].to_vec();
            while row.len() > 1 {
                row = row.chunks(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
            }
            Ok(row[0])
        }
    }

    fn tree(size: u64) -> (Leaves, Vec<Digest>) {
        let leaves: Vec<Digest> = (0..size).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        let (mut edge, mut roots) = (Edge::new(), vec![Edge::new().root()]);
        for leaf in &leaves {
            edge.push(*leaf);
            roots.push(edge.root());
        }
        (Leaves(leaves), roots)
    }

    #[test]
    fn every_leaf_is_proven_in_every_tree_and_nowhere_else() {
        let (mut nodes, roots) = tree(70);
        for size in 1..=70 {
            assert_eq!(root(&mut nodes, size).unwrap(), roots[usize::try_from(size).unwrap()]);
            for index in 0..size {
                let proof = inclusion(&mut nodes, index, size).unwrap();
                let leaf = nodes.0[usize::try_from(index).unwrap()];
                let here = roots[usize::try_from(size).unwrap()];
                assert!(is_included(leaf, index, size, &proof, here), "{index} in {size}");
                assert!(!is_included(leaf, index + 1, size, &proof, here));
                assert!(!is_included(leaf, index, size, &proof, roots[0]));
                let mut longer = proof.clone();
                longer.push(leaf);
                assert!(!is_included(leaf, index, size, &longer, here));
            }
        }
    }

    #[test]
    fn every_tree_is_proven_to_be_the_beginning_of_every_larger_one() {
        let (mut nodes, roots) = tree(70);
        let at = |size: u64| (size, roots[usize::try_from(size).unwrap()]);
        for larger in 1..=70 {
            for smaller in 1..=larger {
                let proof = consistency(&mut nodes, smaller, larger).unwrap();
                assert!(is_consistent(at(smaller), at(larger), &proof), "{smaller} of {larger}");
                assert!(smaller == larger || !is_consistent((smaller, roots[0]), at(larger), &proof));
                assert!(!is_consistent(at(smaller), (larger, roots[0]), &proof));
            }
        }
        assert!(!is_consistent(at(0), at(3), &[]), "an empty tree proves nothing");
    }
}
