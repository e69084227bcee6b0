//! The exchange behind stages that cut spans: keys of all spans out, marks of copies back.
//!
//! A map task writes a row (key, order of the document, place) for every span, a reducer merges one partition of all tasks'
//! rows and writes the places of the copies, one partition a map task, and the narrow task that rewrites merges its
//! partition of all reducers. Memory depends on none of the counts: see `corpus::sorted_runs`.

use std::io;
use std::iter::Peekable;

use gristmill_corpus::sorted_runs::{self, Merge, Run, RunsWriter, run_name};
use gristmill_stages::dedup::order::orders;
use gristmill_stages::dedup::partition_of;
use gristmill_stages::stage::{MAX_SPANS, Mark, Spans};
use gristmill_stages::{Documents, StageError};

use super::expect_shape;
use super::keys::engine;
use super::task::{Outcome, TaskContext};

/// Rows of spans: key, order, place.
const KEYS: &str = "spans";
/// Rows of marks: place in the task of the partition's number.
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
    /// For one pass of a stage; `marks` are those of the pass before.
    pub fn new(
        context: &TaskContext<'a>,
        stage: &str,
        pass: usize,
        marks: Option<&str>,
    ) -> Result<Self, StageError> {
        let stage = expect_shape!(context.runtimes, stage, Spans)?;
        let marks = marks.map(|step| Marks::open(context, step)).transpose()?;
        let runs = RunsWriter::new(context.folder, KEYS, stage.partitions());
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

/// Marks copies among the spans of one partition, over all tasks.
pub fn mark(context: &TaskContext<'_>, stage: &str, pass: usize, keys: &str) -> Result<Outcome, StageError> {
    let stage = expect_shape!(context.runtimes, stage, Spans)?;
    let mark = stage.passes().get(pass).copied();
    let mark = mark.ok_or_else(|| StageError::Engine(format!("pass {pass} is none of the stage's")))?;
    let (_, manifest) = context.result(keys)?;
    let first_row = &manifest.first_row;
    let runs = runs::<3>(context, keys, KEYS, |task| first_row[task] << SPAN_BITS)?;
    let n_tasks = manifest.commits.len() as u32;
    let mut out = RunsWriter::<1>::new(context.folder, MARKS, n_tasks);
    let mut write = |place: u64| -> Result<(), StageError> {
        let row = place >> SPAN_BITS;
        // The last task that begins at this row or before it; tasks without rows begin where the next one does.
        let task = first_row[..n_tasks as usize].partition_point(|first| *first <= row) - 1;
        out.push(task as u32, [place - (first_row[task] << SPAN_BITS)]).map_err(engine)
    };
    // The first span of the present key, until it is written or known to be the only one.
    let mut first: Option<([u64; 3], bool)> = None;
    for row in sorted_runs::merge(runs, context.index as u32).map_err(engine)? {
        let row = row.map_err(engine)?;
        match &mut first {
            Some((of, is_written)) if of[0] == row[0] => {
                if mark == Mark::All && !*is_written {
                    write(of[2])?;
                    *is_written = true;
                }
                write(row[2])?;
            }
            _ => first = Some((row, false)),
        }
    }
    out.finish().map_err(engine)?;
    Ok(Outcome::default())
}

/// The marks of one task's documents, row by row.
pub struct Marks {
    places: Peekable<Merge<1>>,
    next_row: u64,
}

impl Marks {
    /// Those that the reducers of `step` left for this task.
    pub fn open(context: &TaskContext<'_>, step: &str) -> Result<Self, StageError> {
        let runs = runs::<1>(context, step, MARKS, |_| 0)?;
        let places = sorted_runs::merge(runs, context.index as u32).map_err(engine)?.peekable();
        Ok(Self { places, next_row: 0 })
    }

    /// The marked spans of each of the next `n` documents, ascending.
    pub fn next(&mut self, n: usize) -> Result<Vec<Vec<u32>>, StageError> {
        let mut marked = vec![Vec::new(); n];
        let end = self.next_row + n as u64;
        let is_here =
            |place: &io::Result<[u64; 1]>| !matches!(place, Ok([place]) if place >> SPAN_BITS >= end);
        while let Some(place) = self.places.next_if(is_here) {
            let [place] = place.map_err(engine)?;
            let row = (place >> SPAN_BITS) - self.next_row;
            marked[row as usize].push((place & u64::from(MAX_SPANS - 1)) as u32);
        }
        self.next_row = end;
        Ok(marked)
    }
}

/// All runs of a step, with what is to be added to the places of a task.
fn runs<const N: usize>(
    context: &TaskContext<'_>,
    step: &str,
    name: &str,
    add: impl Fn(usize) -> u64,
) -> Result<Vec<(Run<N>, u64)>, StageError> {
    let (folder, manifest) = context.result(step)?;
    let mut runs = Vec::new();
    for commit in &manifest.commits {
        for number in 0.. {
            let Some(path) = folder.file(commit, &run_name(name, number))? else { break };
            runs.push((Run::open(&path).map_err(engine)?, add(commit.task)));
        }
    }
    Ok(runs)
}
