//! `fineweb_quality`: drops lists, menus and other text that is not paragraphs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::by_language::{self, ByLanguage, Overrides};
use crate::documents::Documents;
use crate::judge;
use crate::lines::{duplicates, strip};
use crate::stage::{
    BuildContext, Declares, Filter, Reason, Runtime, Shape, StageConfig, StageError, Verdict,
};
use crate::words::character::TERMINAL;
use crate::words::{CHARS, WordView};

/// Drops documents whose lines look like lists and menus, not like paragraphs.
///
/// From FineWeb (Penedo et al. 2024, arXiv 2406.17557, section 3.6), with the counts, order and reasons of datatrove
/// 0.10.1. Lines here are the parts between newlines that hold more than whitespace. Reasons keep the reference's names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FinewebQuality {
    /// Drop a document in which less than this share of the lines ends with terminal punctuation (of any script; quotation
    /// marks are none). FineWeb: 0.12. Reason `line_punct_ratio`.
    pub min_lines_ending_in_punctuation: f64,
    /// Keep a document in which no line ends with terminal punctuation, in spite of the rule above. FineWeb: no.
    pub keep_without_punctuation: bool,
    /// Drop a document in which more than this share of the lines is short. FineWeb: 0.67. Reason `short_line_ratio`.
    pub max_short_lines: f64,
    /// A line is short with at most this many characters. FineWeb: 30.
    pub short_line_length: usize,
    /// Drop a document in which more than this share of the characters, newlines aside, is in lines seen before.
    /// FineWeb: 0.01. Reason `char_dup_ratio`.
    pub max_duplicate_line_chars: f64,
    /// Drop a document with more newlines a word than this. FineWeb: 0.3. Reason `list_ratio`.
    pub max_newlines_per_word: f64,
    /// Other values by language: a table of the keys above for a label of the `language` column, as `[stage.overrides.de]`. Keys that it
    /// leaves out, and languages without a table, have the values above. FineWeb2 sets them for every language.
    #[serde(skip_serializing_if = "Overrides::is_empty")]
    pub overrides: Overrides,
}

impl Default for FinewebQuality {
    fn default() -> Self {
        Self {
            min_lines_ending_in_punctuation: 0.12,
            keep_without_punctuation: false,
            max_short_lines: 0.67,
            short_line_length: 30,
            max_duplicate_line_chars: 0.01,
            max_newlines_per_word: 0.3,
            overrides: Overrides::new(),
        }
    }
}

impl StageConfig for FinewebQuality {
    const KIND: &'static str = "fineweb_quality";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Filter;
    const REASONS: &'static [Reason] =
        &["empty", "line_punct_ratio", "short_line_ratio", "char_dup_ratio", "list_ratio"];

    fn declares(&self) -> Declares {
        by_language::declares(&self.overrides, judge::declares())
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        Ok(Runtime::Filter(Box::new(ByLanguage::new(self, &self.overrides, Self::check)?)))
    }
}

impl Filter for ByLanguage<FinewebQuality> {
    fn verdicts(&self, documents: &Documents) -> Result<Vec<Verdict>, StageError> {
        judge::verdicts(documents, self, FinewebQuality::verdict)
    }
}

impl FinewebQuality {
    /// Refuses values that cannot serve.
    fn check(&self) -> Result<(), StageError> {
        judge::check_limits(
            Self::KIND,
            &[
                ("min_lines_ending_in_punctuation", self.min_lines_ending_in_punctuation),
                ("max_short_lines", self.max_short_lines),
                ("max_duplicate_line_chars", self.max_duplicate_line_chars),
                ("max_newlines_per_word", self.max_newlines_per_word),
            ],
        )
    }

    /// Why a document is dropped, or none. `view` holds the words of `text`.
    pub fn verdict(&self, text: &str, view: &WordView) -> Option<Reason> {
        let filled = || text.split('\n').filter(|line| !strip(line).is_empty());
        let (mut n_lines, mut n_ended, mut n_short) = (0usize, 0usize, 0usize);
        for line in filled() {
            n_lines += 1;
            n_ended += usize::from(line.chars().next_back().is_some_and(|c| CHARS.flags(c) & TERMINAL != 0));
            n_short += usize::from(is_short(line, self.short_line_length));
        }
        if n_lines == 0 {
            return Some("empty");
        }
        let share = n_ended as f64 / n_lines as f64;
        if share < self.min_lines_ending_in_punctuation && !(n_ended == 0 && self.keep_without_punctuation) {
            return Some("line_punct_ratio");
        }
        if n_short as f64 / n_lines as f64 > self.max_short_lines {
            return Some("short_line_ratio");
        }
        let n_newlines = memchr::memchr_iter(b'\n', text.as_bytes()).count();
        let n_chars = view.n_chars() - n_newlines;
        if duplicates(filled()).n_chars as f64 / n_chars as f64 > self.max_duplicate_line_chars {
            return Some("char_dup_ratio");
        }
        if n_newlines as f64 / view.words().len().max(1) as f64 > self.max_newlines_per_word {
            return Some("list_ratio");
        }
        None
    }
}

/// Whether `line` has at most `longest` code points; reads no more of it than that takes.
fn is_short(line: &str, longest: usize) -> bool {
    line.len() <= longest || line.len() <= longest.saturating_mul(4) && line.chars().count() <= longest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<Reason>) {
        assert_eq!(
            FinewebQuality::default().verdict(text, &WordView::new(text, None)),
            expected,
            "{text:.80}"
        );
    }

    #[test]
    fn every_reason() {
        let lines: Vec<String> =
            (0..10).map(|i| format!("Line number {i} holds enough words to count as a long one.")).collect();
        check(&lines.join("\n"), None);
        check(" \n\t\n", Some("empty"));
        check("", Some("empty"));
        check(&lines.join("\n").replace('.', " "), Some("line_punct_ratio"));
        check(&lines.join("\n").replace('.', "\""), Some("line_punct_ratio"));
        check(&lines.iter().map(|line| &line[40..]).collect::<Vec<_>>().join("\n"), Some("short_line_ratio"));
        check(&(lines.join("\n") + "\n" + &lines[0]), Some("char_dup_ratio"));
        check(&lines.join("\n\n\n\n\n\n\n\n"), Some("list_ratio"));
    }

    #[test]
    fn a_line_of_thirty_code_points_is_short() {
        assert!(is_short(&"é".repeat(30), 30));
        assert!(!is_short(&"é".repeat(31), 30));
        assert!(!is_short(&"a".repeat(31), 30));
    }

    #[test]
    fn texts_without_punctuation_can_be_kept() {
        let text = "a line that ends in nothing at all and goes on";
        let lenient = FinewebQuality { keep_without_punctuation: true, ..FinewebQuality::default() };
        assert_eq!(lenient.verdict(text, &WordView::new(text, None)), None);
    }
}
