//! Words and sentences of languages without rules of their own here: Unicode's segmentation (UAX 29).

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

use super::Word;
use super::chars::{CHARS, SPACE};

/// Every segment that is not whitespace; punctuation marks count as words, as they do in English.
pub fn words(text: &str) -> Vec<Word> {
    words_of(text, text.split_word_bound_indices().map(|(start, segment)| start + segment.len()))
}

/// The segments that end at `ends`, without those that are whitespace.
pub(super) fn words_of(text: &str, ends: impl Iterator<Item = usize>) -> Vec<Word> {
    let table = &*CHARS;
    let mut start = 0;
    ends.filter_map(|end| {
        let segment = std::mem::replace(&mut start, end)..end;
        let blank = text[segment.clone()].chars().all(|c| table.flags(c) & SPACE != 0);
        (!blank).then(|| super::word(table, text, segment.start, segment.end))
    })
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
