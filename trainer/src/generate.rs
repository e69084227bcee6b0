//! Text from a model: prefill, decode with a cache, choose a token.

use anyhow::{Result, ensure};
use gristmill_tokenizer::Tokenizer;

use crate::config::SampleConfig;
use crate::model::{Cache, Model, Weights};
use crate::random::Random;
use crate::step::token_tensor;

/// Continues `prompt` (not empty) by up to `config.tokens` ids, stopping before `stop`.
///
/// `next` sees each id as it is chosen. When the context is full, the newest half of it is read again: a model
/// knows no positions beyond.
pub fn generate(
    model: &Model,
    weights: &Weights,
    prompt: &[u32],
    config: &SampleConfig,
    stop: Option<u32>,
    random: &mut Random,
    mut next: impl FnMut(u32),
) -> Result<Vec<u32>> {
    ensure!(!prompt.is_empty(), "cannot continue an empty prompt: begin it with the tokenizer's first token");
    let context = model.config.context;
    let device = weights.0[0].device();
    let mut ids = prompt.to_vec();
    let mut cache = Cache::default();
    let mut unread = ids.len().saturating_sub(context); // first id that the cache has not read
    while ids.len() < prompt.len() + config.tokens {
        if cache.len() + (ids.len() - unread) > context {
            cache = Cache::default();
            unread = ids.len() - (context / 2).max(1);
        }
        let part = &ids[unread..];
        let logits = model.last_logits(weights, token_tensor(part, 1, part.len(), &device), &mut cache);
        unread = ids.len();
        let id = choose(&logits, config, random);
        if Some(id) == stop {
            break;
        }
        ids.push(id);
        next(id);
    }
    Ok(ids.split_off(prompt.len()))
}

/// Draws a token id from logits under temperature, top-k and top-p, in that order. Ties go to the lower id.
pub fn choose(logits: &[f32], config: &SampleConfig, random: &mut Random) -> u32 {
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    order.sort_by(|&a, &b| logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b)));
    if config.temperature <= 0.0 {
        return order[0];
    }
    if config.top_k > 0 {
        order.truncate(config.top_k);
    }
    let highest = f64::from(logits[order[0] as usize]);
    let mut shares: Vec<f64> = order
        .iter()
        .map(|&id| ((f64::from(logits[id as usize]) - highest) / config.temperature).exp())
        .collect();
    let total: f64 = shares.iter().sum();
    let mut reached = 0.0;
    let kept = shares
        .iter()
        .position(|share| {
            reached += share / total;
            reached >= config.top_p
        })
        .map_or(shares.len(), |last| last + 1);
    shares.truncate(kept);
    let mut left = random.uniform() * shares.iter().sum::<f64>();
    for (&id, share) in order.iter().zip(&shares) {
        left -= share;
        if left < 0.0 {
            return id;
        }
    }
    order[kept - 1] // only rounding leads here
}

/// Ids of a prompt: the token that begins a document, where there is one, then the text's.
pub fn prompt_ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let mut ids: Vec<u32> = tokenizer.bos().into_iter().collect();
    tokenizer.encode_into(text, &mut ids);
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(temperature: f64, top_k: usize, top_p: f64) -> SampleConfig {
        SampleConfig { temperature, top_k, top_p, ..SampleConfig::default() }
    }

    fn draws(logits: &[f32], config: &SampleConfig, seed: u64) -> Vec<u32> {
        let mut random = Random::named(seed, "draws");
        (0..10_000).map(|_| choose(logits, config, &mut random)).collect()
    }

    #[test]
    fn draws_follow_the_softmax() {
        let logits = [0.0, 3_f32.ln(), f32::NEG_INFINITY, 6_f32.ln()]; // shares 0.1, 0.3, 0, 0.6
        let ids = draws(&logits, &config(1.0, 0, 1.0), 1);
        let mut chi_square = 0.0;
        for (id, share) in [(0, 0.1), (1, 0.3), (3, 0.6)] {
            let (seen, expected) = (ids.iter().filter(|&&i| i == id).count() as f64, share * 10_000.0);
            chi_square += (seen - expected).powi(2) / expected;
        }
        assert!(chi_square < 13.8, "{chi_square}"); // p = 0.001 at two degrees of freedom
        assert!(!ids.contains(&2));
        assert_eq!(ids, draws(&logits, &config(1.0, 0, 1.0), 1));
        assert_ne!(ids, draws(&logits, &config(1.0, 0, 1.0), 2));
    }

    #[test]
    fn top_k_and_top_p_cut_the_tail() {
        let logits = [0.0, 3_f32.ln(), f32::NEG_INFINITY, 6_f32.ln()];
        let kinds = |config: &SampleConfig| {
            let mut ids = draws(&logits, config, 1);
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        assert_eq!(kinds(&config(1.0, 2, 1.0)), [1, 3]);
        assert_eq!(kinds(&config(1.0, 0, 0.59)), [3]);
        assert_eq!(kinds(&config(1.0, 0, 0.61)), [1, 3]);
        assert_eq!(kinds(&config(0.0, 0, 1.0)), [3]);
        assert_eq!(kinds(&config(1e-3, 0, 1.0)), [3]);
        assert_eq!(choose(&[1.0, 1.0], &config(0.0, 0, 1.0), &mut Random::named(0, "")), 0);
    }
}
