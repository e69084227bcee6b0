//! What can go wrong, by what the caller can do about it.

use std::path::PathBuf;

/// Every error of this crate. Encoding and decoding never fail; training and files can.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// A file could not be read or written.
    #[error("cannot access tokenizer file `{path}`: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The bytes are not what their format promises: truncated, damaged, or another format.
    #[error("not a readable {format}: {reason}")]
    Format {
        /// The format that was expected, for example `tokenizer.json`.
        format: &'static str,
        /// Where and what.
        reason: String,
    },
    /// A well-formed file that asks for something this crate does not do.
    #[error("tokenizer.json asks for {what}, which is not supported; {hint}")]
    Unsupported {
        /// The feature, quoted from the file.
        what: String,
        /// What would work.
        hint: &'static str,
    },
    /// A split pattern that does not compile.
    #[error("split pattern `{pattern}` does not compile: {reason}")]
    Pattern {
        /// The regular expression.
        pattern: String,
        /// The regex engine's words.
        reason: String,
    },
    /// Options that cannot work, or inputs that do not belong together.
    #[error("{0}")]
    Options(String),
}

impl TokenizerError {
    pub(crate) fn format(format: &'static str, reason: impl Into<String>) -> Self {
        Self::Format { format, reason: reason.into() }
    }
}
