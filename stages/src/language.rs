//! `language`: finds the language of each document and keeps the wanted ones.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Float64Array, LargeStringArray};
use gristmill_corpus::columns;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::documents::Documents;
use crate::fasttext::{Model, Scratch};
use crate::models;
use crate::stage::{BuildContext, Declares, Map, Reason, Runtime, Shape, StageConfig, StageError, Verdict};

/// Writes `language` and `language_score`, the best label of a fastText model and its probability, and drops documents in other
/// languages.
///
/// The semantics are datatrove's LanguageFilter: line feeds count as spaces; a document stays if the probability of a wanted
/// language is strictly above the threshold. It is dropped as `language_score_too_low` where the best label is a wanted one, and as
/// `language_not_wanted` where it is another. With the default threshold a document can pass for its best label only.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Language {
    /// The model: `lid.176.ftz`, which is built in (176 languages), or a path to any supervised fastText `.bin` or `.ftz`.
    pub model: String,
    /// Labels to keep, without `__label__`, as `["en"]`. Empty keeps every language.
    pub languages: Vec<String>,
    /// A document stays only if the score is strictly above this. 0.65 is FineWeb's.
    pub threshold: f64,
    /// Only write the columns; drop nothing.
    pub label_only: bool,
    /// Labels whose probability is written too, each as a column `language_score_LABEL`, whatever the best label is: `["en", "de"]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub score_columns: Vec<String>,
}

impl Default for Language {
    fn default() -> Self {
        Self {
            model: models::LANGUAGES.to_owned(),
            languages: Vec::new(),
            threshold: 0.65,
            label_only: false,
            score_columns: Vec::new(),
        }
    }
}

/// The best label is not among the wanted ones.
pub const NOT_WANTED: Reason = "language_not_wanted";
/// The best label is wanted (or any is), but not sure enough.
pub const SCORE_TOO_LOW: Reason = "language_score_too_low";

/// The column that holds the score of one label.
fn score_column(label: &str) -> String {
    format!("{}_{label}", columns::LANGUAGE_SCORE)
}

impl StageConfig for Language {
    const KIND: &'static str = "language";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Map;
    const REASONS: &'static [Reason] = &[NOT_WANTED, SCORE_TOO_LOW];

    fn declares(&self) -> Declares {
        let mut writes = vec![columns::LANGUAGE.to_owned(), columns::LANGUAGE_SCORE.to_owned()];
        writes.extend(self.score_columns.iter().map(|label| score_column(label)));
        Declares {
            reads: vec![columns::TEXT.to_owned()],
            writes,
            files: models::files(&self.model),
            ..Declares::default()
        }
    }

    fn build(&self, context: &BuildContext) -> Result<Runtime, StageError> {
        if !(0.0..=1.0).contains(&self.threshold) {
            return Err(StageError::Config(format!(
                "`threshold` is {}; a probability from 0 to 1 works",
                self.threshold
            )));
        }
        let model = models::open(&self.model, context)?;
        let labels = |wanted| models::labels(&model, &self.model, "language", wanted);
        let (wanted, scored) = (labels(&self.languages)?, labels(&self.score_columns)?);
        Ok(Runtime::Map(Box::new(Detector { config: self.clone(), model, wanted, scored })))
    }
}

/// The loaded model.
struct Detector {
    config: Language,
    model: Model,
    /// The labels to keep.
    wanted: Vec<usize>,
    /// The labels with a score column.
    scored: Vec<usize>,
}

impl Detector {
    /// Best label and its score, at most 1, and the verdict. A text without any feature has the empty label.
    fn judge(&self, text: &str, scratch: &mut Scratch) -> (&str, f64, Verdict) {
        let Some(best) = self.model.best(text, scratch) else {
            let verdict = if self.config.label_only { Verdict::Keep } else { Verdict::Drop(SCORE_TOO_LOW) };
            return ("", 0.0, verdict);
        };
        let score = best.probability as f64;
        let is_wanted = self.wanted.is_empty() || self.wanted.contains(&best.label);
        let is_sure = score > self.config.threshold;
        let passes = |label: usize, scratch: &mut Scratch| {
            let probability = self.model.probability(text, label, scratch);
            probability.is_some_and(|probability| probability as f64 > self.config.threshold)
        };
        // No label scores above the best one, and two above one half would add up to more than 1.
        let another_passes = |scratch: &mut Scratch| {
            self.config.threshold < 0.5 && self.wanted.iter().any(|&label| passes(label, scratch))
        };
        let keeps = self.config.label_only || (is_sure && (is_wanted || another_passes(scratch)));
        let verdict = match (keeps, is_wanted) {
            (true, _) => Verdict::Keep,
            (false, true) => Verdict::Drop(SCORE_TOO_LOW),
            (false, false) => Verdict::Drop(NOT_WANTED),
        };
        (self.model.label(best.label), score.min(1.0), verdict)
    }
}

