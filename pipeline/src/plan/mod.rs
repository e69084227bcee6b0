//! What a recipe comes to: steps in order, each a number of equal tasks, each with the fingerprint of its result.
//!
//! A plan is immutable and complete: `gristmill task --plan` needs nothing else.

mod build;
pub mod show;

use std::path::{Path, PathBuf};

use gristmill_corpus::fingerprint::Fingerprint;
use gristmill_corpus::{CorpusError, files};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use build::PlanError;

/// The file's format; counts up when old plans can no longer be read.
pub const FORMAT: u32 = 3;

/// So many forests of an exchange are merged by one task: a tree of that width over the partitions.
pub const FOREST_FAN_IN: usize = 16;

/// A plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// See [`FORMAT`].
    pub format: u32,
    /// The recipe's name.
    pub name: String,
    /// The recipe's seed.
    pub seed: u64,
    /// The recipe's folder, absolute: relative paths in configurations start here.
    pub base: PathBuf,
    /// Where results are kept, absolute.
    pub store: PathBuf,
    /// The recipe's stages, in order.
    pub stages: Vec<PlanStage>,
    /// In an order in which they can run.
    pub steps: Vec<Step>,
}

/// A stage of the recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanStage {
    /// Its id.
    pub id: String,
    /// Its kind.
    pub kind: String,
    /// Its configuration with all defaults.
    pub config: Value,
    /// Ids of the stages that it reads.
    pub inputs: Vec<String>,
    /// Keys of earlier runs that an exchange compares with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Earlier>,
}

/// Keys that another run left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Earlier {
    /// The run's folder, as the recipe names it.
    pub run: String,
    /// The folder of the step that wrote keys, absolute.
    pub folder: PathBuf,
    /// That step's fingerprint.
    pub fingerprint: Fingerprint,
}

/// Equal tasks between two barriers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Unique: the id of the stage whose result it is, or that with the name of the part, as in
    /// `minhash_dedup.keys`.
    pub id: String,
    /// What the result depends on; names its folder in the store.
    pub fingerprint: Fingerprint,
    /// How many tasks it has.
    pub tasks: usize,
    /// What a task does.
    pub work: Work,
    /// Steps whose result must be there, in the order of the plan.
    pub needs: Vec<String>,
    /// Files that stages of this step use: (stage id, step id).
    pub artefacts: Vec<(String, String)>,
    /// Whether the files are published under the stage's id when the run is done.
    pub publish: bool,
}

/// What a task of a step does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "shape", rename_all = "snake_case")]
pub enum Work {
    /// Documents of one split through a chain of narrow stages.
    Segment {
        /// Where documents come from.
        head: Head,
        /// What happens to them.
        chain: Vec<Link>,
        /// Where they go.
        tail: Tail,
    },
    /// Equal keys of one partition to a forest of the documents that share them.
    Reduce {
        /// The exchange.
        stage: String,
        /// The step that wrote the keys.
        keys: String,
    },
    /// Forests, [`FOREST_FAN_IN`] at a time, to one.
    Forests {
        /// The exchange.
        stage: String,
        /// The step that wrote keys.
        keys: String,
        /// The step that wrote the forests.
        forests: String,
    },
    /// The last forests to the list of survivors. One task.
    Clusters {
        /// The exchange.
        stage: String,
        /// The step that wrote keys and ranks.
        keys: String,
        /// The step that wrote the forests.
        forests: String,
    },
    /// Equal keys of one partition to the copies among spans, by the task that they go back to.
    Marks {
        /// The stage that cuts spans.
        stage: String,
        /// Which of its passes.
        pass: usize,
        /// The step that wrote the keys.
        keys: String,
    },
    /// Parts of all splits to one result. One task.
    Gather {
        /// The gathering stage.
        stage: String,
        /// The step that wrote the parts.
        parts: String,
    },
    /// Another program. One task.
    Process {
        /// The stage.
        stage: String,
        /// The steps whose files it reads.
        inputs: Vec<String>,
    },
}

