//! Fine-tuning: a base checkpoint and conversations to a chat checkpoint, by the same loop as pretraining.
//!
//! The loss is on what the assistant writes, divided by the number of those tokens in a step's window. The
//! moments start anew; weights, template and the base's checksum are in the checkpoint, so that it alone can
//! chat, and so that a resume over another base is refused.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use burn::tensor::Device;
use gristmill_corpus::printable::printable;
use gristmill_tokenizer::Tokenizer;
use gristmill_tokenizer::conversation::{Message, Role};
use serde::{Deserialize, Serialize};

use crate::chat::{self, ChatModel, End, Validity};
use crate::checkpoint::{Checkpoint, DataIdentity};
use crate::config::{FineTuneConfig, RunConfig, SftConfig};
use crate::conversations::Splits;
use crate::evaluate::{Score, score_batches};
use crate::loader::Batch;
use crate::lora::Adapters;
use crate::model::{Model, Weights};
use crate::optimizer::{Optimizer, Place};
use crate::pretrain::{Ended, Lessons, Run, resumable, run, write_json, write_whole};
use crate::random::Random;
use crate::step::Training;

/// Everything that a run reads, and where it writes.
pub struct FineTuning<'a> {
    /// How to train.
    pub config: &'a FineTuneConfig,
    /// What to begin with.
    pub base: &'a Checkpoint,
    /// What to learn from.
    pub conversations: &'a Splits,
    /// Directory for `checkpoint/`, `metrics.jsonl`, `summary.json` and `sample.txt`.
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
    /// Mean loss on what the assistant writes in held-out conversations, in nats a token.
    pub val_loss: f64,
    /// The same of the base model.
    pub base_val_loss: f64,
    /// The same in bits over the raw bytes.
    pub bits_per_byte: f64,
    /// Validation targets scored.
    pub val_tokens: u64,
    /// Conversations to learn from.
    pub conversations: u64,
    /// Conversations held out.
    pub val_conversations: u64,
    /// Of both, those read only up to the context's length.
    pub cut: u64,
    /// Of both, those left out because nothing to learn lies within the context.
    pub left_out: u64,
    /// Form of the answers to held-out questions.
    pub format: Validity,
    /// Optimiser steps.
    pub steps: u64,
    /// Values of the model.
    pub params: u64,
    /// Training targets read: tokens that an assistant wrote.
    pub tokens: u64,
    /// Loss of the last training step.
    pub train_loss: f64,
}

/// At most so many held-out questions are asked when a run ends.
const ASKED: usize = 200;

struct Answers<'a> {
    job: &'a FineTuning<'a>,
    config: &'a RunConfig,
    tokenizer: &'a Tokenizer,
}

impl Answers<'_> {
    fn held_out(&self, model: &Model, weights: &Weights) -> Result<Score> {
        let batches = self.job.conversations.val.in_order(self.config.train.batch);
        score_batches(model, weights, self.tokenizer, batches)
    }
}

impl Lessons for Answers<'_> {
    fn start(&self) -> Result<Training> {
        let FineTuning { base, device, place, .. } = self.job;
        let (model, weights) = base.model(device)?;
        let mut training = Training::new(model, &self.config.train, device.clone(), *place);
        training.weights = weights;
        if let Some(lora) = &self.job.config.lora {
            // The weights themselves are not learnt: they need no moments.
            training.optimizer = Optimizer::new(&self.config.train, &[], device);
            let Training { model, weights, .. } = &training;
            training.adapters = Some(Adapters::new(model, weights, lora, &self.config.train, device)?);
        }
        Ok(training)
    }

    fn details(&self) -> Vec<String> {
        let Splits { train, val, .. } = self.job.conversations;
        let (n_cut, n_left_out) = (train.n_cut + val.n_cut, train.n_left_out + val.n_left_out);
        let line = || {
            format!(
                "{n_cut} conversations are longer than a row and cut off there, {n_left_out} of them left out, with nothing \
                 to learn before"
            )
        };
        (n_cut > 0).then(line).into_iter().collect()
    }

    fn about(&self) -> String {
        let Splits { train, val, .. } = self.job.conversations;
        let lora = self.job.config.lora.as_ref().map_or(String::new(), |lora| {
            format!("adapters of rank {} and alpha {}; ", lora.rank, lora.alpha)
        });
        lora + &format!(
            "{} conversations in {} rows of {} tokens ({:.1} % padding), {} held out",
            train.len(),
            train.n_rows(),
            self.config.model.context,
            train.padding_share() * 100.0,
            val.len()
        )
    }

    fn epoch_rows(&self) -> u64 {
        self.job.conversations.train.n_rows()
    }

    fn rows(&self, first_row: u64, rows: usize) -> Result<Batch> {
        self.job.conversations.train.batch(first_row, rows, self.config.train.seed)
    }

    fn score(&self, training: &Training) -> Result<Score> {
        self.held_out(&training.model, &training.weights)
    }
}

