//! Token shards: documents as token ids, one after the other, for trainers to map into memory.
//!
//! A shard is a headerless little-endian payload and its sidecars, all of one stem (`train-00000`):
//!
//! | file | holds |
//! |---|---|
//! | `.bin` | the ids: u16 up to 65,536 ids in the vocabulary, else u32; every document begins with BOS |
//! | `.idx` | Megatron-LM's index (`MMIDIDX`), one sequence a document |
//! | `.ds.index` | datatrove's index: u64 a document, the token after its last |
//! | `.docs.parquet` | a row a document: where it came from, where its tokens lie |
//! | `.meta.json` | [`ShardMeta`]: tokenizer, counts, checksums. Written last: without it there is no shard |
//!
//! Shards of conversations have one more, `.mask`: the loss mask in the layout of the payload, a byte a token, 1 where a
//! model learns to write the token and 0 where it only reads it.
//!
//! The same documents give the same bytes.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, LargeStringBuilder, RecordBatch, UInt64Builder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use memmap2::Mmap;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::columns;
use crate::error::CorpusError;
use crate::files::{self, FileEntry};
use crate::parquet_files::{self, ParquetWriter};

/// Tokens in a shard unless [`ShardOptions::max_tokens`] says otherwise.
pub const MAX_SHARD_TOKENS: u64 = 100_000_000;

const VERSION: u32 = 1;
const PAYLOAD: &str = "bin";
const MEGATRON: &str = "idx";
const DATATROVE: &str = "ds.index";
const DOCUMENTS: &str = "docs.parquet";
const META: &str = "meta.json";
const MASK: &str = "mask";

/// Rows of `docs.parquet` that are buffered before they are written.
const BUFFERED_ROWS: usize = 8192;

/// How a token lies in the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenType {
    /// Two bytes, for vocabularies of up to 65,536 ids.
    U16,
    /// Four bytes.
    U32,
}

impl TokenType {
    /// The smaller type that holds every id of a vocabulary.
    pub fn for_vocab(vocab_size: usize) -> Self {
        if vocab_size <= 1 << 16 { Self::U16 } else { Self::U32 }
    }

    /// Bytes a token.
    pub fn bytes(self) -> u64 {
        match self {
            Self::U16 => 2,
            Self::U32 => 4,
        }
    }

    /// Appends ids as bytes. They must fit.
    pub fn encode(self, ids: &[u32], bytes: &mut Vec<u8>) {
        match self {
            Self::U16 => bytes.extend(ids.iter().flat_map(|id| (*id as u16).to_le_bytes())),
            Self::U32 => bytes.extend(ids.iter().flat_map(|id| id.to_le_bytes())),
        }
    }

    /// Appends the ids that whole tokens of bytes stand for.
    pub fn decode(self, bytes: &[u8], ids: &mut Vec<u32>) {
        match self {
            Self::U16 => ids.extend(bytes.as_chunks().0.iter().map(|b| u16::from_le_bytes(*b) as u32)),
            Self::U32 => ids.extend(bytes.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b))),
        }
    }

    /// Megatron-LM's code: 8 is uint16. It has no uint32; 4 (int32) is the same bytes, as ids stay below 2^31.
    fn megatron_code(self) -> u8 {
        match self {
            Self::U16 => 8,
            Self::U32 => 4,
        }
    }
}

/// What `meta.json` says of a shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardMeta {
    /// Version of this layout.
    pub version: u32,
    /// The stem of the shard's files, such as `train-00000`.
    pub name: String,
    /// Hash of the tokenizer that made the ids.
    pub tokenizer: String,
    /// How a token lies in the payload.
    pub dtype: TokenType,
    /// Ids in the tokenizer, specials included.
    pub vocab_size: usize,
    /// The id that every document begins with.
    pub bos: u32,
    /// Documents in the shard.
    pub n_documents: u64,
    /// Tokens in the shard, BOS included.
    pub n_tokens: u64,
    /// UTF-8 bytes of the text that the tokens stand for: bits per byte are counted against these.
    pub n_bytes: u64,
    /// Tokens that the loss mask marks, in shards that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_learnt_tokens: Option<u64>,
    /// The shard's other files with sizes and checksums, by name.
    pub files: Vec<FileEntry>,
}

/// What all shards of one writer have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardOptions {
    /// Hash of the tokenizer that makes the ids.
    pub tokenizer: String,
    /// Ids in the tokenizer, specials included; decides the payload's type.
    pub vocab_size: usize,
    /// The id that every document must begin with.
    pub bos: u32,
    /// A shard is closed before it would hold more tokens than this; one longer document gets a shard of its own.
    pub max_tokens: u64,
    /// Number of the first shard.
    pub first_shard: usize,
    /// Whether every document has a loss mask: documents come by [`ShardWriter::push_masked`] instead of
    /// [`ShardWriter::push`].
    pub masked: bool,
}

impl ShardOptions {
    /// Shards from number 0 on, of at most [`MAX_SHARD_TOKENS`] each.
    pub fn new(tokenizer: impl Into<String>, vocab_size: usize, bos: u32) -> Self {
        Self {
            tokenizer: tokenizer.into(),
            vocab_size,
            bos,
            max_tokens: MAX_SHARD_TOKENS,
            first_shard: 0,
            masked: false,
        }
    }
}

/// One document for [`ShardWriter::push`].
#[derive(Debug, Clone, Copy, Default)]
pub struct DocumentTokens<'a> {
    /// Its tokens, BOS first.
    pub ids: &'a [u32],
    /// The document's id.
    pub id: &'a str,
    /// Where it was crawled.
    pub url: &'a str,
    /// The input file that held it.
    pub file_path: &'a str,
    /// Byte offset of its record in that file.
    pub offset: u64,
    /// UTF-8 bytes of the text that was encoded.
    pub n_bytes: u64,
}

/// Writes shards `SPLIT-00000`, `SPLIT-00001`, … into a folder, a document at a time.
pub struct ShardWriter {
    folder: PathBuf,
    split: String,
    options: ShardOptions,
    open: Option<OpenShard>,
    done: Vec<ShardMeta>,
}

