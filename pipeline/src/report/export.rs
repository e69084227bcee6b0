//! Token shards in the formats of other trainers.
//!
//! | format | files | read by |
//! |---|---|---|
//! | `llmc` | `SPLIT_000000.bin`: a header of 256 int32 (magic, version, tokens), then the tokens | llm.c, modded-nanogpt |
//! | `nanochat` | `shard_00000.parquet`: column `text`, row groups of 1,024; the last file is the validation split | nanochat |
//! | `npy` | `SPLIT-00000.npy`: the tokens; `SPLIT-00000.ends.npy`: where documents end | numpy, memory-mapped |
//! | `parquet` | `SPLIT-00000.parquet`: a row a document: id, url, file_path, offset, n_bytes, ids | anything with Arrow |

use std::fs::{self, File};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use arrow::array::{ArrayRef, LargeListBuilder, LargeStringBuilder, UInt32Builder, UInt64Builder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use gristmill_corpus::columns;
use gristmill_corpus::parquet_files::ParquetWriter;
use gristmill_corpus::shards::{MAX_SHARD_TOKENS, ShardReader, ShardSet, TokenType};
use gristmill_tokenizer::Tokenizer;
use serde::Serialize;

use super::shard_folders;

/// A format of another trainer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// llm.c's and modded-nanogpt's .bin: 1,024 bytes of header, at most 100 M tokens a file. (modded-nanogpt looks for BOS
    /// 50256: it needs GPT-2's tokenizer.)
    Llmc,
    /// nanochat's Parquet: texts, decoded; the last file is the validation split.
    Nanochat,
    /// Arrays for `numpy.load(…, mmap_mode="r")`: tokens, and where documents end.
    Npy,
    /// Parquet, a row a document: where it came from, and its ids.
    Parquet,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Files.
    pub n_files: u64,
    /// Documents.
    pub n_documents: u64,
    /// Tokens, BOS included.
    pub n_tokens: u64,
}

/// Tokens in a file of llm.c's: its header counts them in an int32, and its own shards have so many.
const LLMC_TOKENS: u64 = MAX_SHARD_TOKENS;
/// Rows in a row group of nanochat's: each of its processes reads every so-manieth group.
const NANOCHAT_ROWS: usize = 1024;
/// Tokens that are on their way into a Parquet file at a time.
const BATCH_TOKENS: usize = 1 << 20;

/// Writes the shards in `target` (a run, of one stage if it is named, or their folder) to the new folder `out`. It appears
/// when it is complete.
///
/// # Errors
/// When there are no shards, `out` exists, the format cannot hold them, or the disk is full.
pub fn export(target: &Path, stage: Option<&str>, format: Format, out: &Path) -> anyhow::Result<Exported> {
    let folders = shard_folders::of(target, stage)?;
    let [folder] = &folders[..] else {
        let named: Vec<_> = folders.iter().map(|folder| format!("`{}`", folder.display())).collect();
        bail!("shards are in {}\nhint: `--stage ID` says which", named.join(", "));
    };
    if out.exists() {
        bail!("`{}` exists already\nhint: name a folder that does not", out.display());
    }
    let splits: Vec<(String, ShardSet)> = shard_folders::splits(folder)?
        .into_iter()
        .map(|split| {
            let set = ShardSet::open(folder, &split)?;
            Ok((split, set))
        })
        .collect::<anyhow::Result<_>>()?;

    let mut name = out.file_name().context("`--out` names no folder")?.to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let new = out.with_file_name(name);
    fs::create_dir_all(&new).with_context(|| format!("cannot make the folder `{}`", new.display()))?;
    let written = write(folder, &splits, format, &new).and_then(|written| {
        fs::rename(&new, out).with_context(|| format!("cannot make the folder `{}`", out.display()))?;
        Ok(written)
    });
    if written.is_err() {
        // What is half written is of no use; the first error is the one to tell.
        let _ = fs::remove_dir_all(&new);
    }
    written
}

