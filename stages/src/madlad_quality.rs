//! `madlad_quality`: drops documents in which too many sentences look wrong.

use std::ops::Range;

use gristmill_corpus::columns;
use regex::RegexSet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::by_language::{self, ByLanguage, Overrides, label};
use crate::documents::Documents;
use crate::fasttext::Model;
use crate::judge;
use crate::lines::{is_space, split_at_newlines, strip};
use crate::models;
use crate::stage::{
    BuildContext, Declares, Filter, Reason, Runtime, Shape, StageConfig, StageError, Verdict,
};
use crate::words::WordView;

/// Drops documents in which too many sentences look wrong: in another language than the document, lists of names, very short or long,
/// full of digits and brackets, or with a phrase that marks rubbish.
///
/// From MADLAD-400 (Kudugunta et al. 2023, arXiv 2309.04662, section 2, and the data card): the rules for sentences that made its clean part
/// out of its noisy part, and their values. The paper leaves open what a sentence and a token are. Here, sentences end at line feeds too, and
/// lose whitespace at their ends; tokens stand between whitespace. The paper takes the language of most sentences for the document's; here it is
/// what the `language` column says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MadladQuality {
    /// Drop a document with fewer sentences than this. MADLAD: 5; 0 turns it off. Reason `too_few_sentences`.
    pub min_sentences: usize,
    /// Drop a document in which more than this share of the sentences is questionable, by any of the rules below. MADLAD: 0.2. Reason
    /// `questionable_sentences`.
    pub max_questionable_sentences: f64,
    /// A sentence is questionable if its own language is not the document's. MADLAD: yes. Needs the `language` column, and costs a look at every
    /// sentence.
    pub check_language: bool,
    /// The model that finds a sentence's language: the one that wrote the `language` column, or the labels never agree.
    pub model: String,
    /// A sentence is questionable with fewer characters than this. MADLAD: 20, which does not suit Chinese and Japanese; 0 turns it off.
    pub min_sentence_length: usize,
    /// A sentence is questionable with more characters than this. MADLAD: 500.
    pub max_sentence_length: usize,
    /// A sentence is questionable if more than this share of its tokens begins with a capital (an upper-case letter). MADLAD: 0.5; 1 turns
    /// it off.
    pub max_capitalised_tokens: f64,
    /// The rule about capitals is for sentences of at least this many tokens. MADLAD: 12.
    pub list_case_tokens: usize,
    /// A sentence is questionable if more than this share of its characters is a digit or one of `{}+/()>`. MADLAD: 0.2; 1 turns it off.
    pub max_technical_chars: f64,
    /// A sentence is questionable if one of these regular expressions is found in it. MADLAD: 31 phrases and patterns, among them filler Latin,
    /// `Facebook`, `ownload`, single letters in a row; they were found by looking at English and Russian pages above all. They are searched for in
    /// the sentence with a space before and after it, so that words with spaces around them are found at its ends.
    pub cursed_patterns: Vec<String>,
    /// Other values by language: a table of the keys above for a label of the `language` column, as `[stage.overrides.zh]`. Keys that it
    /// leaves out, and languages without a table, have the values above.
    #[serde(skip_serializing_if = "Overrides::is_empty")]
    pub overrides: Overrides,
}

/// Facts of the paper's list of substrings and patterns.
const CURSED: [&str; 31] = [
    " №",
    "\u{FFFD}\u{FFFD}\u{FFFD}",
    r"\|\s*$",
    r" nr\.\s*$",
    "aute irure dolor ",
    " sunt in culpa qui ",
    "orem ipsum ",
    " quis nostrud ",
    " adipisicing ",
    " dolore eu ",
    " cupidatat ",
    "autem vel eum",
    "wisi enim ad",
    " sex ",
    " porn ",
    "黄色电影",
    "mp3",
    "ownload",
    r"Vol\.",
    r" Ep\.",
    "Episode",
    r" г\.\s*$",
    r" кг\.\s*$",
    r" шт\.",
    "Develop",
    "Facebook",
    " crusher ",
    " xxx ",
    r" (?:\.{3,4} ){8}\.{3,4}",
    r"(?: [^ ]){9}",
    r"(?:, ..,,? ..,,? ..,,? ..,,?)",
];

impl Default for MadladQuality {
    fn default() -> Self {
        Self {
            min_sentences: 5,
            max_questionable_sentences: 0.2,
            check_language: true,
            model: models::LANGUAGES.to_owned(),
            min_sentence_length: 20,
            max_sentence_length: 500,
            max_capitalised_tokens: 0.5,
            list_case_tokens: 12,
            max_technical_chars: 0.2,
            cursed_patterns: CURSED.map(String::from).into(),
            overrides: Overrides::new(),
        }
    }
}

const TOO_FEW_SENTENCES: Reason = "too_few_sentences";
const QUESTIONABLE_SENTENCES: Reason = "questionable_sentences";