impl ShardWriter {
    /// A writer into `folder` (made if it is absent) of the split `split`, such as `train`. Writes nothing yet.
    ///
    /// # Errors
    /// [`CorpusError::Io`] when the folder cannot be made, or BOS is no id of the vocabulary.
    pub fn create(folder: &Path, split: &str, options: ShardOptions) -> Result<Self, CorpusError> {
        files::create_folder(folder)?;
        let (bos, size) = (options.bos, options.vocab_size);
        if bos as usize >= size || size > i32::MAX as usize {
            let message =
                format!("BOS {bos} needs a vocabulary of more ids than {size}, and of at most {}", i32::MAX);
            return Err(invalid(folder, message));
        }
        Ok(Self { folder: folder.to_owned(), split: split.to_owned(), options, open: None, done: Vec::new() })
    }

    /// Appends a document, to a new shard if this one would grow too long.
    ///
    /// # Errors
    /// [`CorpusError::Io`] when the disk is full, when the document does not begin with BOS, or when an id is outside of
    /// the vocabulary.
    pub fn push(&mut self, document: &DocumentTokens) -> Result<(), CorpusError> {
        if self.options.masked {
            let message = format!("document `{}` has no loss mask, but these shards have one", document.id);
            return Err(invalid(&self.folder, message));
        }
        self.append(document, &[])
    }

    /// As [`Self::push`], with the document's loss mask: a byte a token, 1 where a model learns to write it.
    ///
    /// # Errors
    /// As [`Self::push`]; and when the mask has another length, other values than 0 and 1, or only one of them: a document
    /// of which nothing is learnt, or everything and thus also what others wrote, is a mistake of whoever made the mask.
    pub fn push_masked(&mut self, document: &DocumentTokens, mask: &[u8]) -> Result<(), CorpusError> {
        let refuse = |why: String| {
            Err(invalid(&self.folder, format!("the loss mask of document `{}` {why}", document.id)))
        };
        if !self.options.masked {
            return refuse("has no place: these shards were opened without masks".into());
        }
        if mask.len() != document.ids.len() {
            return refuse(format!("has {} bytes for {} tokens", mask.len(), document.ids.len()));
        }
        if let Some(wrong) = mask.iter().find(|byte| **byte > 1) {
            return refuse(format!("holds {wrong}; it must be of 0 and 1"));
        }
        if let Some(why) = one_sided(mask) {
            return refuse(why.into());
        }
        self.append(document, mask)
    }

    fn append(&mut self, document: &DocumentTokens, mask: &[u8]) -> Result<(), CorpusError> {
        let ids = document.ids;
        if ids.first() != Some(&self.options.bos) || ids.len() > i32::MAX as usize {
            let (id, n, bos) = (document.id, ids.len(), self.options.bos);
            let message =
                format!("document `{id}` of {n} tokens must begin with BOS ({bos}) and have fewer than 2^31");
            return Err(invalid(&self.folder, message));
        }
        if let Some((at, wrong)) =
            ids.iter().enumerate().find(|(_, id)| **id as usize >= self.options.vocab_size)
        {
            let (id, size) = (document.id, self.options.vocab_size);
            let message =
                format!("token {at} of document `{id}` is {wrong}, but the vocabulary has {size} ids");
            return Err(invalid(&self.folder, message));
        }
        if self.open.as_ref().is_some_and(|shard| shard.n_tokens + ids.len() as u64 > self.options.max_tokens)
        {
            self.close()?;
        }
        let shard = match &mut self.open {
            Some(shard) => shard,
            closed => {
                let name = format!("{}-{:05}", self.split, self.options.first_shard + self.done.len());
                closed.insert(OpenShard::create(&self.folder, name, &self.options)?)
            }
        };
        shard.push(document, mask)
    }

    /// Closes the last shard. Returns what was written, in order; nothing if there was no document.
    ///
    /// # Errors
    /// [`CorpusError`] when the disk is full.
    pub fn finish(mut self) -> Result<Vec<ShardMeta>, CorpusError> {
        self.close()?;
        Ok(self.done)
    }

    fn close(&mut self) -> Result<(), CorpusError> {
        if let Some(shard) = self.open.take() {
            self.done.push(shard.finish(&self.options)?);
        }
        Ok(())
    }
}

/// What is wrong with a loss mask that marks no token or all.
pub fn one_sided(mask: &[u8]) -> Option<&'static str> {
    if !mask.contains(&1) {
        return Some("is all zeros: nothing of it is learnt; does an assistant write in it?");
    }
    (!mask.contains(&0)).then_some("is all ones: what others wrote in it would be learnt too")
}

/// The loss mask of an open shard, on its way to the file.
struct OpenMask {
    file: BufWriter<File>,
    n_learnt: u64,
}

/// The shard that a writer is at.
struct OpenShard {
    stem: PathBuf,
    name: String,
    dtype: TokenType,
    payload: BufWriter<File>,
    hash: Xxh3,
    scratch: Vec<u8>,
    rows: Rows,
    documents: ParquetWriter,
    mask: Option<OpenMask>,
    ends: Vec<u64>,
    n_tokens: u64,
    n_bytes: u64,
}

impl OpenShard {
    fn create(folder: &Path, name: String, options: &ShardOptions) -> Result<Self, CorpusError> {
        let stem = folder.join(&name);
        let path = file_of(&stem, PAYLOAD);
        let file = File::create(&path).map_err(|source| CorpusError::io(&path, source))?;
        let mask = if options.masked {
            let path = file_of(&stem, MASK);
            let file = File::create(&path).map_err(|source| CorpusError::io(&path, source))?;
            Some(OpenMask { file: BufWriter::new(file), n_learnt: 0 })
        } else {
            None
        };
        Ok(Self {
            documents: ParquetWriter::create(&file_of(&stem, DOCUMENTS), documents_schema())?,
            stem,
            name,
            dtype: TokenType::for_vocab(options.vocab_size),
            payload: BufWriter::with_capacity(1 << 20, file),
            hash: Xxh3::new(),
            scratch: Vec::new(),
            rows: Rows::default(),
            mask,
            ends: Vec::new(),
            n_tokens: 0,
            n_bytes: 0,
        })
    }

