//! Takes the documents of one split through a chain of stages. This is where verdicts are applied, reasons are
//! counted, rejects are kept and time is taken.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, ArrayRef, LargeStringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use gristmill_corpus::manifest::StageCounts;
use gristmill_corpus::parquet_files::{self, ParquetWriter};
use gristmill_corpus::{DocBatch, columns};
use gristmill_stages::stage::{Filter, Map, PartWriter, Skipped, SourceOutput, Spans, Split};
use gristmill_stages::{Documents, StageError, Verdict};

use super::expect_shape;
use super::keys::KeysOut;
use super::spans::{KeyWriter, Marks};
use super::survivors::Survivors;
use super::task::{Outcome, TaskContext};
use crate::plan::{Head, Link, Tail};

/// Documents that a step keeps.
pub const DOCUMENTS: &str = "documents.parquet";

/// The file in which a stage's rejects are kept.
pub fn rejects_file(stage: &str) -> String {
    format!("rejects-{stage}.parquet")
}

/// Runs one task of a segment.
pub fn run(
    context: &TaskContext<'_>,
    head: &Head,
    chain: &[Link],
    tail: &Tail,
) -> Result<Outcome, StageError> {
    let (parts, rows) = match head {
        Head::Splits { .. } => (Vec::new(), 0..0),
        Head::Parts { steps, per_task } => find_parts(context, steps, *per_task)?,
    };
    let mut flow = Flow {
        rejects: Rejects { folder: context.folder.to_owned(), writers: BTreeMap::new() },
        source: None,
        links: links(context, chain, &rows)?,
        end: End::open(context, tail)?,
        rows: 0,
    };
    match head {
        Head::Splits { stage, splits } => {
            let source = expect_shape!(context.runtimes, stage, Source)?;
            let planned = &splits[context.index];
            let split = Split { path: planned.path.clone(), name: planned.name.clone() };
            flow.source = Some(StageCounts::new(stage));
            let begun = Instant::now();
            source.read(&split, &mut flow)?;
            let elsewhere: u64 = flow.links.iter().map(|link| link.counts.elapsed_us).sum();
            if let Some(counts) = &mut flow.source {
                counts.elapsed_us = (begun.elapsed().as_micros() as u64).saturating_sub(elsewhere);
            }
        }
        Head::Parts { .. } => {
            let only = flow.end.columns(context)?;
            let only: Option<Vec<&str>> = match &only {
                // A chain may read anything; keys read only what they declare.
                Some(columns) if flow.links.is_empty() => Some(columns.iter().map(String::as_str).collect()),
                _ => None,
            };
            for path in parts {
                for batch in parquet_files::read(&path, only.as_deref())? {
                    flow.push(batch?)?;
                }
            }
        }
    }
    flow.finish()
}

/// The files of the parts that this task reads, and the dense ids of their rows.
fn find_parts(
    context: &TaskContext<'_>,
    steps: &[String],
    per_task: usize,
) -> Result<(Vec<PathBuf>, Range<u64>), StageError> {
    let mut wanted = context.index * per_task..(context.index + 1) * per_task;
    let (mut paths, mut rows, mut before) = (Vec::new(), None, 0);
    for step in steps {
        let (folder, manifest) = context.result(step)?;
        let n = manifest.commits.len();
        for index in wanted.start.min(n)..wanted.end.min(n) {
            let (first, end) = (before + manifest.first_row[index], before + manifest.first_row[index + 1]);
            rows = Some(rows.map_or(first..end, |rows: Range<u64>| rows.start..end));
            paths.extend(folder.file(&manifest.commits[index], DOCUMENTS)?);
        }
        wanted = wanted.start.saturating_sub(n)..wanted.end.saturating_sub(n);
        before += manifest.rows();
    }
    let nothing =
        || StageError::Engine(format!("task {} has no part in {}", context.index, steps.join(", ")));
    Ok((paths, rows.ok_or_else(nothing)?))
}

