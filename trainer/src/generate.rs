//! Text from a model: prefill, decode with a cache, choose a token.

use anyhow::{Result, ensure};
use gristmill_tokenizer::Tokenizer;

use crate::config::SampleConfig;
use crate::model::{Model, Weights};
use crate::random::Random;
use crate::reader::Reader;

/// Continues `prompt` (not empty) by up to `config.tokens` ids, stopping before any of `stops`.
///
/// `next` sees each id as it is chosen. When the context is full, the newest half of it is read again: a model
/// knows no positions beyond.
pub fn generate(
    model: &Model,
    weights: &Weights,
    prompt: &[u32],
    config: &SampleConfig,
    stops: impl IntoIterator<Item = u32>,
    random: &mut Random,
    mut next: impl FnMut(u32),
) -> Result<Vec<u32>> {
    let prompts = [prompt.to_vec()];
    let randoms = std::slice::from_mut(random);
    let mut all = generate_batch(model, weights, &prompts, config, stops, randoms, |_, id| next(id))?;
    Ok(all.remove(0))
}

/// As [`generate`], for several prompts at once, each with its own random numbers: one pass over the weights serves all.
///
/// `next` sees the prompt's index with each id.
pub fn generate_batch(
    model: &Model,
    weights: &Weights,
    prompts: &[Vec<u32>],
    config: &SampleConfig,
    stops: impl IntoIterator<Item = u32>,
    randoms: &mut [Random],
    next: impl FnMut(usize, u32),
) -> Result<Vec<Vec<u32>>> {
    let mut reader = Reader::new(model, weights);
    generate_with(&mut reader, model.config.context, prompts, config, stops, randoms, next)
}

/// As [`generate_batch`], with a reader of a model of this context. What it had read is forgotten.
pub fn generate_with(
    reader: &mut Reader<'_>,
    context: usize,
    prompts: &[Vec<u32>],
    config: &SampleConfig,
    stops: impl IntoIterator<Item = u32>,
    randoms: &mut [Random],
    mut next: impl FnMut(usize, u32),
) -> Result<Vec<Vec<u32>>> {
    ensure!(
        prompts.iter().all(|prompt| !prompt.is_empty()),
        "cannot continue an empty prompt: begin it with the tokenizer's first token"
    );
    let stops: Vec<u32> = stops.into_iter().collect();
    let mut texts = prompts.to_vec();
    let mut going: Vec<usize> = if config.tokens == 0 { Vec::new() } else { (0..prompts.len()).collect() };
    reader.clear();
    let mut rows = Rows { reader, padding: Vec::new() };
    let mut logits = Vec::new();
    while !going.is_empty() {
        let newest = |n: usize| -> Vec<&[u32]> {
            going.iter().map(|&i| &texts[i][texts[i].len().saturating_sub(n)..]).collect()
        };
        logits = if logits.is_empty() {
            rows.read(&newest(context))
        } else if rows.longest() == context {
            rows.reader.clear();
            rows.read(&newest((context / 2).max(1)))
        } else {
            rows.read(&newest(1))
        };
        let mut left = Vec::new();
        for (row, (&i, logits)) in going.iter().zip(&mut logits).enumerate() {
            penalise(logits, &texts[i], config.repetition_penalty);
            let id = choose(logits, config, &mut randoms[i]);
            if stops.contains(&id) {
                continue;
            }
            texts[i].push(id);
            next(i, id);
            if texts[i].len() < prompts[i].len() + config.tokens {
                left.push(row);
            }
        }
        if left.len() < going.len() {
            rows.keep(&left);
            going = left.iter().map(|&row| going[row]).collect();
        }
    }
    Ok(texts.into_iter().zip(prompts).map(|(mut text, prompt)| text.split_off(prompt.len())).collect())
}

/// What has been read of some sequences. They end together: shorter ones have padding in front, which nothing reads and
/// no position counts.
struct Rows<'a, 'm> {
    reader: &'a mut Reader<'m>,
    padding: Vec<u32>,
}