    fn push(&mut self, document: &DocumentTokens, mask: &[u8]) -> Result<(), CorpusError> {
        if let Some(open) = &mut self.mask {
            open.file
                .write_all(mask)
                .map_err(|source| CorpusError::io(&file_of(&self.stem, MASK), source))?;
            open.n_learnt += mask.iter().map(|byte| u64::from(*byte)).sum::<u64>();
        }
        self.scratch.clear();
        self.dtype.encode(document.ids, &mut self.scratch);
        self.hash.update(&self.scratch);
        self.payload
            .write_all(&self.scratch)
            .map_err(|source| CorpusError::io(&file_of(&self.stem, PAYLOAD), source))?;
        self.rows.push(self.ends.len() as u64, self.n_tokens, document);
        if self.rows.len() >= BUFFERED_ROWS {
            self.documents.write(&self.rows.batch()?)?;
        }
        self.n_tokens += document.ids.len() as u64;
        self.n_bytes = self.n_bytes.saturating_add(document.n_bytes);
        self.ends.push(self.n_tokens);
        Ok(())
    }

    fn finish(mut self, options: &ShardOptions) -> Result<ShardMeta, CorpusError> {
        let path = file_of(&self.stem, PAYLOAD);
        let file = self.payload.into_inner().map_err(|error| CorpusError::io(&path, error.into_error()))?;
        file.sync_all().map_err(|source| CorpusError::io(&path, source))?;
        self.documents.write(&self.rows.batch()?)?;
        self.documents.finish()?;
        write_synced(&file_of(&self.stem, MEGATRON), &megatron_index(self.dtype, &self.ends))?;
        let ends: Vec<u8> = self.ends.iter().flat_map(|end| end.to_le_bytes()).collect();
        write_synced(&file_of(&self.stem, DATATROVE), &ends)?;

        let n_learnt_tokens = self.mask.as_ref().map(|mask| mask.n_learnt);
        let mut sidecars = vec![MEGATRON, DATATROVE, DOCUMENTS];
        if let Some(mask) = self.mask {
            let path = file_of(&self.stem, MASK);
            let file = mask.file.into_inner().map_err(|error| CorpusError::io(&path, error.into_error()))?;
            file.sync_all().map_err(|source| CorpusError::io(&path, source))?;
            sidecars.push(MASK);
        }
        let mut listed = vec![FileEntry {
            name: format!("{}.{PAYLOAD}", self.name),
            bytes: self.n_tokens * self.dtype.bytes(),
            xxh3: format!("{:032x}", self.hash.digest128()),
        }];
        for extension in sidecars {
            let (xxh3, bytes) = files::checksum(&file_of(&self.stem, extension))?;
            listed.push(FileEntry { name: format!("{}.{extension}", self.name), bytes, xxh3 });
        }
        listed.sort_by(|a, b| a.name.cmp(&b.name));
        let meta = ShardMeta {
            version: VERSION,
            name: self.name,
            tokenizer: options.tokenizer.clone(),
            dtype: self.dtype,
            vocab_size: options.vocab_size,
            bos: options.bos,
            n_documents: self.ends.len() as u64,
            n_tokens: self.n_tokens,
            n_bytes: self.n_bytes,
            n_learnt_tokens,
            files: listed,
        };
        files::write_json(&file_of(&self.stem, META), &meta)?;
        Ok(meta)
    }
}

/// Megatron-LM's index of documents that are one sequence each, which end at the tokens `ends`.
fn megatron_index(dtype: TokenType, ends: &[u64]) -> Vec<u8> {
    let starts = || std::iter::once(0).chain(ends.iter().copied());
    let mut bytes = b"MMIDIDX\0\0".to_vec();
    bytes.extend(1_u64.to_le_bytes());
    bytes.push(dtype.megatron_code());
    bytes.extend((ends.len() as u64).to_le_bytes());
    bytes.extend((ends.len() as u64 + 1).to_le_bytes());
    bytes.extend(starts().zip(ends).flat_map(|(start, end)| ((end - start) as i32).to_le_bytes()));
    bytes.extend(starts().zip(ends).flat_map(|(start, _)| (start * dtype.bytes()).to_le_bytes()));
    bytes.extend((0..=ends.len() as u64).flat_map(u64::to_le_bytes));
    bytes
}

/// One row of `docs.parquet`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentRecord {
    /// Index of the document in its shard.
    pub document: u64,
    /// The document's id.
    pub id: String,
    /// Where it was crawled.
    pub url: String,
    /// The input file that held it.
    pub file_path: String,
    /// Byte offset of its record in that file.
    pub offset: u64,
    /// Its first token's position in the shard.
    pub start_token: u64,
    /// Its tokens, BOS included.
    pub n_tokens: u64,
    /// UTF-8 bytes of its text.
    pub n_bytes: u64,
}

fn documents_schema() -> SchemaRef {
    let number = |name| Field::new(name, DataType::UInt64, false);
    let text = |name| Field::new(name, DataType::LargeUtf8, false);
    Arc::new(Schema::new(vec![
        number("document"),
        text(columns::ID),
        text(columns::URL),
        text(columns::FILE_PATH),
        number(columns::OFFSET),
        number("start_token"),
        number("n_tokens"),
        number("n_bytes"),
    ]))
}

fn document_records(path: &Path, batch: &RecordBatch) -> Result<Vec<DocumentRecord>, CorpusError> {
    let column = |name: &str| {
        let typed = batch.column_by_name(name).filter(|column| {
            documents_schema()
                .field_with_name(name)
                .is_ok_and(|field| field.data_type() == column.data_type())
        });
        typed.ok_or_else(|| {
            CorpusError::damaged(path, format!("column `{name}` is absent or of another type"))
        })
    };
    let number = |name: &str| column(name).map(AsArray::as_primitive::<UInt64Type>);
    let text = |name: &str| column(name).map(AsArray::as_string::<i64>);
    let (document, offset) = (number("document")?, number(columns::OFFSET)?);
    let (start_token, n_tokens, n_bytes) = (number("start_token")?, number("n_tokens")?, number("n_bytes")?);
    let (id, url, file_path) = (text(columns::ID)?, text(columns::URL)?, text(columns::FILE_PATH)?);
    let records = (0..batch.num_rows()).map(|row| DocumentRecord {
        document: document.value(row),
        id: id.value(row).to_owned(),
        url: url.value(row).to_owned(),
        file_path: file_path.value(row).to_owned(),
        offset: offset.value(row),
        start_token: start_token.value(row),
        n_tokens: n_tokens.value(row),
        n_bytes: n_bytes.value(row),
    });
    Ok(records.collect())
}

