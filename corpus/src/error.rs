//! The one error type of this crate, by what a caller can do about it.

use std::path::{Path, PathBuf};

/// What can go wrong with batches and files.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// The file cannot be read or written: check the path, permissions and space.
    #[error("`{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's word.
        source: std::io::Error,
    },
    /// The file was read, but what it holds is not what its name or marker says.
    #[error("`{}` is damaged: {message}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        message: String,
    },
    /// No such pack plan can be: its inputs or its configuration have to change.
    #[error("{0}")]
    Plan(String),
    /// A batch lacks a column, or the column has another type.
    #[error("{0}")]
    Column(String),
    /// Arrow or Parquet refused.
    #[error("{0}")]
    Arrow(String),
}

impl CorpusError {
    /// An I/O error with its path.
    pub fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }

    /// A damaged file with what is wrong.
    pub fn damaged(path: &Path, message: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), message: message.into() }
    }
}

impl From<arrow::error::ArrowError> for CorpusError {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Arrow(error.to_string())
    }
}

impl From<parquet::errors::ParquetError> for CorpusError {
    fn from(error: parquet::errors::ParquetError) -> Self {
        Self::Arrow(error.to_string())
    }
}
