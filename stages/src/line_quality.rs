//! `line_quality`: drops lines that are headings, counters and buttons, and documents that consist of them.

use std::borrow::Cow;
use std::sync::LazyLock;

use gristmill_corpus::columns;
use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::by_language::{self, ByLanguage, Overrides};
use crate::documents::Documents;
use crate::judge;
use crate::lines::{is_space, strip};
use crate::stage::{BuildContext, Declares, Map, Reason, Runtime, Shape, StageConfig, StageError, Verdict};
use crate::words::character::ANY_DIGIT;
use crate::words::{CHARS, WordView};

/// Drops lines in capitals, lines of digits, counters such as `3 likes` and single words, cuts buttons such as `Read more...`
/// out of short lines, then drops documents that lost too many words. Rewrites `text`.
///
/// From RefinedWeb (Penedo et al. 2023, arXiv 2306.01116, section G.2), with the order and the values of DCLM's configuration
/// `dclm_baseline_refinedweb`. Lines are what stands between line feeds; empty ones stay.
///
/// Differences from DCLM: the phrases are literal (there, the dots of `Read more...` stand for any character); digits are decimal ones, so
/// that `²` is none; whitespace at the ends of the text is cut once, not after each rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LineQuality {
    /// Drop a line in which more than this share of the characters is upper case. DCLM: 0.5; 1 turns it off.
    pub max_uppercase: f64,
    /// Drop a line in which more than this share of the characters is digits. DCLM: 0.999999, which means digits alone; 1 turns it off.
    pub max_digits: f64,
    /// Drop a line that is a number and one of likes, shares, comments, retweets, reposts, quotes, bookmarks, upvotes, downvotes,
    /// downloads, views, followers. DCLM: yes.
    pub drop_counters: bool,
    /// Drop a line with fewer words (between whitespace) than this. DCLM: 2; 0 turns it off.
    pub min_words_per_line: usize,
    /// Cut these phrases out of short lines wherever they stand; case does not count. DCLM: items in cart.
    pub cut_anywhere: Vec<String>,
    /// Cut these phrases off the end of short lines. DCLM: Read more... (with full stops or with the character `…`).
    pub cut_at_end: Vec<String>,
    /// Cut these phrases off the beginning of short lines. DCLM: Sign-in.
    pub cut_at_start: Vec<String>,
    /// A line is short, for the phrases, with at most this many words (between whitespace). DCLM: 10.
    pub short_line_words: usize,
    /// Drop a document of which these rules took more than this share of the words (as `gopher_quality` counts them). DCLM: 0.05; 1
    /// turns it off. Reason `too_many_words_removed`; one of which nothing is left is dropped as `no_lines_left`.
    pub max_removed_words: f64,
    /// Other values by language: a table of the keys above for a label of the `language` column, as `[stage.overrides.de]`. Keys that it
    /// leaves out, and languages without a table, have the values above.
    #[serde(skip_serializing_if = "Overrides::is_empty")]
    pub overrides: Overrides,
}

impl Default for LineQuality {
    fn default() -> Self {
        let phrases = |phrases: &[&str]| phrases.iter().map(|phrase| (*phrase).to_owned()).collect();
        Self {
            max_uppercase: 0.5,
            max_digits: 0.999_999,
            drop_counters: true,
            min_words_per_line: 2,
            cut_anywhere: phrases(&["items in cart"]),
            cut_at_end: phrases(&["Read more...", "Read more…"]),
            cut_at_start: phrases(&["Sign-in"]),
            short_line_words: 10,
            max_removed_words: 0.05,
            overrides: Overrides::new(),
        }
    }
}

const NO_LINES_LEFT: Reason = "no_lines_left";
const TOO_MANY_WORDS_REMOVED: Reason = "too_many_words_removed";

impl StageConfig for LineQuality {
    const KIND: &'static str = "line_quality";
    const VERSION: u32 = 2;
    const SHAPE: Shape = Shape::Map;
    const REASONS: &'static [Reason] = &[NO_LINES_LEFT, TOO_MANY_WORDS_REMOVED];

    fn declares(&self) -> Declares {
        let declares = Declares { writes: vec![columns::TEXT.into()], ..judge::declares() };
        by_language::declares(&self.overrides, declares)
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        Ok(Runtime::Map(Box::new(ByLanguage::new(self, &self.overrides, Rules::new)?)))
    }
}

static COUNTER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?i)^\W*\d[\d.,]*[kmb]?\s+(?:likes|shares|comments|retweets|reposts|quotes|bookmarks|upvotes|downvotes|downloads|views|followers)\W*$",
    )
    .expect("a fixed pattern")
});

