//! Reading on the CPU: hidden states of a batch, and one more token of several sequences whose keys and values are kept.
//! [`Model::next_logits`] by burn's operations is its oracle.

use rayon::prelude::*;

use super::{BlockMemory, Compute, Memory, Pass, Scratch, sized};
use crate::config::Precision;
use crate::kernels::heads::{self, Part, Rotation};
use crate::kernels::math::{cap, shares};
use crate::kernels::matrix::{Matrix, Target, Threads, multiply};
use crate::kernels::simd::{sum, vectorised};
use crate::loader::Batch;
use crate::loss;
use crate::model::{Model, Places, rotary_frequencies};

/// Weights as they are, in full precision.
const EXACT: (&[Vec<f32>], Precision) = (&[], Precision::F32);

/// Room for so many tokens is made at first; then for twice as many, and so on.
const FIRST_ROOM: usize = 64;

/// Buffers for reading: nothing is kept for a way back.
pub fn memory() -> Memory {
    Memory::new(Compute { precision: Precision::F32, recompute: true })
}

/// The residual stream after the last norm (N, C), of a whole batch.
pub fn hidden<'m>(model: &Model, weights: &[&[f32]], batch: &Batch, memory: &'m mut Memory) -> &'m [f32] {
    Pass::new(model, weights, EXACT, batch).forward(memory);
    &memory.last.values
}

/// Loss of each target of a batch in nats.
pub fn nats(model: &Model, weights: &[&[f32]], batch: &Batch, memory: &mut Memory) -> Vec<f32> {
    hidden(model, weights, batch, memory);
    let Memory { last, scratch, .. } = memory;
    let head = weights[model.head.0];
    loss::nats_of((&last.values, head), model.config.softcap, &batch.targets, &mut scratch.logits)
}

/// Logits (R, V) of hidden states (R, C).
pub fn logits(model: &Model, weights: &[&[f32]], hidden: &[f32]) -> Vec<f32> {
    let (width, vocabulary) = (model.config.width, model.vocabulary);
    let rows = hidden.len() / width;
    let mut logits = vec![0.0; rows * vocabulary];
    multiply(
        Target::new(&mut logits, rows, vocabulary),
        Matrix::new(hidden, rows, width),
        Matrix::new(weights[model.head.0], vocabulary, width).transposed(),
        1.0,
        Threads::All,
    );
    if let Some(limit) = model.config.softcap {
        logits
            .par_chunks_mut(vocabulary)
            .for_each_init(|| vec![0.0; vocabulary], |slopes, row| cap(row, slopes, limit as f32));
    }
    logits
}

/// Keys and values of the tokens that some sequences have read: (B, K, room, D) each, for every block.
#[derive(Default)]
pub struct Kept {
    rows: usize,
    tokens: usize,
    room: usize,
    blocks: Vec<[Vec<f32>; 2]>,
}

impl Kept {
    /// Tokens read, in every sequence as many.
    pub fn len(&self) -> usize {
        self.tokens
    }

    /// Whether nothing has been read.
    pub fn is_empty(&self) -> bool {
        self.tokens == 0
    }

    /// Forgets everything, and keeps the memory.
    pub fn clear(&mut self) {
        (self.rows, self.tokens, self.room) = (0, 0, 0);
    }

    /// Forgets all sequences but these, which are in rising order.
    pub fn keep(&mut self, rows: &[usize]) {
        for values in self.blocks.iter_mut().flatten() {
            let length = values.len() / self.rows.max(1);
            for (to, &from) in rows.iter().enumerate() {
                values.copy_within(from * length..(from + 1) * length, to * length);
            }
            values.truncate(rows.len() * length);
        }
        self.rows = rows.len();
    }

