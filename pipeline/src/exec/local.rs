//! Works off a whole plan on this machine: the same tasks and gates that a scheduler would call, on all cores.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use gristmill_corpus::manifest::Manifest;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rayon::prelude::*;

use super::store::StepFolder;
use super::{ExecError, Runtimes, gate, task};
use crate::plan::{Plan, Step};

/// What became of a plan.
#[derive(Debug)]
pub struct Done {
    /// The manifests of all steps, in the plan's order.
    pub manifests: Vec<Manifest>,
    /// Steps that were complete before.
    pub skipped: usize,
    /// Tasks done by this call.
    pub tasks: u64,
}

/// A task that reads, extracts or filters takes about this much beside lists and models, whatever its input: of less memory
/// a job, fewer run at a time.
const TASK_BYTES: usize = 256 << 20;

/// Runs every task that is not done yet, at most `jobs` at a time, steps in the plan's order. All that run at a time fill
/// no more than `memory` bytes: there are fewer of them, and exchanges go to disk.
///
/// # Errors
/// The first [`ExecError`]; what was committed stays, and the next call goes on from there.
pub fn run(plan: &Plan, jobs: usize, memory: usize) -> Result<Done, ExecError> {
    let jobs = jobs.min(memory / TASK_BYTES).max(1);
    let mut manifests: Vec<Option<Manifest>> = Vec::new();
    for step in &plan.steps {
        manifests.push(StepFolder::new(&plan.store, step).manifest()?);
    }
    let skipped = manifests.iter().filter(|manifest| manifest.is_some()).count();
    let open: Vec<&Step> = plan
        .steps
        .iter()
        .zip(&manifests)
        .filter(|(_, manifest)| manifest.is_none())
        .map(|(step, _)| step)
        .collect();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(jobs)
        .build()
        .map_err(|error| ExecError::Usage(format!("cannot start {jobs} threads: {error}")))?;
    let tasks = AtomicU64::new(0);
    for (number, step) in open.iter().enumerate() {
        // Only now is there what earlier steps make for this one; and no step's lists and models outlive it.
        let runtimes = Runtimes::new(plan, [*step])?;
        let progress = Progress::new(number + 1, open.len(), step);
        let memory = memory / jobs.min(step.tasks).max(1);
        let outcome = pool.install(|| {
            (0..step.tasks).into_par_iter().try_for_each(|index| {
                let commit = task::run(plan, step, index, &runtimes, memory)?;
                tasks.fetch_add(1, Ordering::Relaxed);
                progress.task(commit.rows);
                Ok::<(), ExecError>(())
            })
        });
        progress.finish();
        outcome?;
        let manifest = gate::close(plan, step)?;
        for (_, why) in manifest.quarantined() {
            tracing::warn!(step = step.id, "quarantined: {why}");
        }
        let at = plan.steps.iter().position(|known| known.id == step.id);
        manifests[at.expect("open steps are the plan's")] = Some(manifest);
    }
    let manifests = manifests.into_iter().map(|manifest| manifest.expect("every open step was closed above"));
    Ok(Done { manifests: manifests.collect(), skipped, tasks: tasks.into_inner() })
}

/// A bar a step on a terminal, a line a step elsewhere.
struct Progress {
    bar: ProgressBar,
    begun: Instant,
    title: String,
    tasks: usize,
    rows: AtomicU64,
}

impl Progress {
    fn new(number: usize, of: usize, step: &Step) -> Self {
        let title = format!("[{number}/{of}] {}", step.id);
        let bar = ProgressBar::new(step.tasks as u64);
        // A single task (training) shows progress of its own, which a bar would disturb.
        if !std::io::stderr().is_terminal() || step.tasks == 1 {
            bar.set_draw_target(ProgressDrawTarget::hidden());
            eprintln!("{title}: {} task{}", step.tasks, if step.tasks == 1 { "" } else { "s" });
        }
        let style = ProgressStyle::with_template(
            "{prefix:32} {bar:24} {pos}/{len} tasks  {msg}  {elapsed} elapsed, {eta} left",
        )
        .expect("the template is right");
        bar.set_style(style);
        bar.set_prefix(title.clone());
        bar.enable_steady_tick(std::time::Duration::from_millis(250));
        Self { bar, begun: Instant::now(), title, tasks: step.tasks, rows: AtomicU64::new(0) }
    }

    fn task(&self, rows: u64) {
        let rows = self.rows.fetch_add(rows, Ordering::Relaxed) + rows;
        self.bar.set_message(format!("{rows} documents"));
        self.bar.inc(1);
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
        let rows = self.rows.load(Ordering::Relaxed);
        let documents = if rows > 0 { format!(", {rows} documents") } else { String::new() };
        let tasks = self.tasks;
        let seconds = self.begun.elapsed().as_secs_f64();
        eprintln!(
            "{}: {tasks} task{}{documents} in {seconds:.1} s",
            self.title,
            if tasks == 1 { "" } else { "s" }
        );
    }
}
