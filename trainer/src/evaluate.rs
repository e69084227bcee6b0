//! Held-out loss, bits per byte, and the unigram entropies that a model must beat.

use anyhow::Result;
use gristmill_tokenizer::Tokenizer;

use crate::loader::{Batch, TokenSource, in_order};
use crate::loss::IGNORED;
use crate::model::{Model, Weights};
use crate::reader::Reader;

/// What a model makes of a split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Mean loss in nats a token.
    pub loss: f64,
    /// Loss in bits over the raw bytes of the targets: comparable across tokenizers.
    pub bits_per_byte: f64,
    /// Targets scored.
    pub tokens: u64,
    /// Raw bytes of those targets; special tokens have none.
    pub bytes: u64,
}

/// Scores the first `limit` targets (0: all) in consecutive windows of the model's context.
pub fn score(
    model: &Model,
    weights: &Weights,
    source: &dyn TokenSource,
    tokenizer: &Tokenizer,
    rows: usize,
    limit: u64,
) -> Result<Score> {
    score_batches(model, weights, tokenizer, in_order(source, model.config.context, rows, limit))
}

/// Scores every target of the batches.
pub fn score_batches(
    model: &Model,
    weights: &Weights,
    tokenizer: &Tokenizer,
    batches: impl Iterator<Item = Result<Batch>>,
) -> Result<Score> {
    score_with(&mut Reader::new(model, weights), tokenizer, batches)
}

/// As [`score_batches`], with a reader.
pub fn score_with(
    reader: &mut Reader<'_>,
    tokenizer: &Tokenizer,
    batches: impl Iterator<Item = Result<Batch>>,
) -> Result<Score> {
    let (mut nats, mut tokens, mut bytes) = (0.0_f64, 0_u64, 0_u64);
    for batch in batches {
        let batch = batch?;
        let losses = reader.nats(&batch);
        nats += losses.iter().map(|&nat| f64::from(nat)).sum::<f64>();
        for &target in batch.targets.iter().filter(|&&target| target != IGNORED) {
            tokens += 1;
            bytes += text_bytes(tokenizer, target);
        }
    }
    Ok(Score {
        loss: nats / tokens.max(1) as f64,
        bits_per_byte: nats / std::f64::consts::LN_2 / bytes.max(1) as f64,
        tokens,
        bytes,
    })
}

fn text_bytes(tokenizer: &Tokenizer, id: u32) -> u64 {
    if tokenizer.is_special(id) { 0 } else { tokenizer.token_bytes(id).map_or(0, |bytes| bytes.len() as u64) }
}

/// How well counting tokens alone would do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unigrams {
    /// Entropy of the token frequencies of both splits together, in nats a token.
    pub entropy: f64,
    /// Mean loss on the validation targets of the training split's frequencies plus one, in nats a token.
    pub val_loss: f64,
}

/// Counts both splits whole.
pub fn unigrams(train: &dyn TokenSource, val: &dyn TokenSource, vocabulary: usize) -> Result<Unigrams> {
    let train = counts(train, vocabulary)?;
    let val = counts(val, vocabulary)?;
    let total = |counts: &[u64]| counts.iter().sum::<u64>() as f64;
    let both: Vec<u64> = train.iter().zip(&val).map(|(a, b)| a + b).collect();
    let n = total(&both).max(1.0);
    let entropy = -both
        .iter()
        .filter(|&&count| count > 0)
        .map(|&count| count as f64 / n * (count as f64 / n).ln())
        .sum::<f64>();
    let (n_train, n_val) = (total(&train) + vocabulary as f64, total(&val).max(1.0));
    let val_loss = -train
        .iter()
        .zip(&val)
        .map(|(&train, &val)| val as f64 / n_val * ((train + 1) as f64 / n_train).ln())
        .sum::<f64>();
    Ok(Unigrams { entropy: entropy.max(0.0), val_loss })
}

fn counts(source: &dyn TokenSource, vocabulary: usize) -> Result<Vec<u64>> {
    const STRIDE: u64 = 1 << 16;
    let mut counts = vec![0_u64; vocabulary];
    let mut buffer = vec![0; STRIDE as usize];
    let n = source.n_tokens();
    for start in (0..n).step_by(STRIDE as usize) {
        let part = &mut buffer[..STRIDE.min(n - start) as usize];
        source.read(start, part)?;
        for &id in part.iter() {
            counts[id as usize] += 1;
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unigrams_of_known_counts() {
        // Four equally frequent tokens: ln 4. The train split alone holds 2 of them twice each.
        let both = unigrams(&vec![0, 1, 0, 1], &vec![2, 3, 2, 3], 4).unwrap();
        assert!((both.entropy - 4_f64.ln()).abs() < 1e-12);
        assert!((both.val_loss - 8_f64.ln()).abs() < 1e-12); // (0 + 1) / (4 + 4)
        let constant = unigrams(&vec![5; 100], &vec![5; 10], 6).unwrap();
        assert!(constant.entropy.abs() < 1e-12);
        let long: Vec<u32> = (0..200_000).map(|i| i % 7).collect();
        assert!((unigrams(&long, &vec![0], 7).unwrap().entropy - 7_f64.ln()).abs() < 1e-6);
    }
}
