//! Which tokens does one pre-token become?
//!
//! Byte-pair encoding merges the adjacent pair of lowest rank, the leftmost of equals, until no pair has a rank. Short
//! pieces do so by scanning an array on the stack; long ones with a heap over a linked list, in O(n log n).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Pieces up to this many bytes are merged by scanning.
const SCAN_BYTES: usize = 64;

/// No merge: sorts after every rank.
const NONE: u64 = u64::MAX;

/// Which pairs merge: (left id, right id) to (rank, resulting id), packed as `rank << 32 | id`. Open addressing with
/// linear probing, at most half full.
#[derive(Debug, Clone)]
pub struct PairTable {
    slots: Vec<(u64, u64)>,
    shift: u32,
}

impl PairTable {
    /// A table of `(left, right, rank, id)`. The first of equal pairs stays.
    pub fn new(merges: impl ExactSizeIterator<Item = (u32, u32, u32, u32)>) -> Self {
        let bits = (merges.len() * 2).next_power_of_two().trailing_zeros().max(1);
        let mut table = Self { slots: vec![(NONE, NONE); 1 << bits], shift: 64 - bits };
        for (left, right, rank, id) in merges {
            let slot = table.slot(key(left, right));
            if table.slots[slot].0 == NONE {
                table.slots[slot] = (key(left, right), (rank as u64) << 32 | id as u64);
            }
        }
        table
    }

