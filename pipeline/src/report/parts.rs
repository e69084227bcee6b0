//! Which files of a run hold which documents. Commit markers say so; folders are never listed.

use std::path::Path;
use std::path::PathBuf;

use anyhow::{Context, bail};

use crate::config::nearest;
use crate::exec::store::StepFolder;
use crate::exec::{DOCUMENTS, rejects_file};
use crate::plan::{Head, Link, Plan, Step, Tail, Work};

/// A file of documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The stage that kept or dropped them, if a run is looked at.
    pub stage: Option<String>,
    /// Where it is.
    pub path: PathBuf,
}

/// A run's folder, or its plan file.
#[derive(Debug)]
pub struct Run {
    /// What was run.
    pub plan: Plan,
}

impl Run {
    /// Whether a path names a run.
    pub fn is_at(path: &Path) -> bool {
        path.join("plan.json").is_file() || path.file_name().is_some_and(|name| name == "plan.json")
    }

    /// Reads the plan of the run at `path`.
    ///
    /// # Errors
    /// When no plan is there, or it cannot be read.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        if !Self::is_at(path) {
            bail!(
                "`{}` is no run: it has no plan.json\nhint: `gristmill run` publishes a run to runs/NAME, or where `--out` says",
                path.display()
            );
        }
        let file = if path.is_dir() { path.join("plan.json") } else { path.to_owned() };
        Ok(Self { plan: Plan::load(&file)? })
    }

    /// The step whose documents are the result unless a stage is named: the last that keeps documents to read.
    ///
    /// # Errors
    /// When no step does.
    pub fn result(&self) -> anyhow::Result<&Step> {
        self.plan
            .steps
            .iter()
            .rev()
            .find(|step| self.keeps_documents(step))
            .context("this recipe keeps no documents: add a `write_parquet` stage")
    }

    fn keeps_documents(&self, step: &Step) -> bool {
        match &step.work {
            Work::Segment { tail: Tail::Documents, .. } => true,
            Work::Segment { tail: Tail::Write(stage), .. } => self
                .plan
                .stage(stage)
                .is_some_and(|stage| ["write_parquet", "write_jsonl"].contains(&stage.kind.as_str())),
            _ => false,
        }
    }

    /// Whether there is something to read in what a step leaves; token shards are read when they are named.
    fn has_documents(&self, step: &Step) -> bool {
        let is_shards = |stage: &str| {
            self.plan
                .stage(stage)
                .is_some_and(|stage| ["token_shards", "conversation_shards"].contains(&stage.kind.as_str()))
        };
        self.keeps_documents(step) || matches!(&step.work, Work::Gather { stage, .. } if is_shards(stage))
    }

    /// The files of documents that a stage kept; of the last that keeps some if none is named. In the order of the
    /// tasks, whatever of them is done.
    ///
    /// # Errors
    /// When the stage is unknown or keeps none, when no task is done, when the store cannot be read.
    pub fn kept(&self, stage: Option<&str>) -> anyhow::Result<Vec<Part>> {
        let step = match stage {
            None => self.result()?,
            Some(id) => self.keeping(id)?,
        };
        let folder = StepFolder::new(&self.plan.store, step);
        let mut parts = Vec::new();
        let mut n_done = 0;
        for task in 0..step.tasks {
            let Some(commit) = folder.commit(task)? else { continue };
            n_done += 1;
            for entry in commit.files.iter().filter(|entry| holds_documents(&entry.name)) {
                if let Some(path) = folder.file(&commit, &entry.name)? {
                    parts.push(Part { stage: Some(step.id.clone()), path });
                }
            }
        }
        if n_done == 0 {
            bail!("no task of `{}` is done yet: `gristmill run` does what is missing", step.id);
        }
        Ok(parts)
    }

    fn keeping(&self, id: &str) -> anyhow::Result<&Step> {
        self.known(id)?;
        let found = self.plan.steps.iter().find(|step| step.id == id);
        found.filter(|step| self.has_documents(step)).with_context(|| {
            let keeping: Vec<&str> = self
                .plan
                .steps
                .iter()
                .filter(|step| self.has_documents(step))
                .map(|step| step.id.as_str())
                .collect();
            format!(
                "stage `{id}` keeps no documents of its own; those that do: {}\nhint: `--rejected` shows what it dropped; `materialise = true` in the recipe keeps its documents",
                keeping.join(", ")
            )
        })
    }

    fn known(&self, id: &str) -> anyhow::Result<()> {
        if self.plan.stage(id).is_some() {
            return Ok(());
        }
        let ids: Vec<&str> = self.plan.stages.iter().map(|stage| stage.id.as_str()).collect();
        let hint = nearest(id, ids.iter().copied())
            .map_or_else(|| format!("it has {}", ids.join(", ")), |near| format!("did you mean `{near}`?"));
        bail!("this run has no stage `{id}`\nhint: {hint}")
    }

    /// The files of documents that a stage dropped; of all stages if none is named, in the order of the recipe.
    ///
    /// # Errors
    /// When the stage is unknown, or the store cannot be read.
    pub fn rejects(&self, stage: Option<&str>) -> anyhow::Result<Vec<Part>> {
        if let Some(id) = stage {
            self.known(id)?;
        }
        let mut parts = Vec::new();
        for planned in &self.plan.stages {
            if stage.is_some_and(|id| id != planned.id) {
                continue;
            }
            // A chain that two branches share runs in both and drops the same: one of them is enough.
            let Some(step) = self.plan.steps.iter().find(|step| drops(step, &planned.id)) else { continue };
            let folder = StepFolder::new(&self.plan.store, step);
            for task in 0..step.tasks {
                let Some(commit) = folder.commit(task)? else { continue };
                if let Some(path) = folder.file(&commit, &rejects_file(&planned.id))? {
                    parts.push(Part { stage: Some(planned.id.clone()), path });
                }
            }
        }
        Ok(parts)
    }

    /// Whether the step in which a stage drops documents is complete.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn is_complete(&self, stage: &str) -> anyhow::Result<bool> {
        let Some(step) = self.plan.steps.iter().find(|step| drops(step, stage)) else { return Ok(false) };
        Ok(StepFolder::new(&self.plan.store, step).manifest()?.is_some())
    }
}

/// Whether documents are dropped by `stage` in this step.
fn drops(step: &Step, stage: &str) -> bool {
    let Work::Segment { head, chain, .. } = &step.work else { return false };
    matches!(head, Head::Splits { stage: source, .. } if source == stage)
        || chain.iter().any(|link| match link {
            Link::Stage(id) | Link::Survivors { stage: id, .. } | Link::Rewrite { stage: id, .. } => {
                id == stage
            }
        })
}

fn holds_documents(name: &str) -> bool {
    if name.starts_with("rejects-") || name.ends_with(".docs.parquet") {
        return false;
    }
    name == DOCUMENTS || [".parquet", ".jsonl", ".jsonl.zst", ".bin"].iter().any(|end| name.ends_with(end))
}
