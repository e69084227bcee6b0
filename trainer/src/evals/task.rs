//! Task files: the subset of lm-evaluation-harness's YAML that needs no Python.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::evals::metric::{Filters, Metric};

/// One document: the columns of a row.
pub type Document = Map<String, Value>;

/// What a task asks of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputType {
    /// Which of several continuations (or contexts) is likeliest?
    MultipleChoice,
    /// How likely is the one continuation, and would greedy decoding write it?
    Loglikelihood,
    /// How likely is a whole text?
    LoglikelihoodRolling,
    /// What does the model write?
    GenerateUntil,
}

/// A task, read and checked.
#[derive(Debug)]
pub struct Task {
    /// Its name in tables.
    pub name: String,
    /// What it asks.
    pub output: OutputType,
    /// Put before everything else.
    pub description: String,
    /// The question: a column, or a Jinja template.
    pub text: Field,
    /// The answer: a column, a template, or fixed.
    pub target: Field,
    /// The possible answers, where there are several.
    pub choice: Option<Field>,
    /// Between question and answer.
    pub target_delimiter: String,
    /// Between two examples.
    pub fewshot_delimiter: String,
    /// Solved examples before the question.
    pub n_fewshot: usize,
    /// When and how to stop writing.
    pub generation: Generation,
    /// What is measured.
    pub metrics: Vec<Metric>,
    /// How the answer is cut out of what was written; each has a name of its own in the results.
    pub filters: Vec<Filters>,
    /// The documents that are asked about.
    pub documents: Vec<Document>,
    /// The documents that examples are taken from, in order.
    pub examples: Vec<Document>,
    /// Whether examples and documents are the same rows, so that a document must not be its own example.
    pub examples_are_documents: bool,
}

/// `doc_to_text` and its like.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Field {
    /// A fixed index.
    Index(usize),
    /// A column's name, or a template.
    Template(String),
    /// Fixed texts.
    Texts(Vec<String>),
    /// Fixed texts under names, which do not matter.
    Named(Map<String, Value>),
}

/// `generation_kwargs`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// Writing stops before any of these. Default: the delimiter of examples.
    #[serde(default)]
    until: Option<OneOrMany>,
    /// Tokens to write at most.
    #[serde(default = "default_max_gen_toks")]
    pub max_gen_toks: usize,
    /// Only greedy decoding is known: `false`.
    #[serde(default)]
    do_sample: bool,
    /// As `do_sample`: 0.
    #[serde(default)]
    temperature: f64,
}

fn default_max_gen_toks() -> usize {
    256
}

impl Default for Generation {
    fn default() -> Self {
        Self { until: None, max_gen_toks: default_max_gen_toks(), do_sample: false, temperature: 0.0 }
    }
}

