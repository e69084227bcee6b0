//! `fineweb_quality`: drops lists, menus and other text that is not paragraphs.

use std::convert::Infallible;

use gristmill_corpus::columns;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::by_language::{self, ByLanguage, Overrides, label};
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
    const VERSION: u32 = 2;
    const SHAPE: Shape = Shape::Filter;
    const REASONS: &'static [Reason] =
        &["empty", "line_punct_ratio", "short_line_ratio", "char_dup_ratio", "list_ratio"];

    fn declares(&self) -> Declares {
        by_language::declares(&self.overrides, judge::declares())
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        Ok(Runtime::Filter(Box::new(ByLanguage::new(self, &self.overrides, Self::checked)?)))
    }
}

impl Filter for ByLanguage<FinewebQuality> {
    fn verdicts(&self, documents: &Documents) -> Result<Vec<Verdict>, StageError> {
        let texts = documents.strings(columns::TEXT)?;
        let languages = self.languages(documents)?;
        let verdict = |row: usize| {
            let n_words = || documents.words(row).map(|view| view.words().len());
            Ok(self.of(label(languages, row)).verdict_of(texts.value(row), n_words)?.into())
        };
        (0..documents.len()).map(verdict).collect()
    }
}

impl FinewebQuality {
    /// These settings, unless a value cannot serve.
    fn checked(&self) -> Result<Self, StageError> {
        judge::check_limits(
            Self::KIND,
            &[
                ("min_lines_ending_in_punctuation", self.min_lines_ending_in_punctuation),
                ("max_short_lines", self.max_short_lines),
                ("max_duplicate_line_chars", self.max_duplicate_line_chars),
                ("max_newlines_per_word", self.max_newlines_per_word),
            ],
        )?;
        Ok(self.clone())
    }

    /// Why a document is dropped, or none. `view` holds the words of `text`.
    pub fn verdict(&self, text: &str, view: &WordView) -> Option<Reason> {
        let Ok(reason) = self.verdict_of(text, || Ok::<_, Infallible>(view.words().len()));
        reason
    }

    /// The same where the words are yet to be counted. That is asked for only where it decides: below `c4_quality` the words of a
    /// document are mostly new, and finding them costs more than all of this filter.
    ///
    /// # Errors
    /// That of `n_words`.
    pub fn verdict_of<E>(
        &self,
        text: &str,
        n_words: impl FnOnce() -> Result<usize, E>,
    ) -> Result<Option<Reason>, E> {
        let filled = || text.split('\n').filter(|line| !strip(line).is_empty());
        let (mut n_lines, mut n_ended, mut n_short) = (0usize, 0usize, 0usize);
        for line in filled() {
            n_lines += 1;
            n_ended += usize::from(line.chars().next_back().is_some_and(|c| CHARS.flags(c) & TERMINAL != 0));
            n_short += usize::from(is_short(line, self.short_line_length));
        }
        if n_lines == 0 {
            return Ok(Some("empty"));
        }
        let share = n_ended as f64 / n_lines as f64;
        if share < self.min_lines_ending_in_punctuation && !(n_ended == 0 && self.keep_without_punctuation) {
            return Ok(Some("line_punct_ratio"));
        }
        if n_short as f64 / n_lines as f64 > self.max_short_lines {
            return Ok(Some("short_line_ratio"));
        }
        let n_newlines = memchr::memchr_iter(b'\n', text.as_bytes()).count();
        let n_chars = text.chars().count() - n_newlines;
        if duplicates(filled()).n_chars as f64 / n_chars as f64 > self.max_duplicate_line_chars {
            return Ok(Some("char_dup_ratio"));
        }
        let is_list = |n_words: usize| n_newlines as f64 / n_words.max(1) as f64 > self.max_newlines_per_word;
        let drops = is_list(least_words(text)) && is_list(n_words()?);
        Ok(drops.then_some("list_ratio"))
    }
}

/// As many words as the text has at least, by any rules: none goes over whitespace, so that each visible character of ASCII after
/// a space or a line feed begins one.
fn least_words(text: &str) -> usize {
    let bytes = text.as_bytes();
    let begins = |before: u8, at: u8| matches!(before, b' ' | b'\n') & at.is_ascii_graphic();
    bytes.windows(2).map(|pair| usize::from(begins(pair[0], pair[1]))).sum()
}

/// Whether `line` has at most `longest` code points; reads no more of it than that takes.
fn is_short(line: &str, longest: usize) -> bool {
    line.len() <= longest || line.len() <= longest.saturating_mul(4) && line.chars().count() <= longest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn there_are_no_fewer_words_than_the_least(text in "[ a-c\n.'\\-é中\u{a0}\u{301}\u{200d}😀]{0,40}|\\PC{0,40}") {
            for language in [None, Some("de"), Some("zh")] {
                prop_assert!(least_words(&text) <= WordView::new(&text, language).words().len());
            }
        }
    }

    #[test]
    fn words_are_counted_only_where_they_decide() {
        let count = |text: &str| {
            let mut asked = false;
            let n_words = || {
                asked = true;
                Ok::<_, Infallible>(WordView::new(text, None).words().len())
            };
            let Ok(reason) = FinewebQuality::default().verdict_of(text, n_words);
            (reason, asked)
        };
        let line = "Every one of these lines holds more than thirty characters.";
        assert_eq!(count(line), (None, false));
        let list: Vec<String> =
            (0..9).map(|i| format!("{i}-counterrevolutionary-internationalisation.")).collect();
        assert_eq!(count(&list.join("\n")), (None, true));
        assert_eq!(count(&list.join("\n\n\n\n\n\n\n")), (Some("list_ratio"), true));
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
