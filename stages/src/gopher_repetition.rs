//! `gopher_repetition`: drops text that repeats itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::by_language::{self, ByLanguage, Overrides};
use crate::documents::Documents;
use crate::judge;
use crate::lines::{duplicates, split_at_newlines, strip};
use crate::repeats::Repeats;
use crate::stage::{
    BuildContext, Declares, Filter, Reason, Runtime, Shape, StageConfig, StageError, Verdict,
};
use crate::words::WordView;

/// Drops documents that repeat themselves: paragraphs, lines, or sequences of words.
///
/// From Gopher (Rae et al. 2021, arXiv 2112.11446, table A1), with the counts, order and reasons of datatrove 0.10.1, the
/// code of FineWeb. All shares of characters are of the whole text. A limit of 1 is as good as none for lines and
/// paragraphs. Reasons keep the reference's names, so that counts can be compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GopherRepetition {
    /// Drop a document in which more than this share of the paragraphs repeats an earlier one. Gopher: 0.30. Reason
    /// `dup_para_frac`.
    pub max_duplicate_paragraphs: f64,
    /// Drop a document in which more than this share of the characters is in such paragraphs. Gopher: 0.20. Reason
    /// `dup_para_char_frac`.
    pub max_duplicate_paragraph_chars: f64,
    /// Drop a document in which more than this share of the lines repeats an earlier one. Gopher: 0.30. Reason
    /// `dup_line_frac`.
    pub max_duplicate_lines: f64,
    /// Drop a document in which more than this share of the characters is in such lines. Gopher: 0.20. Reason
    /// `dup_line_char_frac`.
    pub max_duplicate_line_chars: f64,
    /// Drop a document in which the most frequent sequence of 2 words takes more than this share of the characters.
    /// Gopher: 0.20. Reason `top_2_gram`.
    pub max_top_2_gram: f64,
    /// The same for 3 words. Gopher: 0.18. Reason `top_3_gram`.
    pub max_top_3_gram: f64,
    /// The same for 4 words. Gopher: 0.16. Reason `top_4_gram`.
    pub max_top_4_gram: f64,
    /// Drop a document in which sequences of 5 words seen before take more than this share of the characters. Gopher:
    /// 0.15. Reason `duplicated_5_n_grams`.
    pub max_duplicate_5_grams: f64,
    /// The same for 6 words. Gopher: 0.14. Reason `duplicated_6_n_grams`.
    pub max_duplicate_6_grams: f64,
    /// The same for 7 words. Gopher: 0.13. Reason `duplicated_7_n_grams`.
    pub max_duplicate_7_grams: f64,
    /// The same for 8 words. Gopher: 0.12. Reason `duplicated_8_n_grams`.
    pub max_duplicate_8_grams: f64,
    /// The same for 9 words. Gopher: 0.11. Reason `duplicated_9_n_grams`.
    pub max_duplicate_9_grams: f64,
    /// The same for 10 words. Gopher: 0.10. Reason `duplicated_10_n_grams`.
    pub max_duplicate_10_grams: f64,
    /// Other values by language: a table of the keys above for a label of the `language` column, as `[stage.overrides.de]`. Keys that it
    /// leaves out, and languages without a table, have the values above. FineWeb2 sets them for every language.
    #[serde(skip_serializing_if = "Overrides::is_empty")]
    pub overrides: Overrides,
}

impl Default for GopherRepetition {
    fn default() -> Self {
        Self {
            max_duplicate_paragraphs: 0.30,
            max_duplicate_paragraph_chars: 0.20,
            max_duplicate_lines: 0.30,
            max_duplicate_line_chars: 0.20,
            max_top_2_gram: 0.20,
            max_top_3_gram: 0.18,
            max_top_4_gram: 0.16,
            max_duplicate_5_grams: 0.15,
            max_duplicate_6_grams: 0.14,
            max_duplicate_7_grams: 0.13,
            max_duplicate_8_grams: 0.12,
            max_duplicate_9_grams: 0.11,
            max_duplicate_10_grams: 0.10,
            overrides: Overrides::new(),
        }
    }
}

impl StageConfig for GopherRepetition {
    const KIND: &'static str = "gopher_repetition";
    const VERSION: u32 = 2;
    const SHAPE: Shape = Shape::Filter;
    const REASONS: &'static [Reason] = &[
        "empty",
        "dup_para_frac",
        "dup_para_char_frac",
        "dup_line_frac",
        "dup_line_char_frac",
        "top_2_gram",
        "top_3_gram",
        "top_4_gram",
        "duplicated_5_n_grams",
        "duplicated_6_n_grams",
        "duplicated_7_n_grams",
        "duplicated_8_n_grams",
        "duplicated_9_n_grams",
        "duplicated_10_n_grams",
    ];

    fn declares(&self) -> Declares {
        by_language::declares(&self.overrides, judge::declares())
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        Ok(Runtime::Filter(Box::new(ByLanguage::new(self, &self.overrides, Self::checked)?)))
    }
}

impl Filter for ByLanguage<GopherRepetition> {
    fn verdicts(&self, documents: &Documents) -> Result<Vec<Verdict>, StageError> {
        judge::verdicts(documents, self, GopherRepetition::verdict)
    }
}

