//! `classify`: labels and scores documents by a fastText classifier, and drops those outside its bounds.

use std::sync::Arc;

use arrow::array::{Float64Array, Int64Array, LargeStringArray};
use gristmill_corpus::columns;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::documents::Documents;
use crate::fasttext::{Model, Scratch};
use crate::judge;
use crate::models;
use crate::stage::{
    ArtefactRef, BuildContext, Declares, Map, Reason, Runtime, Shape, StageConfig, StageError, Verdict,
};

/// Labels and scores documents by a supervised fastText model, as DCLM does for quality, and drops those outside the bounds.
///
/// Writes `<name>_label`, the likeliest label, and `<name>_score`, the probability of `label` (of the likeliest one where none is named);
/// with `bands` also `<name>_band`, the number of bounds that the score reaches. Below it, `where` routes by these columns:
/// `keep = "quality_band >= 3"`. Line feeds count as spaces. Every text ends in fastText's mark of a line's end, so that an empty one
/// has a label too; a text of which the model knows nothing has an empty label and score 0. No bound is set from the outset: a score
/// means what its model makes of it.
///
/// Bounds that were published: DCLM-Baseline (Li et al. 2024, arXiv 2406.11794, section 4.4) keeps a tenth of its documents, those whose
/// `hq` scores at least 0.018112 by its model `fasttext-oh-eli5`. FineWeb-Edu (Penedo et al. 2024, arXiv 2406.17557, section 4) keeps band 3 and
/// above of 0 to 5; its model is no fastText model. `gristmill classifier train` or the stage `classifier_train` makes a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Classify {
    /// A `.bin` or `.ftz` file, a folder with a `model.bin`, or `{ stage = "classifier_train" }` for what a stage above makes.
    pub model: ArtefactRef,
    /// What the columns' names begin with. Two classifiers in one recipe need two names.
    #[serde(default = "default_name")]
    pub name: String,
    /// The label whose probability is the score, without `__label__`. Empty: the likeliest one's.
    #[serde(default)]
    pub label: String,
    /// Drop a document with a lower score than this (one that has just this score stays). 0 drops none. Reason `score_too_low`.
    #[serde(default)]
    pub min_score: f64,
    /// Drop a document with a higher score than this, for classifiers of what is not wanted. 1 drops none. Reason `score_too_high`.
    #[serde(default = "default_max_score")]
    pub max_score: f64,
    /// Drop a document whose likeliest label is none of these. Empty keeps all. Reason `label_not_wanted`.
    #[serde(default)]
    pub keep_labels: Vec<String>,
    /// Bounds of bands, growing: a score that reaches none of them is in band 0, one that reaches the first in band 1, and so on.
    /// Empty writes no bands.
    #[serde(default)]
    pub bands: Vec<f64>,
}

fn default_name() -> String {
    "quality".to_owned()
}

fn default_max_score() -> f64 {
    1.0
}

const LABEL_NOT_WANTED: Reason = "label_not_wanted";
const SCORE_TOO_HIGH: Reason = "score_too_high";
const SCORE_TOO_LOW: Reason = "score_too_low";

impl Classify {
    fn column(&self, what: &str) -> String {
        format!("{}_{what}", self.name)
    }

    /// Refuses values that cannot serve.
    fn check(&self) -> Result<(), StageError> {
        let wrong = |message: String| Err(StageError::Config(message));
        for (field, bound) in [("min_score", self.min_score), ("max_score", self.max_score)] {
            if !(0.0..=1.0).contains(&bound) {
                return wrong(format!("`{field} = {bound}` in `classify`; a probability from 0 to 1 works"));
            }
        }
        if self.min_score > self.max_score {
            let (low, high) = (self.min_score, self.max_score);
            return wrong(format!("`min_score = {low}` above `max_score = {high}` in `classify` drops all"));
        }
        let grows = self.bands.windows(2).all(|pair| pair[0] < pair[1]);
        if !grows || self.bands.iter().any(|bound| !(0.0..=1.0).contains(bound)) {
            let bands = &self.bands;
            return wrong(format!(
                "`bands = {bands:?}` in `classify`; probabilities from 0 to 1 work, growing"
            ));
        }
        if self.name.is_empty() {
            return wrong("`name` in `classify` is empty; `quality` would work".into());
        }
        Ok(())
    }
}

