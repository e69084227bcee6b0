//! Words and sentences of languages without rules of their own here: Unicode's segmentation (UAX 29).

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use super::Word;
use super::chars::{CHARS, SPACE};

/// Every segment that is not whitespace; punctuation marks count as words, as they do in English.
pub fn words(text: &str) -> Vec<Word> {
    let table = &*CHARS;
    text.split_word_bound_indices()
        .filter(|(_, segment)| !segment.chars().all(|c| table.flags(c) & SPACE != 0))
        .map(|(start, segment)| super::word(table, text, start, start + segment.len()))
        .collect()
}

/// How many sentences `text` has.
pub fn n_sentences(text: &str) -> usize {
    text.unicode_sentences().count()
}

/// The sentences, whitespace included.
pub fn sentences(text: &str) -> Vec<Range<usize>> {
    text.split_sentence_bound_indices().map(|(start, sentence)| start..start + sentence.len()).collect()
}
