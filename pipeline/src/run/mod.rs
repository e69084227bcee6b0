//! From a recipe to published results.

pub mod funnel;
pub mod memory;
mod publish;
pub mod summary;

use std::path::{Path, PathBuf};

use anyhow::Context;
use gristmill_corpus::files;

use crate::config::Recipe;
use crate::exec::local;
use crate::plan::Plan;

/// What to run and how.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The recipe.
    pub recipe: PathBuf,
    /// Where results are published; `runs/<name>` unless given.
    pub out: Option<PathBuf>,
    /// Where results are kept; `<out>/store` unless given. Runs that share a store share results.
    pub store: Option<PathBuf>,
    /// Tasks at a time; the number of cores unless given.
    pub jobs: Option<usize>,
    /// Bytes that all tasks together may fill; half of the machine's memory unless given.
    pub memory: Option<usize>,
    /// Changes to the recipe: see `--set`.
    pub sets: Vec<String>,
}

/// A finished run.
#[derive(Debug)]
pub struct Finished {
    /// What was run.
    pub plan: Plan,
    /// Where it was published.
    pub out: PathBuf,
    /// What every step came to.
    pub done: local::Done,
}

/// Reads a recipe and plans it. Returns the plan and the folder for its results.
///
/// # Errors
/// Mistakes in the recipe, or inputs that are not there.
pub fn plan(options: &RunOptions) -> anyhow::Result<(Plan, PathBuf)> {
    let recipe = Recipe::load(&options.recipe, &options.sets)?;
    let out = options.out.clone().unwrap_or_else(|| Path::new("runs").join(&recipe.name));
    let store = options.store.clone().unwrap_or_else(|| out.join("store"));
    Ok((Plan::new(&recipe, &store)?, out))
}

/// Plans a recipe, does what is not done yet and publishes results.
///
/// # Errors
/// Mistakes in the recipe, inputs that are not there, a task that failed, a folder that cannot be written.
pub fn run(options: &RunOptions) -> anyhow::Result<Finished> {
    let (plan, out) = plan(options)?;
    files::create_folder(&out).context("cannot make the run's folder; `--out DIR` names another")?;
    files::create_folder(&plan.store).context("cannot make the store; `--store DIR` names another")?;
    files::write_json(&out.join("plan.json"), &plan)?;
    let jobs = options.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let done = local::run(&plan, jobs, options.memory.unwrap_or_else(memory::default))?;
    publish::publish(&plan, &done.manifests, &out)?;
    Ok(Finished { plan, out, done })
}
