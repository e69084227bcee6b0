//! LayerNorm and RMSNorm, forward and backward, one pass each.

use rayon::prelude::*;

use crate::kernels::rows::{Partials, ROWS, Sum};
use crate::kernels::simd::{sum, vectorised};

/// What a norm computes.
#[derive(Clone, Copy)]
pub struct Norm<'a> {
    /// Multiplies the normalised values (C).
    pub scale: &'a [f32],
    /// Added to them (C). LayerNorm has one and takes the mean away first; RMSNorm has none and does not.
    pub bias: Option<&'a [f32]>,
    /// Added to the variance.
    pub epsilon: f32,
}

/// Mean and inverse deviation of each row, kept for the way back.
#[derive(Default)]
pub struct Moments {
    values: Vec<[f32; 2]>,
}

vectorised! {
    fn forward_rows(norm: Norm<'_>, input: &[f32], out: &mut [f32], moments: &mut [[f32; 2]]) {
        let width = norm.scale.len();
        let count = width as f32;
        for ((x, out), moments) in input.chunks_exact(width).zip(out.chunks_exact_mut(width)).zip(moments) {
            let mean = if norm.bias.is_some() { sum(x, x, |x, _| x) / count } else { 0.0 };
            let variance = sum(x, x, |x, _| (x - mean) * (x - mean)) / count;
            let inverse = 1.0 / (variance + norm.epsilon).sqrt();
            *moments = [mean, inverse];
            match norm.bias {
                Some(bias) => {
                    for (((out, &x), &scale), &bias) in out.iter_mut().zip(x).zip(norm.scale).zip(bias) {
                        *out = (x - mean) * inverse * scale + bias;
                    }
                }
                None => {
                    for ((out, &x), &scale) in out.iter_mut().zip(x).zip(norm.scale) {
                        *out = x * inverse * scale;
                    }
                }
            }
        }
    }

    /// Adds to `stream` the gradient of the input, and to `sums` those of scale and bias.
    fn backward_rows(
        norm: Norm<'_>,
        input: &[f32],
        moments: &[[f32; 2]],
        gradient: &[f32],
        stream: &mut [f32],
        sums: &mut [f32],
    ) {
        let width = norm.scale.len();
        let count = width as f32;
        let (scale_sums, bias_sums) = sums.split_at_mut(width);
        let rows = input.chunks_exact(width).zip(gradient.chunks_exact(width));
        for (((x, g), stream), &[mean, inverse]) in rows.zip(stream.chunks_exact_mut(width)).zip(moments) {
            for ((sum, &x), &g) in scale_sums.iter_mut().zip(x).zip(g) {
                *sum += g * ((x - mean) * inverse);
            }
            // One pass: the mean of x̂·g·scale is inverse·(mean of x·g·scale - mean·mean of g·scale), but taken with the
            // mean away first, where nothing cancels.
            let mut lanes = [[0.0_f32; crate::kernels::simd::LANES]; 2];
            const LANES: usize = crate::kernels::simd::LANES;
            let whole = width / LANES * LANES;
            for ((x, g), scale) in x[..whole].chunks_exact(LANES).zip(g[..whole].chunks_exact(LANES)).zip(norm.scale[..whole].chunks_exact(LANES)) {
                for lane in 0..LANES {
                    let scaled = g[lane] * scale[lane];
                    lanes[0][lane] += scaled;
                    lanes[1][lane] += scaled * (x[lane] - mean);
                }
            }
            let (mut total, mut along) = (lanes[0].iter().sum::<f32>(), lanes[1].iter().sum::<f32>());
            for ((&x, &g), &scale) in x[whole..].iter().zip(&g[whole..]).zip(&norm.scale[whole..]) {
                total += g * scale;
                along += g * scale * (x - mean);
            }
            let along = along * inverse / count * inverse;
            if norm.bias.is_some() {
                for (sum, &g) in bias_sums.iter_mut().zip(g) {
                    *sum += g;
                }
                let total = total / count;
                for (((out, &x), &g), &scale) in stream.iter_mut().zip(x).zip(g).zip(norm.scale) {
                    *out += inverse * (g * scale - total) - (x - mean) * inverse * along;
                }
            } else {
                for (((out, &x), &g), &scale) in stream.iter_mut().zip(x).zip(g).zip(norm.scale) {
                    *out += inverse * (g * scale) - x * inverse * along;
                }
            }
        }
    }
}

/// Normalises each row of `input` (N, C) into `out`.
pub fn forward(norm: Norm<'_>, input: &[f32], out: &mut [f32], moments: &mut Moments) {
    let width = norm.scale.len();
    moments.values.resize(input.len() / width, [0.0; 2]);
    input
        .par_chunks(ROWS * width)
        .zip(out.par_chunks_mut(ROWS * width))
        .zip(moments.values.par_chunks_mut(ROWS))
        .for_each(|((input, out), moments)| forward_rows(norm, input, out, moments));
}

/// Adds the gradient of `input` to `stream`, and writes those of scale and bias, from the `gradient` of the output.
pub fn backward(
    norm: Norm<'_>,
    input: &[f32],
    moments: &Moments,
    gradient: &[f32],
    stream: &mut [f32],
    (scale, bias): (&mut [f32], Option<&mut [f32]>),
    sum: Sum,
    buffer: &mut Vec<f32>,
) {
    let width = norm.scale.len();
    let mut partials = Partials::new(buffer, input.len() / width, 2 * width);
    partials
        .blocks()
        .zip(input.par_chunks(ROWS * width))
        .zip(gradient.par_chunks(ROWS * width))
        .zip(stream.par_chunks_mut(ROWS * width))
        .zip(moments.values.par_chunks(ROWS))
        .for_each(|((((sums, input), gradient), stream), moments)| {
            backward_rows(norm, input, moments, gradient, stream, sums);
        });
    partials.finish(0, scale, sum);
    if let Some(bias) = bias {
        partials.finish(width, bias, sum);
    }
}
