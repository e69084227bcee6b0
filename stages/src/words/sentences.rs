//! Where sentences end, as spaCy's sentencizer decides.
//!
//! After a word that is an end mark, the first word that is neither punctuation nor an end mark starts a new sentence.
//! A run of whitespace counts as such a word, except for the one space that separates words.

use std::ops::Range;

use super::{IS_PUNCTUATION, IS_SENTENCE_END, Word};

/// How many sentences `range` of `text` has when it is read alone, at least one; `words` are the words of that range.
pub fn count(text: &str, range: Range<usize>, words: &[Word]) -> usize {
    let mut n = 1;
    each_break(text, range, words, |_| n += 1);
    n
}

/// The sentences of `text` as ranges; each ends with its last word, and the next begins there.
pub fn ranges(text: &str, words: &[Word]) -> Vec<Range<usize>> {
    let mut sentences = Vec::new();
    let mut start = 0;
    each_break(text, 0..text.len(), words, |end| {
        sentences.push(start..end);
        start = end;
    });
    if start < text.len() {
        sentences.push(start..text.len());
    }
    sentences
}

/// Calls `at` with the end of the word before every break.
#[inline]
fn each_break(text: &str, range: Range<usize>, words: &[Word], mut at: impl FnMut(usize)) {
    let bytes = text.as_bytes();
    let mut seen_end = false;
    let mut before = range.start;
    for word in words {
        let gap = &bytes[before..word.start as usize];
        let blank = !(gap.is_empty() || gap == b" ");
        if seen_end && (blank || word.flags & (IS_PUNCTUATION | IS_SENTENCE_END) == 0) {
            at(before);
            seen_end = false;
        }
        seen_end |= word.flags & IS_SENTENCE_END != 0;
        before = word.end as usize;
    }
    let rest = &bytes[before..range.end];
    if seen_end && !(rest.is_empty() || rest == b" ") {
        at(before);
    }
}
