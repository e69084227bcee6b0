//! Documents of any file that a recipe reads or writes, batch by batch.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};
use arrow::array::{Array, ArrayRef, BooleanArray, Float64Array, Int64Array, LargeStringArray, UInt64Array};
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use arrow::util::display::array_value_to_string;
use gristmill_corpus::batch::BATCH_DOCUMENTS;
use gristmill_corpus::shards::ShardReader;
use gristmill_corpus::{DocBatch, columns};
use gristmill_stages::StageError;
use gristmill_stages::registry;
use gristmill_stages::stage::{BuildContext, Runtime, Skipped, SourceOutput, Split};
use gristmill_tokenizer::Tokenizer;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value};

/// Why a document was dropped.
pub const REASON: &str = "reason";
/// The stage that dropped it.
pub const STAGE: &str = "stage";

/// Takes batches; breaks when it has seen enough.
pub type Visit<'a> = dyn FnMut(RecordBatch) -> anyhow::Result<ControlFlow<()>> + 'a;

/// How a file holds documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Parquet with any columns.
    Parquet,
    /// JSON lines, plain, gzip or zstd.
    Jsonl,
    /// A web archive of pages.
    Warc,
    /// A web archive of texts.
    Wet,
    /// A token shard, decoded with the `tokenizer.json` beside it.
    Shard,
}

impl Format {
    /// By the file's name.
    ///
    /// # Errors
    /// When the name says nothing that can be read.
    pub fn of(path: &Path) -> anyhow::Result<Self> {
        let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
        let stem = [".gz", ".zst", ".gzip"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
        let extension = stem.rsplit('.').next().unwrap_or_default();
        Ok(match extension {
            "parquet" => Self::Parquet,
            "jsonl" | "ndjson" | "json" => Self::Jsonl,
            "warc" => Self::Warc,
            "wet" => Self::Wet,
            "bin" => Self::Shard,
            _ => bail!(
                "cannot tell what `{}` holds\nhint: a run's folder, .parquet, .jsonl, .warc, .wet (also .gz, .zst), or a token shard .bin",
                path.display()
            ),
        })
    }
}

/// Reads a file from beginning to end, or until `visit` breaks. `only` names the columns that are needed; a format that
/// is read row by row gives all.
///
/// # Errors
/// When the file cannot be read, or `visit` fails.
pub fn read(path: &Path, only: Option<&[&str]>, visit: &mut Visit<'_>) -> anyhow::Result<ControlFlow<()>> {
    let opened = || format!("cannot read `{}`", path.display());
    match Format::of(path)? {
        Format::Parquet => parquet(path, only, visit).with_context(opened),
        Format::Jsonl => jsonl(path, visit).with_context(opened),
        Format::Warc => archive(path, "warc", visit),
        Format::Wet => archive(path, "wet", visit),
        Format::Shard => shard(path, visit),
    }
}

/// [`read`] to the end.
///
/// # Errors
/// As [`read`].
pub fn read_all(
    path: &Path,
    only: Option<&[&str]>,
    mut visit: impl FnMut(RecordBatch) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut go_on = |batch| visit(batch).map(ControlFlow::Continue);
    read(path, only, &mut go_on).map(|_| ())
}

fn parquet(path: &Path, only: Option<&[&str]>, visit: &mut Visit<'_>) -> anyhow::Result<ControlFlow<()>> {
    let mut builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
    if let Some(names) = only {
        let fields = builder.schema().fields();
        let kept: Vec<usize> =
            (0..fields.len()).filter(|&index| names.contains(&fields[index].name().as_str())).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), kept);
        builder = builder.with_projection(mask);
    }
    for batch in builder.with_batch_size(BATCH_DOCUMENTS).build()? {
        if visit(batch?)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    Ok(ControlFlow::Continue(()))
}

/// Lines of a file, plain or compressed (told apart by its first bytes).
///
/// # Errors
/// When it cannot be opened.
pub fn open_lines(path: &Path) -> std::io::Result<Box<dyn BufRead>> {
    let mut file = BufReader::new(File::open(path)?);
    let head = file.fill_buf()?;
    Ok(if head.starts_with(&[0x1f, 0x8b]) {
        Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(file)))
    } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Box::new(BufReader::new(zstd::stream::read::Decoder::with_buffer(file)?))
    } else {
        Box::new(file)
    })
}

/// Longest line that is read: more is no document but a mistake.
const LINE_BYTES: u64 = 256 << 20;

