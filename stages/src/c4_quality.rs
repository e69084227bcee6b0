//! `c4_quality`: drops lines that are no prose (cookie notices, code), and documents left with too little.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use gristmill_corpus::columns;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::by_language::{self, ByLanguage, Overrides};
use crate::documents::Documents;
use crate::judge;
use crate::lines::{is_space, lines, strip};
use crate::stage::{BuildContext, Declares, Map, Reason, Runtime, Shape, StageConfig, StageError, Verdict};
use crate::words::WordView;

/// Drops lines that are no prose (notices about cookies and terms, scripts, a few words), then documents that have too
/// few sentences left. Rewrites `text`: kept lines lose whitespace at their ends and Wikipedia's `[1]`, `[edit]` and
/// `[citation needed]`.
///
/// From C4 (Raffel et al. 2020, JMLR 21:140, section 2.2), with the rules, order and reasons of datatrove 0.10.1 and the
/// settings of FineWeb, which does not ask for terminal punctuation. Reasons keep the reference's names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct C4Quality {
    /// Drop a line with a word (between whitespace) of more characters than this. C4: 1,000.
    pub max_word_length: usize,
    /// Remove `[1]`, `[edit]` and `[citation needed]`. C4: yes.
    pub remove_citations: bool,
    /// Drop a line that does not end in `.`, `?`, `!` or a quotation mark (`"`, or `'`, which C4's own code does not take), or that ends
    /// in `...`. C4: yes; FineWeb: no, the default, since it alone removes 30 % of the tokens.
    pub require_terminal_punctuation: bool,
    /// Drop a line with fewer words (between whitespace, citations included) than this. FineWeb: 3, the default, from the first version of
    /// C4's paper; C4's code: 5; 0 turns it off.
    pub min_words_per_line: usize,
    /// Drop a document with `lorem ipsum` in one of the lines that are left. C4: yes. Reason `lorem_ipsum`.
    pub drop_lorem_ipsum: bool,
    /// Drop a line that mentions `javascript`. C4: yes.
    pub drop_javascript_lines: bool,
    /// Drop a document with a `{` in one of the lines that are left. C4: yes. Reason `curly_bracket`.
    pub drop_curly_bracket: bool,
    /// Drop a line about cookies, privacy policies or terms of use. C4: yes.
    pub drop_policy_lines: bool,
    /// Drop a document with fewer sentences than this in the lines that are left. FineWeb: 5, the default, from the first version of C4's
    /// paper; C4's code: 3; 0 turns it off. Reason `too_few_sentences`.
    pub min_sentences: usize,
    /// Other values by language: a table of the keys above for a label of the `language` column, as `[stage.overrides.de]`. Keys that it
    /// leaves out, and languages without a table, have the values above. FineWeb2 sets them for every language.
    #[serde(skip_serializing_if = "Overrides::is_empty")]
    pub overrides: Overrides,
}

impl Default for C4Quality {
    fn default() -> Self {
        Self {
            max_word_length: 1000,
            remove_citations: true,
            require_terminal_punctuation: false,
            min_words_per_line: 3,
            drop_lorem_ipsum: true,
            drop_javascript_lines: true,
            drop_curly_bracket: true,
            drop_policy_lines: true,
            min_sentences: 5,
            overrides: Overrides::new(),
        }
    }
}

impl StageConfig for C4Quality {
    const KIND: &'static str = "c4_quality";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Map;
    const REASONS: &'static [Reason] = &["lorem_ipsum", "curly_bracket", "too_few_sentences"];

    fn declares(&self) -> Declares {
        let declares = Declares { writes: vec![columns::TEXT.into()], ..judge::declares() };
        by_language::declares(&self.overrides, declares)
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        Ok(Runtime::Map(Box::new(ByLanguage::new(self, &self.overrides, |config| Ok(config.clone()))?)))
    }
}

impl Map for ByLanguage<C4Quality> {
    fn map(&self, documents: Documents) -> Result<(Documents, Vec<Verdict>), StageError> {
        judge::rewrites(documents, self, |rules, text, words| rules.rewrite(text, words).map(Cow::Owned))
    }
}

