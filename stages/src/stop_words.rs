//! `stop_words`: drops text without function words: lists, menus, keywords.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::Array;
use gristmill_corpus::columns;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::documents::Documents;
use crate::judge;
use crate::stage::{
    BuildContext, Declares, Filter, Reason, Runtime, Shape, StageConfig, StageError, Verdict,
};
use crate::words::WordView;

/// Drops documents that hold too few of their language's stop words (articles, prepositions, conjunctions): sentences cannot do without
/// them, lists of products and keywords can.
///
/// From ROOTS (Laurençon et al. 2022, arXiv 2303.03915, section 3.2), which asks for a share, and DCLM (Li et al. 2024, arXiv 2406.11794), which
/// asks for a number and counts repeats; `gopher_quality` asks for different ones. Words are those of `gopher_quality`, compared in
/// lower case. No list comes with Gristmill: the most frequent words of text that you trust make one; FineWeb2 takes those with more than
/// 0.8 % of all words.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StopWords {
    /// The stop words by label of the `language` column, as `{ de = ["der", "die", "und"] }`. A document of another language stays.
    pub words: BTreeMap<String, Vec<String>>,
    /// Drop a document in which a smaller share of the words than this is stop words. ROOTS: 0.05 to 0.3 by language, chosen by speakers; 0, the
    /// default, turns it off. Reason `too_few_stop_words`.
    pub min_share: f64,
    /// Drop a document with fewer stop words than this, repeats counted. DCLM: 2; 0, the default, turns it off. Reason
    /// `too_few_stop_words`.
    pub min_count: usize,
}

const TOO_FEW_STOP_WORDS: Reason = "too_few_stop_words";

impl StageConfig for StopWords {
    const KIND: &'static str = "stop_words";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Filter;
    const REASONS: &'static [Reason] = &[TOO_FEW_STOP_WORDS];

    fn declares(&self) -> Declares {
        let mut declares = judge::declares();
        declares.reads.push(columns::LANGUAGE.to_owned());
        declares
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        let wrong = |message: String| Err(StageError::Config(message));
        judge::check_limits(Self::KIND, &[("min_share", self.min_share)])?;
        if self.min_share > 1.0 {
            return wrong(format!(
                "`min_share = {}` in `stop_words` is no share: up to 1 works",
                self.min_share
            ));
        }
        if self.min_share == 0.0 && self.min_count == 0 {
            return wrong("`stop_words` drops nothing: give `min_share` or `min_count`".into());
        }
        if self.words.is_empty() {
            return wrong("no words in `stop_words`: `words` has a list a language".into());
        }
        if let Some((language, _)) = self.words.iter().find(|(_, words)| words.is_empty()) {
            return wrong(format!(
                "`words.{language}` in `stop_words` is empty and would drop all: leave it out"
            ));
        }
        let lower = |words: &Vec<String>| words.iter().map(|word| word.to_lowercase()).collect();
        let lists = self.words.iter().map(|(language, words)| (language.clone(), lower(words))).collect();
        Ok(Runtime::Filter(Box::new(StopWordShare {
            lists,
            min_share: self.min_share,
            min_count: self.min_count,
        })))
    }
}

struct StopWordShare {
    lists: BTreeMap<String, BTreeSet<String>>,
    min_share: f64,
    min_count: usize,
}

impl Filter for StopWordShare {
    fn verdicts(&self, documents: &Documents) -> Result<Vec<Verdict>, StageError> {
        let texts = documents.strings(columns::TEXT)?;
        let languages = documents.strings(columns::LANGUAGE)?;
        let verdict = |row: usize| {
            let list = Some(row)
                .filter(|&row| languages.is_valid(row))
                .and_then(|row| self.lists.get(languages.value(row)));
            let Some(list) = list else { return Ok(Verdict::Keep) };
            Ok(self.verdict(list, texts.value(row), documents.words(row)?).into())
        };
        (0..documents.len()).map(verdict).collect()
    }
}

