//! Inference with fastText's supervised models, written from its file format.
//!
//! Reads `.bin` (dense) and `.ftz` (product-quantised, pruned) files, with every output that fastText trains: hierarchical
//! softmax, softmax, one-versus-all and negative sampling. Labels and probabilities are those of the C++ (within float
//! rounding, because the rows of a word are summed in another order). [`Model`] is immutable and shared by all threads; a
//! [`Scratch`] per thread keeps prediction free of allocation.

mod dictionary;
mod loss;
mod matrix;
mod reader;

#[cfg(test)]
mod tests;

use std::path::Path;

use dictionary::Dictionary;
use loss::{Loss, Output};
use matrix::{Matrix, QuantisedMatrix};
use reader::Reader;

/// Why a file cannot be used as a fastText model.
#[derive(Debug, thiserror::Error)]
pub enum FastTextError {
    /// The file cannot be read at all.
    #[error("cannot read the fastText model `{path}`: {source}")]
    Io {
        /// The path as given.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bytes are not a whole, consistent supervised model.
    #[error(
        "not a usable fastText model: {what}, at byte {offset}; a supervised .bin or .ftz of format 11 or 12 works"
    )]
    Format {
        /// What is wrong, with the value found.
        what: String,
        /// Where in the file the reader stood.
        offset: usize,
    },
}

/// One label with its probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// Index of the label, for [`Model::label`].
    pub label: usize,
    /// Probability as fastText gives it: its logarithms add 1e-5, so values slightly above 1 occur.
    pub probability: f32,
}

/// The working memory of one thread; any model can use it.
#[derive(Debug, Default)]
pub struct Scratch {
    rows: Vec<u32>,
    words: Vec<u32>,
    hashes: Vec<i32>,
    bytes: Vec<u8>,
    hidden: Vec<f32>,
    scores: Vec<f32>,
    best: Vec<Prediction>,
}

/// A supervised fastText model.
#[derive(Debug)]
pub struct Model {
    dictionary: Dictionary,
    input: Matrix,
    output: Output,
    /// Sum of a known word's rows (its own and its n-grams') and their number, `dim` floats a word; empty where the table
    /// would be larger than [`MAX_WORD_SUMS`].
    word_sums: Vec<f32>,
    word_row_counts: Vec<u32>,
}

/// Floats that may be spent on sums of known words (16 MB).
const MAX_WORD_SUMS: usize = 4 << 20;

impl Model {
    /// Reads a model file.
    ///
    /// # Errors
    /// The file cannot be read, or is not a usable model.
    pub fn open(path: &Path) -> Result<Self, FastTextError> {
        let bytes = std::fs::read(path)
            .map_err(|source| FastTextError::Io { path: path.display().to_string(), source })?;
        Self::from_bytes(&bytes)
    }

