//! What single words say about a block: learned weights of the words in names (classes, ids, item properties) around it,
//! of those that its text begins with, and of its heading. And what the words that its blocks begin with say about a page.
//!
//! `lexicon.txt` is written by `scripts/train_extractor.py`: a line is a kind, its weights in hundredths of a logit, and the
//! word or words. Whole numbers, so that sums are exact in any order. Every word stands on pages of many hosts. The sums are
//! features of the model, never verdicts.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::blocks::{self, Blocks};
use super::dom::{AttributeName, Dom, NONE, Tag};
use super::page_type::PageType;
use super::words;
use crate::hashing::FastHash;

/// Words of a block's beginning that are weighed.
const BEGINNING: u32 = 12;
/// A text of at most so many words is weighed as one, too.
const SHORT: u32 = 4;
/// By how often a word was seen: twice the binary logarithm of one more, rounded.
const LEVELS: [f32; 14] = [0.0, 2.0, 3.0, 4.0, 5.0, 5.0, 6.0, 6.0, 6.0, 7.0, 7.0, 7.0, 7.0, 8.0];
/// Bytes of an attribute that are read: generated names can be endless.
const LOOKED_AT: usize = 512;

/// What a word is weighed as. The order is the one of the features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// In a name of the block's element, or of the one around its first text.
    Own,
    /// In a name of the element one or two above.
    Near,
    /// In a name further up.
    Far,
    /// Among the first words of the text.
    Text,
    /// One word and the next; the first one follows `^`.
    Pair,
    /// All words of a short text.
    Whole,
    /// Among the first words of the heading that the block stands under.
    Heading,
}

impl Field {
    /// Its name in training data.
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Near => "near",
            Self::Far => "far",
            Self::Text => "text",
            Self::Pair => "pair",
            Self::Whole => "whole",
            Self::Heading => "heading",
        }
    }
}

/// What names weigh as [`Field::Own`], [`Field::Near`] and [`Field::Far`].
pub type NameWeights = [i16; 3];

/// Weights by the hash of what is weighed.
type Table<T> = HashMap<u32, T, FastHash>;

/// Learned weights.
#[derive(Debug, Default)]
pub struct Lexicon {
    /// Of words in names.
    names: Table<NameWeights>,
    words: Table<Word>,
    pairs: Table<i16>,
    whole: Table<i16>,
    /// For [`Word::types`].
    types: Vec<Types>,
    /// What speaks for every type of page before a word is read.
    bias: Types,
}

/// How much speaks for each type of page, in the order of [`PageType::ALL`].
pub type Types = [f32; PageType::ALL.len()];

/// The weights of a word of texts.
#[derive(Clone, Copy, Debug, Default)]
struct Word {
    text: i16,
    heading: i16,
    /// Its place in [`Lexicon::types`], if it says anything of pages.
    types: Option<u32>,
}

/// The committed weights.
pub static LEXICON: LazyLock<Lexicon> = LazyLock::new(|| {
    Lexicon::parse(include_str!("lexicon.txt")).expect("the committed lexicon is well formed")
});

/// What the words of a block's text weigh; sums stay within what the numbers hold, which no real page comes near.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Its first words.
    pub text: i16,
    /// Their pairs.
    pub pairs: i16,
    /// All of it, where it is short.
    pub whole: i16,
    /// Its first words for what stands under it, if it is a heading.
    pub heading: i16,
}

impl Lexicon {
    /// Reads weights; `None` where a line is malformed.
    pub fn parse(text: &str) -> Option<Self> {
        fn numbers<T: Default + Copy + std::str::FromStr, const N: usize>(
            rest: &str,
        ) -> Option<([T; N], &str)> {
            let mut parts = rest.splitn(N + 1, ' ');
            let mut weights = [T::default(); N];
            for weight in &mut weights {
                *weight = parts.next()?.parse().ok()?;
            }
            Some((weights, parts.next()?))
        }
        let mut lexicon = Self::default();
        for line in text.lines() {
            let (kind, rest) = line.split_once(' ')?;
            match kind {
                "name" => {
                    let (weights, word) = numbers(rest)?;
                    lexicon.names.insert(name_hash(word), weights);
                }
                "word" => {
                    let ([text, heading], rest) = numbers(rest)?;
                    let (weights, word): (Types, _) = numbers(rest)?;
                    let types =
                        weights.iter().any(|weight| *weight != 0.0).then_some(lexicon.types.len() as u32);
                    lexicon.types.extend(types.map(|_| weights));
                    lexicon.words.insert(words::hashes(word).next()?, Word { text, heading, types });
                }
                "bias" => lexicon.bias = numbers(&format!("{rest} *"))?.0,
                "pair" => {
                    let ([weight], pair) = numbers(rest)?;
                    let (first, second) = pair.split_once(' ')?;
                    let first = if first == "^" { 0 } else { words::hashes(first).next()? };
                    lexicon.pairs.insert(words::pair(first, words::hashes(second).next()?), weight);
                }
                "whole" => {
                    let ([weight], all) = numbers(rest)?;
                    lexicon.whole.insert(words::hashes(all).fold(0, words::fold), weight);
                }
                _ => return None,
            }
        }
        Some(lexicon)
    }

