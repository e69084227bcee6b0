//! Deduplication: what makes two documents the same, and which of them stays.
//!
//! [`normalise`] turns text into hashed words, [`minhash`] words into band keys; an exchange brings equal keys together,
//! [`components`] finds what hangs together, [`clusters`] makes edges of groups and keep-lists of clusters. The stages
//! themselves are `minhash_dedup`, `exact_dedup` and `url_dedup`, each in the file of its name.

pub mod clusters;
pub mod components;
pub mod cut;
pub mod equal;
pub mod exchange;
pub mod minhash;
pub mod normalise;
pub mod order;
pub mod scope;
#[cfg(test)]
pub mod span_test_support;
pub mod survivor;
#[cfg(test)]
pub mod test_support;
pub mod tokens;
pub mod units;
pub mod url;

/// Spreads hashed keys evenly over `partitions`, by the upper bits of the hash.
pub fn partition_of(hash: u64, partitions: u32) -> u32 {
    ((u128::from(hash) * u128::from(partitions)) >> 64) as u32
}