    #[inline]
    fn slot(&self, key: u64) -> usize {
        let mut slot = (key.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> self.shift) as usize;
        while self.slots[slot].0 != key && self.slots[slot].0 != NONE {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        slot
    }

    /// `rank << 32 | id`, or [`NONE`].
    #[inline]
    fn get(&self, left: u32, right: u32) -> u64 {
        self.slots[self.slot(key(left, right))].1
    }
}

#[inline]
fn key(left: u32, right: u32) -> u64 {
    (left as u64) << 32 | right as u64
}

/// Appends the tokens of `piece`. `byte_ids` are the tokens of single bytes.
#[inline]
pub fn merge_piece(pairs: &PairTable, byte_ids: &[u32; 256], piece: &[u8], out: &mut Vec<u32>) {
    if piece.len() <= SCAN_BYTES {
        merge_by_scanning(pairs, byte_ids, piece, out);
    } else {
        // Positions are u32; a piece this long is no text, and is merged in parts.
        for part in piece.chunks(1 << 30) {
            merge_by_heap(pairs, byte_ids, part, out);
        }
    }
}

fn merge_by_scanning(pairs: &PairTable, byte_ids: &[u32; 256], piece: &[u8], out: &mut Vec<u32>) {
    let mut ids = [0_u32; SCAN_BYTES];
    // merges[i] is the merge of ids[i] with ids[i + 1]
    let mut merges = [NONE; SCAN_BYTES];
    let mut len = piece.len();
    for (id, byte) in ids.iter_mut().zip(piece) {
        *id = byte_ids[*byte as usize];
    }
    for i in 1..len {
        merges[i - 1] = pairs.get(ids[i - 1], ids[i]);
    }
    while len > 1 {
        let (mut best, mut at) = (NONE, 0);
        for (i, &merge) in merges[..len - 1].iter().enumerate() {
            // Compare ranks alone: of equal ranks the leftmost wins.
            if merge >> 32 < best >> 32 {
                (best, at) = (merge, i);
            }
        }
        if best == NONE {
            break;
        }
        ids[at] = best as u32;
        ids.copy_within(at + 2..len, at + 1);
        merges.copy_within(at + 1..len, at);
        len -= 1;
        merges[len - 1] = NONE;
        if at > 0 {
            merges[at - 1] = pairs.get(ids[at - 1], ids[at]);
        }
        if at + 1 < len {
            merges[at] = pairs.get(ids[at], ids[at + 1]);
        }
    }
    out.extend_from_slice(&ids[..len]);
}

fn merge_by_heap(pairs: &PairTable, byte_ids: &[u32; 256], piece: &[u8], out: &mut Vec<u32>) {
    const DEAD: u32 = u32::MAX;
    let len = piece.len() as u32;
    let mut ids: Vec<u32> = piece.iter().map(|byte| byte_ids[*byte as usize]).collect();
    // A list of the live positions; both ends are `len`.
    let mut next: Vec<u32> = (1..=len).collect();
    let mut previous: Vec<u32> = (0..len).map(|i| if i == 0 { len } else { i - 1 }).collect();
    let mut heap: BinaryHeap<Reverse<(u32, u32)>> = BinaryHeap::with_capacity(piece.len());
    let mut merges = vec![NONE; piece.len()];
    for i in 0..piece.len() - 1 {
        merges[i] = pairs.get(ids[i], ids[i + 1]);
        if merges[i] != NONE {
            heap.push(Reverse(((merges[i] >> 32) as u32, i as u32)));
        }
    }
    while let Some(Reverse((rank, at))) = heap.pop() {
        let merge = merges[at as usize];
        // Entries are not removed when a neighbour takes their pair away; they no longer match then.
        if merge == NONE || (merge >> 32) as u32 != rank {
            continue;
        }
        let right = next[at as usize];
        let after = next[right as usize];
        ids[at as usize] = merge as u32;
        ids[right as usize] = DEAD;
        merges[right as usize] = NONE;
        next[at as usize] = after;
        if after < len {
            previous[after as usize] = at;
        }
        let left = previous[at as usize];
        for (start, end) in [(left, at), (at, after)] {
            if start < len {
                let merge = if end < len { pairs.get(ids[start as usize], ids[end as usize]) } else { NONE };
                merges[start as usize] = merge;
                if merge != NONE {
                    heap.push(Reverse(((merge >> 32) as u32, start)));
                }
            }
        }
    }
    let mut at = 0;
    while at < len {
        out.push(ids[at as usize]);
        at = next[at as usize];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Merges = Vec<(u32, u32, u32, u32)>;

    fn naive(merges: &Merges, piece: &[u8]) -> Vec<u32> {
        let mut ids: Vec<u32> = piece.iter().map(|b| *b as u32).collect();
        loop {
            let best = (1..ids.len())
                .filter_map(|i| {
                    let merge = merges.iter().find(|m| (m.0, m.1) == (ids[i - 1], ids[i]))?;
                    Some((merge.2, i, merge.3))
                })
                .min();
            let Some((_, i, id)) = best else { return ids };
            ids.splice(i - 1..=i, [id]);
        }
    }

    fn byte_ids() -> [u32; 256] {
        std::array::from_fn(|b| b as u32)
    }

    /// Random merge lists over few letters, so that they nest deeply and compete.
    fn merges() -> impl Strategy<Value = Merges> {
        prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..40).prop_map(
            |picks| {
                let mut ids: Vec<u32> = (b'a'..=b'd').map(u32::from).collect();
                let mut merges: Merges = Vec::new();
                for (left, right) in picks {
                    let (left, right) = (ids[left.index(ids.len())], ids[right.index(ids.len())]);
                    if merges.iter().all(|m| (m.0, m.1) != (left, right)) {
                        let rank = merges.len() as u32;
                        merges.push((left, right, rank, 256 + rank));
                        ids.push(256 + rank);
                    }
                }
                merges
            },
        )
    }

    proptest! {
        #[test]
        fn both_ways_equal_the_plain_loop(merges in merges(), piece in "[a-d]{1,64}") {
            let table = PairTable::new(merges.iter().copied());
            let (mut scanned, mut heaped) = (Vec::new(), Vec::new());
            merge_by_scanning(&table, &byte_ids(), piece.as_bytes(), &mut scanned);
            merge_by_heap(&table, &byte_ids(), piece.as_bytes(), &mut heaped);
            let naive = naive(&merges, piece.as_bytes());
            prop_assert_eq!(&scanned, &naive);
            prop_assert_eq!(&heaped, &naive);
        }
    }

    #[test]
    fn the_leftmost_of_equal_pairs_merges_first() {
        let table = PairTable::new([(97, 97, 0, 256)].into_iter());
        let mut out = Vec::new();
        merge_piece(&table, &byte_ids(), b"aaa", &mut out);
        assert_eq!(out, [256, 97]);
        out.clear();
        merge_piece(&table, &byte_ids(), &[b'a'; 65], &mut out);
        assert_eq!(out, [[256; 32].as_slice(), &[97]].concat());
    }
}
