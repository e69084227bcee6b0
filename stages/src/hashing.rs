//! Fast hashers for sets and maps that never leave the process.

use std::hash::{BuildHasherDefault, Hasher};

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Hash sets and maps of strings with [`StringHasher`].
pub type FastHash = BuildHasherDefault<StringHasher>;

/// xxh3 of what is written. The order of a set or map must not reach output, as with any hasher.
#[derive(Default)]
pub struct StringHasher(u64);

impl Hasher for StringHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    /// The byte that ends a string; xxh3 covers the length already, pairs of strings need the turn.
    #[inline]
    fn write_u8(&mut self, byte: u8) {
        self.0 = self.0.rotate_left(23) ^ u64::from(byte);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

/// Maps whose keys are hashes of their own, which need no better one.
pub type HashOfHash = BuildHasherDefault<HashHasher>;

/// Spreads the last number that is written over all bits.
#[derive(Default)]
pub struct HashHasher(u64);

impl Hasher for HashHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    #[inline]
    fn write_u32(&mut self, hash: u32) {
        self.0 = u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}
