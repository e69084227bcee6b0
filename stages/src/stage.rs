//! What a stage is: a configuration that declares what it needs, and a runtime of one of eight shapes.
//!
//! The engine drives the shapes and owns everything else. A stage never prints, never opens a file that it was
//! not handed, never looks at a clock, and gives the same bytes for the same input.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use gristmill_corpus::{CorpusError, DocBatch, columns};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::documents::Documents;

/// A stable snake_case word that says why a document was dropped. Renaming one is a format change.
pub type Reason = &'static str;

/// What a stage decided about one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The document goes on.
    Keep,
    /// The document ends here, for this reason.
    Drop(Reason),
}

impl From<Option<Reason>> for Verdict {
    fn from(reason: Option<Reason>) -> Self {
        reason.map_or(Self::Keep, Self::Drop)
    }
}

/// What goes wrong in a stage, by what the engine does about it.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// The split cannot be read: it is quarantined, recorded, and the run goes on.
    #[error("cannot read `{}`: {message}", path.display())]
    Input {
        /// The input file.
        path: PathBuf,
        /// What is wrong, and what would work.
        message: String,
    },
    /// The configuration asks for something that cannot be: the run does not start.
    #[error("{0}")]
    Config(String),
    /// Output cannot be written, or an invariant of the engine does not hold: the task fails.
    #[error("{0}")]
    Engine(String),
}

impl From<CorpusError> for StageError {
    fn from(error: CorpusError) -> Self {
        Self::Engine(error.to_string())
    }
}

/// A file that another stage makes, or that exists already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ArtefactRef {
    /// Made by the stage of this id, as in `{ stage = "tokenizer_train" }`.
    Stage {
        /// The stage's id.
        stage: String,
    },
    /// A file (relative to the recipe), or a well-known name.
    Named(String),
}

/// Where the folder lies that an [`ArtefactRef`] means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// What a stage of this id leaves.
    Stage(String),
    /// A folder that exists.
    Folder(PathBuf),
}

impl Found {
    /// The name itself where it is no folder.
    pub fn resolve<'a>(reference: &'a ArtefactRef, context: &BuildContext) -> Result<Self, &'a str> {
        match reference {
            ArtefactRef::Stage { stage } => Ok(Self::Stage(stage.clone())),
            ArtefactRef::Named(name) => {
                let path = context.resolve(name);
                if path.is_dir() { Ok(Self::Folder(path)) } else { Err(name) }
            }
        }
    }

    /// The folder.
    pub fn folder<'a>(&'a self, artefacts: &'a Artefacts) -> Result<&'a Path, StageError> {
        match self {
            Self::Folder(path) => Ok(path),
            Self::Stage(stage) => artefacts
                .get(stage)
                .map(PathBuf::as_path)
                .ok_or_else(|| StageError::Engine(format!("stage `{stage}` left nothing"))),
        }
    }
}

/// What a configured stage needs and makes; the planner checks it before any data is touched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declares {
    /// Columns that must exist.
    pub reads: Vec<String>,
    /// Columns that exist afterwards.
    pub writes: Vec<String>,
    /// Columns that are gone afterwards.
    pub drops: Vec<String>,
    /// Input files of a source: paths or globs, as written in the recipe.
    pub inputs: Vec<String>,
    /// Other files whose content the output depends on (lists, models), as written in the recipe.
    pub files: Vec<String>,
    /// What other stages make for this one.
    pub artefacts: Vec<ArtefactRef>,
    /// Folders of earlier runs whose documents an exchange counts as seen, as written in the recipe.
    pub earlier: Vec<String>,
}

impl Declares {
    /// What a source declares that reads `paths` into documents with this content column.
    pub fn source(paths: &[String], content: &str) -> Self {
        let names = [
            columns::ID,
            columns::URL,
            columns::DATE,
            columns::DUMP,
            columns::FILE_PATH,
            columns::OFFSET,
            content,
        ];
        Self { writes: names.map(str::to_owned).to_vec(), inputs: paths.to_vec(), ..Self::default() }
    }
}

