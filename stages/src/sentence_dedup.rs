//! `sentence_dedup`: cuts rows of sentences out of documents that stand elsewhere too.

use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dedup::scope::Scope;
use crate::dedup::units::{Keep, TOO_FEW_WORDS_LEFT, Units, declares};
use crate::documents::Documents;
use crate::stage::{BuildContext, Declares, Reason, Runtime, Shape, StageConfig, StageError};

/// Cuts out three sentences in a row that stand elsewhere in the corpus too. Rewrites `text`.
///
/// From C4 (Raffel et al. 2020, JMLR 21:140, section 2.2): of every span of three sentences that occurs more than once, all but one go.
/// Sentences are those of `c4_quality`, by the rules of the document's `language`, and are compared as their words are after normalisation:
/// lower case, without punctuation and marks, numbers as `0`. Sentences without a word are passed over. Every sentence of a span that is a copy
/// goes. Of what goes, an equal sentence always stays in a document that comes first (by its hash of id and text, not by the order of files)
/// or further up in the same one. Documents with fewer sentences are not compared.
///
/// Differences from C4: it does not say how spans overlap, and takes whichever copy its machines meet first. datatrove's filter
/// also drops documents with fewer than 3 sentences or 50 words left; `min_words_left` does the latter.
///
/// Costs: 24 bytes on disk for every sentence, and 8 for every copy; memory stays within `--memory`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SentenceDedup {
    /// How many sentences in a row make a span. C4: 3.
    pub sentences: NonZeroUsize,
    /// Compare normalised words; `false` compares sentences byte for byte, without whitespace at their ends.
    pub normalise: bool,
    /// Which copies stay: `first`, or `none` of them. C4: one.
    pub keep: Keep,
    /// Drop a document that lost sentences and has fewer words left than this. Reason `too_few_words_left`; one of which no word is left
    /// is dropped as `all_sentences_duplicate`. datatrove: 50.
    pub min_words_left: usize,
    /// Which documents may hold copies of each other's text: `all`, or those of the same `dump`.
    pub scope: Scope,
    /// Folders of earlier runs, relative to the recipe: what the documents of their stage of this kind held counts as seen. Their keys are
    /// read from their stores, their text is not. Keys of both must be made alike.
    pub against: Vec<String>,
    /// Into how many parts keys are split; each is merged by one task.
    pub partitions: NonZeroU32,
}

impl Default for SentenceDedup {
    fn default() -> Self {
        Self {
            sentences: NonZeroUsize::MIN.saturating_add(2),
            normalise: true,
            keep: Keep::First,
            min_words_left: 0,
            scope: Scope::All,
            against: Vec::new(),
            partitions: NonZeroU32::MIN.saturating_add(15),
        }
    }
}

const ALL_SENTENCES_DUPLICATE: Reason = "all_sentences_duplicate";

impl StageConfig for SentenceDedup {
    const KIND: &'static str = "sentence_dedup";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Spans;
    const REASONS: &'static [Reason] = &[ALL_SENTENCES_DUPLICATE, TOO_FEW_WORDS_LEFT];

    fn declares(&self) -> Declares {
        declares(self.scope, &self.against)
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        Ok(Runtime::Spans(Box::new(Units {
            split: sentences,
            window: self.sentences.get(),
            normalise: self.normalise,
            min_words: 1,
            min_words_left: self.min_words_left,
            scope: self.scope,
            partitions: self.partitions.get(),
            marks: [self.keep.mark()],
            nothing_left: ALL_SENTENCES_DUPLICATE,
        })))
    }
}

/// The sentences of a text, without whitespace at their ends.
fn sentences(documents: &Documents, row: usize, text: &str) -> Result<Vec<Range<usize>>, StageError> {
    let sentences = documents.words(row)?.sentences(text).into_iter().map(|range| {
        let sentence = &text[range.clone()];
        let start = range.end - sentence.trim_start().len();
        start..range.start + sentence.trim_end().len()
    });
    Ok(sentences.filter(|range| range.start < range.end).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dedup::span_test_support::{Left, each_way};

    /// A text of sentences, one a letter.
    fn text(letters: &str) -> String {
        letters.chars().map(|letter| format!("It is {letter} now.")).collect::<Vec<_>>().join(" ")
    }

    /// The letters of what is left; nothing of a document that goes.
    fn letters(left: &Left) -> String {
        let of = |text: &String| {
            text.split('.')
                .filter_map(|sentence| sentence.split_whitespace().nth(2).map(str::to_owned))
                .collect()
        };
        left.as_ref().map(of).unwrap_or_default()
    }

    #[test]
    fn three_sentences_in_a_row_go() {
        let left = each_way(&SentenceDedup::default(), &[text("abcxy"), text("uABC"), text("abxc")]);
        let left: Vec<String> = left.iter().map(letters).collect();
        assert!(left[..2] == ["abcxy", "u"] || left[..2] == ["xy", "uABC"], "{left:?}");
        assert_eq!(left[2], "abxc");
    }

    #[test]
    fn every_option() {
        let texts = [text("abc"), text("xabcy"), text("bcz")];
        let none = SentenceDedup { keep: Keep::None, ..SentenceDedup::default() };
        let left = each_way(&none, &texts);
        assert_eq!(left[0], Err(ALL_SENTENCES_DUPLICATE));
        assert_eq!(left[1..].iter().map(letters).collect::<Vec<_>>(), ["xy", "bcz"]);
        let pairs = SentenceDedup { sentences: NonZeroUsize::new(2).unwrap(), min_words_left: 5, ..none };
        assert_eq!(each_way(&pairs, &texts)[2], Err(TOO_FEW_WORDS_LEFT));
    }

    /// The definition, in a few lines: documents in their order, spans left to right.
    fn plain(texts: &[String], order: &[usize]) -> Vec<String> {
        let mut seen = std::collections::BTreeSet::new();
        let mut left = vec![String::new(); texts.len()];
        for &i in order {
            let letters: Vec<char> = texts[i].chars().collect();
            let mut goes = vec![false; letters.len()];
            for (at, span) in letters.windows(3).enumerate() {
                if !seen.insert(span.to_vec()) {
                    goes[at..at + 3].fill(true);
                }
            }
            left[i] = letters.iter().zip(goes).filter(|(_, goes)| !goes).map(|(letter, _)| *letter).collect();
        }
        left
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn it_is_the_definition_and_no_sentence_is_lost(texts in prop::collection::vec("[a-d]{0,8}", 1..6)) {
            let whole: Vec<String> = texts.iter().map(|letters| text(letters)).collect();
            let rows: Vec<(String, String)> =
                whole.iter().enumerate().map(|(i, text)| (format!("doc-{i}"), text.clone())).collect();
            let orders = crate::dedup::order::orders(&crate::dedup::span_test_support::documents(&rows)).unwrap();
            let mut order: Vec<usize> = (0..texts.len()).collect();
            order.sort_by_key(|&i| orders[i]);
            let left: Vec<String> = each_way(&SentenceDedup::default(), &whole).iter().map(letters).collect();
            prop_assert_eq!(&left, &plain(&texts, &order));
            for letter in texts.concat().chars() {
                prop_assert!(left.concat().contains(letter));
            }
        }
    }
}
