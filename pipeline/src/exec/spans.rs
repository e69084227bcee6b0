//! The exchange behind stages that cut spans: keys of all spans out, marks of copies back.
//!
//! A map task writes a row (key, order of the document, place) for every span, a reducer merges one partition of all tasks'
//! rows and writes the places of the copies, one partition a part of the documents, and the narrow task that rewrites a part
//! merges its partition of all reducers. Memory depends on none of the counts: see `corpus::sorted_runs`.

use std::io;
use std::iter::{self, Peekable};
use std::ops::Range;

use gristmill_corpus::manifest::Manifest;
use gristmill_corpus::sorted_runs::{self, MERGE_BYTES, Merge, RUN_BYTES, Run, RunsWriter, run_name};
use gristmill_stages::dedup::order::orders;
use gristmill_stages::dedup::partition_of;
use gristmill_stages::stage::{MAX_SPANS, Mark, Spans};
use gristmill_stages::{Documents, StageError};

use super::expect_shape;
use super::keys::{earlier, engine};
use super::store::StepFolder;
use super::task::{Outcome, TaskContext};
use crate::plan::{Head, Step, Work};

/// Rows of spans: key, order, place in the task.
const KEYS: &str = "spans";
/// Rows of marks: place in the part of the partition's number.
const MARKS: &str = "marks";
/// A place is a row and the number of a span in it, which takes as many of the lower bits.
const SPAN_BITS: u32 = MAX_SPANS.trailing_zeros();

/// Writes the keys of one task's spans.
pub struct KeyWriter<'a> {
    stage: &'a dyn Spans,
    pass: usize,
    runs: RunsWriter<3>,
    marks: Option<Marks>,
    next_row: u64,
}

impl<'a> KeyWriter<'a> {
    /// For one pass of a stage; `marks` is the step that made those of the pass before.
    pub fn new(
        context: &TaskContext<'a>,
        stage: &str,
        pass: usize,
        marks: Option<&str>,
    ) -> Result<Self, StageError> {
        let stage = expect_shape!(context.runtimes, stage, Spans)?;
        let marks = marks.map(|step| Marks::open(context, step)).transpose()?;
        let runs = RunsWriter::with_memory(context.folder, KEYS, stage.partitions(), run_bytes(context));
        Ok(Self { stage, pass, runs, marks, next_row: 0 })
    }

    /// Writes the keys of the next documents.
    pub fn write(&mut self, documents: &Documents) -> Result<(), StageError> {
        let marked = match &mut self.marks {
            Some(marks) => marks.next(documents.len())?,
            None => vec![Vec::new(); documents.len()],
        };
        let orders = orders(documents)?;
        let partitions = self.stage.partitions();
        let mut outcome = Ok(());
        self.stage.keys(self.pass, documents, &marked, &mut |row, span, key| {
            if span < MAX_SPANS && outcome.is_ok() {
                let place = ((self.next_row + row as u64) << SPAN_BITS) | u64::from(span);
                let partition = partition_of((key >> 64) as u64, partitions);
                outcome = self.runs.push(partition, [key as u64, orders[row], place]);
            }
        })?;
        self.next_row += documents.len() as u64;
        outcome.map_err(engine)
    }

    /// Closes the files.
    pub fn finish(self) -> Result<(), StageError> {
        self.runs.finish().map(drop).map_err(engine)
    }
}

/// Marks copies among the spans of one partition, over all tasks of the step `keys`. What earlier runs hold comes before all.
pub fn mark(
    context: &TaskContext<'_>,
    stage_id: &str,
    pass: usize,
    keys: &str,
) -> Result<Outcome, StageError> {
    let stage = expect_shape!(context.runtimes, stage_id, Spans)?;
    let mark = stage.passes().get(pass).copied();
    let mark = mark.ok_or_else(|| StageError::Engine(format!("pass {pass} is none of the stage's")))?;
    let step = context.plan.step(keys).ok_or_else(|| StageError::Engine(format!("no step `{keys}`")))?;
    let starts = Parts::of(context, step)?.starts;
    let n_parts = starts.len() - 1;
    let mut out = RunsWriter::<1>::with_memory(context.folder, MARKS, n_parts as u32, run_bytes(context));
    let mut write = |place: u64| -> Result<(), StageError> {
        let row = place >> SPAN_BITS;
        // The last part that begins at this row or before it; parts without rows begin where the next one does.
        let part = starts[..n_parts].partition_point(|start| *start <= row) - 1;
        out.push(part as u32, [place - (starts[part] << SPAN_BITS)]).map_err(engine)
    };
    let (folder, manifest) = context.result(keys)?;
    let rows = merge(context, runs(&folder, &manifest, KEYS)?, context.index)?;
    let mut before = Vec::new();
    for (folder, manifest) in earlier(context.plan, stage_id)? {
        before.extend(runs::<3>(&folder, &manifest, KEYS)?);
    }
    let mut before = merge(context, before, context.index)?.peekable();
    // The first span of the present key, until it is written or known to be the only one.
    let mut first: Option<([u64; 3], bool)> = None;
    for row in rows {
        let row = row.map_err(engine)?;
        match &mut first {
            Some((of, is_written)) if of[0] == row[0] => {
                if mark == Mark::All && !*is_written {
                    write(of[2])?;
                    *is_written = true;
                }
                write(row[2])?;
            }
            _ => {
                let is_copy = holds(&mut before, row[0])?;
                if is_copy {
                    write(row[2])?;
                }
                first = Some((row, is_copy));
            }
        }
    }
    out.finish().map_err(engine)?;
    Ok(Outcome::default())
}

