//! From a token of a shard, or of a training step, back to its document.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use gristmill_corpus::pack_plan::PackPlan;
use gristmill_corpus::printable::printable;
use gristmill_corpus::shards::{self, ShardReader};
use serde::Serialize;

use super::shard_folders;

/// The split that training reads.
const TRAIN: &str = "train";

/// Which token is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// A token of a shard.
    Token {
        /// The shard: a path, or its name in the run, such as `train-00000`.
        shard: PathBuf,
        /// The token, counted from the shard's first.
        token: u64,
    },
    /// An input of a training step.
    Step {
        /// The step, counted from 0.
        step: u64,
        /// The row of the step's batch, over all its processes and accumulated parts.
        row: u64,
        /// The place in the row.
        column: u64,
    },
}

/// Where a token comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// Where training read it, if a step was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<Reading>,
    /// The shard that holds it.
    pub shard: String,
    /// Its position in the shard.
    pub token: u64,
    /// Its id.
    pub token_id: u32,
    /// The document's index in the shard.
    pub document: u64,
    /// Its place in the document.
    pub place: u64,
    /// The document's tokens.
    pub n_tokens: u64,
    /// The document's id.
    pub id: String,
    /// Where it was crawled.
    pub url: String,
    /// The input file that held it.
    pub file_path: String,
    /// Byte offset of its record in that file.
    pub offset: u64,
}

/// Where training read a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reading {
    /// The step, counted from 0.
    pub step: u64,
    /// The row of its batch.
    pub row: u64,
    /// The place in the row.
    pub column: u64,
    /// The source of the mixture.
    pub source: String,
    /// How often the source was read before.
    pub epoch: u64,
}

/// Finds the origin of a token of the run, shards or training in `target`; of one stage if it is named. `more` are folders of
/// shards that may be those of a training elsewhere.
///
/// # Errors
/// When there is no such token, or files are absent or damaged.
pub fn find(
    target: &Path,
    stage: Option<&str>,
    more: &[PathBuf],
    question: &Question,
) -> anyhow::Result<Origin> {
    match question {
        Question::Token { shard, token } => in_shard(&open_shard(target, stage, shard)?, *token, None),
        Question::Step { step, row, column } => in_step(target, stage, more, *step, *row, *column),
    }
}

fn open_shard(target: &Path, stage: Option<&str>, shard: &Path) -> anyhow::Result<ShardReader> {
    let is_there = |stem: &Path| {
        let mut meta = stem.as_os_str().to_owned();
        meta.push(".meta.json");
        Path::new(&meta).exists()
    };
    let stem = shards::stem_of(shard);
    // A path is a path; a bare name is of the run.
    if shard.components().count() > 1 && is_there(&stem) {
        return Ok(ShardReader::open(&stem)?);
    }
    let folders = shard_folders::of(target, stage)?;
    let stems: Vec<PathBuf> =
        folders.iter().map(|folder| folder.join(&stem)).filter(|stem| is_there(stem)).collect();
    match &stems[..] {
        [stem] => Ok(ShardReader::open(stem)?),
        [] => bail!("there is no shard `{}` in {}", shard.display(), list(&folders)),
        several => bail!("`{}` may be {}\nhint: `--stage ID` says which", shard.display(), list(several)),
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(", ")
}

fn in_shard(shard: &ShardReader, token: u64, read: Option<Reading>) -> anyhow::Result<Origin> {
    let name = &shard.meta().name;
    let document = shard
        .document_at(token)
        .with_context(|| format!("`{name}` has no token {token}: it holds {}", shard.n_tokens()))?;
    let record = shard.document_record(document)?;
    let start = shard.document_range(document).map_or(0, |range| range.start);
    ensure!(
        record.document == document as u64 && record.start_token == start,
        "docs.parquet of `{name}` is not that of its tokens: row {document} is of document {}",
        record.document
    );
    Ok(Origin {
        read,
        shard: name.clone(),
        token,
        token_id: shard.tokens(token..token + 1)?[0],
        document: record.document,
        place: token - start,
        n_tokens: record.n_tokens,
        id: record.id,
        url: record.url,
        file_path: record.file_path,
        offset: record.offset,
    })
}

fn in_step(
    target: &Path,
    stage: Option<&str>,
    more: &[PathBuf],
    step: u64,
    row: u64,
    column: u64,
) -> anyhow::Result<Origin> {
    let plans = shard_folders::holding(target, stage, |folder| Ok(folder.join("pack.json").is_file()))?;
    let plan = match &plans[..] {
        [folder] => PackPlan::open(folder)?,
        [] => bail!(
            "no training has left a pack plan in `{}`\nhint: name a run with a `pretrain` stage, or the --out of \
             `gristmill train`; `--shard F --token N` needs no training",
            target.display()
        ),
        several => bail!("there are plans in {}\nhint: `--stage ID` says which", list(several)),
    };
    let meta = plan.meta();
    ensure!(step < meta.steps, "there is no step {step}: the run has {}, counted from 0", meta.steps);
    ensure!(
        row < meta.rows_per_step,
        "there is no row {row}: a step has {} rows, counted from 0",
        meta.rows_per_step
    );
    ensure!(
        column < u64::from(meta.row_length),
        "there is no column {column}: a row has {}, counted from 0",
        meta.row_length
    );
    let planned = plan.row(step * meta.rows_per_step + row)?;
    let mut before = 0;
    let mut position = None;
    for stretch in &planned.stretches {
        if column < before + u64::from(stretch.length) {
            position = Some(stretch.start + column - before);
            break;
        }
        before += u64::from(stretch.length);
    }
    let position = position.with_context(|| {
        format!(
            "column {column} of row {row} of step {step} is padding: its tokens end before column {before}"
        )
    })?;
    let source = &meta.sources[planned.source];
    let read = Reading { step, row, column, source: source.source.name.clone(), epoch: planned.epoch };

    // The plan knows its shards by their checksums, wherever they lie now.
    let mut folders = more.to_vec();
    folders.extend(shard_folders::holding(target, None, |folder| {
        Ok(!shard_folders::splits(folder)?.is_empty())
    })?);
    for folder in &folders {
        let Ok(metas) = shards::split_metas(folder, TRAIN) else { continue };
        if shards::fingerprint(&metas) != source.shards {
            continue;
        }
        let mut first = 0;
        for shard in &metas {
            if position < first + shard.n_tokens {
                return in_shard(
                    &ShardReader::open(&folder.join(&shard.name))?,
                    position - first,
                    Some(read),
                );
            }
            first += shard.n_tokens;
        }
    }
    bail!(
        "the shards of source `{}`, which this training read, are not in {}\nhint: `--shards DIR` says where they are",
        source.source.name,
        if folders.is_empty() { format!("`{}`", target.display()) } else { list(&folders) }
    )
}

impl Origin {
    /// As lines for people.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        if let Some(read) = &self.read {
            text.push_str(&format!(
                "read      step {}, row {}, column {}; source {}, epoch {}\n",
                read.step,
                read.row,
                read.column,
                printable(&read.source),
                read.epoch
            ));
        }
        text.push_str(&format!(
            "token     {} at {} of {}\ndocument  {}, token {} of {}\nid        {}\nurl       {}\nfrom      {}@{}\n",
            self.token_id,
            self.token,
            self.shard,
            self.document,
            self.place,
            self.n_tokens,
            printable(&self.id),
            printable(&self.url),
            printable(&self.file_path),
            self.offset
        ));
        text
    }
}
