//! Which blocks to keep, given how likely each is content: those that promise the best word F1.
//!
//! One threshold for all pages is too high for a page of many doubtful blocks, which a reader wants whole, and too low for
//! one of a clear text among them. F1 of a set depends on what else is content, so that its expectation depends on how
//! the blocks hang together. Two extremes are reckoned and mixed: every block is content on its own (then the expected
//! words stand for the true ones), or one hidden threshold decides for all (then each level of probability is the truth in
//! its turn). Mixed they are better than either, cross-validated.

use super::model::logistic;

/// Levels of the hidden threshold.
const LEVELS: usize = 20;
/// How much the second extreme counts. The score of the pages that were tried is within .001 from .4 to .8.
const TOGETHER: f64 = 0.6;

/// A choice of blocks.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// For every block whether it is kept.
    pub keep: Vec<bool>,
    /// The word F1 that is expected, 0 to 1.
    pub expected: f32,
}

/// Chooses among blocks of so many words each, every one of which is worth `stricter` less than its sum. Takes the likeliest
/// blocks first; in doubt, the earlier one, and fewer of them.
pub fn choose(sums: &[f32], words: &[u32], stricter: f32) -> Choice {
    let probabilities: Vec<f32> = sums.iter().map(|sum| logistic(sum - stricter)).collect();
    let mut order: Vec<u32> = (0..probabilities.len() as u32).collect();
    order.sort_unstable_by(|&a, &b| {
        probabilities[b as usize].total_cmp(&probabilities[a as usize]).then(a.cmp(&b))
    });
    let (mut all, mut likely) = (0.0_f64, 0.0_f64);
    let mut levels = [0.0_f64; LEVELS];
    for &at in &order {
        let (probability, words) = (f64::from(probabilities[at as usize]), f64::from(words[at as usize]));
        likely += probability * words;
        all += words;
        for (level, truth) in levels.iter_mut().enumerate() {
            if probability >= (level as f64 + 0.5) / LEVELS as f64 {
                *truth = all;
            }
        }
    }
    let mut choice = Choice { keep: vec![false; probabilities.len()], expected: 0.0 };
    let (mut kept, mut right, mut best, mut number) = (0.0_f64, 0.0_f64, 0.0_f64, 0);
    for (place, &at) in order.iter().enumerate() {
        let (probability, words) = (f64::from(probabilities[at as usize]), f64::from(words[at as usize]));
        kept += words;
        right += probability * words;
        if kept == 0.0 {
            continue;
        }
        let alone = 2.0 * right / (kept + likely);
        let together: f64 = levels.iter().map(|truth| 2.0 * kept.min(*truth) / (kept + truth)).sum();
        let expected = (1.0 - TOGETHER) * alone + TOGETHER * together / LEVELS as f64;
        if expected > best {
            (best, number) = (expected, place + 1);
        }
    }
    for &at in &order[..number] {
        choice.keep[at as usize] = true;
    }
    choice.expected = best as f32;
    choice
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By probabilities, as they are.
    fn choose(probabilities: &[f32], words: &[u32]) -> Choice {
        let sums: Vec<f32> = probabilities.iter().map(|p| (p / (1.0 - p)).ln()).collect();
        super::choose(&sums, words, 0.0)
    }

    #[test]
    fn clear_blocks_are_kept_and_dropped() {
        let choice = choose(&[0.02, 0.99, 0.97, 0.01], &[50, 100, 80, 200]);
        assert_eq!(choice.keep, [false, true, true, false]);
        assert!(choice.expected > 0.9 && choice.expected <= 1.0);
    }

    #[test]
    fn doubtful_blocks_are_kept_where_there_is_nothing_else() {
        assert_eq!(choose(&[0.3; 20], &[10; 20]).keep, [true; 20]);
        assert_eq!(choose(&[0.99, 0.2], &[500, 100]).keep, [true, false]);
    }

    #[test]
    fn nothing_comes_of_nothing() {
        assert!(choose(&[], &[]).expected < 1e-9);
        assert_eq!(choose(&[0.9, 0.8], &[0, 0]).keep, [false, false]);
    }
}
