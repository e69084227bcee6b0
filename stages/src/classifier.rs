//! Trains a fastText classifier on labelled texts, and says how well it does on texts that it has not seen.
//!
//! Which texts are held out, and in which order the others are read, is decided by a hash of each text: the same sets give the same
//! model whatever their order, and equal texts are never on both sides.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use fasttext::FastText;
use fasttext::args::{Args, LossName, ModelName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::fasttext::{Model, Scratch};

/// How to train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Length of the vectors. fastText: 100; small sets do as well with less, and the file is as much smaller.
    pub dimension: u16,
    /// Passes over the texts. fastText: 5, for millions of them; small sets need more.
    pub epochs: u16,
    /// How far a step goes at the beginning; it falls to 0. fastText: 0.1, for millions of texts; with a few hundred, that learns next to
    /// nothing in 20 passes, and 0.5 does.
    pub learning_rate: f64,
    /// Longest sequence of words that is a feature of its own. fastText: 1; DCLM: 2, for hundreds of thousands of texts.
    pub word_ngrams: u16,
    /// Slots for sequences of words, which share them by hash; 4 bytes each times `dimension` in the file. fastText: 2,000,000.
    pub buckets: u32,
    /// Words that are rarer than this are left out. fastText: 1.
    pub minimum_word_count: u32,
    /// The share of texts that is held out to measure by, from above 0 to 0.5.
    pub held_out: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dimension: 32,
            epochs: 20,
            learning_rate: 0.5,
            word_ngrams: 1,
            buckets: 200_000,
            minimum_word_count: 1,
            held_out: 0.2,
        }
    }
}

impl Settings {
    /// Refuses values that cannot serve.
    ///
    /// # Errors
    /// [`TrainError::Unfit`] naming the field and what works.
    pub fn check(&self) -> Result<(), TrainError> {
        let unfit = |message: String| Err(TrainError::Unfit(message));
        if !(self.held_out > 0.0 && self.held_out <= 0.5) {
            return unfit(format!("`held_out = {}`: a share from above 0 to 0.5 works", self.held_out));
        }
        if !(self.learning_rate > 0.0 && self.learning_rate <= 5.0) {
            return unfit(format!("`learning_rate = {}`: from above 0 to 5 works", self.learning_rate));
        }
        for (field, value) in [
            ("dimension", self.dimension as u32),
            ("epochs", self.epochs as u32),
            ("word_ngrams", self.word_ngrams as u32),
            ("minimum_word_count", self.minimum_word_count),
            ("buckets", self.buckets),
        ] {
            if value == 0 || value > i32::MAX as u32 {
                return unfit(format!("`{field} = {value}`: from 1 to {} works", i32::MAX));
            }
        }
        Ok(())
    }
}

/// A label needs at least this many different texts: with less, measuring is guessing.
pub const MINIMUM_TEXTS: usize = 20;

/// Why no classifier can be trained.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The texts or settings cannot serve.
    #[error("{0}")]
    Unfit(String),
    /// A file cannot be written or read.
    #[error("{0}")]
    Failed(String),
}

fn failed(error: impl std::fmt::Display) -> TrainError {
    TrainError::Failed(error.to_string())
}

/// Labelled texts, each once, in the order of their hashes. They are held in memory.
#[derive(Debug, Default)]
pub struct Examples {
    seed: u64,
    texts: BTreeMap<(u64, String), String>,
}

impl Examples {
    /// None yet. Another seed holds out other texts.
    pub fn new(seed: u64) -> Self {
        Self { seed, texts: BTreeMap::new() }
    }

    /// Adds a text. Text without a word is passed over, an equal one under the same label too.
    ///
    /// # Errors
    /// [`TrainError::Unfit`] for a label that fastText could not read back, and for a text that has another label already.
    pub fn add(&mut self, label: &str, text: &str) -> Result<(), TrainError> {
        check_label(label)?;
        let line = one_line(text);
        if line.is_empty() {
            return Ok(());
        }
        let key = (xxh3_64_with_seed(line.as_bytes(), self.seed), line);
        match self.texts.get(&key) {
            Some(known) if known != label => {
                let start: String = key.1.chars().take(60).collect();
                Err(TrainError::Unfit(format!(
                    "the text `{start}` is labelled `{known}` and `{label}`: take it out of one set"
                )))
            }
            Some(_) => Ok(()),
            None => {
                self.texts.insert(key, label.to_owned());
                Ok(())
            }
        }
    }

