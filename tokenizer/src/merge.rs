//! Which tokens does one pre-token become?
//!
//! Byte-pair encoding merges the adjacent pair of lowest rank, the leftmost of equals, until no pair has a rank. Short
//! pieces do so by scanning an array on the stack; long ones with a heap over a linked list, in O(n log n).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Pieces up to this many bytes are merged by scanning: one bit of a `u64` a byte says which tokens are left.
const SCAN_BYTES: usize = 64;

/// Ids of ordinary tokens lie below, so that two of them and a rank fit into 64 bits. The largest published
/// vocabularies have 262,144.
pub const MAX_IDS: usize = (1 << ID_BITS) - 1;

/// Ranks of merges lie below.
pub const MAX_RANKS: usize = (1 << RANK_BITS) - 1;

const ID_BITS: u32 = 21;
const RANK_BITS: u32 = 22;

/// No merge: sorts after every rank.
const NONE: u32 = MAX_RANKS as u32;

const FREE: u64 = u64::MAX;

/// So many pairs of the lowest ranks, which most text merges, have a table of their own: half a megabyte, which stays in
/// a core's cache. Looking pairs up is what merging waits for.
const FREQUENT: usize = 1 << 15;

/// Which pairs merge: (left id, right id) to rank, and rank to the resulting id.
#[derive(Debug, Clone)]
pub struct PairTable {
    frequent: Slots,
    rare: Slots,
    /// A bit for each of many hashes, 1 where a rare pair has it: most pairs merge at no rank, and end here.
    maybe_rare: Vec<u64>,
    maybe_shift: u32,
    /// The id that a merge of this rank makes.
    merged: Merged,
    /// Ranks of the pairs of single bytes, at `left << 8 | right`: every piece begins with these.
    of_bytes: Vec<u32>,
    byte_ids: [u32; 256],
}

/// Open addressing with linear probing, at most half full, 8 bytes a slot: `left << 43 | right << 22 | rank`.
#[derive(Debug, Clone)]
struct Slots {
    slots: Vec<u64>,
    shift: u32,
}

impl Slots {
    fn with_room(pairs: usize) -> Self {
        let bits = (pairs * 2).next_power_of_two().trailing_zeros().max(1);
        Self { slots: vec![FREE; 1 << bits], shift: 64 - bits }
    }

    #[inline]
    fn slot(&self, key: u64, hash: u64) -> usize {
        let mut slot = (hash >> self.shift) as usize;
        while self.slots[slot] >> RANK_BITS != key && self.slots[slot] != FREE {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
        slot
    }

    /// The rank of a pair, or [`NONE`]: the low bits of a free slot.
    #[inline]
    fn get(&self, key: u64, hash: u64) -> u32 {
        self.slots[self.slot(key, hash)] as u32 & NONE
    }

    fn insert(&mut self, key: u64, hash: u64, rank: u32) {
        let slot = self.slot(key, hash);
        self.slots[slot] = key << RANK_BITS | rank as u64;
    }
}

#[derive(Debug, Clone)]
enum Merged {
    /// The rank and this: tokens were given ids in the order of their merges, as in every published vocabulary. It saves
    /// a look into memory in each merge.
    InOrder(u32),
    /// By rank.
    Listed(Vec<u32>),
}

impl Merged {
    /// Of (rank, id).
    fn new(merges: &[(u32, u32)]) -> Self {
        if let Some(offset) = merges.first().and_then(|(rank, id)| id.checked_sub(*rank))
            && merges.iter().all(|(rank, id)| rank + offset == *id)
        {
            return Self::InOrder(offset);
        }
        let mut ids = vec![u32::MAX; merges.iter().map(|(rank, _)| *rank as usize + 1).max().unwrap_or(0)];
        for (rank, id) in merges {
            ids[*rank as usize] = *id;
        }
        Self::Listed(ids)
    }

