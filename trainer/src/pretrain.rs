//! Pretraining: one loop from a config, shards and a tokenizer to a checkpoint, its score and its samples.

use std::fs::{self, File};
use std::io::Write as _;
use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use burn::tensor::Device;
use gristmill_corpus::pack_plan::{MixtureSource, PackPlan, PlanOptions};
use gristmill_corpus::printable::printable;
use gristmill_corpus::shards::ShardSet;
use gristmill_tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};

use crate::bench;
use crate::checkpoint::{self, Checkpoint, DataIdentity};
use crate::config::{RunConfig, TrainConfig};
use crate::evaluate::{self, Score, Unigrams};
use crate::generate::{generate_batch, prompt_ids};
use crate::loader::{Batch, Loader, TokenSource};
use crate::metrics::{Metric, Metrics};
use crate::model::Model;
use crate::optimizer::Place;
use crate::packing;
use crate::plan;
use crate::progress::{Progress, Units};
use crate::random::Random;
use crate::ranks::{Identity, Position, Ranks, Rendezvous};
use crate::share;
use crate::step::{StepReport, Training};

/// Everything that a run reads, and where it writes.
pub struct Pretraining<'a> {
    /// What to train, and how.
    pub config: &'a RunConfig,
    /// Tokens to learn from.
    pub train: &'a dyn TokenSource,
    /// Where those stand, in their order; a plan says which rows of them each step reads. None: windows of `train`.
    pub sources: &'a [(MixtureSource, &'a ShardSet)],
    /// Tokens to score.
    pub val: &'a dyn TokenSource,
    /// Belongs to both.
    pub tokenizer: &'a Tokenizer,
    /// The tokenizer's file, copied into checkpoints.
    pub tokenizer_json: &'a [u8],
    /// Fingerprints of the above.
    pub data: DataIdentity,
    /// Directory for `checkpoint/`, the pack plan, `metrics.jsonl`, `summary.json` and `sample.txt`.
    pub out: &'a Path,
    /// Go on from the checkpoint in `out`, if there is one.
    pub resume: bool,
    /// Where to compute.
    pub device: Device,
    /// Which code does element-wise work.
    pub place: Place,
    /// Steps after which to stop as if killed: for tests of resuming.
    pub stop_after: Option<u64>,
}

/// `summary.json`: how the run ended. No field depends on time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Mean loss on the validation split, in nats a token.
    pub val_loss: f64,
    /// The same in bits over the raw bytes.
    pub bits_per_byte: f64,
    /// Validation targets scored.
    pub val_tokens: u64,
    /// Entropy of the corpus's token frequencies, in nats a token: what a model must beat to know any context.
    pub unigram_entropy: f64,
    /// Validation loss of the training split's token frequencies.
    pub unigram_val_loss: f64,
    /// Optimiser steps.
    pub steps: u64,
    /// Trained values.
    pub params: u64,
    /// Places of training rows read, with padding.
    pub tokens: u64,
    /// Loss of the last training step.
    pub train_loss: f64,
}

/// What every training run has, whatever it learns from.
pub struct Run<'a> {
    /// What to train, and how.
    pub config: &'a RunConfig,
    /// Rows of the embedding.
    pub vocabulary: usize,
    /// The tokenizer's file, copied into checkpoints.
    pub tokenizer_json: &'a [u8],
    /// Fingerprints of what is read.
    pub data: &'a DataIdentity,
    /// Directory for `checkpoint/` and `metrics.jsonl`.
    pub out: &'a Path,
    /// Go on from the checkpoint in `out`, if there is one.
    pub resume: bool,
    /// Where to compute.
    pub device: Device,
    /// Which code does element-wise work.
    pub place: Place,
    /// Steps after which to stop as if killed: for tests of resuming.
    pub stop_after: Option<u64>,
}

/// What a run learns from, and how it is judged: windows of documents, or conversations.
pub trait Lessons {
    /// The model before the first step.
    fn start(&self) -> Result<Training>;
    /// What a run reads, in a line.
    fn about(&self) -> String;
    /// More about it, for whoever wants to know, in further lines.
    fn details(&self) -> Vec<String>;
    /// Sequences in one epoch.
    fn epoch_rows(&self) -> u64;
    /// `rows` sequences beginning with the run's `first_row`-th: a pure function, so that a resume is exact.
    fn rows(&self, first_row: u64, rows: usize) -> Result<Batch>;
    /// How the model does on what it does not learn from.
    fn score(&self, training: &Training) -> Result<Score>;
    /// What the model in training writes: prompts, and how it goes on. None: it is not asked before the end.
    fn samples(&self, _training: &Training) -> Result<Vec<(String, String)>> {
        Ok(Vec::new())
    }
    /// Raw bytes in a token, if that is known.
    fn bytes_per_token(&self) -> Option<f64> {
        None
    }
}

