//! A batch on its way through a chain of stages, with what stages computed about it.

use std::cell::OnceCell;

use arrow::array::{Array, ArrayRef, LargeStringArray};
use gristmill_corpus::{DocBatch, columns};

use crate::stage::StageError;
use crate::words::WordView;

/// A [`DocBatch`] and its word views. Views are made when a stage first asks, shared by every later stage,
/// carried along when rows are dropped and forgotten when `text` or `language` is rewritten.
#[derive(Debug)]
pub struct Documents {
    batch: DocBatch,
    words: Vec<OnceCell<WordView>>,
}

impl Documents {
    /// Starts with no views.
    pub fn new(batch: DocBatch) -> Self {
        let words = vec![OnceCell::new(); batch.len()];
        Self { batch, words }
    }

    /// Number of documents.
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// Whether there is no document.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// The columns.
    pub fn batch(&self) -> &DocBatch {
        &self.batch
    }

    /// Gives the batch back.
    pub fn into_batch(self) -> DocBatch {
        self.batch
    }

    /// A string column. A null reads as the empty string (that is what its value slot holds).
    ///
    /// # Errors
    /// [`StageError::Engine`] when the column is missing: plan-time checks make that impossible in a run.
    pub fn strings(&self, column: &str) -> Result<&LargeStringArray, StageError> {
        Ok(self.batch.strings(column)?)
    }

    /// Words and sentences of the text of `row`, by the rules of its `language` if that column is there.
    ///
    /// # Errors
    /// [`StageError::Engine`] when there is no `text` column.
    pub fn words(&self, row: usize) -> Result<&WordView, StageError> {
        let texts = self.batch.strings(columns::TEXT)?;
        Ok(self.words[row].get_or_init(|| {
            let languages = self.batch.strings(columns::LANGUAGE).ok();
            let language = languages.filter(|values| values.is_valid(row)).map(|values| values.value(row));
            WordView::new(texts.value(row), language)
        }))
    }

    /// Adds or replaces a column.
    ///
    /// # Errors
    /// [`StageError::Engine`] when the length or the type of a known column is wrong.
    pub fn with_column(self, name: &str, values: ArrayRef) -> Result<Self, StageError> {
        let Self { batch, words } = self;
        let batch = batch.with_column(name, values)?;
        if name == columns::TEXT || name == columns::LANGUAGE {
            return Ok(Self::new(batch));
        }
        Ok(Self { batch, words })
    }

    /// Removes a column if it is there.
    ///
    /// # Errors
    /// [`StageError::Engine`] never in practice.
    pub fn without_column(self, name: &str) -> Result<Self, StageError> {
        Ok(Self { batch: self.batch.without_column(name)?, words: self.words })
    }

    /// Keeps the rows whose `keep` is true.
    ///
    /// # Errors
    /// [`StageError::Engine`] when `keep` has not one entry a document.
    pub fn retain(self, keep: &[bool]) -> Result<Self, StageError> {
        let batch = self.batch.retain(keep)?;
        let words =
            self.words.into_iter().zip(keep).filter(|(_, keep)| **keep).map(|(view, _)| view).collect();
        Ok(Self { batch, words })
    }
}
