//! Elementary functions in forms that compilers turn into vector code.

use crate::kernels::simd::{LANES, vectorised};

/// e^x for x <= 0 (and a little above), within 2e-7 relative.
///
/// x = n ln 2 + r with |r| <= ln 2 / 2; e^r by its Taylor series to r^7 (remainder below 6e-9); 2^n by its bits.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4; // 355/512: n * LN2_HIGH is exact
    const LN2_LOW: f32 = -2.121_944_4e-4;
    const ROUND: f32 = 12_582_912.0; // 1.5 * 2^23: adding it rounds to the nearest integer
    let x = x.max(-87.0); // e^-87 is the last normal number
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * LN2_HIGH - n * LN2_LOW;
    let mut e = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        e = e * r + coefficient;
    }
    // The low bits of `shifted` hold n; moved into the exponent they multiply by 2^n.
    let power = f32::from_bits(shifted.to_bits().wrapping_shl(23).wrapping_add(0x3F80_0000));
    e * power
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    let small = e / (1.0 + e);
    if x < 0.0 { small } else { 1.0 - small }
}

/// The hyperbolic tangent, within 4e-7 relative.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    // Its Taylor series to x^13 where 1 - e would cancel; the next term is below 4e-9 of it.
    let square = x * x;
    let mut series = 21_844.0 / 6_081_075.0;
    for coefficient in [-1382.0 / 155_925.0, 62.0 / 2835.0, -17.0 / 315.0, 2.0 / 15.0, -1.0 / 3.0, 1.0] {
        series = series * square + coefficient;
    }
    let e = exp(-2.0 * x.abs());
    let large = ((1.0 - e) / (1.0 + e)).copysign(x);
    if x.abs() < 0.4 { x * series } else { large }
}

/// The normal distribution's cumulative share Φ(x), within 3e-7, and density φ(x).
///
/// Abramowitz and Stegun 7.1.26: erfc(z) = (a1 t + ... + a5 t^5) e^(-z²) with t = 1 / (1 + p z), at z = |x| / sqrt 2.
#[inline(always)]
pub fn normal(x: f32) -> (f32, f32) {
    const SCALED_P: f32 = 0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2;
    const INVERSE_ROOT_TAU: f32 = 0.398_942_3;
    let t = 1.0 / (1.0 + SCALED_P * x.abs());
    let e = exp(-0.5 * x * x);
    let mut series = 1.061_405_4;
    for coefficient in [-1.453_152, 1.421_413_7, -0.284_496_75, 0.254_829_6] {
        series = series * t + coefficient;
    }
    let tail = 0.5 * series * t * e;
    (if x < 0.0 { tail } else { 1.0 - tail }, INVERSE_ROOT_TAU * e)
}

vectorised! {
    /// Replaces scores by e^(score - highest); their sum and the highest come back.
    pub fn shares(scores: &mut [f32]) -> [f32; 2] {
        let mut highest = [f32::NEG_INFINITY; LANES];
        let blocks = scores.chunks_exact(LANES);
        let rest = blocks.remainder().iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for block in blocks {
            for (highest, &score) in highest.iter_mut().zip(block) {
                *highest = if score > *highest { score } else { *highest };
            }
        }
        let highest = highest.iter().copied().fold(rest, f32::max);
        let mut lanes = [0.0_f32; LANES];
        let mut blocks = scores.chunks_exact_mut(LANES);
        for block in &mut blocks {
            for (lane, score) in lanes.iter_mut().zip(block) {
                *score = exp(*score - highest);
                *lane += *score;
            }
        }
        let mut sum: f32 = lanes.iter().sum();
        for score in blocks.into_remainder() {
            *score = exp(*score - highest);
            sum += *score;
        }
        [sum, highest]
    }

    /// Bends each logit z into limit · tanh(z / limit), and keeps the slopes, 1 - tanh².
    pub fn cap(logits: &mut [f32], slopes: &mut [f32], limit: f32) {
        for (logit, slope) in logits.iter_mut().zip(slopes) {
            let tanh = tanh(*logit / limit);
            *logit = limit * tanh;
            *slope = 1.0 - tanh * tanh;
        }
    }

    /// Turns the gradient of bent logits into that of the logits.
    pub fn uncap(gradient: &mut [f32], slopes: &[f32]) {
        for (gradient, &slope) in gradient.iter_mut().zip(slopes) {
            *gradient *= slope;
        }
    }

    /// Multiplies all `values`.
    pub fn multiply_by(values: &mut [f32], factor: f32) {
        for value in values {
            *value *= factor;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_in_ten_million() {
        for i in 0..870_000 {
            let x = -(i as f32) / 10_000.0;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) / exact - 1.0).abs() < 2e-7, "{x}: {} {exact}", exp(x));
        }
        assert!(exp(-1e30) < 1e-37);
    }

    #[test]
    fn the_sigmoid_is_exact_in_both_tails() {
        for i in -4_000..4_000 {
            let x = i as f32 / 100.0;
            let exact = 1.0 / (1.0 + (-f64::from(x)).exp());
            assert!((f64::from(sigmoid(x)) - exact).abs() < 1e-7, "{x}: {} {exact}", sigmoid(x));
            assert!((f64::from(sigmoid(x)) / exact - 1.0).abs() < 1e-6, "{x}: {} {exact}", sigmoid(x));
        }
    }

    #[test]
    fn the_hyperbolic_tangent_is_exact_near_zero_too() {
        for i in -100_000..100_000 {
            let x = i as f32 / 10_000.0;
            let exact = f64::from(x).tanh();
            assert!((f64::from(tanh(x)) - exact).abs() <= 4e-7 * exact.abs(), "{x}: {} {exact}", tanh(x));
        }
        assert!((tanh(1e30) - 1.0).abs() < 1e-7 && (tanh(-1e30) + 1.0).abs() < 1e-7);
    }

    #[test]
    fn the_normal_distribution_is_within_its_bound() {
        // Φ by summing φ from far below in steps of 1e-4, Simpson's rule in f64.
        let density = |x: f64| (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
        let (mut x, mut share) = (-9.0_f64, 0.0_f64);
        while x < 9.0 {
            let (p, d) = normal(x as f32);
            assert!((f64::from(p) - share).abs() < 3e-7, "{x}: {p} {share}");
            assert!((f64::from(d) - density(x)).abs() < 1e-7, "{x}: {d}");
            let step = 1.0 / 128.0; // exact in f32
            for i in 0..64 {
                let (a, h) = (x + step * f64::from(i) / 64.0, step / 64.0);
                share += h / 6.0 * (density(a) + 4.0 * density(a + h / 2.0) + density(a + h));
            }
            x += step;
        }
    }
}
