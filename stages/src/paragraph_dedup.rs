//! `paragraph_dedup`: cuts paragraphs out of documents that stand in other documents too.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dedup::scope::Scope;
use crate::dedup::units::{Keep, TOO_FEW_WORDS_LEFT, Units, declares, paragraphs};
use crate::stage::{BuildContext, Declares, Reason, Runtime, Shape, StageConfig, StageError};

/// Cuts out paragraphs that stand elsewhere in the corpus too. Rewrites `text`.
///
/// A paragraph is a row of lines without a blank line between them. Otherwise as `line_dedup`, which is CCNet's own unit (Wenzek et al. 2020,
/// arXiv 1911.00359, section 3.1): compared are normalised words, line ends do not count, the first copy stays. It takes less than
/// `line_dedup`: a menu goes where it is the same as a whole, a line that two articles share stays.
///
/// Costs: 24 bytes on disk for every paragraph, and 8 for every copy; memory stays within `--memory`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ParagraphDedup {
    /// Compare normalised words; `false` compares paragraphs byte for byte, without whitespace at their ends. CCNet: yes.
    pub normalise: bool,
    /// Paragraphs with fewer words than this are not compared and stay.
    pub min_words: usize,
    /// Which copies stay: `first`, or `none` of them.
    pub keep: Keep,
    /// Drop a document that lost paragraphs and has fewer words left than this. Reason `too_few_words_left`; one of which no word is left
    /// is dropped as `all_paragraphs_duplicate`.
    pub min_words_left: usize,
    /// Which documents may hold copies of each other's text: `all`, or those of the same `dump`.
    pub scope: Scope,
    /// Folders of earlier runs, relative to the recipe: what the documents of their stage of this kind held counts as seen. Their keys are
    /// read from their stores, their text is not. Keys of both must be made alike.
    pub against: Vec<String>,
    /// Into how many parts keys are split; each is merged by one task.
    pub partitions: NonZeroU32,
}

impl Default for ParagraphDedup {
    fn default() -> Self {
        Self {
            normalise: true,
            min_words: 1,
            keep: Keep::First,
            min_words_left: 0,
            scope: Scope::All,
            against: Vec::new(),
            partitions: NonZeroU32::MIN.saturating_add(15),
        }
    }
}

const ALL_PARAGRAPHS_DUPLICATE: Reason = "all_paragraphs_duplicate";

impl StageConfig for ParagraphDedup {
    const KIND: &'static str = "paragraph_dedup";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Spans;
    const REASONS: &'static [Reason] = &[ALL_PARAGRAPHS_DUPLICATE, TOO_FEW_WORDS_LEFT];

    fn declares(&self) -> Declares {
        declares(self.scope, &self.against)
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        Ok(Runtime::Spans(Box::new(Units {
            split: |_, _, text| Ok(paragraphs(text)),
            window: 1,
            normalise: self.normalise,
            min_words: self.min_words,
            min_words_left: self.min_words_left,
            scope: self.scope,
            partitions: self.partitions.get(),
            marks: [self.keep.mark()],
            nothing_left: ALL_PARAGRAPHS_DUPLICATE,
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dedup::span_test_support::each_way;

    #[test]
    fn paragraphs_go_as_a_whole() {
        let texts = [
            "one two\nthree\n\nfour",
            "One, two three.\n\nfive\n\nfour six",
            "four\nsix\n\nseven\n\none two",
        ];
        let none = ParagraphDedup { keep: Keep::None, ..ParagraphDedup::default() };
        assert_eq!(
            each_way(&none, &texts),
            [Ok("four".into()), Ok("five".into()), Ok("seven\n\none two".into())]
        );
        let first = each_way(&ParagraphDedup::default(), &texts);
        let all =
            first.iter().flatten().cloned().collect::<Vec<_>>().join(" ").replace(['.', ',', '\n'], " ");
        let words: Vec<&str> = all.split_whitespace().collect();
        for word in ["three", "five", "six", "seven"] {
            assert_eq!(words.iter().filter(|other| **other == word).count(), 1, "{word} in {all}");
        }
    }

    #[test]
    fn a_copy_is_dropped_whole() {
        let left = each_way(&ParagraphDedup::default(), &["a\nb\n\nc", "a b\n\n\nC"]);
        assert_eq!(left.iter().filter(|left| **left == Err(ALL_PARAGRAPHS_DUPLICATE)).count(), 1, "{left:?}");
    }
}