fn jsonl(path: &Path, visit: &mut Visit<'_>) -> anyhow::Result<ControlFlow<()>> {
    let mut lines = open_lines(path)?;
    let mut objects = Vec::new();
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        if lines.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice::<Value>(&line) {
            Ok(Value::Object(object)) => objects.push(object),
            Ok(_) => tracing::warn!("`{}`, line {number}: no JSON object", path.display()),
            Err(error) => tracing::warn!("`{}`, line {number}: {error}", path.display()),
        }
        if objects.len() == BATCH_DOCUMENTS && visit(batch_of(&std::mem::take(&mut objects))?)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    if objects.is_empty() { Ok(ControlFlow::Continue(())) } else { visit(batch_of(&objects)?) }
}

/// A batch of the objects' fields, in the order in which they first occur. A field that holds values of several types,
/// lists or objects becomes text.
fn batch_of(objects: &[Map<String, Value>]) -> anyhow::Result<RecordBatch> {
    let mut names: Vec<&String> = Vec::new();
    for name in objects.iter().flat_map(Map::keys) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut fields = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for name in names {
        let values = || objects.iter().map(|object| object.get(name).filter(|value| !value.is_null()));
        let all = |fits: fn(&Value) -> bool| values().flatten().all(fits);
        let array: ArrayRef = if all(Value::is_string) {
            Arc::new(values().map(|value| value.and_then(Value::as_str)).collect::<LargeStringArray>())
        } else if all(Value::is_u64) && name == columns::OFFSET {
            Arc::new(values().map(|value| value.and_then(Value::as_u64)).collect::<UInt64Array>())
        } else if all(Value::is_i64) {
            Arc::new(values().map(|value| value.and_then(Value::as_i64)).collect::<Int64Array>())
        } else if all(Value::is_number) {
            Arc::new(values().map(|value| value.and_then(Value::as_f64)).collect::<Float64Array>())
        } else if all(Value::is_boolean) {
            Arc::new(values().map(|value| value.and_then(Value::as_bool)).collect::<BooleanArray>())
        } else {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            Arc::new(values().map(|value| value.map(text)).collect::<LargeStringArray>())
        };
        fields.push(Field::new(name.clone(), array.data_type().clone(), true));
        arrays.push(array);
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

fn archive(path: &Path, kind: &str, visit: &mut Visit<'_>) -> anyhow::Result<ControlFlow<()>> {
    let row = registry::find(kind).with_context(|| format!("this gristmill has no kind `{kind}`"))?;
    let name = path.to_string_lossy().into_owned();
    let source = (row.parse)(serde_json::json!({"paths": [name]}))?
        .build(&BuildContext { base: std::path::PathBuf::new(), seed: 0 })?;
    let Runtime::Source(source) = source else { bail!("`{kind}` is no source") };
    let mut output = Batches { visit, stopped: None };
    let outcome = source.read(&Split { path: path.to_owned(), name }, &mut output);
    match output.stopped {
        Some(stopped) => stopped,
        None => Ok(outcome.map(|()| ControlFlow::Continue(()))?),
    }
}

fn shard(path: &Path, visit: &mut Visit<'_>) -> anyhow::Result<ControlFlow<()>> {
    let shard = ShardReader::open(path)?;
    let beside = path.with_file_name("tokenizer.json");
    let tokenizer = Tokenizer::load(&beside).with_context(|| {
        format!("a shard is decoded with the tokenizer beside it, `{}`", beside.display())
    })?;
    let mut objects = Vec::new();
    for (index, record) in shard.documents()?.into_iter().enumerate() {
        let ids = shard.document(index)?;
        // BOS stands for no text.
        let text = tokenizer.decode_lossy(ids.get(1..).unwrap_or_default());
        objects.push(Map::from_iter([
            (columns::ID.to_owned(), record.id.into()),
            (columns::URL.to_owned(), record.url.into()),
            (columns::FILE_PATH.to_owned(), record.file_path.into()),
            (columns::OFFSET.to_owned(), record.offset.into()),
            ("start_token".to_owned(), record.start_token.into()),
            ("n_tokens".to_owned(), record.n_tokens.into()),
            (columns::TEXT.to_owned(), text.into()),
        ]));
        if objects.len() == BATCH_DOCUMENTS && visit(batch_of(&std::mem::take(&mut objects))?)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    if objects.is_empty() { Ok(ControlFlow::Continue(())) } else { visit(batch_of(&objects)?) }
}

/// Hands what a source reads to a visitor. A source has no word for "enough": an error ends it, and `stopped` says
/// what is meant.
struct Batches<'a, 'b> {
    visit: &'a mut Visit<'b>,
    stopped: Option<anyhow::Result<ControlFlow<()>>>,
}

impl Batches<'_, '_> {
    fn push(&mut self, batch: RecordBatch) -> Result<(), StageError> {
        match (self.visit)(batch) {
            Ok(ControlFlow::Continue(())) => Ok(()),
            stopped => {
                self.stopped = Some(stopped);
                Err(StageError::Engine("stopped".into()))
            }
        }
    }
}

impl SourceOutput for Batches<'_, '_> {
    fn documents(&mut self, batch: DocBatch) -> Result<(), StageError> {
        self.push(batch.record_batch().clone())
    }

    fn skip(&mut self, skipped: Skipped<'_>) -> Result<(), StageError> {
        let text = |value: &str| Value::from(value);
        let object = Map::from_iter([
            (columns::ID.to_owned(), text(skipped.id)),
            (columns::URL.to_owned(), text(skipped.url)),
            (columns::OFFSET.to_owned(), Value::from(skipped.offset)),
            (REASON.to_owned(), text(skipped.reason)),
        ]);
        let batch = batch_of(&[object]).map_err(|error| StageError::Engine(error.to_string()))?;
        self.push(batch)
    }
}

/// A value as text; `None` for a null, and for a column that is not there.
pub fn cell(batch: &RecordBatch, column: &str, row: usize) -> Option<String> {
    let array = batch.column_by_name(column)?;
    if array.is_null(row) {
        return None;
    }
    array_value_to_string(array, row).ok()
}

/// Adds a column that holds one value, unless there is one of that name.
///
/// # Errors
/// Never in practice: lengths are equal.
pub fn with_constant(batch: RecordBatch, name: &str, value: &str) -> anyhow::Result<RecordBatch> {
    if batch.column_by_name(name).is_some() {
        return Ok(batch);
    }
    let values: ArrayRef =
        Arc::new(LargeStringArray::from_iter_values(std::iter::repeat_n(value, batch.num_rows())));
    let mut fields: Vec<_> = batch.schema_ref().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(name, values.data_type().clone(), true)));
    let mut arrays = batch.columns().to_vec();
    arrays.push(values);
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_a_file_holds() {
        let of = |name: &str| Format::of(Path::new(name)).ok();
        assert_eq!(of("a/00000.parquet"), Some(Format::Parquet));
        assert_eq!(of("x.jsonl.zst"), Some(Format::Jsonl));
        assert_eq!(of("CC-MAIN-1.warc.gz"), Some(Format::Warc));
        assert_eq!(of("CC-MAIN-1.warc.wet.gz"), Some(Format::Wet));
        assert_eq!(of("notes.txt"), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn json_fields_become_typed_columns() {
        let rows = r#"[{"id":"a","n":1,"x":[1]},{"id":"b","n":2.5,"flag":true},{"id":null,"x":"t"}]"#;
        let objects: Vec<Map<String, Value>> = serde_json::from_str(rows).unwrap();
        let batch = batch_of(&objects).unwrap();
        let row = |row| {
            ["id", "n", "x", "flag", "none"].map(|column| cell(&batch, column, row).unwrap_or("-".into()))
        };
        assert_eq!(row(0), ["a", "1.0", "[1]", "-", "-"]);
        assert_eq!(row(1), ["b", "2.5", "-", "true", "-"]);
        assert_eq!(row(2), ["-", "-", "t", "-", "-"]);
    }

    #[test]
    fn json_lines_are_read_plain_and_packed_and_bad_ones_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let text = "{\"id\":\"a\"}\nbroken\n\n{\"id\":\"b\"}";
        let plain = folder.path().join("x.jsonl");
        std::fs::write(&plain, text).unwrap();
        let packed = folder.path().join("x.jsonl.zst");
        std::fs::write(&packed, zstd::encode_all(text.as_bytes(), 3).unwrap()).unwrap();
        for path in [plain, packed] {
            let mut ids = Vec::new();
            let flow = read(&path, None, &mut |batch| {
                ids.extend((0..batch.num_rows()).filter_map(|row| cell(&batch, "id", row)));
                Ok(ControlFlow::Continue(()))
            });
            assert_eq!(flow.unwrap(), ControlFlow::Continue(()));
            assert_eq!(ids, ["a", "b"]);
        }
    }
}