impl GopherRepetition {
    /// These settings, unless a value cannot serve.
    fn checked(&self) -> Result<Self, StageError> {
        judge::check_limits(
            Self::KIND,
            &[
                ("max_duplicate_paragraphs", self.max_duplicate_paragraphs),
                ("max_duplicate_paragraph_chars", self.max_duplicate_paragraph_chars),
                ("max_duplicate_lines", self.max_duplicate_lines),
                ("max_duplicate_line_chars", self.max_duplicate_line_chars),
                ("max_top_2_gram", self.max_top_2_gram),
                ("max_top_3_gram", self.max_top_3_gram),
                ("max_top_4_gram", self.max_top_4_gram),
                ("max_duplicate_5_grams", self.max_duplicate_5_grams),
                ("max_duplicate_6_grams", self.max_duplicate_6_grams),
                ("max_duplicate_7_grams", self.max_duplicate_7_grams),
                ("max_duplicate_8_grams", self.max_duplicate_8_grams),
                ("max_duplicate_9_grams", self.max_duplicate_9_grams),
                ("max_duplicate_10_grams", self.max_duplicate_10_grams),
            ],
        )?;
        Ok(self.clone())
    }

    /// Why a document is dropped, or none. `view` holds the words of `text`.
    pub fn verdict(&self, text: &str, view: &WordView) -> Option<Reason> {
        if text.is_empty() {
            return Some("empty");
        }
        let n_chars = view.n_chars() as f64;
        let paragraphs = duplicates(split_at_newlines(strip(text), 2));
        if paragraphs.n_repeated as f64 / paragraphs.n as f64 > self.max_duplicate_paragraphs {
            return Some("dup_para_frac");
        }
        if paragraphs.n_chars as f64 / n_chars > self.max_duplicate_paragraph_chars {
            return Some("dup_para_char_frac");
        }
        let lines = duplicates(split_at_newlines(text, 1));
        if lines.n_repeated as f64 / lines.n as f64 > self.max_duplicate_lines {
            return Some("dup_line_frac");
        }
        if lines.n_chars as f64 / n_chars > self.max_duplicate_line_chars {
            return Some("dup_line_char_frac");
        }
        let mut repeats = Repeats::new(text, view.words());
        for (n, limit, reason) in [
            (2, self.max_top_2_gram, "top_2_gram"),
            (3, self.max_top_3_gram, "top_3_gram"),
            (4, self.max_top_4_gram, "top_4_gram"),
        ] {
            if repeats.most_frequent(n).is_some_and(|top| top as f64 / n_chars > limit) {
                return Some(reason);
            }
        }
        for (n, limit, reason) in [
            (5, self.max_duplicate_5_grams, "duplicated_5_n_grams"),
            (6, self.max_duplicate_6_grams, "duplicated_6_n_grams"),
            (7, self.max_duplicate_7_grams, "duplicated_7_n_grams"),
            (8, self.max_duplicate_8_grams, "duplicated_8_n_grams"),
            (9, self.max_duplicate_9_grams, "duplicated_9_n_grams"),
            (10, self.max_duplicate_10_grams, "duplicated_10_n_grams"),
        ] {
            if repeats.duplicated(n) as f64 / n_chars > limit {
                return Some(reason);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<Reason>) {
        assert_eq!(
            GopherRepetition::default().verdict(text, &WordView::new(text, None)),
            expected,
            "{text:.80}"
        );
    }

    /// `n` different words.
    fn filler(from: usize, n: usize) -> String {
        (from..from + n).fold(String::new(), |text, i| text + "word" + &i.to_string() + " ")
    }

    #[test]
    fn every_reason_about_paragraphs_and_lines() {
        check("", Some("empty"));
        check(&filler(0, 50), None);
        check("a\n\nb\n\na\n\na\n\nc", Some("dup_para_frac"));
        let paragraph = filler(100, 20);
        check(&format!("{paragraph}\n\n{paragraph}\n\na\n\nb\n\nc"), Some("dup_para_char_frac"));
        check(&(filler(0, 20) + "\na\na\na"), Some("dup_line_frac"));
        check(&format!("{paragraph}\n{paragraph}\na\nb\nc"), Some("dup_line_char_frac"));
        // Newlines at both ends make empty lines, the second a duplicate.
        check("\na\n", Some("dup_line_frac"));
    }

    #[test]
    fn every_reason_about_words() {
        check(&(filler(0, 4) + &"a mill ".repeat(3) + &filler(9, 4)), Some("top_2_gram"));
        for (n, words, n_filler, reason) in
            [(3, "one two three ", 8, "top_3_gram"), (4, "one two three four ", 11, "top_4_gram")]
        {
            let text: String = (0..n).map(|i| words.to_owned() + &filler(i * 20, n_filler)).collect();
            check(&text, Some(reason));
        }
        // Two sequences of n words seen twice, their share of the text between the limits of n and n - 1.
        for (n, share, reason) in [
            (5, 0.155, "duplicated_5_n_grams"),
            (6, 0.145, "duplicated_6_n_grams"),
            (7, 0.135, "duplicated_7_n_grams"),
            (8, 0.125, "duplicated_8_n_grams"),
            (9, 0.115, "duplicated_9_n_grams"),
            (10, 0.105, "duplicated_10_n_grams"),
        ] {
            let repeated =
                |name: &str| (0..n).fold(String::new(), |text, i| format!("{text}{name}{i}{name}{i} "));
            let twice = [repeated("a"), repeated("b"), repeated("a"), repeated("b")];
            let n_repeated = (twice[0].len() + twice[1].len() - 2 * n) as f64;
            let mut text = twice.concat();
            for i in 0.. {
                if n_repeated / text.len() as f64 <= share {
                    break;
                }
                text += &format!("{i} ");
            }
            check(&text, Some(reason));
        }
    }
}
