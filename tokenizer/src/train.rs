//! Which merges does a corpus teach?
//!
//! Byte-pair encoding, exactly: the pair of adjacent tokens that occurs most often over all pre-tokens becomes a token,
//! again and again. **Of equally frequent pairs the one with the lowest (left id, right id) wins**, so that equal counts
//! give the same tokenizer everywhere; other trainers order ties otherwise. Tokens 0 to 255 are the bytes, token
//! 256 + n is merge n, and the specials follow.
//!
//! Counts are kept up to date merge by merge: a merge touches only the pre-tokens that hold its pair. The heap holds
//! upper bounds: a pair whose count has fallen is put back with its present count when it comes to the top.

use crate::tokenizer::{Merge, Parts};
use crate::{PretokenCounts, Tokenizer, TokenizerError, default_specials};
use rayon::prelude::*;
use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

/// What to train.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainOptions {
    /// Ids in all: 256 bytes, merges, specials. Fewer come out when no pair is frequent enough.
    pub vocab_size: usize,
    /// Special tokens, appended after the merges in this order.
    pub specials: Vec<String>,
    /// Training stops when the best pair occurs less often than this (at least 1).
    pub minimum_pair_count: u64,
}

/// 32,768 ids with [`crate::DEFAULT_SPECIALS`]; pairs that occur once are not merged.
impl Default for TrainOptions {
    fn default() -> Self {
        Self { vocab_size: 32_768, specials: default_specials(), minimum_pair_count: 2 }
    }
}

/// Trains a tokenizer on counted pre-tokens. The result depends on the counts and options alone.
///
/// # Errors
/// [`TokenizerError::Options`] when the vocabulary has no room for the 256 bytes and the specials, or does not fit u32;
/// [`TokenizerError::Format`] when a special is empty or given twice.
pub fn train(counts: &PretokenCounts, options: &TrainOptions) -> Result<Tokenizer, TokenizerError> {
    let fixed = 256 + options.specials.len();
    if options.vocab_size < fixed || options.vocab_size > i32::MAX as usize {
        return Err(TokenizerError::Options(format!(
            "vocab_size {} is out of range: at least {fixed} is needed (256 bytes and {} special tokens), at most {}",
            options.vocab_size,
            options.specials.len(),
            i32::MAX
        )));
    }
    let pairs = learn(&counts.sorted(), options.vocab_size - fixed, options.minimum_pair_count.max(1));

    let mut tokens: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    let mut merges = Vec::with_capacity(pairs.len());
    for (rank, (left, right)) in (0..).zip(pairs) {
        merges.push(Merge { rank, left, right, id: 256 + rank });
        tokens.push([&tokens[left as usize][..], &tokens[right as usize]].concat());
    }
    let specials = options.specials.iter().cloned().zip(tokens.len() as u32..).collect();
    let parts =
        Parts { pattern: counts.pattern().clone(), tokens, merges, whole_piece_first: false, specials };
    Tokenizer::new(parts, "list of special tokens")
}

type Pair = (u32, u32);
type PairMap<V> = HashMap<Pair, V, BuildHasherDefault<PairHasher>>;

/// A pair's occurrences: how often, and in which words (some perhaps no longer).
#[derive(Default)]
struct Occurrences {
    count: u64,
    words: Vec<u32>,
}

