//! Cross-entropy of the output layer: a plain form on any device, and a chunked one for CPUs.
//!
//! The chunked form never holds the logits of the whole batch, and makes three passes over them where the plain
//! one makes a dozen. Both give nats for every target and, for training, the gradient of their scaled sum.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use rayon::prelude::*;

/// A position without a target: it adds neither loss nor gradient.
pub const IGNORED: u32 = u32::MAX;

/// Rows of logits held at once: 512 x 8,192 x 4 bytes are 16 MiB.
const CHUNK_ROWS: usize = 512;

/// What the output layer sends back.
pub struct HeadGradient {
    /// Loss of each row in nats; 0 where ignored.
    pub nats: Vec<f32>,
    /// Gradient of the scaled sum to the hidden states (N, C).
    pub hidden: Tensor<2>,
    /// Gradient of the scaled sum to the output matrix (V, C).
    pub head: Tensor<2>,
}

/// Loss of each row in nats by burn's own operations: hidden (N, C), head (V, C) -> (N). Differentiable.
pub fn plain_nats(hidden: Tensor<2>, head: Tensor<2>, targets: &[u32]) -> Tensor<1> {
    let device = hidden.device().without_autodiff();
    let rows = targets.len();
    let index: Vec<i64> = targets.iter().map(|&t| if t == IGNORED { 0 } else { i64::from(t) }).collect();
    let keep: Vec<f32> = targets.iter().map(|&t| if t == IGNORED { 0.0 } else { 1.0 }).collect();
    let index = Tensor::<2, Int>::from_data(TensorData::new(index, [rows, 1]), &device);
    let keep = Tensor::<1>::from_data(TensorData::new(keep, [rows]), &device);
    let log_shares = log_softmax(hidden.matmul(head.transpose()), 1); // (N, V)
    log_shares.gather(1, index).reshape([rows]).neg() * keep
}

/// Loss of each row in nats, without a gradient. Rows are independent of each other's values and of threads.
pub fn nats(hidden: &Tensor<2>, head: &Tensor<2>, targets: &[u32]) -> Vec<f32> {
    let mut nats = Vec::with_capacity(targets.len());
    for (start, targets) in chunks(targets) {
        let mut logits = logits(hidden, head, start, targets.len());
        nats.extend(row_nats(&mut logits, head.dims()[0], targets, None));
    }
    nats
}

/// Loss of each row, and the gradient of `scale` times their sum, on the CPU and in chunks of rows.
pub fn head_gradient(hidden: &Tensor<2>, head: &Tensor<2>, targets: &[u32], scale: f32) -> HeadGradient {
    let device: Device = hidden.device();
    let [rows, width] = hidden.dims();
    let vocabulary = head.dims()[0];
    debug_assert_eq!(rows, targets.len());
    let mut all_nats = Vec::with_capacity(rows);
    let mut hidden_parts = Vec::new();
    let mut head_sum: Option<Tensor<2>> = None;
    for (start, targets) in chunks(targets) {
        let mut data = logits(hidden, head, start, targets.len());
        all_nats.extend(row_nats(&mut data, vocabulary, targets, Some(scale)));
        let gradient = Tensor::<2>::from_data(TensorData::new(data, [targets.len(), vocabulary]), &device);
        let part = gradient.clone().transpose().matmul(hidden.clone().narrow(0, start, targets.len()));
        head_sum = Some(match head_sum {
            None => part,
            Some(sum) => sum + part,
        });
        hidden_parts.push(gradient.matmul(head.clone()));
    }
    HeadGradient {
        nats: all_nats,
        hidden: if hidden_parts.len() == 1 { hidden_parts.remove(0) } else { Tensor::cat(hidden_parts, 0) },
        head: head_sum.unwrap_or_else(|| Tensor::zeros([vocabulary, width], &device)),
    }
}

fn chunks(targets: &[u32]) -> impl Iterator<Item = (usize, &[u32])> {
    targets.chunks(CHUNK_ROWS).enumerate().map(|(i, chunk)| (i * CHUNK_ROWS, chunk))
}