impl StopWordShare {
    fn verdict(&self, list: &BTreeSet<String>, text: &str, view: &WordView) -> Option<Reason> {
        let (mut n, mut n_stop) = (0usize, 0usize);
        for (word, string) in view.words().iter().zip(view.strings(text)) {
            if word.has_non_symbol() {
                n += 1;
                n_stop += usize::from(if string.chars().any(char::is_uppercase) {
                    list.contains(&string.to_lowercase())
                } else {
                    list.contains(string)
                });
            }
        }
        let too_few = n_stop < self.min_count || (n_stop as f64) < self.min_share * n as f64;
        too_few.then_some(TOO_FEW_STOP_WORDS)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, LargeStringArray, RecordBatch};
    use gristmill_corpus::DocBatch;
    use serde_json::{Value, json};

    use super::*;

    fn config(keys: Value) -> StopWords {
        serde_json::from_value(keys).unwrap()
    }

    fn dropped(config: &StopWords, rows: &[(Option<&str>, &str)]) -> Vec<bool> {
        let columns: [(&str, ArrayRef); 2] = [
            ("language", Arc::new(rows.iter().map(|row| row.0).collect::<LargeStringArray>())),
            ("text", Arc::new(LargeStringArray::from_iter_values(rows.iter().map(|row| row.1)))),
        ];
        let batch =
            RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true)));
        let context = BuildContext { base: ".".into(), seed: 0 };
        let Runtime::Filter(filter) = config.build(&context).unwrap() else { panic!("a filter") };
        let documents = Documents::new(DocBatch::new(batch.unwrap()).unwrap());
        let verdicts = filter.verdicts(&documents).unwrap();
        verdicts.into_iter().map(|verdict| verdict == Verdict::Drop(TOO_FEW_STOP_WORDS)).collect()
    }

    #[test]
    fn each_language_has_its_words() {
        let words = json!({"de": ["der", "und", "die", "DAS"], "zh": ["在", "还"]});
        let rows = [
            (Some("de"), "Der Müller und das Mehl, die Mühle."),
            (Some("de"), "Mühlen Preise Angebote Lieferung Kontakt"),
            (Some("zh"), "老磨坊在河边，水轮还在转动。"),
            (Some("zh"), "磨坊 水轮 石头"),
            (Some("fr"), "Moulins prix livraison"),
            (None, "Mühlen Preise"),
        ];
        let expected = [false, true, false, true, false, false];
        assert_eq!(dropped(&config(json!({"words": words, "min_share": 0.2})), &rows), expected);
        assert_eq!(dropped(&config(json!({"words": words, "min_count": 2})), &rows), expected);
    }

    #[test]
    fn bounds_hold_at_their_edges_and_repeats_count() {
        let rows = [(Some("en"), "the mill the mill the mill the mill")];
        let share = |min_share: f64| config(json!({"words": {"en": ["the"]}, "min_share": min_share}));
        assert_eq!(dropped(&share(0.5), &rows), [false]);
        assert_eq!(dropped(&share(0.51), &rows), [true]);
        let count = |min_count: usize| config(json!({"words": {"en": ["the"]}, "min_count": min_count}));
        assert_eq!(dropped(&count(4), &rows), [false]);
        assert_eq!(dropped(&count(5), &rows), [true]);
    }

    #[test]
    fn mistakes_are_named() {
        for (keys, part) in [
            (json!({"words": {"en": ["the"]}}), "drops nothing"),
            (json!({"min_share": 0.1}), "no words"),
            (json!({"words": {"en": []}, "min_count": 1}), "`words.en`"),
            (json!({"words": {"en": ["the"]}, "min_share": 5.0}), "min_share = 5"),
        ] {
            let error = config(keys).build(&BuildContext { base: ".".into(), seed: 0 }).err().unwrap();
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