/// The configuration with its phrases as patterns.
struct Rules {
    config: LineQuality,
    /// In the order in which they are cut.
    cuts: Vec<Regex>,
}

impl Rules {
    fn new(config: &LineQuality) -> Result<Self, StageError> {
        judge::check_limits(
            LineQuality::KIND,
            &[
                ("max_uppercase", config.max_uppercase),
                ("max_digits", config.max_digits),
                ("max_removed_words", config.max_removed_words),
            ],
        )?;
        let mut cuts = Vec::new();
        for (field, phrases, before, after) in [
            ("cut_anywhere", &config.cut_anywhere, r"\s?", ""),
            ("cut_at_end", &config.cut_at_end, r"\s?", "$"),
            ("cut_at_start", &config.cut_at_start, "^", r"\s?"),
        ] {
            if phrases.iter().any(|phrase| strip(phrase).is_empty()) {
                return Err(StageError::Config(format!(
                    "`{field}` in `line_quality` holds an empty phrase: leave it out"
                )));
            }
            if phrases.is_empty() {
                continue;
            }
            // The longest first, so that `read more` does not leave the dots of `read more...`.
            let mut escaped: Vec<String> = phrases.iter().map(|phrase| regex::escape(phrase)).collect();
            escaped.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
            let cut = Regex::new(&format!("(?i){before}(?:{}){after}", escaped.join("|")));
            cuts.push(cut.map_err(|error| {
                StageError::Config(format!("`{field}` in `line_quality` cannot be searched for: {error}"))
            })?);
        }
        Ok(Self { config: config.clone(), cuts })
    }

    /// The text that is left, or why the document is dropped. `view` holds the words of `text`.
    fn rewrite<'a>(&self, text: &'a str, view: &WordView) -> Result<Cow<'a, str>, Reason> {
        let mut kept = String::with_capacity(text.len());
        for line in text.split('\n') {
            if !line.is_empty() && self.is_noise(line) {
                continue;
            }
            match self.cut(line) {
                Some(rest) if strip(&rest).is_empty() => continue,
                Some(rest) => kept.push_str(&rest),
                None => kept.push_str(line),
            }
            kept.push('\n');
        }
        let left = strip(&kept);
        if left.is_empty() {
            return Err(NO_LINES_LEFT);
        }
        if left == strip(text) {
            return Ok(Cow::Borrowed(strip(text)));
        }
        let before = n_words(view);
        let removed = before.saturating_sub(n_words(&view.like(left)));
        if removed as f64 / before.max(1) as f64 > self.config.max_removed_words {
            return Err(TOO_MANY_WORDS_REMOVED);
        }
        Ok(Cow::Owned(left.to_owned()))
    }

    /// Whether the whole line goes.
    fn is_noise(&self, line: &str) -> bool {
        let (mut n_chars, mut n_upper, mut n_digits) = (0usize, 0usize, 0usize);
        for c in line.chars() {
            n_chars += 1;
            n_upper += usize::from(c.is_uppercase());
            n_digits += usize::from(CHARS.flags(c) & ANY_DIGIT != 0);
        }
        n_upper as f64 / n_chars as f64 > self.config.max_uppercase
            || n_digits as f64 / n_chars as f64 > self.config.max_digits
            || self.config.drop_counters && COUNTER.is_match(line)
            || words(line).take(self.config.min_words_per_line).count() < self.config.min_words_per_line
    }

    /// The line without the phrases, or none if it has none of them.
    fn cut(&self, line: &str) -> Option<String> {
        if words(line).take(self.config.short_line_words.saturating_add(1)).count()
            > self.config.short_line_words
        {
            return None;
        }
        let mut rest = Cow::Borrowed(line);
        for cut in &self.cuts {
            if let Cow::Owned(shorter) = cut.replace_all(&rest, "") {
                rest = Cow::Owned(shorter);
            }
        }
        match rest {
            Cow::Owned(rest) => Some(rest),
            Cow::Borrowed(_) => None,
        }
    }
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(is_space).filter(|word| !word.is_empty())
}

fn n_words(view: &WordView) -> usize {
    view.words().iter().filter(|word| word.has_non_symbol()).count()
}

