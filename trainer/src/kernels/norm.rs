//! LayerNorm and RMSNorm, forward and backward, one pass each.

use rayon::prelude::*;

use crate::kernels::rows::{Partials, ROWS, Sum};
use crate::kernels::simd::{LANES, sum, vectorised};

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
            let mut lanes = [[0.0_f32; LANES]; 2];
            let [totals, alongs] = &mut lanes;
            let whole = width / LANES * LANES;
            let blocks = x[..whole].chunks_exact(LANES).zip(g[..whole].chunks_exact(LANES));
            for ((x, g), scale) in blocks.zip(norm.scale[..whole].chunks_exact(LANES)) {
                let sums = totals.iter_mut().zip(alongs.iter_mut());
                for ((((total, along), &x), &g), &scale) in sums.zip(x).zip(g).zip(scale) {
                    *total += g * scale;
                    *along += g * scale * (x - mean);
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

vectorised! {
    fn unit_row_block(values: &mut [f32], width: usize, epsilon: f32, inverses: &mut [f32]) {
        for (row, kept) in values.chunks_exact_mut(width).zip(inverses) {
            let inverse = 1.0 / (sum(row, row, |x, _| x * x) / width as f32 + epsilon).sqrt();
            for value in row {
                *value *= inverse;
            }
            *kept = inverse;
        }
    }

    fn unit_row_block_backward(gradient: &mut [f32], values: &[f32], width: usize, inverses: &[f32]) {
        let rows = gradient.chunks_exact_mut(width).zip(values.chunks_exact(width));
        for ((gradient, values), &inverse) in rows.zip(inverses) {
            let along = sum(gradient, values, |g, y| g * y) / width as f32;
            for (g, &y) in gradient.iter_mut().zip(values) {
                *g = inverse * (*g - y * along);
            }
        }
    }
}

/// Divides each row of `width` values by its root mean square, in place, and keeps by what it multiplied in `inverses`.
pub fn unit_rows(values: &mut [f32], width: usize, epsilon: f32, inverses: &mut Vec<f32>) {
    inverses.resize(values.len() / width, 0.0);
    values
        .par_chunks_mut(ROWS * width)
        .zip(inverses.par_chunks_mut(ROWS))
        .for_each(|(values, inverses)| unit_row_block(values, width, epsilon, inverses));
}

/// Turns the `gradient` of what [`unit_rows`] left (`values`) into that of what it was given.
pub fn unit_rows_backward(gradient: &mut [f32], values: &[f32], width: usize, inverses: &[f32]) {
    gradient
        .par_chunks_mut(ROWS * width)
        .zip(values.par_chunks(ROWS * width))
        .zip(inverses.par_chunks(ROWS))
        .for_each(|((gradient, values), inverses)| {
            unit_row_block_backward(gradient, values, width, inverses);
        });
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
#[expect(clippy::too_many_arguments, reason = "a norm's way back reads and writes this much")]
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