fn logits(hidden: &Tensor<2>, head: &Tensor<2>, start: usize, rows: usize) -> Vec<f32> {
    let part = hidden.clone().narrow(0, start, rows).matmul(head.clone().transpose());
    part.into_data().try_into_vec::<f32>().expect("the model computes in f32")
}

/// Nats of each row; with a `scale`, each row of `logits` becomes its gradient.
fn row_nats(logits: &mut [f32], vocabulary: usize, targets: &[u32], scale: Option<f32>) -> Vec<f32> {
    logits
        .par_chunks_mut(vocabulary)
        .zip(targets)
        .map(|(row, &target)| {
            if target == IGNORED {
                if scale.is_some() {
                    row.fill(0.0);
                }
                return 0.0;
            }
            let at_target = row[target as usize];
            let highest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum = exp_and_sum(row, highest);
            if let Some(scale) = scale {
                let factor = scale / sum;
                for value in row.iter_mut() {
                    *value *= factor;
                }
                row[target as usize] -= scale;
            }
            sum.ln() - (at_target - highest)
        })
        .collect()
}

/// Replaces each value by exp(value - highest) and returns their sum, added up in sixteen lanes.
fn exp_and_sum(row: &mut [f32], highest: f32) -> f32 {
    let mut lanes = [0.0_f32; 16];
    let mut blocks = row.chunks_exact_mut(16);
    for block in &mut blocks {
        for (value, lane) in block.iter_mut().zip(&mut lanes) {
            *value = exp(*value - highest);
            *lane += *value;
        }
    }
    let mut sum: f32 = lanes.iter().sum();
    for value in blocks.into_remainder() {
        *value = exp(*value - highest);
        sum += *value;
    }
    sum
}

/// e^x for x <= 0, within 2e-7 relative, in a form that compilers turn into vector code.
///
/// x = n ln 2 + r with |r| <= ln 2 / 2; e^r by its Taylor series to r^7 (remainder below 6e-9); 2^n by its bits.
fn exp(x: f32) -> f32 {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

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
    fn exp_is_within_two_in_ten_million() {
        for i in 0..870_000 {
            let x = -(i as f32) / 10_000.0;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) / exact - 1.0).abs() < 2e-7, "{x}: {} {exact}", exp(x));
        }
        assert!(exp(-1e30) < 1e-37);
    }

    #[test]
    fn the_chunked_form_equals_the_plain_one() {
        // 700 rows make a full and a partial chunk; 37 columns leave a remainder of 5 after 32.
        let (rows, width, vocabulary) = (700, 8, 37);
        let mut random = Random::named(2, "targets");
        let mut targets: Vec<u32> = (0..rows).map(|_| (random.bits() % vocabulary as u64) as u32).collect();
        targets[3] = IGNORED;
        targets[699] = IGNORED;
        let (hidden, head) = (noise("hidden", rows, width), noise("head", vocabulary, width));

        let tracked = |x: &Tensor<2>| x.clone().autodiff().require_grad();
        let (hidden_leaf, head_leaf) = (tracked(&hidden), tracked(&head));
        let plain = plain_nats(hidden_leaf.clone(), head_leaf.clone(), &targets);
        let gradients = (plain.clone().sum() * 0.25).backward();
        let plain = plain.inner().reshape([1, rows]);

        let fused = head_gradient(&hidden, &head, &targets, 0.25);
        let row = |nats: Vec<f32>| Tensor::from_data(TensorData::new(nats, [1, rows]), &Device::flex());
        close(&row(fused.nats), &plain, 1e-5);
        close(&row(nats(&hidden, &head, &targets)), &plain, 1e-5);
        close(&fused.hidden, &hidden_leaf.grad(&gradients).unwrap(), 1e-6);
        close(&fused.head, &head_leaf.grad(&gradients).unwrap(), 2e-5);
    }
}
