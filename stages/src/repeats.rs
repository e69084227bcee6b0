//! How much of a text is word sequences (n-grams) that occur more than once.
//!
//! Time and memory are linear in the text whatever it holds; the answers are exact, since hashes only say where to
//! look.

use xxhash_rust::xxh3::xxh3_64;

use crate::words::Word;

/// The word sequences of one text.
pub struct Repeats<'a> {
    text: &'a str,
    words: &'a [Word],
    /// Number of each word: equal words have equal numbers, counted up in order of first appearance.
    word_ids: Vec<u32>,
    /// The same for sequences of `n` words, at every start.
    ids: Vec<u32>,
    n: usize,
    n_distinct: usize,
    table: IdTable,
    joined: Option<Joined>,
}

impl<'a> Repeats<'a> {
    /// Numbers the words.
    pub fn new(text: &'a str, words: &'a [Word]) -> Self {
        let (word_ids, n_distinct) = number_words(text, words);
        let ids = word_ids.clone();
        Self { text, words, word_ids, ids, n: 1, n_distinct, table: IdTable::new(words.len()), joined: None }
    }

    /// Code points of the most frequent sequence of `n` words (joined by one space), times its count; of several, the
    /// first seen. `None` when there are fewer than `n` words. Cheapest when asked for growing `n`.
    pub fn most_frequent(&mut self, n: usize) -> Option<usize> {
        if n == 0 || self.words.len() < n {
            return None;
        }
        if n < self.n {
            let (word_ids, n_distinct) = number_words(self.text, self.words);
            (self.ids, self.word_ids, self.n_distinct, self.n) = (word_ids.clone(), word_ids, n_distinct, 1);
        }
        while self.n < n {
            self.grow();
        }
        let (mut first, mut count) = (0, 1);
        if self.n_distinct < self.ids.len() {
            let mut counts = vec![0u32; self.n_distinct];
            self.ids.iter().for_each(|&id| counts[id as usize] += 1);
            let best = counts.iter().max().copied().unwrap_or(0);
            // Numbers count up in order of appearance, so the first best is the first seen.
            let id = counts.iter().position(|&n| n == best).unwrap_or(0);
            first = self.ids.iter().position(|&other| other as usize == id).unwrap_or(0);
            count = best as usize;
        }
        let n_chars = self.words[first..first + n].iter().map(|word| word.n_chars as usize).sum::<usize>();
        Some((n_chars + n - 1) * count)
    }

    /// From sequences of `n` words to sequences of `n + 1`.
    fn grow(&mut self) {
        let n_grams = self.words.len() - self.n;
        self.n += 1;
        self.ids.truncate(n_grams);
        if self.n_distinct > n_grams {
            // All sequences differ already, so longer ones do.
            self.n_distinct = n_grams;
            return;
        }
        self.table.clear();
        for (id, next) in self.ids.iter_mut().zip(&self.word_ids[self.n - 1..]) {
            *id = self.table.number((*id as u64) << 32 | *next as u64);
        }
        self.n_distinct = self.table.n_ids as usize;
    }

    /// Code points in sequences of `n` words that were seen before, read from left to right: a repeated sequence is
    /// counted and skipped, a new one is remembered and the reader moves one word on. Sequences are compared as
    /// strings without spaces.
    pub fn duplicated(&mut self, n: usize) -> usize {
        if n == 0 || self.words.len() < n {
            return 0;
        }
        let (text, words) = (self.text, self.words);
        self.joined.get_or_insert_with(|| Joined::new(text, words)).duplicated(n)
    }
}

fn number_words(text: &str, words: &[Word]) -> (Vec<u32>, usize) {
    let mask = table_size(words.len()) - 1;
    // Each slot holds the upper half of the hash and the word's place plus one.
    let mut slots = vec![0u64; mask + 1];
    let mut ids: Vec<u32> = Vec::with_capacity(words.len());
    let mut n_distinct = 0;
    for (place, word) in words.iter().enumerate() {
        let bytes = &text.as_bytes()[word.range()];
        let hash = xxh3_64(bytes);
        let mut at = hash as usize & mask;
        let id = loop {
            let slot = slots[at];
            if slot == 0 {
                slots[at] = hash >> 32 << 32 | (place as u64 + 1);
                n_distinct += 1;
                break n_distinct - 1;
            }
            if slot >> 32 == hash >> 32 {
                let known = (slot as u32 - 1) as usize;
                if &text.as_bytes()[words[known].range()] == bytes {
                    break ids[known];
                }
            }
            at = (at + 1) & mask;
        };
        ids.push(id);
    }
    (ids, n_distinct as usize)
}

fn table_size(n: usize) -> usize {
    (n * 2).next_power_of_two().max(16)
}

/// Numbers keys in order of first appearance.
struct IdTable {
    keys: Vec<u64>,
    ids: Vec<u32>,
    shift: u32,
    n_ids: u32,
}

/// An odd multiplier without pattern: 2^64 divided by the golden ratio.
const MIX: u64 = 0x9E37_79B9_7F4A_7C15;

/// No key: both halves of a key are numbers of words, of which there are fewer.
const VACANT: u64 = u64::MAX;

impl IdTable {
    fn new(n: usize) -> Self {
        let size = table_size(n);
        Self { keys: vec![VACANT; size], ids: vec![0; size], shift: 64 - size.trailing_zeros(), n_ids: 0 }
    }

    fn clear(&mut self) {
        self.keys.fill(VACANT);
        self.n_ids = 0;
    }