/// The merges, in order, as pairs of ids.
fn learn(words: &[(&[u8], u64)], n_merges: usize, minimum: u64) -> Vec<Pair> {
    let mut symbols: Vec<Vec<u32>> =
        words.par_iter().map(|(bytes, _)| bytes.iter().map(|byte| *byte as u32).collect()).collect();
    let mut pairs = first_counts(words, &symbols);
    let mut heap: BinaryHeap<(u64, Reverse<Pair>)> =
        pairs.iter().filter(|(_, o)| o.count >= minimum).map(|(pair, o)| (o.count, Reverse(*pair))).collect();
    let mut merges = Vec::new();
    // Changes of one merge: kept apart, so that each pair's count and heap entry change once.
    let mut changes: PairMap<i64> = PairMap::default();

    while merges.len() < n_merges {
        let Some((count, Reverse(pair))) = heap.pop() else { break };
        let now = pairs.get(&pair).map_or(0, |occurrences| occurrences.count);
        if now != count {
            // The count fell since this entry was made. (Had it risen, a higher entry would have come first.)
            if now >= minimum && now < count {
                heap.push((now, Reverse(pair)));
            }
            continue;
        }
        let new = 256 + merges.len() as u32;
        merges.push(pair);
        let mut holders = pairs.remove(&pair).map(|occurrences| occurrences.words).unwrap_or_default();
        holders.sort_unstable();
        holders.dedup();
        for word in holders {
            let weight = words[word as usize].1;
            merge_word(&mut symbols[word as usize], pair, new, |changed, delta| {
                if changed == pair {
                    return;
                }
                let change = changes.entry(changed).or_insert(0);
                *change = change.saturating_add((weight.min(i64::MAX as u64) as i64).saturating_mul(delta));
                if delta > 0 {
                    let words = &mut pairs.entry(changed).or_default().words;
                    if words.last() != Some(&word) {
                        words.push(word);
                    }
                }
            });
        }
        for (changed, delta) in changes.drain() {
            let Entry::Occupied(mut entry) = pairs.entry(changed) else { continue };
            let occurrences = entry.get_mut();
            occurrences.count = occurrences.count.saturating_add_signed(delta);
            match occurrences.count {
                0 => drop(entry.remove()),
                count if delta > 0 && count >= minimum => heap.push((count, Reverse(changed))),
                _ => {}
            }
        }
    }
    merges
}

/// Counts every adjacent pair, in parallel over runs of words; sums do not depend on the order.
fn first_counts(words: &[(&[u8], u64)], symbols: &[Vec<u32>]) -> PairMap<Occurrences> {
    const RUN: usize = 1 << 14;
    let mut total: PairMap<Occurrences> = PairMap::default();
    let parts: Vec<PairMap<Occurrences>> = symbols
        .par_chunks(RUN)
        .enumerate()
        .map(|(run, symbols)| {
            let mut part: PairMap<Occurrences> = PairMap::default();
            for (i, word) in symbols.iter().enumerate() {
                let index = run * RUN + i;
                for pair in word.windows(2) {
                    let occurrences = part.entry((pair[0], pair[1])).or_default();
                    occurrences.count = occurrences.count.saturating_add(words[index].1);
                    if occurrences.words.last() != Some(&(index as u32)) {
                        occurrences.words.push(index as u32);
                    }
                }
            }
            part
        })
        .collect();
    for part in parts {
        for (pair, occurrences) in part {
            let sum = total.entry(pair).or_default();
            sum.count = sum.count.saturating_add(occurrences.count);
            sum.words.extend(occurrences.words);
        }
    }
    total
}

/// Replaces every `pair` in `word` by `new`, leftmost first, and reports each adjacent pair lost (-1) or gained (+1).
fn merge_word(word: &mut Vec<u32>, pair: Pair, new: u32, mut change: impl FnMut(Pair, i64)) {
    let (mut read, mut write) = (0, 0);
    while read < word.len() {
        if read + 1 < word.len() && (word[read], word[read + 1]) == pair {
            // What is left of `write` is final; what is right of `read + 1` has not been merged yet.
            if write > 0 {
                let left = word[write - 1];
                // After a merge just before, the pair that is lost begins with the merged token.
                change((left, pair.0), -1);
                change((left, new), 1);
            }
            if let Some(&right) = word.get(read + 2) {
                change((pair.1, right), -1);
                change((new, right), 1);
            }
            word[write] = new;
            read += 2;
        } else {
            word[write] = word[read];
            read += 1;
        }
        write += 1;
    }
    word.truncate(write);
}

/// Multiplies and folds: keys are pairs of dense ids, which need mixing but no more.
#[derive(Default)]
struct PairHasher(u64);

