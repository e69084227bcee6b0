//! How much of its training text a model gives back word for word, by how often it has read it.
//!
//! As Carlini et al. 2023 ("Quantifying memorization"): the model reads the first tokens of a document that it was trained on and
//! continues greedily; the document is extracted if what it writes is, token for token, what comes next there. How often the
//! model was exposed to that passage is counted, not estimated: every occurrence of its tokens, wherever it stands, in every row
//! that training has read. Held-out documents whose passage training never read are the bucket of no exposure: what they give
//! is what can be guessed.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use anyhow::{Result, ensure};
use gristmill_corpus::pack_plan::PackPlan;
use gristmill_corpus::permutation::permute;
use gristmill_corpus::shards::ShardSet;
use serde::Serialize;

use crate::config::SampleConfig;
use crate::evals::metric::wilson;
use crate::generate::generate_batch;
use crate::model::{Model, Weights};
use crate::random::Random;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Extraction {
    /// Tokens of a document that the model reads, behind the one that every document begins with.
    pub prompt: usize,
    /// Tokens that must come next.
    pub continuation: usize,
    /// Passages asked about in each bucket, at most.
    pub per_bucket: usize,
    /// Documents of each split whose beginnings are candidates, at most: bounds memory.
    pub candidates: usize,
    /// Decides which.
    pub seed: u64,
}

/// What training has read.
#[derive(Clone, Copy)]
pub enum Exposure<'a> {
    /// The rows of a plan up to a step.
    Plan {
        /// The plan.
        plan: &'a PackPlan,
        /// Optimiser steps that were done.
        steps: u64,
    },
    /// Every document once.
    Once,
}

/// A passage that the model may know.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Passage {
    /// The token that its document begins with.
    first: u32,
    /// The tokens behind it.
    tokens: Vec<u32>,
    exposures: u64,
}

/// One line of the result: passages of like exposure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bucket {
    /// Exposures of its passages, from and to.
    pub exposures: (u64, u64),
    /// Passages of such exposure among the candidates.
    pub passages: usize,
    /// Passages asked about.
    pub asked: usize,
    /// Of them, those that came verbatim.
    pub verbatim: usize,
    /// Their share.
    pub share: f64,
    /// Where the share lies with 95 % confidence (Wilson).
    pub interval: (f64, f64),
    /// Tokens that agree before the first that does not, on average.
    pub agreeing_tokens: f64,
}

/// Passages that are continued together.
const BATCH: usize = 32;

/// Asks `model` about passages of `train` (the sources of the plan, in its order) and `val`.
pub fn extract(
    (model, weights): (&Model, &Weights),
    (train, val): (&[ShardSet], &[ShardSet]),
    exposure: Exposure<'_>,
    asked: &Extraction,
) -> Result<Vec<Bucket>> {
    let longest = asked.prompt + asked.continuation + 1;
    ensure!(asked.prompt >= 1 && asked.continuation >= 1, "prompt and continuation need a token each");
    ensure!(
        longest <= model.config.context,
        "a prompt of {} and a continuation of {} tokens need a context of {longest}, and the model has {}",
        asked.prompt,
        asked.continuation,
        model.config.context
    );
    let mut passages = candidates(train, asked)?;
    passages.extend(candidates(val, asked)?);
    let mut passages = distinct(passages);
    ensure!(
        !passages.is_empty(),
        "no document has {longest} tokens: ask with a shorter --prompt or --continuation"
    );
    count(&mut passages, train, exposure)?;
    let mut buckets: BTreeMap<u32, Vec<Passage>> = BTreeMap::new();
    for passage in passages {
        buckets.entry(bucket_of(passage.exposures)).or_default().push(passage);
    }
    buckets
        .into_iter()
        .map(|(bucket, passages)| {
            let n = passages.len() as u64;
            let chosen: Vec<&Passage> = (0..n.min(asked.per_bucket as u64))
                .map(|i| &passages[permute(i, n, asked.seed) as usize])
                .collect();
            let agreeing = agreeing(model, weights, &chosen, asked)?;
            let verbatim = agreeing.iter().filter(|&&n| n == asked.continuation).count();
            let n_asked = chosen.len();
            let share = verbatim as f64 / n_asked as f64;
            Ok(Bucket {
                exposures: bounds(bucket),
                passages: passages.len(),
                asked: n_asked,
                verbatim,
                share,
                interval: wilson(share, n_asked as f64),
                agreeing_tokens: agreeing.iter().sum::<usize>() as f64 / n_asked as f64,
            })
        })
        .collect()
}

