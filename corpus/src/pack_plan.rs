//! The pack plan: which tokens every row of a training run holds, fixed before the run.
//!
//! A plan is made of shards, a mixture, a seed and a length; then `row(n)` is a pure function. Steps can be read in any
//! order, by any number of processes, and again after a kill: the same rows come, and every token of every step can be
//! traced ([`PackPlan::row`] says where its tokens stand).
//!
//! - **Packing**: the documents of a source into rows, by [`BestFit`](Packing::BestFit) ([`crate::packing`]) or as one
//!   [`Stream`](Packing::Stream) that is cut into windows. An epoch deals every row of a source once, in a seeded order.
//! - **Mixture**: how many rows of the run each source gives: by weight, but no more than its epochs may ([`allot`]). At any
//!   time of the run each has given its share, to within a row a source: the run's last step reads the mixture of its first.
//!
//! On disk it is a folder's `pack.json` ([`PlanMeta`], written last) and, where documents are packed, two files that are
//! mapped into memory: `pack.rows` (u64 a row, over all sources: the piece behind its last) and `pack.pieces` (12 bytes a
//! piece: u64 position of its first token in its source, u32 tokens).

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use serde::{Deserialize, Serialize};
use serde_json::json;
use xxhash_rust::xxh3::Xxh3;

use crate::binary::word;
use crate::error::CorpusError;
use crate::files::{self, FileEntry};
use crate::fingerprint::Fingerprint;
use crate::packing::{self, PackSummary, WINDOW_PIECES};
use crate::permutation::{mix, permute};
use crate::shards::ShardSet;

const VERSION: u32 = 1;
const META: &str = "pack.json";
const ROWS: &str = "pack.rows";
const PIECES: &str = "pack.pieces";
const PIECE_BYTES: usize = 12;

/// How documents come into rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Packing {
    /// By best fit: a document is whole in its row if it fits, and rows end with padding.
    #[default]
    BestFit,
    /// One document behind the other, cut into windows wherever a row is full.
    Stream,
}

/// A source of the mixture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MixtureSource {
    /// What to call it.
    pub name: String,
    /// Its share of the rows is this over the sum of all weights.
    #[serde(default = "default_weight")]
    pub weight: f64,
    /// It is read at most so many times. What it cannot give, the others do, by their weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_epochs: Option<u64>,
}

fn default_weight() -> f64 {
    1.0
}

impl MixtureSource {
    /// The only source of a run.
    pub fn only(name: &str) -> Self {
        Self { name: name.to_owned(), weight: 1.0, max_epochs: None }
    }
}

/// What a plan is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanOptions {
    /// How documents come into rows.
    pub packing: Packing,
    /// Inputs in a row, at least 1.
    pub row_length: u32,
    /// Decides the order of rows.
    pub seed: u64,
    /// Rows in a step of the whole run, over all its processes.
    pub rows_per_step: u64,
    /// Steps of the run.
    pub steps: u64,
}

/// What `pack.json` says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanMeta {
    /// Version of this layout.
    pub version: u32,
    /// Hash of all that the plan is made of: equal fingerprint, equal rows.
    pub fingerprint: Fingerprint,
    /// How documents come into rows.
    pub packing: Packing,
    /// Inputs in a row.
    pub row_length: u32,
    /// Decides the order of rows.
    pub seed: u64,
    /// Rows in a step of the whole run.
    pub rows_per_step: u64,
    /// Steps of the run.
    pub steps: u64,
    /// Hash of the tokenizer of all sources.
    pub tokenizer: String,
    /// The id that every document begins with, which is also the target of its last token.
    pub bos: u32,
    /// The mixture.
    pub sources: Vec<PlannedSource>,
    /// The other files of the plan with sizes and checksums.
    pub files: Vec<FileEntry>,
}

/// A source of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedSource {
    /// Its name, weight and cap.
    #[serde(flatten)]
    pub source: MixtureSource,
    /// [`fingerprint`](crate::shards::fingerprint) of its shards.
    pub shards: String,
    /// Rows that it gives to the run.
    pub n_drawn: u64,
    /// Rows that it gives in an epoch.
    pub n_rows: u64,
    /// Pieces of documents in them.
    pub n_pieces: u64,
    /// Its documents.
    pub n_documents: u64,
    /// Its tokens.
    pub n_tokens: u64,
    /// Its documents that are in more than one row.
    pub n_cut: u64,
    /// Places of its rows that are free.
    pub padding: u64,
}

impl PlanMeta {
    /// Rows of the run.
    pub fn n_rows(&self) -> u64 {
        self.steps * self.rows_per_step
    }
}

/// Tokens of a row that stand side by side in their source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Position of the first in the source, over all its shards.
    pub start: u64,
    /// How many.
    pub length: u32,
}

