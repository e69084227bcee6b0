//! Turns a recipe into a plan: fuses narrow stages into segments, splits exchanges at their barriers,
//! fingerprints every result.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use gristmill_corpus::files;
use gristmill_corpus::fingerprint::Fingerprint;
use gristmill_stages::stage::{ArtefactRef, BuildContext, Runtime, Shape};
use serde_json::{Value, json};

use super::{Earlier, FOREST_FAN_IN, FORMAT, Head, Link, Plan, PlanSplit, PlanStage, Step, Tail, Work};
use crate::config::{Recipe, RecipeStage, StageOutput};
use crate::exec::store::StepFolder;

/// Why a recipe without mistakes cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A pattern matches nothing.
    #[error("stage `{stage}`: no file matches `{pattern}` (looked from `{}`)", base.display())]
    NoInput {
        /// The source.
        stage: String,
        /// As written.
        pattern: String,
        /// The recipe's folder.
        base: PathBuf,
    },
    /// A path cannot serve.
    #[error("{0}")]
    Path(String),
}

impl Plan {
    /// Plans a recipe whose results go to `store`. Looks at input files' sizes and times, not into them.
    ///
    /// # Errors
    /// [`PlanError`] names the first input that cannot be found.
    pub fn new(recipe: &Recipe, store: &Path) -> Result<Self, PlanError> {
        let base = absolute(&recipe.base)?;
        let mut planner = Planner {
            recipe,
            base: base.clone(),
            steps: Vec::new(),
            materialised: BTreeMap::new(),
            earlier: BTreeMap::new(),
            found: BTreeMap::new(),
        };
        for index in 0..recipe.stages.len() {
            planner.add(index)?;
        }
        let mut earlier = std::mem::take(&mut planner.earlier);
        let stages = recipe.stages.iter().map(|stage| PlanStage {
            id: stage.id.clone(),
            kind: stage.kind.kind.to_owned(),
            config: stage.config.clone(),
            inputs: stage.inputs.iter().map(|&input| recipe.stages[input].id.clone()).collect(),
            earlier: earlier.remove(&stage.id).unwrap_or_default(),
        });
        Ok(Self {
            format: FORMAT,
            name: recipe.name.clone(),
            seed: recipe.seed,
            base,
            store: absolute(store)?,
            stages: stages.collect(),
            steps: planner.steps,
        })
    }
}

fn absolute(path: &Path) -> Result<PathBuf, PlanError> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    std::path::absolute(path).map_err(|error| PlanError::Path(format!("`{}`: {error}", path.display())))
}

struct Planner<'a> {
    recipe: &'a Recipe,
    base: PathBuf,
    steps: Vec<Step>,
    /// Stage index to the step that keeps its documents.
    materialised: BTreeMap<usize, String>,
    /// Exchange to the keys of earlier runs that it compares with.
    earlier: BTreeMap<String, Vec<Earlier>>,
    /// Process to the files that its declared files name.
    found: BTreeMap<String, Vec<PathBuf>>,
}

/// The beginning of a segment: what a stage's documents come from.
struct Upstream {
    head: Head,
    chain: Vec<Link>,
}