impl StageConfig for MadladQuality {
    const KIND: &'static str = "madlad_quality";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Filter;
    const REASONS: &'static [Reason] = &[TOO_FEW_SENTENCES, QUESTIONABLE_SENTENCES];

    fn declares(&self) -> Declares {
        let mut declares = by_language::declares(&self.overrides, judge::declares());
        if self.check_language {
            declares.files = models::files(&self.model);
            declares.reads.push(columns::LANGUAGE.to_owned());
            declares.reads.dedup();
        }
        declares
    }

    fn build(&self, context: &BuildContext) -> Result<Runtime, StageError> {
        let rules = ByLanguage::new(self, &self.overrides, Rules::new)?;
        let has_own_model = |keys: &serde_json::Map<String, serde_json::Value>| {
            keys.contains_key("model") || keys.contains_key("check_language")
        };
        if self.overrides.values().any(has_own_model) {
            return Err(StageError::Config(
                "`model` and `check_language` in `madlad_quality` are the same for all languages: take them out of `overrides`"
                    .into(),
            ));
        }
        let model = self.check_language.then(|| models::open(&self.model, context)).transpose()?;
        Ok(Runtime::Filter(Box::new(Judge { rules, model })))
    }
}

/// The settings of a language with their patterns.
struct Rules {
    config: MadladQuality,
    cursed: RegexSet,
}

struct Judge {
    rules: ByLanguage<Rules>,
    model: Option<Model>,
}

impl Filter for Judge {
    fn verdicts(&self, documents: &Documents) -> Result<Vec<Verdict>, StageError> {
        let texts = documents.strings(columns::TEXT)?;
        let languages = match &self.model {
            Some(_) => Some(documents.strings(columns::LANGUAGE)?),
            None => self.rules.languages(documents)?,
        };
        models::with_scratch(|scratch| {
            let verdict = |row: usize| {
                let language = label(languages, row);
                let mut differs = |sentence: &str| {
                    self.model.as_ref().is_some_and(|model| {
                        let best = model.best(sentence, scratch).map(|best| model.label(best.label));
                        best != language
                    })
                };
                let rules = self.rules.of(language);
                Ok(rules.verdict(texts.value(row), documents.words(row)?, &mut differs).into())
            };
            (0..documents.len()).map(verdict).collect()
        })
    }
}

impl Rules {
    fn new(config: &MadladQuality) -> Result<Self, StageError> {
        judge::check_limits(
            MadladQuality::KIND,
            &[
                ("max_questionable_sentences", config.max_questionable_sentences),
                ("max_capitalised_tokens", config.max_capitalised_tokens),
                ("max_technical_chars", config.max_technical_chars),
            ],
        )?;
        let cursed = RegexSet::new(&config.cursed_patterns).map_err(|error| {
            StageError::Config(format!(
                "`cursed_patterns` in `madlad_quality` cannot be searched for: {error}"
            ))
        })?;
        Ok(Self { config: config.clone(), cursed })
    }

    /// Why a document is dropped, or none. `view` holds the words of `text`; `differs` says whether a sentence is in another
    /// language.
    fn verdict(&self, text: &str, view: &WordView, differs: &mut dyn FnMut(&str) -> bool) -> Option<Reason> {
        let (mut n, mut n_questionable) = (0usize, 0usize);
        let mut padded = String::new();
        for sentence in sentences(text, view.sentences(text)) {
            n += 1;
            n_questionable += usize::from(self.is_questionable(sentence, &mut padded) || differs(sentence));
        }
        if n < self.config.min_sentences {
            return Some(TOO_FEW_SENTENCES);
        }
        let share = n_questionable as f64 / n.max(1) as f64;
        (share > self.config.max_questionable_sentences).then_some(QUESTIONABLE_SENTENCES)
    }

    fn is_questionable(&self, sentence: &str, padded: &mut String) -> bool {
        let config = &self.config;
        let (mut n_chars, mut n_technical) = (0usize, 0usize);
        for c in sentence.chars() {
            n_chars += 1;
            n_technical += usize::from(matches!(c, '0'..='9' | '{' | '}' | '+' | '/' | '(' | ')' | '>'));
        }
        if n_chars < config.min_sentence_length
            || n_chars > config.max_sentence_length
            || n_technical as f64 / n_chars as f64 > config.max_technical_chars
        {
            return true;
        }
        let (mut n_tokens, mut n_capitals) = (0usize, 0usize);
        for token in sentence.split(is_space).filter(|token| !token.is_empty()) {
            n_tokens += 1;
            n_capitals += usize::from(token.starts_with(char::is_uppercase));
        }
        if n_tokens >= config.list_case_tokens
            && n_capitals as f64 / n_tokens.max(1) as f64 > config.max_capitalised_tokens
        {
            return true;
        }
        padded.clear();
        padded.extend([" ", sentence, " "]);
        self.cursed.is_match(padded)
    }
}