/// A run that came to its end.
pub struct Ended {
    /// The trained model.
    pub training: Training,
    /// Its last score.
    pub score: Score,
    /// Loss of the last step.
    pub train_loss: f64,
    /// Training targets read.
    pub tokens: u64,
}

/// The checkpoint that a run goes on from, if there is one; an error where it is another run's, or where it is not asked for.
///
/// Of several processes only the first clears away what a killed one had left.
pub fn resumable(job: &Run<'_>, is_first: bool) -> Result<Option<Checkpoint>> {
    fs::create_dir_all(job.out).with_context(|| format!("cannot create `{}`", job.out.display()))?;
    let path = job.out.join("checkpoint");
    let Some(found) = checkpoint::latest(&path) else { return Ok(None) };
    ensure!(
        job.resume,
        "`{}` already holds a checkpoint\nhint: --resume goes on from it; another --out starts afresh",
        job.out.display()
    );
    if is_first {
        checkpoint::recover(&path)?;
    }
    let checkpoint = Checkpoint::open(if is_first { &path } else { &found })?;
    checkpoint.ensure_same_run(job.config, job.vocabulary, job.data)?;
    Ok(Some(checkpoint))
}

/// The loop: steps, scores, checkpoints, from what [`resumable`] found to the end of `config.train.steps`; `None` if stopped
/// before, and in all processes but the first of several, which alone scores and writes.
pub fn run(
    job: &Run<'_>,
    found: Option<Checkpoint>,
    lessons: &dyn Lessons,
    mut ranks: Option<&mut Ranks>,
) -> Result<Option<Ended>> {
    let config = &job.config.train;
    let checkpoint_path = job.out.join("checkpoint");
    let mut training = match found {
        Some(checkpoint) => checkpoint.training(job.device.clone(), job.place)?,
        None => lessons.start()?,
    };
    let first_step = training.step;
    let (rank, n_processes) = ranks.as_ref().map_or((0, 1), |ranks| (ranks.rank(), ranks.n_processes()));
    let shares = share::units(config, n_processes)?;
    let mine = share::of_process(shares.len(), n_processes, rank);
    if let Some(ranks) = &mut ranks {
        ranks.agree(Position { step: first_step, weights: training.fingerprint() })?;
    }
    let rows_per_step = (config.batch * config.accumulate) as u64;
    if rank > 0 {
        follow(
            job,
            &mut training,
            lessons,
            (&shares, mine),
            ranks.expect("only one of several is not the first"),
        )?;
        return Ok(None);
    }
    let (mut metrics, earlier) = Metrics::open(job.out, first_step)?;
    let (mut last_loss, mut tokens) =
        earlier.iter().rev().find_map(Metric::progress).unwrap_or((f64::NAN, 0));

    let units = Units {
        flops_per_token: training.model.flops_per_token(),
        peak_flops: match (config.peak_tflops, job.place) {
            (Some(tera), _) => Some(tera * 1e12),
            (None, Place::Host) => Some(bench::product_flops() * n_processes as f64),
            (None, Place::Device) => None,
        },
        bytes_per_token: lessons.bytes_per_token(),
    };
    let progress = Progress::new(config, first_step, units);
    progress.line(&format!(
        "{} parameters; {}; {:.2} epochs in {} steps{}",
        training.model.parameter_count(),
        lessons.about(),
        (config.steps * rows_per_step) as f64 / lessons.epoch_rows() as f64,
        config.steps,
        if first_step > 0 { format!("; resumed after step {first_step}") } else { String::new() },
    ));

    for line in lessons.details() {
        progress.line(&line);
    }

    let mut last_score = None;
    while training.step < config.steps {
        if job.stop_after == Some(training.step) {
            return Ok(None);
        }
        let begun = Instant::now();
        let batches = batches(lessons, training.step * rows_per_step, &shares[mine.clone()])?;
        let report = training.advance_among(config, &batches, mine.start, ranks.as_deref_mut())?;
        let step = training.step;
        last_loss = report.loss;
        tokens += report.tokens;
        metrics.write(&step_metric(step, tokens, &report))?;
        let places = rows_per_step * job.config.model.context as u64;
        progress.step(step, &report, places, begun.elapsed());

        let last = step == config.steps;
        if last || (config.eval_every > 0 && step.is_multiple_of(config.eval_every)) {
            let score = lessons.score(&training)?;
            metrics.write(&Metric::Val { step, val_loss: score.loss, bits_per_byte: score.bits_per_byte })?;
            progress.validation(step, &score);
            last_score = Some(score);
        }
        let every = job.config.sample.every;
        if every > 0 && step.is_multiple_of(every) {
            for (prompt, text) in lessons.samples(&training)? {
                progress.sample(step, &prompt, &text);
                metrics.write(&Metric::Sample { step, prompt, text })?;
            }
        }
        if saves(config, step) {
            if let Some(ranks) = &mut ranks {
                ranks.agree(Position { step, weights: training.fingerprint() })?;
            }
            // Metrics first: a checkpoint vouches for every line up to its step.
            metrics.sync()?;
            checkpoint::save(&checkpoint_path, &training, job.config, job.data, job.tokenizer_json)?;
        }
    }
    progress.finish();

    // A run that was killed after its last checkpoint has its score in metrics.jsonl already.
    let score = match last_score {
        Some(score) => score,
        None => lessons.score(&training)?,
    };
    Ok(Some(Ended { training, score, train_loss: last_loss, tokens }))
}

