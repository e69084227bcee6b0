//! Seeded orders that need no memory.

/// SplitMix64's finaliser (Steele et al. 2014): a bijection on 64 bits.
pub fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A seeded permutation of `0..len` that needs no memory: image of `index`.
///
/// A four-round Feistel network over the next even power of two, walked until it lands inside.
pub fn permute(index: u64, len: u64, seed: u64) -> u64 {
    debug_assert!(index < len);
    let half_bits = (64 - (len - 1).leading_zeros()).div_ceil(2).max(1);
    let mask = (1_u64 << half_bits) - 1;
    let mut at = index;
    loop {
        let (mut left, mut right) = (at >> half_bits, at & mask);
        for round in 0..4_u64 {
            let f = mix(right ^ mix(seed.wrapping_add(round)));
            (left, right) = (right, left ^ (f & mask));
        }
        at = (left << half_bits) | right;
        if at < len {
            return at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permutations_hit_every_index_once() {
        for len in [1, 2, 3, 7, 64, 65, 1000] {
            for seed in 0..3 {
                let mut seen: Vec<u64> = (0..len).map(|index| permute(index, len, seed)).collect();
                seen.sort_unstable();
                assert_eq!(seen, (0..len).collect::<Vec<_>>());
            }
        }
        let order = |seed| (0..100).map(|index| permute(index, 100, seed)).collect::<Vec<_>>();
        assert_ne!(order(1), order(2));
        assert_ne!(order(1), (0..100).collect::<Vec<_>>());
    }
}
