//! `tokenizer_train`: a byte-level BPE tokenizer from the documents' text.

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};

use gristmill_corpus::columns;
use gristmill_tokenizer::{MAX_PRETOKENS, Pattern, PretokenCounts, TrainOptions, default_specials, train};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::documents::Documents;
use crate::stage::{
    Artefacts, BuildContext, Declares, Gather, PartWriter, Reason, Runtime, Shape, StageConfig, StageError,
};

/// Trains a byte-level BPE tokenizer on the text of all documents and writes `tokenizer.json`.
///
/// Pre-tokens are counted split by split, counts are added up, merges are learnt once. Ties go to the pair with
/// the lowest ids, so the same text gives the same tokenizer in any order. `training.json` beside it says how much was
/// counted.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenizerTrain {
    /// Ids in all: 256 bytes, merges, special tokens. GPT-2 has 50,257, Llama 3 128,256; small models do better
    /// with less.
    #[serde(default = "default_vocabulary")]
    pub vocab_size: usize,
    /// How text is cut before merging: `gpt2`, `cl100k` (GPT-4), `o200k` (GPT-4o), `nanochat` or a regular
    /// expression.
    #[serde(default = "default_pattern")]
    pub pattern: String,
    /// Training stops when the best pair occurs less often than this.
    #[serde(default = "default_minimum")]
    pub minimum_pair_count: u64,
    /// Distinct pre-tokens that are kept while counting: ten million are about a gigabyte. Past it the rarer half is
    /// dropped, in each split and in their sum, and `training.json` counts what was.
    #[serde(default = "default_maximum")]
    pub max_pretokens: usize,
    /// Special tokens, in the order of their ids. The first is BOS, which begins every document.
    #[serde(default = "default_specials")]
    pub special_tokens: Vec<String>,
}

fn default_vocabulary() -> usize {
    32_768
}

fn default_pattern() -> String {
    "cl100k".into()
}

fn default_maximum() -> usize {
    MAX_PRETOKENS
}

fn default_minimum() -> u64 {
    2
}

impl StageConfig for TokenizerTrain {
    const KIND: &'static str = "tokenizer_train";
    const VERSION: u32 = 2;
    const SHAPE: Shape = Shape::Gather;
    const REASONS: &'static [Reason] = &[];

    fn declares(&self) -> Declares {
        Declares { reads: vec![columns::TEXT.into()], ..Declares::default() }
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        let pattern = Pattern::parse(&self.pattern).map_err(|error| StageError::Config(error.to_string()))?;
        let fixed = 256 + self.special_tokens.len();
        if self.vocab_size < fixed {
            return Err(StageError::Config(format!(
                "`vocab_size = {}` is too small: 256 bytes and {} special tokens need {fixed}",
                self.vocab_size,
                self.special_tokens.len()
            )));
        }
        if self.max_pretokens < 1_000 {
            return Err(StageError::Config(format!(
                "`max_pretokens = {}` is too small to learn from: at least 1000, ten million are usual",
                self.max_pretokens
            )));
        }
        let options = TrainOptions {
            vocab_size: self.vocab_size,
            specials: self.special_tokens.clone(),
            minimum_pair_count: self.minimum_pair_count,
        };
        Ok(Runtime::Gather(Box::new(Trainer {
            counts: PretokenCounts::with_limit(pattern, self.max_pretokens),
            options,
        })))
    }
}

struct Trainer {
    /// Empty.
    counts: PretokenCounts,
    options: TrainOptions,
}

const COUNTS: &str = "counts.bin";

impl Gather for Trainer {
    fn open(&self, folder: &Path, _: &Artefacts) -> Result<Box<dyn PartWriter>, StageError> {
        Ok(Box::new(Counter { path: folder.join(COUNTS), counts: self.counts.clone() }))
    }