impl Planner<'_> {
    fn stage(&self, index: usize) -> &RecipeStage {
        &self.recipe.stages[index]
    }

    /// Adds the steps that end with stage `index`.
    fn add(&mut self, index: usize) -> Result<(), PlanError> {
        let stage = &self.recipe.stages[index];
        let id = stage.id.clone();
        match stage.kind.shape {
            Shape::Source | Shape::Filter | Shape::Map => {
                if self.must_keep(index) {
                    let upstream = self.upstream(index)?;
                    self.segment(&id, upstream, Tail::Documents, false);
                    self.materialised.insert(index, id);
                }
            }
            Shape::Exchange => {
                self.exchange(index)?;
                if self.must_keep(index) {
                    let upstream = self.upstream(index)?;
                    self.segment(&id, upstream, Tail::Documents, false);
                    self.materialised.insert(index, id);
                }
            }
            Shape::Spans => {
                self.spans(index)?;
                if self.must_keep(index) {
                    let upstream = self.upstream(index)?;
                    self.segment(&id, upstream, Tail::Documents, false);
                    self.materialised.insert(index, id);
                }
            }
            Shape::Sink => {
                let upstream = self.input_of(index)?;
                self.segment(&id, upstream, Tail::Write(id.clone()), true);
            }
            Shape::Gather => {
                let upstream = self.input_of(index)?;
                let parts = format!("{id}.parts");
                self.segment(&parts, upstream, Tail::Collect(id.clone()), false);
                self.push(
                    &id,
                    1,
                    Work::Gather { stage: id.clone(), parts: parts.clone() },
                    vec![parts],
                    true,
                );
            }
            Shape::Process => {
                let inputs: Vec<String> =
                    stage.inputs.iter().map(|&input| self.stage(input).id.clone()).collect();
                let Runtime::Process(process) = self.runtime(index)? else {
                    return Err(self.against_its_word(index));
                };
                self.found.insert(id.clone(), process.files().to_vec());
                let work = Work::Process { stage: id.clone(), inputs: inputs.clone() };
                self.push(&id, 1, work, inputs, true);
            }
        }
        Ok(())
    }

    /// Adds the passes of a stage that cuts spans: keys, then marks, each time.
    fn spans(&mut self, index: usize) -> Result<(), PlanError> {
        let id = self.stage(index).id.clone();
        let (partitions, passes) = match self.runtime(index)? {
            Runtime::Spans(spans) => (spans.partitions() as usize, spans.passes().len()),
            _ => return Err(self.against_its_word(index)),
        };
        let earlier = self.earlier_runs(index)?;
        for pass in 0..passes {
            let keys = pass_step(&id, "keys", pass);
            let marks = pass.checked_sub(1).map(|before| pass_step(&id, "marks", before));
            let upstream = Upstream { head: self.key_parts(index), chain: Vec::new() };
            self.segment(&keys, upstream, Tail::Spans { stage: id.clone(), pass, marks }, false);
            // From here on, what comes out depends on the earlier runs.
            self.earlier.insert(id.clone(), earlier.clone());
            let work = Work::Marks { stage: id.clone(), pass, keys: keys.clone() };
            self.push(&pass_step(&id, "marks", pass), partitions, work, vec![keys], false);
        }
        Ok(())
    }

    /// The step that marks what a stage that cuts spans leaves out.
    fn last_marks(&self, index: usize) -> Result<String, PlanError> {
        let id = &self.stage(index).id;
        let of_stage = |step: &&Step| matches!(&step.work, Work::Marks { stage, .. } if stage == id);
        let last = self.steps.iter().rev().find(of_stage).map(|step| step.id.clone());
        last.ok_or_else(|| self.against_its_word(index))
    }

    /// Keys of all documents, a forest for each partition of keys, a tree of merges, and the survivors.
    fn exchange(&mut self, index: usize) -> Result<(), PlanError> {
        let stage = self.stage(index).id.clone();
        let earlier = self.earlier_runs(index)?;
        let head = self.key_parts(index);
        let keys = format!("{stage}.keys");
        self.segment(&keys, Upstream { head, chain: Vec::new() }, Tail::Keys(stage.clone()), false);
        // From here on, what comes out depends on the earlier runs.
        self.earlier.insert(stage.clone(), earlier);
        let mut forests = format!("{stage}.forests");
        let mut tasks = self.partitions(index)?;
        let work = Work::Reduce { stage: stage.clone(), keys: keys.clone() };
        self.push(&forests, tasks, work, vec![keys.clone()], false);
        while tasks > FOREST_FAN_IN {
            tasks = tasks.div_ceil(FOREST_FAN_IN);
            let merged = format!("{stage}.forests-{tasks}");
            let needs = vec![keys.clone(), forests.clone()];
            let work = Work::Forests { stage: stage.clone(), keys: keys.clone(), forests };
            self.push(&merged, tasks, work, needs, false);
            forests = merged;
        }
        let needs = vec![keys.clone(), forests.clone()];
        let work = Work::Clusters { stage: stage.clone(), keys, forests };
        self.push(&format!("{stage}.clusters"), 1, work, needs, false);
        Ok(())
    }

    /// The documents that stage `index` reads, several parts a task where there are more than a reducer can merge.
    fn key_parts(&self, index: usize) -> Head {
        let mut head = self.parts(index);
        if let Head::Parts { steps, per_task } = &mut head {
            let parts: usize = steps.iter().map(|step| self.find(step).tasks).sum();
            *per_task = parts.div_ceil(MOST_KEY_FILES).max(1);
        }
        head
    }

    /// The keys of the runs that an exchange compares with: complete, and made as it makes its own.
    fn earlier_runs(&self, index: usize) -> Result<Vec<Earlier>, PlanError> {
        let stage = self.stage(index);
        if stage.declares.earlier.is_empty() {
            return Ok(Vec::new());
        }
        let own = key_format(&self.runtime(index)?).ok_or_else(|| self.against_its_word(index))?;
        let mut earlier = Vec::new();
        for run in &stage.declares.earlier {
            let wrong =
                |message: String| PlanError::Path(format!("stage `{}`: `{run}`: {message}", stage.id));
            let plan = Plan::load(&self.base.join(run).join("plan.json")).map_err(|error| {
                wrong(format!(
                    "no earlier run is there: {error}; name a folder that `gristmill run` published to"
                ))
            })?;
            let mut formats = Vec::new();
            let mut found = None;
            for other in plan.stages.iter().filter(|other| other.kind == stage.kind.kind) {
                let context = BuildContext { base: plan.base.clone(), seed: plan.seed };
                let built =
                    (stage.kind.parse)(other.config.clone()).map(|configured| configured.build(&context));
                let Ok(Ok(Some(format))) = built.map(|built| built.map(|runtime| key_format(&runtime)))
                else {
                    continue;
                };
                if format == own {
                    found = plan.step(&format!("{}.keys", other.id));
                    break;
                }
                formats.push(format);
            }
            let step = found.ok_or_else(|| match formats.as_slice() {
                [] => wrong(format!("it has no stage of kind `{}`", stage.kind.kind)),
                _ => wrong(format!("its keys are made otherwise: {}; here: {own}", formats.join("; "))),
            })?;
            let folder = StepFolder::new(&plan.store, step);
            match folder.manifest() {
                Ok(Some(_)) => {}
                Ok(None) => {
                    return Err(wrong(format!("its step `{}` is not complete: run it first", step.id)));
                }
                Err(error) => return Err(wrong(error.to_string())),
            }
            let (folder, fingerprint) = (folder.path().to_owned(), step.fingerprint.clone());
            earlier.push(Earlier { run: run.clone(), folder, fingerprint });
        }
        Ok(earlier)
    }

    /// Whether the documents of a stage are kept on disk: someone asks for it, or more than one stage reads
    /// them, or a reader needs them as a whole, or nobody reads them and they are the result.
    fn must_keep(&self, index: usize) -> bool {
        let readers: Vec<&RecipeStage> =
            self.recipe.stages.iter().filter(|stage| stage.inputs.contains(&index)).collect();
        self.stage(index).materialise
            || readers.len() != 1
            || readers.iter().any(|reader| {
                matches!(reader.kind.shape, Shape::Exchange | Shape::Spans) || reader.inputs.len() > 1
            })
    }

    /// What comes out of stage `index`, not kept: its own link behind what it reads.
    fn upstream(&self, index: usize) -> Result<Upstream, PlanError> {
        let stage = self.stage(index);
        match stage.kind.shape {
            Shape::Source => Ok(Upstream {
                head: Head::Splits { stage: stage.id.clone(), splits: self.splits(index)? },
                chain: Vec::new(),
            }),
            Shape::Exchange => {
                let head = self.parts(index);
                let clusters = format!("{}.clusters", stage.id);
                Ok(Upstream { head, chain: vec![Link::Survivors { stage: stage.id.clone(), clusters }] })
            }
            Shape::Spans => {
                let head = self.parts(index);
                let marks = self.last_marks(index)?;
                Ok(Upstream { head, chain: vec![Link::Rewrite { stage: stage.id.clone(), marks }] })
            }
            _ => {
                let mut upstream = self.input_of(index)?;
                upstream.chain.push(Link::Stage(stage.id.clone()));
                Ok(upstream)
            }
        }
    }

    /// What stage `index` reads.
    fn input_of(&self, index: usize) -> Result<Upstream, PlanError> {
        let inputs = &self.stage(index).inputs;
        if inputs.iter().all(|input| self.materialised.contains_key(input)) {
            return Ok(Upstream { head: self.parts(index), chain: Vec::new() });
        }
        self.upstream(inputs[0])
    }

    /// The documents that stage `index` reads, which are kept, one part a task.
    fn parts(&self, index: usize) -> Head {
        let inputs = &self.stage(index).inputs;
        let steps = inputs.iter().filter_map(|input| self.materialised.get(input).cloned()).collect();
        Head::Parts { steps, per_task: 1 }
    }

    fn segment(&mut self, id: &str, upstream: Upstream, tail: Tail, publish: bool) {
        let Upstream { head, chain } = upstream;
        let mut needs = Vec::new();
        let tasks = match &head {
            Head::Splits { splits, .. } => splits.len(),
            Head::Parts { steps, per_task } => {
                needs.extend(steps.iter().cloned());
                let parts: usize = steps.iter().map(|step| self.find(step).tasks).sum();
                parts.div_ceil(*per_task)
            }
        };
        for link in &chain {
            if let Link::Survivors { clusters, .. } = link {
                needs.push(clusters.clone());
            }
            if let Link::Rewrite { marks, .. } = link {
                needs.push(marks.clone());
            }
        }
        if let Tail::Spans { marks: Some(marks), .. } = &tail {
            needs.push(marks.clone());
        }
        self.push(id, tasks, Work::Segment { head, chain, tail }, needs, publish);
    }

    fn push(&mut self, id: &str, tasks: usize, work: Work, mut needs: Vec<String>, publish: bool) {
        let mut step = Step {
            id: id.to_owned(),
            fingerprint: Fingerprint::of(&Value::Null),
            tasks,
            work,
            needs: Vec::new(),
            artefacts: Vec::new(),
            publish,
        };
        let artefacts =
            step.stages().into_iter().flat_map(|stage| self.declared(stage).declares.artefacts.clone());
        for artefact in artefacts.collect::<Vec<_>>() {
            if let ArtefactRef::Stage { stage } = artefact {
                needs.push(stage.clone());
                step.artefacts.push((stage.clone(), stage));
            }
        }
        needs.dedup();
        step.needs = needs;
        step.fingerprint = self.fingerprint(&step);
        self.steps.push(step);
    }

    fn declared(&self, id: &str) -> &RecipeStage {
        self.recipe.stages.iter().find(|stage| stage.id == id).expect("steps are made of the recipe's stages")
    }

    fn find(&self, id: &str) -> &Step {
        self.steps
            .iter()
            .find(|step| step.id == id)
            .expect("steps are added in an order in which they can run")
    }

    /// Covers everything that decides the result's bytes, and no path of this machine: a store can move.
    fn fingerprint(&self, step: &Step) -> Fingerprint {
        let stages: Vec<Value> = step
            .stages()
            .into_iter()
            .map(|id| {
                let stage = self.declared(id);
                let files: Vec<Value> =
                    stage.declares.files.iter().map(|file| hash_of(&self.base.join(file))).collect();
                let mut described = json!({
                    // The id is in rejects and counts.
                    "id": stage.id,
                    "kind": stage.kind.kind,
                    "version": stage.kind.version,
                    "config": stage.config,
                    "files": files,
                });
                // Absent where there is none, as the next.
                if let Some(found) = self.found.get(id).filter(|found| !found.is_empty()) {
                    described["found"] = found.iter().map(|file| hash_of(file)).collect();
                }
                // Not of keys.
                if let Some(earlier) = self.earlier.get(id).filter(|earlier| !earlier.is_empty()) {
                    described["earlier"] = earlier.iter().map(|earlier| json!(earlier.fingerprint)).collect();
                }
                described
            })
            .collect();
        let needs: Vec<Value> = step.needs.iter().map(|id| json!(self.find(id).fingerprint)).collect();
        let splits: Vec<Value> = match &step.work {
            Work::Segment { head: Head::Splits { splits, .. }, .. } => {
                let of = |split: &PlanSplit| json!([split.name, split.bytes, split.modified_ns]);
                splits.iter().map(of).collect()
            }
            _ => Vec::new(),
        };
        let shape = match &step.work {
            Work::Segment { tail: Tail::Documents, .. } => "documents",
            Work::Segment { tail: Tail::Keys(_), .. } => "keys",
            Work::Segment { tail: Tail::Spans { .. }, .. } => "spans",
            Work::Segment { tail: Tail::Write(_), .. } => "write",
            Work::Segment { tail: Tail::Collect(_), .. } => "collect",
            Work::Reduce { .. } => "forest",
            Work::Forests { .. } => "forests",
            Work::Clusters { .. } => "survivors",
            Work::Marks { .. } => "marks",
            Work::Gather { .. } => "gather",
            Work::Process { .. } => "process",
        };
        Fingerprint::of(&json!({
            "engine": ENGINE_VERSION,
            "seed": self.recipe.seed,
            "shape": shape,
            "stages": stages,
            "needs": needs,
            "splits": splits,
        }))
    }

    fn partitions(&self, index: usize) -> Result<usize, PlanError> {
        match self.runtime(index)? {
            Runtime::Exchange(exchange) => Ok(exchange.partitions() as usize),
            _ => Err(self.against_its_word(index)),
        }
    }

    fn runtime(&self, index: usize) -> Result<Runtime, PlanError> {
        let stage = self.stage(index);
        let context = BuildContext { base: self.base.clone(), seed: self.recipe.seed };
        let built = stage.configured.build(&context);
        built.map_err(|error| PlanError::Path(format!("stage `{}`: {error}", stage.id)))
    }

    fn against_its_word(&self, index: usize) -> PlanError {
        PlanError::Path(format!("stage `{}` has another shape, against its own word", self.stage(index).id))
    }

    /// The input files of a source, patterns expanded, in the order of the recipe and sorted within a pattern.
    fn splits(&self, index: usize) -> Result<Vec<PlanSplit>, PlanError> {
        let stage = self.stage(index);
        let mut splits = Vec::new();
        for pattern in &stage.declares.inputs {
            if pattern.contains("://") {
                return Err(PlanError::Path(format!(
                    "stage `{}`: `{pattern}` is not a local path; remote stores are not read yet: copy the files and name the folder",
                    stage.id
                )));
            }
            if !pattern.contains(['*', '?', '[']) {
                // A plain path may be missing: its split is quarantined and the others go on.
                splits.push(self.split(pattern));
                continue;
            }
            let full = self.base.join(pattern);
            let wrong = |error: glob::PatternError| {
                PlanError::Path(format!("stage `{}`: `{pattern}` is no pattern: {error}", stage.id))
            };
            let mut names: Vec<String> = glob::glob(&full.to_string_lossy())
                .map_err(wrong)?
                .flatten()
                .filter(|path| path.is_file())
                .map(|path| named(&path, &self.base, pattern))
                .collect();
            names.sort();
            if names.is_empty() {
                let (stage, pattern) = (stage.id.clone(), pattern.clone());
                return Err(PlanError::NoInput { stage, pattern, base: self.base.clone() });
            }
            splits.extend(names.iter().map(|name| self.split(name)));
        }
        Ok(splits)
    }

    fn split(&self, name: &str) -> PlanSplit {
        let path = self.base.join(name);
        let metadata = fs::metadata(&path).ok();
        PlanSplit {
            name: name.to_owned(),
            bytes: metadata.as_ref().map(fs::Metadata::len),
            modified_ns: metadata
                .and_then(|metadata| metadata.modified().ok())
                .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
                .and_then(|age| u64::try_from(age.as_nanos()).ok()),
            path,
        }
    }
}