    #[inline]
    fn id(&self, rank: u32) -> u32 {
        match self {
            Self::InOrder(offset) => rank + offset,
            Self::Listed(ids) => ids[rank as usize],
        }
    }
}

impl PairTable {
    /// A table of `(left, right, rank, id)`, below [`MAX_IDS`] and [`MAX_RANKS`], the lowest ranks first. The first of
    /// equal pairs stays. `byte_ids` are the tokens of single bytes.
    pub fn new(merges: impl ExactSizeIterator<Item = (u32, u32, u32, u32)>, byte_ids: &[u32; 256]) -> Self {
        let rare = merges.len().saturating_sub(FREQUENT);
        let maybe_bits = (rare * 8).next_power_of_two().trailing_zeros().max(6);
        let mut table = Self {
            frequent: Slots::with_room(merges.len().min(FREQUENT)),
            rare: Slots::with_room(rare),
            maybe_rare: vec![0; 1 << (maybe_bits - 6)],
            maybe_shift: 64 - maybe_bits,
            merged: Merged::InOrder(0),
            of_bytes: Vec::new(),
            byte_ids: *byte_ids,
        };
        let mut merged = Vec::with_capacity(merges.len());
        for (left, right, rank, id) in merges {
            if table.get(left, right) != NONE {
                continue;
            }
            let (key, hash) = key_and_hash(left, right);
            if merged.len() < FREQUENT {
                table.frequent.insert(key, hash, rank);
            } else {
                table.rare.insert(key, hash, rank);
                let bit = hash >> table.maybe_shift;
                table.maybe_rare[bit as usize / 64] |= 1 << (bit % 64);
            }
            merged.push((rank, id));
        }
        table.merged = Merged::new(&merged);
        let pairs = byte_ids.iter().flat_map(|left| byte_ids.iter().map(|right| table.get(*left, *right)));
        table.of_bytes = pairs.collect();
        table
    }

    /// The rank of a pair, or [`NONE`].
    #[inline]
    fn get(&self, left: u32, right: u32) -> u32 {
        let (key, hash) = key_and_hash(left, right);
        let rank = self.frequent.get(key, hash);
        if rank != NONE {
            return rank;
        }
        let bit = hash >> self.maybe_shift;
        if self.maybe_rare[bit as usize / 64] >> (bit % 64) & 1 == 0 {
            NONE
        } else {
            self.rare.get(key, hash)
        }
    }