/// 0 alone, then powers of two: 1, 2 to 3, 4 to 7, …
fn bucket_of(exposures: u64) -> u32 {
    u64::BITS - exposures.leading_zeros()
}

fn bounds(bucket: u32) -> (u64, u64) {
    match bucket {
        0 => (0, 0),
        _ => (1 << (bucket - 1), u64::MAX >> (u64::BITS - bucket)),
    }
}

/// The beginnings of up to `asked.candidates` documents that are long enough.
fn candidates(sources: &[ShardSet], asked: &Extraction) -> Result<Vec<Passage>> {
    let n: u64 = sources.iter().map(|source| source.n_documents() as u64).sum();
    let length = asked.prompt + asked.continuation;
    let mut passages = Vec::new();
    for i in 0..n.min(asked.candidates as u64) {
        let mut index = permute(i, n, asked.seed) as usize;
        for source in sources {
            if index >= source.n_documents() {
                index -= source.n_documents();
                continue;
            }
            if let Some(range) = source.document_range(index)
                && range.end - range.start > length as u64
            {
                let mut tokens = source.tokens(range.start..range.start + 1 + length as u64)?;
                let first = tokens.remove(0);
                passages.push(Passage { first, tokens, exposures: 0 });
            }
            break;
        }
    }
    Ok(passages)
}

/// Each passage once, in the order of its tokens.
fn distinct(mut passages: Vec<Passage>) -> Vec<Passage> {
    passages.sort_by(|a, b| a.tokens.cmp(&b.tokens));
    passages.dedup_by(|a, b| a.tokens == b.tokens);
    passages
}

/// Counts how often training has read each passage whole, within one document and one row.
fn count(passages: &mut [Passage], train: &[ShardSet], exposure: Exposure<'_>) -> Result<()> {
    let Some(length) = passages.first().map(|passage| passage.tokens.len()) else { return Ok(()) };
    let mut scan = Scan::new(passages, length);
    match exposure {
        Exposure::Once => {
            for source in train {
                for index in 0..source.n_documents() {
                    let range = source.document_range(index).unwrap_or_default();
                    scan.read(&source.tokens(range)?, 1);
                }
            }
        }
        Exposure::Plan { plan, steps } => {
            let n_rows = (steps * plan.meta().rows_per_step).min(plan.meta().n_rows());
            // Equal stretches are read once and counted as often as they were drawn.
            let mut drawn: BTreeMap<(usize, u64, u32), u64> = BTreeMap::new();
            for row in 0..n_rows {
                let row = plan.row(row)?;
                for stretch in row.stretches {
                    *drawn.entry((row.source, stretch.start, stretch.length)).or_default() += 1;
                }
            }
            for ((source, start, length), times) in drawn {
                let Some(source) = train.get(source) else { continue };
                scan.read(&source.tokens(start..start + u64::from(length))?, times);
            }
        }
    }
    let counts = scan.counts;
    for (passage, count) in passages.iter_mut().zip(counts) {
        passage.exposures = count;
    }
    Ok(())
}

/// Finds passages of one length in tokens: a rolling hash proposes, the tokens themselves decide (Karp and Rabin 1987).
struct Scan<'a> {
    passages: &'a [Passage],
    length: usize,
    /// [`BASE`] to the power of `length`.
    power: u64,
    by_hash: HashMap<u64, Vec<usize>>,
    counts: Vec<u64>,
}

/// Odd, so that multiplication by it loses nothing modulo 2^64.
const BASE: u64 = 0x9E37_79B9_7F4A_7C15;

impl<'a> Scan<'a> {
    fn new(passages: &'a [Passage], length: usize) -> Self {
        let mut by_hash: HashMap<u64, Vec<usize>> = HashMap::new();
        for (index, passage) in passages.iter().enumerate() {
            let hash = passage.tokens.iter().fold(0, |hash, &id| push(hash, id));
            by_hash.entry(hash).or_default().push(index);
        }
        let power = (0..length).fold(1_u64, |power, _| power.wrapping_mul(BASE));
        Self { passages, length, power, by_hash, counts: vec![0; passages.len()] }
    }

