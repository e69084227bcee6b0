//! Seeded numbers: every draw is a pure function of a seed, a name and a count.

pub use gristmill_corpus::permutation::mix;
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

#[cfg(test)]
mod tests {
    use super::*;

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