    #[inline]
    fn of_bytes(&self, left: u8, right: u8) -> u32 {
        self.of_bytes[(left as usize) << 8 | right as usize]
    }
}

#[inline]
fn key_and_hash(left: u32, right: u32) -> (u64, u64) {
    let key = (left as u64) << ID_BITS | right as u64;
    (key, key.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

/// Appends the tokens of `piece`.
pub fn merge_piece(pairs: &PairTable, piece: &[u8], out: &mut Vec<u32>) {
    match piece.len() {
        0..=16 => merge_by_scanning::<16>(pairs, piece, out),
        17..=32 => merge_by_scanning::<32>(pairs, piece, out),
        33..=SCAN_BYTES => merge_by_scanning::<SCAN_BYTES>(pairs, piece, out),
        // Positions are u32; a piece this long is no text, and is merged in parts.
        _ => piece.chunks(1 << 30).for_each(|part| merge_by_heap(pairs, part, out)),
    }
}

/// A token stays at the position of its first byte. Nothing moves when two merge: `live` says which positions still
/// begin a token.
fn merge_by_scanning<const N: usize>(pairs: &PairTable, piece: &[u8], out: &mut Vec<u32>) {
    const POSITION_BITS: u32 = SCAN_BYTES.trailing_zeros();
    const NO_MERGE: u32 = NONE << POSITION_BITS | (SCAN_BYTES as u32 - 1);
    debug_assert!(piece.len() <= N && N <= SCAN_BYTES);
    let mut ids = [0_u32; N];
    // `rank << 6 | position` of the merge of the token here with the next: the least is the lowest rank, and of equals
    // the leftmost. Its minimum over a whole array is a few vector instructions.
    let mut merges = [NO_MERGE; N];
    for (id, byte) in ids.iter_mut().zip(piece) {
        *id = pairs.byte_ids[*byte as usize];
    }
    for (at, pair) in piece.windows(2).enumerate() {
        merges[at] = pairs.of_bytes(pair[0], pair[1]) << POSITION_BITS | at as u32;
    }
    let mut live = if piece.len() == 64 { u64::MAX } else { (1 << piece.len()) - 1 };
    loop {
        let best = merges.iter().fold(NO_MERGE, |least, merge| least.min(*merge));
        let rank = best >> POSITION_BITS;
        if rank == NONE {
            break;
        }
        let at = (best & (SCAN_BYTES as u32 - 1)) as usize;
        // A merge has a token on its right.
        let right = after(live, at).expect("a pair that merges has a right token");
        ids[at] = pairs.merged.id(rank);
        live &= !(1 << right);
        merges[right] = NO_MERGE;
        merges[at] = after(live, at)
            .map_or(NO_MERGE, |next| pairs.get(ids[at], ids[next]) << POSITION_BITS | at as u32);
        let before = live & ((1 << at) - 1);
        if before != 0 {
            let left = before.ilog2() as usize;
            merges[left] = pairs.get(ids[left], ids[at]) << POSITION_BITS | left as u32;
        }
    }
    while live != 0 {
        out.push(ids[live.trailing_zeros() as usize]);
        live &= live - 1;
    }
}

/// The next live position after `at`.
#[inline]
fn after(live: u64, at: usize) -> Option<usize> {
    let later = live >> at >> 1;
    (later != 0).then(|| at + 1 + later.trailing_zeros() as usize)
}

fn merge_by_heap(pairs: &PairTable, piece: &[u8], out: &mut Vec<u32>) {
    let len = piece.len() as u32;
    let mut ids: Vec<u32> = piece.iter().map(|byte| pairs.byte_ids[*byte as usize]).collect();
    // A list of the live positions; both ends are `len`.
    let mut next: Vec<u32> = (1..=len).collect();
    let mut previous: Vec<u32> = (0..len).map(|i| if i == 0 { len } else { i - 1 }).collect();
    // `rank << 32 | position`, made a heap at once.
    let mut ranks = vec![NONE; piece.len()];
    for (rank, pair) in ranks.iter_mut().zip(piece.windows(2)) {
        *rank = pairs.of_bytes(pair[0], pair[1]);
    }
    let entry = |rank: u32, at: u32| Reverse((rank as u64) << 32 | at as u64);
    let first = ranks.iter().zip(0..).filter(|(rank, _)| **rank != NONE);
    let mut heap: BinaryHeap<Reverse<u64>> = first.map(|(rank, at)| entry(*rank, at)).collect();
    while let Some(Reverse(best)) = heap.pop() {
        let (rank, at) = ((best >> 32) as u32, best as u32);
        // Entries are not removed when a neighbour takes their pair away; they no longer match then.
        if ranks[at as usize] != rank {
            continue;
        }
        let right = next[at as usize];
        let after = next[right as usize];
        ids[at as usize] = pairs.merged.id(rank);
        ranks[right as usize] = NONE;
        next[at as usize] = after;
        if after < len {
            previous[after as usize] = at;
        }
        let left = previous[at as usize];
        for (start, end) in [(left, at), (at, after)] {
            if start < len {
                let rank = if end < len { pairs.get(ids[start as usize], ids[end as usize]) } else { NONE };
                ranks[start as usize] = rank;
                if rank != NONE {
                    heap.push(entry(rank, start));
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
            let table = PairTable::new(merges.iter().copied(), &byte_ids());
            let (mut by_length, mut scanned, mut heaped) = (Vec::new(), Vec::new(), Vec::new());
            merge_piece(&table, piece.as_bytes(), &mut by_length);
            merge_by_scanning::<64>(&table, piece.as_bytes(), &mut scanned);
            merge_by_heap(&table, piece.as_bytes(), &mut heaped);
            let naive = naive(&merges, piece.as_bytes());
            prop_assert_eq!(&by_length, &naive);
            prop_assert_eq!(&scanned, &naive);
            prop_assert_eq!(&heaped, &naive);
        }
    }

    #[test]
    fn the_leftmost_of_equal_pairs_merges_first() {
        let table = PairTable::new([(97, 97, 0, 256)].into_iter(), &byte_ids());
        let mut out = Vec::new();
        merge_piece(&table, b"aaa", &mut out);
        assert_eq!(out, [256, 97]);
        out.clear();
        merge_piece(&table, &[b'a'; 65], &mut out);
        assert_eq!(out, [[256; 32].as_slice(), &[97]].concat());
    }
}