/// A row of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedRow {
    /// Which source it is of.
    pub source: usize,
    /// How often that source was read before.
    pub epoch: u64,
    /// Which row of the source it is.
    pub row: u64,
    /// Its inputs, from its first place on. Where they are documents' pieces, each begins a text of its own.
    pub stretches: Vec<Stretch>,
}

/// A plan, its rows mapped into memory.
#[derive(Debug)]
pub struct PackPlan {
    folder: PathBuf,
    meta: PlanMeta,
    rows: Option<Mmap>,
    pieces: Option<Mmap>,
    /// Rows of all sources before each.
    first_rows: Vec<u64>,
}

impl PackPlan {
    /// Opens the plan in `folder` that was made of these, or makes it there.
    ///
    /// # Errors
    /// As [`Self::write`] and [`Self::open`].
    pub fn prepare(
        folder: &Path,
        sources: &[(MixtureSource, &ShardSet)],
        options: &PlanOptions,
    ) -> Result<Self, CorpusError> {
        if let Ok(Some(held)) = files::read_json::<PlanMeta>(&folder.join(META))
            && held.fingerprint == fingerprint(sources, options)
            && let Ok(plan) = Self::open(folder)
            && plan.verify().is_ok()
        {
            return Ok(plan);
        }
        Self::write(folder, sources, options)?;
        Self::open(folder)
    }

    /// Makes the plan. The same sources and options give the same bytes.
    ///
    /// # Errors
    /// [`CorpusError::Plan`] when the sources cannot give so many rows or are of different tokenizers;
    /// [`CorpusError::Io`] when the disk is full.
    pub fn write(
        folder: &Path,
        sources: &[(MixtureSource, &ShardSet)],
        options: &PlanOptions,
    ) -> Result<PlanMeta, CorpusError> {
        check(sources, options)?;
        files::create_folder(folder)?;
        let (planned, listed) = match options.packing {
            Packing::Stream => (sources.iter().map(|source| stream(source, options)).collect(), Vec::new()),
            Packing::BestFit => pack(folder, sources, options)?,
        };
        let capacities: Vec<Capacity> = planned.iter().map(Capacity::of).collect();
        let drawn = allot(options.steps * options.rows_per_step, &capacities).map_err(CorpusError::Plan)?;
        let planned = planned.into_iter().zip(drawn);
        let first = sources[0].1.shards()[0].meta();
        let meta = PlanMeta {
            version: VERSION,
            fingerprint: fingerprint(sources, options),
            packing: options.packing,
            row_length: options.row_length,
            seed: options.seed,
            rows_per_step: options.rows_per_step,
            steps: options.steps,
            tokenizer: first.tokenizer.clone(),
            bos: first.bos,
            sources: planned.map(|(source, n_drawn)| PlannedSource { n_drawn, ..source }).collect(),
            files: listed,
        };
        files::write_json(&folder.join(META), &meta)?;
        Ok(meta)
    }

    /// Opens the plan in `folder`. Sizes are checked here, checksums by [`Self::verify`].
    ///
    /// # Errors
    /// [`CorpusError::Io`] when there is none, [`CorpusError::Damaged`] when its files do not fit each other.
    pub fn open(folder: &Path) -> Result<Self, CorpusError> {
        let path = folder.join(META);
        let meta: PlanMeta = files::read_json(&path)?.ok_or_else(|| {
            let message = "no such file: there is no pack plan in this folder";
            CorpusError::io(&path, io::Error::new(io::ErrorKind::NotFound, message))
        })?;
        let damaged = |message: String| Err(CorpusError::damaged(&path, message));
        if meta.version != VERSION {
            return damaged(format!("its version is {}; this program reads version {VERSION}", meta.version));
        }
        let sum = |count: fn(&PlannedSource) -> u64| {
            meta.sources.iter().try_fold(0_u64, |sum, source| sum.checked_add(count(source)))
        };
        let n_rows = meta.steps.checked_mul(meta.rows_per_step);
        if meta.row_length == 0 || n_rows.is_none() || n_rows != sum(|source| source.n_drawn) {
            return damaged("its sources do not give the rows that its steps read".into());
        }
        if meta.sources.iter().any(|source| source.n_drawn > 0 && source.n_rows == 0) {
            return damaged("a source without rows is to give some".into());
        }
        let mut first_rows = vec![0_u64];
        for source in &meta.sources {
            let next = first_rows.last().and_then(|first| first.checked_add(source.n_rows));
            let Some(next) = next else { return damaged("its rows are more than can be".into()) };
            first_rows.push(next);
        }
        let (rows, pieces) = match meta.packing {
            Packing::Stream => (None, None),
            Packing::BestFit => (
                Some(map(&folder.join(ROWS), sum(|source| source.n_rows), 8)?),
                Some(map(&folder.join(PIECES), sum(|source| source.n_pieces), PIECE_BYTES as u64)?),
            ),
        };
        Ok(Self { folder: folder.to_owned(), meta, rows, pieces, first_rows })
    }