impl Generation {
    /// The texts that end an answer.
    pub fn until(&self) -> &[String] {
        match &self.until {
            Some(OneOrMany::One(text)) => std::slice::from_ref(text),
            Some(OneOrMany::Many(texts)) => texts,
            None => &[],
        }
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskFile {
    task: String,
    dataset_path: String,
    dataset_kwargs: DataFiles,
    #[serde(default)]
    training_split: Option<String>,
    #[serde(default)]
    validation_split: Option<String>,
    #[serde(default)]
    test_split: Option<String>,
    #[serde(default)]
    fewshot_split: Option<String>,
    #[serde(default = "default_output_type")]
    output_type: OutputType,
    #[serde(default)]
    description: String,
    doc_to_text: Field,
    doc_to_target: Field,
    #[serde(default)]
    doc_to_choice: Option<Field>,
    #[serde(default = "default_target_delimiter")]
    target_delimiter: String,
    #[serde(default = "default_fewshot_delimiter")]
    fewshot_delimiter: String,
    #[serde(default)]
    num_fewshot: usize,
    #[serde(default)]
    fewshot_config: FewshotConfig,
    #[serde(default)]
    generation_kwargs: Generation,
    #[serde(default)]
    metric_list: Option<Vec<Metric>>,
    #[serde(default)]
    filter_list: Option<Vec<Filters>>,
    #[serde(default)]
    repeats: Option<usize>,
    // What changes no score is accepted and not used.
    #[serde(default, rename = "task_alias")]
    _alias: Option<String>,
    #[serde(default, rename = "tag")]
    _tag: Option<Value>,
    #[serde(default, rename = "group")]
    _group: Option<Value>,
    #[serde(default, rename = "metadata")]
    _metadata: Option<Value>,
    #[serde(default, rename = "dataset_name")]
    _dataset_name: Option<String>,
    #[serde(default, rename = "should_decontaminate")]
    _should_decontaminate: Option<bool>,
    #[serde(default, rename = "doc_to_decontamination_query")]
    _decontamination: Option<String>,
}

fn default_output_type() -> OutputType {
    OutputType::GenerateUntil
}

fn default_target_delimiter() -> String {
    " ".into()
}

fn default_fewshot_delimiter() -> String {
    "\n\n".into()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DataFiles {
    data_files: OneFileOrSplits,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneFileOrSplits {
    One(String),
    Splits(Map<String, Value>),
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FewshotConfig {
    #[serde(default)]
    sampler: Option<String>,
    #[serde(default)]
    split: Option<String>,
    #[serde(default)]
    samples: Option<Vec<Document>>,
}

impl Task {
    /// Reads a task file. Its data files are relative to `data`, or else to the file itself.
    pub fn load(path: &Path, data: Option<&Path>) -> Result<Self> {
        let folder = data.or(path.parent()).unwrap_or(Path::new("."));
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the task `{}`", path.display()))?;
        Self::parse(&text, folder).with_context(|| format!("in the task `{}`", path.display()))
    }

    fn parse(text: &str, folder: &Path) -> Result<Self> {
        ensure!(
            !text.contains("!function"),
            "`!function` runs Python code, which is not supported: write the field as a Jinja template"
        );
        let file: TaskFile = serde_yaml_ng::from_str(text)?;
        ensure!(
            file.dataset_path == "json",
            "`dataset_path: {}`: only `json` is known, with `dataset_kwargs: {{data_files: FILE.jsonl}}`",
            file.dataset_path
        );
        ensure!(file.repeats.unwrap_or(1) == 1, "`repeats: {}`: only 1 is known", file.repeats.unwrap_or(1));
        ensure!(
            !file.generation_kwargs.do_sample && file.generation_kwargs.temperature == 0.0,
            "`generation_kwargs` ask for sampling, but answers are written greedily: set `do_sample: false`"
        );
        if let Some(sampler) = file.fewshot_config.sampler.as_deref().filter(|&sampler| sampler != "first_n")
        {
            bail!("`fewshot_config.sampler: {sampler}`: only `first_n` is known");
        }
        let split = file
            .test_split
            .as_deref()
            .or(file.validation_split.as_deref())
            .context("neither `test_split` nor `validation_split` names the documents to ask about")?;
        let documents = read_split(&file.dataset_kwargs.data_files, split, folder)?;
        ensure!(!documents.is_empty(), "the split `{split}` holds no documents");

        let fewshot_split = file
            .fewshot_config
            .split
            .as_deref()
            .or(file.fewshot_split.as_deref())
            .or(file.training_split.as_deref())
            .or(file.validation_split.as_deref())
            .unwrap_or(split);
        let mut examples_are_documents = false;
        let examples = match file.fewshot_config.samples {
            Some(samples) => samples,
            None if file.num_fewshot == 0 => Vec::new(),
            None => {
                examples_are_documents = fewshot_split == split;
                read_split(&file.dataset_kwargs.data_files, fewshot_split, folder)?
            }
        };
        let mut generation = file.generation_kwargs;
        if generation.until.is_none() {
            generation.until = Some(OneOrMany::One(file.fewshot_delimiter.clone()));
        }
        let metrics = file.metric_list.unwrap_or_else(|| Metric::defaults(file.output_type));
        for metric in &metrics {
            metric.check(file.output_type)?;
        }
        let filters = file.filter_list.unwrap_or_else(|| vec![Filters::none()]);
        for filter in &filters {
            filter.check()?;
        }
        if file.output_type == OutputType::MultipleChoice {
            ensure!(file.doc_to_choice.is_some(), "`output_type: multiple_choice` needs `doc_to_choice`");
        }
        Ok(Self {
            name: file.task,
            output: file.output_type,
            description: file.description,
            text: file.doc_to_text,
            target: file.doc_to_target,
            choice: file.doc_to_choice,
            target_delimiter: file.target_delimiter,
            fewshot_delimiter: file.fewshot_delimiter,
            n_fewshot: file.num_fewshot,
            generation,
            metrics,
            filters,
            documents,
            examples,
            examples_are_documents,
        })
    }
}

/// The rows of one split: JSON Lines, or one JSON array, gzipped or not.
fn read_split(files: &OneFileOrSplits, split: &str, folder: &Path) -> Result<Vec<Document>> {
    let name = match files {
        // As in Hugging Face's `datasets`: one file without a split's name is `train`.
        OneFileOrSplits::One(name) => {
            ensure!(
                split == "train",
                "`data_files` names one file, which is the split `train`; the task asks for `{split}`: write \
                 `data_files: {{{split}: {name}}}`"
            );
            name
        }
        OneFileOrSplits::Splits(splits) => splits
            .get(split)
            .and_then(Value::as_str)
            .with_context(|| format!("`data_files` names no file for the split `{split}`"))?,
    };
    let path = folder.join(name);
    read_rows(&path).with_context(|| format!("in `{}`", path.display()))
}

fn read_rows(path: &PathBuf) -> Result<Vec<Document>> {
    let file = File::open(path).context("cannot read it (`--data DIR` says where the data lies)")?;
    let gzipped = path.extension().is_some_and(|extension| extension == "gz");
    let reader: Box<dyn BufRead> = if gzipped {
        Box::new(BufReader::new(MultiGzDecoder::new(file)))
    } else {
        Box::new(BufReader::new(file))
    };
    let mut rows = Vec::new();
    for (number, line) in reader.lines().enumerate() {
        let line = line.with_context(|| format!("line {}", number + 1))?;
        if !line.trim().is_empty() {
            let row = serde_json::from_str(&line);
            rows.push(row.with_context(|| format!("line {} is no JSON object", number + 1))?);
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(change: (&str, &str)) -> String {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("d.jsonl"), "{\"q\": \"a\", \"n\": 0}\n").unwrap();
        let text = "task: t\ndataset_path: json\ndataset_kwargs:\n  data_files: {test: d.jsonl}\n\
                    test_split: test\noutput_type: multiple_choice\ndoc_to_text: q\ndoc_to_target: n\n\
                    doc_to_choice: [x, y]\n";
        let task = Task::parse(text, folder.path()).unwrap();
        assert_eq!((task.name.as_str(), task.documents.len()), ("t", 1));
        let changed = text.replace(change.0, change.1);
        assert_ne!(changed, text);
        format!("{:#}", Task::parse(&changed, folder.path()).unwrap_err())
    }

    #[test]
    fn mistakes_are_named() {
        assert!(mistake(("doc_to_text: q", "doc_to_text: !function a.b")).contains("runs Python code"));
        assert!(mistake(("path: json", "path: allenai/x")).contains("only `json` is known"));
        assert!(mistake(("test_split: test", "test_split: dev")).contains("no file for the split `dev`"));
        assert!(mistake(("test_split: test", "num_fewshot: 0")).contains("neither `test_split` nor"));
        assert!(mistake(("d.jsonl", "e.jsonl")).contains("--data DIR"));
        assert!(mistake(("doc_to_choice: [x, y]", "")).contains("needs `doc_to_choice`"));
        assert!(mistake(("doc_to_choice", "doc_to_choices")).contains("doc_to_choices"));
        assert!(mistake(("task: t", "task: t\nmetric_list: [{metric: exact}]")).contains("exact"));
    }
}