    /// How many different texts each label has.
    pub fn counts(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        self.texts.values().for_each(|label| *counts.entry(label.as_str()).or_default() += 1);
        counts
    }
}

/// Refuses a label that could not be read back.
///
/// # Errors
/// [`TrainError::Unfit`] naming it.
pub fn check_label(label: &str) -> Result<(), TrainError> {
    if label.is_empty() || label.contains(is_separator) {
        return Err(TrainError::Unfit(format!(
            "`{label}` cannot be a label: it must be one word without spaces"
        )));
    }
    Ok(())
}

/// fastText's white space.
fn is_separator(c: char) -> bool {
    matches!(c, ' ' | '\n' | '\r' | '\t' | '\u{b}' | '\u{c}' | '\0')
}

/// A text as a line of a training file: words that would be read as labels are left out, as inference leaves them out.
fn one_line(text: &str) -> String {
    let words = text.split(is_separator).filter(|word| !word.is_empty() && !word.starts_with(PREFIX));
    words.collect::<Vec<_>>().join(" ")
}

const PREFIX: &str = "__label__";

/// How well a classifier does on the texts that were held out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Texts that it was trained on.
    pub n_trained: usize,
    /// Texts that it was measured on.
    pub n_held_out: usize,
    /// Share of those with the right label.
    pub accuracy: f64,
    /// The mean of the labels' F1.
    pub macro_f1: f64,
    /// What labelling everything as the most frequent label of the training texts would give.
    pub majority: Majority,
    /// By label, in order.
    pub labels: Vec<LabelReport>,
}

/// The baseline.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Majority {
    /// The most frequent label of the training texts; of several, the first in order.
    pub label: String,
    /// Share of right labels.
    pub accuracy: f64,
    /// The mean of the labels' F1: all but one have 0.
    pub macro_f1: f64,
}

/// One label's figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelReport {
    /// The label.
    pub label: String,
    /// Share of the texts called so that are so. 0 where none is called so.
    pub precision: f64,
    /// Share of the texts that are so that are called so. 0 where none is so.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
    /// Held-out texts that are so.
    pub n: usize,
    /// How many of those got which label (a row of the confusion table).
    pub called: BTreeMap<String, usize>,
}

/// Trains on one thread, so that the model depends on nothing but the texts and the settings, and writes it to `out`. A file of the
/// texts stands beside it meanwhile.
///
/// # Errors
/// [`TrainError::Unfit`] when there are too few texts or labels, or a setting cannot serve.
pub fn train(examples: &Examples, settings: &Settings, out: &Path) -> Result<Report, TrainError> {
    check(examples, settings)?;
    let bound = (settings.held_out * 2f64.powi(64)) as u64;
    // The order of the hashes would hold out a prefix; the low bits, mixed by the same hash, do not depend on it.
    let is_held_out = |hash: u64| hash.rotate_left(32) < bound;
    let (held_out, trained): (Vec<_>, Vec<_>) =
        examples.texts.iter().partition(|((hash, _), _)| is_held_out(*hash));
    for label in examples.counts().into_keys() {
        let has = |side: &[(&(u64, String), &String)]| side.iter().any(|(_, other)| *other == label);
        if !has(&held_out) || !has(&trained) {
            return Err(TrainError::Unfit(format!(
                "`held_out = {}` leaves no text of `{label}` on one side; another share or seed works, or more texts",
                settings.held_out
            )));
        }
    }
    let mut input = out.as_os_str().to_owned();
    input.push(".train.txt");
    let input = PathBuf::from(input);
    let mut file = BufWriter::new(File::create(&input).map_err(failed)?);
    for ((_, text), label) in &trained {
        writeln!(file, "{PREFIX}{label} {text}").map_err(failed)?;
    }
    file.into_inner().map_err(failed)?;
    let trained_model = FastText::train(arguments(settings, &input, examples.seed));
    std::fs::remove_file(&input).map_err(failed)?;
    trained_model.map_err(failed)?.save_model(out).map_err(failed)?;
    let model = Model::open(out).map_err(failed)?;
    Ok(measure(&model, &trained, &held_out))
}

