//! `classifier_train`: a fastText classifier from labelled documents, for `classify`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use arrow::array::Array;
use gristmill_corpus::columns;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::classifier::{self, Examples, Settings};
use crate::documents::Documents;
use crate::expression::Condition;
use crate::judge;
use crate::models::MODEL_FILE;
use crate::stage::{
    Artefacts, BuildContext, Declares, Gather, PartWriter, Reason, Runtime, Shape, StageConfig, StageError,
};

/// Trains a supervised fastText classifier on labelled documents and writes `model.bin`, with `report.json`: precision, recall and F1 of
/// every label on documents that were held out, beside the figures of the most frequent label.
///
/// The texts are held in memory while it trains, on one thread: the same documents give the same model in any order. Equal texts count once. A
/// label needs 20 different texts. `classify` below names this stage: `model = { stage = "classifier_train" }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClassifierTrain {
    /// Which documents have which label: a condition a label, as `where` has them. Of several that hold, the first label in the order of the
    /// alphabet counts; a document of which none holds is passed over.
    pub labels: BTreeMap<String, String>,
    /// How to train.
    #[serde(default)]
    pub settings: Settings,
}

impl StageConfig for ClassifierTrain {
    const KIND: &'static str = "classifier_train";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Gather;
    const REASONS: &'static [Reason] = &[];

    fn declares(&self) -> Declares {
        let mut declares = judge::declares();
        for condition in self.labels.values().filter_map(|condition| Condition::parse(condition).ok()) {
            declares.reads.extend(condition.columns());
        }
        declares.reads.sort();
        declares.reads.dedup();
        declares
    }

    fn build(&self, context: &BuildContext) -> Result<Runtime, StageError> {
        let wrong = |message: String| StageError::Config(message);
        if self.labels.len() < 2 {
            return Err(wrong("a classifier needs two or more `labels`".into()));
        }
        self.settings.check().map_err(|error| wrong(error.to_string()))?;
        let labels = self.labels.iter().map(|(label, condition)| {
            classifier::check_label(label).map_err(|error| wrong(error.to_string()))?;
            let parsed = Condition::parse(condition);
            let parsed =
                parsed.map_err(|error| wrong(format!("`labels.{label} = {condition:?}`, {error}")))?;
            Ok((label.clone(), parsed))
        });
        Ok(Runtime::Gather(Box::new(Trainer {
            labels: labels.collect::<Result<_, StageError>>()?,
            settings: self.settings.clone(),
            seed: context.seed,
        })))
    }
}

#[derive(Clone)]
struct Trainer {
    labels: Vec<(String, Condition)>,
    settings: Settings,
    seed: u64,
}

const PART: &str = "examples.jsonl";

impl Gather for Trainer {
    fn open(&self, folder: &Path, _: &Artefacts) -> Result<Box<dyn PartWriter>, StageError> {
        let path = folder.join(PART);
        let file = BufWriter::new(File::create(&path).map_err(|error| failed(&path, &error))?);
        Ok(Box::new(Writer { labels: self.labels.clone(), path, file }))
    }

    fn gather(&self, parts: &[PathBuf], folder: &Path, _: &Artefacts) -> Result<(), StageError> {
        let mut examples = Examples::new(self.seed);
        for part in parts {
            let path = part.join(PART);
            let file = File::open(&path).map_err(|error| failed(&path, &error))?;
            for line in BufReader::new(file).lines() {
                let line = line.map_err(|error| failed(&path, &error))?;
                let (label, text): (String, String) =
                    serde_json::from_str(&line).map_err(|error| failed(&path, &error))?;
                examples.add(&label, &text).map_err(|error| StageError::Engine(error.to_string()))?;
            }
        }
        let report = classifier::train(&examples, &self.settings, &folder.join(MODEL_FILE))
            .map_err(|error| StageError::Engine(error.to_string()))?;
        let path = folder.join("report.json");
        let json = serde_json::to_string_pretty(&report).map_err(|error| failed(&path, &error))?;
        std::fs::write(&path, json + "\n").map_err(|error| failed(&path, &error))
    }
}

struct Writer {
    labels: Vec<(String, Condition)>,
    path: PathBuf,
    file: BufWriter<File>,
}