fn write(
    folder: &Path,
    splits: &[(String, ShardSet)],
    format: Format,
    out: &Path,
) -> anyhow::Result<Exported> {
    let mut exported = Exported::default();
    for set in splits.iter().map(|(_, set)| set) {
        exported.n_documents += set.n_documents() as u64;
        exported.n_tokens += set.n_tokens();
    }
    let shards = || splits.iter().flat_map(|(_, set)| set.shards());
    exported.n_files = match format {
        Format::Llmc => {
            let mut n_files = 0;
            for (split, set) in splits {
                n_files += llmc(split, set, LLMC_TOKENS, out)?;
            }
            n_files
        }
        Format::Nanochat => nanochat(folder, splits, out)?,
        Format::Npy => {
            for shard in shards() {
                npy(shard, out)?;
            }
            shards().count() as u64 * 2
        }
        Format::Parquet => {
            for shard in shards() {
                parquet(shard, out)?;
            }
            shards().count() as u64
        }
    };
    Ok(exported)
}

/// A file of tokens behind a header that says how many they are.
struct Llmc {
    path: PathBuf,
    out: BufWriter<File>,
    dtype: TokenType,
    n_tokens: u64,
}

impl Llmc {
    fn create(path: PathBuf, dtype: TokenType) -> anyhow::Result<Self> {
        let file = File::create(&path).with_context(|| format!("cannot write `{}`", path.display()))?;
        let mut file = Self { out: BufWriter::with_capacity(1 << 20, file), path, dtype, n_tokens: 0 };
        file.header()?;
        Ok(file)
    }

    fn header(&mut self) -> anyhow::Result<()> {
        // GPT-2's and Llama 3's, as llm.c's data scripts have them.
        let (magic, version) = match self.dtype {
            TokenType::U16 => (20_240_520, 1),
            TokenType::U32 => (20_240_801, 7),
        };
        let n_tokens = i32::try_from(self.n_tokens).context("more tokens than the header can count")?;
        let mut header = [0_i32; 256];
        header[..3].copy_from_slice(&[magic, version, n_tokens]);
        let bytes: Vec<u8> = header.iter().flat_map(|number| number.to_le_bytes()).collect();
        self.out.write_all(&bytes).with_context(|| format!("cannot write `{}`", self.path.display()))
    }

    fn push(&mut self, ids: &[u32], scratch: &mut Vec<u8>) -> anyhow::Result<()> {
        scratch.clear();
        self.dtype.encode(ids, scratch);
        self.n_tokens += ids.len() as u64;
        self.out.write_all(scratch).with_context(|| format!("cannot write `{}`", self.path.display()))
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.out.seek(SeekFrom::Start(0))?;
        self.header()?;
        self.out.flush().with_context(|| format!("cannot write `{}`", self.path.display()))
    }
}

/// A document that would make a file too long begins another; one that is longer than a file is cut.
fn llmc(split: &str, set: &ShardSet, max_tokens: u64, out: &Path) -> anyhow::Result<u64> {
    let dtype = set.shards()[0].meta().dtype;
    let (mut n_files, mut scratch, mut ids) = (0, Vec::new(), Vec::new());
    let mut open: Option<Llmc> = None;
    for shard in set.shards() {
        for range in (0..shard.n_documents()).filter_map(|index| shard.document_range(index)) {
            for start in range.clone().step_by(max_tokens as usize) {
                let end = range.end.min(start + max_tokens);
                if open.as_ref().is_some_and(|file| file.n_tokens + (end - start) > max_tokens)
                    && let Some(full) = open.take()
                {
                    full.finish()?;
                }
                let file = match &mut open {
                    Some(file) => file,
                    none => {
                        let path = out.join(format!("{split}_{n_files:06}.bin"));
                        n_files += 1;
                        none.insert(Llmc::create(path, dtype)?)
                    }
                };
                ids.clear();
                shard.tokens_into(start..end, &mut ids)?;
                file.push(&ids, &mut scratch)?;
            }
        }
    }
    if let Some(file) = open {
        file.finish()?;
    }
    Ok(n_files)
}