/// Whether a checkpoint is written after this step.
fn saves(config: &TrainConfig, step: u64) -> bool {
    step == config.steps || (config.checkpoint_every > 0 && step.is_multiple_of(config.checkpoint_every))
}

fn batches(lessons: &dyn Lessons, first_row: u64, units: &[Range<usize>]) -> Result<Vec<Batch>> {
    units.iter().map(|rows| lessons.rows(first_row + rows.start as u64, rows.len())).collect()
}

/// The loop of a process that is not the first: the same steps, and nothing else.
fn follow(
    job: &Run<'_>,
    training: &mut Training,
    lessons: &dyn Lessons,
    (units, mine): (&[Range<usize>], Range<usize>),
    ranks: &mut Ranks,
) -> Result<()> {
    let config = &job.config.train;
    let rows_per_step = (config.batch * config.accumulate) as u64;
    while training.step < config.steps && job.stop_after != Some(training.step) {
        let batches = batches(lessons, training.step * rows_per_step, &units[mine.clone()])?;
        training.advance_among(config, &batches, mine.start, Some(ranks))?;
        if saves(config, training.step) {
            ranks.agree(Position { step: training.step, weights: training.fingerprint() })?;
        }
    }
    Ok(())
}

/// Pretraining's lessons: windows of the token stream.
struct Windows<'a> {
    job: &'a Pretraining<'a>,
    loader: Loader<'a>,
    plan: Option<&'a PackPlan>,
    unigrams: Unigrams,
}

impl Lessons for Windows<'_> {
    fn start(&self) -> Result<Training> {
        let RunConfig { model, train, .. } = self.job.config;
        let model = Model::new(model, self.job.tokenizer.vocab_size());
        Ok(Training::new(model, train, self.job.device.clone(), self.job.place))
    }

    fn about(&self) -> String {
        let RunConfig { model, train, .. } = self.job.config;
        format!(
            "{} train tokens, {} validation tokens; {} tokens a step; unigram entropy {:.4} nats/token",
            self.job.train.n_tokens(),
            self.job.val.n_tokens(),
            train.batch * train.accumulate * model.context,
            self.unigrams.entropy
        )
    }

    fn details(&self) -> Vec<String> {
        let cost = plan::describe(self.job.config, self.job.tokenizer.vocab_size());
        let mut lines: Vec<String> = cost.lines().map(str::to_owned).collect();
        lines.extend(self.plan.into_iter().flat_map(|plan| packing::describe(plan.meta())));
        lines
    }

    fn epoch_rows(&self) -> u64 {
        self.loader.windows()
    }

    fn rows(&self, first_row: u64, rows: usize) -> Result<Batch> {
        self.loader.rows(first_row, rows)
    }

    fn score(&self, training: &Training) -> Result<Score> {
        let config = &self.job.config.train;
        let (model, weights) = (&training.model, &training.weights);
        evaluate::score(model, weights, self.job.val, self.job.tokenizer, config.batch, config.val_tokens)
    }

    fn samples(&self, training: &Training) -> Result<Vec<(String, String)>> {
        let (job, sample) = (self.job, &self.job.config.sample);
        let ids: Vec<Vec<u32>> =
            sample.prompts.iter().map(|prompt| prompt_ids(job.tokenizer, prompt)).collect();
        let seed = job.config.train.seed;
        let mut randoms: Vec<Random> =
            (0..ids.len()).map(|i| Random::named(seed, &format!("sample/{i}"))).collect();
        let (model, weights) = (&training.model, &training.weights);
        let stop = job.tokenizer.bos();
        let more = generate_batch(model, weights, &ids, sample, stop, &mut randoms, |_, _| ())?;
        let texts = more.iter().map(|ids| job.tokenizer.decode_lossy(ids));
        Ok(sample.prompts.iter().cloned().zip(texts).collect())
    }

    fn bytes_per_token(&self) -> Option<f64> {
        let total =
            |count: fn(&ShardSet) -> u64| self.job.sources.iter().map(|(_, set)| count(set)).sum::<u64>();
        let (bytes, tokens) = (total(ShardSet::n_bytes), total(ShardSet::n_tokens));
        (bytes > 0 && tokens > 0).then(|| bytes as f64 / tokens as f64)
    }
}

