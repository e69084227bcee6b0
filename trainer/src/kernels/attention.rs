//! Causal attention without the B·H·T·T matrix: blocks of queries against the keys that they may read, forward with the
//! logarithm of each row's normaliser, and backward from it (Dao et al. 2022).
//!
//! Queries are (B, H, T, D), keys and values (B, K, T, D); query head h reads key head h / (H / K). One task is one key head
//! of one sequence with all queries that read it, so that nothing is added up across tasks.

use std::cell::RefCell;

use rayon::prelude::*;

use crate::kernels::math::{exp, multiply_by, shares};
use crate::kernels::matrix::{Matrix, Target, Threads, multiply};
use crate::kernels::simd::vectorised;

/// Queries that are compared with keys at once.
const BLOCK: usize = 64;

/// Sizes of one call.
#[derive(Clone, Copy)]
pub struct Shape<'a> {
    /// Tokens of each sequence.
    pub tokens: usize,
    /// Query heads that share a key head.
    pub group: usize,
    /// Key heads.
    pub key_heads: usize,
    /// Width of a head.
    pub width: usize,
    /// First token that each token reads (B, T); empty: the first of its sequence.
    pub starts: &'a [u32],
}

impl<'a> Shape<'a> {
    /// First tokens read in the sequence of task `task`.
    fn starts_of(&self, task: usize) -> &'a [u32] {
        match self.starts {
            [] => &[],
            starts => &starts[task / self.key_heads * self.tokens..][..self.tokens],
        }
    }

    fn factor(&self) -> f32 {
        (1.0 / (self.width as f64).sqrt()) as f32
    }
}

thread_local! {
    /// Scores of one block of queries, and their gradients: kept, because fresh memory costs page faults.
    static SCORES: RefCell<[Vec<f32>; 2]> = RefCell::default();
}

/// Lends two buffers of `len` values.
fn with_scores(len: usize, work: impl FnOnce(&mut [f32], &mut [f32])) {
    SCORES.with_borrow_mut(|[a, b]| {
        if a.len() < len {
            a.resize(len, 0.0);
            b.resize(len, 0.0);
        }
        work(&mut a[..len], &mut b[..len]);
    });
}

/// One block of queries: which rows, and which keys any of them reads.
#[derive(Clone, Copy)]
struct Block<'a> {
    first: usize,
    rows: usize,
    low: usize,
    starts: &'a [u32],
}

impl<'a> Block<'a> {
    fn all(tokens: usize, starts: &'a [u32]) -> impl Iterator<Item = Self> {
        (0..tokens).step_by(BLOCK).map(move |first| {
            let rows = BLOCK.min(tokens - first);
            let low = starts
                .get(first..first + rows)
                .and_then(|starts| starts.iter().min())
                .map_or(0, |&s| s as usize);
            // A start beyond its own token would leave it nothing to read.
            Self { first, rows, low: low.min(first), starts }
        })
    }

    /// Keys from `low` on that the block reads.
    fn span(&self) -> usize {
        self.first + self.rows - self.low
    }

    /// Which of the span's keys the block's `i`-th query reads.
    fn read(&self, i: usize) -> std::ops::Range<usize> {
        let query = self.first + i;
        let start = self.starts.get(query).map_or(0, |&start| (start as usize).min(query));
        start - self.low..query + 1 - self.low
    }

    /// The rows of `values` (T, D) that are the block's queries.
    fn queries<'b>(&self, values: &'b [f32], d: usize) -> Matrix<'b> {
        Matrix::new(&values[self.first * d..(self.first + self.rows) * d], self.rows, d)
    }

    /// The rows of `values` (T, D) that are the block's keys.
    fn keys<'b>(&self, values: &'b [f32], d: usize) -> Matrix<'b> {
        Matrix::new(&values[self.low * d..(self.first + self.rows) * d], self.span(), d)
    }
}

vectorised! {
    /// Replaces scores by shares, and the gradients of shares by those of scores.
    fn share_gradients(scores: &mut [f32], gradients: &mut [f32], normaliser: f32, product: f32) {
        for (score, gradient) in scores.iter_mut().zip(gradients) {
            *score = exp(*score - normaliser);
            *gradient = *score * (*gradient - product);
        }
    }
}

/// Writes the mixed values (B, H, T, D) to `out`, and the logarithm of each row's normaliser (B, H, T).
pub fn forward(shape: Shape<'_>, [q, k, v]: [&[f32]; 3], out: &mut [f32], normalisers: &mut [f32]) {
    let Shape { tokens, group, width: d, .. } = shape;
    let head = tokens * d;
    out.par_chunks_mut(group * head)
        .zip(normalisers.par_chunks_mut(group * tokens))
        .zip(q.par_chunks(group * head))
        .zip(k.par_chunks(head).zip(v.par_chunks(head)))
        .enumerate()
        .for_each(|(task, (((out, normalisers), q), (k, v)))| {
            with_scores(BLOCK.min(tokens) * tokens, |scores, _| {
                let queries = q.chunks_exact(head).zip(out.chunks_exact_mut(head));
                for ((q, out), normalisers) in queries.zip(normalisers.chunks_exact_mut(tokens)) {
                    for block in Block::all(tokens, shape.starts_of(task)) {
                        forward_block(shape, block, [q, k, v], out, normalisers, scores);
                    }
                }
            });
        });
}