impl Hasher for PairHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(*byte as u32);
        }
    }

    fn write_u32(&mut self, value: u32) {
        self.0 = (self.0.rotate_left(32) ^ value as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        self.0 ^ self.0 >> 29
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pattern;
    use proptest::prelude::*;

    fn counts(text: &str) -> PretokenCounts {
        let mut counts = PretokenCounts::new(Pattern::gpt2());
        counts.add(text);
        counts
    }

    /// Counts everything again before every merge.
    fn naive(words: &[(&[u8], u64)], n_merges: usize, minimum: u64) -> Vec<Pair> {
        let mut words: Vec<(Vec<u32>, u64)> =
            words.iter().map(|(bytes, count)| (bytes.iter().map(|b| *b as u32).collect(), *count)).collect();
        let mut merges = Vec::new();
        while merges.len() < n_merges {
            let mut counts = std::collections::BTreeMap::new();
            for (word, count) in &words {
                for pair in word.windows(2) {
                    *counts.entry((pair[0], pair[1])).or_insert(0) += count;
                }
            }
            let best = counts.iter().max_by_key(|(pair, count)| (**count, Reverse(**pair)));
            let Some((&pair, _)) = best.filter(|(_, count)| **count >= minimum) else { break };
            let new = 256 + merges.len() as u32;
            merges.push(pair);
            for (word, _) in &mut words {
                let mut merged = Vec::new();
                let mut i = 0;
                while i < word.len() {
                    if i + 1 < word.len() && (word[i], word[i + 1]) == pair {
                        merged.push(new);
                        i += 2;
                    } else {
                        merged.push(word[i]);
                        i += 1;
                    }
                }
                *word = merged;
            }
        }
        merges
    }

    #[test]
    fn ties_go_to_the_lowest_pair() {
        // " b"+"a", each pair twice: (98, 97) < (32, 98) is false, so (32, 98) is first.
        let tokenizer = train(
            &counts("x ba x ba"),
            &TrainOptions { vocab_size: 260, specials: vec![], minimum_pair_count: 2 },
        )
        .unwrap();
        let merges: Vec<_> = tokenizer.parts().merges.iter().map(|m| (m.left, m.right)).collect();
        assert_eq!(merges, [(32, 98), (256, 97)]);
        assert_eq!(tokenizer.vocab_size(), 258, "stops where every pair occurs once");
    }

    #[test]
    fn a_vocabulary_without_room_is_refused() {
        let options = TrainOptions { vocab_size: 263, ..TrainOptions::default() };
        let message = train(&counts("a"), &options).unwrap_err().to_string();
        assert!(message.contains("at least 264 is needed"), "{message}");
        let options = TrainOptions { vocab_size: 264, ..TrainOptions::default() };
        assert_eq!(train(&counts("a"), &options).unwrap().vocab_size(), 264);
        let options = TrainOptions { specials: vec!["<x>".into(), "<x>".into()], ..TrainOptions::default() };
        assert!(train(&counts("a"), &options).unwrap_err().to_string().contains("`<x>`"));
    }

    #[test]
    fn any_number_of_threads_learns_the_same() {
        let text = include_str!("train.rs");
        let options = TrainOptions { vocab_size: 800, ..TrainOptions::default() };
        let files = [1, 2, 3].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| train(&counts(text), &options).unwrap().to_json())
        });
        assert_eq!(files[0], files[1]);
        assert_eq!(files[0], files[2]);
    }

    #[test]
    fn source_code_teaches_what_the_plain_trainer_learns() {
        let counts = counts(include_str!("train.rs"));
        let words = counts.sorted();
        let learned = learn(&words, 600, 2);
        assert_eq!(learned.len(), 600);
        assert_eq!(learned, naive(&words, 600, 2));
    }

    proptest! {
        #[test]
        fn every_corpus_teaches_what_the_plain_trainer_learns(
            words in prop::collection::btree_map("[a-c]{1,12}", 1_u64..6, 1..12),
            minimum in 1_u64..4,
        ) {
            let words: Vec<_> = words.iter().map(|(word, count)| (word.as_bytes(), *count)).collect();
            prop_assert_eq!(learn(&words, 60, minimum), naive(&words, 60, minimum));
        }
    }
}
