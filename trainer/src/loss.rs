//! Cross-entropy of the output layer: a plain form on any device, and a chunked one for CPUs.
//!
//! The chunked form never holds the logits of the whole batch, and makes three passes over them where the plain
//! one makes a dozen. Both give nats for every target and, for training, the gradient of their scaled sum.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, TensorData};
use rayon::prelude::*;

use crate::config::Precision;
use crate::kernels::bf16::round;
use crate::kernels::math::{cap, multiply_by, shares, uncap};
use crate::kernels::matrix::{Matrix, Target, Threads, multiply};
use crate::kernels::rows::Sum;

/// A position without a target: it adds neither loss nor gradient.
pub const IGNORED: u32 = u32::MAX;

/// Rows of logits held at once: 512 x 8,192 x 4 bytes are 16 MiB.
const CHUNK_ROWS: usize = 512;

/// Logits by burn's own operations: hidden (N, C), head (V, C) -> (N, V), bent to stay within ±`cap` where there is one.
pub fn logits(hidden: Tensor<2>, head: Tensor<2>, cap: Option<f64>) -> Tensor<2> {
    capped(hidden.matmul(head.transpose()), cap)
}

/// Logits bent to stay within ±`cap`, where there is one.
pub fn capped(logits: Tensor<2>, cap: Option<f64>) -> Tensor<2> {
    match cap {
        None => logits,
        Some(cap) => (logits / cap).tanh() * cap,
    }
}

/// Loss of each row in nats by burn's own operations: hidden (N, C), head (V, C) -> (N). Differentiable.
pub fn plain_nats(hidden: Tensor<2>, head: Tensor<2>, cap: Option<f64>, targets: &[u32]) -> Tensor<1> {
    of_logits(logits(hidden, head, cap), targets)
}

/// As [`plain_nats`], of logits (N, V).
pub fn of_logits(logits: Tensor<2>, targets: &[u32]) -> Tensor<1> {
    let device = logits.device().without_autodiff();
    let rows = targets.len();
    let index: Vec<i64> = targets.iter().map(|&t| if t == IGNORED { 0 } else { i64::from(t) }).collect();
    let keep: Vec<f32> = targets.iter().map(|&t| if t == IGNORED { 0.0 } else { 1.0 }).collect();
    let index = Tensor::<2, Int>::from_data(TensorData::new(index, [rows, 1]), &device);
    let keep = Tensor::<1>::from_data(TensorData::new(keep, [rows]), &device);
    let log_shares = log_softmax(logits, 1); // (N, V)
    log_shares.gather(1, index).reshape([rows]).neg() * keep
}

/// Loss of each row in nats, without a gradient. Rows are independent of each other's values and of threads.
pub fn nats(hidden: &Tensor<2>, head: &Tensor<2>, cap: Option<f64>, targets: &[u32]) -> Vec<f32> {
    let mut nats = Vec::with_capacity(targets.len());
    for (chunk, targets) in targets.chunks(CHUNK_ROWS).enumerate() {
        let part = hidden.clone().narrow(0, chunk * CHUNK_ROWS, targets.len());
        let logits = part.matmul(head.clone().transpose()).into_data();
        let mut logits = logits.try_into_vec::<f32>().expect("the model computes in f32");
        nats.extend(row_nats(&mut logits, targets, cap, None));
    }
    nats
}

/// As [`nats`], over buffers: hidden (N, C), head (V, C). `logits` is for reuse.
pub fn nats_of(
    (hidden, head): (&[f32], &[f32]),
    cap: Option<f64>,
    targets: &[u32],
    logits: &mut Vec<f32>,
) -> Vec<f32> {
    let mut nats = Vec::with_capacity(targets.len());
    for_chunks(hidden, head, targets, logits, |targets, logits, _| {
        nats.extend(row_nats(logits, targets, cap, None));
    });
    nats
}

/// Loss of each row in nats, over buffers: hidden (N, C), head (V, C).
///
/// `hidden_gradient` (N, C) becomes the gradient of `scale` times their sum, and `head_gradient` (V, C) becomes it or grows
/// by it. The gradients of logits are rounded to `precision` on the way. `logits` is for reuse.
pub fn head_gradient(
    (hidden, head, cap): (&[f32], &[f32], Option<f64>),
    (targets, scale, precision): (&[u32], f32, Precision),
    hidden_gradient: &mut [f32],
    (head_gradient, mut sum): (&mut [f32], Sum),
    logits: &mut Vec<f32>,
) -> Vec<f32> {
    let width = hidden.len() / targets.len();
    let vocabulary = head.len() / width;
    let mut nats = Vec::with_capacity(targets.len());
    let mut parts = hidden_gradient.chunks_mut(CHUNK_ROWS * width);
    for_chunks(hidden, head, targets, logits, |targets, logits, hidden| {
        let rows = targets.len();
        nats.extend(row_nats(logits, targets, cap, Some(scale)));
        round(precision, logits);
        let gradient = Matrix::new(logits, rows, vocabulary);
        let part = parts.next().expect("as many parts as chunks");
        multiply(
            Target::new(part, rows, width),
            gradient,
            Matrix::new(head, vocabulary, width),
            1.0,
            Threads::All,
        );
        let target = Target::new(head_gradient, vocabulary, width).adding(sum == Sum::Continue);
        multiply(target, gradient.transposed(), Matrix::new(hidden, rows, width), 1.0, Threads::All);
        sum = Sum::Continue;
    });
    nats
}