    #[inline]
    fn number(&mut self, key: u64) -> u32 {
        let mask = self.keys.len() - 1;
        let mixed = (key ^ key >> 29).wrapping_mul(MIX);
        let mut at = (mixed >> self.shift) as usize;
        loop {
            if self.keys[at] == key {
                return self.ids[at];
            }
            if self.keys[at] == VACANT {
                self.keys[at] = key;
                self.ids[at] = self.n_ids;
                self.n_ids += 1;
                return self.n_ids - 1;
            }
            at = (at + 1) & mask;
        }
    }
}

/// The words without anything between them: a sequence's bytes do not say where its words end.
struct Joined {
    bytes: Vec<u8>,
    /// Start of each word in `bytes`, and the end.
    starts: Vec<u32>,
    /// Code points before each word, and in all.
    chars: Vec<u32>,
    /// Whether the `PROBE` bytes from each word on may occur from another word on as well. Sequences of at least
    /// that length that begin elsewhere need no look-up, for any `n`; in prose that is nearly all of them.
    may_repeat: Vec<bool>,
    slots: Vec<u64>,
}

/// Bytes that tell most beginnings apart.
const PROBE: usize = 16;

impl Joined {
    fn new(text: &str, words: &[Word]) -> Self {
        let mut bytes = Vec::with_capacity(text.len());
        let mut starts = Vec::with_capacity(words.len() + 1);
        let mut chars = Vec::with_capacity(words.len() + 1);
        let mut n_chars = 0;
        for word in words {
            starts.push(bytes.len() as u32);
            chars.push(n_chars);
            bytes.extend_from_slice(&text.as_bytes()[word.range()]);
            n_chars += word.n_chars;
        }
        starts.push(bytes.len() as u32);
        chars.push(n_chars);

        // Counters share slots: a full one may mean chance, an empty one never hides a repeat.
        let mask = table_size(words.len()) * 8 - 1;
        let mut counters = vec![0u8; mask + 1];
        let slot = |start: u32| {
            let probe = bytes[start as usize..].first_chunk::<PROBE>()?;
            let (low, high) =
                (u128::from_le_bytes(*probe) as u64, (u128::from_le_bytes(*probe) >> 64) as u64);
            let mixed = (low ^ high.rotate_left(29).wrapping_mul(MIX)).wrapping_mul(MIX);
            Some((mixed >> 24) as usize & mask)
        };
        for &start in &starts {
            if let Some(slot) = slot(start) {
                counters[slot] = counters[slot].saturating_add(1);
            }
        }
        let may_repeat =
            starts.iter().map(|&start| slot(start).is_none_or(|slot| counters[slot] > 1)).collect();
        Self { bytes, starts, chars, may_repeat, slots: vec![0; table_size(words.len())] }
    }

    #[inline]
    fn sequence(&self, first: usize, n: usize) -> &[u8] {
        &self.bytes[self.starts[first] as usize..self.starts[first + n] as usize]
    }

    fn duplicated(&mut self, n: usize) -> usize {
        let mut slots = std::mem::take(&mut self.slots);
        slots.fill(0);
        let mask = slots.len() - 1;
        let n_words = self.starts.len() - 1;
        let (mut n_chars, mut place) = (0, 0);
        while place + n <= n_words {
            let sequence = self.sequence(place, n);
            if !self.may_repeat[place] && sequence.len() >= PROBE {
                place += 1;
                continue;
            }
            let hash = xxh3_64(sequence);
            let mut at = hash as usize & mask;
            let repeated = loop {
                let slot = slots[at];
                if slot == 0 {
                    slots[at] = hash >> 32 << 32 | (place as u64 + 1);
                    break false;
                }
                if slot >> 32 == hash >> 32 && self.sequence((slot as u32 - 1) as usize, n) == sequence {
                    break true;
                }
                at = (at + 1) & mask;
            };
            if repeated {
                n_chars += (self.chars[place + n] - self.chars[place]) as usize;
                place += n;
            } else {
                place += 1;
            }
        }
        self.slots = slots;
        n_chars
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::words::WordView;

    /// The definition, word for word.
    fn plain(words: &[&str], n: usize) -> (Option<usize>, usize) {
        let grams: Vec<String> = words.windows(n).map(|gram| gram.join(" ")).collect();
        let mut best: Option<(usize, &String)> = None;
        for gram in &grams {
            let count = grams.iter().filter(|other| *other == gram).count();
            if best.is_none_or(|(most, _)| count > most) {
                best = Some((count, gram));
            }
        }
        let (mut seen, mut duplicated, mut at) = (HashSet::new(), 0, 0);
        while at + n <= words.len() {
            let gram = words[at..at + n].concat();
            if seen.contains(&gram) {
                duplicated += gram.chars().count();
                at += n;
            } else {
                seen.insert(gram);
                at += 1;
            }
        }
        (best.map(|(count, gram)| count * gram.chars().count()), duplicated)
    }

    proptest! {
        #[test]
        fn the_fast_way_counts_as_the_plain_way(text in "([ab]{1,2}|é|,) ([ab ]{0,60}|(ab a ,){0,9})") {
            let view = WordView::new(&text, None);
            let words: Vec<&str> = view.strings(&text).collect();
            let mut repeats = Repeats::new(&text, view.words());
            for n in [1, 2, 3, 4, 5, 6, 2, 10] {
                let expected = plain(&words, n);
                prop_assert_eq!((repeats.most_frequent(n), repeats.duplicated(n)), expected, "{}", n);
            }
        }
    }

    #[test]
    fn sequences_are_compared_without_spaces() {
        let text = "ab c x a bc";
        let view = WordView::new(text, None);
        assert_eq!(Repeats::new(text, view.words()).duplicated(2), 3);
    }
}