fn nanochat(folder: &Path, splits: &[(String, ShardSet)], out: &Path) -> anyhow::Result<u64> {
    let of = |wanted: &str| splits.iter().find(|(split, _)| split == wanted).map(|(_, set)| set);
    let (Some(train), Some(val)) = (of("train"), of("val")) else {
        bail!(
            "nanochat takes its last file for validation, and `{}` does not hold both `train` and `val`\nhint: write \
             shards with a larger `validation_share`",
            folder.display()
        );
    };
    let path = folder.join("tokenizer.json");
    let tokenizer = Tokenizer::load(&path).with_context(|| {
        format!("texts are decoded with the tokenizer beside the shards, `{}`", path.display())
    })?;
    let meta = train.shards()[0].meta();
    ensure!(
        tokenizer.hash() == meta.tokenizer,
        "`{}` is not the tokenizer that the shards were written with",
        path.display()
    );
    let files: Vec<&[ShardReader]> = train.shards().chunks(1).chain([val.shards()]).collect();
    for (index, shards) in files.iter().enumerate() {
        texts(shards, &tokenizer, &out.join(format!("shard_{index:05}.parquet")))?;
    }
    Ok(files.len() as u64)
}

fn texts(shards: &[ShardReader], tokenizer: &Tokenizer, path: &Path) -> anyhow::Result<()> {
    let schema: SchemaRef =
        Arc::new(Schema::new(vec![Field::new(columns::TEXT, DataType::LargeUtf8, false)]));
    let mut writer = ParquetWriter::create(path, schema.clone())?;
    let (mut builder, mut n_rows) = (LargeStringBuilder::new(), 0);
    let mut close = |builder: &mut LargeStringBuilder| -> anyhow::Result<()> {
        let column: ArrayRef = Arc::new(builder.finish());
        writer.write(&RecordBatch::try_new(schema.clone(), vec![column])?)?;
        Ok(writer.end_row_group()?)
    };
    for shard in shards {
        for index in 0..shard.n_documents() {
            let ids = shard.document(index)?;
            // BOS stands for no text.
            builder.append_value(tokenizer.decode_lossy(ids.get(1..).unwrap_or_default()));
            n_rows += 1;
            if n_rows % NANOCHAT_ROWS == 0 {
                close(&mut builder)?;
            }
        }
    }
    if n_rows % NANOCHAT_ROWS != 0 {
        close(&mut builder)?;
    }
    writer.finish()?;
    Ok(())
}

fn npy(shard: &ShardReader, out: &Path) -> anyhow::Result<()> {
    let meta = shard.meta();
    let dtype = match meta.dtype {
        TokenType::U16 => "<u2",
        TokenType::U32 => "<u4",
    };
    let mut tokens = Npy::create(out.join(format!("{}.npy", meta.name)), dtype, meta.n_tokens)?;
    let mut ends = Npy::create(out.join(format!("{}.ends.npy", meta.name)), "<u8", meta.n_documents)?;
    let (mut ids, mut bytes) = (Vec::new(), Vec::new());
    for range in (0..shard.n_documents()).filter_map(|index| shard.document_range(index)) {
        ids.clear();
        bytes.clear();
        shard.tokens_into(range.clone(), &mut ids)?;
        meta.dtype.encode(&ids, &mut bytes);
        tokens.push(&bytes)?;
        ends.push(&range.end.to_le_bytes())?;
    }
    tokens.finish()?;
    ends.finish()
}

/// An array of one dimension in numpy's format, version 1.0.
struct Npy {
    path: PathBuf,
    out: BufWriter<File>,
}

impl Npy {
    fn create(path: PathBuf, dtype: &str, n: u64) -> anyhow::Result<Self> {
        let file = File::create(&path).with_context(|| format!("cannot write `{}`", path.display()))?;
        let mut header = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({n},), }}");
        // Magic, version, length and header fill multiples of 64 bytes, so that mapped values are aligned.
        let padding = (64 - (10 + header.len() + 1) % 64) % 64;
        header.extend(std::iter::repeat_n(' ', padding));
        header.push('\n');
        let mut file = Self { path, out: BufWriter::with_capacity(1 << 20, file) };
        file.push(b"\x93NUMPY\x01\x00")?;
        file.push(&(header.len() as u16).to_le_bytes())?;
        file.push(header.as_bytes())?;
        Ok(file)
    }

    fn push(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.out.write_all(bytes).with_context(|| format!("cannot write `{}`", self.path.display()))
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.out.flush().with_context(|| format!("cannot write `{}`", self.path.display()))
    }
}

