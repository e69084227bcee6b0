//! A fast hasher for sets and maps that never leave the process.

use std::hash::{BuildHasherDefault, Hasher};

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Hash sets and maps of strings, or of hashes, with [`FastHasher`].
pub type FastHash = BuildHasherDefault<FastHasher>;

/// xxh3 of what is written. The order of a set or map must not reach output, as with any hasher.
#[derive(Default)]
pub struct FastHasher(u64);

impl Hasher for FastHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    /// The byte that ends a string; xxh3 covers the length already, pairs of strings need the turn.
    #[inline]
    fn write_u8(&mut self, byte: u8) {
        self.0 = self.0.rotate_left(23) ^ u64::from(byte);
    }

    /// A number of 32 bits, which is a hash itself where maps have it for a key: spread over all bits.
    #[inline]
    fn write_u32(&mut self, hash: u32) {
        self.0 = (self.0 ^ u64::from(hash)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}
