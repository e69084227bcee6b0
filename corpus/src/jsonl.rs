//! Documents as JSON lines.

use std::io::Write;

use arrow::json::LineDelimitedWriter;
use arrow::record_batch::RecordBatch;

use crate::error::CorpusError;

/// Appends one JSON object a row. Nulls are left out.
///
/// # Errors
/// [`CorpusError::Arrow`] when `out` cannot be written.
pub fn write(out: &mut impl Write, batch: &RecordBatch) -> Result<(), CorpusError> {
    let mut writer = LineDelimitedWriter::new(out);
    writer.write(batch)?;
    writer.finish()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{DocBatchBuilder, Document};
    use crate::columns;

    #[test]
    fn one_object_a_row() {
        let mut builder = DocBatchBuilder::new(columns::TEXT);
        builder.push(&Document {
            id: "a\"b",
            url: "u",
            date: "",
            dump: "",
            file_path: "f",
            offset: 3,
            content: "line\nline é \u{1b}[31m",
        });
        let mut out = Vec::new();
        write(&mut out, builder.finish().record_batch()).unwrap();
        let row: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(row["id"], "a\"b");
        assert_eq!(row["text"], "line\nline é \u{1b}[31m");
        assert_eq!(row["offset"], 3);
        assert!(!out.contains(&0x1b), "control characters are escaped");
    }
}
