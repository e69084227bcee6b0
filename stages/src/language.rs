//! `language`: finds the language of each document and keeps the wanted ones.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use arrow::array::{Float64Array, LargeStringArray};
use gristmill_corpus::columns;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::assets;
use crate::documents::Documents;
use crate::fasttext::{Model, Scratch};
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
}

impl Default for Language {
    fn default() -> Self {
        Self { model: Self::VENDORED.to_owned(), languages: Vec::new(), threshold: 0.65, label_only: false }
    }
}

/// The best label is not among the wanted ones.
pub const NOT_WANTED: Reason = "language_not_wanted";
/// The best label is wanted (or any is), but not sure enough.
pub const SCORE_TOO_LOW: Reason = "language_score_too_low";

impl Language {
    const VENDORED: &'static str = "lid.176.ftz";
}

impl StageConfig for Language {
    const KIND: &'static str = "language";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Map;
    const REASONS: &'static [Reason] = &[NOT_WANTED, SCORE_TOO_LOW];

    fn declares(&self) -> Declares {
        let is_vendored = assets::find(&self.model).is_some();
        Declares {
            reads: vec![columns::TEXT.to_owned()],
            writes: vec![columns::LANGUAGE.to_owned(), columns::LANGUAGE_SCORE.to_owned()],
            files: if is_vendored { Vec::new() } else { vec![self.model.clone()] },
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
        let model = match assets::find(&self.model) {
            Some(asset) => Model::from_bytes(asset.bytes),
            None => Model::open(&context.resolve(&self.model)),
        };
        let model = model.map_err(|error| StageError::Config(format!("`model`: {error}")))?;
        let find_label = |name: &String| {
            model.label_index(name).ok_or_else(|| {
                let labels: Vec<&str> = (0..model.n_labels()).map(|label| model.label(label)).collect();
                StageError::Config(format!(
                    "`{}` has no language `{name}`; it knows {}",
                    self.model,
                    labels.join(", ")
                ))
            })
        };
        let wanted = self.languages.iter().map(find_label).collect::<Result<Vec<_>, _>>()?;
        Ok(Runtime::Map(Box::new(Detector { config: self.clone(), model, wanted })))
    }
}

/// The loaded model and the labels to keep.
struct Detector {
    config: Language,
    model: Model,
    wanted: Vec<usize>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
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
        SCRATCH.with_borrow_mut(|scratch| {
            for text in texts {
                let (label, score, verdict) = self.judge(text.unwrap_or(""), scratch);
                labels.push(Cow::Borrowed(label));
                scores.push(score);
                verdicts.push(verdict);
            }
        });
        let labels = LargeStringArray::from_iter_values(labels);
        let documents = documents
            .with_column(columns::LANGUAGE, Arc::new(labels))?
            .with_column(columns::LANGUAGE_SCORE, Arc::new(Float64Array::from(scores)))?;
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