impl StageConfig for Classify {
    const KIND: &'static str = "classify";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Map;
    const REASONS: &'static [Reason] = &[LABEL_NOT_WANTED, SCORE_TOO_LOW, SCORE_TOO_HIGH];

    fn declares(&self) -> Declares {
        let mut writes = vec![self.column("label"), self.column("score")];
        writes.extend((!self.bands.is_empty()).then(|| self.column("band")));
        let files = match &self.model {
            ArtefactRef::Named(name) => models::files(name),
            ArtefactRef::Stage { .. } => Vec::new(),
        };
        let artefacts = vec![self.model.clone()];
        Declares { writes, files, artefacts, ..judge::declares() }
    }

    /// A model that a stage makes is read when that stage has run: the engine then names its folder.
    fn build(&self, context: &BuildContext) -> Result<Runtime, StageError> {
        self.check()?;
        let loaded = match &self.model {
            ArtefactRef::Stage { .. } => None,
            ArtefactRef::Named(name) => {
                let model = models::open(name, context)?;
                let labels = |wanted: &[String]| models::labels(&model, name, "label", wanted);
                let keep = labels(&self.keep_labels)?;
                let named = Some(self.label.clone()).filter(|label| !label.is_empty());
                let scored = labels(named.as_slice())?.first().copied();
                Some(Loaded { model, keep, scored })
            }
        };
        Ok(Runtime::Map(Box::new(Classifier { config: self.clone(), loaded })))
    }
}

struct Classifier {
    config: Classify,
    loaded: Option<Loaded>,
}

struct Loaded {
    model: Model,
    keep: Vec<usize>,
    /// The label of the score, if it is always the same.
    scored: Option<usize>,
}

impl Loaded {
    /// The likeliest label, if there is one, and the score.
    fn judge(&self, text: &str, scratch: &mut Scratch) -> (Option<usize>, f64) {
        let Some(best) = self.model.best(text, scratch) else { return (None, 0.0) };
        let probability = match self.scored {
            Some(label) if label != best.label => self.model.probability(text, label, scratch).unwrap_or(0.0),
            _ => best.probability,
        };
        (Some(best.label), (probability as f64).min(1.0))
    }
}

impl Classify {
    fn verdict(&self, is_wanted: bool, score: f64) -> Verdict {
        if !is_wanted {
            Verdict::Drop(LABEL_NOT_WANTED)
        } else if score < self.min_score {
            Verdict::Drop(SCORE_TOO_LOW)
        } else if score > self.max_score {
            Verdict::Drop(SCORE_TOO_HIGH)
        } else {
            Verdict::Keep
        }
    }
}

impl Map for Classifier {
    fn map(&self, documents: Documents) -> Result<(Documents, Vec<Verdict>), StageError> {
        let Self { config, loaded: Some(loaded) } = self else {
            return Err(StageError::Engine("`classify` runs before its model is made".into()));
        };
        let texts = documents.strings(columns::TEXT)?;
        let n = documents.len();
        let (mut labels, mut scores, mut verdicts) =
            (Vec::with_capacity(n), Vec::with_capacity(n), Vec::with_capacity(n));
        models::with_scratch(|scratch| {
            for text in texts {
                let (label, score) = loaded.judge(text.unwrap_or(""), scratch);
                let is_wanted =
                    loaded.keep.is_empty() || label.is_some_and(|label| loaded.keep.contains(&label));
                labels.push(label.map_or("", |label| loaded.model.label(label)));
                scores.push(score);
                verdicts.push(config.verdict(is_wanted, score));
            }
        });
        let band = |score: &f64| config.bands.iter().filter(|bound| score >= bound).count() as i64;
        let bands = Int64Array::from_iter_values(scores.iter().map(band));
        let mut documents = documents
            .with_column(&config.column("label"), Arc::new(LargeStringArray::from(labels)))?
            .with_column(&config.column("score"), Arc::new(Float64Array::from(scores)))?;
        if !config.bands.is_empty() {
            documents = documents.with_column(&config.column("band"), Arc::new(bands))?;
        }
        Ok((documents, verdicts))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, AsArray, RecordBatch};
    use arrow::datatypes::{Float64Type, Int64Type};
    use gristmill_corpus::DocBatch;
    use serde_json::{Value, json};

    use super::*;

    fn context() -> BuildContext {
        BuildContext { base: ".".into(), seed: 0 }
    }

