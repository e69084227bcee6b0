//! GELU and SwiGLU, forward and backward. The way back computes the activation again instead of keeping it.

use rayon::prelude::*;

use crate::config::Gelu;
use crate::kernels::math::{normal, sigmoid};
use crate::kernels::rows::{Partials, ROWS, Sum};
use crate::kernels::simd::vectorised;

/// Value and slope of GELU.
#[inline(always)]
fn erf_gelu(x: f32) -> (f32, f32) {
    let (share, density) = normal(x);
    (x * share, share + x * density)
}

#[inline(always)]
fn tanh_gelu(x: f32) -> (f32, f32) {
    const ROOT: f32 = 0.797_884_56; // sqrt(2 / pi)
    const CUBE: f32 = 0.044_715;
    // (1 + tanh u) / 2 is the sigmoid of 2u.
    let share = sigmoid(2.0 * ROOT * (x + CUBE * x * x * x));
    let slope = 2.0 * ROOT * (1.0 + 3.0 * CUBE * x * x);
    (x * share, share + x * share * (1.0 - share) * slope)
}

vectorised! {
    fn erf_forward(out: &mut [f32], before: &[f32], bias: &[f32]) {
        for (out, before) in out.chunks_exact_mut(bias.len()).zip(before.chunks_exact(bias.len())) {
            for ((out, &before), &bias) in out.iter_mut().zip(before).zip(bias) {
                *out = erf_gelu(before + bias).0;
            }
        }
    }

    fn tanh_forward(out: &mut [f32], before: &[f32], bias: &[f32]) {
        for (out, before) in out.chunks_exact_mut(bias.len()).zip(before.chunks_exact(bias.len())) {
            for ((out, &before), &bias) in out.iter_mut().zip(before).zip(bias) {
                *out = tanh_gelu(before + bias).0;
            }
        }
    }

    fn erf_backward(gradient: &mut [f32], out: &mut [f32], before: &[f32], bias: &[f32], sums: &mut [f32]) {
        let width = bias.len();
        let rows = gradient.chunks_exact_mut(width).zip(out.chunks_exact_mut(width));
        for ((gradient, out), before) in rows.zip(before.chunks_exact(width)) {
            for ((((gradient, out), &before), &bias), sum) in
                gradient.iter_mut().zip(out).zip(before).zip(bias).zip(sums.iter_mut())
            {
                let (value, slope) = erf_gelu(before + bias);
                *out = value;
                *gradient *= slope;
                *sum += *gradient;
            }
        }
    }

    fn tanh_backward(gradient: &mut [f32], out: &mut [f32], before: &[f32], bias: &[f32], sums: &mut [f32]) {
        let width = bias.len();
        let rows = gradient.chunks_exact_mut(width).zip(out.chunks_exact_mut(width));
        for ((gradient, out), before) in rows.zip(before.chunks_exact(width)) {
            for ((((gradient, out), &before), &bias), sum) in
                gradient.iter_mut().zip(out).zip(before).zip(bias).zip(sums.iter_mut())
            {
                let (value, slope) = tanh_gelu(before + bias);
                *out = value;
                *gradient *= slope;
                *sum += *gradient;
            }
        }
    }

    fn swiglu_rows(out: &mut [f32], gate: &[f32], up: &[f32]) {
        for ((out, &gate), &up) in out.iter_mut().zip(gate).zip(up) {
            *out = gate * sigmoid(gate) * up;
        }
    }

    fn swiglu_backward_rows(gradient: &mut [f32], gate_gradient: &mut [f32], out: &mut [f32], gate: &[f32], up: &[f32]) {
        let gradients = gradient.iter_mut().zip(gate_gradient);
        for ((((gradient, gate_gradient), out), &gate), &up) in gradients.zip(out).zip(gate).zip(up) {
            let share = sigmoid(gate);
            let silu = gate * share;
            *out = silu * up;
            *gate_gradient = *gradient * up * (share + silu * (1.0 - share));
            *gradient *= silu;
        }
    }
}

/// `out` = GELU(`before` + `bias`), row by row.
pub fn gelu(kind: Gelu, out: &mut [f32], before: &[f32], bias: &[f32]) {
    let block = ROWS * bias.len();
    out.par_chunks_mut(block).zip(before.par_chunks(block)).for_each(|(out, before)| match kind {
        Gelu::Erf => erf_forward(out, before, bias),
        Gelu::Tanh => tanh_forward(out, before, bias),
    });
}

/// Turns the `gradient` of the output into that of the input, writes the output again into `out`, and the gradient of the
/// bias into `bias_gradient`.
pub fn gelu_backward(
    kind: Gelu,
    gradient: &mut [f32],
    out: &mut [f32],
    (before, bias): (&[f32], &[f32]),
    bias_gradient: &mut [f32],
    sum: Sum,
    buffer: &mut Vec<f32>,
) {
    let width = bias.len();
    let block = ROWS * width;
    let mut partials = Partials::new(buffer, before.len() / width, width);
    partials
        .blocks()
        .zip(gradient.par_chunks_mut(block))
        .zip(out.par_chunks_mut(block))
        .zip(before.par_chunks(block))
        .for_each(|(((sums, gradient), out), before)| match kind {
            Gelu::Erf => erf_backward(gradient, out, before, bias, sums),
            Gelu::Tanh => tanh_backward(gradient, out, before, bias, sums),
        });
    partials.finish(0, bias_gradient, sum);
}

/// Elements that one task of SwiGLU handles.
const BLOCK: usize = 1 << 15;

/// `out` = SiLU(`gate`) * `up`.
pub fn swiglu(out: &mut [f32], gate: &[f32], up: &[f32]) {
    out.par_chunks_mut(BLOCK)
        .zip(gate.par_chunks(BLOCK))
        .zip(up.par_chunks(BLOCK))
        .for_each(|((out, gate), up)| swiglu_rows(out, gate, up));
}

/// Turns the `gradient` of the output into that of `up`, and writes that of `gate` and the output again.
pub fn swiglu_backward(
    gradient: &mut [f32],
    gate_gradient: &mut [f32],
    out: &mut [f32],
    gate: &[f32],
    up: &[f32],
) {
    gradient
        .par_chunks_mut(BLOCK)
        .zip(gate_gradient.par_chunks_mut(BLOCK))
        .zip(out.par_chunks_mut(BLOCK))
        .zip(gate.par_chunks(BLOCK).zip(up.par_chunks(BLOCK)))
        .for_each(|(((gradient, gate_gradient), out), (gate, up))| {
            swiglu_backward_rows(gradient, gate_gradient, out, gate, up);
        });
}