enum Work<'a> {
    Filter(&'a dyn Filter),
    Map(&'a dyn Map),
    Survivors(Survivors),
    /// A stage that cuts spans, and the marks of this part's rows.
    Rewrite(&'a dyn Spans, Marks),
}

struct LiveLink<'a> {
    work: Work<'a>,
    counts: StageCounts,
}

fn links<'a>(
    context: &TaskContext<'a>,
    chain: &'a [Link],
    rows: &Range<u64>,
) -> Result<Vec<LiveLink<'a>>, StageError> {
    let mut links = Vec::new();
    for link in chain {
        let (stage, work) = match link {
            Link::Stage(stage) => match context.runtimes.get(stage)? {
                gristmill_stages::stage::Runtime::Filter(filter) => (stage, Work::Filter(filter.as_ref())),
                gristmill_stages::stage::Runtime::Map(map) => (stage, Work::Map(map.as_ref())),
                _ => return Err(StageError::Engine(format!("stage `{stage}` is no filter and no map"))),
            },
            Link::Survivors { stage, clusters } => {
                (stage, Work::Survivors(Survivors::read(context, stage, clusters, rows.clone())?))
            }
            Link::Rewrite { stage, marks } => {
                let spans = expect_shape!(context.runtimes, stage, Spans)?;
                (stage, Work::Rewrite(spans, Marks::open(context, marks)?))
            }
        };
        links.push(LiveLink { work, counts: StageCounts::new(stage) });
    }
    Ok(links)
}

/// A task under way.
struct Flow<'a> {
    source: Option<StageCounts>,
    links: Vec<LiveLink<'a>>,
    rejects: Rejects,
    end: End<'a>,
    rows: u64,
}

impl SourceOutput for Flow<'_> {
    fn documents(&mut self, batch: DocBatch) -> Result<(), StageError> {
        if let Some(counts) = &mut self.source {
            counts.documents_in += batch.len() as u64;
            counts.documents_out += batch.len() as u64;
            counts.bytes_out += content_bytes(&batch);
        }
        self.push(batch)
    }

    fn skip(&mut self, skipped: Skipped<'_>) -> Result<(), StageError> {
        let Some(counts) = &mut self.source else {
            return Err(StageError::Engine("records were skipped where no source is".into()));
        };
        counts.documents_in += 1;
        *counts.rejected.entry(skipped.reason.to_owned()).or_default() += 1;
        self.rejects.skipped(&counts.stage, &skipped)
    }
}

impl Flow<'_> {
    fn push(&mut self, batch: DocBatch) -> Result<(), StageError> {
        let mut documents = Documents::new(batch);
        for link in &mut self.links {
            if documents.is_empty() {
                return Ok(());
            }
            let begun = Instant::now();
            let counts = &mut link.counts;
            counts.documents_in += documents.len() as u64;
            counts.bytes_in += content_bytes(documents.batch());
            let verdicts = match &mut link.work {
                Work::Filter(filter) => filter.verdicts(&documents)?,
                Work::Map(map) => {
                    let n = documents.len();
                    let (mapped, verdicts) = map.map(documents)?;
                    documents = as_many(mapped, n, counts)?;
                    verdicts
                }
                Work::Rewrite(spans, marks) => {
                    let n = documents.len();
                    let (rewritten, verdicts) = spans.rewrite(documents, &marks.next(n)?)?;
                    documents = as_many(rewritten, n, counts)?;
                    verdicts
                }
                Work::Survivors(survivors) => {
                    let (with_columns, verdicts) = survivors.apply(documents)?;
                    documents = with_columns;
                    verdicts
                }
            };
            if verdicts.len() != documents.len() {
                let message = format!(
                    "stage `{}` gave {} verdicts for {} documents",
                    counts.stage,
                    verdicts.len(),
                    documents.len()
                );
                return Err(StageError::Engine(message));
            }
            documents = apply(documents, &verdicts, counts, &mut self.rejects)?;
            counts.documents_out += documents.len() as u64;
            counts.bytes_out += content_bytes(documents.batch());
            counts.elapsed_us += begun.elapsed().as_micros() as u64;
        }
        self.rows += documents.len() as u64;
        if documents.is_empty() { Ok(()) } else { self.end.write(&documents) }
    }

    fn finish(self) -> Result<Outcome, StageError> {
        self.rejects.finish()?;
        self.end.finish()?;
        let counts = self.source.into_iter().chain(self.links.into_iter().map(|link| link.counts)).collect();
        Ok(Outcome { rows: self.rows, counts })
    }
}

