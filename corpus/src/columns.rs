//! The columns of a document, named as FineWeb publishes them so that outputs drop in.

use arrow::datatypes::DataType;

/// `WARC-Record-ID` without its angle brackets, or an id made from file and offset.
pub const ID: &str = "id";
/// The page's address as it was crawled.
pub const URL: &str = "url";
/// When the page was crawled, as the archive writes it (RFC 3339).
pub const DATE: &str = "date";
/// The crawl snapshot, such as `CC-MAIN-2026-44`.
pub const DUMP: &str = "dump";
/// The input file, as the recipe names it.
pub const FILE_PATH: &str = "file_path";
/// Byte offset of the record in its input file (compressed bytes for a compressed file).
pub const OFFSET: &str = "offset";
/// The page's markup, decoded to UTF-8. Dropped after extraction.
pub const HTML: &str = "html";
/// The text that a model reads.
pub const TEXT: &str = "text";
/// A conversation: JSON of `[{"role": …, "content": …}, …]`, roles `system`, `user`, `assistant` and `tool`; a message of
/// the assistant that is read and not learnt has `"learn": false` too.
pub const MESSAGES: &str = "messages";
/// The page's title.
pub const TITLE: &str = "title";
/// The best language label, such as `en`.
pub const LANGUAGE: &str = "language";
/// The probability of that label, 0 to 1.
pub const LANGUAGE_SCORE: &str = "language_score";
/// Tokens of `text` under the recipe's tokenizer, without BOS.
pub const TOKEN_COUNT: &str = "token_count";

/// The Arrow type of a known column: every string is `LargeUtf8` (64-bit offsets), so that one accessor
/// serves all and no batch can overflow. A column that stages add may have any type.
pub fn data_type(column: &str) -> Option<DataType> {
    match column {
        ID | URL | DATE | DUMP | FILE_PATH | HTML | TEXT | MESSAGES | TITLE | LANGUAGE => {
            Some(DataType::LargeUtf8)
        }
        OFFSET => Some(DataType::UInt64),
        LANGUAGE_SCORE => Some(DataType::Float64),
        TOKEN_COUNT => Some(DataType::Int64),
        _ => None,
    }
}