/// What a runtime is built with.
#[derive(Debug, Clone)]
pub struct BuildContext {
    /// The recipe's folder: relative paths start here.
    pub base: PathBuf,
    /// The recipe's seed.
    pub seed: u64,
}

impl BuildContext {
    /// A path of the recipe as the file system knows it.
    pub fn resolve(&self, path: &str) -> PathBuf {
        self.base.join(path)
    }
}

/// The configuration of one kind of stage. Its doc comment and its fields' doc comments are the user manual.
///
/// Implementors derive `Serialize, Deserialize, JsonSchema` with `#[serde(deny_unknown_fields)]` and give every
/// field that has a sensible default one (`#[serde(default)]`).
pub trait StageConfig: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// The word for it in a recipe.
    const KIND: &'static str;
    /// Counts up whenever the same configuration and input give other output.
    const VERSION: u32;
    /// Which shape [`build`](Self::build) makes.
    const SHAPE: Shape;
    /// Every reason it can drop a document for.
    const REASONS: &'static [Reason];

    /// What this configuration needs and makes.
    fn declares(&self) -> Declares;

    /// Loads what the stage needs and makes it ready to run; called once a process.
    ///
    /// # Errors
    /// [`StageError::Config`] when a value or a file cannot serve.
    fn build(&self, context: &BuildContext) -> Result<Runtime, StageError>;
}

/// The shape of a stage: what the engine does with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Reads input files into documents.
    Source,
    /// One verdict a document.
    Filter,
    /// Rewrites documents one by one, and may drop some.
    Map,
    /// Drops documents by what other documents hold (duplicates): a barrier.
    Exchange,
    /// Cuts out of documents what other documents hold too (lines, sentences, n-grams): a barrier.
    Spans,
    /// Writes documents, one output a split.
    Sink,
    /// Collects a part a split, then joins all parts into one result.
    Gather,
    /// Runs another program on an earlier stage's result.
    Process,
}

/// A stage that is ready to run.
pub enum Runtime {
    /// See [`Source`].
    Source(Box<dyn Source>),
    /// See [`Filter`].
    Filter(Box<dyn Filter>),
    /// See [`Map`].
    Map(Box<dyn Map>),
    /// See [`Exchange`].
    Exchange(Box<dyn Exchange>),
    /// See [`Spans`].
    Spans(Box<dyn Spans>),
    /// See [`Sink`].
    Sink(Box<dyn Sink>),
    /// See [`Gather`].
    Gather(Box<dyn Gather>),
    /// See [`Process`].
    Process(Box<dyn Process>),
}

/// One input file.
#[derive(Debug, Clone)]
pub struct Split {
    /// Where it is.
    pub path: PathBuf,
    /// What it is called in the `file_path` column: the path as the recipe gives it.
    pub name: String,
}

/// A record that is no document: counted under its reason and kept among the rejects.
#[derive(Debug, Clone, Copy)]
pub struct Skipped<'a> {
    /// Its id, or empty.
    pub id: &'a str,
    /// Its address, or empty.
    pub url: &'a str,
    /// Its byte offset in the split.
    pub offset: u64,
    /// Why.
    pub reason: Reason,
}

