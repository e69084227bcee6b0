//! Exceptions that the affix rules took apart are put together again: `:` `)` becomes `:)`.
//!
//! The reference looks for the word sequences of exceptions over the whole text, keeps the longest of those that
//! overlap, then the leftmost, and only then asks whether the words stand side by side. So do we.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::exceptions::EXCEPTIONS;
use super::{CHARS, Word, english, word};
use crate::hashing::FastHash;

/// What to look for.
pub struct Rejoins {
    /// Word sequences, by their first two words.
    sequences: HashMap<(&'static str, &'static str), Vec<Sequence>, FastHash>,
    /// One bit for each first byte of a first and of a second word.
    first: [bool; 256],
    second: [bool; 256],
    longest_first: usize,
}

struct Sequence {
    /// The words after the second.
    rest: Vec<&'static str>,
    exception: &'static str,
}

/// The one list.
pub static REJOINS: LazyLock<Rejoins> = LazyLock::new(Rejoins::new);

/// A sequence found: words `start..start + n`.
struct Found {
    start: usize,
    n: usize,
    exception: &'static str,
}

impl Rejoins {
    /// Puts exceptions together in `words`, the words of `text` in order, whitespace included.
    pub fn apply(&self, text: &str, words: &mut Vec<Word>) {
        // Words that stand side by side are few, and without them there is nothing to do.
        let starts = 0..words.len().saturating_sub(1);
        let side_by_side = |&start: &usize| words[start].end == words[start + 1].start;
        let mut found = Vec::new();
        starts.clone().filter(side_by_side).for_each(|start| self.find_at(text, words, start, &mut found));
        if found.is_empty() {
            return;
        }
        found.clear();
        starts.for_each(|start| self.find_at(text, words, start, &mut found));
        replace(text, words, found);
    }

    /// Finds the sequences that start at word `start`, which is not the last.
    #[inline]
    fn find_at(&self, text: &str, words: &[Word], start: usize, found: &mut Vec<Found>) {
        let bytes = text.as_bytes();
        let (one, two) = (words[start], words[start + 1]);
        if !self.second[bytes[two.start as usize] as usize]
            || !self.first[bytes[one.start as usize] as usize]
            || one.range().len() > self.longest_first
        {
            return;
        }
        let Some(sequences) = self.sequences.get(&(&text[one.range()], &text[two.range()])) else { return };
        for Sequence { rest, exception } in sequences {
            let after = &words[start + 2..];
            if rest.len() <= after.len() && rest.iter().zip(after).all(|(s, w)| *s == &text[w.range()]) {
                found.push(Found { start, n: rest.len() + 2, exception });
            }
        }
    }

    fn new() -> Self {
        let mut rejoins = Self {
            sequences: HashMap::default(),
            first: [false; 256],
            second: [false; 256],
            longest_first: 0,
        };
        for (exception, _) in EXCEPTIONS.iter() {
            let (words, applies) = english::cut_without_exceptions(exception);
            let parts: Vec<&'static str> = words.iter().map(|word| &exception[word.range()]).collect();
            if let (true, [one, two, rest @ ..]) = (applies, &parts[..]) {
                rejoins.first[one.as_bytes()[0] as usize] = true;
                rejoins.second[two.as_bytes()[0] as usize] = true;
                rejoins.longest_first = rejoins.longest_first.max(one.len());
                rejoins
                    .sequences
                    .entry((one, two))
                    .or_default()
                    .push(Sequence { rest: rest.to_vec(), exception });
            }
        }
        rejoins
    }
}

fn replace(text: &str, words: &mut Vec<Word>, mut found: Vec<Found>) {
    found.sort_by_key(|f| (std::cmp::Reverse(f.n), f.start));
    let mut taken = vec![false; words.len()];
    found.retain(|f| {
        let free = !taken[f.start] && !taken[f.start + f.n - 1];
        taken[f.start..f.start + f.n].fill(true);
        free
    });
    found.sort_by_key(|f| f.start);
    let old = std::mem::take(words);
    let mut at = 0;
    for Found { start, n, exception } in found {
        let (from, to) = (old[start].start as usize, old[start + n - 1].end as usize);
        if &text[from..to] != exception {
            continue;
        }
        words.extend_from_slice(&old[at..start]);
        let mut part_start = from;
        for &length in EXCEPTIONS.get(exception).expect("sequences are made of exceptions") {
            words.push(word(&CHARS, text, part_start, part_start + length as usize));
            part_start += length as usize;
        }
        at = start + n;
    }
    words.extend_from_slice(&old[at..]);
}
