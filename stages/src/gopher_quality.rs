//! `gopher_quality`: drops text that does not look like prose.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::by_language::{self, ByLanguage, Overrides};
use crate::documents::Documents;
use crate::judge;
use crate::lines::{is_space, lines};
use crate::stage::{
    BuildContext, Declares, Filter, Reason, Runtime, Shape, StageConfig, StageError, Verdict,
};
use crate::words::WordView;

/// Drops documents that do not look like prose: too short or too long, odd words, too many symbols, bullets or
/// ellipses, too few function words.
///
/// From Gopher (Rae et al. 2021, arXiv 2112.11446, appendix A.1.1), with the counts, order and reasons of datatrove 0.10.1, the
/// code of FineWeb. Reasons keep the reference's names, so that counts can be compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GopherQuality {
    /// Drop a document with fewer words than this; words of punctuation alone do not count. Gopher: 50. 0 turns it
    /// off. Reason `gopher_short_doc`.
    pub min_words: usize,
    /// Drop a document with more words than this, counted as above. Gopher: 100,000. Reason `gopher_long_doc`.
    pub max_words: usize,
    /// Drop a document whose words are shorter than this on average, in characters. Gopher: 3. Reason
    /// `gopher_below_avg_threshold`.
    pub min_mean_word_length: f64,
    /// Drop a document whose words are longer than this on average, in characters. Gopher: 10. Reason
    /// `gopher_above_avg_threshold`.
    pub max_mean_word_length: f64,
    /// Drop a document with more `#` a word than this, or with more ellipses (`...` or `…`) a word. Gopher: 0.1.
    /// Reasons `gopher_too_many_hashes`, `gopher_too_many_ellipsis`.
    pub max_symbols_per_word: f64,
    /// Drop a document in which more than this share of the lines starts with a bullet (`•` or `-`). Gopher: 0.9. Reason
    /// `gopher_too_many_bullets`.
    pub max_bullet_lines: f64,
    /// Drop a document in which more than this share of the lines ends with an ellipsis. Gopher: 0.3. Reason
    /// `gopher_too_many_end_ellipsis`.
    pub max_ellipsis_lines: f64,
    /// Drop a document in which less than this share of the words (all of them here) has a letter. Gopher: 0.8. Reason
    /// `gopher_below_alpha_threshold`.
    pub min_words_with_letter: f64,
    /// Drop a document that holds fewer than this many different stop words. Gopher: 2. 0 turns it off. Reason
    /// `gopher_enough_stop_words`.
    pub min_stop_words: usize,
    /// The stop words; case counts. Gopher: the, be, to, of, and, that, have, with.
    pub stop_words: Vec<String>,
    /// Other values by language: a table of the keys above for a label of the `language` column, as `[stage.overrides.de]`. Keys that it
    /// leaves out, and languages without a table, have the values above. FineWeb2 sets them for every language.
    #[serde(skip_serializing_if = "Overrides::is_empty")]
    pub overrides: Overrides,
}

impl Default for GopherQuality {
    fn default() -> Self {
        Self {
            min_words: 50,
            max_words: 100_000,
            min_mean_word_length: 3.0,
            max_mean_word_length: 10.0,
            max_symbols_per_word: 0.1,
            max_bullet_lines: 0.9,
            max_ellipsis_lines: 0.3,
            min_words_with_letter: 0.8,
            min_stop_words: 2,
            stop_words: ["the", "be", "to", "of", "and", "that", "have", "with"].map(String::from).into(),
            overrides: Overrides::new(),
        }
    }
}

impl StageConfig for GopherQuality {
    const KIND: &'static str = "gopher_quality";
    const VERSION: u32 = 2;
    const SHAPE: Shape = Shape::Filter;
    const REASONS: &'static [Reason] = &[
        "gopher_short_doc",
        "gopher_long_doc",
        "gopher_below_avg_threshold",
        "gopher_above_avg_threshold",
        "gopher_too_many_hashes",
        "gopher_too_many_ellipsis",
        "gopher_too_many_bullets",
        "gopher_too_many_end_ellipsis",
        "gopher_below_alpha_threshold",
        "gopher_enough_stop_words",
    ];

    fn declares(&self) -> Declares {
        by_language::declares(&self.overrides, judge::declares())
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        Ok(Runtime::Filter(Box::new(ByLanguage::new(self, &self.overrides, Self::checked)?)))
    }
}