    /// What `pack.json` says.
    pub fn meta(&self) -> &PlanMeta {
        &self.meta
    }

    /// Compares the files with their checksums.
    ///
    /// # Errors
    /// [`CorpusError::Damaged`] with the first that differs.
    pub fn verify(&self) -> Result<(), CorpusError> {
        for listed in &self.meta.files {
            // Names are ours, whatever the file says.
            let Some(name) = [ROWS, PIECES].into_iter().find(|name| **name == listed.name) else { continue };
            let path = self.folder.join(name);
            if files::checksum(&path)? != (listed.xxh3.clone(), listed.bytes) {
                return Err(CorpusError::damaged(&path, "its checksum differs; make the plan again"));
            }
        }
        Ok(())
    }

    /// The rows of the run that process `rank` of `world` reads in a step: a part of the step's rows, the same rows for all
    /// processes together whatever their number.
    pub fn rows_of(&self, step: u64, rank: u64, world: u64) -> Range<u64> {
        let (first, n) = (step * self.meta.rows_per_step, u128::from(self.meta.rows_per_step));
        let cut = |rank: u64| first + (n * u128::from(rank) / u128::from(world)) as u64;
        cut(rank)..cut(rank + 1)
    }

    /// Row `row` of the run, counted over all steps.
    ///
    /// # Errors
    /// [`CorpusError::Plan`] when the run has fewer rows, [`CorpusError::Damaged`] when the plan's files say what cannot be.
    pub fn row(&self, row: u64) -> Result<PlannedRow, CorpusError> {
        if row >= self.meta.n_rows() {
            let (steps, rows) = (self.meta.steps, self.meta.rows_per_step);
            let message = format!("row {row} is asked for; the plan has {steps} steps of {rows} rows");
            return Err(CorpusError::Plan(message));
        }
        let drawn: Vec<u64> = self.meta.sources.iter().map(|source| source.n_drawn).collect();
        let (index, nth) = deal(row, &drawn);
        let source = &self.meta.sources[index];
        // The first source of a run has the run's seed.
        let seed = self.meta.seed ^ mix(index as u64);
        let epoch = nth / source.n_rows;
        let in_epoch = nth % source.n_rows;
        Ok(match self.meta.packing {
            Packing::Stream => {
                let window = stream_window(nth, source.n_tokens, self.meta.row_length, seed);
                let stretch = Stretch { start: window.start, length: self.meta.row_length };
                PlannedRow { source: index, epoch, row: window.index, stretches: vec![stretch] }
            }
            Packing::BestFit => {
                let row = permute(in_epoch, source.n_rows, epoch_seed(seed, epoch));
                PlannedRow { source: index, epoch, row, stretches: self.stretches(index, row)? }
            }
        })
    }

    fn stretches(&self, source: usize, row: u64) -> Result<Vec<Stretch>, CorpusError> {
        let (Some(rows), Some(pieces)) = (&self.rows, &self.pieces) else { return Ok(Vec::new()) };
        let damaged = |name: &str, message: &str| {
            let message = format!("row {row} of source {source} {message}; make the plan again");
            Err(CorpusError::damaged(&self.folder.join(name), message))
        };
        let at = (self.first_rows[source] + row) as usize;
        let start = if at == 0 { 0 } else { word(rows, (at - 1) * 8) } as usize;
        let end = word(rows, at * 8) as usize;
        if start >= end || end > pieces.len() / PIECE_BYTES {
            return damaged(ROWS, "does not end behind its beginning");
        }
        let records = pieces[start * PIECE_BYTES..end * PIECE_BYTES].as_chunks::<PIECE_BYTES>().0;
        let stretches: Vec<Stretch> = records
            .iter()
            .map(|record| Stretch {
                start: word(record, 0),
                length: u32::from_le_bytes([record[8], record[9], record[10], record[11]]),
            })
            .collect();
        let n_tokens = self.meta.sources[source].n_tokens;
        let filled: u64 = stretches.iter().map(|stretch| u64::from(stretch.length)).sum();
        let is_inside = |stretch: &Stretch| {
            stretch.length > 0
                && stretch.start.checked_add(u64::from(stretch.length)).is_some_and(|end| end <= n_tokens)
        };
        if filled > u64::from(self.meta.row_length) || !stretches.iter().all(is_inside) {
            return damaged(PIECES, "holds tokens that its source does not have");
        }
        Ok(stretches)
    }
}

