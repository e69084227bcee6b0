//! Loops over plain `f32` buffers for training on CPUs: matrix products, norms, activations, attention, cross-entropy.
//!
//! Three rules hold for all of them. Buffers are row-major. Work is cut into parts of fixed size, and sums over parts
//! are added up in order, so that results do not depend on the number of threads. Loops are compiled for AVX-512, for
//! AVX2 and for any processor, chosen at run time (see [`simd`]); none of them contracts `a * b + c`, so all three give
//! the same bits; only the matrix products of the `gemm` crate do. Burn's plain operations are the oracle of each.

#![allow(
    clippy::inline_always,
    reason = "what is not inlined is not compiled for the caller's instruction set"
)]

pub mod activation;
pub mod attention;
pub mod bf16;
pub mod heads;
pub mod math;
pub mod matrix;
pub mod norm;
pub mod rows;
pub mod simd;
