//! A checked Arrow record batch of documents, and the builder that sources fill.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, LargeStringArray, LargeStringBuilder, UInt64Array, UInt64Builder,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;

use crate::columns;
use crate::error::CorpusError;

/// A batch of documents: an Arrow [`RecordBatch`] whose known columns have the types that [`columns`] fixes.
#[derive(Debug, Clone)]
pub struct DocBatch {
    batch: RecordBatch,
}

impl DocBatch {
    /// Checks the types of the known columns.
    ///
    /// # Errors
    /// [`CorpusError::Column`] names the first column whose type differs.
    pub fn new(batch: RecordBatch) -> Result<Self, CorpusError> {
        for field in batch.schema_ref().fields() {
            match columns::data_type(field.name()) {
                Some(expected) if expected != *field.data_type() => {
                    return Err(CorpusError::Column(format!(
                        "column `{}` has type {}, but must be {expected}",
                        field.name(),
                        field.data_type()
                    )));
                }
                _ => {}
            }
        }
        Ok(Self { batch })
    }

    /// The Arrow batch.
    pub fn record_batch(&self) -> &RecordBatch {
        &self.batch
    }

    /// Number of documents.
    pub fn len(&self) -> usize {
        self.batch.num_rows()
    }

    /// Whether it holds no document.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Any column.
    ///
    /// # Errors
    /// [`CorpusError::Column`] lists the columns that are there.
    pub fn column(&self, name: &str) -> Result<&ArrayRef, CorpusError> {
        self.batch.column_by_name(name).ok_or_else(|| {
            let names: Vec<_> = self.batch.schema_ref().fields().iter().map(|f| f.name().as_str()).collect();
            CorpusError::Column(format!("no column `{name}` among {}", names.join(", ")))
        })
    }

    /// Whether a column is there.
    pub fn has(&self, name: &str) -> bool {
        self.batch.column_by_name(name).is_some()
    }

    /// A string column.
    ///
    /// # Errors
    /// [`CorpusError::Column`] when it is missing or not `LargeUtf8`.
    pub fn strings(&self, name: &str) -> Result<&LargeStringArray, CorpusError> {
        let column = self.column(name)?;
        column.as_any().downcast_ref().ok_or_else(|| {
            CorpusError::Column(format!(
                "column `{name}` has type {}, but must be LargeUtf8",
                column.data_type()
            ))
        })
    }

    /// An unsigned column such as `offset`.
    ///
    /// # Errors
    /// [`CorpusError::Column`] when it is missing or not `UInt64`.
    pub fn unsigned(&self, name: &str) -> Result<&UInt64Array, CorpusError> {
        let column = self.column(name)?;
        column.as_any().downcast_ref().ok_or_else(|| {
            CorpusError::Column(format!(
                "column `{name}` has type {}, but must be UInt64",
                column.data_type()
            ))
        })
    }

    /// Adds a column, or replaces the one of that name in place.
    ///
    /// # Errors
    /// [`CorpusError`] when the length or the type of a known column is wrong.
    pub fn with_column(self, name: &str, values: ArrayRef) -> Result<Self, CorpusError> {
        let mut fields: Vec<_> = self.batch.schema_ref().fields().iter().cloned().collect();
        let mut arrays = self.batch.columns().to_vec();
        let field = Arc::new(Field::new(name, values.data_type().clone(), true));
        if let Some(index) = fields.iter().position(|f| f.name() == name) {
            fields[index] = field;
            arrays[index] = values;
        } else {
            fields.push(field);
            arrays.push(values);
        }
        Self::new(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
    }

    /// Removes a column if it is there.
    ///
    /// # Errors
    /// [`CorpusError::Arrow`] never in practice: removing keeps lengths equal.
    pub fn without_column(self, name: &str) -> Result<Self, CorpusError> {
        let keep: Vec<usize> = (0..self.batch.num_columns())
            .filter(|&index| self.batch.schema_ref().field(index).name() != name)
            .collect();
        Ok(Self { batch: self.batch.project(&keep)? })
    }

    /// Keeps the rows whose `keep` is true; `keep` has one entry a document.
    ///
    /// # Errors
    /// [`CorpusError::Arrow`] when the lengths differ.
    pub fn retain(self, keep: &[bool]) -> Result<Self, CorpusError> {
        Ok(Self { batch: filter_record_batch(&self.batch, &BooleanArray::from(keep.to_vec()))? })
    }
}

/// One document on its way from a source into a batch. `content` goes to the column that the builder was
/// made for (`html` or `text`).
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    /// Unique id.
    pub id: &'a str,
    /// Address, empty when unknown.
    pub url: &'a str,
    /// Crawl date, empty when unknown.
    pub date: &'a str,
    /// Snapshot, empty when unknown.
    pub dump: &'a str,
    /// Input file as the recipe names it.
    pub file_path: &'a str,
    /// Byte offset (or line number for line formats) of the record.
    pub offset: u64,
    /// Markup or text.
    pub content: &'a str,
}