/// Rows of `docs.parquet` on their way to it.
#[derive(Default)]
struct Rows {
    document: UInt64Builder,
    id: LargeStringBuilder,
    url: LargeStringBuilder,
    file_path: LargeStringBuilder,
    offset: UInt64Builder,
    start_token: UInt64Builder,
    n_tokens: UInt64Builder,
    n_bytes: UInt64Builder,
    len: usize,
}

impl Rows {
    fn push(&mut self, index: u64, start: u64, document: &DocumentTokens) {
        self.document.append_value(index);
        self.id.append_value(document.id);
        self.url.append_value(document.url);
        self.file_path.append_value(document.file_path);
        self.offset.append_value(document.offset);
        self.start_token.append_value(start);
        self.n_tokens.append_value(document.ids.len() as u64);
        self.n_bytes.append_value(document.n_bytes);
        self.len += 1;
    }

    fn len(&self) -> usize {
        self.len
    }

    fn batch(&mut self) -> Result<RecordBatch, CorpusError> {
        self.len = 0;
        let columns: Vec<Arc<dyn Array>> = vec![
            Arc::new(self.document.finish()),
            Arc::new(self.id.finish()),
            Arc::new(self.url.finish()),
            Arc::new(self.file_path.finish()),
            Arc::new(self.offset.finish()),
            Arc::new(self.start_token.finish()),
            Arc::new(self.n_tokens.finish()),
            Arc::new(self.n_bytes.finish()),
        ];
        Ok(RecordBatch::try_new(documents_schema(), columns)?)
    }
}

/// A shard mapped into memory.
#[derive(Debug)]
pub struct ShardReader {
    stem: PathBuf,
    meta: ShardMeta,
    payload: Mmap,
    mask: Option<Mmap>,
    ends: Vec<u64>,
}

impl ShardReader {
    /// Opens the shard whose payload, any other file or stem (`…/train-00000`) is `path`. Sizes and document ends are
    /// checked here, checksums by [`Self::verify`].
    ///
    /// # Errors
    /// [`CorpusError::Io`] when a file is absent, [`CorpusError::Damaged`] when the files do not fit each other.
    pub fn open(path: &Path) -> Result<Self, CorpusError> {
        let stem = stem_of(path);
        let meta = read_meta(&stem)?;

        let payload_path = file_of(&stem, PAYLOAD);
        let file = File::open(&payload_path).map_err(|source| CorpusError::io(&payload_path, source))?;
        // SAFETY: a committed shard is never written again (writers make new files), which is what a mapping asks for.
        let payload = unsafe { Mmap::map(&file) }.map_err(|source| CorpusError::io(&payload_path, source))?;
        let expected = meta.n_tokens.checked_mul(meta.dtype.bytes());
        if expected != Some(payload.len() as u64) {
            let (is, n, width) = (payload.len(), meta.n_tokens, meta.dtype.bytes());
            let message =
                format!("it has {is} bytes, but {n} tokens of {width} bytes are expected; was it cut short?");
            return Err(CorpusError::damaged(&payload_path, message));
        }

        let mut mask = None;
        if meta.n_learnt_tokens.is_some() {
            let path = file_of(&stem, MASK);
            let file = File::open(&path).map_err(|source| CorpusError::io(&path, source))?;
            // SAFETY: as above.
            let bytes = unsafe { Mmap::map(&file) }.map_err(|source| CorpusError::io(&path, source))?;
            if bytes.len() as u64 != meta.n_tokens {
                let (is, n) = (bytes.len(), meta.n_tokens);
                let message = format!(
                    "it has {is} bytes, but one for each of {n} tokens is expected; was it cut short?"
                );
                return Err(CorpusError::damaged(&path, message));
            }
            mask = Some(bytes);
        }

        let ends_path = file_of(&stem, DATATROVE);
        let bytes = std::fs::read(&ends_path).map_err(|source| CorpusError::io(&ends_path, source))?;
        let (ends, rest) = bytes.as_chunks::<8>();
        let ends: Vec<u64> = ends.iter().map(|end| u64::from_le_bytes(*end)).collect();
        if !rest.is_empty() || ends.len() as u64 != meta.n_documents {
            let (is, n) = (bytes.len(), meta.n_documents);
            let message = format!(
                "it has {is} bytes, but {n} document ends of 8 bytes are expected; was it cut short?"
            );
            return Err(CorpusError::damaged(&ends_path, message));
        }
        if ends.last().copied().unwrap_or(0) != meta.n_tokens || !ends.is_sorted_by(|a, b| a < b) {
            let message = format!("its document ends do not rise to {}, the number of tokens", meta.n_tokens);
            return Err(CorpusError::damaged(&ends_path, message));
        }
        Ok(Self { stem, meta, payload, mask, ends })
    }

    /// What `meta.json` says.
    pub fn meta(&self) -> &ShardMeta {
        &self.meta
    }

    /// Tokens in the shard.
    pub fn n_tokens(&self) -> u64 {
        self.meta.n_tokens
    }

    /// Documents in the shard.
    pub fn n_documents(&self) -> usize {
        self.ends.len()
    }

    /// The tokens at positions `range`.
    ///
    /// # Errors
    /// [`CorpusError::Io`] when the range goes past the end.
    pub fn tokens(&self, range: Range<u64>) -> Result<Vec<u32>, CorpusError> {
        let mut tokens =
            Vec::with_capacity((range.end.saturating_sub(range.start)).min(self.n_tokens()) as usize);
        self.tokens_into(range, &mut tokens)?;
        Ok(tokens)
    }