    /// Makes room for `more` tokens of each sequence, in heads of `width`.
    fn reserve(&mut self, model: &Model, rows: usize, more: usize) {
        let (heads, width) = (model.config.kv_heads(), model.config.head_width());
        let needed = self.tokens + more;
        if self.rows == rows && needed <= self.room {
            return;
        }
        let room = needed.max(2 * self.room).max(FIRST_ROOM).min(needed.max(model.config.context));
        self.blocks.resize_with(model.config.layers, Default::default);
        for values in self.blocks.iter_mut().flatten() {
            let old = std::mem::replace(values, vec![0.0; rows * heads * room * width]);
            if self.tokens > 0 {
                let old = old.chunks_exact(self.room * width);
                for (to, from) in values.chunks_exact_mut(room * width).zip(old) {
                    to[..self.tokens * width].copy_from_slice(&from[..self.tokens * width]);
                }
            }
        }
        (self.rows, self.room) = (rows, room);
    }

    /// Adds keys and values (B, K, T, D) of `t` tokens in one block.
    fn add(&mut self, layer: usize, keys: &[f32], values: &[f32], t: usize, width: usize) {
        let (room, at) = (self.room, self.tokens);
        for (kept, new) in self.blocks[layer].iter_mut().zip([keys, values]) {
            for (kept, new) in kept.chunks_exact_mut(room * width).zip(new.chunks_exact(t * width)) {
                kept[at * width..(at + t) * width].copy_from_slice(new);
            }
        }
    }
}

/// Logits (V) after the newest token of each sequence. `ids` (B, T) are as many more tokens of each; where nothing has been
/// read yet they may be any number up to the context, later they are read one by one. `padding` says how many tokens in
/// front of each sequence are none; empty: of no sequence.
pub fn next_logits(
    model: &Model,
    weights: &[&[f32]],
    (ids, rows): (&[u32], usize),
    padding: &[u32],
    kept: &mut Kept,
    memory: &mut Memory,
) -> Vec<Vec<f32>> {
    let (t, c) = (ids.len() / rows, model.config.width);
    let last: Vec<f32> = if kept.is_empty() {
        let starts = padding.iter().flat_map(|&padding| std::iter::repeat_n(padding, t)).collect();
        let batch = Batch { rows, context: t, inputs: ids.to_vec(), targets: Vec::new(), starts };
        let pass = Pass::new(model, weights, EXACT, &batch);
        kept.reserve(model, rows, t);
        pass.read(memory, |layer, before, block_memory, scratch| {
            pass.mix(&model.blocks[layer], before, block_memory, scratch);
            kept.add(layer, &block_memory.keys, &block_memory.values, t, model.config.head_width());
        });
        kept.tokens = t;
        memory.last.values.chunks_exact(t * c).flat_map(|row| &row[(t - 1) * c..]).copied().collect()
    } else {
        for i in 0..t {
            let inputs = ids.iter().skip(i).step_by(t).copied().collect();
            let batch = Batch { rows, context: 1, inputs, targets: Vec::new(), starts: padding.to_vec() };
            step(model, weights, &batch, kept, memory);
        }
        memory.last.values.clone()
    };
    logits(model, weights, &last).chunks_exact(model.vocabulary).map(<[f32]>::to_vec).collect()
}

/// Reads one more token of each sequence.
fn step(model: &Model, weights: &[&[f32]], batch: &Batch, kept: &mut Kept, memory: &mut Memory) {
    let rows = if batch.starts.is_empty() { 1 } else { batch.rows };
    let places = Places { starts: &batch.starts, rows, t: 1, past: kept.tokens };
    let positions = places.positions();
    assert!(
        positions.iter().all(|&position| position < model.config.context),
        "callers keep sequences within the context"
    );
    let mut pass = Pass::new(model, weights, EXACT, batch);
    // Its own positions are those of a first token.
    if pass.rotation.is_some() {
        pass.rotation = Some(Rotation::new(&rotary_frequencies(&model.config), &positions));
    }
    pass.positions = positions;
    kept.reserve(model, batch.rows, 1);
    pass.read(memory, |layer, before, block_memory, scratch| {
        pass.mix_kept(layer, before, kept, block_memory, scratch);
    });
    kept.tokens += 1;
}