    /// What the words of a name weigh.
    pub fn names(&self, value: &str) -> NameWeights {
        let mut sum = [0; 3];
        each_word(value, |word| {
            if let Some(weights) = self.names.get(&name_hash(word)) {
                add_names(&mut sum, *weights);
            }
        });
        sum
    }

    /// Adds the next word of a text: its number there from 0, its hash, and the hash of the one before. `seen` grows by it where
    /// it says something of the page.
    #[inline]
    pub fn add(&self, weight: &mut Weight, seen: &mut Vec<u32>, number: u32, word: u32, last: u32) {
        if number >= BEGINNING {
            return;
        }
        if let Some(Word { text, heading, types }) = self.words.get(&word) {
            weight.text = weight.text.saturating_add(*text);
            weight.heading = weight.heading.saturating_add(*heading);
            seen.extend(types);
        }
        if let Some(pair) = self.pairs.get(&words::pair(last, word)) {
            weight.pairs = weight.pairs.saturating_add(*pair);
        }
    }

    /// What all words say of the page that have been `seen` in it: each counts by the logarithm of how often it was.
    pub fn types(&self, mut seen: Vec<u32>) -> Types {
        let mut sums = self.bias;
        seen.sort_unstable();
        for same in seen.chunk_by(|a, b| a == b) {
            let level = LEVELS[same.len().min(LEVELS.len() - 1)];
            for (sum, weight) in sums.iter_mut().zip(self.types[same[0] as usize]) {
                *sum += level * weight;
            }
        }
        sums.map(|sum| sum / 100.0)
    }

    /// Adds a text of so many words as one.
    pub fn add_whole(&self, weight: &mut Weight, number: u32, hash: u32) {
        if (1..=SHORT).contains(&number)
            && let Some(whole) = self.whole.get(&hash)
        {
            weight.whole = *whole;
        }
    }
}

/// Adds what one name weighs to what others do.
pub fn add_names(sums: &mut NameWeights, weights: NameWeights) {
    for (sum, weight) in sums.iter_mut().zip(weights) {
        *sum = sum.saturating_add(weight);
    }
}

/// Everything that is weighed of a block, in plain words: what the weights are learned from, and the oracle of the sums.
pub fn tokens(dom: &Dom, page: &Blocks, at: usize, heading: Option<usize>) -> Vec<(Field, String)> {
    let block = &page.blocks[at];
    let mut found = Vec::new();
    let add_names = |field: Field, node: u32, found: &mut Vec<(Field, String)>| {
        for value in names(dom, node) {
            each_word(value, |word| found.push((field, word.to_ascii_lowercase())));
        }
    };
    let parent = |node: u32| dom.nodes[node as usize].parent;
    add_names(Field::Own, block.node, &mut found);
    if parent(block.first) != block.node {
        add_names(Field::Own, parent(block.first), &mut found);
    }
    let (mut above, mut steps) = (parent(block.node), 0);
    while above != NONE {
        add_names(if steps < 2 { Field::Near } else { Field::Far }, above, &mut found);
        (above, steps) = (parent(above), steps + 1);
    }
    let beginning = |at: usize| {
        let block = &page.blocks[at];
        let mut all = Vec::new();
        for id in block.first..=block.last {
            if page.block_of[id as usize] == at as u32 && dom.nodes[id as usize].tag == Tag::Text {
                words::each(dom.text(id), |_, word| all.push(word.to_ascii_lowercase()));
            }
        }
        all
    };
    let mut all = beginning(at);
    if (1..=SHORT as usize).contains(&all.len()) {
        found.push((Field::Whole, all.join(" ")));
    }
    all.truncate(BEGINNING as usize);
    let mut last = "^";
    for word in &all {
        found.push((Field::Text, word.clone()));
        found.push((Field::Pair, format!("{last} {word}")));
        last = word;
    }
    if let Some(heading) = heading {
        let words = beginning(heading).into_iter().take(BEGINNING as usize);
        found.extend(words.map(|word| (Field::Heading, word)));
    }
    found
}

/// An element's names; what `<html>` and `<body>` are called is the page's matter.
fn names(dom: &Dom, node: u32) -> impl Iterator<Item = &str> {
    let is_page = blocks::is_page(dom.nodes[node as usize].tag);
    let named = |(name, _): &(AttributeName, &str)| {
        matches!(name, AttributeName::Class | AttributeName::Id | AttributeName::Itemprop)
    };
    dom.attributes(node).filter(named).map(|(_, value)| value).filter(move |_| !is_page)
}

