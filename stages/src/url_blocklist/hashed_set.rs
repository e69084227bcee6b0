//! A set of byte strings in 9 bytes an entry: sorted 64-bit hashes and an index over their first bits.

use xxhash_rust::xxh3::xxh3_64;

/// Membership by xxh3. Two strings of one hash are one to it: of 5 million entries, a string that is not among them seems to be
/// with a probability of 3e-13, once in thousands of Common Crawl snapshots.
#[derive(Debug, Default)]
pub struct HashedSet {
    /// Sorted, without duplicates.
    hashes: Vec<u64>,
    /// `starts[b]..starts[b + 1]` are the hashes whose first bits are `b`.
    starts: Vec<u32>,
    shift: u32,
}

impl HashedSet {
    /// A set of strings given by [`HashedSet::hash`], in any order.
    ///
    /// # Panics
    /// With more than 4 billion entries.
    pub fn new(mut hashes: Vec<u64>) -> Self {
        hashes.sort_unstable();
        hashes.dedup();
        hashes.shrink_to_fit();
        assert!(u32::try_from(hashes.len()).is_ok(), "lists have far fewer lines");
        // About 8 entries a bucket: half a byte an entry, and one cache line a search.
        let n_buckets = (hashes.len() / 8).next_power_of_two().max(2);
        let shift = 64 - n_buckets.trailing_zeros();
        let mut starts = vec![0; n_buckets + 1];
        for hash in &hashes {
            starts[(hash >> shift) as usize + 1] += 1;
        }
        for bucket in 0..n_buckets {
            starts[bucket + 1] += starts[bucket];
        }
        Self { hashes, starts, shift }
    }

    /// What stands for a string.
    pub fn hash(bytes: &[u8]) -> u64 {
        xxh3_64(bytes)
    }

    /// Whether a string is in the set.
    pub fn contains(&self, bytes: &[u8]) -> bool {
        !self.hashes.is_empty() && self.contains_hash(Self::hash(bytes))
    }

    /// Whether a string of this hash is in the set.
    pub fn contains_hash(&self, hash: u64) -> bool {
        if self.hashes.is_empty() {
            return false;
        }
        let bucket = (hash >> self.shift) as usize;
        let range = self.starts[bucket] as usize..self.starts[bucket + 1] as usize;
        self.hashes[range].contains(&hash)
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }
}

impl<'a> FromIterator<&'a str> for HashedSet {
    fn from_iter<I: IntoIterator<Item = &'a str>>(items: I) -> Self {
        Self::new(items.into_iter().map(|item| Self::hash(item.as_bytes())).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn holds_what_it_was_given(
            items in prop::collection::vec("[a-d]{0,4}", 0..200),
            queries in prop::collection::vec("[a-d]{0,4}", 0..50),
        ) {
            let plain: BTreeSet<&str> = items.iter().map(String::as_str).collect();
            let set: HashedSet = items.iter().map(String::as_str).collect();
            prop_assert_eq!(set.len(), plain.len());
            for query in items.iter().chain(&queries) {
                prop_assert_eq!(set.contains(query.as_bytes()), plain.contains(query.as_str()));
            }
        }
    }
}
