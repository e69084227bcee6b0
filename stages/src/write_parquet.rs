//! `write_parquet`: documents to Parquet files.

use std::path::{Path, PathBuf};

use gristmill_corpus::parquet_files::ParquetWriter;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::documents::Documents;
use crate::stage::{
    BuildContext, Declares, PartWriter, Reason, Runtime, Shape, Sink, StageConfig, StageError,
};

/// Writes every document with all its columns to Parquet, one file an input split, named by the split's number.
///
/// zstd-compressed, row groups bounded by bytes, with the column names that FineWeb publishes. A split without
/// documents leaves no file.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteParquet {}

impl StageConfig for WriteParquet {
    const KIND: &'static str = "write_parquet";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Sink;
    const REASONS: &'static [Reason] = &[];

    fn declares(&self) -> Declares {
        Declares::default()
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        Ok(Runtime::Sink(Box::new(ParquetSink)))
    }
}

struct ParquetSink;

impl Sink for ParquetSink {
    fn open(&self, folder: &Path, index: usize) -> Result<Box<dyn PartWriter>, StageError> {
        Ok(Box::new(ParquetPart { path: folder.join(format!("{index:05}.parquet")), writer: None }))
    }
}

/// The file is made with the first batch, whose schema it takes.
struct ParquetPart {
    path: PathBuf,
    writer: Option<ParquetWriter>,
}

impl PartWriter for ParquetPart {
    fn write(&mut self, documents: &Documents) -> Result<(), StageError> {
        let batch = documents.batch().record_batch();
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => ParquetWriter::create(&self.path, batch.schema())?,
        };
        Ok(self.writer.insert(writer).write(batch)?)
    }

    fn finish(self: Box<Self>) -> Result<(), StageError> {
        if let Some(writer) = self.writer {
            writer.finish()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use gristmill_corpus::batch::{DocBatchBuilder, Document};
    use gristmill_corpus::{columns, parquet_files};

    use super::*;

    #[test]
    fn writes_what_it_gets_under_the_splits_number() {
        let folder = tempfile::tempdir().unwrap();
        let mut part = ParquetSink.open(folder.path(), 3).unwrap();
        let mut builder = DocBatchBuilder::new(columns::TEXT);
        let document =
            Document { id: "a", url: "", date: "", dump: "", file_path: "", offset: 0, content: "x" };
        for _ in 0..2 {
            builder.push(&document);
            part.write(&Documents::new(builder.finish())).unwrap();
        }
        part.finish().unwrap();
        let rows = parquet_files::read(&folder.path().join("00003.parquet"), None).unwrap();
        assert_eq!(rows.map(|batch| batch.unwrap().len()).sum::<usize>(), 2);
    }

    #[test]
    fn no_documents_no_file() {
        let folder = tempfile::tempdir().unwrap();
        ParquetSink.open(folder.path(), 0).unwrap().finish().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