fn forward_block(
    shape: Shape<'_>,
    block: Block<'_>,
    [q, k, v]: [&[f32]; 3],
    out: &mut [f32],
    normalisers: &mut [f32],
    scores: &mut [f32],
) {
    let (d, span) = (shape.width, block.span());
    let scores = &mut scores[..block.rows * span];
    multiply(
        Target::new(scores, block.rows, span),
        block.queries(q, d),
        block.keys(k, d).transposed(),
        shape.factor(),
        Threads::One,
    );
    let mut sums = [0.0; BLOCK];
    for (i, row) in scores.chunks_exact_mut(span).enumerate() {
        let read = block.read(i);
        row[..read.start].fill(0.0);
        row[read.end..].fill(0.0);
        let [sum, highest] = shares(&mut row[read]);
        sums[i] = sum;
        normalisers[block.first + i] = highest + sum.ln();
    }
    let out = &mut out[block.first * d..(block.first + block.rows) * d];
    multiply(
        Target::new(out, block.rows, d),
        Matrix::new(scores, block.rows, span),
        block.keys(v, d),
        1.0,
        Threads::One,
    );
    for (out, sum) in out.chunks_exact_mut(d).zip(sums) {
        multiply_by(out, 1.0 / sum);
    }
}

/// What [`backward`] reads beside queries, keys and values.
#[derive(Clone, Copy)]
pub struct Back<'a> {
    /// From [`forward`] (B, H, T).
    pub normalisers: &'a [f32],
    /// Gradient of the mixed values (B, H, T, D).
    pub gradient: &'a [f32],
    /// Its product with the mixed values, row by row (B, H, T).
    pub products: &'a [f32],
}

/// Writes the gradients of queries, keys and values.
pub fn backward(shape: Shape<'_>, [q, k, v]: [&[f32]; 3], back: Back<'_>, [dq, dk, dv]: [&mut [f32]; 3]) {
    let Shape { tokens, group, width: d, .. } = shape;
    let head = tokens * d;
    let inputs = q.par_chunks(group * head).zip(k.par_chunks(head).zip(v.par_chunks(head)));
    let kept = back
        .gradient
        .par_chunks(group * head)
        .zip(back.normalisers.par_chunks(group * tokens).zip(back.products.par_chunks(group * tokens)));
    dq.par_chunks_mut(group * head)
        .zip(dk.par_chunks_mut(head).zip(dv.par_chunks_mut(head)))
        .zip(inputs.zip(kept))
        .enumerate()
        .for_each(|(task, ((dq, (dk, dv)), ((q, (k, v)), (gradient, (normalisers, products)))))| {
            dk.fill(0.0);
            dv.fill(0.0);
            with_scores(BLOCK.min(tokens) * tokens, |scores, gradients| {
                for (h, (q, dq)) in q.chunks_exact(head).zip(dq.chunks_exact_mut(head)).enumerate() {
                    let back = Back {
                        gradient: &gradient[h * head..(h + 1) * head],
                        normalisers: &normalisers[h * tokens..(h + 1) * tokens],
                        products: &products[h * tokens..(h + 1) * tokens],
                    };
                    for block in Block::all(tokens, shape.starts_of(task)) {
                        backward_block(shape, block, [q, k, v], back, [dq, dk, dv], [scores, gradients]);
                    }
                }
            });
        });
}

fn backward_block(
    shape: Shape<'_>,
    block: Block<'_>,
    [q, k, v]: [&[f32]; 3],
    back: Back<'_>,
    [dq, dk, dv]: [&mut [f32]; 3],
    [scores, gradients]: [&mut [f32]; 2],
) {
    let (d, span, rows) = (shape.width, block.span(), block.rows);
    let (scores, gradients) = (&mut scores[..rows * span], &mut gradients[..rows * span]);
    let (queries, keys) = (block.queries(q, d), block.keys(k, d));
    let outer = block.queries(back.gradient, d);
    multiply(Target::new(scores, rows, span), queries, keys.transposed(), shape.factor(), Threads::One);
    multiply(Target::new(gradients, rows, span), outer, block.keys(v, d).transposed(), 1.0, Threads::One);
    for (i, (scores, gradients)) in
        scores.chunks_exact_mut(span).zip(gradients.chunks_exact_mut(span)).enumerate()
    {
        let (read, query) = (block.read(i), block.first + i);
        for row in [&mut *scores, &mut *gradients] {
            row[..read.start].fill(0.0);
            row[read.end..].fill(0.0);
        }
        let (scores, gradients) = (&mut scores[read.clone()], &mut gradients[read]);
        share_gradients(scores, gradients, back.normalisers[query], back.products[query]);
    }
    let (scores, gradients) = (Matrix::new(scores, rows, span), Matrix::new(gradients, rows, span));
    let read = block.low * d..(block.first + rows) * d;
    multiply(
        Target::new(&mut dv[read.clone()], span, d).adding(true),
        scores.transposed(),
        outer,
        1.0,
        Threads::One,
    );
    multiply(
        Target::new(&mut dk[read], span, d).adding(true),
        gradients.transposed(),
        queries,
        shape.factor(),
        Threads::One,
    );
    let dq = &mut dq[block.first * d..(block.first + rows) * d];
    multiply(Target::new(dq, rows, d), gradients, keys, shape.factor(), Threads::One);
}