fn check(sources: &[(MixtureSource, &ShardSet)], options: &PlanOptions) -> Result<(), CorpusError> {
    let wrong = |message: String| Err(CorpusError::Plan(message));
    if sources.is_empty() || options.row_length == 0 || options.rows_per_step == 0 || options.steps == 0 {
        return wrong("a plan needs a source, a step, a row and a token in it".into());
    }
    if options.steps.checked_mul(options.rows_per_step).is_none() {
        return wrong(format!("{} steps of {} rows are too many", options.steps, options.rows_per_step));
    }
    let key = |set: &ShardSet| {
        let meta = set.shards()[0].meta();
        (meta.tokenizer.clone(), meta.vocab_size, meta.bos)
    };
    for (source, shards) in sources {
        let name = &source.name;
        if !(source.weight > 0.0 && source.weight.is_finite()) {
            return wrong(format!(
                "source `{name}` has the weight {}; it must be above 0: leave out what is not to be read",
                source.weight
            ));
        }
        if sources.iter().filter(|(other, _)| other.name == *name).count() > 1 {
            return wrong(format!("two sources are called `{name}`"));
        }
        if key(shards) != key(sources[0].1) {
            return wrong(format!(
                "the shards of `{name}` are of another tokenizer than those of `{}`",
                sources[0].0.name
            ));
        }
    }
    Ok(())
}

fn fingerprint(sources: &[(MixtureSource, &ShardSet)], options: &PlanOptions) -> Fingerprint {
    let sources: Vec<_> = sources
        .iter()
        .map(|(source, shards)| {
            let tokenizer = &shards.shards()[0].meta().tokenizer;
            json!({
                "name": source.name, "weight": source.weight, "max_epochs": source.max_epochs,
                "shards": shards.fingerprint(), "tokenizer": tokenizer,
            })
        })
        .collect();
    Fingerprint::of(&json!({
        "version": VERSION, "packing": options.packing, "window": WINDOW_PIECES, "row_length": options.row_length,
        "seed": options.seed, "rows_per_step": options.rows_per_step, "steps": options.steps, "sources": sources,
    }))
}

fn planned((source, shards): &(MixtureSource, &ShardSet), summary: &PackSummary) -> PlannedSource {
    PlannedSource {
        source: source.clone(),
        shards: shards.fingerprint(),
        n_drawn: 0,
        n_rows: summary.n_rows,
        n_pieces: summary.n_pieces,
        n_documents: summary.n_documents,
        n_tokens: summary.n_tokens,
        n_cut: summary.n_cut,
        padding: summary.padding,
    }
}

fn stream(source: &(MixtureSource, &ShardSet), options: &PlanOptions) -> PlannedSource {
    let shards = source.1;
    let n_rows = stream_windows(shards.n_tokens(), options.row_length);
    let summary = PackSummary {
        n_documents: shards.n_documents() as u64,
        n_tokens: shards.n_tokens(),
        n_rows,
        n_pieces: n_rows,
        n_cut: packing::cut_by_stream(shards.document_lengths(), options.row_length),
        padding: 0,
    };
    planned(source, &summary)
}

/// Windows of a stream. Each has `row_length` inputs and as many targets, the last of which is the next one's first
/// input: each token but the first is a target once.
pub fn stream_windows(n_tokens: u64, row_length: u32) -> u64 {
    n_tokens.saturating_sub(1) / u64::from(row_length)
}

/// A window of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Which it is, in the order of the stream.
    pub index: u64,
    /// Position of its first input.
    pub start: u64,
}

/// The `nth` window that a run reads of a stream: each epoch in another order, and from another offset. The stream must
/// have one.
pub fn stream_window(nth: u64, n_tokens: u64, row_length: u32, seed: u64) -> Window {
    let windows = stream_windows(n_tokens, row_length);
    let slack = (n_tokens - 1) % u64::from(row_length);
    let seed = epoch_seed(seed, nth / windows);
    let offset = mix(seed) % (slack + 1);
    let index = permute(nth % windows, windows, seed);
    Window { index, start: offset + index * u64::from(row_length) }
}

fn epoch_seed(seed: u64, epoch: u64) -> u64 {
    mix(seed ^ mix(epoch))
}

/// Packs every source; returns them and the files written.
fn pack(
    folder: &Path,
    sources: &[(MixtureSource, &ShardSet)],
    options: &PlanOptions,
) -> Result<(Vec<PlannedSource>, Vec<FileEntry>), CorpusError> {
    let mut rows = Output::create(folder, ROWS)?;
    let mut pieces = Output::create(folder, PIECES)?;
    let mut n_pieces = 0_u64;
    let mut all = Vec::new();
    for source in sources {
        // Documents lie one behind the other, so that the position of each is the sum of the lengths before it.
        let mut window_start = 0;
        let mut first_document = 0;
        let lengths = || source.1.document_lengths();
        let mut behind = lengths();
        let mut starts = Vec::new();
        let summary = packing::pack(
            lengths(),
            options.row_length,
            WINDOW_PIECES,
            |packed| -> Result<(), CorpusError> {
                let n_documents = packed.n_documents();
                starts.clear();
                for length in behind.by_ref().take(n_documents) {
                    starts.push(window_start);
                    window_start += length;
                }
                for row in packed.iter() {
                    n_pieces += row.len() as u64;
                    rows.write(&n_pieces.to_le_bytes())?;
                    for piece in row {
                        let start = starts[(piece.document - first_document) as usize] + piece.start;
                        pieces.write(&start.to_le_bytes())?;
                        pieces.write(&piece.length.to_le_bytes())?;
                    }
                }
                first_document += n_documents as u64;
                Ok(())
            },
        )?;
        all.push(planned(source, &summary));
    }
    Ok((all, vec![pieces.finish()?, rows.finish()?]))
}

