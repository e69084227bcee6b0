//! Does one task, closes one step, or works off a whole plan on this machine.
//!
//! Whatever calls them (the local executor, a scheduler's array job, a person), [`task::run`] and [`gate::close`]
//! are the same functions, and both may be called any number of times, at the same time, and be killed.

pub mod gate;
pub mod keys;
pub mod local;
mod process;
mod ranks;
mod segment;
mod spans;
pub mod store;
pub mod survivors;
pub mod task;

use std::collections::BTreeMap;

use gristmill_corpus::CorpusError;
use gristmill_stages::registry;
use gristmill_stages::stage::{ArtefactRef, BuildContext, Runtime, Shape, StageError};
use serde_json::Value;

pub use segment::{DOCUMENTS, rejects_file};

use crate::plan::{Plan, Step};
use store::StepFolder;

/// Why work stopped, by what the caller can do.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// A result that this one needs is not complete: run what is named first.
    #[error("step `{step}` is not complete: {missing}")]
    Incomplete {
        /// The step.
        step: String,
        /// The tasks that are missing.
        missing: String,
    },
    /// The plan does not say what was asked for.
    #[error("{0}")]
    Usage(String),
    /// A stage failed: its output cannot be written, or an invariant does not hold.
    #[error("step `{step}`, task {task}: {message}")]
    Task {
        /// The step.
        step: String,
        /// The task's index.
        task: usize,
        /// What happened.
        message: String,
    },
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] CorpusError),
}

/// The stages of some steps, ready to run. Built once a step and shared by all threads.
pub struct Runtimes {
    by_stage: BTreeMap<String, Runtime>,
}

impl Runtimes {
    /// Builds every stage that `steps` run.
    ///
    /// # Errors
    /// [`ExecError::Usage`] when a stage can no longer be built (a list or model is gone), [`ExecError::Incomplete`] when
    /// what another stage makes for it is not there yet.
    pub fn new<'a>(plan: &Plan, steps: impl IntoIterator<Item = &'a Step>) -> Result<Self, ExecError> {
        let mut by_stage = BTreeMap::new();
        for id in steps.into_iter().flat_map(Step::stages) {
            if !by_stage.contains_key(id) {
                by_stage.insert(id.to_owned(), runtime(plan, id)?);
            }
        }
        Ok(Self { by_stage })
    }

    /// The runtime of a stage.
    ///
    /// # Errors
    /// [`StageError::Engine`] when these runtimes were built for other steps.
    pub fn get(&self, stage: &str) -> Result<&Runtime, StageError> {
        self.by_stage
            .get(stage)
            .ok_or_else(|| StageError::Engine(format!("stage `{stage}` was not built for this step")))
    }
}

/// A stage, ready to run.
///
/// # Errors
/// As [`Runtimes::new`].
pub fn runtime(plan: &Plan, id: &str) -> Result<Runtime, ExecError> {
    let usage = |message: String| ExecError::Usage(format!("stage `{id}`: {message}"));
    let stage = plan.stage(id).ok_or_else(|| usage("not in the plan".into()))?;
    let kind = registry::find(&stage.kind)
        .ok_or_else(|| usage(format!("this gristmill has no kind `{}`", stage.kind)))?;
    let parse =
        |config: Value| (kind.parse)(config).map_err(|error| usage(format!("its configuration: {error}")));
    let mut configured = parse(stage.config.clone())?;
    // Gathering stages and processes are handed what others make for them; a narrow stage reads it as a file.
    if matches!(kind.shape, Shape::Filter | Shape::Map) {
        let mut config = stage.config.clone();
        for artefact in configured.declares().artefacts {
            let ArtefactRef::Stage { stage: maker } = &artefact else { continue };
            let step = plan.step(maker).ok_or_else(|| usage(format!("no step `{maker}` in the plan")))?;
            let folder = StepFolder::new(&plan.store, step);
            let manifest = folder.manifest()?;
            let commit = manifest.as_ref().and_then(|manifest| manifest.commits.first());
            let commit = commit.ok_or_else(|| ExecError::Incomplete {
                step: maker.clone(),
                missing: "it has no manifest yet".into(),
            })?;
            let made = Value::from(folder.output(commit).to_string_lossy());
            for value in config.as_object_mut().into_iter().flat_map(serde_json::Map::values_mut) {
                if *value == serde_json::json!(artefact) {
                    *value = made.clone();
                }
            }
        }
        configured = parse(config)?;
    }
    let context = BuildContext { base: plan.base.clone(), seed: plan.seed };
    configured.build(&context).map_err(|error| usage(error.to_string()))
}

/// Takes a runtime of one shape.
macro_rules! expect_shape {
    ($runtimes:expr, $stage:expr, $shape:ident) => {
        match $runtimes.get($stage)? {
            gristmill_stages::stage::Runtime::$shape(runtime) => Ok(runtime.as_ref()),
            _ => Err(gristmill_stages::StageError::Engine(format!(
                "stage `{}` is no {}",
                $stage,
                stringify!($shape).to_lowercase()
            ))),
        }
    };
}
use expect_shape;

/// The trainer beside this program, if it is there.
pub fn trainer() -> Option<std::path::PathBuf> {
    process::beside("gristmill-train")
}
