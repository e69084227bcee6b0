//! The order of documents that decides which of several copies is the first.

use gristmill_corpus::columns;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::documents::Documents;
use crate::stage::StageError;

/// A number for every document; the smallest is first. It is a hash of the id and the text, so that it depends on the
/// document alone: an order of files would change with every file that is added or renamed. Documents with the same id and
/// the same text have the same number, and it does not matter which of them is first.
///
/// # Errors
/// [`StageError::Engine`] when there is no `id` or no `text`.
pub fn orders(documents: &Documents) -> Result<Vec<u64>, StageError> {
    let (ids, texts) = (documents.strings(columns::ID)?, documents.strings(columns::TEXT)?);
    let order = |row| xxh3_64_with_seed(texts.value(row).as_bytes(), xxh3_64(ids.value(row).as_bytes()));
    Ok((0..documents.len()).map(order).collect())
}