impl Rows<'_, '_> {
    /// Reads the next ids of every row, as many of each unless nothing has been read yet, and returns the logits after them.
    fn read(&mut self, parts: &[&[u32]]) -> Vec<Vec<f32>> {
        let t = parts.iter().map(|part| part.len()).max().unwrap_or(0);
        if self.reader.is_empty() {
            self.padding = parts.iter().map(|part| (t - part.len()) as u32).collect();
        }
        let pad = |part: &&[u32]| std::iter::repeat_n(0, t - part.len()).chain(part.to_vec());
        let ids: Vec<u32> = parts.iter().flat_map(pad).collect();
        let padding: &[u32] =
            if self.padding.iter().all(|&padding| padding == 0) { &[] } else { &self.padding };
        self.reader.next_logits(&ids, parts.len(), padding)
    }

    /// Tokens of the longest row.
    fn longest(&self) -> usize {
        self.reader.len() - self.padding.iter().min().map_or(0, |&padding| padding as usize)
    }

    /// Forgets all rows but these.
    fn keep(&mut self, rows: &[usize]) {
        self.padding = rows.iter().map(|&row| self.padding[row]).collect();
        self.reader.keep(rows);
    }
}

/// Makes tokens of the text less likely (Keskar et al. 2019): positive logits are divided by `penalty`, others multiplied.
pub fn penalise(logits: &mut [f32], text: &[u32], penalty: f64) {
    if (penalty - 1.0).abs() < f64::EPSILON {
        return;
    }
    let mut seen = text.to_vec();
    seen.sort_unstable();
    seen.dedup();
    for id in seen {
        if let Some(logit) = logits.get_mut(id as usize) {
            *logit *= if *logit > 0.0 { 1.0 / penalty as f32 } else { penalty as f32 };
        }
    }
}

/// Draws a token id from logits under temperature, top-k, top-p and min-p, in that order. Ties go to the lower id.
pub fn choose(logits: &[f32], config: &SampleConfig, random: &mut Random) -> u32 {
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    let by_logit = |&a: &u32, &b: &u32| logits[b as usize].total_cmp(&logits[a as usize]).then(a.cmp(&b));
    if config.temperature <= 0.0 {
        return order.into_iter().min_by(by_logit).unwrap_or(0);
    }
    if config.top_k > 0 && config.top_k < order.len() {
        order.select_nth_unstable_by(config.top_k, by_logit);
        order.truncate(config.top_k);
    }
    order.sort_unstable_by(by_logit);
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
    // The likeliest token's share is 1 here.
    let kept = shares.iter().position(|&share| share < config.min_p).unwrap_or(kept);
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

/// Text as its ids come, up to the last whole character.
pub struct Streamed<'a> {
    tokenizer: &'a Tokenizer,
    ids: Vec<u32>,
    /// Bytes that have been given out.
    shown: usize,
}

impl<'a> Streamed<'a> {
    /// Nothing yet.
    pub fn new(tokenizer: &'a Tokenizer) -> Self {
        Self { tokenizer, ids: Vec::new(), shown: 0 }
    }

    /// The text that the next id completes; none inside a character.
    pub fn push(&mut self, id: u32) -> String {
        self.ids.push(id);
        let text = self.tokenizer.decode_lossy(&self.ids);
        let whole = text.trim_end_matches('\u{fffd}').len().max(self.shown);
        let new = text[self.shown..whole].to_owned();
        self.shown = whole;
        new
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "halves and doubles are exact")]
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
        // Shares over the highest: 1/6, 1/2, 1.
        let min_p = |min_p| SampleConfig { min_p, ..config(1.0, 0, 1.0) };
        assert_eq!(kinds(&min_p(0.16)), [0, 1, 3]);
        assert_eq!(kinds(&min_p(0.17)), [1, 3]);
        assert_eq!(kinds(&min_p(0.51)), [3]);
        assert_eq!(kinds(&min_p(1.0)), [3]);
    }

    #[test]
    fn repeated_tokens_lose_weight_once() {
        let mut logits = [2.0, -2.0, 1.0];
        penalise(&mut logits, &[0, 1, 0, 99], 2.0);
        assert_eq!(logits, [1.0, -4.0, 1.0]);
        penalise(&mut logits, &[0, 1], 1.0);
        assert_eq!(logits, [1.0, -4.0, 1.0]);
    }
}
