//! From n-grams to the items that hold them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::items::Items;
use crate::dedup::tokens::ngrams;
use crate::hashing::FastHash;

/// Where an n-gram stands: item, and the number of its first word through all strings of the item.
#[derive(Clone, Copy)]
struct Place {
    item: u32,
    word: u32,
}

/// N-grams of all items.
pub struct Index {
    sets: Vec<String>,
    /// Set, name and number of words of every item.
    items: Vec<(u32, String, u32)>,
    /// The shortest length of n-grams, and the hashes of as many first words of all of them: what a document shares none of
    /// need not be looked up.
    shortest: usize,
    beginnings: HashSet<u64, FastHash>,
    /// For every length of n-grams: hashes, and where their places are in `places`.
    lengths: BTreeMap<usize, HashMap<u64, (u32, u32), FastHash>>,
    places: Vec<Place>,
}

/// What a document holds most of.
#[derive(Debug, PartialEq)]
pub struct Found<'a> {
    /// The set's name.
    pub set: &'a str,
    /// The item's name.
    pub item: &'a str,
    /// The share of its words that lie in n-grams which the document holds.
    pub share: f64,
}

impl Index {
    /// Strings of at least `ngram` words count by n-grams, those of at least `min_words` as a whole; n-grams of more than `max_items` items
    /// are left out, unless that is 0.
    pub fn new(items: Items, ngram: usize, min_words: usize, max_items: usize) -> Self {
        let shortest = min_words.min(ngram);
        let mut keyed: Vec<(usize, u64, u32, u32)> = Vec::new();
        let mut beginnings = HashSet::default();
        let mut named = Vec::with_capacity(items.items.len());
        for (number, item) in items.items.into_iter().enumerate() {
            let mut first_word = 0;
            for words in &item.strings {
                let length = words.len().min(ngram);
                if length >= shortest {
                    let n = words.len() + 1 - length;
                    beginnings.extend(ngrams(words, shortest).take(n).map(|key| key as u64));
                    let places = ngrams(words, length).zip(first_word..);
                    keyed.extend(places.map(|(key, word)| (length, key as u64, number as u32, word)));
                }
                first_word += words.len() as u32;
            }
            named.push((item.set as u32, item.name, first_word));
        }
        keyed.sort_unstable();
        let mut index = Self {
            sets: items.sets,
            items: named,
            shortest,
            beginnings,
            lengths: BTreeMap::new(),
            places: Vec::new(),
        };
        for group in keyed.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            let n_items = group.chunk_by(|a, b| a.2 == b.2).count();
            if max_items > 0 && n_items > max_items {
                continue;
            }
            let first = index.places.len() as u32;
            index.places.extend(group.iter().map(|&(_, _, item, word)| Place { item, word }));
            let (length, key, ..) = group[0];
            index.lengths.entry(length).or_default().insert(key, (first, index.places.len() as u32));
        }
        index
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The item of which a document, given as its hashed words, holds the largest share; of several the first.
    pub fn find(&self, words: &[u64]) -> Option<Found<'_>> {
        // For each item the words that are covered. An n-gram counts once, however often the document repeats it.
        let mut covered: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
        let mut seen = HashSet::with_hasher(FastHash::default());
        for (start, beginning) in ngrams(words, self.shortest).enumerate() {
            if !self.beginnings.contains(&(beginning as u64)) {
                continue;
            }
            for (&length, places) in &self.lengths {
                let Some(words) = words.get(start..start + length) else { break };
                let key = ngrams(words, length).next().map(|key| key as u64);
                let Some(&(first, end)) = key.and_then(|key| places.get(&key)) else { continue };
                if !seen.insert(first) {
                    continue;
                }
                for place in &self.places[first as usize..end as usize] {
                    covered.entry(place.item).or_default().extend(place.word..place.word + length as u32);
                }
            }
        }
        let share = |(item, words): (u32, BTreeSet<u32>)| {
            let (set, name, n_words) = &self.items[item as usize];
            let share = words.len() as f64 / f64::from(*n_words);
            Found { set: &self.sets[*set as usize], item: name, share }
        };
        let found = covered.into_iter().map(share);
        found.reduce(|best, other| if other.share > best.share { other } else { best })
    }
}