fn parquet(shard: &ShardReader, out: &Path) -> anyhow::Result<()> {
    let text = |name| Field::new(name, DataType::LargeUtf8, false);
    let number = |name| Field::new(name, DataType::UInt64, false);
    let item = Arc::new(Field::new("item", DataType::UInt32, false));
    let schema: SchemaRef = Arc::new(Schema::new(vec![
        text(columns::ID),
        text(columns::URL),
        text(columns::FILE_PATH),
        number(columns::OFFSET),
        number("n_bytes"),
        Field::new("ids", DataType::LargeList(item.clone()), false),
    ]));
    let path = out.join(format!("{}.parquet", shard.meta().name));
    let mut writer = ParquetWriter::create(&path, schema.clone())?;
    let mut texts: [LargeStringBuilder; 3] = Default::default();
    let mut numbers: [UInt64Builder; 2] = Default::default();
    let mut lists = LargeListBuilder::new(UInt32Builder::new()).with_field(item);
    let (mut ids, mut n_waiting) = (Vec::new(), 0);
    let mut close = |texts: &mut [LargeStringBuilder; 3],
                     numbers: &mut [UInt64Builder; 2],
                     lists: &mut LargeListBuilder<UInt32Builder>|
     -> Result<(), gristmill_corpus::CorpusError> {
        let mut built: Vec<ArrayRef> =
            texts.iter_mut().map(|texts| Arc::new(texts.finish()) as ArrayRef).collect();
        built.extend(numbers.iter_mut().map(|numbers| Arc::new(numbers.finish()) as ArrayRef));
        built.push(Arc::new(lists.finish()));
        writer.write(&RecordBatch::try_new(schema.clone(), built)?)
    };
    shard.each_document(|record| {
        ids.clear();
        shard.tokens_into(record.start_token..record.start_token + record.n_tokens, &mut ids)?;
        for (builder, value) in texts.iter_mut().zip([&record.id, &record.url, &record.file_path]) {
            builder.append_value(value);
        }
        for (builder, value) in numbers.iter_mut().zip([record.offset, record.n_bytes]) {
            builder.append_value(value);
        }
        lists.values().append_slice(&ids);
        lists.append(true);
        n_waiting += ids.len();
        if n_waiting >= BATCH_TOKENS {
            n_waiting = 0;
            close(&mut texts, &mut numbers, &mut lists)?;
        }
        Ok(())
    })?;
    if n_waiting > 0 {
        close(&mut texts, &mut numbers, &mut lists)?;
    }
    writer.finish()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use gristmill_corpus::shards::{DocumentTokens, ShardOptions, ShardWriter};

    use super::*;

    #[test]
    fn files_of_llm_c_end_with_documents_and_a_longer_one_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = ShardWriter::create(folder.path(), "train", ShardOptions::new("t", 100, 0)).unwrap();
        for length in [3_u32, 4, 2, 12, 1] {
            let ids: Vec<u32> = (0..length).collect();
            writer.push(&DocumentTokens { ids: &ids, ..DocumentTokens::default() }).unwrap();
        }
        writer.finish().unwrap();
        let set = ShardSet::open(folder.path(), "train").unwrap();
        assert_eq!(llmc("train", &set, 5, folder.path()).unwrap(), 6);
        let mut all = Vec::new();
        let mut lengths = Vec::new();
        for index in 0..6 {
            let bytes = std::fs::read(folder.path().join(format!("train_{index:06}.bin"))).unwrap();
            let mut ids = Vec::new();
            TokenType::U16.decode(&bytes[1024..], &mut ids);
            assert_eq!(bytes[8..12], (ids.len() as i32).to_le_bytes());
            lengths.push(ids.len());
            all.extend(ids);
        }
        assert_eq!(lengths, [3, 4, 2, 5, 5, 3]);
        assert_eq!(all, set.tokens(0..set.n_tokens()).unwrap());
    }
}