    fn read(&mut self, tokens: &[u32], times: u64) {
        let mut hash = 0_u64;
        for (place, &id) in tokens.iter().enumerate() {
            hash = push(hash, id);
            if place >= self.length {
                let gone = value(tokens[place - self.length]);
                hash = hash.wrapping_sub(gone.wrapping_mul(self.power));
            }
            if place + 1 < self.length {
                continue;
            }
            let window = &tokens[place + 1 - self.length..=place];
            for &index in self.by_hash.get(&hash).map_or(&[][..], Vec::as_slice) {
                if self.passages[index].tokens == window {
                    self.counts[index] += times;
                }
            }
        }
    }
}

fn push(hash: u64, id: u32) -> u64 {
    hash.wrapping_mul(BASE).wrapping_add(value(id))
}

/// A token as a number that is never 0, or leading tokens would not count.
fn value(id: u32) -> u64 {
    u64::from(id) + 1
}

/// Of each passage, how many tokens of the greedy continuation agree before the first that does not.
fn agreeing(
    model: &Model,
    weights: &Weights,
    passages: &[&Passage],
    asked: &Extraction,
) -> Result<Vec<usize>> {
    let config = SampleConfig { tokens: asked.continuation, temperature: 0.0, ..SampleConfig::default() };
    let mut all = Vec::with_capacity(passages.len());
    for passages in passages.chunks(BATCH) {
        let prompts: Vec<Vec<u32>> = passages
            .iter()
            .map(|passage| {
                let read = passage.tokens[..asked.prompt].iter().copied();
                std::iter::once(passage.first).chain(read).collect()
            })
            .collect();
        let mut randoms = vec![Random::named(asked.seed, "memorize"); prompts.len()];
        let written = generate_batch(model, weights, &prompts, &config, [], &mut randoms, |_, _| ())?;
        all.extend(passages.iter().zip(written).map(|(passage, written)| {
            let expected = &passage.tokens[asked.prompt..];
            expected.iter().zip(&written).take_while(|(expected, written)| expected == written).count()
        }));
    }
    Ok(all)
}

/// For people.
pub fn table(buckets: &[Bucket], asked: &Extraction) -> String {
    let mut text = format!(
        "{} tokens read, the next {} written greedily\n{:>16}  {:>8}  {:>6}  {:>8}  {:>7}  {:>16}  {:>15}\n",
        asked.prompt,
        asked.continuation,
        "exposures",
        "passages",
        "asked",
        "verbatim",
        "share",
        "95 % interval",
        "agreeing tokens"
    );
    for bucket in buckets {
        let (from, to) = bucket.exposures;
        let exposures = if from == to { from.to_string() } else { format!("{from} to {to}") };
        let (low, high) = bucket.interval;
        let _ = writeln!(
            text,
            "{exposures:>16}  {:>8}  {:>6}  {:>8}  {:>7.4}  {:>16}  {:>15.1}",
            bucket.passages,
            bucket.asked,
            bucket.verbatim,
            bucket.share,
            format!("{low:.4} to {high:.4}"),
            bucket.agreeing_tokens
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_powers_of_two() {
        let of = |exposures| bounds(bucket_of(exposures));
        assert_eq!((of(0), of(1), of(2), of(3)), ((0, 0), (1, 1), (2, 3), (2, 3)));
        assert_eq!((of(4), of(64), of(127)), ((4, 7), (64, 127), (64, 127)));
        assert_eq!(of(u64::MAX), (1 << 63, u64::MAX));
    }

    #[test]
    fn a_scan_counts_what_a_plain_search_counts() {
        let mut random = Random::named(1, "scan");
        // Three ids, 0 among them: many windows repeat.
        let tokens: Vec<u32> = (0..3000).map(|_| (random.bits() % 3) as u32).collect();
        for length in [1, 2, 5, 8] {
            let passages = distinct(
                tokens
                    .windows(length)
                    .step_by(7)
                    .map(|window| Passage { first: 9, tokens: window.to_vec(), exposures: 0 })
                    .chain([Passage { first: 9, tokens: vec![8; length], exposures: 0 }])
                    .collect(),
            );
            let mut scan = Scan::new(&passages, length);
            scan.read(&tokens, 1);
            scan.read(&tokens[..40], 10);
            for (passage, count) in passages.iter().zip(&scan.counts) {
                let plain =
                    |tokens: &[u32]| tokens.windows(length).filter(|w| **w == passage.tokens[..]).count();
                assert_eq!(*count as usize, plain(&tokens) + 10 * plain(&tokens[..40]), "{passage:?}");
            }
        }
    }
}
