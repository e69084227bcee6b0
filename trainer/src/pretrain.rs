//! Pretraining: one loop from a config, shards and a tokenizer to a checkpoint, its score and its samples.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use burn::tensor::Device;
use gristmill_corpus::pack_plan::{MixtureSource, PackPlan, PlanOptions};
use gristmill_corpus::printable::printable;
use gristmill_corpus::shards::ShardSet;
use gristmill_tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};

use crate::checkpoint::{self, Checkpoint, DataIdentity};
use crate::config::RunConfig;
use crate::evaluate::{self, Score};
use crate::generate::{generate, prompt_ids};
use crate::loader::{Loader, TokenSource};
use crate::model::Model;
use crate::optimizer::Place;
use crate::packing;
use crate::progress::Progress;
use crate::random::Random;
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

/// One line of `metrics.jsonl`: of a step, or of a validation after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Metric {
    Step { step: u64, loss: f64, learning_rate: f64, gradient_norm: f64, tokens: u64 },
    Val { step: u64, val_loss: f64, bits_per_byte: f64 },
}

impl Metric {
    fn step(&self) -> u64 {
        match self {
            Self::Step { step, .. } | Self::Val { step, .. } => *step,
        }
    }
}

/// Runs to the end of `config.train.steps` and returns what `summary.json` holds; `None` if stopped before.
pub fn pretrain(job: &Pretraining<'_>) -> Result<Option<Summary>> {
    let RunConfig { model: shape, train: config, sample, .. } = job.config;
    let vocabulary = job.tokenizer.vocab_size();
    let rows_per_step = (config.batch * config.accumulate) as u64;
    ensure!(
        job.val.n_tokens() >= 2,
        "the validation split holds {} tokens, and a loss needs 2: write shards with a larger validation share",
        job.val.n_tokens()
    );
    fs::create_dir_all(job.out).with_context(|| format!("cannot create `{}`", job.out.display()))?;
    let checkpoint_path = job.out.join("checkpoint");
    let found = checkpoint::latest(&checkpoint_path);
    ensure!(
        job.resume || found.is_none(),
        "`{}` already holds a checkpoint\nhint: --resume goes on from it; another --out starts afresh",
        job.out.display()
    );
    let mut training = match found {
        Some(path) => {
            let checkpoint = Checkpoint::open(&path)?;
            checkpoint.ensure_same_run(job.config, vocabulary, &job.data)?;
            checkpoint.training(job.device.clone(), job.place)?
        }
        None => Training::new(Model::new(shape, vocabulary), config, job.device.clone(), job.place),
    };
    // Only now: the plan of a run that is not this one must stay as it is.
    let plan = match job.sources {
        [] => None,
        sources => {
            let options = PlanOptions {
                packing: config.packing,
                row_length: shape.context as u32,
                seed: config.seed,
                rows_per_step,
                steps: config.steps,
            };
            Some(PackPlan::prepare(job.out, sources, &options)?)
        }
    };
    let loader = match &plan {
        Some(plan) => Loader::planned(job.train, plan)?,
        None => Loader::new(job.train, shape.context, config.seed)?,
    };
    let first_step = training.step;
    let (mut metrics, earlier) = Metrics::open(job.out.join("metrics.jsonl"), first_step)?;
    let mut last_loss = earlier.iter().rev().find_map(|metric| match metric {
        Metric::Step { loss, .. } => Some(*loss),
        Metric::Val { .. } => None,
    });

    let unigrams = evaluate::unigrams(job.train, job.val, vocabulary)?;
    let tokens_per_step = rows_per_step * shape.context as u64;
    let progress = Progress::new(config.steps, first_step);
    progress.line(&format!(
        "{} parameters; {} train tokens, {} validation tokens; {tokens_per_step} tokens a step, {:.2} epochs in {} \
         steps; unigram entropy {:.4} nats/token{}",
        training.model.parameter_count(),
        job.train.n_tokens(),
        job.val.n_tokens(),
        (config.steps * rows_per_step) as f64 / loader.windows() as f64,
        config.steps,
        unigrams.entropy,
        if first_step > 0 { format!("; resumed after step {first_step}") } else { String::new() },
    ));

    for line in plan.iter().flat_map(|plan| packing::describe(plan.meta())) {
        progress.line(&line);
    }

    let mut last_score = None;
    while training.step < config.steps {
        if job.stop_after == Some(training.step) {
            return Ok(None);
        }
        let begun = Instant::now();
        let first_row = training.step * rows_per_step;
        let batches = (0..config.accumulate)
            .map(|i| loader.rows(first_row + (i * config.batch) as u64, config.batch))
            .collect::<Result<Vec<_>>>()?;
        let report = training.advance(config, &batches)?;
        let step = training.step;
        last_loss = Some(report.loss);
        metrics.write(&step_metric(step, tokens_per_step, &report))?;
        progress.step(step, &report, begun.elapsed());

        let last = step == config.steps;
        if last || (config.eval_every > 0 && step.is_multiple_of(config.eval_every)) {
            let score = score(job, &training)?;
            metrics.write(&Metric::Val { step, val_loss: score.loss, bits_per_byte: score.bits_per_byte })?;
            progress.line(&format!(
                "step {step}: validation loss {:.4} nats/token, {:.4} bits/byte",
                score.loss, score.bits_per_byte
            ));
            last_score = Some(score);
        }
        if last || (config.checkpoint_every > 0 && step.is_multiple_of(config.checkpoint_every)) {
            // Metrics first: a checkpoint vouches for every line up to its step.
            metrics.sync()?;
            checkpoint::save(&checkpoint_path, &training, job.config, &job.data, job.tokenizer_json)?;
        }
    }
    progress.finish();

    // A run that was killed after its last checkpoint has its score in metrics.jsonl already.
    let score = match last_score {
        Some(score) => score,
        None => score(job, &training)?,
    };
    let mut samples = String::new();
    for (i, prompt) in sample.prompts.iter().enumerate() {
        let mut random = Random::named(config.seed, &format!("sample/{i}"));
        let ids = prompt_ids(job.tokenizer, prompt);
        let stop = job.tokenizer.bos();
        let more = generate(&training.model, &training.weights, &ids, sample, stop, &mut random, |_| ())?;
        samples.push_str(&format!("--- {i}\n{prompt}{}\n", printable(&job.tokenizer.decode_lossy(&more))));
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
        tokens: config.steps * tokens_per_step,
        train_loss: last_loss.unwrap_or(f64::NAN),
    };
    let mut json = serde_json::to_vec_pretty(&summary)?;
    json.push(b'\n');
    write_whole(&job.out.join("summary.json"), &json)?;
    Ok(Some(summary))
}

