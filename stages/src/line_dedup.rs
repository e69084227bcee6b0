//! `line_dedup`: cuts lines out of documents that stand in other documents too.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::dedup::scope::Scope;
use crate::dedup::units::{Keep, TOO_FEW_WORDS_LEFT, Units, declares, lines};
use crate::stage::{BuildContext, Declares, Reason, Runtime, Shape, StageConfig, StageError};

/// Cuts out lines that stand elsewhere in the corpus too, as CCNet does: menus, cookie notices, copied passages. Rewrites `text`.
///
/// From CCNet (Wenzek et al. 2020, arXiv 1911.00359, section 3.1), which calls what stands between line feeds a paragraph. Lines are
/// compared as their words are after normalisation: lower case, without punctuation and marks, numbers as `0`. Lines without a word,
/// such as rules and blank lines, stay. Of the copies of a line, within a document and across all, the first one stays: the one
/// in the document whose hash of id and text is smallest, so that it depends on the documents and not on the order of files.
/// Where lines go, blank lines around them fold into one gap.
///
/// Differences from CCNet: the whole corpus is compared at once, not groups of its files; a run of digits is one `0`; 128 bits of
/// hash instead of 64 decide (64 and the part are kept, so that among 100 billion lines in 16 parts about 17 go by mistake).
///
/// Costs: 24 bytes on disk for every line, and 8 for every copy; memory stays within `--memory`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LineDedup {
    /// Compare normalised words; `false` compares lines byte for byte, without whitespace at their ends. CCNet: yes.
    pub normalise: bool,
    /// Lines with fewer words than this are not compared and stay. CCNet: 1. Lists and verse repeat short lines with good reason.
    pub min_words: usize,
    /// Which copies stay: `first`, or `none` of them.
    pub keep: Keep,
    /// Drop a document that lost lines and has fewer words left than this. Reason `too_few_words_left`; one of which no word is left is
    /// dropped as `all_lines_duplicate`.
    pub min_words_left: usize,
    /// Which documents may hold copies of each other's text: `all`, or those of the same `dump`.
    pub scope: Scope,
    /// Folders of earlier runs, relative to the recipe: what the documents of their stage of this kind held counts as seen. Their keys are
    /// read from their stores, their text is not. Keys of both must be made alike.
    pub against: Vec<String>,
    /// Into how many parts keys are split; each is merged by one task.
    pub partitions: NonZeroU32,
}

impl Default for LineDedup {
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

const ALL_LINES_DUPLICATE: Reason = "all_lines_duplicate";

impl StageConfig for LineDedup {
    const KIND: &'static str = "line_dedup";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Spans;
    const REASONS: &'static [Reason] = &[ALL_LINES_DUPLICATE, TOO_FEW_WORDS_LEFT];

    fn declares(&self) -> Declares {
        declares(self.scope, &self.against)
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        Ok(Runtime::Spans(Box::new(Units {
            split: |_, _, text| Ok(lines(text)),
            window: 1,
            normalise: self.normalise,
            min_words: self.min_words,
            min_words_left: self.min_words_left,
            scope: self.scope,
            partitions: self.partitions.get(),
            marks: [self.keep.mark()],
            nothing_left: ALL_LINES_DUPLICATE,
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dedup::span_test_support::each_way;

    const MENU: &str = "Home | About | Contact";

    #[test]
    fn a_line_stays_once() {
        let texts = [
            format!("{MENU}\n\nThe mill has two wheels.\n\n© 2023 the miller"),
            format!("{MENU}\n\nThe wheel has three stones.\n\n© 2024 The Miller!"),
            "Home, about; contact".to_owned(),
        ];
        let left = each_way(&LineDedup::default(), &texts);
        let all = left.iter().flatten().cloned().collect::<Vec<_>>().join("\n");
        for line in ["the mill has two wheels", "the wheel has three stones", "home", "the miller"] {
            assert_eq!(all.to_lowercase().matches(line).count(), 1, "{line} in {all}");
        }
    }

    #[test]
    fn copies_within_a_document_go_and_what_has_no_words_stays() {
        let left = each_way(&LineDedup::default(), &["a b\n---\na b\n---\nc\n\n\nA  B.\n\nd"]);
        assert_eq!(left, [Ok("a b\n---\n---\nc\n\n\nd".into())]);
        assert_eq!(
            each_way(&LineDedup::default(), &["", " \n", "***"]),
            [Ok(String::new()), Ok(" \n".into()), Ok("***".into())]
        );
    }

    #[test]
    fn a_copy_is_dropped_whole() {
        let left = each_way(&LineDedup::default(), &["a b c\n-\nd", "A b c.\n\nD"]);
        assert_eq!(left.iter().filter(|left| **left == Err(ALL_LINES_DUPLICATE)).count(), 1, "{left:?}");
        assert_eq!(left.iter().filter(|left| left.is_ok()).count(), 1, "{left:?}");
    }

    #[test]
    fn every_option() {
        let texts = ["same line here\none more word", "same line here\ntwo"];
        let none = LineDedup { keep: Keep::None, ..LineDedup::default() };
        assert_eq!(each_way(&none, &texts), [Ok("one more word".into()), Ok("two".into())]);
        let few = LineDedup { keep: Keep::None, min_words_left: 2, ..LineDedup::default() };
        assert_eq!(each_way(&few, &texts), [Ok("one more word".into()), Err(TOO_FEW_WORDS_LEFT)]);
        let long = LineDedup { keep: Keep::None, min_words: 4, ..LineDedup::default() };
        assert_eq!(each_way(&long, &texts), texts.map(|text| Ok(text.to_owned())));
        let exact = LineDedup { keep: Keep::None, normalise: false, ..LineDedup::default() };
        assert_eq!(
            each_way(&exact, &["a b", "A b", "a b "]),
            [Err(ALL_LINES_DUPLICATE), Ok("A b".into()), Err(ALL_LINES_DUPLICATE)]
        );
    }
}