/// Calls `each` with the words of a name: runs of letters, cut at capitals too.
fn each_word(name: &str, mut each: impl FnMut(&str)) {
    let bytes = &name.as_bytes()[..name.len().min(LOOKED_AT)];
    let mut start = 0;
    for at in 0..=bytes.len() {
        let letter = bytes.get(at).is_some_and(u8::is_ascii_alphabetic);
        let capital =
            at > start && letter && bytes[at].is_ascii_uppercase() && bytes[at - 1].is_ascii_lowercase();
        if !letter || capital {
            // A letter alone says nothing, and nobody names a thing so long.
            if (2..=24).contains(&(at - start)) {
                each(&name[start..at]);
            }
            start = if letter { at } else { at + 1 };
        }
    }
}

/// As [`words::each`] hashes a word, for letters alone.
fn name_hash(word: &str) -> u32 {
    let letters = word.bytes().map(|byte| byte.to_ascii_lowercase().into());
    words::mix(letters.fold(words::BASIS, words::step))
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "sums of whole numbers are exact")]
mod tests {
    use super::*;
    use crate::html::dom::Limits;
    use crate::html::sections::{heading, sections};
    use crate::html::words::{Said, look};

    const WEIGHTS: &str = "name 1 2 4 nav\nname 5 3 8 item\nname 16 32 64 body\nword 1 32 0 0 0 0 0 0 0 home\n\
                           word 2 64 100 0 0 0 0 0 -200 more\nbias 0 50 0 0 0 0 0\npair 4 ^ read\npair 8 read more\nwhole 16 read more\nwhole 32 home";

    #[test]
    fn sums_are_those_of_the_plain_words() {
        let lexicon = Lexicon::parse(WEIGHTS).expect("well formed");
        let weigh = |tokens: &[(Field, String)]| {
            let mut sums = [0_i16; 7];
            for (field, token) in tokens {
                let one = |kind: &str, at: usize, of: usize| {
                    let line = WEIGHTS
                        .lines()
                        .map(|line| line.split(' ').collect::<Vec<_>>())
                        .find(|line| line[0] == kind && line[1 + of..].join(" ") == *token);
                    line.map_or(0, |line| line[1 + at].parse::<i16>().expect("number"))
                };
                sums[*field as usize] += match field {
                    Field::Own => one("name", 0, 3),
                    Field::Near => one("name", 1, 3),
                    Field::Far => one("name", 2, 3),
                    Field::Text => one("word", 0, 9),
                    Field::Heading => one("word", 1, 9),
                    Field::Pair => one("pair", 0, 1),
                    Field::Whole => one("whole", 0, 1),
                };
            }
            sums
        };
        let html = "<body class=nav><div id=mainNav class='NAV list-Item'><ul class=item><li itemprop=articleBody>\
                    <a class=nav href=/>Home</a></li><li>Read <b class=item>more</b></ul><h2>Home, more</h2>\
                    <p>Read more, at home, or more of it than anyone could wish for at home more</div>";
        let dom = Dom::parse(html, &Limits::default()).expect("small");
        let page = Blocks::with(&dom, &lexicon);
        let (words, types) = look(&dom, &page, &Said::of(&dom), &lexicon);
        let mut total = 0;
        let sections = sections(&page.blocks, &words);
        for (at, section) in sections.iter().enumerate() {
            let [own, near, far] = page.blocks[at].names;
            let Weight { text, pairs, whole, .. } = words[at].weight;
            let fast = [own, near, far, text, pairs, whole, section.weight];
            let heading = heading(&sections, at);
            assert_eq!(weigh(&tokens(&dom, &page, at, heading)), fast, "block {at}");
            total += fast.iter().sum::<i16>();
        }
        assert!(total > 200, "{total}");
        // "More" is there four times.
        assert_eq!(types, [5.0, 0.5, 0.0, 0.0, 0.0, 0.0, -10.0]);
    }

    #[test]
    fn levels_are_logarithms() {
        for (number, level) in LEVELS.iter().enumerate() {
            assert_eq!(*level, (2.0 * (1.0 + number as f32).log2()).round());
        }
    }

    #[test]
    fn malformed_lines_are_refused() {
        for broken in [
            "name 1 2 x",
            "word 1 2 home",
            "bias 1 2",
            "pair 1 more",
            "thing 1 x",
            "",
            "whole 1",
            "word 1 2 -",
        ] {
            assert!(Lexicon::parse(&format!("{WEIGHTS}\n{broken}\n")).is_none(), "{broken}");
        }
    }

    #[test]
    fn the_committed_weights_are_read() {
        assert!(!LEXICON.names.is_empty() && !LEXICON.words.is_empty());
    }
}