    /// Appends the tokens at positions `range`.
    ///
    /// # Errors
    /// As [`Self::tokens`].
    pub fn tokens_into(&self, range: Range<u64>, tokens: &mut Vec<u32>) -> Result<(), CorpusError> {
        if range.start > range.end || range.end > self.n_tokens() {
            let message =
                format!("tokens {}..{} are asked for, of {}", range.start, range.end, self.n_tokens());
            return Err(invalid(&file_of(&self.stem, PAYLOAD), message));
        }
        let width = self.meta.dtype.bytes();
        let bytes = &self.payload[(range.start * width) as usize..(range.end * width) as usize];
        self.meta.dtype.decode(bytes, tokens);
        Ok(())
    }

    /// The loss mask of document `index`, a byte a token; `None` in shards without masks.
    ///
    /// # Errors
    /// As [`Self::document`].
    pub fn document_mask(&self, index: usize) -> Result<Option<&[u8]>, CorpusError> {
        let range = self.range_of(index)?;
        Ok(self.mask.as_ref().map(|mask| &mask[range.start as usize..range.end as usize]))
    }

    /// Positions of the tokens of document `index`.
    pub fn document_range(&self, index: usize) -> Option<Range<u64>> {
        let end = *self.ends.get(index)?;
        Some(if index == 0 { 0 } else { self.ends[index - 1] }..end)
    }

    /// The document that holds the token at `position`.
    pub fn document_at(&self, position: u64) -> Option<usize> {
        (position < self.n_tokens()).then(|| self.ends.partition_point(|end| *end <= position))
    }

    /// The tokens of document `index`, BOS first.
    ///
    /// # Errors
    /// [`CorpusError::Io`] when there is no such document.
    pub fn document(&self, index: usize) -> Result<Vec<u32>, CorpusError> {
        self.tokens(self.range_of(index)?)
    }

    fn range_of(&self, index: usize) -> Result<Range<u64>, CorpusError> {
        self.document_range(index).ok_or_else(|| {
            let message = format!("document {index} is asked for, of {}", self.n_documents());
            invalid(&file_of(&self.stem, DATATROVE), message)
        })
    }

    /// The rows of `docs.parquet`, in order: where each document came from.
    ///
    /// # Errors
    /// [`CorpusError`] when the file is absent or damaged.
    pub fn documents(&self) -> Result<Vec<DocumentRecord>, CorpusError> {
        let mut records = Vec::with_capacity(self.ends.len());
        self.each_document(|record| {
            records.push(record);
            Ok(())
        })?;
        Ok(records)
    }

    /// Visits the rows of `docs.parquet`, in order, a batch in memory at a time.
    ///
    /// # Errors
    /// Those of `visit`, and [`CorpusError`] when the file is absent or damaged.
    pub fn each_document(
        &self,
        mut visit: impl FnMut(DocumentRecord) -> Result<(), CorpusError>,
    ) -> Result<(), CorpusError> {
        let path = file_of(&self.stem, DOCUMENTS);
        for batch in parquet_files::read(&path, None)? {
            for record in document_records(&path, batch?.record_batch())? {
                visit(record)?;
            }
        }
        Ok(())
    }

    /// The row of `docs.parquet` of document `index`. Only the pages that hold it are read.
    ///
    /// # Errors
    /// [`CorpusError`] when there is no such document, when the file is absent or damaged.
    pub fn document_record(&self, index: usize) -> Result<DocumentRecord, CorpusError> {
        let path = file_of(&self.stem, DOCUMENTS);
        let row = parquet_files::read_row(&path, index)?;
        row.map(|batch| document_records(&path, &batch))
            .transpose()?
            .and_then(|mut records| records.pop())
            .ok_or_else(|| {
                let message = format!("document {index} is asked for, of {}", self.n_documents());
                CorpusError::damaged(&path, message)
            })
    }

    /// Reads every file of the shard and compares sizes and checksums with `meta.json`, and that every document begins
    /// with BOS.
    ///
    /// # Errors
    /// [`CorpusError::Damaged`] with the first file that differs.
    pub fn verify(&self) -> Result<(), CorpusError> {
        for extension in
            [PAYLOAD, MEGATRON, DATATROVE, DOCUMENTS].into_iter().chain(self.mask.is_some().then_some(MASK))
        {
            let path = file_of(&self.stem, extension);
            let name = format!("{}.{extension}", self.meta.name);
            let listed = self.meta.files.iter().find(|file| file.name == name).ok_or_else(|| {
                CorpusError::damaged(&file_of(&self.stem, META), format!("it does not list `{name}`"))
            })?;
            let (xxh3, bytes) = files::checksum(&path)?;
            if (bytes, &xxh3) != (listed.bytes, &listed.xxh3) {
                let message = format!(
                    "it has {bytes} bytes with xxh3 {xxh3}, but `{META}` lists {} with {}; write the shard again",
                    listed.bytes, listed.xxh3
                );
                return Err(CorpusError::damaged(&path, message));
            }
        }
        for index in 0..self.n_documents() {
            let start = self.document_range(index).map_or(0, |range| range.start);
            if self.tokens(start..start + 1)? != [self.meta.bos] {
                let message = format!("document {index} does not begin with BOS ({})", self.meta.bos);
                return Err(CorpusError::damaged(&file_of(&self.stem, PAYLOAD), message));
            }
        }
        Ok(())
    }
}

/// All shards of a split, in order, as one sequence of tokens.
#[derive(Debug)]
pub struct ShardSet {
    shards: Vec<ShardReader>,
    /// First token of each shard, then the number of all tokens.
    starts: Vec<u64>,
}