/// Where a segment's documents come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// Input files, one a task.
    Splits {
        /// The source.
        stage: String,
        /// The files.
        splits: Vec<PlanSplit>,
    },
    /// Documents that other steps left.
    Parts {
        /// The steps, in the order of the `input` key.
        steps: Vec<String>,
        /// How many tasks of theirs one task reads.
        per_task: usize,
    },
}

/// An input file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanSplit {
    /// As the recipe names it.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its size; `None` when it is missing.
    pub bytes: Option<u64>,
    /// Its time of change in nanoseconds since 1970: an input that was rewritten is another input.
    pub modified_ns: Option<u64>,
}

/// One member of a segment's chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// A filter or a map.
    Stage(String),
    /// Drops what an exchange found to be duplicates.
    Survivors {
        /// The exchange.
        stage: String,
        /// The step that decided.
        clusters: String,
    },
    /// Cuts out what was found to stand elsewhere too.
    Rewrite {
        /// The stage that cuts spans.
        stage: String,
        /// The step that marked the copies.
        marks: String,
    },
}

/// Where a segment's documents go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tail {
    /// Into Parquet files of the store.
    Documents,
    /// Into an exchange's keys and ranks.
    Keys(String),
    /// Into keys of spans.
    Spans {
        /// The stage that cuts them.
        stage: String,
        /// Which of its passes.
        pass: usize,
        /// The step that marked copies in the pass before.
        marks: Option<String>,
    },
    /// Into a sink's files.
    Write(String),
    /// Into a gathering stage's parts.
    Collect(String),
}

impl Plan {
    /// Reads a plan file.
    ///
    /// # Errors
    /// [`CorpusError`] when it is missing, damaged or of another format.
    pub fn load(path: &Path) -> Result<Self, CorpusError> {
        let missing = || CorpusError::io(path, std::io::ErrorKind::NotFound.into());
        let plan: Self = files::read_json(path)?.ok_or_else(missing)?;
        if plan.format != FORMAT {
            let message = format!("it has plan format {}, this gristmill reads {FORMAT}", plan.format);
            return Err(CorpusError::damaged(path, message));
        }
        Ok(plan)
    }

    /// A step by its id.
    pub fn step(&self, id: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == id)
    }

    /// A stage by its id.
    pub fn stage(&self, id: &str) -> Option<&PlanStage> {
        self.stages.iter().find(|stage| stage.id == id)
    }
}

impl Step {
    /// The input file of task `index`, if this step reads a source.
    pub fn split(&self, index: usize) -> Option<&PlanSplit> {
        match &self.work {
            Work::Segment { head: Head::Splits { splits, .. }, .. } => splits.get(index),
            _ => None,
        }
    }

    /// The ids of all stages whose configuration this step runs.
    pub fn stages(&self) -> Vec<&str> {
        match &self.work {
            Work::Segment { head, chain, tail } => {
                let head = match head {
                    Head::Splits { stage, .. } => Some(stage.as_str()),
                    Head::Parts { .. } => None,
                };
                let chain = chain.iter().map(|link| match link {
                    Link::Stage(stage) | Link::Survivors { stage, .. } | Link::Rewrite { stage, .. } => {
                        stage.as_str()
                    }
                });
                let tail = match tail {
                    Tail::Documents => None,
                    Tail::Keys(stage)
                    | Tail::Spans { stage, .. }
                    | Tail::Write(stage)
                    | Tail::Collect(stage) => Some(stage.as_str()),
                };
                head.into_iter().chain(chain).chain(tail).collect()
            }
            Work::Reduce { stage, .. }
            | Work::Forests { stage, .. }
            | Work::Clusters { stage, .. }
            | Work::Marks { stage, .. }
            | Work::Gather { stage, .. }
            | Work::Process { stage, .. } => vec![stage],
        }
    }
}