/// Builds batches of source documents: `id, url, date, dump, file_path, offset` and one content column.
#[derive(Debug)]
pub struct DocBatchBuilder {
    strings: [LargeStringBuilder; 6],
    offset: UInt64Builder,
    content_column: &'static str,
    bytes: usize,
    rows: usize,
}

/// A batch is full at this many bytes of content or this many documents, whichever comes first: bounded
/// memory for large pages, enough rows to spread the cost of one call for small ones.
pub const BATCH_BYTES: usize = 8 << 20;
/// See [`BATCH_BYTES`].
pub const BATCH_DOCUMENTS: usize = 1024;

impl DocBatchBuilder {
    /// `content_column` is [`columns::HTML`] or [`columns::TEXT`].
    pub fn new(content_column: &'static str) -> Self {
        Self {
            strings: std::array::from_fn(|_| LargeStringBuilder::new()),
            offset: UInt64Builder::new(),
            content_column,
            bytes: 0,
            rows: 0,
        }
    }

    /// Appends a document.
    pub fn push(&mut self, document: &Document<'_>) {
        let values =
            [document.id, document.url, document.date, document.dump, document.file_path, document.content];
        for (builder, value) in self.strings.iter_mut().zip(values) {
            builder.append_value(value);
        }
        self.offset.append_value(document.offset);
        self.bytes += document.content.len();
        self.rows += 1;
    }

    /// Whether it is time to call [`finish`](Self::finish).
    pub fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES || self.rows >= BATCH_DOCUMENTS
    }

    /// Documents so far.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether nothing was pushed since the last [`finish`](Self::finish).
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The batch; the builder starts anew.
    pub fn finish(&mut self) -> DocBatch {
        let names = [
            columns::ID,
            columns::URL,
            columns::DATE,
            columns::DUMP,
            columns::FILE_PATH,
            self.content_column,
        ];
        let mut fields = Vec::with_capacity(7);
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(7);
        for (builder, name) in self.strings.iter_mut().zip(names) {
            if name == self.content_column {
                fields.push(Field::new(columns::OFFSET, DataType::UInt64, true));
                arrays.push(Arc::new(self.offset.finish()));
            }
            fields.push(Field::new(name, DataType::LargeUtf8, true));
            arrays.push(Arc::new(builder.finish()));
        }
        self.bytes = 0;
        self.rows = 0;
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
            .expect("all builders got one value a push, of the types that the schema says");
        DocBatch { batch }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> DocBatch {
        let mut builder = DocBatchBuilder::new(columns::TEXT);
        for (id, content) in [("a", "one"), ("b", "two"), ("c", "three")] {
            builder.push(&Document { id, url: "", date: "", dump: "", file_path: "f", offset: 7, content });
        }
        builder.finish()
    }

    #[test]
    fn builder_makes_a_checked_batch() {
        let batch = sample();
        assert_eq!(batch.len(), 3);
        assert_eq!(batch.strings(columns::TEXT).unwrap().value(2), "three");
        assert_eq!(batch.unsigned(columns::OFFSET).unwrap().value(0), 7);
    }

    #[test]
    fn retain_keeps_rows_in_order() {
        let batch = sample().retain(&[true, false, true]).unwrap();
        assert_eq!(batch.strings(columns::ID).unwrap().iter().flatten().collect::<Vec<_>>(), ["a", "c"]);
    }

    #[test]
    fn a_missing_column_lists_what_is_there() {
        let message = sample().column("html").unwrap_err().to_string();
        assert!(message.contains("no column `html` among id, url"), "{message}");
    }

    #[test]
    fn a_known_column_of_another_type_is_refused() {
        let wrong = Arc::new(UInt64Array::from(vec![1, 2, 3]));
        let message = sample().with_column(columns::TEXT, wrong).unwrap_err().to_string();
        assert!(message.contains("column `text` has type UInt64"), "{message}");
    }
}