/// The sentences without whitespace at their ends, cut at line feeds too; none is empty.
fn sentences(text: &str, ranges: Vec<Range<usize>>) -> impl Iterator<Item = &str> {
    let lines = ranges.into_iter().flat_map(|range| split_at_newlines(&text[range], 1));
    lines.map(strip).filter(|sentence| !sentence.is_empty())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, LargeStringArray, RecordBatch};
    use gristmill_corpus::DocBatch;
    use serde_json::json;

    use super::*;

    const GOOD: &str = "The mill by the river is very old. Its wheel still turns when the water is high.\n\
        Every morning the miller opens the gate. Then the stones begin to grind the corn.\nNobody knows who built it.";

    fn verdicts(config: &MadladQuality, rows: &[(&str, &str)]) -> Vec<Verdict> {
        let columns: [(&str, ArrayRef); 2] = [
            ("language", Arc::new(LargeStringArray::from_iter_values(rows.iter().map(|row| row.0)))),
            ("text", Arc::new(LargeStringArray::from_iter_values(rows.iter().map(|row| row.1)))),
        ];
        let batch = DocBatch::new(RecordBatch::try_from_iter(columns).unwrap()).unwrap();
        let context = BuildContext { base: ".".into(), seed: 0 };
        let Runtime::Filter(filter) = config.build(&context).unwrap() else { panic!("a filter") };
        filter.verdicts(&Documents::new(batch)).unwrap()
    }

    /// Two bad sentences beside five good ones are too many.
    fn check(bad: &str, is_bad: bool) {
        let config = MadladQuality { check_language: false, ..MadladQuality::default() };
        let text = format!("{GOOD}\n{bad}\n{bad}");
        let expected = if is_bad { Verdict::Drop(QUESTIONABLE_SENTENCES) } else { Verdict::Keep };
        assert_eq!(verdicts(&config, &[("en", &text)]), [expected], "{bad}");
    }

    #[test]
    fn questionable_sentences() {
        check("This one is as good as the others are.", false);
        check("Too short.", true);
        check(&format!("This {} is far too long", "sentence about the mill ".repeat(25)), true);
        check("It weighs (2,500 + 1,300) / 2 of them", true);
        check("In 1786 it burnt down to the ground", false);
        check("John Smith Mary Jones Peter Miller Ann Baker Tom Cooper Jane Fisher", true);
        check("John Smith Mary Jones Peter Miller Ann Baker met", false);
        for bad in [
            "You can Download it from our pages",
            "lorem ipsum dolor sit amet and so on",
            "Home and garden and everything |",
            "We like it very much on Facebook",
            "Now and then A N T S P E A K is what they do",
            "price of the thing №",
            "It all goes on ... ... ... ... ... ... ... ... ...",
            "codes are these, US, DE,, FR, IT, all",
            "All they ever talked about was sex",
        ] {
            check(bad, true);
        }
        check("They came from Essex and from Middlesex", false);
    }

    #[test]
    fn every_reason_and_the_language_of_sentences() {
        let config = MadladQuality::default();
        assert_eq!(config.declares().reads, ["text", "language"]);
        let short = "This is one good sentence. This is a second one.";
        let mixed =
            format!("{GOOD}\nDer Müller öffnet jeden Morgen das Tor.\nLe moulin est au bord de la rivière.");
        let found = verdicts(&config, &[("en", GOOD), ("en", short), ("en", &mixed), ("de", GOOD), ("", "")]);
        let [few, bad] = [TOO_FEW_SENTENCES, QUESTIONABLE_SENTENCES].map(Verdict::Drop);
        assert_eq!(found, [Verdict::Keep, few, bad, bad, few]);
        let blind = MadladQuality { check_language: false, ..config };
        assert_eq!(verdicts(&blind, &[("en", &mixed)]), [Verdict::Keep]);
    }

    #[test]
    fn languages_have_their_own_settings() {
        let config: MadladQuality =
            serde_json::from_value(json!({"overrides": {"zh": {"min_sentence_length": 4}}})).unwrap();
        let text =
            "这座磨坊很老了。水轮还在转动。每天早上他打开闸门。然后石头开始磨玉米。没有人知道谁建了它。";
        assert_eq!(verdicts(&config, &[("zh", text)]), [Verdict::Keep]);
        let same_for_all = MadladQuality { ..MadladQuality::default() };
        assert_eq!(verdicts(&same_for_all, &[("zh", text)]), [Verdict::Drop(QUESTIONABLE_SENTENCES)]);
    }

    #[test]
    fn mistakes_are_named() {
        let message = |keys: serde_json::Value| {
            let config: MadladQuality = serde_json::from_value(keys).unwrap();
            config.build(&BuildContext { base: ".".into(), seed: 0 }).err().unwrap().to_string()
        };
        assert!(message(json!({"cursed_patterns": ["("]})).contains("cursed_patterns"));
        assert!(message(json!({"max_technical_chars": -1.0})).contains("max_technical_chars = -1"));
        assert!(message(json!({"model": "gone.bin"})).contains("gone.bin"));
        assert!(message(json!({"overrides": {"de": {"model": "x.bin"}}})).contains("the same for all"));
    }
}