impl ShardSet {
    /// Opens `SPLIT-00000`, `SPLIT-00001`, … in `folder`: every shard whose `meta.json` is there.
    ///
    /// # Errors
    /// [`CorpusError::Io`] when there is none, [`CorpusError::Damaged`] when a number is missing, when a shard is damaged
    /// or when two were not made with the same tokenizer.
    pub fn open(folder: &Path, split: &str) -> Result<Self, CorpusError> {
        let shards = split_metas(folder, split)?
            .iter()
            .map(|meta| ShardReader::open(&folder.join(&meta.name)))
            .collect::<Result<Vec<_>, _>>()?;
        if let Some(other) = shards.iter().find(|shard| shard.mask.is_some() != shards[0].mask.is_some()) {
            let message = format!("it and `{}` are not both with loss masks", shards[0].meta.name);
            return Err(CorpusError::damaged(&file_of(&other.stem, META), message));
        }
        let mut starts = vec![0_u64];
        for shard in &shards {
            starts.push(starts.last().copied().unwrap_or(0).saturating_add(shard.n_tokens()));
        }
        Ok(Self { shards, starts })
    }

    /// The shards, in order; at least one.
    pub fn shards(&self) -> &[ShardReader] {
        &self.shards
    }

    /// Tokens in all shards.
    pub fn n_tokens(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0)
    }

    /// Documents in all shards.
    pub fn n_documents(&self) -> usize {
        self.shards.iter().map(ShardReader::n_documents).sum()
    }

    /// Positions of the tokens of document `index`, both counted over all shards.
    pub fn document_range(&self, mut index: usize) -> Option<Range<u64>> {
        for (shard, start) in self.shards.iter().zip(&self.starts) {
            match shard.document_range(index) {
                Some(range) => return Some(start + range.start..start + range.end),
                None => index -= shard.n_documents(),
            }
        }
        None
    }

    /// The lengths of all documents, in order.
    pub fn document_lengths(&self) -> impl Iterator<Item = u64> {
        self.shards.iter().flat_map(|shard| {
            (0..shard.n_documents())
                .filter_map(|index| shard.document_range(index))
                .map(|range| range.end - range.start)
        })
    }

    /// [`fingerprint`] of the shards.
    pub fn fingerprint(&self) -> String {
        fingerprint(self.shards.iter().map(ShardReader::meta))
    }

    /// UTF-8 bytes of the text of all shards.
    pub fn n_bytes(&self) -> u64 {
        self.shards.iter().fold(0, |sum, shard| sum.saturating_add(shard.meta.n_bytes))
    }

    /// The tokens at positions `range`, counted over all shards.
    ///
    /// # Errors
    /// [`CorpusError::Io`] when the range goes past the end.
    pub fn tokens(&self, range: Range<u64>) -> Result<Vec<u32>, CorpusError> {
        let last = &self.shards[self.shards.len() - 1];
        if range.start > range.end || range.end > self.n_tokens() {
            let message =
                format!("tokens {}..{} are asked for, of {}", range.start, range.end, self.n_tokens());
            return Err(invalid(&file_of(&last.stem, PAYLOAD), message));
        }
        let mut tokens = Vec::with_capacity((range.end - range.start) as usize);
        for (shard, start) in self.shards.iter().zip(&self.starts) {
            let from = range.start.saturating_sub(*start).min(shard.n_tokens());
            let to = range.end.saturating_sub(*start).min(shard.n_tokens());
            shard.tokens_into(from..to, &mut tokens)?;
        }
        Ok(tokens)
    }
}

/// What the `meta.json` of every shard of a split says, in order; at least one. Nothing else is read.
///
/// # Errors
/// [`CorpusError::Io`] when there is none, [`CorpusError::Damaged`] when a number is missing, when one cannot be read, or
/// when two were not made with the same tokenizer.
pub fn split_metas(folder: &Path, split: &str) -> Result<Vec<ShardMeta>, CorpusError> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|source| CorpusError::io(folder, source))? {
        let name = entry.map_err(|source| CorpusError::io(folder, source))?.file_name();
        let name = name.to_string_lossy();
        let middle =
            name.strip_prefix(split).and_then(|rest| rest.strip_prefix('-')?.strip_suffix(".meta.json"));
        numbers.extend(
            middle.filter(|number| number.len() >= 5).and_then(|number| number.parse::<usize>().ok()),
        );
    }
    numbers.sort_unstable();
    let Some(&first) = numbers.first() else {
        let message = format!("no shard `{split}-00000` with its `meta.json` is in it");
        return Err(CorpusError::io(folder, io::Error::new(io::ErrorKind::NotFound, message)));
    };
    if let Some(missing) =
        (first..).zip(&numbers).find_map(|(expected, is)| (expected != *is).then_some(expected))
    {
        return Err(CorpusError::damaged(folder, format!("shard `{split}-{missing:05}` is missing")));
    }
    let metas = numbers
        .iter()
        .map(|number| read_meta(&folder.join(format!("{split}-{number:05}"))))
        .collect::<Result<Vec<_>, _>>()?;
    let key = |meta: &ShardMeta| (meta.tokenizer.clone(), meta.vocab_size, meta.bos);
    if let Some(other) = metas.iter().find(|meta| key(meta) != key(&metas[0])) {
        let message = format!("its tokenizer is another than that of `{}`", metas[0].name);
        return Err(CorpusError::damaged(&file_of(&folder.join(&other.name), META), message));
    }
    Ok(metas)
}

/// A hash over names, sizes and checksums of all files of some shards: equal shards, equal fingerprint.
pub fn fingerprint<'a>(metas: impl IntoIterator<Item = &'a ShardMeta>) -> String {
    let mut hash = Xxh3::new();
    for file in metas.into_iter().flat_map(|meta| &meta.files) {
        hash.update(format!("{} {} {}\n", file.name, file.bytes, file.xxh3).as_bytes());
    }
    format!("{:032x}", hash.digest128())
}

fn read_meta(stem: &Path) -> Result<ShardMeta, CorpusError> {
    let path = file_of(stem, META);
    let meta: ShardMeta = files::read_json(&path)?.ok_or_else(|| {
        let message = "no such file; it is a shard's last, so that without it the shard is not complete";
        CorpusError::io(&path, io::Error::new(io::ErrorKind::NotFound, message))
    })?;
    if meta.version != VERSION {
        let message = format!("its version is {}; this program reads version {VERSION}", meta.version);
        return Err(CorpusError::damaged(&path, message));
    }
    if meta.dtype != TokenType::for_vocab(meta.vocab_size) || meta.bos as usize >= meta.vocab_size {
        let message = "its `dtype` or `bos` does not fit its `vocab_size`";
        return Err(CorpusError::damaged(&path, message));
    }
    if stem.file_name().is_none_or(|name| name.to_string_lossy() != meta.name) {
        let message = format!("it says that it is of the shard `{}`", meta.name.escape_default());
        return Err(CorpusError::damaged(&path, message));
    }
    Ok(meta)
}

