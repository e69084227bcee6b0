//! The two steps behind an exchange: equal keys to edges, edges to survivors.

use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;

use gristmill_corpus::CorpusError;
use gristmill_corpus::keyed::{self, KeyedReader};
use gristmill_stages::StageError;
use gristmill_stages::dedup::clusters::{Clusters, KeepList, components, stars};

use super::store::StepFolder;
use super::task::{Outcome, TaskContext};

/// Keys of one task: sorted rows (partition, key, row of the task).
pub const KEYS: &str = "keys.bin";
/// Rank of every row of one task, u64 little-endian.
pub const RANKS: &str = "ranks.bin";
/// Edges of one partition: pairs of dense document ids, u64 little-endian.
const EDGES: &str = "edges.bin";
/// The survivors: see [`KeepList::to_bytes`].
const KEEP: &str = "keep.bin";
/// Cluster of every document: smallest dense id in it, u64 little-endian.
const LABELS: &str = "clusters.bin";

/// Equal keys of one partition, over all tasks, become star edges.
pub fn reduce(context: &TaskContext<'_>, keys: &str) -> Result<Outcome, StageError> {
    let (folder, manifest) = context.result(keys)?;
    let mut readers = Vec::new();
    for (commit, first_row) in manifest.commits.iter().zip(&manifest.first_row) {
        if let Some(path) = folder.file(commit, KEYS)? {
            readers.push((KeyedReader::open(&path).map_err(|error| engine(&path, &error))?, *first_row));
        }
    }
    let path = context.folder.join(EDGES);
    let mut out = BufWriter::new(File::create(&path).map_err(|error| engine(&path, &error))?);
    let partition = context.index as u32;
    for edge in stars(keyed::merge(&readers, partition)) {
        let (a, b) = edge.map_err(|error| StageError::Engine(error.to_string()))?;
        out.write_all(&a.to_le_bytes())
            .and_then(|()| out.write_all(&b.to_le_bytes()))
            .map_err(|error| engine(&path, &error))?;
    }
    finish(out, &path)?;
    Ok(Outcome::default())
}

/// Edges of all partitions become clusters; of each, the document with the smallest (rank, position) survives.
pub fn clusters(context: &TaskContext<'_>, keys: &str, edges: &str) -> Result<Outcome, StageError> {
    let (key_folder, key_manifest) = context.result(keys)?;
    let (edge_folder, edge_manifest) = context.result(edges)?;
    let n_docs = key_manifest.rows();
    let mut ranks: Vec<u64> = Vec::with_capacity(n_docs as usize);
    for commit in &key_manifest.commits {
        if let Some(path) = key_folder.file(commit, RANKS)? {
            numbers(&path, |rank| ranks.push(rank))?;
        }
    }
    if ranks.len() as u64 != n_docs {
        return Err(StageError::Engine(format!("{} ranks for {n_docs} documents", ranks.len())));
    }
    let mut pairs = Vec::new();
    for commit in &edge_manifest.commits {
        if let Some(path) = edge_folder.file(commit, EDGES)? {
            let mut first = None;
            numbers(&path, |number| match first.take() {
                None => first = Some(number),
                Some(a) => pairs.push((a, number)),
            })?;
        }
    }
    if let Some((a, b)) = pairs.iter().find(|(a, b)| *a >= n_docs || *b >= n_docs) {
        return Err(StageError::Engine(format!("edge {a}-{b} names no document among {n_docs}")));
    }
    let labels = components(n_docs, pairs);
    let path = context.folder.join(LABELS);
    let mut out = BufWriter::new(File::create(&path).map_err(|error| engine(&path, &error))?);
    for label in &labels {
        out.write_all(&label.to_le_bytes()).map_err(|error| engine(&path, &error))?;
    }
    finish(out, &path)?;
    let clusters = Clusters::new(labels, |document| ranks[document as usize]);
    let path = context.folder.join(KEEP);
    fs::write(&path, clusters.keep().to_bytes()).map_err(|error| engine(&path, &error))?;
    Ok(Outcome::default())
}

/// The survivors that a clusters step left.
pub fn keep_list(
    folder: &StepFolder,
    commit: &gristmill_corpus::manifest::Commit,
) -> Result<KeepList, StageError> {
    let path = folder
        .file(commit, KEEP)?
        .ok_or_else(|| StageError::Engine(format!("no `{KEEP}` in `{}`", folder.path().display())))?;
    let bytes = fs::read(&path).map_err(|error| engine(&path, &error))?;
    KeepList::from_bytes(&bytes)
        .ok_or_else(|| StageError::from(CorpusError::damaged(&path, "it is no list of survivors")))
}

fn numbers(path: &Path, mut visit: impl FnMut(u64)) -> Result<(), StageError> {
    let mut file = BufReader::new(File::open(path).map_err(|error| engine(path, &error))?);
    let mut bytes = [0; 8];
    loop {
        match file.read_exact(&mut bytes) {
            Ok(()) => visit(u64::from_le_bytes(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(engine(path, &error)),
        }
    }
}

fn finish(out: BufWriter<File>, path: &Path) -> Result<(), StageError> {
    let file = out.into_inner().map_err(|error| engine(path, error.error()))?;
    file.sync_all().map_err(|error| engine(path, &error))
}

fn engine(path: &Path, error: &std::io::Error) -> StageError {
    StageError::Engine(format!("`{}`: {error}", path.display()))
}