    fn config(mut keys: Value) -> Classify {
        keys["model"] = keys.get("model").cloned().unwrap_or_else(|| json!("lid.176.ftz"));
        serde_json::from_value(keys).unwrap()
    }

    /// The labels of languages stand for any labels here.
    const TEXTS: [&str; 4] = [
        "The committee will meet again\non Thursday morning to discuss the budget.",
        "Le comité se réunira de nouveau jeudi matin pour discuter du budget.",
        "x",
        "",
    ];

    fn run(config: &Classify) -> (Documents, Vec<Verdict>) {
        let column: ArrayRef = Arc::new(LargeStringArray::from(TEXTS.to_vec()));
        let batch = DocBatch::new(RecordBatch::try_from_iter([(columns::TEXT, column)]).unwrap()).unwrap();
        let Runtime::Map(stage) = config.build(&context()).unwrap() else { panic!("a map") };
        stage.map(Documents::new(batch)).unwrap()
    }

    fn scores(documents: &Documents, name: &str) -> Vec<f64> {
        documents.batch().column(name).unwrap().as_primitive::<Float64Type>().values().to_vec()
    }

    #[test]
    fn labels_scores_and_bands_are_written() {
        let config = config(json!({"name": "topic", "bands": [0.1, 0.5, 0.9]}));
        assert_eq!(config.declares().writes, ["topic_label", "topic_score", "topic_band"]);
        let (documents, verdicts) = run(&config);
        let labels: Vec<_> = documents.strings("topic_label").unwrap().iter().flatten().collect();
        assert_eq!(labels, ["en", "fr", "en", "en"]);
        let scores = scores(&documents, "topic_score");
        assert!(scores[0] > 0.5 && scores[1] > 0.9 && scores[2] < 0.5 && scores[3] < 0.5, "{scores:?}");
        let bands = documents.batch().column("topic_band").unwrap().as_primitive::<Int64Type>().values();
        assert_eq!(&bands[..], [2, 3, 1, 1]);
        assert_eq!(verdicts, [Verdict::Keep; 4]);
    }

    #[test]
    fn every_reason() {
        let low = Verdict::Drop(SCORE_TOO_LOW);
        let (documents, verdicts) = run(&config(json!({"label": "en", "min_score": 0.5})));
        assert_eq!(verdicts, [Verdict::Keep, low, low, low]);
        assert!(scores(&documents, "quality_score")[1] < 0.1);
        let high = Verdict::Drop(SCORE_TOO_HIGH);
        let (_, verdicts) = run(&config(json!({"label": "en", "max_score": 0.5})));
        assert_eq!(verdicts, [high, Verdict::Keep, Verdict::Keep, Verdict::Keep]);
        let other = Verdict::Drop(LABEL_NOT_WANTED);
        let (_, verdicts) = run(&config(json!({"keep_labels": ["fr", "de"]})));
        assert_eq!(verdicts, [other, Verdict::Keep, other, other]);
    }

    #[test]
    fn a_bound_itself_is_reached() {
        let score = scores(&run(&config(json!({}))).0, "quality_score")[2];
        let (documents, verdicts) =
            run(&config(json!({"min_score": score, "max_score": score, "bands": [score]})));
        assert_eq!(verdicts[2], Verdict::Keep);
        let bands = documents.batch().column("quality_band").unwrap().as_primitive::<Int64Type>().values();
        assert_eq!(bands[2], 1);
    }

    #[test]
    fn mistakes_are_named() {
        for (keys, part) in [
            (json!({"label": "good"}), "no label `good`"),
            (json!({"keep_labels": ["good"]}), "no label `good`"),
            (json!({"model": "gone.bin"}), "gone.bin"),
            (json!({"min_score": 18.0}), "min_score = 18"),
            (json!({"min_score": 0.6, "max_score": 0.5}), "above `max_score = 0.5`"),
            (json!({"bands": [0.5, 0.1]}), "bands = [0.5, 0.1]"),
            (json!({"bands": [3.0]}), "bands = [3.0]"),
            (json!({"name": ""}), "`name`"),
        ] {
            let error = config(keys).build(&context()).err().unwrap().to_string();
            assert!(error.contains(part), "{error}");
        }
        let made = config(json!({"model": {"stage": "classifier_train"}}));
        assert_eq!((made.declares().files, made.declares().artefacts.len()), (vec![], 1));
        assert!(made.build(&context()).is_ok(), "its labels are not known before that stage has run");
    }
}
