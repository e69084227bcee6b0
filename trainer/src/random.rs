//! Seeded numbers: every draw is a pure function of a seed, a name and a count.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// SplitMix64 (Steele et al. 2014): tiny, and each stream is fixed by its first state.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// The stream that belongs to `name` under `seed`; other names give unrelated streams.
    pub fn named(seed: u64, name: &str) -> Self {
        Self { state: xxh3_64_with_seed(name.as_bytes(), seed) }
    }

    /// 64 uniform bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.state)
    }

    /// Uniform in [0, 1), with 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Standard normal, by Box and Muller's transform.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }
}

/// SplitMix64's finaliser: a bijection on 64 bits.
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

    #[test]
    fn normals_have_mean_zero_and_variance_one() {
        let mut random = Random::named(1, "test");
        let draws: Vec<f64> = (0..100_000).map(|_| random.normal()).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
        assert_ne!(Random::named(1, "a").bits(), Random::named(1, "b").bits());
        assert_ne!(Random::named(1, "a").bits(), Random::named(2, "a").bits());
    }
}