/// The step of a stage that cuts spans: `line_dedup.keys`, and `substring_dedup.keys2` for a second pass.
fn pass_step(id: &str, part: &str, pass: usize) -> String {
    if pass == 0 { format!("{id}.{part}") } else { format!("{id}.{part}{}", pass + 1) }
}

/// What two runs' keys must have in common to be compared.
fn key_format(runtime: &Runtime) -> Option<String> {
    match runtime {
        Runtime::Exchange(exchange) => Some(exchange.key_format()),
        Runtime::Spans(spans) => Some(spans.key_format()),
        _ => None,
    }
}

/// A reducer reads at most this many files of keys: with partitions of a gigabyte, each read is a megabyte. More parts than
/// these are read several by one task.
const MOST_KEY_FILES: usize = 1000;

/// Counts up when the engine itself gives other bytes for the same stages.
const ENGINE_VERSION: u32 = 1;

/// The name of a found file: as the pattern would have written it.
fn named(path: &Path, base: &Path, pattern: &str) -> String {
    if Path::new(pattern).is_absolute() {
        return path.to_string_lossy().into_owned();
    }
    // `glob` may tidy `../` away, so that the file no longer begins with the base.
    path.strip_prefix(base).unwrap_or(path).to_string_lossy().into_owned()
}

/// A named file's content as part of a fingerprint; a folder counts as its files.
fn hash_of(path: &Path) -> Value {
    if path.is_dir() {
        return files::list(path).map_or(Value::Null, |list| json!(list));
    }
    files::checksum(path).map_or(Value::Null, |(xxh3, _)| json!(xxh3))
}

impl StageOutput {
    /// As plans are shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Documents => "documents",
            Self::Files => "files",
        }
    }
}