    /// Reads a model from the bytes of its file. Memory stays in proportion to `bytes`, whatever they claim.
    ///
    /// # Errors
    /// [`FastTextError::Format`] where the bytes end early or contradict themselves.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FastTextError> {
        let mut reader = Reader::new(bytes);
        let arguments = Arguments::read(&mut reader)?;
        let dictionary = Dictionary::read(&mut reader, &arguments)?;
        let quantised = reader.flag("the mark of a quantised input")?;
        if !quantised && dictionary.is_pruned() {
            return Err(reader.error("a pruned dictionary beside a dense matrix".into()));
        }
        let input = if quantised {
            QuantisedMatrix::read(&mut reader)?.into_matrix()
        } else {
            Matrix::read_dense(&mut reader)?
        };
        let quantised_output = reader.flag("the mark of a quantised output")? && quantised;
        let output = if quantised_output {
            QuantisedMatrix::read(&mut reader)?.into_matrix()
        } else {
            Matrix::read_dense(&mut reader)?
        };
        if input.columns() != arguments.dim || output.columns() != arguments.dim {
            return Err(reader.error(format!(
                "matrices with {} and {} columns in a model of dimension {}",
                input.columns(),
                output.columns(),
                arguments.dim
            )));
        }
        if input.rows() < dictionary.rows_needed() {
            return Err(reader.error(format!(
                "{} input rows where the dictionary needs {}",
                input.rows(),
                dictionary.rows_needed()
            )));
        }
        if output.rows() < dictionary.n_labels() {
            return Err(reader.error(format!(
                "{} output rows for {} labels",
                output.rows(),
                dictionary.n_labels()
            )));
        }
        let output = Output::new(arguments.loss, output, dictionary.label_counts());
        let mut model =
            Self { dictionary, input, output, word_sums: Vec::new(), word_row_counts: Vec::new() };
        model.sum_known_words();
        Ok(model)
    }

    /// Adds up the rows of every known word once, so that text costs one row a known word. Word n-grams need no change: they
    /// have rows of their own.
    fn sum_known_words(&mut self) {
        let dim = self.input.columns();
        let n_words = self.dictionary.n_words();
        if n_words.saturating_mul(dim) > MAX_WORD_SUMS {
            return;
        }
        let mut sums = vec![0.0; n_words * dim];
        let mut counts = Vec::with_capacity(n_words);
        let (mut rows, mut bytes) = (Vec::new(), Vec::new());
        for word in 0..n_words {
            rows.clear();
            self.dictionary.rows_of_word(word, &mut bytes, &mut rows);
            self.input.add_rows(&rows, &mut sums[word * dim..(word + 1) * dim]);
            counts.push(rows.len() as u32);
        }
        self.word_sums = sums;
        self.word_row_counts = counts;
    }

    /// Number of labels.
    pub fn n_labels(&self) -> usize {
        self.dictionary.n_labels()
    }

    /// A label's name without fastText's prefix `__label__`.
    ///
    /// # Panics
    /// If `index` is not below [`Model::n_labels`].
    pub fn label(&self, index: usize) -> &str {
        self.dictionary.label(index)
    }

    /// Index of a label by its name without prefix.
    pub fn label_index(&self, name: &str) -> Option<usize> {
        (0..self.n_labels()).find(|&index| self.label(index) == name)
    }

    /// The `k` likeliest labels of a text, best first, equal ones by index. A line feed counts as a space, as every
    /// published pipeline replaces it. A text without any known feature has no prediction.
    pub fn predict<'s>(&self, text: &str, k: usize, scratch: &'s mut Scratch) -> &'s [Prediction] {
        scratch.best.clear();
        if k > 0 && self.hidden(text, scratch) {
            self.output.best(&scratch.hidden, k, &mut scratch.scores, &mut scratch.best);
        }
        &scratch.best
    }

    /// The likeliest label of a text.
    pub fn best(&self, text: &str, scratch: &mut Scratch) -> Option<Prediction> {
        self.predict(text, 1, scratch).first().copied()
    }

    /// The probability of one label; `None` for a text without any known feature.
    pub fn probability(&self, text: &str, label: usize, scratch: &mut Scratch) -> Option<f32> {
        if label >= self.n_labels() || !self.hidden(text, scratch) {
            return None;
        }
        Some(self.output.probability(&scratch.hidden, label, &mut scratch.scores))
    }

    /// Computes the mean of the text's rows into `scratch.hidden`, (dim); false where there are none.
    fn hidden(&self, text: &str, scratch: &mut Scratch) -> bool {
        let summed = !self.word_row_counts.is_empty();
        scratch.rows.clear();
        scratch.words.clear();
        self.dictionary.rows_of_text(text.as_bytes(), summed, scratch);
        let dim = self.input.columns();
        scratch.hidden.clear();
        scratch.hidden.resize(dim, 0.0);
        self.input.add_rows(&scratch.rows, &mut scratch.hidden);
        let mut n_rows = scratch.rows.len() as u64;
        if summed {
            matrix::add_rows(&self.word_sums, dim, &scratch.words, &mut scratch.hidden);
            n_rows += scratch.words.iter().map(|&w| self.word_row_counts[w as usize] as u64).sum::<u64>();
        }
        if n_rows == 0 {
            return false;
        }
        let share = 1.0 / n_rows as f32;
        for value in &mut scratch.hidden {
            *value *= share;
        }
        true
    }
}

/// The training arguments that inference needs, from the file's head.
#[derive(Debug)]
struct Arguments {
    dim: usize,
    word_ngrams: usize,
    loss: Loss,
    bucket: u32,
    min_chars: usize,
    max_chars: usize,
}

impl Arguments {
    const MAGIC: i32 = 793_712_314;

    fn read(reader: &mut Reader) -> Result<Self, FastTextError> {
        let magic = reader.i32("the magic number")?;
        if magic != Self::MAGIC {
            return Err(reader.error(format!("magic number {magic}, not {}", Self::MAGIC)));
        }
        let version = reader.i32("the format version")?;
        if version != 11 && version != 12 {
            return Err(reader.error(format!("format version {version}")));
        }
        let dim = reader.length("the dimension")?;
        let _context_size = reader.i32("the window")?;
        let _epochs = reader.i32("the epochs")?;
        let _minimum_count = reader.i32("the minimum count")?;
        let _negatives = reader.i32("the negatives")?;
        let word_ngrams = reader.length("the word n-gram length")?;
        let loss = match reader.i32("the loss")? {
            1 => Loss::HierarchicalSoftmax,
            // Negative sampling and one-versus-all both score each label by a sigmoid of its own.
            2 | 4 => Loss::Sigmoids,
            3 => Loss::Softmax,
            other => return Err(reader.error(format!("unknown loss {other}"))),
        };
        let kind = reader.i32("the kind of model")?;
        if kind != 3 {
            return Err(reader.error(format!("model kind {kind}, not supervised (3)")));
        }
        let bucket = reader.length("the bucket count")? as u32;
        let min_chars = reader.length("the shortest character n-gram")?;
        // Format 11 wrote a length here that its supervised models did not use.
        let max_chars = reader.length("the longest character n-gram")?;
        let max_chars = if version == 11 { 0 } else { max_chars };
        let _update_rate = reader.i32("the update rate")?;
        let _sampling = reader.bytes(8, "the sampling threshold")?;
        if dim == 0 {
            return Err(reader.error("dimension 0".into()));
        }
        Ok(Self { dim, word_ngrams, loss, bucket, min_chars, max_chars })
    }
}