impl Map for Detector {
    fn map(&self, documents: Documents) -> Result<(Documents, Vec<Verdict>), StageError> {
        let texts = documents.strings(columns::TEXT)?;
        let n = documents.len();
        let (mut labels, mut scores, mut verdicts) =
            (Vec::with_capacity(n), Vec::with_capacity(n), Vec::with_capacity(n));
        let mut scores_of = vec![Vec::with_capacity(n); self.scored.len()];
        models::with_scratch(|scratch| {
            for text in texts {
                let text = text.unwrap_or("");
                let (label, score, verdict) = self.judge(text, scratch);
                labels.push(Cow::Borrowed(label));
                scores.push(score);
                verdicts.push(verdict);
                for (scores, &label) in scores_of.iter_mut().zip(&self.scored) {
                    let probability = self.model.probability(text, label, scratch).unwrap_or(0.0);
                    scores.push((probability as f64).min(1.0));
                }
            }
        });
        let labels = LargeStringArray::from_iter_values(labels);
        let mut documents = documents
            .with_column(columns::LANGUAGE, Arc::new(labels))?
            .with_column(columns::LANGUAGE_SCORE, Arc::new(Float64Array::from(scores)))?;
        for (label, scores) in self.config.score_columns.iter().zip(scores_of) {
            documents = documents.with_column(&score_column(label), Arc::new(Float64Array::from(scores)))?;
        }
        Ok((documents, verdicts))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use arrow::array::{ArrayRef, RecordBatch};
    use gristmill_corpus::DocBatch;
    use proptest::prelude::*;

    use super::*;

    fn context() -> BuildContext {
        BuildContext { base: PathBuf::from("."), seed: 0 }
    }

    fn documents(texts: &[&str]) -> Documents {
        let column: ArrayRef = Arc::new(LargeStringArray::from(texts.to_vec()));
        Documents::new(DocBatch::new(RecordBatch::try_from_iter([(columns::TEXT, column)]).unwrap()).unwrap())
    }

    fn run(config: &Language, texts: &[&str]) -> Vec<(String, f64, Verdict)> {
        let Runtime::Map(stage) = config.build(&context()).unwrap() else { panic!("a map") };
        let (documents, verdicts) = stage.map(documents(texts)).unwrap();
        let labels = documents.strings(columns::LANGUAGE).unwrap();
        let scores = documents.batch().column(columns::LANGUAGE_SCORE).unwrap();
        let scores = scores.as_any().downcast_ref::<Float64Array>().unwrap();
        (0..texts.len()).map(|row| (labels.value(row).to_owned(), scores.value(row), verdicts[row])).collect()
    }

    const ENGLISH: &str = "The committee will meet again\non Thursday morning to discuss the budget.";
    const FRENCH: &str = "Le comité se réunira de nouveau jeudi matin pour discuter du budget.";

    #[test]
    fn wanted_languages_stay_and_others_go() {
        let config = Language { languages: vec!["en".into()], ..Language::default() };
        let found = run(&config, &[ENGLISH, FRENCH, "x", ""]);
        assert_eq!((found[0].0.as_str(), found[0].2), ("en", Verdict::Keep));
        assert_eq!((found[1].0.as_str(), found[1].2), ("fr", Verdict::Drop(NOT_WANTED)));
        assert_eq!((found[2].0.as_str(), found[2].2), ("en", Verdict::Drop(SCORE_TOO_LOW)));
        assert!(found[0].1 > 0.65 && found[0].1 <= 1.0);
        let any = run(&Language::default(), &[ENGLISH, FRENCH]);
        assert!(any.iter().all(|row| row.2 == Verdict::Keep));
        let labels = Language { label_only: true, ..config };
        assert!(run(&labels, &[FRENCH, ""]).iter().all(|row| row.2 == Verdict::Keep));
    }

    #[test]
    fn a_wanted_second_label_passes_a_low_threshold() {
        let config = Language { languages: vec!["fr".into()], threshold: 0.01, ..Language::default() };
        let mixed = format!("{ENGLISH} {FRENCH}");
        assert!(run(&config, &[&mixed])[0].2 == Verdict::Keep);
    }

    #[test]
    fn the_scores_of_several_languages_are_written() {
        let config = Language {
            score_columns: vec!["fr".into(), "en".into()],
            label_only: true,
            ..Language::default()
        };
        let writes = ["language", "language_score", "language_score_fr", "language_score_en"];
        assert_eq!(config.declares().writes, writes);
        let Runtime::Map(stage) = config.build(&context()).unwrap() else { panic!("a map") };
        let (documents, _) = stage.map(documents(&[ENGLISH, FRENCH, ""])).unwrap();
        let scores = |name: &str| {
            let column = documents.batch().column(name).unwrap();
            column.as_any().downcast_ref::<Float64Array>().unwrap().values().to_vec()
        };
        let (best, french, english) = (scores(writes[1]), scores(writes[2]), scores(writes[3]));
        assert!((english[0] - best[0]).abs() < 1e-6 && (french[1] - best[1]).abs() < 1e-6);
        assert!(english[1] < 0.2 && french[0] < 0.2);
        // fastText reads an empty text as the end of a line, which the model knows.
        assert!((english[2] - best[2]).abs() < 1e-6 && best[2] < 0.65);
    }

    #[test]
    fn the_threshold_itself_is_not_enough() {
        let score = run(&Language::default(), &["x"])[0].1;
        let at = |threshold| run(&Language { threshold, ..Language::default() }, &["x"])[0].2;
        assert_eq!(at(score), Verdict::Drop(SCORE_TOO_LOW));
        assert_eq!(at(score - 1e-9), Verdict::Keep);
    }

    #[test]
    fn mistakes_are_named() {
        let message = |config: Language| config.build(&context()).err().unwrap().to_string();
        let unknown = Language { languages: vec!["english".into()], ..Language::default() };
        assert!(message(unknown).contains("no language `english`"));
        let unknown = Language { score_columns: vec!["klingon".into()], ..Language::default() };
        assert!(message(unknown).contains("no language `klingon`"));
        let absent = Language { model: "no-such-model.bin".into(), ..Language::default() };
        assert!(message(absent).contains("no-such-model.bin"));
        assert!(message(Language { threshold: 65.0, ..Language::default() }).contains("65"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn a_verdict_depends_on_its_document_alone(texts in prop::collection::vec(any::<String>(), 1..6)) {
            let config = Language { languages: vec!["en".into(), "zh".into()], ..Language::default() };
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let together = run(&config, &texts);
            prop_assert_eq!(&together[texts.len() - 1..], &run(&config, &texts[texts.len() - 1..])[..]);
        }
    }
}