/// Runs to the end of `config.train.steps` and returns what `summary.json` holds; `None` if stopped before.
pub fn pretrain(job: &Pretraining<'_>) -> Result<Option<Summary>> {
    alone_or_among(job, None, &mut None)
}

/// As [`pretrain`], as one of several processes. All but the first return `None`, and only read what lies in `job.out`.
pub fn pretrain_among(job: &Pretraining<'_>, rendezvous: Rendezvous) -> Result<Option<Summary>> {
    let mut ranks = None;
    let ended = alone_or_among(job, Some(rendezvous), &mut ranks);
    if let (Err(error), Some(ranks)) = (&ended, &mut ranks) {
        ranks.end(&format!("{error:#}"));
    }
    ended
}

fn alone_or_among(
    job: &Pretraining<'_>,
    rendezvous: Option<Rendezvous>,
    ranks: &mut Option<Ranks>,
) -> Result<Option<Summary>> {
    let RunConfig { model: shape, train: config, .. } = job.config;
    let vocabulary = job.tokenizer.vocab_size();
    ensure!(
        job.val.n_tokens() >= 2,
        "the validation split holds {} tokens, and a loss needs 2: write shards with a larger validation share",
        job.val.n_tokens()
    );
    let the_run = Run {
        config: job.config,
        vocabulary,
        tokenizer_json: job.tokenizer_json,
        data: &job.data,
        out: job.out,
        resume: job.resume,
        device: job.device.clone(),
        place: job.place,
        stop_after: job.stop_after,
    };
    let is_first = rendezvous.as_ref().is_none_or(Rendezvous::is_first);
    let meet = |rendezvous: Rendezvous| {
        rendezvous.meet(&Identity {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config: job.config.clone(),
            vocabulary,
            data: job.data.clone(),
        })
    };
    let mut rendezvous = rendezvous;
    if !is_first {
        *ranks = rendezvous.take().map(meet).transpose()?;
    }
    let found = resumable(&the_run, is_first)?;
    // Only now: the plan of a run that is not this one must stay as it is.
    let plan = match job.sources {
        [] => None,
        sources => {
            let options = PlanOptions {
                packing: config.packing,
                row_length: shape.context as u32,
                seed: config.seed,
                rows_per_step: (config.batch * config.accumulate) as u64,
                steps: config.steps,
            };
            Some(PackPlan::prepare(job.out, sources, &options)?)
        }
    };
    // The others read the plan that lies there now.
    if let Some(rendezvous) = rendezvous {
        *ranks = Some(meet(rendezvous)?);
    }
    let loader = match &plan {
        Some(plan) => Loader::planned(job.train, plan)?,
        None => Loader::new(job.train, shape.context, config.seed)?,
    };
    let unigrams = if is_first {
        evaluate::unigrams(job.train, job.val, vocabulary)?
    } else {
        Unigrams { entropy: f64::NAN, val_loss: f64::NAN } // only the first tells of them
    };
    let windows = Windows { job, loader, plan: plan.as_ref(), unigrams };
    let Some(ended) = run(&the_run, found, &windows, ranks.as_mut())? else { return Ok(None) };
    let Ended { training, score, train_loss, tokens } = ended;
    let mut samples = String::new();
    for (i, (prompt, text)) in windows.samples(&training)?.into_iter().enumerate() {
        samples.push_str(&format!("--- {i}\n{prompt}{}\n", printable(&text)));
    }
    write_whole(&job.out.join("sample.txt"), samples.as_bytes())?;
    let summary = Summary {
        val_loss: score.loss,
        bits_per_byte: score.bits_per_byte,
        val_tokens: score.tokens,
        unigram_entropy: unigrams.entropy,
        unigram_val_loss: unigrams.val_loss,
        steps: config.steps,
        params: training.model.parameter_count() as u64,
        tokens,
        train_loss,
    };
    write_json(&job.out.join("summary.json"), &summary)?;
    Ok(Some(summary))
}

/// Writes a file of indented JSON so that it is either the old or the new one.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut json = serde_json::to_vec_pretty(value)?;
    json.push(b'\n');
    write_whole(path, &json)
}

fn step_metric(step: u64, tokens: u64, report: &StepReport) -> Metric {
    Metric::Step {
        step,
        loss: report.loss,
        learning_rate: report.learning_rate,
        gradient_norm: report.gradient_norm,
        tokens,
    }
}

/// Writes a file so that it is either the old or the new one.
pub fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    let partial = path.with_file_name(name);
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&partial)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    write().with_context(|| format!("cannot write `{}`", path.display()))
}