    fn gather(&self, parts: &[PathBuf], folder: &Path, _: &Artefacts) -> Result<(), StageError> {
        let mut all = self.counts.clone();
        for part in parts {
            let path = part.join(COUNTS);
            let file = File::open(&path).map_err(|error| failed(&path, &error))?;
            let counts =
                PretokenCounts::read_from(BufReader::new(file)).map_err(|error| failed(&path, &error))?;
            all.merge(counts).map_err(|error| failed(&path, &error))?;
        }
        let tokenizer = train(&all, &self.options).map_err(|error| StageError::Engine(error.to_string()))?;
        let path = folder.join("tokenizer.json");
        tokenizer.save(&path).map_err(|error| failed(&path, &error))?;
        let summary = Summary {
            pretokens: all.len(),
            occurrences: all.occurrences(),
            dropped_occurrences: all.dropped(),
            merges: tokenizer.n_merges(),
        };
        let path = folder.join("training.json");
        let file = File::create(&path).map_err(|error| failed(&path, &error))?;
        serde_json::to_writer_pretty(file, &summary).map_err(|error| failed(&path, &error))
    }
}

/// What the merges were learnt from.
#[derive(Serialize)]
struct Summary {
    /// Distinct pre-tokens that were still counted at the end.
    pretokens: usize,
    /// How often they occur.
    occurrences: u64,
    /// Occurrences of pre-tokens dropped because of `max_pretokens`.
    dropped_occurrences: u64,
    merges: usize,
}

struct Counter {
    path: PathBuf,
    counts: PretokenCounts,
}

impl PartWriter for Counter {
    fn write(&mut self, documents: &Documents) -> Result<(), StageError> {
        for text in documents.strings(columns::TEXT)?.iter().flatten() {
            self.counts.add(text);
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), StageError> {
        let file = File::create(&self.path).map_err(|error| failed(&self.path, &error))?;
        self.counts.write_to(BufWriter::new(file)).map_err(|error| failed(&self.path, &error))
    }
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> StageError {
    StageError::Engine(format!("`{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use gristmill_corpus::batch::{DocBatchBuilder, Document};
    use gristmill_tokenizer::Tokenizer;

    use super::*;

    fn trained(splits: &[&[&str]]) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let config: TokenizerTrain = serde_json::from_value(serde_json::json!({"vocab_size": 300})).unwrap();
        let context = BuildContext { base: PathBuf::new(), seed: 0 };
        let Runtime::Gather(gather) = config.build(&context).unwrap() else { panic!("a gather") };
        let mut parts = Vec::new();
        for (index, texts) in splits.iter().enumerate() {
            let part = folder.path().join(index.to_string());
            std::fs::create_dir(&part).unwrap();
            let mut writer = gather.open(&part, &Artefacts::new()).unwrap();
            let mut builder = DocBatchBuilder::new(columns::TEXT);
            for content in *texts {
                let document =
                    Document { id: "", url: "", date: "", dump: "", file_path: "", offset: 0, content };
                builder.push(&document);
            }
            writer.write(&Documents::new(builder.finish())).unwrap();
            writer.finish().unwrap();
            parts.push(part);
        }
        gather.gather(&parts, folder.path(), &Artefacts::new()).unwrap();
        std::fs::read(folder.path().join("tokenizer.json")).unwrap()
    }

    #[test]
    fn how_text_is_split_over_tasks_does_not_show() {
        let texts = ["the mill grinds the corn", "the river turns the mill", "the miller sleeps"];
        let one = trained(&[&texts]);
        let three = trained(&[&texts[2..], &texts[..1], &texts[1..2]]);
        assert_eq!(one, three);
        let tokenizer = Tokenizer::from_json(&one).unwrap();
        let ids = tokenizer.encode("the mill");
        assert!(ids.len() < "the mill".len(), "frequent words got merges: {ids:?}");
        assert_eq!(tokenizer.decode_lossy(&ids), "the mill");
    }

    #[test]
    fn a_vocabulary_without_room_is_refused_before_any_work() {
        let config: TokenizerTrain = serde_json::from_value(serde_json::json!({"vocab_size": 100})).unwrap();
        let error = config.build(&BuildContext { base: PathBuf::new(), seed: 0 }).err().unwrap().to_string();
        assert!(error.contains("`vocab_size = 100` is too small"), "{error}");
    }
}
