//! Does one task: into a folder of its own, checked, then committed exclusively.

use std::fs;
use std::path::Path;

use gristmill_corpus::manifest::{Commit, Manifest, StageCounts};
use gristmill_corpus::sorter::Workspace;
use gristmill_corpus::{CorpusError, files};
use gristmill_stages::StageError;
use gristmill_stages::stage::{Artefacts, ProcessInput};

use super::store::StepFolder;
use super::{ExecError, Runtimes, expect_shape, process, segment, spans, survivors};
use crate::plan::{Plan, Step, Work};

/// What the parts of a task hand to each other.
pub(super) struct TaskContext<'a> {
    pub plan: &'a Plan,
    pub step: &'a Step,
    pub index: usize,
    pub runtimes: &'a Runtimes,
    /// The attempt's folder.
    pub folder: &'a Path,
    pub artefacts: Artefacts,
    /// Memory that the task may fill, in bytes; beyond it, exchanges go to disk.
    pub memory: usize,
}

/// A folder of an attempt for what does not fit into memory. It is gone before the commit.
const SPILL: &str = "spill";

/// What a task leaves besides its files.
#[derive(Default)]
pub(super) struct Outcome {
    pub rows: u64,
    pub counts: Vec<StageCounts>,
}

impl TaskContext<'_> {
    /// What the task may use.
    pub fn workspace(&self) -> Workspace {
        Workspace::new(&self.folder.join(SPILL), self.memory)
    }

    /// The complete result of a step that this one needs.
    pub fn result(&self, step: &str) -> Result<(StepFolder, Manifest), StageError> {
        let step = self
            .plan
            .step(step)
            .ok_or_else(|| StageError::Engine(format!("no step `{step}` in the plan")))?;
        let folder = StepFolder::new(&self.plan.store, step);
        let manifest = folder.manifest()?;
        let manifest =
            manifest.ok_or_else(|| StageError::Engine(format!("step `{}` is not complete", step.id)))?;
        Ok((folder, manifest))
    }
}

/// Does task `index` of a step, unless it is done. Returns its commit. `memory` is how many bytes it may fill: it decides
/// how an exchange works, never what comes out.
///
/// # Errors
/// [`ExecError::Incomplete`] when a step that it needs is, [`ExecError::Task`] when a stage fails.
pub fn run(
    plan: &Plan,
    step: &Step,
    index: usize,
    runtimes: &Runtimes,
    memory: usize,
) -> Result<Commit, ExecError> {
    if index >= step.tasks {
        let message = format!("step `{}` has {} tasks, there is no index {index}", step.id, step.tasks);
        return Err(ExecError::Usage(message));
    }
    let store = StepFolder::new(&plan.store, step);
    if let Some(commit) = store.commit(index)? {
        return Ok(commit);
    }
    let mut artefacts = Artefacts::new();
    for id in &step.needs {
        let needed = plan.step(id).ok_or_else(|| ExecError::Usage(format!("no step `{id}` in the plan")))?;
        let folder = StepFolder::new(&plan.store, needed);
        let Some(manifest) = folder.manifest()? else {
            return Err(ExecError::Incomplete { step: id.clone(), missing: "it has no manifest yet".into() });
        };
        for (stage, _) in step.artefacts.iter().filter(|(_, step)| step == id) {
            if let Some(commit) = manifest.commits.first() {
                artefacts.insert(stage.clone(), folder.output(commit));
            }
        }
    }
    let lasting = matches!(step.work, Work::Process { .. });
    let (attempt, folder) = if lasting { store.lasting_attempt(index)? } else { store.new_attempt(index)? };
    let context = TaskContext { plan, step, index, runtimes, folder: &folder, artefacts, memory };
    let (outcome, quarantined) = match work(&context) {
        Ok(outcome) => (outcome, None),
        Err(StageError::Input { path, message }) if step.split(index).is_some() => {
            // Nothing of an unreadable split is kept: what was read before the fault depends on the fault.
            empty(&folder)?;
            let counts = step.stages().first().map(|stage| StageCounts::new(stage)).into_iter().collect();
            (Outcome { rows: 0, counts }, Some(format!("cannot read `{}`: {message}", path.display())))
        }
        Err(error) => {
            return Err(ExecError::Task { step: step.id.clone(), task: index, message: error.to_string() });
        }
    };
    if let Some(unbalanced) = outcome.counts.iter().find(|counts| !counts.is_balanced()) {
        let message = format!(
            "stage `{}` lost documents: {} in, {} out, {} dropped",
            unbalanced.stage,
            unbalanced.documents_in,
            unbalanced.documents_out,
            unbalanced.documents_rejected()
        );
        return Err(ExecError::Task { step: step.id.clone(), task: index, message });
    }
    match fs::remove_dir_all(folder.join(SPILL)) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            return Err(CorpusError::io(&folder, source).into());
        }
        _ => {}
    }
    let Outcome { rows, counts } = outcome;
    let commit = Commit { task: index, attempt, files: files::list(&folder)?, rows, counts, quarantined };
    if store.create_commit(&commit)? {
        return Ok(commit);
    }
    // Another attempt was first. Its result is the same; this one is no longer needed.
    if !lasting {
        fs::remove_dir_all(&folder).map_err(|source| CorpusError::io(&folder, source))?;
    }
    store
        .commit(index)?
        .ok_or_else(|| ExecError::Incomplete { step: step.id.clone(), missing: format!("task {index}") })
}

fn work(context: &TaskContext<'_>) -> Result<Outcome, StageError> {
    match &context.step.work {
        Work::Segment { head, chain, tail } => segment::run(context, head, chain, tail),
        Work::Reduce { stage, keys } => survivors::reduce(context, stage, keys),
        Work::Forests { stage, keys, forests } => survivors::merge(context, stage, keys, forests),
        Work::Clusters { stage, keys, forests } => survivors::decide(context, stage, keys, forests),
        Work::Marks { stage, pass, keys } => spans::mark(context, stage, *pass, keys),
        Work::Gather { stage, parts } => {
            let gather = expect_shape!(context.runtimes, stage, Gather)?;
            let (folder, manifest) = context.result(parts)?;
            let parts: Vec<_> = manifest.commits.iter().map(|commit| folder.output(commit)).collect();
            gather.gather(&parts, context.folder, &context.artefacts)?;
            Ok(Outcome::default())
        }
        Work::Process { stage, inputs } => {
            let runtime = expect_shape!(context.runtimes, stage, Process)?;
            let left = |input: &String| {
                let (folder, manifest) = context.result(input)?;
                let commit = manifest
                    .commits
                    .first()
                    .ok_or_else(|| StageError::Engine(format!("step `{input}` left nothing")))?;
                Ok(ProcessInput { stage: input.clone(), folder: folder.output(commit) })
            };
            let inputs = inputs.iter().map(left).collect::<Result<Vec<_>, StageError>>()?;
            let command = runtime.command(&inputs, context.folder, &context.artefacts)?;
            process::run(&command, &context.step.id)?;
            Ok(Outcome::default())
        }
    }
}

fn empty(folder: &Path) -> Result<(), ExecError> {
    let io = |source| CorpusError::io(folder, source);
    fs::remove_dir_all(folder).map_err(io)?;
    fs::create_dir(folder).map_err(io)?;
    Ok(())
}
