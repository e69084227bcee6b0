//! What a task leaves of its documents for an exchange: keys, ranks, and sketches where there is a second look.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use gristmill_corpus::keyed::{KeyedReader, KeyedWriter};
use gristmill_corpus::manifest::Manifest;
use gristmill_corpus::sketches::{SketchWriter, Sketches};
use gristmill_corpus::sorter::Workspace;
use gristmill_stages::stage::Exchange;
use gristmill_stages::{Documents, StageError};

use super::store::StepFolder;
use super::task::TaskContext;
use crate::plan::Plan;

/// Keys of one task: sorted rows (partition, key, row of the task).
const KEYS: &str = "keys.bin";
/// Rank of every row of one task, u64 little-endian.
pub const RANKS: &str = "ranks.bin";
/// Sketch of every row of one task, if the exchange looks twice.
const SKETCHES: &str = "sketches.bin";

/// Writes them.
pub struct KeysOut<'a> {
    exchange: &'a dyn Exchange,
    folder: &'a Path,
    keys: KeyedWriter,
    ranks: BufWriter<File>,
    sketches: Option<SketchWriter>,
    rows: u64,
}

impl<'a> KeysOut<'a> {
    /// Opens the files in `folder`.
    pub fn create(
        folder: &'a Path,
        exchange: &'a dyn Exchange,
        workspace: Workspace,
    ) -> Result<Self, StageError> {
        let create = |name: &str| folder.join(name);
        let sketches = exchange.verifier().map(|_| SketchWriter::create(&create(SKETCHES))).transpose();
        Ok(Self {
            exchange,
            folder,
            keys: KeyedWriter::bounded(exchange.partitions(), workspace),
            ranks: BufWriter::new(File::create(create(RANKS)).map_err(engine)?),
            sketches: sketches.map_err(engine)?,
            rows: 0,
        })
    }

    /// Takes the next documents.
    pub fn write(&mut self, documents: &Documents) -> Result<(), StageError> {
        let Self { exchange, keys, sketches, rows, .. } = self;
        let mut emit = |row: usize, partition, key| keys.push(partition, key, *rows + row as u64);
        match (exchange.verifier(), sketches) {
            (Some(verifier), Some(sketches)) => {
                let mut written = Ok(());
                let mut seen = 0;
                verifier.keys(documents, &mut emit, &mut |sketch| {
                    seen += 1;
                    if written.is_ok() {
                        written = sketches.push(sketch);
                    }
                })?;
                written.map_err(engine)?;
                if seen != documents.len() {
                    let message = format!("{seen} sketches of {} documents", documents.len());
                    return Err(StageError::Engine(message));
                }
            }
            _ => exchange.keys(documents, &mut emit)?,
        }
        for rank in self.exchange.ranks(documents)? {
            self.ranks.write_all(&rank.to_le_bytes()).map_err(engine)?;
        }
        self.rows += documents.len() as u64;
        self.keys.make_room().map_err(engine)
    }

    /// Closes the files.
    pub fn finish(self) -> Result<(), StageError> {
        self.keys.finish(&self.folder.join(KEYS)).map_err(engine)?;
        if let Some(sketches) = self.sketches {
            sketches.finish().map_err(engine)?;
        }
        let ranks = self.ranks.into_inner().map_err(|error| engine(error.into_error()))?;
        ranks.sync_all().map_err(engine)
    }
}

/// How many documents earlier runs have that the exchange `stage` compares with: they come first, so that the documents of
/// this run begin with that number.
pub fn earlier_documents(plan: &Plan, stage: &str) -> Result<u64, StageError> {
    Ok(earlier(plan, stage)?.iter().map(|(_, manifest)| manifest.rows()).sum())
}

pub(super) fn earlier(plan: &Plan, stage: &str) -> Result<Vec<(StepFolder, Manifest)>, StageError> {
    let mut results = Vec::new();
    for earlier in plan.stage(stage).into_iter().flat_map(|stage| &stage.earlier) {
        let folder = StepFolder::at(&earlier.folder);
        let gone = || StageError::Engine(format!("`{}`: the keys of that run are gone", earlier.run));
        let manifest = folder.manifest()?.ok_or_else(gone)?;
        results.push((folder, manifest));
    }
    Ok(results)
}

/// Equal keys of one partition, over all tasks of the step `keys` and of earlier runs, become a forest.
pub(super) fn reduce(
    context: &TaskContext<'_>,
    exchange: &dyn Exchange,
    stage: &str,
    keys: &str,
    out: &Path,
) -> Result<(), StageError> {
    let mut results = earlier(context.plan, stage)?;
    results.push(context.result(keys)?);
    let (mut readers, mut sketches, mut n_docs) = (Vec::new(), Sketches::default(), 0);
    for (folder, manifest) in &results {
        for (commit, first_row) in manifest.commits.iter().zip(&manifest.first_row) {
            if let Some(path) = folder.file(commit, KEYS)? {
                readers.push((KeyedReader::open(&path).map_err(engine)?, n_docs + first_row));
            }
            if let Some(path) = folder.file(commit, SKETCHES)? {
                sketches.add(&path, n_docs + first_row, commit.rows).map_err(engine)?;
            }
        }
        n_docs += manifest.rows();
    }
    let (mut a, mut b, mut known) = (Vec::new(), Vec::new(), None);
    let verifier = exchange.verifier();
    let agree = |first: u64, second: u64| {
        let Some(verifier) = verifier else { return Ok(true) };
        // Most groups have one leader, whose sketch is asked for again and again.
        if known != Some(first) {
            sketches.read(first, &mut a)?;
            known = Some(first);
        }
        sketches.read(second, &mut b)?;
        Ok(verifier.agree(&a, &b))
    };
    let partition = context.index as u32;
    gristmill_stages::dedup::exchange::reduce(&readers, partition, n_docs, agree, &context.workspace(), out)
        .map_err(engine)
}

/// Of use in `map_err`.
#[expect(clippy::needless_pass_by_value, reason = "that is what `map_err` hands over")]
pub(super) fn engine(error: io::Error) -> StageError {
    StageError::Engine(error.to_string())
}