fn step_metric(step: u64, tokens_per_step: u64, report: &StepReport) -> Metric {
    Metric::Step {
        step,
        loss: report.loss,
        learning_rate: report.learning_rate,
        gradient_norm: report.gradient_norm,
        tokens: step * tokens_per_step,
    }
}

fn score(job: &Pretraining<'_>, training: &Training) -> Result<Score> {
    let config = &job.config.train;
    let (model, weights) = (&training.model, &training.weights);
    evaluate::score(model, weights, job.val, job.tokenizer, config.batch, config.val_tokens)
}

/// `metrics.jsonl`, cut back to a checkpoint's step when a run goes on.
struct Metrics {
    file: File,
    path: PathBuf,
}

impl Metrics {
    fn open(path: PathBuf, step: u64) -> Result<(Self, Vec<Metric>)> {
        let mut kept = Vec::new();
        if step > 0 {
            let file = File::open(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
            for line in BufReader::new(file).lines() {
                // A kill may leave half a line at the end, after the last checkpoint's.
                let Ok(metric) = serde_json::from_str::<Metric>(&line?) else { break };
                if metric.step() <= step {
                    kept.push(metric);
                }
            }
        }
        let mut content = Vec::new();
        for metric in &kept {
            serde_json::to_writer(&mut content, metric)?;
            content.push(b'\n');
        }
        write_whole(&path, &content)?;
        let file = OpenOptions::new()
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok((Self { file, path }, kept))
    }

    fn write(&mut self, metric: &Metric) -> Result<()> {
        let mut line = serde_json::to_vec(metric)?;
        line.push(b'\n');
        self.file.write_all(&line).with_context(|| format!("cannot write `{}`", self.path.display()))
    }

    fn sync(&mut self) -> Result<()> {
        self.file.sync_all().with_context(|| format!("cannot write `{}`", self.path.display()))
    }
}

/// Writes a file so that it is either the old or the new one.
fn write_whole(path: &Path, content: &[u8]) -> Result<()> {
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
