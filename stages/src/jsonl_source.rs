//! `jsonl`: documents out of JSON lines.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use gristmill_corpus::batch::Document;
use gristmill_corpus::{DocBatchBuilder, columns};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::stage::{
    BuildContext, Declares, Reason, Runtime, Shape, Skipped, Source, SourceOutput, Split, StageConfig,
    StageError,
};

/// Reads JSON lines, plain or packed with gzip or zstd (told apart by their first bytes). A line is an object;
/// fields that are not named here are ignored. `offset` is the line number, beginning with 1.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Jsonl {
    /// Files: paths or globs, relative to the recipe.
    pub paths: Vec<String>,
    /// The field that holds the text.
    #[serde(default = "default_text_field")]
    pub text_field: String,
    /// The field that holds the id (a string or a number). Without it an id is made from file and line.
    #[serde(default = "default_id_field")]
    pub id_field: String,
    /// The field that holds the address.
    #[serde(default = "default_url_field")]
    pub url_field: String,
    /// Longer lines are passed over (`record_too_large`).
    #[serde(default = "default_maximum_line_bytes")]
    pub maximum_line_bytes: u64,
}

fn default_text_field() -> String {
    "text".to_owned()
}

fn default_id_field() -> String {
    "id".to_owned()
}

fn default_url_field() -> String {
    "url".to_owned()
}

fn default_maximum_line_bytes() -> u64 {
    256 << 20
}

impl StageConfig for Jsonl {
    const KIND: &'static str = "jsonl";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Source;
    const REASONS: &'static [Reason] =
        &["bad_json", "no_text", "empty_body", "record_too_large", "truncated_record"];

    fn declares(&self) -> Declares {
        Declares::source(&self.paths, columns::TEXT)
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        Ok(Runtime::Source(Box::new(Lines(self.clone()))))
    }
}

struct Lines(Jsonl);

impl Source for Lines {
    fn read(&self, split: &Split, output: &mut dyn SourceOutput) -> Result<(), StageError> {
        let input = |error: std::io::Error| StageError::Input {
            path: split.path.clone(),
            message: error.to_string(),
        };
        let mut file = BufReader::new(File::open(&split.path).map_err(input)?);
        let head = file.fill_buf().map_err(input)?;
        let (is_gzip, is_zstd) =
            (head.starts_with(&[0x1f, 0x8b]), head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]));
        let mut lines: Box<dyn BufRead> = if is_gzip {
            Box::new(BufReader::with_capacity(1 << 16, flate2::bufread::MultiGzDecoder::new(file)))
        } else if is_zstd {
            Box::new(BufReader::with_capacity(
                1 << 16,
                zstd::stream::read::Decoder::with_buffer(file).map_err(input)?,
            ))
        } else {
            Box::new(file)
        };
        let cap = self.0.maximum_line_bytes;
        let mut builder = DocBatchBuilder::new(columns::TEXT);
        let mut line = Vec::new();
        let mut number = 0u64;
        loop {
            line.clear();
            number += 1;
            let skip = |reason| Skipped { id: "", url: "", offset: number, reason };
            match lines.by_ref().take(cap.saturating_add(1)).read_until(b'\n', &mut line) {
                Ok(0) => break,
                Ok(length) if length as u64 > cap && line.last() != Some(&b'\n') => {
                    output.skip(skip("record_too_large"))?;
                    if lines.skip_until(b'\n').is_err() {
                        output.skip(skip("truncated_record"))?;
                        break;
                    }
                    continue;
                }
                Ok(_) => {}
                // A file whose first line cannot be had is unreadable; later, the end of it is lost.
                Err(error) if number == 1 => return Err(input(error)),
                Err(_) => {
                    output.skip(skip("truncated_record"))?;
                    break;
                }
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            let Ok(Value::Object(row)) = serde_json::from_slice::<Value>(&line) else {
                output.skip(skip("bad_json"))?;
                continue;
            };
            let text_of = |field: &str| row.get(field).and_then(Value::as_str).unwrap_or_default();
            let id = match row.get(&self.0.id_field) {
                Some(Value::String(id)) if !id.is_empty() => id.clone(),
                Some(Value::Number(id)) => id.to_string(),
                _ => place_id(&split.name, number),
            };
            let url = text_of(&self.0.url_field);
            let reason = match row.get(&self.0.text_field) {
                Some(Value::String(text)) if !text.trim_ascii().is_empty() => {
                    builder.push(&Document {
                        id: &id,
                        url,
                        date: text_of(columns::DATE),
                        dump: text_of(columns::DUMP),
                        file_path: &split.name,
                        offset: number,
                        content: text,
                    });
                    if builder.is_full() {
                        output.documents(builder.finish())?;
                    }
                    continue;
                }
                Some(Value::String(_)) => "empty_body",
                _ => "no_text",
            };
            output.skip(Skipped { id: &id, url, offset: number, reason })?;
        }
        if !builder.is_empty() {
            output.documents(builder.finish())?;
        }
        Ok(())
    }
}

/// An id for a row that has none, from where it stands.
pub(crate) fn place_id(file: &str, offset: u64) -> String {
    format!("urn:xxh3:{:032x}", xxhash_rust::xxh3::xxh3_128(format!("{file}\0{offset}").as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::warc_source::tests::collect;

    #[test]
    fn lines_become_documents_and_bad_ones_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        let lines = "{\"id\":7,\"body\":\"one\",\"extra\":{}}\n{bad\n\n{\"id\":\"b\"}\n{\"body\":\"two\",\"url\":\"u\"}";
        let config: Jsonl =
            serde_json::from_str(r#"{"paths":[],"text_field":"body","maximum_line_bytes":60}"#).unwrap();
        for bytes in [lines.as_bytes().to_vec(), zstd::encode_all(lines.as_bytes(), 3).unwrap()] {
            std::fs::write(&path, bytes).unwrap();
            let found = collect(&config, &path, "x.jsonl").unwrap();
            assert_eq!(found.column("text"), ["one", "two"]);
            assert_eq!(found.column("id"), ["7".to_owned(), place_id("x.jsonl", 5)]);
            let skipped: Vec<_> = found.skipped.iter().map(|(_, line, reason)| (*line, *reason)).collect();
            assert_eq!(skipped, [(2, "bad_json"), (4, "no_text")]);
        }
        std::fs::write(&path, format!("{}\n{{\"body\":\"x\"}}\n", "y".repeat(100))).unwrap();
        let found = collect(&config, &path, "x.jsonl").unwrap();
        assert_eq!((found.column("text"), found.skipped[0].2), (vec!["x".to_owned()], "record_too_large"));
    }
}