/// Hands out targets, logits and hidden states, some rows at a time.
fn for_chunks(
    hidden: &[f32],
    head: &[f32],
    targets: &[u32],
    logits: &mut Vec<f32>,
    mut work: impl FnMut(&[u32], &mut [f32], &[f32]),
) {
    let width = hidden.len() / targets.len().max(1);
    let vocabulary = head.len() / width.max(1);
    logits.resize(CHUNK_ROWS.min(targets.len()) * vocabulary, 0.0);
    for (targets, hidden) in targets.chunks(CHUNK_ROWS).zip(hidden.chunks(CHUNK_ROWS * width)) {
        let rows = targets.len();
        let logits = &mut logits[..rows * vocabulary];
        let head = Matrix::new(head, vocabulary, width).transposed();
        multiply(
            Target::new(logits, rows, vocabulary),
            Matrix::new(hidden, rows, width),
            head,
            1.0,
            Threads::All,
        );
        work(targets, logits, hidden);
    }
}

/// Nats of each row, whose logits are bent by `limit` first; with a `scale`, each row of `logits` becomes its gradient.
fn row_nats(logits: &mut [f32], targets: &[u32], limit: Option<f64>, scale: Option<f32>) -> Vec<f32> {
    let limit = limit.map(|limit| limit as f32);
    logits
        .par_chunks_mut(logits.len() / targets.len())
        .zip(targets)
        .map_init(Vec::new, |slopes, (row, &target)| match (target, scale) {
            (IGNORED, None) => 0.0,
            (IGNORED, Some(_)) => {
                row.fill(0.0);
                0.0
            }
            (target, scale) => {
                if let Some(limit) = limit {
                    slopes.resize(row.len(), 0.0);
                    cap(row, slopes, limit);
                }
                let at_target = row[target as usize];
                let [sum, highest] = shares(row);
                if let Some(factor) = scale {
                    multiply_by(row, factor / sum);
                    row[target as usize] -= factor;
                    if limit.is_some() {
                        uncap(row, slopes);
                    }
                }
                sum.ln() - (at_target - highest)
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use burn::tensor::Device;

    fn noise(name: &str, rows: usize, columns: usize) -> Tensor<2> {
        let mut random = Random::named(1, name);
        let values: Vec<f32> = (0..rows * columns).map(|_| random.normal() as f32).collect();
        Tensor::from_data(TensorData::new(values, [rows, columns]), &Device::flex())
    }

    fn close(a: &Tensor<2>, b: &Tensor<2>, tolerance: f32) {
        let (a, b) = (a.to_data().try_to_vec::<f32>().unwrap(), b.to_data().try_to_vec::<f32>().unwrap());
        assert_eq!(a.len(), b.len());
        for (a, b) in a.iter().zip(&b) {
            assert!((a - b).abs() <= tolerance, "{a} {b}");
        }
    }

    #[test]
    fn the_chunked_form_equals_the_plain_one() {
        // Logits of a deviation of about 3: a cap of 2 bends nearly all.
        for cap in [None, Some(2.0), Some(30.0)] {
            compare(cap);
        }
    }

    fn compare(cap: Option<f64>) {
        // 700 rows make a full and a partial chunk; 37 columns leave a remainder of 5 after 32.
        let (rows, width, vocabulary) = (700, 8, 37);
        let mut random = Random::named(2, "targets");
        let mut targets: Vec<u32> = (0..rows).map(|_| (random.bits() % vocabulary as u64) as u32).collect();
        targets[3] = IGNORED;
        targets[699] = IGNORED;
        let (hidden, head) = (noise("hidden", rows, width), noise("head", vocabulary, width));

        let tracked = |x: &Tensor<2>| x.clone().autodiff().require_grad();
        let (hidden_leaf, head_leaf) = (tracked(&hidden), tracked(&head));
        let plain = plain_nats(hidden_leaf.clone(), head_leaf.clone(), cap, &targets);
        let gradients = (plain.clone().sum() * 0.25).backward();
        let plain = plain.inner().reshape([1, rows]);

        // The head's gradient adds to what an earlier batch left there.
        let values = |x: &Tensor<2>| x.to_data().try_into_vec::<f32>().unwrap();
        let (mut outer, mut head_sum, mut logits) =
            (vec![9.0; rows * width], vec![0.5; vocabulary * width], Vec::new());
        let buffers = (values(&hidden), values(&head));
        let fused = head_gradient(
            (&buffers.0, &buffers.1, cap),
            (&targets, 0.25, Precision::F32),
            &mut outer,
            (&mut head_sum, Sum::Continue),
            &mut logits,
        );
        let tensor = |values: Vec<f32>, columns: usize| {
            let rows = values.len() / columns;
            Tensor::<2>::from_data(TensorData::new(values, [rows, columns]), &Device::flex())
        };
        close(&tensor(fused, rows), &plain, 1e-5);
        close(&tensor(nats(&hidden, &head, cap, &targets), rows), &plain, 1e-5);
        let scored = nats_of((&buffers.0, &buffers.1), cap, &targets, &mut logits);
        close(&tensor(scored, rows), &plain, 1e-5);
        // The bending rounds once more.
        let tolerance = if cap.is_some() { 3e-6 } else { 1e-6 };
        close(&tensor(outer, width), &hidden_leaf.grad(&gradients).unwrap(), tolerance);
        let head_gradient = tensor(head_sum, width) - 0.5;
        close(&head_gradient, &head_leaf.grad(&gradients).unwrap(), 2e-5);
    }
}