fn check(examples: &Examples, settings: &Settings) -> Result<(), TrainError> {
    let unfit = |message: String| Err(TrainError::Unfit(message));
    let counts = examples.counts();
    if counts.len() < 2 {
        let known = counts.keys().next().map_or("there is none".into(), |label| format!("all are `{label}`"));
        return unfit(format!("a classifier needs texts of two or more labels: {known}"));
    }
    if let Some((label, n)) = counts.iter().find(|(_, n)| **n < MINIMUM_TEXTS) {
        return unfit(format!("{n} different texts of `{label}` are too few: {MINIMUM_TEXTS} are the least"));
    }
    settings.check()
}

fn arguments(settings: &Settings, input: &Path, seed: u64) -> Args {
    let mut args = Args::new();
    args.model = ModelName::Supervised;
    args.loss = LossName::Softmax;
    input.clone_into(&mut args.input);
    args.dim = settings.dimension as i32;
    args.epoch = settings.epochs as i32;
    args.lr = settings.learning_rate;
    args.word_ngrams = settings.word_ngrams as i32;
    // Without sequences there is nothing to put into them.
    args.bucket = if settings.word_ngrams > 1 { settings.buckets as i32 } else { 0 };
    args.min_count = settings.minimum_word_count as i32;
    args.minn = 0;
    args.maxn = 0;
    args.thread = 1;
    args.verbose = 0;
    args.seed = (seed & 0x7FFF_FFFF) as i32;
    args
}

type Side<'a> = [(&'a (u64, String), &'a String)];