/// Refuses a stage that loses documents without a verdict.
fn as_many(documents: Documents, n: usize, counts: &StageCounts) -> Result<Documents, StageError> {
    if documents.len() == n {
        return Ok(documents);
    }
    let message = format!("stage `{}` made {} of {n} documents", counts.stage, documents.len());
    Err(StageError::Engine(message))
}

fn apply(
    documents: Documents,
    verdicts: &[Verdict],
    counts: &mut StageCounts,
    rejects: &mut Rejects,
) -> Result<Documents, StageError> {
    let keep: Vec<bool> = verdicts.iter().map(|verdict| *verdict == Verdict::Keep).collect();
    if keep.iter().all(|keep| *keep) {
        return Ok(documents);
    }
    let reasons: Vec<&str> = verdicts
        .iter()
        .filter_map(|verdict| match verdict {
            Verdict::Keep => None,
            Verdict::Drop(reason) => Some(*reason),
        })
        .collect();
    for reason in &reasons {
        *counts.rejected.entry((*reason).to_owned()).or_default() += 1;
    }
    let dropped: Vec<bool> = keep.iter().map(|keep| !keep).collect();
    rejects.documents(&counts.stage, documents.batch().clone().retain(&dropped)?, &reasons)?;
    documents.retain(&keep)
}

/// Bytes of `text`, or of `html` before extraction.
fn content_bytes(batch: &DocBatch) -> u64 {
    let values = batch.strings(columns::TEXT).or_else(|_| batch.strings(columns::HTML));
    values.map_or(0, |values| {
        let offsets = values.value_offsets();
        (offsets[values.len()] - offsets[0]) as u64
    })
}

/// What was dropped, one file a stage: the columns as they were there, without markup, and the reason.
struct Rejects {
    folder: PathBuf,
    writers: BTreeMap<String, ParquetWriter>,
}

impl Rejects {
    fn documents(&mut self, stage: &str, batch: DocBatch, reasons: &[&str]) -> Result<(), StageError> {
        let reasons: ArrayRef = Arc::new(LargeStringArray::from_iter_values(reasons));
        let batch = batch.without_column(columns::HTML)?.with_column("reason", reasons)?;
        self.write(stage, batch.record_batch())
    }

    fn skipped(&mut self, stage: &str, skipped: &Skipped<'_>) -> Result<(), StageError> {
        let strings = |value: &str| -> ArrayRef { Arc::new(LargeStringArray::from(vec![value])) };
        let offset: ArrayRef = Arc::new(UInt64Array::from(vec![skipped.offset]));
        let field = |name: &str, kind| Field::new(name, kind, true);
        let schema = Schema::new(vec![
            field(columns::ID, DataType::LargeUtf8),
            field(columns::URL, DataType::LargeUtf8),
            field(columns::OFFSET, DataType::UInt64),
            field("reason", DataType::LargeUtf8),
        ]);
        let arrays = vec![strings(skipped.id), strings(skipped.url), offset, strings(skipped.reason)];
        let batch = RecordBatch::try_new(Arc::new(schema), arrays)
            .map_err(|error| StageError::Engine(error.to_string()))?;
        self.write(stage, &batch)
    }