/// A file that is hashed while it is written.
struct Output {
    name: &'static str,
    path: PathBuf,
    out: BufWriter<File>,
    hash: Xxh3,
    bytes: u64,
}

impl Output {
    fn create(folder: &Path, name: &'static str) -> Result<Self, CorpusError> {
        let path = folder.join(name);
        // A reader of an older plan keeps the file that it has mapped.
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(CorpusError::io(&path, source));
            }
            _ => {}
        }
        let file = File::create(&path).map_err(|source| CorpusError::io(&path, source))?;
        let out = BufWriter::with_capacity(1 << 20, file);
        Ok(Self { name, path, out, hash: Xxh3::new(), bytes: 0 })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), CorpusError> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        self.out.write_all(bytes).map_err(|source| CorpusError::io(&self.path, source))
    }

    fn finish(self) -> Result<FileEntry, CorpusError> {
        let path = self.path;
        let file = self.out.into_inner().map_err(|error| CorpusError::io(&path, error.into_error()))?;
        file.sync_all().map_err(|source| CorpusError::io(&path, source))?;
        let xxh3 = format!("{:032x}", self.hash.digest128());
        Ok(FileEntry { name: self.name.to_owned(), bytes: self.bytes, xxh3 })
    }
}

fn map(path: &Path, n: Option<u64>, width: u64) -> Result<Mmap, CorpusError> {
    let file = File::open(path).map_err(|source| CorpusError::io(path, source))?;
    // SAFETY: a plan's files are never written again: another plan removes them first and makes new ones.
    let mapped = unsafe { Mmap::map(&file) }.map_err(|source| CorpusError::io(path, source))?;
    if n.and_then(|n| n.checked_mul(width)) != Some(mapped.len() as u64) {
        let message = format!("it has {} bytes, other than `{META}` says; was it cut short?", mapped.len());
        return Err(CorpusError::damaged(path, message));
    }
    Ok(mapped)
}

/// What a source can give to a mixture.
#[derive(Debug, Clone, PartialEq)]
pub struct Capacity {
    /// For messages.
    pub name: String,
    /// Its share of the rows is this over the sum of all weights.
    pub weight: f64,
    /// At most so many rows.
    pub n_rows: u64,
}

impl Capacity {
    fn of(planned: &PlannedSource) -> Self {
        let source = &planned.source;
        let epochs = source.max_epochs.unwrap_or(u64::MAX);
        Self {
            name: source.name.clone(),
            weight: source.weight,
            n_rows: planned.n_rows.saturating_mul(epochs),
        }
    }
}

/// How many of `n` rows each source gives: by weight, those that cannot give so many all that they can, and the others
/// what is missing, by weight again.
///
/// # Errors
/// What is missing, when all together cannot give `n`.
pub fn allot(n: u64, sources: &[Capacity]) -> Result<Vec<u64>, String> {
    let most = sources.iter().fold(0_u64, |sum, source| sum.saturating_add(source.n_rows));
    if most < n {
        let each: Vec<String> =
            sources.iter().map(|source| format!("`{}` {}", source.name, source.n_rows)).collect();
        return Err(format!(
            "the run reads {n} rows, and its sources give {most} with all their epochs ({}): take fewer steps, raise \
             `max_epochs` or use more data",
            each.join(", ")
        ));
    }
    let mut given: Vec<Option<u64>> = vec![None; sources.len()];
    let mut left = n;
    loop {
        let weights: f64 = sources
            .iter()
            .zip(&given)
            .filter(|(_, given)| given.is_none())
            .map(|(source, _)| source.weight)
            .sum();
        let quota = |source: &Capacity| left as f64 * (source.weight / weights);
        let full: Vec<usize> = (0..sources.len())
            .filter(|&index| given[index].is_none() && quota(&sources[index]) >= sources[index].n_rows as f64)
            .collect();
        if full.is_empty() {
            let mut quotas: Vec<(usize, f64)> = (0..sources.len())
                .filter(|&index| given[index].is_none())
                .map(|index| (index, quota(&sources[index])))
                .collect();
            for &(index, quota) in &quotas {
                let rows = (quota as u64).min(left);
                given[index] = Some(rows);
                left -= rows;
            }
            // Whole rows for what is left, to the largest fractions first.
            quotas.sort_by(|a, b| b.1.fract().total_cmp(&a.1.fract()).then(a.0.cmp(&b.0)));
            while left > 0 {
                for &(index, _) in &quotas {
                    let rows = given[index].unwrap_or(0);
                    if left > 0 && rows < sources[index].n_rows {
                        given[index] = Some(rows + 1);
                        left -= 1;
                    }
                }
            }
            return Ok(given.into_iter().map(|rows| rows.unwrap_or(0)).collect());
        }
        for index in full {
            let rows = sources[index].n_rows.min(left);
            given[index] = Some(rows);
            left -= rows;
        }
        if left == 0 {
            return Ok(given.into_iter().map(|rows| rows.unwrap_or(0)).collect());
        }
    }
}

