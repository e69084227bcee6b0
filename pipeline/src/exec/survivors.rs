//! The steps behind an exchange's keys: forests of partitions to one, and that to the documents that survive; and what a
//! split reads of it.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt64Array};
use gristmill_corpus::CorpusError;
use gristmill_corpus::manifest::{Commit, Manifest};
use gristmill_stages::dedup::clusters::{KeepList, Member};
use gristmill_stages::dedup::exchange;
use gristmill_stages::stage::ClusterColumns;
use gristmill_stages::{Documents, StageError, Verdict};

use super::expect_shape;
use super::keys::{self, engine};
use super::ranks::Ranks;
use super::store::StepFolder;
use super::task::{Outcome, TaskContext};
use crate::plan::FOREST_FAN_IN;

/// Pairs (document, smallest of its component) of one or more partitions: u64 little-endian.
const FOREST: &str = "forest.bin";
/// The survivors: see [`KeepList::write`].
const KEEP: &str = "keep.bin";
/// Members of clusters of two and more documents: see [`Member::to_record`].
const MEMBERS: &str = "members.bin";

/// Equal keys of one partition, over all tasks, become a forest.
pub(super) fn reduce(context: &TaskContext<'_>, stage: &str, keys: &str) -> Result<Outcome, StageError> {
    let exchange = expect_shape!(context.runtimes, stage, Exchange)?;
    keys::reduce(context, exchange, stage, keys, &context.folder.join(FOREST))?;
    Ok(Outcome::default())
}

/// Some forests become one.
pub(super) fn merge(
    context: &TaskContext<'_>,
    stage: &str,
    keys: &str,
    forests: &str,
) -> Result<Outcome, StageError> {
    let (_, key_manifest) = context.result(keys)?;
    let (folder, manifest) = context.result(forests)?;
    let first = context.index * FOREST_FAN_IN;
    let some = &manifest.commits[first..(first + FOREST_FAN_IN).min(manifest.commits.len())];
    let files = files(&folder, some)?;
    let out = context.folder.join(FOREST);
    let n_docs = keys::earlier_documents(context.plan, stage)? + key_manifest.rows();
    exchange::merge_forests(&files, n_docs, &context.workspace(), &out).map_err(engine)?;
    Ok(Outcome::default())
}

/// The last forests become clusters; of each, the document with the smallest (rank, position) survives.
pub(super) fn decide(
    context: &TaskContext<'_>,
    stage: &str,
    keys: &str,
    forests: &str,
) -> Result<Outcome, StageError> {
    let (key_folder, key_manifest) = context.result(keys)?;
    let (folder, manifest) = context.result(forests)?;
    let ranks = Ranks::of(&key_folder, &key_manifest)?;
    let earlier = keys::earlier_documents(context.plan, stage)?;
    exchange::decide(
        &files(&folder, &manifest.commits)?,
        earlier + key_manifest.rows(),
        // Nothing ranks before what is out already, and of equals the first stays.
        || Ok((0..earlier).map(|_| Ok(0)).chain(ranks.read())),
        &context.workspace(),
        &context.folder.join(KEEP),
        &context.folder.join(MEMBERS),
    )
    .map_err(engine)?;
    Ok(Outcome::default())
}

fn files(folder: &StepFolder, commits: &[Commit]) -> Result<Vec<PathBuf>, StageError> {
    let mut files = Vec::new();
    for commit in commits {
        files.push(left(folder, commit, FOREST)?);
    }
    Ok(files)
}

fn left(folder: &StepFolder, commit: &Commit, name: &str) -> Result<PathBuf, CorpusError> {
    let missing = || CorpusError::damaged(folder.path(), format!("task {} left no `{name}`", commit.task));
    folder.file(commit, name)?.ok_or_else(missing)
}

/// The file of all members of clusters that the step `folder` left.
pub fn members_file(folder: &StepFolder, manifest: &Manifest) -> Result<PathBuf, CorpusError> {
    let missing = || CorpusError::damaged(folder.path(), "it has no task");
    left(folder, manifest.commits.first().ok_or_else(missing)?, MEMBERS)
}

/// What was decided about the documents of one split.
pub(super) struct Survivors {
    keep: KeepList,
    columns: Option<ClusterColumns>,
    members: Vec<Member>,
    first: u64,
    next: u64,
    reason: &'static str,
}

impl Survivors {
    /// Reads what the step `clusters` of `stage` says about the documents `rows`.
    pub(super) fn read(
        context: &TaskContext<'_>,
        stage: &str,
        clusters: &str,
        rows: Range<u64>,
    ) -> Result<Self, StageError> {
        let exchange = expect_shape!(context.runtimes, stage, Exchange)?;
        let (folder, manifest) = context.result(clusters)?;
        let missing = || StageError::Engine(format!("step `{clusters}` left nothing"));
        let keep = left(&folder, manifest.commits.first().ok_or_else(missing)?, KEEP)?;
        let earlier = keys::earlier_documents(context.plan, stage)?;
        let rows = earlier + rows.start..earlier + rows.end;
        let keep = KeepList::read(&keep, rows.clone()).map_err(engine)?;
        let columns = exchange.cluster_columns();
        let members = match &columns {
            Some(_) => {
                exchange::members_of(&members_file(&folder, &manifest)?, rows.clone()).map_err(engine)?
            }
            None => Vec::new(),
        };
        Ok(Self { keep, columns, members, first: rows.start, next: rows.start, reason: exchange.reason() })
    }

    /// The verdicts on the next documents of the split, which get the columns that are wanted.
    pub fn apply(&mut self, documents: Documents) -> Result<(Documents, Vec<Verdict>), StageError> {
        let rows = self.next..self.next + documents.len() as u64;
        self.next = rows.end;
        let verdict = |row| if self.keep.is_kept(row) { Verdict::Keep } else { Verdict::Drop(self.reason) };
        let verdicts = (rows.start - self.first..rows.end - self.first).map(verdict).collect();
        let Some(columns) = &self.columns else { return Ok((documents, verdicts)) };
        let (mut ids, mut sizes): (Vec<u64>, Vec<u64>) = rows.clone().map(|row| (row, 1)).unzip();
        let begin = self.members.partition_point(|member| member.document < rows.start);
        for member in self.members[begin..].iter().take_while(|member| member.document < rows.end) {
            let at = (member.document - rows.start) as usize;
            (ids[at], sizes[at]) = (member.cluster, member.size);
        }
        let column = |values: Vec<u64>| -> ArrayRef { Arc::new(UInt64Array::from(values)) };
        let documents = documents.with_column(&columns.id, column(ids))?;
        Ok((documents.with_column(&columns.size, column(sizes))?, verdicts))
    }
}