/// `stem` with an extension put behind it. (`Path::with_extension` would cut a dot in the stem.)
fn file_of(stem: &Path, extension: &str) -> PathBuf {
    let mut name = stem.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

/// The stem of a shard's file, or the path itself if it is one.
pub fn stem_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = [PAYLOAD, MEGATRON, DATATROVE, DOCUMENTS, META, MASK]
        .iter()
        .find_map(|extension| name.strip_suffix(extension)?.strip_suffix('.'))
        .unwrap_or(&name);
    path.with_file_name(stem)
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), CorpusError> {
    File::create(path)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .map_err(|source| CorpusError::io(path, source))
}

fn invalid(path: &Path, message: String) -> CorpusError {
    CorpusError::io(path, io::Error::new(io::ErrorKind::InvalidInput, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(ids: &[u32]) -> DocumentTokens<'_> {
        DocumentTokens {
            ids,
            id: "<urn:uuid:1>",
            url: "http://a.example/",
            file_path: "a.warc.gz",
            offset: 77,
            n_bytes: 5,
        }
    }

    fn write(folder: &Path, vocab_size: usize, max_tokens: u64, documents: &[&[u32]]) -> Vec<ShardMeta> {
        let options = ShardOptions { max_tokens, ..ShardOptions::new("abc", vocab_size, 9) };
        let mut writer = ShardWriter::create(folder, "train", options).unwrap();
        for ids in documents {
            writer.push(&document(ids)).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn small_vocabularies_take_two_bytes_a_token_large_ones_four() {
        let folder = tempfile::tempdir().unwrap();
        let meta = write(folder.path(), 65_536, 100, &[&[9, 258, 65_535], &[9]]);
        let bytes =
            |extension| std::fs::read(folder.path().join(format!("train-00000.{extension}"))).unwrap();
        assert_eq!(bytes("bin"), b"\x09\0\x02\x01\xFF\xFF\x09\0");
        assert_eq!(bytes("ds.index"), b"\x03\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0");
        let index = [
            &b"MMIDIDX\0\0\x01\0\0\0\0\0\0\0\x08\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0"[..],
            b"\x03\0\0\0\x01\0\0\0",
            b"\0\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0",
            b"\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0",
        ];
        assert_eq!(bytes("idx"), index.concat());
        assert_eq!((meta[0].n_documents, meta[0].n_tokens, meta[0].n_bytes), (2, 4, 10));

        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 65_537, 100, &[&[9, 65_536]]);
        let bytes =
            |extension| std::fs::read(folder.path().join(format!("train-00000.{extension}"))).unwrap();
        assert_eq!(bytes("bin"), b"\x09\0\0\0\0\0\x01\0");
        assert_eq!(bytes("idx")[17], 4);
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let documents: [&[u32]; 4] = [&[9, 1, 2], &[9], &[9, 3, 4, 5, 6, 7], &[9, 8]];
        let metas = write(folder.path(), 100, 4, &documents);
        let lengths: Vec<u64> = metas.iter().map(|meta| meta.n_tokens).collect();
        assert_eq!(lengths, [4, 6, 2], "a shard is full at 4 tokens; a longer document has its own");

        let set = ShardSet::open(folder.path(), "train").unwrap();
        assert_eq!((set.n_tokens(), set.n_documents(), set.n_bytes()), (12, 4, 20));
        assert_eq!(set.tokens(0..12).unwrap(), documents.concat());
        assert_eq!(set.tokens(2..11).unwrap(), documents.concat()[2..11]);
        assert!(set.tokens(2..13).unwrap_err().to_string().contains("tokens 2..13 are asked for, of 12"));

        let shard = &set.shards()[0];
        shard.verify().unwrap();
        assert_eq!(shard.document(0).unwrap(), [9, 1, 2]);
        assert_eq!(shard.document(1).unwrap(), [9]);
        assert!(shard.document(2).is_err());
        assert_eq!([0, 2, 3, 4].map(|at| shard.document_at(at)), [Some(0), Some(0), Some(1), None]);
        assert_eq!(set.document_lengths().collect::<Vec<_>>(), [3, 1, 6, 2]);
        assert_eq!(
            [1, 2, 3, 4].map(|at| set.document_range(at)),
            [Some(3..4), Some(4..10), Some(10..12), None]
        );
        let records = shard.documents().unwrap();
        assert_eq!([0, 1].map(|at| shard.document_record(at).unwrap()), records[..]);
        assert!(shard.document_record(2).is_err());
        assert_eq!(records.len(), 2);
        assert_eq!(
            records[1],
            DocumentRecord {
                document: 1,
                id: "<urn:uuid:1>".into(),
                url: "http://a.example/".into(),
                file_path: "a.warc.gz".into(),
                offset: 77,
                start_token: 3,
                n_tokens: 1,
                n_bytes: 5,
            }
        );
        for name in ["train-00001", "train-00001.bin", "train-00001.ds.index", "train-00001.docs.parquet"] {
            assert_eq!(ShardReader::open(&folder.path().join(name)).unwrap().meta(), &metas[1], "{name}");
        }
    }

    #[test]
    fn the_same_documents_give_the_same_bytes() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for folder in [&a, &b] {
            write(folder.path(), 100, 4, &[&[9, 1, 2], &[9], &[9, 3]]);
        }
        let (a, b) = (files::list(a.path()).unwrap(), files::list(b.path()).unwrap());
        assert_eq!(a.len(), 10);
        assert_eq!(a, b);
    }

    #[test]
    fn documents_that_do_not_fit_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = ShardWriter::create(folder.path(), "val", ShardOptions::new("abc", 10, 9)).unwrap();
        for (ids, expected) in [
            (&[][..], "of 0 tokens must begin with BOS (9)"),
            (&[1], "must begin"),
            (&[9, 10], "token 1 of document"),
        ] {
            let message = writer.push(&document(ids)).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        assert_eq!(writer.finish().unwrap(), []);
        assert!(
            ShardSet::open(folder.path(), "val").unwrap_err().to_string().contains("no shard `val-00000`")
        );
        assert!(ShardWriter::create(folder.path(), "val", ShardOptions::new("abc", 9, 9)).is_err());
    }

    #[test]
    fn damage_is_found_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = |extension: &str| folder.path().join(format!("train-00000.{extension}"));
        let fresh = || write(folder.path(), 100, 100, &[&[9, 1, 2], &[9]]);
        let open = || ShardReader::open(&path("bin")).and_then(|shard| shard.verify());
        for extension in ["bin", "idx", "ds.index", "docs.parquet", "meta.json"] {
            fresh();
            open().unwrap();
            let bytes = std::fs::read(path(extension)).unwrap();
            std::fs::write(path(extension), &bytes[..bytes.len() - 3]).unwrap();
            let message = open().unwrap_err().to_string();
            assert!(message.contains(&format!("train-00000.{extension}` is damaged")), "{message}");
            std::fs::remove_file(path(extension)).unwrap();
            let message = open().unwrap_err().to_string();
            assert!(message.contains(&format!("train-00000.{extension}`")), "{message}");
        }
        fresh();
        std::fs::write(path("bin"), b"\x09\0\x03\0\x02\0\x09\0").unwrap();
        assert!(open().unwrap_err().to_string().contains("write the shard again"));
        fresh();
        std::fs::write(path("ds.index"), b"\x04\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0").unwrap();
        assert!(open().unwrap_err().to_string().contains("do not rise to 4"));
    }

    #[test]
    fn masks_lie_beside_the_payload_a_byte_a_token() {
        let folder = tempfile::tempdir().unwrap();
        let options = ShardOptions { max_tokens: 5, masked: true, ..ShardOptions::new("abc", 100, 9) };
        let mut writer = ShardWriter::create(folder.path(), "train", options).unwrap();
        writer.push_masked(&document(&[9, 1, 2]), &[0, 0, 1]).unwrap();
        writer.push_masked(&document(&[9, 5]), &[0, 1]).unwrap();
        writer.push_masked(&document(&[9, 6, 7, 8]), &[0, 1, 1, 0]).unwrap();
        let metas = writer.finish().unwrap();
        assert_eq!(metas.iter().map(|meta| meta.n_learnt_tokens).collect::<Vec<_>>(), [Some(2), Some(2)]);
        let path = |name: &str| folder.path().join(name);
        assert_eq!(std::fs::read(path("train-00000.mask")).unwrap(), [0, 0, 1, 0, 1]);
        assert_eq!(std::fs::read(path("train-00001.mask")).unwrap(), [0, 1, 1, 0]);
        let shard = ShardReader::open(&path("train-00000.mask")).unwrap();
        shard.verify().unwrap();
        assert_eq!(shard.document_mask(0).unwrap(), Some(&[0, 0, 1][..]));
        assert_eq!(shard.document_mask(1).unwrap(), Some(&[0, 1][..]));
        assert!(shard.document_mask(2).is_err());
        assert_eq!(ShardSet::open(folder.path(), "train").unwrap().shards().len(), 2);

        // Damage to a mask is found as any other.
        std::fs::write(path("train-00000.mask"), [0, 0, 1, 1, 1]).unwrap();
        let shard = ShardReader::open(&path("train-00000")).unwrap();
        assert!(shard.verify().unwrap_err().to_string().contains("train-00000.mask` is damaged"));
        std::fs::write(path("train-00000.mask"), [0, 0, 1]).unwrap();
        let message = ShardReader::open(&path("train-00000")).unwrap_err().to_string();
        assert!(message.contains("3 bytes, but one for each of 5 tokens"), "{message}");
        std::fs::remove_file(path("train-00000.mask")).unwrap();
        assert!(ShardReader::open(&path("train-00000")).is_err());
    }

    #[test]
    fn masks_that_teach_nothing_or_everything_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let options = ShardOptions { masked: true, ..ShardOptions::new("abc", 100, 9) };
        let mut masked = ShardWriter::create(folder.path(), "train", options).unwrap();
        for (mask, expected) in [
            (&[0, 0, 0][..], "`<urn:uuid:1>` is all zeros"),
            (&[1, 1, 1], "`<urn:uuid:1>` is all ones"),
            (&[0, 1], "has 2 bytes for 3 tokens"),
            (&[0, 1, 2], "holds 2"),
        ] {
            let message = masked.push_masked(&document(&[9, 1, 2]), mask).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        let message = masked.push(&document(&[9, 1])).unwrap_err().to_string();
        assert!(message.contains("has no loss mask"), "{message}");
        assert_eq!(masked.finish().unwrap(), []);
        let mut plain = ShardWriter::create(folder.path(), "val", ShardOptions::new("abc", 100, 9)).unwrap();
        let message = plain.push_masked(&document(&[9, 1]), &[0, 1]).unwrap_err().to_string();
        assert!(message.contains("without masks"), "{message}");
        plain.push(&document(&[9, 1])).unwrap();
        plain.finish().unwrap();
        let shard = ShardReader::open(&folder.path().join("val-00000")).unwrap();
        assert_eq!(shard.document_mask(0).unwrap(), None);
    }

    #[test]
    fn gaps_and_mixed_tokenizers_are_found() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 100, 1, &[&[9], &[9], &[9]]);
        std::fs::remove_file(folder.path().join("train-00001.meta.json")).unwrap();
        let message = ShardSet::open(folder.path(), "train").unwrap_err().to_string();
        assert!(message.contains("`train-00001` is missing"), "{message}");
        let options = ShardOptions { first_shard: 1, ..ShardOptions::new("other", 100, 9) };
        let mut writer = ShardWriter::create(folder.path(), "train", options).unwrap();
        writer.push(&document(&[9])).unwrap();
        writer.finish().unwrap();
        let message = ShardSet::open(folder.path(), "train").unwrap_err().to_string();
        assert!(message.contains("tokenizer is another"), "{message}");
    }
}