impl Pass<'_> {
    /// All blocks, with `mix` for the first half of each.
    fn read(&self, memory: &mut Memory, mut mix: impl FnMut(usize, &[f32], &mut BlockMemory, &mut Scratch)) {
        let Memory { streams, blocks, last, scratch, .. } = memory;
        streams.resize_with(2, Vec::new);
        blocks.resize_with(1, BlockMemory::default);
        for stream in streams.iter_mut() {
            sized(stream, self.n() * self.model.config.width);
        }
        self.embed(&mut streams[0]);
        for (layer, block) in self.model.blocks.iter().enumerate() {
            let [before, after] =
                streams.get_disjoint_mut([layer % 2, (layer + 1) % 2]).expect("two streams");
            mix(layer, before, &mut blocks[0], scratch);
            self.open(block, &mut blocks[0]);
            self.think(block, &blocks[0], after, scratch);
        }
        self.normalise(self.model.final_norm, &streams[self.model.blocks.len() % 2], last);
    }

    /// The first half of a block for one token of each sequence: attention to all that is kept.
    fn mix_kept(
        &self,
        layer: usize,
        before: &[f32],
        kept: &mut Kept,
        memory: &mut BlockMemory,
        scratch: &mut Scratch,
    ) {
        let block = &self.model.blocks[layer];
        let config = &self.model.config;
        let (d, heads, key_heads) = (config.head_width(), config.heads, config.kv_heads());
        self.project(block, before, memory, scratch);
        kept.add(layer, &memory.keys, &memory.values, 1, d);
        let [keys, values] = &kept.blocks[layer];
        let (group, room, n) = (heads / key_heads, kept.room, kept.tokens + 1);
        let factor = (1.0 / (d as f64).sqrt()) as f32;
        sized(&mut scratch.heads, self.batch.rows * heads * d);
        scratch
            .heads
            .par_chunks_mut(group * d)
            .zip(memory.queries.par_chunks(group * d))
            .zip(keys.par_chunks(room * d).zip(values.par_chunks(room * d)))
            .enumerate()
            .for_each_init(Vec::new, |scores, (task, ((out, queries), (keys, values)))| {
                let start = self.batch.starts.get(task / key_heads).map_or(0, |&start| start as usize);
                let read = start.min(n - 1) * d..n * d;
                for (out, query) in out.chunks_exact_mut(d).zip(queries.chunks_exact(d)) {
                    scores.resize(n - start.min(n - 1), 0.0);
                    attend(out, query, &keys[read.clone()], &values[read.clone()], scores, factor);
                }
            });
        sized(&mut memory.mixed, self.batch.rows * heads * d);
        let part = Part { heads: &scratch.heads, count: heads, rotated: false };
        heads::merge(&mut memory.mixed, &[part], (1, d), None, None);
        sized(&mut memory.between, before.len());
        self.add_linear(block.output, before, &memory.mixed, &mut memory.between);
    }
}

vectorised! {
    fn products(scores: &mut [f32], query: &[f32], keys: &[f32], factor: f32) {
        for (score, key) in scores.iter_mut().zip(keys.chunks_exact(query.len())) {
            *score = factor * sum(query, key, |q, k| q * k);
        }
    }

    fn mixture(out: &mut [f32], shares: &[f32], values: &[f32]) {
        out.fill(0.0);
        for (&share, value) in shares.iter().zip(values.chunks_exact(out.len())) {
            for (out, &value) in out.iter_mut().zip(value) {
                *out += share * value;
            }
        }
    }
}

/// One query (D) against keys and values (S, D).
fn attend(out: &mut [f32], query: &[f32], keys: &[f32], values: &[f32], scores: &mut [f32], factor: f32) {
    products(scores, query, keys, factor);
    let [total, _] = shares(scores);
    mixture(out, scores, values);
    for out in out {
        *out /= total;
    }
}