/// Takes what a source reads.
pub trait SourceOutput {
    /// A batch of documents, in the order of the file.
    fn documents(&mut self, batch: DocBatch) -> Result<(), StageError>;
    /// A record that is none.
    fn skip(&mut self, skipped: Skipped<'_>) -> Result<(), StageError>;
}

/// Reads a split from beginning to end.
pub trait Source: Send + Sync {
    /// Hands every record of the split to `output`, as a document or as skipped. Damage inside a readable file
    /// is skipped and counted; [`StageError::Input`] is for a file that cannot be read at all.
    fn read(&self, split: &Split, output: &mut dyn SourceOutput) -> Result<(), StageError>;
}

/// Judges documents one by one.
pub trait Filter: Send + Sync {
    /// One verdict a document, in order. A verdict depends on that document alone.
    fn verdicts(&self, documents: &Documents) -> Result<Vec<Verdict>, StageError>;
}

/// Rewrites documents one by one.
pub trait Map: Send + Sync {
    /// As many documents as came in, in the same order, and one verdict each; the engine drops the rejected.
    fn map(&self, documents: Documents) -> Result<(Documents, Vec<Verdict>), StageError>;
}

/// Finds duplicates: documents that share a (partition, key) are joined, groups that share a document grow
/// together, and of each group one document survives.
pub trait Exchange: Send + Sync {
    /// How many partitions keys are spread over; each is reduced by one task.
    fn partitions(&self) -> u32;
    /// Emits `(row, partition, key)` for every key of every document. A document without keys is kept.
    fn keys(&self, documents: &Documents, emit: &mut dyn FnMut(usize, u32, u64)) -> Result<(), StageError>;
    /// One rank a document: of a group, the document with the smallest (rank, position) survives.
    fn ranks(&self, documents: &Documents) -> Result<Vec<u64>, StageError>;
    /// Why the others are dropped.
    fn reason(&self) -> Reason;
    /// Everything that decides keys, partitions and sketches: runs that say the same can be compared with each other.
    fn key_format(&self) -> String;
    /// A second look at documents that share a key, if there is one.
    fn verifier(&self) -> Option<&dyn Verifier> {
        None
    }
    /// Columns that tell of each survivor which cluster it stands for and how many documents that has, if wanted.
    fn cluster_columns(&self) -> Option<ClusterColumns> {
        None
    }
}

/// Looks at two documents that share a key before they count as duplicates. What it needs to know of a document is its
/// sketch: kept beside the keys, looked up by those who reduce, never shuffled.
pub trait Verifier: Send + Sync {
    /// Does what [`Exchange::keys`] does, and emits one sketch a document, in order; an empty one for a document without
    /// keys.
    fn keys(
        &self,
        documents: &Documents,
        emit: &mut dyn FnMut(usize, u32, u64),
        sketch: &mut dyn FnMut(&[u32]),
    ) -> Result<(), StageError>;
    /// Whether two documents are duplicates, by their sketches. Symmetric.
    fn agree(&self, a: &[u32], b: &[u32]) -> bool;
}

/// Names of the columns in which an exchange leaves what it found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterColumns {
    /// UInt64: the position of the cluster's first document among all that the exchange read.
    pub id: String,
    /// UInt64: how many documents the cluster has; 1 without duplicates.
    pub size: String,
}

impl ClusterColumns {
    /// `<name>_cluster_id` and `<name>_cluster_size`.
    pub fn named(name: &str) -> Self {
        Self { id: format!("{name}_cluster_id"), size: format!("{name}_cluster_size") }
    }

    /// Both names, as a stage declares what it writes.
    pub fn names(&self) -> Vec<String> {
        vec![self.id.clone(), self.size.clone()]
    }
}

/// Cuts out of documents what stands elsewhere too. The stage cuts a document into numbered spans and gives each a key; spans
/// with equal keys, over the whole corpus, are copies of each other. The engine marks copies, and the stage makes of a document
/// what is left without those that are marked.
///
/// The first of several copies is that in the document with the smallest [`order`](crate::dedup::order::orders), and in it the
/// one with the smallest number: what is kept depends on the documents only, never on files, tasks or threads.
pub trait Spans: Send + Sync {
    /// How many partitions keys are spread over; each is reduced by one task.
    fn partitions(&self) -> u32;
    /// What each pass over the documents marks; at least one. What the last one marks goes to [`rewrite`](Self::rewrite), what
    /// another marks to the next one's [`keys`](Self::keys), which can leave out what cannot be a copy.
    fn passes(&self) -> &[Mark];
    /// Everything that decides keys and partitions: runs that say the same can be compared with each other.
    fn key_format(&self) -> String;
    /// Emits `(row, span, key)`. Numbers of spans are the stage's own; from [`MAX_SPANS`] on they are ignored. `marked` holds for
    /// every document what the pass before marked, ascending; it is empty in the first pass.
    fn keys(
        &self,
        pass: usize,
        documents: &Documents,
        marked: &[Vec<u32>],
        emit: &mut dyn FnMut(usize, u32, u128),
    ) -> Result<(), StageError>;
    /// As many documents as came in, in the same order, without what the last pass marked, and one verdict each.
    fn rewrite(
        &self,
        documents: Documents,
        marked: &[Vec<u32>],
    ) -> Result<(Documents, Vec<Verdict>), StageError>;
}

