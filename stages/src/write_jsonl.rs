//! `write_jsonl`: documents to JSON lines.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use gristmill_corpus::jsonl;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::documents::Documents;
use crate::stage::{
    BuildContext, Declares, PartWriter, Reason, Runtime, Shape, Sink, StageConfig, StageError,
};

/// Writes every document with all its columns as one JSON object a line, one file an input split.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WriteJsonl {
    /// How the files are compressed.
    #[serde(default)]
    pub compression: Compression,
}

/// How JSON lines are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Plain `.jsonl`.
    None,
    /// `.jsonl.zst`, level 3.
    #[default]
    Zstd,
}

impl StageConfig for WriteJsonl {
    const KIND: &'static str = "write_jsonl";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Sink;
    const REASONS: &'static [Reason] = &[];

    fn declares(&self) -> Declares {
        Declares::default()
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        Ok(Runtime::Sink(Box::new(JsonlSink { compression: self.compression })))
    }
}

struct JsonlSink {
    compression: Compression,
}

impl Sink for JsonlSink {
    fn open(&self, folder: &Path, index: usize) -> Result<Box<dyn PartWriter>, StageError> {
        let extension = match self.compression {
            Compression::None => "jsonl",
            Compression::Zstd => "jsonl.zst",
        };
        let path = folder.join(format!("{index:05}.{extension}"));
        let file = BufWriter::new(File::create(&path).map_err(|error| failed(&path, &error))?);
        let out = match self.compression {
            Compression::None => Out::Plain(file),
            Compression::Zstd => {
                Out::Zstd(zstd::Encoder::new(file, 3).map_err(|error| failed(&path, &error))?)
            }
        };
        Ok(Box::new(JsonlPart { path, out }))
    }
}

enum Out {
    Plain(BufWriter<File>),
    Zstd(zstd::Encoder<'static, BufWriter<File>>),
}

struct JsonlPart {
    path: PathBuf,
    out: Out,
}

impl PartWriter for JsonlPart {
    fn write(&mut self, documents: &Documents) -> Result<(), StageError> {
        let batch = documents.batch().record_batch();
        match &mut self.out {
            Out::Plain(out) => jsonl::write(out, batch)?,
            Out::Zstd(out) => jsonl::write(out, batch)?,
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), StageError> {
        let Self { path, out } = *self;
        let fail = |error: std::io::Error| failed(&path, &error);
        let out = match out {
            Out::Plain(out) => out,
            Out::Zstd(out) => out.finish().map_err(fail)?,
        };
        let file = out.into_inner().map_err(|error| fail(error.into_error()))?;
        file.sync_all().map_err(fail)
    }
}

fn failed(path: &Path, error: &std::io::Error) -> StageError {
    StageError::Engine(format!("cannot write `{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use gristmill_corpus::batch::{DocBatchBuilder, Document};
    use gristmill_corpus::columns;

    use super::*;

    #[test]
    fn plain_and_compressed_hold_the_same_lines() {
        let folder = tempfile::tempdir().unwrap();
        for compression in [Compression::None, Compression::Zstd] {
            let mut part = JsonlSink { compression }.open(folder.path(), 0).unwrap();
            let mut builder = DocBatchBuilder::new(columns::TEXT);
            let document =
                Document { id: "a", url: "u", date: "", dump: "", file_path: "", offset: 0, content: "x\ny" };
            builder.push(&document);
            part.write(&Documents::new(builder.finish())).unwrap();
            part.finish().unwrap();
        }
        let plain = std::fs::read(folder.path().join("00000.jsonl")).unwrap();
        let packed = std::fs::read(folder.path().join("00000.jsonl.zst")).unwrap();
        assert_eq!(zstd::decode_all(&packed[..]).unwrap(), plain);
        let row: serde_json::Value = serde_json::from_slice(&plain).unwrap();
        assert_eq!(row["text"], "x\ny");
    }
}