impl Map for ByLanguage<Rules> {
    fn map(&self, documents: Documents) -> Result<(Documents, Vec<Verdict>), StageError> {
        judge::rewrites(documents, self, Rules::rewrite)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rewrite(config: &LineQuality, text: &str) -> Result<String, Reason> {
        let rules = Rules::new(config).unwrap();
        rules.rewrite(text, &WordView::new(text, None)).map(Cow::into_owned)
    }

    /// 70 words.
    fn prose() -> String {
        ["Wheels turn and the stones grind corn"; 10].join("\n")
    }

    #[test]
    fn lines_that_go() {
        for line in [
            "HOME CONTACT",
            "ABOUT us NOW",
            "2024",
            "٢٠٢٤",
            "3 likes",
            "» 1.2K Shares!",
            "12,345 VIEWS",
            "Subscribe",
            "Read more...",
            "  Read More…",
            "SIGN-IN",
            "Sign-in ",
            "items in cart",
        ] {
            let expected = Ok(format!("{}\n\nand so on", prose()));
            assert_eq!(
                rewrite(&LineQuality::default(), &format!("{}\n{line}\n\nand so on", prose())),
                expected,
                "{line}"
            );
        }
    }

    #[test]
    fn lines_that_stay() {
        for line in [
            "A Good Heading",
            "It has 3 likes and more",
            "3 stars",
            "10 km",
            "NATO meets",
            "to read more... we went on",
        ] {
            let text = format!("{}\n{line}", prose());
            assert_eq!(rewrite(&LineQuality::default(), &text), Ok(text), "{line}");
        }
    }

    #[test]
    fn phrases_are_cut_out_of_short_lines_only() {
        let cut = |line: &str| rewrite(&LineQuality::default(), &format!("{}\n{line}", prose()));
        assert_eq!(
            cut("The mill burnt down. Read more..."),
            Ok(format!("{}\nThe mill burnt down.", prose()))
        );
        assert_eq!(cut("Sign-in for our letters"), Ok(format!("{}\nfor our letters", prose())));
        assert_eq!(cut("You have 2 Items In Cart now"), Ok(format!("{}\nYou have 2 now", prose())));
        let long = "In the year in which the old mill burnt down, we read more...";
        assert_eq!(cut(long), Ok(format!("{}\n{long}", prose())));
    }

    #[test]
    fn every_reason() {
        assert_eq!(rewrite(&LineQuality::default(), ""), Err(NO_LINES_LEFT));
        assert_eq!(rewrite(&LineQuality::default(), "HOME\n\n12\n3 likes"), Err(NO_LINES_LEFT));
        // 3 of 73 words may go, 4 of 74 may not.
        let text = format!("{}\nABOUT US NOW", prose());
        assert_eq!(rewrite(&LineQuality::default(), &text), Ok(prose()));
        let text = format!("{}\nABOUT US RIGHT NOW", prose());
        assert_eq!(rewrite(&LineQuality::default(), &text), Err(TOO_MANY_WORDS_REMOVED));
        let lenient = LineQuality { max_removed_words: 1.0, ..LineQuality::default() };
        assert_eq!(rewrite(&lenient, &text), Ok(prose()));
    }

    #[test]
    fn every_rule_can_be_turned_off() {
        let off = LineQuality {
            max_uppercase: 1.0,
            max_digits: 1.0,
            drop_counters: false,
            min_words_per_line: 0,
            cut_anywhere: Vec::new(),
            cut_at_end: Vec::new(),
            cut_at_start: Vec::new(),
            ..LineQuality::default()
        };
        let text = "HOME\n12\n3 likes\nSign-in\nRead more...\n2 items in cart";
        assert_eq!(rewrite(&off, text), Ok(text.to_owned()));
    }

    #[test]
    fn mistakes_are_named() {
        let context = BuildContext { base: ".".into(), seed: 0 };
        let message = |config: LineQuality| config.build(&context).err().unwrap().to_string();
        let empty = LineQuality { cut_at_end: vec![" ".into()], ..LineQuality::default() };
        assert!(message(empty).contains("`cut_at_end`"));
        let nan = LineQuality { max_digits: f64::NAN, ..LineQuality::default() };
        assert!(message(nan).contains("max_digits"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn without_phrases_lines_stay_whole_or_go(text in "[a-zA-Z0-9 .\n…é]{0,80}") {
            let config = LineQuality {
                max_removed_words: 1.0,
                cut_anywhere: Vec::new(),
                cut_at_end: Vec::new(),
                cut_at_start: Vec::new(),
                ..LineQuality::default()
            };
            let Ok(left) = rewrite(&config, &text) else { return Ok(()) };
            let mut lines = text.split('\n');
            for line in left.split('\n') {
                prop_assert!(lines.any(|whole| strip(whole) == strip(line)), "{line:?} of {text:?}");
            }
        }
    }
}
