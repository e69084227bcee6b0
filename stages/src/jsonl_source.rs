//! `jsonl`: documents out of JSON lines.

use gristmill_corpus::batch::Document;
use gristmill_corpus::{DocBatchBuilder, columns};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::json_lines::{self, default_id_field, default_maximum_line_bytes, id_in, place_id};
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

fn default_url_field() -> String {
    "url".to_owned()
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
        let mut builder = DocBatchBuilder::new(columns::TEXT);
        json_lines::read(split, self.0.maximum_line_bytes, &mut |number, row| {
            let skip = |reason| Skipped { id: "", url: "", offset: number, reason };
            let row = match row {
                Ok(Value::Object(row)) => row,
                Ok(_) => return output.skip(skip("bad_json")),
                Err(reason) => return output.skip(skip(reason)),
            };
            let text_of = |field: &str| row.get(field).and_then(Value::as_str).unwrap_or_default();
            let id = id_in(row.get(&self.0.id_field)).unwrap_or_else(|| place_id(&split.name, number));
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
                    return if builder.is_full() { output.documents(builder.finish()) } else { Ok(()) };
                }
                Some(Value::String(_)) => "empty_body",
                _ => "no_text",
            };
            output.skip(Skipped { id: &id, url, offset: number, reason })
        })?;
        if !builder.is_empty() {
            output.documents(builder.finish())?;
        }
        Ok(())
    }
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
