//! The words and sentences of a text, computed once a document and shared by every stage that counts them.
//!
//! English follows spaCy's blank English tokenizer and its sentencizer, as datatrove (the code of FineWeb) uses them:
//! thresholds in published recipes are thresholds on these counts. Other languages follow Unicode's segmentation
//! (UAX 29); those that are written without spaces (Chinese, Japanese, Thai, Khmer, Lao, Burmese) are cut by
//! dictionaries. FineWeb2's code has a tokenizer for each language instead (spaCy's, Stanza's and others), so that counts of
//! other languages than English are near to, not equal to, its counts.

mod chars;
mod dictionary;
mod english;
mod exceptions;
mod rejoin;
mod sentences;
mod unicode;
mod url;

use std::ops::Range;

pub use chars::{CHARS, CharTable};

/// Flags of single characters, for filters that read characters.
pub mod character {
    pub use super::chars::{ANY_DIGIT, LETTER, PUNCTUATION, SPACE, SYMBOL, TERMINAL};
}

/// One word: where it stands and what it is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// First byte in the text.
    pub start: u32,
    /// One past the last byte in the text.
    pub end: u32,
    /// Length in code points.
    pub n_chars: u32,
    flags: u8,
}

const HAS_LETTER: u8 = 1;
const HAS_NON_SYMBOL: u8 = 1 << 1;
const IS_PUNCTUATION: u8 = 1 << 2;
const IS_SENTENCE_END: u8 = 1 << 3;
const IS_SPACE: u8 = 1 << 4;

impl Word {
    /// The bytes that the word covers in its text.
    #[inline]
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// Whether any character is a letter.
    #[inline]
    pub fn has_letter(self) -> bool {
        self.flags & HAS_LETTER != 0
    }

    /// Whether any character is neither punctuation nor a control character.
    #[inline]
    pub fn has_non_symbol(self) -> bool {
        self.flags & HAS_NON_SYMBOL != 0
    }
}

/// Which rules a text's words follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rules {
    English,
    Unicode,
    Dictionary,
}

/// The words of one text, in order, none empty, none with whitespace in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WordView {
    words: Vec<Word>,
    n_chars: usize,
    rules: Rules,
}

impl WordView {
    /// Splits `text` by the rules of `language` (a tag such as `en`, `en-GB` or `eng_Latn`); unknown is English.
    /// Words beyond the first 4 GiB are left out.
    pub fn new(text: &str, language: Option<&str>) -> Self {
        let rules = Rules::of(language);
        let indexed = &text[..text.floor_char_boundary(u32::MAX as usize)];
        let words = rules.words(indexed);
        Self { words, n_chars: text.chars().count(), rules }
    }

    /// A view of another text by the same rules.
    #[must_use]
    pub fn like(&self, other: &str) -> Self {
        let indexed = &other[..other.floor_char_boundary(u32::MAX as usize)];
        Self { words: self.rules.words(indexed), n_chars: other.chars().count(), rules: self.rules }
    }

    /// The words in order.
    #[inline]
    pub fn words(&self) -> &[Word] {
        &self.words
    }

    /// Length of the whole text in code points.
    #[inline]
    pub fn n_chars(&self) -> usize {
        self.n_chars
    }

    /// The words as strings; `text` is the text that the view was made of.
    pub fn strings<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a str> {
        self.words.iter().map(move |word| &text[word.range()])
    }

    /// How many sentences the text has, at least one.
    pub fn n_sentences(&self, text: &str) -> usize {
        self.n_sentences_in(text, 0..text.len(), 0..self.words.len())
    }

    /// How many sentences the part `range` of the text has when read alone, with the words of that part given by
    /// their indices.
    pub fn n_sentences_in(&self, text: &str, range: Range<usize>, words: Range<usize>) -> usize {
        match self.rules {
            Rules::English => sentences::count(text, range, &self.words[words]),
            Rules::Unicode | Rules::Dictionary => unicode::n_sentences(&text[range]),
        }
    }

    /// How many sentences another text has under this view's rules.
    pub fn n_sentences_of(&self, other: &str) -> usize {
        match self.rules {
            Rules::English => sentences::count(other, 0..other.len(), &self.rules.words(other)),
            Rules::Unicode | Rules::Dictionary => unicode::n_sentences(other),
        }
    }

