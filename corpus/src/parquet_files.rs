//! Documents in Parquet files: zstd, row groups bounded by bytes, the same bytes for the same batches.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector,
};
use parquet::arrow::arrow_writer::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::PageIndexPolicy;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use crate::batch::{BATCH_DOCUMENTS, DocBatch};
use crate::columns;
use crate::error::CorpusError;

/// A row group is closed at this many bytes of encoded data, which bounds a writer's memory.
const ROW_GROUP_BYTES: usize = 32 << 20;

/// Writes batches of one schema to one file.
pub struct ParquetWriter {
    path: PathBuf,
    writer: ArrowWriter<File>,
    rows: u64,
}

impl ParquetWriter {
    /// Creates the file; `schema` is that of every batch.
    ///
    /// # Errors
    /// [`CorpusError::Io`] when the file cannot be created.
    pub fn create(path: &Path, schema: SchemaRef) -> Result<Self, CorpusError> {
        let level = ZstdLevel::try_new(3).expect("zstd has a level 3");
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_created_by("gristmill".to_owned());
        // Values that hardly repeat: a dictionary only costs time there.
        for column in [columns::ID, columns::URL, columns::TEXT, columns::HTML, columns::TITLE] {
            properties = properties.set_column_dictionary_enabled(ColumnPath::from(column), false);
        }
        let file = File::create(path).map_err(|source| CorpusError::io(path, source))?;
        let writer = ArrowWriter::try_new(file, schema, Some(properties.build()))?;
        Ok(Self { path: path.to_owned(), writer, rows: 0 })
    }

    /// Appends a batch.
    ///
    /// # Errors
    /// [`CorpusError::Arrow`] when the schema differs or the disk is full.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), CorpusError> {
        self.writer.write(batch)?;
        self.rows += batch.num_rows() as u64;
        if self.writer.in_progress_size() >= ROW_GROUP_BYTES {
            self.writer.flush()?;
        }
        Ok(())
    }

    /// Ends a row group here, however long it is.
    ///
    /// # Errors
    /// [`CorpusError::Arrow`] when the disk is full.
    pub fn end_row_group(&mut self) -> Result<(), CorpusError> {
        Ok(self.writer.flush()?)
    }

    /// Writes the footer and syncs. Returns the number of rows.
    ///
    /// # Errors
    /// [`CorpusError`] when the disk is full.
    pub fn finish(self) -> Result<u64, CorpusError> {
        let file = self.writer.into_inner()?;
        file.sync_all().map_err(|source| CorpusError::io(&self.path, source))?;
        Ok(self.rows)
    }
}

/// Reads a file batch by batch, all columns or only the named ones (in the file's order; names that the file
/// lacks are left out).
///
/// # Errors
/// [`CorpusError::Io`] when it cannot be opened, [`CorpusError::Damaged`] when it is no Parquet file.
pub fn read(path: &Path, only: Option<&[&str]>) -> Result<ParquetBatches, CorpusError> {
    let file = File::open(path).map_err(|source| CorpusError::io(path, source))?;
    let damaged = |error: parquet::errors::ParquetError| CorpusError::damaged(path, error.to_string());
    let mut builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(damaged)?;
    if let Some(names) = only {
        let kept: Vec<usize> = (0..builder.schema().fields().len())
            .filter(|&index| names.contains(&builder.schema().field(index).name().as_str()))
            .collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), kept);
        builder = builder.with_projection(mask);
    }
    let reader = builder.with_batch_size(BATCH_DOCUMENTS).build().map_err(damaged)?;
    Ok(ParquetBatches { path: path.to_owned(), reader })
}

/// Reads one row, and of the file no more than the pages that hold it. `None` when there are not so many.
///
/// # Errors
/// As [`read`].
pub fn read_row(path: &Path, row: usize) -> Result<Option<RecordBatch>, CorpusError> {
    let file = File::open(path).map_err(|source| CorpusError::io(path, source))?;
    let damaged = |error: parquet::errors::ParquetError| CorpusError::damaged(path, error.to_string());
    let options = ArrowReaderOptions::new().with_offset_index_policy(PageIndexPolicy::Optional);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options).map_err(damaged)?;
    // The row's group, and its place in it: a selection over all groups would list those before it.
    let mut place = row;
    let mut group = None;
    for (index, metadata) in builder.metadata().row_groups().iter().enumerate() {
        let n_rows = metadata.num_rows() as usize;
        if place < n_rows {
            group = Some(index);
            break;
        }
        place -= n_rows;
    }
    let Some(group) = group else { return Ok(None) };
    let selection = RowSelection::from(vec![RowSelector::skip(place), RowSelector::select(1)]);
    let mut reader = builder
        .with_row_groups(vec![group])
        .with_row_selection(selection)
        .with_batch_size(1)
        .build()
        .map_err(damaged)?;
    let batch = reader.next().transpose();
    batch.map_err(|error| CorpusError::damaged(path, error.to_string()))
}

/// See [`read`].
pub struct ParquetBatches {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
}

impl Iterator for ParquetBatches {
    type Item = Result<DocBatch, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.reader.next()?;
        Some(match batch {
            Ok(batch) => DocBatch::new(batch),
            Err(error) => Err(CorpusError::damaged(&self.path, error.to_string())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{DocBatchBuilder, Document};

    fn batch(n: usize) -> DocBatch {
        let mut builder = DocBatchBuilder::new(columns::TEXT);
        for row in 0..n {
            let id = row.to_string();
            builder.push(&Document {
                id: &id,
                url: "http://a.example/",
                date: "2024-05-18T00:00:00Z",
                dump: "",
                file_path: "f",
                offset: row as u64,
                content: "some text",
            });
        }
        builder.finish()
    }

    #[test]
    fn what_is_written_is_read_and_bytes_repeat() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = folder.path().join(name);
            let batch = batch(2500);
            let mut writer = ParquetWriter::create(&path, batch.record_batch().schema()).unwrap();
            writer.write(batch.record_batch()).unwrap();
            assert_eq!(writer.finish().unwrap(), 2500);
            std::fs::read(&path).unwrap()
        };
        assert_eq!(write("a.parquet"), write("b.parquet"));
        let batches: Vec<_> = read(&folder.path().join("a.parquet"), Some(&["id", "offset"]))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(batches.iter().map(DocBatch::len).sum::<usize>(), 2500);
        assert!(!batches[0].has(columns::TEXT));
        assert_eq!(batches[1].unsigned(columns::OFFSET).unwrap().value(0), 1024);
        for row in [0, 1, 1023, 1024, 2499] {
            let batch =
                DocBatch::new(read_row(&folder.path().join("a.parquet"), row).unwrap().unwrap()).unwrap();
            assert_eq!((batch.len(), batch.unsigned(columns::OFFSET).unwrap().value(0)), (1, row as u64));
        }
        assert!(read_row(&folder.path().join("a.parquet"), 2500).unwrap().is_none());
    }

    #[test]
    fn a_file_that_is_not_parquet_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        std::fs::write(&path, "hello").unwrap();
        let message = read(&path, None).err().unwrap().to_string();
        assert!(message.contains("x.parquet` is damaged"), "{message}");
    }
}
