//! `smoltalk`: conversations in Parquet, as Hugging Face's sets have them.

use std::fs::File;

use gristmill_corpus::columns;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::found::{self, Documents, Found};
use super::openai::messages;
use crate::json_lines::id_in;
use crate::stage::{
    BuildContext, Declares, Reason, Runtime, Shape, Source, SourceOutput, Split, StageConfig, StageError,
};

/// Reads conversations in SmolTalk's form: Parquet with a column `messages`, lists of structs `{role, content}`.
///
/// Roles and contents are read as `openai_messages` reads them; the same rows as JSON lines are for that stage. What
/// `write_parquet` writes of conversations is read too. Writes `messages`
/// and a readable `text`; `offset` is the row number, beginning with 0. Form:
/// https://huggingface.co/datasets/HuggingFaceTB/smoltalk
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SmolTalk {
    /// Files: paths or globs, relative to the recipe.
    pub paths: Vec<String>,
    /// The column that holds the list.
    #[serde(default = "default_column")]
    pub messages_column: String,
    /// The column that holds the id. Without it an id is made from file and row.
    #[serde(default = "default_id_column")]
    pub id_column: String,
}

fn default_column() -> String {
    columns::MESSAGES.into()
}

fn default_id_column() -> String {
    columns::ID.into()
}

impl StageConfig for SmolTalk {
    const KIND: &'static str = "smoltalk";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Source;
    const REASONS: &'static [Reason] = &[
        "no_messages",
        "unknown_role",
        "not_text",
        "empty_message",
        "misplaced_system",
        "no_question",
        "no_answer",
        "nothing_to_learn",
    ];

    fn declares(&self) -> Declares {
        found::declares(&self.paths)
    }

    fn build(&self, _: &BuildContext) -> Result<Runtime, StageError> {
        Ok(Runtime::Source(Box::new(Rows(self.clone()))))
    }
}

struct Rows(SmolTalk);

impl Source for Rows {
    fn read(&self, split: &Split, output: &mut dyn SourceOutput) -> Result<(), StageError> {
        let SmolTalk { messages_column, id_column, .. } = &self.0;
        let input = |message: String| StageError::Input { path: split.path.clone(), message };
        let file = File::open(&split.path).map_err(|error| input(error.to_string()))?;
        let reader =
            ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| input(error.to_string()))?;
        let names: Vec<String> = reader.schema().fields().iter().map(|field| field.name().clone()).collect();
        if !names.contains(messages_column) {
            let there = names.join("`, `");
            return Err(input(format!(
                "no column `{messages_column}`; `messages_column` may be one of `{there}`"
            )));
        }
        let roots = (0..names.len()).filter(|index| [messages_column, id_column].contains(&&names[*index]));
        let mask = ProjectionMask::roots(reader.parquet_schema(), roots);
        let batches = reader
            .with_projection(mask)
            .with_batch_size(256)
            .build()
            .map_err(|error| input(error.to_string()))?;
        let mut documents = Documents::new(split, output);
        let mut offset = 0;
        for batch in batches {
            let batch = batch.map_err(|error| input(error.to_string()))?;
            // Through JSON: structs of any layout and any type of string come out alike.
            let mut lines = Vec::new();
            gristmill_corpus::jsonl::write(&mut lines, &batch).map_err(|error| input(error.to_string()))?;
            for line in lines.split(|byte| *byte == b'\n').take(batch.num_rows()) {
                let row: Value = serde_json::from_slice(line).map_err(|error| input(error.to_string()))?;
                let messages = messages(&row[messages_column]);
                let id = id_in(row.get(id_column));
                documents.row(offset, messages.map(|messages| vec![Found { id, messages }]))?;
                offset += 1;
            }
        }
        documents.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json_lines::place_id;
    use crate::warc_source::tests::collect;
    use arrow::array::{ArrayRef, Int32Array, ListBuilder, StringBuilder, StructBuilder};
    use arrow::datatypes::{DataType, Field, Fields};
    use arrow::record_batch::RecordBatch;
    use std::sync::Arc;

    #[test]
    fn lists_of_structs_become_conversations() {
        let fields = Fields::from(vec![
            Field::new("content", DataType::Utf8, true),
            Field::new("role", DataType::Utf8, true),
        ]);
        let builders: Vec<Box<dyn arrow::array::ArrayBuilder>> =
            vec![Box::new(StringBuilder::new()), Box::new(StringBuilder::new())];
        let mut lists = ListBuilder::new(StructBuilder::new(fields, builders));
        for row in [&[("user", "Hi\n"), ("assistant", "Hello")][..], &[("user", "x"), ("robot", "y")], &[]] {
            for (role, content) in row {
                lists.values().field_builder::<StringBuilder>(0).unwrap().append_value(content);
                lists.values().field_builder::<StringBuilder>(1).unwrap().append_value(role);
                lists.values().append(true);
            }
            lists.append(!row.is_empty());
        }
        let messages: ArrayRef = Arc::new(lists.finish());
        let scores: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
        let batch = RecordBatch::try_from_iter([("score", scores), ("messages", messages)]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        let file = File::create(&path).unwrap();
        let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();

        let config: SmolTalk = serde_json::from_str(r#"{"paths": []}"#).unwrap();
        let found = collect(&config, &path, "x").unwrap();
        assert_eq!(
            found.column("messages"),
            [r#"[{"role":"user","content":"Hi\n"},{"role":"assistant","content":"Hello"}]"#]
        );
        assert_eq!(found.column("id"), [place_id("x", 0)]);
        let skipped: Vec<_> = found.skipped.iter().map(|(_, row, reason)| (*row, *reason)).collect();
        assert_eq!(skipped, [(1, "unknown_role"), (2, "no_messages")]);
        let other = SmolTalk { messages_column: "turns".into(), ..config };
        let message = collect(&other, &path, "x").err().unwrap().to_string();
        assert!(message.contains("`messages_column` may be one of `score`, `messages`"), "{message}");
    }
}