    /// The sentences as byte ranges that cover the text: whitespace before a sentence belongs to it.
    pub fn sentences(&self, text: &str) -> Vec<Range<usize>> {
        match self.rules {
            Rules::English => sentences::ranges(text, &self.words),
            Rules::Unicode | Rules::Dictionary => unicode::sentences(text),
        }
    }
}

impl Rules {
    /// By the first part of a tag: a code of two letters (as lid.176 has them) or of three (as GlotLID has them).
    fn of(language: Option<&str>) -> Self {
        match language.map(|tag| tag.split(['-', '_']).next().unwrap_or(tag)) {
            None | Some("" | "en" | "eng") => Self::English,
            Some(
                "zh" | "zho" | "cmn" | "yue" | "wuu" | "ja" | "jpn" | "th" | "tha" | "km" | "khm" | "lo"
                | "lao" | "my" | "mya",
            ) => Self::Dictionary,
            Some(_) => Self::Unicode,
        }
    }

    fn words(self, text: &str) -> Vec<Word> {
        match self {
            Self::English => english::words(text),
            Self::Unicode => unicode::words(text),
            Self::Dictionary => dictionary::words(text),
        }
    }
}

/// The word that covers `start..end` of `text`.
#[inline]
fn word(table: &CharTable, text: &str, start: usize, end: usize) -> Word {
    let (mut any, mut all, mut n_chars) = (0, !0, 0);
    let mut non_symbol = false;
    let ascii = table.ascii();
    let bytes = &text.as_bytes()[start..end];
    if bytes.is_ascii() {
        for &byte in bytes {
            let flags = ascii[byte as usize];
            any |= flags;
            all &= flags;
            non_symbol |= flags & chars::SYMBOL == 0;
        }
        n_chars = bytes.len() as u32;
    } else {
        for c in text[start..end].chars() {
            let flags = table.flags(c);
            any |= flags;
            all &= flags;
            non_symbol |= flags & chars::SYMBOL == 0;
            n_chars += 1;
        }
    }
    let mut flags = 0;
    flags |= if any & chars::LETTER != 0 { HAS_LETTER } else { 0 };
    flags |= if non_symbol { HAS_NON_SYMBOL } else { 0 };
    flags |= if all & chars::PUNCTUATION != 0 { IS_PUNCTUATION } else { 0 };
    flags |= if n_chars == 1 && all & chars::SENTENCE_END != 0 { IS_SENTENCE_END } else { 0 };
    Word { start: start as u32, end: end as u32, n_chars, flags }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let view = WordView::new(text, None);
        assert_eq!(view.strings(text).collect::<Vec<_>>().join("|"), expected);
    }

    #[test]
    fn english_words() {
        check("", "");
        check("It isn't 12.5% slower, Dr. Smith said!", "It|is|n't|12.5|%|slower|,|Dr.|Smith|said|!");
        check(
            "(well-known) \u{201c}U.S.\u{201d} end.Start",
            "(|well|-|known|)|\u{201c}|U.S.|\u{201d}|end|.|Start",
        );
        check(
            "See http://a.example/b,c?d=e... at 5p.m. :-)",
            "See|http://a.example/b,c?d=e|...|at|5|p.m.|:-)",
        );
        check("10km/h costs US$5, 3\u{20ac}.", "10|km/h|costs|US$|5|,|3\u{20ac}.");
        check("so:)", "so|:)");
        check("a\u{a0}b\tc", "a|b|c");
    }

    #[test]
    fn english_sentences() {
        let n = |text| WordView::new(text, None).n_sentences(text);
        assert_eq!(n("One. Two! Three?"), 3);
        assert_eq!(n("He said \"no.\" Then he left."), 2);
        assert_eq!(n("Dr. Smith paid 3.5 pounds..."), 1);
        assert_eq!(n("One.  "), 2);
        assert_eq!(n("One. "), 1);
        assert_eq!(n(""), 1);
    }

    #[test]
    fn other_languages_follow_unicode() {
        let text = "C'est l'\u{e9}t\u{e9}. \u{c0} demain !";
        let view = WordView::new(text, Some("fr"));
        assert_eq!(
            view.strings(text).collect::<Vec<_>>().join("|"),
            "C'est|l'\u{e9}t\u{e9}|.|\u{c0}|demain|!"
        );
        assert_eq!(view.n_sentences(text), 2);
        assert_eq!(WordView::new("cannot", Some("eng_Latn")).words().len(), 2);
    }
}