/// Runs to the end of `config.train.steps` and returns what `summary.json` holds; `None` if stopped before.
pub fn sft(job: &FineTuning<'_>) -> Result<Option<Summary>> {
    let base = &job.base.state;
    ensure!(
        base.config.sft.is_none(),
        "the base is a chat model already\nhint: begin with the base model that it was made of, and with all conversations"
    );
    let Splits { train, val, template, fingerprint } = job.conversations;
    let config = RunConfig {
        model: base.config.model.clone(),
        train: job.config.train.clone(),
        sample: job.config.sample.clone(),
        mixture: Vec::new(),
        sft: Some(SftConfig {
            base: job.base.weights_checksum(),
            template: template.clone(),
            lora: job.config.lora.clone(),
        }),
    };
    let tokenizer = job.base.tokenizer()?;
    let format = template.for_tokenizer(&tokenizer)?;
    let tokenizer_json = job.base.tokenizer_json()?.context("the base model has no tokenizer.json")?;
    let the_run = Run {
        config: &config,
        vocabulary: base.vocabulary,
        tokenizer_json: &tokenizer_json,
        data: &DataIdentity { tokenizer: tokenizer.hash(), shards: fingerprint.clone() },
        out: job.out,
        resume: job.resume,
        device: job.device.clone(),
        place: job.place,
        stop_after: job.stop_after,
    };
    let answers = Answers { job, config: &config, tokenizer: &tokenizer };
    let Some(ended) = run(&the_run, resumable(&the_run, true)?, &answers, None)? else { return Ok(None) };
    let (base_model, base_weights) = job.base.model(&job.device)?;
    let base_val_loss = answers.held_out(&base_model, &base_weights)?.loss;
    let Ended { training, score, train_loss, tokens } = ended;

    let chat =
        ChatModel { model: &training.model, weights: &training.weights, tokenizer: &tokenizer, format };
    let mut samples = String::new();
    for (i, question) in config.sample.prompts.iter().filter(|question| !question.is_empty()).enumerate() {
        let mut random = Random::named(config.train.seed, &format!("sample/{i}"));
        let prompt = chat
            .prompt(&[Message::new(Role::User, question)], config.sample.tokens)
            .with_context(|| format!("sample.prompts: `{question}`"))?;
        let answer = chat.answer(&prompt, &config.sample, &mut random, |_| ())?;
        let text = printable(&tokenizer.decode_lossy(&answer.ids));
        let ending = if answer.end == End::Turn { "" } else { " […]" };
        samples.push_str(&format!("--- {i}\n{question}\n> {text}{ending}\n"));
    }
    write_whole(&job.out.join("sample.txt"), samples.as_bytes())?;
    let summary = Summary {
        val_loss: score.loss,
        base_val_loss,
        bits_per_byte: score.bits_per_byte,
        val_tokens: score.tokens,
        conversations: train.len() as u64,
        val_conversations: val.len() as u64,
        cut: train.n_cut + val.n_cut,
        left_out: train.n_left_out + val.n_left_out,
        format: chat::validity(&chat, val, &config.sample, config.train.seed, ASKED)?,
        steps: config.train.steps,
        params: training.model.parameter_count() as u64,
        tokens,
        train_loss,
    };
    write_json(&job.out.join("summary.json"), &summary)?;
    Ok(Some(summary))
}
