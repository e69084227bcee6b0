//! Words of languages that are written without spaces: of each run of such a script, the longest word of a dictionary, then
//! the next. All other text is cut as Unicode has it.

use std::sync::LazyLock;

use icu_segmenter::options::WordBreakInvariantOptions;
use icu_segmenter::{WordSegmenter, WordSegmenterBorrowed};

use super::{Word, unicode};

static SEGMENTER: LazyLock<WordSegmenterBorrowed<'static>> =
    LazyLock::new(|| WordSegmenter::new_dictionary(WordBreakInvariantOptions::default()));

/// Every segment that is not whitespace; punctuation marks count as words, as they do in English.
pub fn words(text: &str) -> Vec<Word> {
    // The first boundary is the beginning.
    unicode::words_of(text, SEGMENTER.segment_str(text).skip(1))
}
