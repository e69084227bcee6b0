//! GELU, squared ReLU and SwiGLU, forward and backward. The way back computes the activation again instead of keeping it.

use rayon::prelude::*;

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
    const ROOT: f32 = 0.797_884_6; // sqrt(2 / pi)
    const CUBE: f32 = 0.044_715;
    // (1 + tanh u) / 2 is the sigmoid of 2u.
    let share = sigmoid(2.0 * ROOT * (x + CUBE * x * x * x));
    let slope = 2.0 * ROOT * (1.0 + 3.0 * CUBE * x * x);
    (x * share, share + x * share * (1.0 - share) * slope)
}

/// Value and slope of the square of max(x, 0).
#[inline(always)]
fn relu_squared(x: f32) -> (f32, f32) {
    let x = x.max(0.0);
    (x * x, 2.0 * x)
}

#[inline(always)]
fn forward_rows(curve: impl Fn(f32) -> (f32, f32), out: &mut [f32], before: &[f32], bias: &[f32]) {
    for (out, before) in out.chunks_exact_mut(bias.len()).zip(before.chunks_exact(bias.len())) {
        for ((out, &before), &bias) in out.iter_mut().zip(before).zip(bias) {
            *out = curve(before + bias).0;
        }
    }
}

#[inline(always)]
fn backward_rows(
    curve: impl Fn(f32) -> (f32, f32),
    gradient: &mut [f32],
    out: &mut [f32],
    before: &[f32],
    bias: &[f32],
    sums: &mut [f32],
) {
    let width = bias.len();
    let rows = gradient.chunks_exact_mut(width).zip(out.chunks_exact_mut(width));
    for ((gradient, out), before) in rows.zip(before.chunks_exact(width)) {
        for ((((gradient, out), &before), &bias), sum) in
            gradient.iter_mut().zip(out).zip(before).zip(bias).zip(sums.iter_mut())
        {
            let (value, slope) = curve(before + bias);
            *out = value;
            *gradient *= slope;
            *sum += *gradient;
        }
    }
}

vectorised! {
    fn erf_forward(out: &mut [f32], before: &[f32], bias: &[f32]) {
        forward_rows(erf_gelu, out, before, bias);
    }

    fn tanh_forward(out: &mut [f32], before: &[f32], bias: &[f32]) {
        forward_rows(tanh_gelu, out, before, bias);
    }

    fn relu_forward(out: &mut [f32], before: &[f32], bias: &[f32]) {
        forward_rows(relu_squared, out, before, bias);
    }

    fn erf_backward(gradient: &mut [f32], out: &mut [f32], before: &[f32], bias: &[f32], sums: &mut [f32]) {
        backward_rows(erf_gelu, gradient, out, before, bias, sums);
    }

    fn tanh_backward(gradient: &mut [f32], out: &mut [f32], before: &[f32], bias: &[f32], sums: &mut [f32]) {
        backward_rows(tanh_gelu, gradient, out, before, bias, sums);
    }

    fn relu_backward(gradient: &mut [f32], out: &mut [f32], before: &[f32], bias: &[f32], sums: &mut [f32]) {
        backward_rows(relu_squared, gradient, out, before, bias, sums);
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

/// An activation of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curve {
    /// GELU, exact.
    Erf,
    /// GELU by the hyperbolic tangent.
    Tanh,
    /// The square of max(x, 0).
    Relu2,
}

/// `out` = `curve`(`before` + `bias`), row by row.
pub fn curve(kind: Curve, out: &mut [f32], before: &[f32], bias: &[f32]) {
    let block = ROWS * bias.len();
    out.par_chunks_mut(block).zip(before.par_chunks(block)).for_each(|(out, before)| match kind {
        Curve::Erf => erf_forward(out, before, bias),
        Curve::Tanh => tanh_forward(out, before, bias),
        Curve::Relu2 => relu_forward(out, before, bias),
    });
}

/// Turns the `gradient` of the output into that of the input, writes the output again into `out`, and the gradient of the
/// bias into `bias_gradient`.
pub fn curve_backward(
    kind: Curve,
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
            Curve::Erf => erf_backward(gradient, out, before, bias, sums),
            Curve::Tanh => tanh_backward(gradient, out, before, bias, sums),
            Curve::Relu2 => relu_backward(gradient, out, before, bias, sums),
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