/// What the line rules look for, without regard to case: filler, scripts, then policies.
const PHRASES: [&str; 8] = [
    "lorem ipsum",
    "javascript",
    "terms of use",
    "privacy policy",
    "cookie policy",
    "uses cookies",
    "use of cookies",
    "use cookies",
];

static FINDER: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(PHRASES)
        .expect("eight short phrases make a small automaton")
});

/// Which phrases occur.
#[derive(Debug, Clone, Copy, Default)]
struct Mentions {
    lorem_ipsum: bool,
    javascript: bool,
    policy: bool,
}

impl Mentions {
    fn of(text: &str) -> Self {
        // Besides A to Z, one character has a lower case in ASCII that a phrase holds: the Kelvin sign.
        let lowered = text.contains('\u{212A}').then(|| text.replace('\u{212A}', "k"));
        let mut mentions = Self::default();
        for found in FINDER.find_iter(lowered.as_deref().unwrap_or(text)) {
            match found.pattern().as_usize() {
                0 => mentions.lorem_ipsum = true,
                1 => mentions.javascript = true,
                _ => mentions.policy = true,
            }
        }
        mentions
    }

    fn any(self) -> bool {
        self.lorem_ipsum || self.javascript || self.policy
    }
}

impl C4Quality {
    /// The text that is left, or why the document is dropped. `view` holds the words of `text`.
    ///
    /// # Errors
    /// The reason for which the document is dropped.
    pub fn rewrite(&self, text: &str, view: &WordView) -> Result<String, Reason> {
        // Most documents mention nothing; only removed citations can make a mention that the whole text lacks.
        let look = Mentions::of(text).any() || self.remove_citations && text.contains('[');
        let mut kept = String::with_capacity(text.len());
        let mut n_sentences = 0;
        let mut next_word = 0;
        for raw in lines(text) {
            let line = strip(raw);
            let start = line.as_ptr() as usize - text.as_ptr() as usize;
            if !self.has_fitting_words(line) {
                continue;
            }
            let cleaned = if self.remove_citations { without_citations(line) } else { None };
            let rest = cleaned.as_deref().unwrap_or(line);
            if self.require_terminal_punctuation
                && (!rest.ends_with(['.', '?', '!', '"', '\'']) || rest.ends_with("..."))
            {
                continue;
            }
            if !self.has_enough_words(line) {
                continue;
            }
            let mentions = if look { Mentions::of(rest) } else { Mentions::default() };
            if self.drop_lorem_ipsum && mentions.lorem_ipsum {
                return Err("lorem_ipsum");
            }
            if self.drop_javascript_lines && mentions.javascript {
                continue;
            }
            if self.drop_curly_bracket && memchr::memchr(b'{', rest.as_bytes()).is_some() {
                return Err("curly_bracket");
            }
            if self.drop_policy_lines && mentions.policy {
                continue;
            }
            if self.min_sentences > 0 {
                n_sentences += if cleaned.is_some() {
                    view.n_sentences_of(rest)
                } else {
                    let words = words_in(view, next_word, start..start + line.len());
                    next_word = words.end;
                    view.n_sentences_in(text, start..start + line.len(), words)
                };
            }
            kept.push_str(rest);
            kept.push('\n');
        }
        if n_sentences < self.min_sentences {
            return Err("too_few_sentences");
        }
        let left = strip(&kept);
        if left.len() < kept.len() {
            let start = left.as_ptr() as usize - kept.as_ptr() as usize;
            kept.truncate(start + left.len());
            kept.drain(..start);
        }
        Ok(kept)
    }

    /// No word of the line is too long.
    fn has_fitting_words(&self, line: &str) -> bool {
        line.len() <= self.max_word_length
            || line.split(is_space).all(|word| {
                word.len() <= self.max_word_length || word.chars().count() <= self.max_word_length
            })
    }

    fn has_enough_words(&self, line: &str) -> bool {
        let n = line.split(is_space).filter(|word| !word.is_empty()).take(self.min_words_per_line).count();
        n >= self.min_words_per_line
    }
}

/// Indices of the words inside `range`, none before index `from`.
fn words_in(view: &WordView, from: usize, range: Range<usize>) -> Range<usize> {
    let words = &view.words()[from..];
    let first = from + words.partition_point(|word| (word.start as usize) < range.start);
    let n = view.words()[first..].iter().take_while(|word| (word.end as usize) <= range.end).count();
    first..first + n
}

