//! `parquet`: documents out of Parquet files.

use std::fs::File;

use arrow::array::{Array, ArrayRef, AsArray, LargeStringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use gristmill_corpus::batch::Document;
use gristmill_corpus::{DocBatchBuilder, columns};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::json_lines::place_id;
use crate::stage::{
    BuildContext, Declares, Reason, Runtime, Shape, Skipped, Source, SourceOutput, Split, StageConfig,
    StageError,
};

/// Reads Parquet files row group by row group; only the columns that are named here, `date` and `dump` are read.
/// `offset` is the row number, beginning with 0.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parquet {
    /// Files: paths or globs, relative to the recipe.
    pub paths: Vec<String>,
    /// The column that holds the text.
    #[serde(default = "default_text_column")]
    pub text_column: String,
    /// The column that holds the id. Without it an id is made from file and row.
    #[serde(default = "default_id_column")]
    pub id_column: String,
    /// The column that holds the address.
    #[serde(default = "default_url_column")]
    pub url_column: String,
}

fn default_text_column() -> String {
    "text".to_owned()
}

fn default_id_column() -> String {
    "id".to_owned()
}

fn default_url_column() -> String {
    "url".to_owned()
}

impl StageConfig for Parquet {
    const KIND: &'static str = "parquet";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Source;
    const REASONS: &'static [Reason] = &["empty_body", "no_text"];

    fn declares(&self) -> Declares {
        Declares::source(&self.paths, columns::TEXT)
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        Ok(Runtime::Source(Box::new(Rows(self.clone()))))
    }
}

struct Rows(Parquet);

impl Source for Rows {
    fn read(&self, split: &Split, output: &mut dyn SourceOutput) -> Result<(), StageError> {
        let input = |message: String| StageError::Input { path: split.path.clone(), message };
        let file = File::open(&split.path).map_err(|error| input(error.to_string()))?;
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| input(error.to_string()))?;
        let wanted =
            [&self.0.text_column, &self.0.id_column, &self.0.url_column, columns::DATE, columns::DUMP];
        let names: Vec<String> = reader.schema().fields().iter().map(|field| field.name().clone()).collect();
        if !names.contains(&self.0.text_column) {
            let there = names.join("`, `");
            return Err(input(format!(
                "no column `{}`; `text_column` may be one of `{there}`",
                self.0.text_column
            )));
        }
        let roots = (0..names.len()).filter(|index| wanted.contains(&names[*index].as_str()));
        let mask = ProjectionMask::roots(reader.parquet_schema(), roots);
        let batches = reader
            .with_projection(mask)
            .with_batch_size(256)
            .build()
            .map_err(|error| input(error.to_string()))?;
        let mut builder = DocBatchBuilder::new(columns::TEXT);
        let mut row_number = 0u64;
        for batch in batches {
            let batch = batch.map_err(|error| input(error.to_string()))?;
            let mut strings: Vec<Option<ArrayRef>> = Vec::with_capacity(wanted.len());
            for name in wanted {
                let as_text = |column: &ArrayRef| {
                    cast(column, &DataType::LargeUtf8)
                        .map_err(|error| input(format!("column `{name}`: {error}")))
                };
                strings.push(batch.column_by_name(name).map(as_text).transpose()?);
            }
            let value = |column: usize, row: usize| -> Option<&str> {
                let array: &LargeStringArray = strings[column].as_ref()?.as_string();
                array.is_valid(row).then(|| array.value(row))
            };
            for row in 0..batch.num_rows() {
                let offset = row_number;
                row_number += 1;
                let made;
                let id = match value(1, row) {
                    Some(id) if !id.is_empty() => id,
                    _ => {
                        made = place_id(&split.name, offset);
                        &made
                    }
                };
                let url = value(2, row).unwrap_or_default();
                let reason = match value(0, row) {
                    None => "no_text",
                    Some(text) if text.trim_ascii().is_empty() => "empty_body",
                    Some(content) => {
                        builder.push(&Document {
                            id,
                            url,
                            date: value(3, row).unwrap_or_default(),
                            dump: value(4, row).unwrap_or_default(),
                            file_path: &split.name,
                            offset,
                            content,
                        });
                        if builder.is_full() {
                            output.documents(builder.finish())?;
                        }
                        continue;
                    }
                };
                output.skip(Skipped { id, url, offset, reason })?;
            }
        }
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
    use std::sync::Arc;

    use arrow::array::{Int32Array, StringArray};
    use arrow::record_batch::RecordBatch;

    #[test]
    fn columns_are_mapped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        let body: ArrayRef = Arc::new(StringArray::from(vec![Some("one"), None, Some("three")]));
        let ids: ArrayRef = Arc::new(Int32Array::from(vec![Some(5), Some(6), None]));
        let batch = RecordBatch::try_from_iter([("body", body), ("id", ids)]).unwrap();
        let file = File::create(&path).unwrap();
        let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let config: Parquet = serde_json::from_str(r#"{"paths":[],"text_column":"body"}"#).unwrap();
        let found = collect(&config, &path, "x").unwrap();
        assert_eq!(found.column("text"), ["one", "three"]);
        assert_eq!(found.column("id"), ["5".to_owned(), place_id("x", 2)]);
        assert_eq!((found.skipped[0].1, found.skipped[0].2), (1, "no_text"));
        let message =
            collect(&Parquet { text_column: "text".into(), ..config }, &path, "x").err().unwrap().to_string();
        assert!(message.contains("no column `text`; `text_column` may be one of `body`"), "{message}");
    }
}