impl Filter for ByLanguage<GopherQuality> {
    fn verdicts(&self, documents: &Documents) -> Result<Vec<Verdict>, StageError> {
        judge::verdicts(documents, self, GopherQuality::verdict)
    }
}

impl GopherQuality {
    /// These settings, unless a value cannot serve.
    fn checked(&self) -> Result<Self, StageError> {
        judge::check_limits(
            Self::KIND,
            &[
                ("min_mean_word_length", self.min_mean_word_length),
                ("max_mean_word_length", self.max_mean_word_length),
                ("max_symbols_per_word", self.max_symbols_per_word),
                ("max_bullet_lines", self.max_bullet_lines),
                ("max_ellipsis_lines", self.max_ellipsis_lines),
                ("min_words_with_letter", self.min_words_with_letter),
            ],
        )?;
        if self.min_stop_words > self.stop_words.len() {
            return Err(StageError::Config(format!(
                "`min_stop_words = {}` in `{}` drops every document: `stop_words` has {} words",
                self.min_stop_words,
                Self::KIND,
                self.stop_words.len()
            )));
        }
        Ok(self.clone())
    }

    /// Why a document is dropped, or none. `view` holds the words of `text`. Where a document has no words or no
    /// lines, shares of them are 0.
    pub fn verdict(&self, text: &str, view: &WordView) -> Option<Reason> {
        let (mut n_proper, mut n_chars, mut n_with_letter) = (0, 0, 0);
        for word in view.words() {
            let proper = usize::from(word.has_non_symbol());
            n_proper += proper;
            n_chars += proper * word.n_chars as usize;
            n_with_letter += usize::from(word.has_letter());
        }
        if n_proper < self.min_words {
            return Some("gopher_short_doc");
        }
        if n_proper > self.max_words {
            return Some("gopher_long_doc");
        }
        if n_proper > 0 {
            let mean = n_chars as f64 / n_proper as f64;
            if mean < self.min_mean_word_length {
                return Some("gopher_below_avg_threshold");
            }
            if mean > self.max_mean_word_length {
                return Some("gopher_above_avg_threshold");
            }
        }
        let n_words = view.words().len().max(1) as f64;
        if memchr::memchr_iter(b'#', text.as_bytes()).count() as f64 / n_words > self.max_symbols_per_word {
            return Some("gopher_too_many_hashes");
        }
        if n_ellipses(text) as f64 / n_words > self.max_symbols_per_word {
            return Some("gopher_too_many_ellipsis");
        }
        let (mut n_lines, mut n_bullets, mut n_open) = (0usize, 0usize, 0usize);
        for line in lines(text) {
            n_lines += 1;
            n_bullets += usize::from(line.trim_start_matches(is_space).starts_with(['•', '-']));
            let end = line.trim_end_matches(is_space);
            n_open += usize::from(end.ends_with("...") || end.ends_with('…'));
        }
        let n_lines = n_lines.max(1) as f64;
        if n_bullets as f64 / n_lines > self.max_bullet_lines {
            return Some("gopher_too_many_bullets");
        }
        if n_open as f64 / n_lines > self.max_ellipsis_lines {
            return Some("gopher_too_many_end_ellipsis");
        }
        if (n_with_letter as f64) / n_words < self.min_words_with_letter {
            return Some("gopher_below_alpha_threshold");
        }
        if !self.has_stop_words(text, view) {
            return Some("gopher_enough_stop_words");
        }
        None
    }