/// The line without `[1]`, `[]`, `[edit]` and `[citation needed]`, or none if it has none of them.
fn without_citations(line: &str) -> Option<String> {
    let mut cleaned: Option<String> = None;
    let mut copied = 0;
    for open in memchr::memchr_iter(b'[', line.as_bytes()) {
        let inner = &line[open + 1..];
        let length = if inner.starts_with("edit]") {
            "edit]".len()
        } else if inner.starts_with("citation needed]") {
            "citation needed]".len()
        } else {
            let digits = inner.len() - inner.trim_start_matches(is_digit).len();
            if !inner[digits..].starts_with(']') {
                continue;
            }
            digits + 1
        };
        let cleaned = cleaned.get_or_insert_with(|| String::with_capacity(line.len()));
        cleaned.push_str(&line[copied..open]);
        copied = open + 1 + length;
    }
    cleaned.map(|mut cleaned| {
        cleaned.push_str(&line[copied..]);
        cleaned
    })
}

/// A decimal digit of any script.
fn is_digit(c: char) -> bool {
    use crate::words::CHARS;
    use crate::words::character::ANY_DIGIT;
    CHARS.flags(c) & ANY_DIGIT != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROSE: &str =
        "The mill is old.\nIts wheel still turns. It groans!\nDo you hear it?\nWe hear it well.";

    fn check(text: &str, expected: Result<&str, Reason>) {
        check_with(&C4Quality::default(), text, expected);
    }

    fn check_with(config: &C4Quality, text: &str, expected: Result<&str, Reason>) {
        let left = config.rewrite(text, &WordView::new(text, None));
        assert_eq!(left.as_deref().map_err(|reason| *reason), expected, "{text:.80}");
    }

    #[test]
    fn every_reason() {
        check(PROSE, Ok(PROSE));
        check("One. Two. Three. Four.", Err("too_few_sentences"));
        check("", Err("too_few_sentences"));
        check(&format!("{PROSE}\nIt reads Lorem Ipsum dolor."), Err("lorem_ipsum"));
        check(&format!("{PROSE}\nfunction f(x) {{ return; }} ends"), Err("curly_bracket"));
        // Dropped lines do not condemn the document.
        check(&format!("{PROSE}\n{{ short"), Ok(PROSE));
        check(&format!("{PROSE}\nThis JavaScript code {{ is dropped"), Ok(PROSE));
    }

    #[test]
    fn lines_that_go() {
        for line in [
            "Two words",
            "Please enable JavaScript here",
            "This site USES COOKIES daily",
            "We use of cookies so",
            "Read our privacy policy now",
            "Our cookie policy is here",
            "See the Terms of Use",
            "You use coo\u{212A}ies here too",
            "   ",
        ] {
            check(&format!("{line}\n{PROSE}\r\n{line}"), Ok(PROSE));
        }
        let long = "x".repeat(1001);
        check(&format!("{PROSE}\nA word: {long} indeed"), Ok(PROSE));
        let fits = "é".repeat(1000);
        check(&format!("{PROSE}\nA word: {fits} indeed"), Ok(&format!("{PROSE}\nA word: {fits} indeed")));
    }

    #[test]
    fn citations_go_and_words_before_them_count() {
        check(
            &format!("{PROSE}\n  It burnt.[1][] In 1786,[edit] they say.[citation needed]  "),
            Ok(&format!("{PROSE}\nIt burnt. In 1786, they say.")),
        );
        check(&format!("{PROSE}\nIt [1] burnt[٣] [x]"), Ok(&format!("{PROSE}\nIt  burnt [x]")));
        check(&format!("{PROSE}\nIt runs java[1]script"), Ok(PROSE));
    }

    #[test]
    fn terminal_punctuation_is_asked_for_on_request() {
        let strict = C4Quality { require_terminal_punctuation: true, ..C4Quality::default() };
        check_with(
            &strict,
            &format!("{PROSE}\nThis ends in nothing\nThis goes on ...\n{PROSE}"),
            Ok(&format!("{PROSE}\n{PROSE}")),
        );
    }
}