/// Which source gives row `row` of a run in which they give so many each, and which of its rows that is.
///
/// The first takes every row at which its share passes a whole number; the second does so with the rows that are left, and
/// so on. So all sources are spread evenly over the run, and nothing is remembered from row to row.
fn deal(row: u64, drawn: &[u64]) -> (usize, u64) {
    let mut row = row;
    let mut total: u64 = drawn.iter().sum();
    for (source, &n) in drawn.iter().enumerate() {
        let taken = |row: u64| (u128::from(row) * u128::from(n) / u128::from(total.max(1))) as u64;
        let before = taken(row);
        if taken(row + 1) > before {
            return (source, before);
        }
        row -= before;
        total -= n;
    }
    unreachable!("the last source takes every row that is left")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::shards::{DocumentTokens, ShardOptions, ShardWriter};

    /// Shards of documents of these lengths; token `n` of the source is `n % 60_000 + 1`, BOS apart.
    fn source(folder: &Path, name: &str, lengths: &[usize]) -> ShardSet {
        let folder = folder.join(name);
        let options = ShardOptions { max_tokens: 50, ..ShardOptions::new("t", 65_000, 0) };
        let mut writer = ShardWriter::create(&folder, "train", options).unwrap();
        let mut next = 0;
        for (index, &length) in lengths.iter().enumerate() {
            let mut ids: Vec<u32> = (next..next + length as u32).map(|id| id % 60_000 + 1).collect();
            ids[0] = 0;
            next += length as u32;
            let id = format!("{name}/{index}");
            writer.push(&DocumentTokens { ids: &ids, id: &id, ..DocumentTokens::default() }).unwrap();
        }
        writer.finish().unwrap();
        ShardSet::open(&folder, "train").unwrap()
    }

    fn options(packing: Packing, row_length: u32, rows_per_step: u64, steps: u64) -> PlanOptions {
        PlanOptions { packing, row_length, seed: 7, rows_per_step, steps }
    }

    fn mixed(name: &str, weight: f64, max_epochs: Option<u64>) -> MixtureSource {
        MixtureSource { name: name.into(), weight, max_epochs }
    }

    fn all_rows(plan: &PackPlan) -> Vec<PlannedRow> {
        (0..plan.meta().n_rows()).map(|row| plan.row(row).unwrap()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// The heart of it: whoever reads which step first, alone or among others, the same rows come.
        #[test]
        fn batches_are_a_pure_function_of_the_step(
            lengths in prop::collection::vec(1_usize..40, 1..40),
            more in prop::collection::vec(1_usize..40, 1..40),
            row_length in 1_u32..30, rows_per_step in 1_u64..9, steps in 1_u64..12,
            weight in 0.1_f64..4.0, is_stream in any::<bool>(), world in 1_u64..12,
            order in Just((0..12_u64).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let (a, b) = (source(folder.path(), "a", &lengths), source(folder.path(), "b", &more));
            let packing = if is_stream { Packing::Stream } else { Packing::BestFit };
            let fits = |set: &ShardSet| set.n_tokens() > u64::from(row_length);
            prop_assume!(!is_stream || (fits(&a) && fits(&b)));
            let sources = [(mixed("a", weight, None), &a), (mixed("b", 1.0, None), &b)];
            let at = folder.path().join("plan");
            PackPlan::write(&at, &sources, &options(packing, row_length, rows_per_step, steps)).unwrap();
            let plan = PackPlan::open(&at).unwrap();
            plan.verify().unwrap();
            let expected = all_rows(&plan);

            // Every process opens the plan for itself and reads its part of the steps in an order of its own.
            let mut seen = HashMap::new();
            for rank in 0..world {
                let own = PackPlan::open(&at).unwrap();
                let mut order = order.clone();
                order.rotate_left(rank as usize % 12);
                for step in order.into_iter().filter(|step| *step < steps) {
                    for row in own.rows_of(step, rank, world) {
                        prop_assert!((step * rows_per_step..(step + 1) * rows_per_step).contains(&row));
                        prop_assert!(seen.insert(row, own.row(row).unwrap()).is_none(), "row {} twice", row);
                    }
                }
            }
            prop_assert_eq!(seen.len(), expected.len());
            for (row, planned) in expected.iter().enumerate() {
                prop_assert_eq!(&seen[&(row as u64)], planned);
            }
            prop_assert!(plan.row(expected.len() as u64).is_err());
        }

        #[test]
        fn an_epoch_deals_every_token_once_and_cuts_no_document_that_fits(
            lengths in prop::collection::vec(1_usize..40, 1..40), row_length in 1_u32..30,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let set = source(folder.path(), "a", &lengths);
            let sources = [(MixtureSource::only("a"), &set)];
            let meta =
                PackPlan::write(folder.path(), &sources, &options(Packing::BestFit, row_length, 1, 1)).unwrap();
            let n_rows = meta.sources[0].n_rows;
            let plan =
                PackPlan::prepare(folder.path(), &sources, &options(Packing::BestFit, row_length, n_rows, 3)).unwrap();
            let ends: Vec<u64> = set.document_lengths().scan(0, |sum, n| { *sum += n; Some(*sum) }).collect();
            let rows = all_rows(&plan);
            let mut orders = Vec::new();
            for (epoch, rows) in rows.chunks(n_rows as usize).enumerate() {
                let mut stretches: Vec<Stretch> = Vec::new();
                for row in rows {
                    prop_assert_eq!(row.epoch, epoch as u64);
                    stretches.extend(&row.stretches);
                }
                orders.push(rows.iter().map(|row| row.row).collect::<Vec<_>>());
                stretches.sort_by_key(|stretch| stretch.start);
                let mut next = 0;
                for stretch in stretches {
                    prop_assert_eq!(stretch.start, next);
                    next += u64::from(stretch.length);
                    let document = ends.partition_point(|end| *end <= stretch.start);
                    let start = if document == 0 { 0 } else { ends[document - 1] };
                    prop_assert!(next <= ends[document], "a stretch is of one document");
                    if ends[document] - start <= u64::from(row_length) {
                        prop_assert_eq!((stretch.start, next), (start, ends[document]), "whole if it fits");
                    }
                }
                prop_assert_eq!(next, set.n_tokens());
            }
            let source = &meta.sources[0];
            prop_assert_eq!(source.padding, n_rows * u64::from(row_length) - set.n_tokens());
            prop_assert!(n_rows < 6 || orders[0] != orders[1] || orders[1] != orders[2]);
        }

        #[test]
        fn sources_give_their_share_at_any_time(
            drawn in prop::collection::vec(0_u64..200, 1..6).prop_filter("some", |drawn| drawn.iter().sum::<u64>() > 0),
        ) {
            let n: u64 = drawn.iter().sum();
            let mut given = vec![0_u64; drawn.len()];
            for row in 0..n {
                let (source, nth) = deal(row, &drawn);
                prop_assert_eq!(nth, given[source], "rows of a source come in order");
                given[source] += 1;
                for (n_given, n_drawn) in given.iter().zip(&drawn) {
                    let fair = (row + 1) as f64 * *n_drawn as f64 / n as f64;
                    prop_assert!((*n_given as f64 - fair).abs() < drawn.len() as f64, "{} {}", n_given, fair);
                }
            }
            prop_assert_eq!(given, drawn);
        }

        #[test]
        fn rows_are_allotted_by_weight_below_the_caps(
            n in 0_u64..10_000,
            sources in prop::collection::vec((0.01_f64..10.0, 0_u64..5000), 1..6),
        ) {
            let sources: Vec<Capacity> = sources
                .into_iter()
                .map(|(weight, n_rows)| Capacity { name: "s".into(), weight, n_rows })
                .collect();
            let most: u64 = sources.iter().map(|source| source.n_rows).sum();
            match allot(n, &sources) {
                Err(message) => prop_assert!(most < n && message.contains("max_epochs"), "{}", message),
                Ok(given) => {
                    prop_assert_eq!(given.iter().sum::<u64>(), n);
                    for (given, source) in given.iter().zip(&sources) {
                        prop_assert!(*given <= source.n_rows);
                    }
                    // Those below their caps stand to each other as their weights do, and nobody at his cap gives more
                    // than his weight asks for.
                    for (a, source_a) in given.iter().zip(&sources).filter(|(n, source)| **n < source.n_rows) {
                        for (b, source_b) in given.iter().zip(&sources) {
                            let (a, b) = (*a as f64 / source_a.weight, *b as f64 / source_b.weight);
                            let slack = 1.0 / source_a.weight + 1.0 / source_b.weight + 1e-6;
                            prop_assert!(b <= a + slack, "{} {}", a, b);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_capped_source_is_read_no_more_than_it_may_and_the_others_fill_up() {
        let folder = tempfile::tempdir().unwrap();
        let (small, large) =
            (source(folder.path(), "small", &[10; 4]), source(folder.path(), "large", &[10; 100]));
        let sources = [(mixed("small", 3.0, Some(2)), &small), (mixed("large", 1.0, None), &large)];
        let options = options(Packing::BestFit, 10, 8, 10);
        let meta = PackPlan::write(folder.path(), &sources, &options).unwrap();
        assert_eq!(meta.sources.iter().map(|source| source.n_drawn).collect::<Vec<_>>(), [8, 72]);
        let plan = PackPlan::open(folder.path()).unwrap();
        let mut read = HashMap::new();
        for row in all_rows(&plan).into_iter().filter(|row| row.source == 0) {
            assert!(row.epoch < 2);
            *read.entry(row.row).or_insert(0) += 1;
        }
        assert_eq!(read, HashMap::from([(0, 2), (1, 2), (2, 2), (3, 2)]));

        let capped = [(mixed("small", 3.0, Some(2)), &small), (mixed("large", 1.0, Some(0)), &large)];
        let message = PackPlan::write(folder.path(), &capped, &options).unwrap_err().to_string();
        assert!(
            message.contains("reads 80 rows, and its sources give 8") && message.contains("`small` 8"),
            "{message}"
        );
    }

    #[test]
    fn mistakes_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let set = source(folder.path(), "a", &[3]);
        let message = |sources: &[(MixtureSource, &ShardSet)], packing| {
            PackPlan::write(folder.path(), sources, &options(packing, 5, 1, 1)).unwrap_err().to_string()
        };
        let twice = [(mixed("a", 1.0, None), &set), (mixed("a", 1.0, None), &set)];
        assert!(message(&twice, Packing::BestFit).contains("two sources are called `a`"));
        assert!(message(&[(mixed("a", 0.0, None), &set)], Packing::BestFit).contains("must be above 0"));
        assert!(message(&[(mixed("a", f64::NAN, None), &set)], Packing::BestFit).contains("must be above 0"));
        assert!(message(&[(mixed("a", 1.0, None), &set)], Packing::Stream).contains("give 0"));
        let message = PackPlan::open(&folder.path().join("none")).unwrap_err().to_string();
        assert!(message.contains("no pack plan"), "{message}");
    }

    #[test]
    fn equal_inputs_give_equal_bytes_and_others_another_fingerprint() {
        let folder = tempfile::tempdir().unwrap();
        let set = source(folder.path(), "a", &[3, 9, 4, 20, 1]);
        let plan = |name: &str, weight: f64, options: PlanOptions| {
            let at = folder.path().join(name);
            let meta = PackPlan::write(&at, &[(mixed("a", weight, None), &set)], &options).unwrap();
            (meta.fingerprint, files::list(&at).unwrap())
        };
        let usual = options(Packing::BestFit, 8, 2, 3);
        let (fingerprint, listed) = plan("x", 1.0, usual);
        assert_eq!(plan("y", 1.0, usual), (fingerprint.clone(), listed));
        for (weight, other) in [
            (2.0, usual),
            (1.0, PlanOptions { seed: 8, ..usual }),
            (1.0, PlanOptions { row_length: 9, ..usual }),
            (1.0, PlanOptions { steps: 4, ..usual }),
            (1.0, PlanOptions { packing: Packing::Stream, ..usual }),
        ] {
            assert_ne!(plan("z", weight, other).0, fingerprint);
        }
    }

    #[test]
    fn a_damaged_plan_is_an_error_and_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let set = source(folder.path(), "a", &[3, 9, 4, 20, 1]);
        let sources = [(MixtureSource::only("a"), &set)];
        let usual = options(Packing::BestFit, 8, 2, 3);
        let at = folder.path().join("plan");
        let whole = all_rows(&PackPlan::prepare(&at, &sources, &usual).unwrap());
        for (name, place) in [(ROWS, 0), (ROWS, 7), (PIECES, 0), (PIECES, 7), (PIECES, 8), (PIECES, 11)] {
            let mut bytes = std::fs::read(at.join(name)).unwrap();
            std::fs::write(at.join(name), &bytes[1..]).unwrap();
            assert!(PackPlan::open(&at).unwrap_err().to_string().contains(name));
            bytes[place] = 0xFF;
            std::fs::write(at.join(name), &bytes).unwrap();
            let plan = PackPlan::open(&at).unwrap();
            assert!(plan.verify().unwrap_err().to_string().contains(name));
            // Rows of a damaged plan may be wrong; none may be a panic.
            let n_wrong = (0..6).filter(|row| plan.row(*row).is_err()).count();
            assert!(n_wrong > 0, "{name}[{place}]");
            assert_eq!(all_rows(&PackPlan::prepare(&at, &sources, &usual).unwrap()), whole);
        }
        std::fs::write(at.join(META), "{}").unwrap();
        assert!(PackPlan::open(&at).unwrap_err().to_string().contains("pack.json` is damaged"));
        assert_eq!(all_rows(&PackPlan::prepare(&at, &sources, &usual).unwrap()), whole);
    }
}