impl PartWriter for Writer {
    fn write(&mut self, documents: &Documents) -> Result<(), StageError> {
        let mut labels: Vec<Option<&str>> = vec![None; documents.len()];
        for (label, condition) in self.labels.iter().rev() {
            for (row, holds) in condition.evaluate(documents.batch())?.into_iter().enumerate() {
                if holds {
                    labels[row] = Some(label);
                }
            }
        }
        let texts = documents.strings(columns::TEXT)?;
        for (row, label) in labels.iter().enumerate() {
            if let Some(label) = label.filter(|_| texts.is_valid(row)) {
                serde_json::to_writer(&mut self.file, &(label, texts.value(row)))
                    .map_err(|error| failed(&self.path, &error))?;
                self.file.write_all(b"\n").map_err(|error| failed(&self.path, &error))?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), StageError> {
        self.file.flush().map_err(|error| failed(&self.path, &error))
    }
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> StageError {
    StageError::Engine(format!("`{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, LargeStringArray, RecordBatch};
    use gristmill_corpus::DocBatch;
    use serde_json::json;

    use super::*;
    use crate::fasttext::{Model, Scratch};

    fn trained(splits: &[Vec<usize>]) -> (Vec<u8>, String) {
        let config: ClassifierTrain = serde_json::from_value(json!({
            "labels": {"boat": "url == 'b'", "mill": "url == 'm'"},
            "settings": {"dimension": 8, "buckets": 1000},
        }))
        .unwrap();
        assert_eq!(config.declares().reads, ["text", "url"]);
        let folder = tempfile::tempdir().unwrap();
        let Runtime::Gather(gather) = config.build(&BuildContext { base: ".".into(), seed: 3 }).unwrap()
        else {
            panic!("a gather")
        };
        let mut parts = Vec::new();
        for (index, rows) in splits.iter().enumerate() {
            let part = folder.path().join(index.to_string());
            std::fs::create_dir(&part).unwrap();
            let mut writer = gather.open(&part, &Artefacts::new()).unwrap();
            let column = |of: &dyn Fn(usize) -> String| -> ArrayRef {
                Arc::new(LargeStringArray::from_iter_values(rows.iter().map(|&row| of(row))))
            };
            let batch = RecordBatch::try_from_iter([
                ("url", column(&|row| ["m", "b", "x"][row % 3].into())),
                ("text", column(&|row| format!("the {} number {row}", ["mill", "boat", "house"][row % 3]))),
            ]);
            writer.write(&Documents::new(DocBatch::new(batch.unwrap()).unwrap())).unwrap();
            writer.finish().unwrap();
            parts.push(part);
        }
        let out = folder.path().join("out");
        std::fs::create_dir(&out).unwrap();
        gather.gather(&parts, &out, &Artefacts::new()).unwrap();
        let report = std::fs::read_to_string(out.join("report.json")).unwrap();
        (std::fs::read(out.join("model.bin")).unwrap(), report)
    }

    #[test]
    fn how_documents_are_split_over_tasks_does_not_show() {
        let one = trained(&[(0..150).collect()]);
        let three = trained(&[(100..150).rev().collect(), (0..20).collect(), (20..100).collect()]);
        assert!(one == three);
        let model = Model::from_bytes(&one.0).unwrap();
        let labels: Vec<_> = (0..model.n_labels()).map(|label| model.label(label)).collect();
        assert!(labels.len() == 2 && labels.contains(&"boat") && labels.contains(&"mill"), "{labels:?}");
        let best = model.best("a boat", &mut Scratch::default()).unwrap();
        assert_eq!(model.label(best.label), "boat");
        assert!(one.1.contains("\"macro_f1\": 1.0"), "{}", one.1);
    }

    #[test]
    fn mistakes_are_named() {
        for (keys, part) in [
            (json!({"labels": {"good": "len(text) > 5"}}), "two or more"),
            (json!({"labels": {"good": "len(text) > 5", "bad": "len(text"}}), "labels.bad"),
            (json!({"labels": {"a": "true_column", "very bad": "x"}}), "`very bad`"),
            (json!({"labels": {"a": "x", "b": "y"}, "settings": {"epochs": 0}}), "epochs = 0"),
        ] {
            let config: ClassifierTrain = serde_json::from_value(keys).unwrap();
            let error = config.build(&BuildContext { base: ".".into(), seed: 0 }).err().unwrap();
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