    fn has_stop_words(&self, text: &str, view: &WordView) -> bool {
        let mut found = vec![false; self.stop_words.len()];
        let mut n_found = 0;
        let mut words = view.strings(text);
        while n_found < self.min_stop_words {
            let Some(word) = words.next() else { return false };
            for (stop_word, found) in self.stop_words.iter().zip(&mut found) {
                if !*found && stop_word == word {
                    *found = true;
                    n_found += 1;
                    break;
                }
            }
        }
        true
    }
}

/// How often `...` (without overlap) or `…` occurs.
fn n_ellipses(text: &str) -> usize {
    let (mut n, mut run, mut before) = (0, 0, usize::MAX);
    for at in memchr::memchr_iter(b'.', text.as_bytes()) {
        run = if before.wrapping_add(1) == at { run + 1 } else { 1 };
        before = at;
        if run == 3 {
            n += 1;
            run = 0;
        }
    }
    n + memchr::memmem::find_iter(text.as_bytes(), "…".as_bytes()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<Reason>) {
        assert_eq!(
            GopherQuality::default().verdict(text, &WordView::new(text, None)),
            expected,
            "{text:.80}"
        );
    }

    /// 70 words with a letter, 10 of them stop words.
    fn prose() -> String {
        "Wheels turn and the stones grind corn\n".repeat(10)
    }

    #[test]
    fn every_reason() {
        check(&prose(), None);
        check("Too short.", Some("gopher_short_doc"));
        check("", Some("gopher_short_doc"));
        check(&", . ! ".repeat(50), Some("gopher_short_doc"));
        check(&"corn ".repeat(100_001), Some("gopher_long_doc"));
        check(&"a to be of and ".repeat(20), Some("gopher_below_avg_threshold"));
        check(&"counterrevolutionary the ".repeat(50), Some("gopher_above_avg_threshold"));
        check(&(prose() + &"#".repeat(8)), Some("gopher_too_many_hashes"));
        check(&(prose() + &" ... and".repeat(10)), Some("gopher_too_many_ellipsis"));
        check(&(prose() + &" … and".repeat(10)), Some("gopher_too_many_ellipsis"));
        check(&prose().replace("Wheels", " - Wheels"), Some("gopher_too_many_bullets"));
        check(&prose().replace("Wheels", "• Wheels"), Some("gopher_too_many_bullets"));
        check(
            &prose().replacen("corn\n", "corn and much other good grain from the hills around us … \n", 4),
            Some("gopher_too_many_end_ellipsis"),
        );
        check(&(prose() + &" 1786".repeat(18)), Some("gopher_below_alpha_threshold"));
        check(
            &prose().replace("and", "with").replace("the", "our").replace("with", "plus"),
            Some("gopher_enough_stop_words"),
        );
    }

    #[test]
    fn limits_hold_at_their_edges() {
        let text = "word ".repeat(49) + "with the";
        let view = WordView::new(&text, None);
        let limits = GopherQuality { min_words: 51, max_words: 51, ..GopherQuality::default() };
        assert_eq!(limits.verdict(&text, &view), None);
        let short = GopherQuality { min_words: 52, ..limits.clone() };
        assert_eq!(short.verdict(&text, &view), Some("gopher_short_doc"));
        let long = GopherQuality { max_words: 50, ..limits };
        assert_eq!(long.verdict(&text, &view), Some("gopher_long_doc"));
    }

    #[test]
    fn ellipses_do_not_overlap() {
        assert_eq!(n_ellipses("a...b......c.. .…"), 4);
    }

    #[test]
    fn more_stop_words_wanted_than_listed_is_a_mistake() {
        let context = BuildContext { base: ".".into(), seed: 0 };
        let config = GopherQuality { min_stop_words: 9, ..GopherQuality::default() };
        assert!(
            matches!(config.build(&context), Err(StageError::Config(message)) if message.contains("min_stop_words = 9"))
        );
        let config = GopherQuality { max_bullet_lines: f64::NAN, ..GopherQuality::default() };
        assert!(
            matches!(config.build(&context), Err(StageError::Config(message)) if message.contains("max_bullet_lines"))
        );
    }
}