/// Whether rows, read up to there, have this key.
fn holds(rows: &mut Peekable<Merge<3>>, key: u64) -> Result<bool, StageError> {
    while let Some(row) = rows.next_if(|row| !matches!(row, Ok([other, ..]) if *other >= key)) {
        row.map_err(engine)?;
    }
    Ok(matches!(rows.peek(), Some(Ok([other, ..])) if *other == key))
}

/// The parts of the documents that the tasks of a segment read.
struct Parts {
    /// Where each part begins among all rows, and where the last one ends.
    starts: Vec<u64>,
    /// How many parts a task reads.
    per_task: usize,
}

impl Parts {
    fn of(context: &TaskContext<'_>, step: &Step) -> Result<Self, StageError> {
        let Work::Segment { head: Head::Parts { steps, per_task }, .. } = &step.work else {
            return Err(StageError::Engine(format!("step `{}` reads no documents that are kept", step.id)));
        };
        let mut starts = vec![0];
        for step in steps {
            let (_, manifest) = context.result(step)?;
            let before = starts[starts.len() - 1];
            starts.extend(manifest.first_row.iter().skip(1).map(|row| before + row));
        }
        Ok(Self { starts, per_task: *per_task })
    }

    /// Those of one task.
    fn of_task(&self, index: usize) -> Range<usize> {
        let n = self.starts.len() - 1;
        (index * self.per_task).min(n)..((index + 1) * self.per_task).min(n)
    }
}

/// Places in ascending order.
type Places = Box<dyn Iterator<Item = io::Result<u64>>>;

/// The marks of one task's documents, row by row.
pub struct Marks {
    /// In the task.
    places: Peekable<Places>,
    next_row: u64,
}

impl Marks {
    /// Those that the reducers of `step` left for the parts that this task reads.
    pub fn open(context: &TaskContext<'_>, step: &str) -> Result<Self, StageError> {
        let (folder, manifest) = context.result(step)?;
        let runs = runs::<1>(&folder, &manifest, MARKS)?;
        let parts = Parts::of(context, context.step)?;
        let own = parts.of_task(context.index);
        let bytes = merge_bytes(context);
        let places = own.clone().flat_map(move |part| -> Places {
            let before = (parts.starts[part] - parts.starts[own.start]) << SPAN_BITS;
            let runs = runs.iter().map(|(run, _)| (run.clone(), before));
            match sorted_runs::merge_within(runs, part as u32, bytes) {
                Ok(places) => Box::new(places.map(|place| place.map(|[place]| place))),
                Err(error) => Box::new(iter::once(Err(error))),
            }
        });
        let places: Places = Box::new(places);
        Ok(Self { places: places.peekable(), next_row: 0 })
    }

    /// The marked spans of each of the next `n` documents, ascending.
    pub fn next(&mut self, n: usize) -> Result<Vec<Vec<u32>>, StageError> {
        let mut marked = vec![Vec::new(); n];
        let end = self.next_row + n as u64;
        let is_here = |place: &io::Result<u64>| !matches!(place, Ok(place) if place >> SPAN_BITS >= end);
        while let Some(place) = self.places.next_if(is_here) {
            let place = place.map_err(engine)?;
            let row = (place >> SPAN_BITS) - self.next_row;
            marked[row as usize].push((place & u64::from(MAX_SPANS - 1)) as u32);
        }
        self.next_row = end;
        Ok(marked)
    }
}

/// All runs of a step's result, with what is to be added to the places of each.
fn runs<const N: usize>(
    folder: &StepFolder,
    manifest: &Manifest,
    name: &str,
) -> Result<Vec<(Run<N>, u64)>, StageError> {
    let mut runs = Vec::new();
    for (commit, first_row) in manifest.commits.iter().zip(&manifest.first_row) {
        for number in 0.. {
            let Some(path) = folder.file(commit, &run_name(name, number))? else { break };
            runs.push((Run::open(&path).map_err(engine)?, first_row << SPAN_BITS));
        }
    }
    Ok(runs)
}

fn merge<const N: usize>(
    context: &TaskContext<'_>,
    runs: Vec<(Run<N>, u64)>,
    partition: usize,
) -> Result<Merge<N>, StageError> {
    sorted_runs::merge_within(runs, partition as u32, merge_bytes(context)).map_err(engine)
}

/// A quarter of what the task may fill: documents, sorting and reading need room too.
fn run_bytes(context: &TaskContext<'_>) -> usize {
    RUN_BYTES.min(context.memory / 4)
}

fn merge_bytes(context: &TaskContext<'_>) -> usize {
    MERGE_BYTES.min(context.memory / 4)
}
