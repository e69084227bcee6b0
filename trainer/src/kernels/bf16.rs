//! Rounding to bf16, the upper half of an f32: 8 bits of exponent as f32 has, 8 of mantissa with the hidden one.
//!
//! Values stay in buffers of f32. A product of two bf16 is exact in f32, so a product of matrices that were rounded, added up
//! in f32, is what hardware with bf16 inputs and f32 accumulators computes.

use rayon::prelude::*;

use crate::config::Precision;
use crate::kernels::simd::vectorised;

/// Values that one task handles.
const BLOCK: usize = 1 << 15;

vectorised! {
    /// To the nearest bf16, ties to the even one.
    fn round_block(values: &mut [f32]) {
        for value in values {
            let bits = value.to_bits();
            let nearest = bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) & 0xFFFF_0000;
            // The sum would carry a not-a-number into the sign.
            *value = if value.is_nan() { f32::NAN } else { f32::from_bits(nearest) };
        }
    }
}

/// Rounds all `values` to `precision`.
pub fn round(precision: Precision, values: &mut [f32]) {
    if precision == Precision::Bf16 {
        values.par_chunks_mut(BLOCK).for_each(round_block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_half_s() {
        // Every exponent and sign, mantissas around ties; infinities, subnormals, not-a-numbers.
        let mut values: Vec<f32> = (0..1_u32 << 16)
            .flat_map(|high| {
                [0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF].map(|low| f32::from_bits(high << 16 | low))
            })
            .collect();
        let exact = values.clone();
        round(Precision::F32, &mut values);
        assert!(values.iter().zip(&exact).all(|(a, b)| a.to_bits() == b.to_bits()));
        round(Precision::Bf16, &mut values);
        for (rounded, exact) in values.iter().zip(exact) {
            let expected = half::bf16::from_f32(exact).to_f32();
            assert!(
                rounded.to_bits() == expected.to_bits() || rounded.is_nan() && exact.is_nan(),
                "{exact:e}"
            );
        }
    }
}