fn measure(model: &Model, trained: &Side<'_>, held_out: &Side<'_>) -> Report {
    let mut table: BTreeMap<&str, BTreeMap<String, usize>> = BTreeMap::new();
    let mut scratch = Scratch::default();
    for ((_, text), label) in held_out {
        let called = model.best(text, &mut scratch).map_or("", |best| model.label(best.label));
        *table.entry(label).or_default().entry(called.to_owned()).or_default() += 1;
    }
    let share = |part: usize, whole: usize| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    let f1 = |precision: f64, recall: f64| {
        if precision + recall == 0.0 { 0.0 } else { 2.0 * precision * recall / (precision + recall) }
    };
    let labels: Vec<LabelReport> = table
        .iter()
        .map(|(&label, called)| {
            let right = called.get(label).copied().unwrap_or(0);
            let n_called = table.values().filter_map(|row| row.get(label)).sum();
            let n = called.values().sum();
            let (precision, recall) = (share(right, n_called), share(right, n));
            let f1 = f1(precision, recall);
            LabelReport { label: label.to_owned(), precision, recall, f1, n, called: called.clone() }
        })
        .collect();
    let n = held_out.len();
    let right = labels.iter().filter_map(|row| row.called.get(&row.label)).sum();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, label) in trained {
        *counts.entry(label).or_default() += 1;
    }
    let majority = counts.iter().rev().max_by_key(|(_, n)| **n).map_or("", |(label, _)| *label);
    let n_majority = labels.iter().find(|row| row.label == majority).map_or(0, |row| row.n);
    let n_labels = labels.len().max(1) as f64;
    Report {
        n_trained: trained.len(),
        n_held_out: n,
        accuracy: share(right, n),
        macro_f1: labels.iter().map(|row| row.f1).sum::<f64>() / n_labels,
        majority: Majority {
            label: majority.to_owned(),
            accuracy: share(n_majority, n),
            macro_f1: f1(share(n_majority, n), 1.0) / n_labels,
        },
        labels,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `n` texts a label about mills or boats, with words in common, no two equal.
    fn examples(n: usize, seed: u64, reverse: bool) -> Examples {
        let subjects = [
            ("mill", ["stone", "flour", "wheel", "corn", "sieve"]),
            ("boat", ["sail", "mast", "anchor", "keel", "rope"]),
        ];
        let mut rows = Vec::new();
        for (label, words) in subjects {
            for i in 0..n {
                let (a, b) = (words[i % 5], words[i / 5 % 5]);
                rows.push((label, format!("the {a} and\nthe {b} number {i} of the {label}s __label__boat")));
            }
        }
        if reverse {
            rows.reverse();
        }
        let mut examples = Examples::new(seed);
        for (label, text) in rows {
            examples.add(label, &text).unwrap();
        }
        examples
    }

    fn trained(examples: &Examples) -> (Vec<u8>, Report) {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { dimension: 8, buckets: 1000, ..Settings::default() };
        let out = folder.path().join("model.bin");
        let report = train(examples, &settings, &out).unwrap();
        let names: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["model.bin"]);
        (std::fs::read(out).unwrap(), report)
    }

    #[test]
    fn it_learns_what_differs_and_is_measured_on_other_texts() {
        let (model, report) = trained(&examples(60, 1, false));
        assert_eq!(report.n_trained + report.n_held_out, 120);
        assert!((12..40).contains(&report.n_held_out), "{report:?}");
        assert!(report.accuracy > 0.95 && report.macro_f1 > 0.95, "{report:?}");
        assert!(report.majority.macro_f1 < 0.5, "{report:?}");
        assert_eq!(report.labels.iter().map(|row| row.n).sum::<usize>(), report.n_held_out);
        let model = Model::from_bytes(&model).unwrap();
        let best = model.best("a sail and a mast", &mut Scratch::default()).unwrap();
        assert_eq!(model.label(best.label), "boat");
    }

    #[test]
    fn the_order_of_the_texts_changes_nothing_but_the_seed_does() {
        let one = trained(&examples(40, 1, false));
        assert!(one == trained(&examples(40, 1, true)));
        assert!(one.0 != trained(&examples(40, 2, false)).0);
    }

    #[test]
    fn figures_are_those_of_the_confusion_table() {
        let (bytes, _) = trained(&examples(40, 1, false));
        let model = Model::from_bytes(&bytes).unwrap();
        let rows: Vec<((u64, String), String)> = [
            ("the stone of the mills", "mill"),
            ("the flour of the mills", "mill"),
            ("the keel of the boats", "mill"),
            ("the mast of the boats", "boat"),
        ]
        .map(|(text, label)| ((0, text.to_owned()), label.to_owned()))
        .into();
        let side: Vec<_> = rows.iter().map(|(text, label)| (text, label)).collect();
        let report = measure(&model, &side, &side);
        let [boat, mill] = &report.labels[..] else { panic!("two labels: {report:?}") };
        assert_eq!((boat.precision, boat.recall, boat.n), (0.5, 1.0, 1));
        assert_eq!((mill.precision, mill.n, mill.called["boat"]), (1.0, 3, 1));
        assert!((mill.recall - 2.0 / 3.0).abs() < 1e-12 && (mill.f1 - 0.8).abs() < 1e-12);
        assert!((report.macro_f1 - f64::midpoint(0.8, 2.0 / 3.0)).abs() < 1e-12);
        assert!((report.accuracy - 0.75).abs() < 1e-12);
        let Majority { label, accuracy, macro_f1 } = &report.majority;
        assert_eq!((label.as_str(), *accuracy), ("mill", 0.75));
        assert!((macro_f1 - 0.857_142_857 / 2.0).abs() < 1e-6);
    }

    #[test]
    fn sets_that_cannot_serve_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |examples: &Examples, settings: Settings| {
            train(examples, &settings, &folder.path().join("model.bin")).unwrap_err().to_string()
        };
        assert!(refused(&Examples::new(0), Settings::default()).contains("there is none"));
        let mut one = Examples::new(0);
        (0..99).for_each(|i| one.add("good", &i.to_string()).unwrap());
        assert!(refused(&one, Settings::default()).contains("all are `good`"));
        one.add("bad", "text").unwrap();
        assert!(refused(&one, Settings::default()).contains("1 different texts of `bad`"));
        assert!(one.add("good", " text\n").unwrap_err().to_string().contains("`bad` and `good`"));
        assert!(one.add("very good", "x").unwrap_err().to_string().contains("`very good`"));
        let two = examples(20, 0, false);
        assert!(refused(&two, Settings { held_out: 0.0, ..Settings::default() }).contains("held_out = 0"));
        assert!(refused(&two, Settings { held_out: 1e-9, ..Settings::default() }).contains("one side"));
        assert!(refused(&two, Settings { epochs: 0, ..Settings::default() }).contains("epochs = 0"));
    }
}