/// Which of several copies are marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// All but the first.
    Later,
    /// All of them.
    All,
}

/// How many spans of a document are compared.
pub const MAX_SPANS: u32 = 1 << 24;

/// Artefacts that other stages made: stage id to the folder of its result.
pub type Artefacts = BTreeMap<String, PathBuf>;

/// Writes the documents of one split.
pub trait Sink: Send + Sync {
    /// Opens the output of task `index` inside `folder`. File names carry the index: all tasks' files end up in
    /// one folder.
    fn open(&self, folder: &Path, index: usize) -> Result<Box<dyn PartWriter>, StageError>;
}

/// The output of one task.
pub trait PartWriter {
    /// Writes the next documents.
    fn write(&mut self, documents: &Documents) -> Result<(), StageError>;
    /// Closes the files.
    fn finish(self: Box<Self>) -> Result<(), StageError>;
}

/// Collects one part a split, then joins the parts.
pub trait Gather: Send + Sync {
    /// Opens the part of one split inside `folder`.
    fn open(&self, folder: &Path, artefacts: &Artefacts) -> Result<Box<dyn PartWriter>, StageError>;
    /// Joins all parts (one folder a split, in order) into the result inside `folder`.
    fn gather(&self, parts: &[PathBuf], folder: &Path, artefacts: &Artefacts) -> Result<(), StageError>;
}

/// Runs another program.
pub trait Process: Send + Sync {
    /// Whether it can read what these stages leave: a [`StageError::Config`] says why not, and what would work.
    fn accepts(&self, inputs: &[InputStage<'_>]) -> Result<(), StageError>;
    /// Files whose content the output depends on, beyond those that the stage declares: files that those name.
    fn files(&self) -> &[PathBuf];
    /// The command that turns `inputs` into a result inside `folder`. It may be killed and started again on the same
    /// folder.
    fn command(
        &self,
        inputs: &[ProcessInput],
        folder: &Path,
        artefacts: &Artefacts,
    ) -> Result<Command, StageError>;
}

/// What a process reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessInput {
    /// The id of the stage that made it.
    pub stage: String,
    /// The folder of its result.
    pub folder: PathBuf,
}

/// A stage whose files a process would read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InputStage<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its kind.
    pub kind: &'a str,
}

impl InputStage<'_> {
    /// For processes that read one stage, which must be of one of these kinds.
    pub fn one_of(inputs: &[Self], kinds: &[&str]) -> Result<(), StageError> {
        let list = || kinds.iter().map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(" or ");
        match inputs {
            [input] if kinds.contains(&input.kind) => Ok(()),
            [input] => Err(StageError::Config(format!(
                "it reads what {} leaves, and its input `{}` is a `{}`: name one with `input`",
                list(),
                input.id,
                input.kind
            ))),
            _ => Err(StageError::Config(format!("it reads one stage of {}, not {}", list(), inputs.len()))),
        }
    }
}

/// The only input of a process that reads one stage.
pub fn only(inputs: &[ProcessInput]) -> Result<&Path, StageError> {
    match inputs {
        [input] => Ok(&input.folder),
        _ => Err(StageError::Engine(format!("{} inputs came, not one", inputs.len()))),
    }
}