    fn write(&mut self, stage: &str, batch: &RecordBatch) -> Result<(), StageError> {
        if !self.writers.contains_key(stage) {
            let path = self.folder.join(rejects_file(stage));
            self.writers.insert(stage.to_owned(), ParquetWriter::create(&path, batch.schema())?);
        }
        let writer = self.writers.get_mut(stage).expect("put there above");
        Ok(writer.write(batch)?)
    }

    fn finish(self) -> Result<(), StageError> {
        for writer in self.writers.into_values() {
            writer.finish()?;
        }
        Ok(())
    }
}

/// Where a segment's documents end.
#[allow(clippy::large_enum_variant)] // there is one a task
enum End<'a> {
    Documents { path: PathBuf, writer: Option<ParquetWriter> },
    Keys { stage: &'a str, out: KeysOut<'a> },
    Spans { stage: &'a str, keys: KeyWriter<'a> },
    Part(Box<dyn PartWriter>),
}

impl<'a> End<'a> {
    fn open(context: &TaskContext<'a>, tail: &'a Tail) -> Result<Self, StageError> {
        Ok(match tail {
            Tail::Documents => Self::Documents { path: context.folder.join(DOCUMENTS), writer: None },
            Tail::Keys(stage) => {
                let exchange = expect_shape!(context.runtimes, stage, Exchange)?;
                Self::Keys { stage, out: KeysOut::create(context.folder, exchange, context.workspace())? }
            }
            Tail::Spans { stage, pass, marks } => {
                let keys = KeyWriter::new(context, stage, *pass, marks.as_deref())?;
                Self::Spans { stage, keys }
            }
            Tail::Write(stage) => {
                let sink = expect_shape!(context.runtimes, stage, Sink)?;
                Self::Part(sink.open(context.folder, context.index)?)
            }
            Tail::Collect(stage) => {
                let gather = expect_shape!(context.runtimes, stage, Gather)?;
                Self::Part(gather.open(context.folder, &context.artefacts)?)
            }
        })
    }

    /// The columns that this end reads, if it does not need all.
    fn columns(&self, context: &TaskContext<'_>) -> Result<Option<Vec<String>>, StageError> {
        let (Self::Keys { stage, .. } | Self::Spans { stage, .. }) = self else { return Ok(None) };
        let planned = context.plan.stage(stage);
        let kind = planned.and_then(|stage| gristmill_stages::registry::find(&stage.kind));
        let (Some(planned), Some(kind)) = (planned, kind) else { return Ok(None) };
        let configured =
            (kind.parse)(planned.config.clone()).map_err(|error| StageError::Engine(error.to_string()))?;
        let mut reads = configured.declares().reads;
        if matches!(self, Self::Spans { .. }) {
            // Sentences follow the language, where that is known.
            reads.push(columns::LANGUAGE.to_owned());
        }
        Ok(Some(reads))
    }

    fn write(&mut self, documents: &Documents) -> Result<(), StageError> {
        match self {
            Self::Documents { path, writer } => {
                let batch = documents.batch().record_batch();
                if writer.is_none() {
                    *writer = Some(ParquetWriter::create(path, batch.schema())?);
                }
                let writer = writer.as_mut().expect("made above");
                Ok(writer.write(batch)?)
            }
            Self::Keys { out, .. } => out.write(documents),
            Self::Spans { keys, .. } => keys.write(documents),
            Self::Part(writer) => writer.write(documents),
        }
    }

    fn finish(self) -> Result<(), StageError> {
        match self {
            Self::Documents { writer: None, .. } => Ok(()),
            Self::Documents { writer: Some(writer), .. } => {
                writer.finish()?;
                Ok(())
            }
            Self::Keys { out, .. } => out.finish(),
            Self::Spans { keys, .. } => keys.finish(),
            Self::Part(writer) => writer.finish(),
        }
    }
}
