//! What a training run is asked to do: the TOML file, its defaults, its overrides and its mistakes.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use gristmill_corpus::pack_plan::{MixtureSource, Packing};
use gristmill_tokenizer::conversation::Template;
use serde::{Deserialize, Serialize};

use crate::{depth, muon};

/// One training run, as written in a TOML file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Shape of the network.
    pub model: ModelConfig,
    /// Length, batch, optimiser and schedule.
    #[serde(default)]
    pub train: TrainConfig,
    /// What the finished model writes into `sample.txt`.
    #[serde(default)]
    pub sample: SampleConfig,
    /// Sources of the training data, each a folder of shards that `--shards NAME=DIR` gives: `name`, `weight` (its share of
    /// the rows is this over the sum of all; 1 unless said) and `max_epochs` (it is read at most so often; what it cannot
    /// give, the others do). Empty: the one folder that `--shards` names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mixture: Vec<MixtureSource>,
    /// What makes a chat model of it; absent where the model is a base model. `gristmill-train sft` fills it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sft: Option<SftConfig>,
}

/// What a chat model was made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SftConfig {
    /// Checksum of the base model's weights.
    pub base: String,
    /// How conversations are written.
    pub template: Template,
    /// The adapters through which it was learnt; absent where all values were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraConfig>,
}

/// Low-rank adapters: what is learnt instead of the matrices themselves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoraConfig {
    /// Columns of A and rows of B.
    pub rank: usize,
    /// What A B is multiplied by, times the rank; twice the rank is usual.
    pub alpha: f64,
    /// Words in the names of the matrices that are adapted, such as `q_proj`; empty takes all inside the blocks.
    pub matrices: Vec<String>,
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self { rank: 8, alpha: 16.0, matrices: Vec::new() }
    }
}

/// A fine-tuning run, as written in a TOML file: the model's shape comes from its base.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FineTuneConfig {
    /// Length, batch, optimiser and schedule.
    pub train: TrainConfig,
    /// Questions that the finished model answers in `sample.txt`.
    pub sample: SampleConfig,
    /// Learn through low-rank adapters, merged into the checkpoint's weights; without the table all values are learnt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraConfig>,
}

impl FineTuneConfig {
    /// Reads `path`, applies `key=value` overrides (`train.steps=100`) and checks every value.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the training config `{}`", path.display()))?;
        Self::parse(&text, overrides).with_context(|| format!("in `{}`", path.display()))
    }

    /// As [`FineTuneConfig::load`], from text.
    pub fn parse(text: &str, overrides: &[String]) -> Result<Self> {
        let config: Self = read(text, overrides)?;
        config.train.check()?;
        config.sample.check()?;
        if let Some(lora) = &config.lora {
            ensure!(
                config.train.optimizer == OptimizerKind::AdamW,
                "train.optimizer = \"muon\": adapters are learnt by adamw; leave it out, or leave [lora] out"
            );
            ensure!(
                (1..=1 << 16).contains(&lora.rank),
                "lora.rank = {}: must be 1 to {}; 8 is usual",
                lora.rank,
                1 << 16
            );
            ensure!(
                lora.alpha > 0.0 && lora.alpha.is_finite(),
                "lora.alpha = {}: must be positive; twice the rank is usual",
                lora.alpha
            );
        }
        Ok(config)
    }
}

/// Family of the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    /// Learned positions, LayerNorm, GELU, biases, tied embeddings (Radford et al. 2019).
    Gpt2,
    /// Rotary positions, RMSNorm, SwiGLU, grouped queries, no biases (Grattafiori et al. 2024).
    Llama3,
}

/// What an MLP computes between its matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// x Φ(x), or what `gelu` says.
    Gelu,
    /// The square of max(x, 0) (So et al. 2021), as nanochat.
    Relu2,
    /// SiLU of one matrix times another (Shazeer 2020): three matrices instead of two.
    #[serde(rename = "swiglu")]
    SwiGlu,
}

impl std::fmt::Display for Activation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gelu => "gelu",
            Self::Relu2 => "relu2",
            Self::SwiGlu => "swiglu",
        })
    }
}

/// Which GELU is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gelu {
    /// x Φ(x), as nanoGPT and `activation_function = "gelu"` in Hugging Face's config.
    #[default]
    Erf,
    /// The tanh approximation that OpenAI's GPT-2 weights were trained with (`gelu_new`).
    Tanh,
}

/// Shape of the network. The vocabulary comes from the tokenizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// `gpt2` or `llama3`.
    pub kind: ModelKind,
    /// Transformer blocks. Instead of this, `width`, `heads` and the lengths of a run, `depth = N` alone derives them
    /// all: see [`crate::depth`].
    pub layers: usize,
    /// Query heads; must divide `width`.
    pub heads: usize,
    /// Key and value heads, `llama3` only; must divide `heads`. Default: as many as `heads`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kv_heads: Option<usize>,
    /// Width of the residual stream.
    pub width: usize,
    /// Longest sequence, in tokens.
    pub context: usize,
    /// Width inside the MLP. Default: 4 x width; for `swiglu` 8/3 x width rounded up to a multiple of 32, which costs the
    /// same, because it has three matrices instead of two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mlp_width: Option<usize>,
    /// What the MLP computes between its matrices: `gelu`, `relu2` or `swiglu`. Default: `gelu` for `gpt2`, `swiglu` for
    /// `llama3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation: Option<Activation>,
    /// Divides every query and key, after its rotation, by its root mean square, without weights (Henry et al. 2020), as
    /// nanochat: scores cannot grow beyond the square root of a head's width.
    #[serde(default)]
    pub qk_norm: bool,
    /// Bends the logits z into softcap · tanh(z / softcap), so that none leaves ±softcap (Gemma 2; nanochat takes 15).
    /// Default: not bent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub softcap: Option<f64>,
    /// One matrix for both the embedding and the output. Default: true for `gpt2`, false for `llama3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tied: Option<bool>,
    /// Which GELU, where `activation` is one.
    #[serde(default)]
    pub gelu: Gelu,
    /// Base of the rotary frequencies, `llama3` only. Llama 3 uses 500,000 for its 8,192 tokens.
    #[serde(default = "default_rope_theta")]
    pub rope_theta: f64,
    /// Added to the variance inside a norm.
    #[serde(default = "default_norm_epsilon")]
    pub norm_epsilon: f64,
    /// Slower rotary positions for sequences longer than those first trained on, `llama3` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rope_scaling: Option<RopeScaling>,
}

/// How Llama 3.1 stretches its rotary positions: waves longer than the original context turn `factor` times slower, short
/// ones as before, those between by a weighted mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RopeScaling {
    /// By how much long waves are slowed down.
    pub factor: f64,
    /// Waves longer than `original_context` over this are long.
    pub low_frequency_factor: f64,
    /// Waves shorter than `original_context` over this are short.
    pub high_frequency_factor: f64,
    /// Longest sequence before the stretching.
    pub original_context: usize,
}

fn default_rope_theta() -> f64 {
    500_000.0
}

fn default_norm_epsilon() -> f64 {
    1e-5
}

impl ModelConfig {
    /// Key and value heads, with the default filled in.
    pub fn kv_heads(&self) -> usize {
        self.kv_heads.unwrap_or(self.heads)
    }

    /// Width of one head.
    pub fn head_width(&self) -> usize {
        self.width / self.heads
    }

    /// Width inside the MLP, with the default filled in.
    pub fn mlp_width(&self) -> usize {
        self.mlp_width.unwrap_or(match self.activation() {
            Activation::Gelu | Activation::Relu2 => 4 * self.width,
            Activation::SwiGlu => (8 * self.width).div_ceil(3).next_multiple_of(32),
        })
    }

    /// What the MLP computes between its matrices, with the default filled in.
    pub fn activation(&self) -> Activation {
        self.activation.unwrap_or(match self.kind {
            ModelKind::Gpt2 => Activation::Gelu,
            ModelKind::Llama3 => Activation::SwiGlu,
        })
    }

    /// Whether the output matrix is the embedding, with the default filled in.
    pub fn tied(&self) -> bool {
        self.tied.unwrap_or(self.kind == ModelKind::Gpt2)
    }

    /// The same shape with every default written out, so that two ways to write one model compare equal.
    #[must_use]
    pub fn resolved(&self) -> Self {
        Self {
            kv_heads: Some(self.kv_heads()),
            mlp_width: Some(self.mlp_width()),
            activation: Some(self.activation()),
            tied: Some(self.tied()),
            ..self.clone()
        }
    }

    fn check(&self) -> Result<()> {
        for (name, value) in [
            ("layers", self.layers),
            ("heads", self.heads),
            ("width", self.width),
            ("context", self.context),
            ("kv_heads", self.kv_heads()),
            ("mlp_width", self.mlp_width()),
        ] {
            // 2^24 is far above any real model and keeps every product of two sizes within 64 bits.
            ensure!((1..=1 << 24).contains(&value), "model.{name} = {value}: must be 1 to {}", 1 << 24);
        }
        ensure!(
            self.width.is_multiple_of(self.heads),
            "model.width = {} is not a multiple of model.heads = {}: each head gets width / heads columns",
            self.width,
            self.heads
        );
        match self.kind {
            ModelKind::Gpt2 => {
                ensure!(
                    self.kv_heads() == self.heads,
                    "model.kv_heads = {}: gpt2 has no grouped queries; leave it out or use kind = \"llama3\"",
                    self.kv_heads()
                );
            }
            ModelKind::Llama3 => {
                ensure!(
                    self.heads.is_multiple_of(self.kv_heads()),
                    "model.kv_heads = {} does not divide model.heads = {}",
                    self.kv_heads(),
                    self.heads
                );
                ensure!(
                    self.head_width().is_multiple_of(2),
                    "model.width / model.heads = {}: rotary positions turn pairs, so it must be even",
                    self.head_width()
                );
                ensure!(
                    self.rope_theta > 1.0 && self.rope_theta.is_finite(),
                    "model.rope_theta = {}: must be above 1",
                    self.rope_theta
                );
                if let Some(scaling) = &self.rope_scaling {
                    let (low, high) = (scaling.low_frequency_factor, scaling.high_frequency_factor);
                    ensure!(
                        scaling.factor >= 1.0
                            && scaling.factor.is_finite()
                            && 0.0 < low
                            && low < high
                            && high.is_finite(),
                        "model.rope_scaling: factor = {} must be at least 1, and 0 < low_frequency_factor = {low} < \
                         high_frequency_factor = {high}",
                        scaling.factor
                    );
                    ensure!(
                        (1..=1 << 24).contains(&scaling.original_context),
                        "model.rope_scaling.original_context = {}: must be 1 to {}",
                        scaling.original_context,
                        1 << 24
                    );
                }
            }
        }
        ensure!(
            self.rope_scaling.is_none() || self.kind == ModelKind::Llama3,
            "model.rope_scaling: gpt2 has learned positions; leave it out or use kind = \"llama3\""
        );
        if let Some(cap) = self.softcap {
            ensure!(
                cap > 0.0 && cap.is_finite(),
                "model.softcap = {cap}: must be positive, 15 to 30 is usual; leave it out for plain logits"
            );
        }
        ensure!(
            self.norm_epsilon > 0.0 && self.norm_epsilon < 1.0,
            "model.norm_epsilon = {}: must lie between 0 and 1; 1e-5 is usual",
            self.norm_epsilon
        );
        Ok(())
    }
}

/// How the learning rate falls after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Half a cosine over all remaining steps (Loshchilov and Hutter 2017).
    #[default]
    Cosine,
    /// Warm-up, stable, decay: constant, then linear over the last `cooldown` (Hu et al. 2024). A longer run shares its
    /// stable part with a shorter one.
    Wsd,
}

/// What turns a gradient into a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerKind {
    /// AdamW for all values (Loshchilov and Hutter 2019).
    #[default]
    AdamW,
    /// Muon for the matrices inside the blocks (see [`crate::muon`]), AdamW for all else.
    Muon,
}

/// In which numbers matrices are multiplied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision throughout.
    #[default]
    F32,
    /// What a matrix product reads is rounded to bf16; sums, norms, softmax, loss, weights, gradients of weights and moments
    /// are f32.
    Bf16,
}

/// Values that share a learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Embeddings of tokens (also where they are the output matrix) and positions.
    Embedding,
    /// Matrices inside the blocks.
    Matrix,
    /// The output matrix, where it is not the embedding.
    Head,
    /// Norms and biases.
    Scalar,
}

/// Highest learning rates of groups of values, where they are not `learning_rate`. All follow the same schedule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LearningRates {
    /// Of the embeddings of tokens (also where they are the output matrix) and positions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding: Option<f64>,
    /// Of the matrices inside the blocks. Default under `muon`: 0.02.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matrices: Option<f64>,
    /// Of the output matrix, where it is not the embedding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<f64>,
    /// Of norms and biases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scalars: Option<f64>,
}

/// Length, batch, optimiser and schedule of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Optimiser steps.
    pub steps: u64,
    /// Smaller and fewer steps than `accumulate` and `steps` say where the training tokens would be read more often than this;
    /// absent, they are read as often as it takes. Text that is read four times teaches nearly as much as fresh text, and sixteen times half of that
    /// (Muennighoff et al. 2023).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_epochs: Option<f64>,
    /// Sequences in one forward pass.
    pub batch: usize,
    /// `best_fit`: a document that fits into a row of `model.context` tokens is never cut, and documents in one row do not
    /// see each other. `stream`: documents one behind the other, cut wherever a row is full.
    pub packing: Packing,
    /// Forward passes that share one optimiser step; their gradient is divided by the tokens of all of them.
    pub accumulate: usize,
    /// `adamw`, or `muon`: Muon for the matrices inside the blocks, AdamW for all else.
    pub optimizer: OptimizerKind,
    /// Muon's decay of the mean of gradients.
    pub muon_momentum: f64,
    /// `f32`, or `bf16`: what matrix products read is rounded to bf16, weights and moments stay f32.
    pub precision: Precision,
    /// Keep only the input of every block for the backward pass, which computes the rest again: less memory, a third more
    /// arithmetic, the same bits (on a GPU, up to rounding).
    pub checkpoint_activations: bool,
    /// Highest learning rate, reached after the warm-up; `train.rates` has others by group.
    pub learning_rate: f64,
    /// The schedule ends at this share of `learning_rate`.
    pub min_learning_rate_ratio: f64,
    /// `cosine` or `wsd`.
    pub schedule: Schedule,
    /// Share of the steps, at the end, over which `wsd` lets the learning rate fall.
    pub cooldown: f64,
    /// Steps over which the learning rate rises linearly from 0.
    pub warmup: u64,
    /// Decoupled weight decay, on matrices only: not on norms, biases, embeddings or positions. A step takes this times the
    /// scheduled `learning_rate` away, whatever the group's own rate.
    pub weight_decay: f64,
    /// AdamW's decay of the mean of gradients.
    pub beta1: f64,
    /// AdamW's decay of the mean of squared gradients.
    pub beta2: f64,
    /// AdamW's term against division by zero.
    pub epsilon: f64,
    /// The gradient's global norm is scaled down to this; 0 switches clipping off.
    pub grad_clip: f64,
    /// Seeds the weights, the order of the data and the samples.
    pub seed: u64,
    /// Steps between two validations; 0 validates at the end only.
    pub eval_every: u64,
    /// Steps between two checkpoints; 0 writes one at the end only.
    pub checkpoint_every: u64,
    /// At most so many tokens of the validation split are scored; 0 scores all of it.
    pub val_tokens: u64,
    /// Steps between two lines on a standard error that is no terminal; 0 writes twenty in a run.
    pub log_every: u64,
    /// Highest speed of the hardware in TFLOP/s, of which the share that training uses (MFU) is shown: tokens computed a second
    /// times the model's operations a token, over this. Default: on the CPU that of a large matrix product, measured when the
    /// run begins; elsewhere none, and no share is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_tflops: Option<f64>,
    /// Highest learning rates by group: `embedding`, `matrices`, `head`, `scalars`. Default: `learning_rate`, and 0.02 for
    /// `matrices` under `muon`.
    #[serde(skip_serializing_if = "is_default")]
    pub rates: LearningRates,
}

fn is_default(rates: &LearningRates) -> bool {
    *rates == LearningRates::default()
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            steps: 1_000,
            max_epochs: None,
            batch: 8,
            packing: Packing::BestFit,
            accumulate: 1,
            optimizer: OptimizerKind::AdamW,
            muon_momentum: 0.95,
            precision: Precision::F32,
            checkpoint_activations: false,
            learning_rate: 6e-4,
            min_learning_rate_ratio: 0.1,
            schedule: Schedule::Cosine,
            cooldown: 0.2,
            warmup: 50,
            weight_decay: 0.1,
            beta1: 0.9,
            beta2: 0.95,
            epsilon: 1e-8,
            grad_clip: 1.0,
            seed: 1,
            eval_every: 250,
            checkpoint_every: 250,
            val_tokens: 0,
            log_every: 0,
            peak_tflops: None,
            rates: LearningRates::default(),
        }
    }
}

impl RunConfig {
    /// The same run over `n_tokens` training tokens, no longer than `train.max_epochs` allows: its steps become smaller first
    /// (`train.accumulate`), and then fewer. Of the same tokens, many small steps teach a small model more than few large ones.
    #[must_use]
    pub fn within_epochs(mut self, n_tokens: u64) -> Self {
        let train = &mut self.train;
        let pass_tokens = (train.batch * self.model.context) as f64;
        let wanted = pass_tokens * train.accumulate as f64 * train.steps as f64;
        let most = train.max_epochs.map_or(f64::INFINITY, |max_epochs| max_epochs * n_tokens as f64);
        if most < wanted {
            train.accumulate = (train.accumulate as f64 * most / wanted).round().max(1.0) as usize;
            let steps = (most / (pass_tokens * train.accumulate as f64)).ceil().max(1.0);
            train.steps = train.steps.min(steps as u64);
        }
        self
    }
}

impl TrainConfig {
    /// Highest learning rate of a group, with its default filled in.
    pub fn rate(&self, group: Group) -> f64 {
        let own = match group {
            Group::Embedding => self.rates.embedding,
            Group::Matrix => self.rates.matrices,
            Group::Head => self.rates.head,
            Group::Scalar => self.rates.scalars,
        };
        own.unwrap_or(match (self.optimizer, group) {
            (OptimizerKind::Muon, Group::Matrix) => muon::RATE,
            _ => self.learning_rate,
        })
    }

    fn check(&self) -> Result<()> {
        ensure!(self.steps >= 1, "train.steps = 0: nothing to do; it must be at least 1");
        if let Some(max_epochs) = self.max_epochs {
            ensure!(
                max_epochs > 0.0 && max_epochs.is_finite(),
                "train.max_epochs = {max_epochs}: must be above 0; leave it out for no bound"
            );
        }
        ensure!(
            (1..=1 << 20).contains(&self.batch),
            "train.batch = {}: must be 1 to {}",
            self.batch,
            1 << 20
        );
        ensure!(
            (1..=1 << 20).contains(&self.accumulate),
            "train.accumulate = {}: must be 1 to {}",
            self.accumulate,
            1 << 20
        );
        ensure!(
            self.learning_rate > 0.0 && self.learning_rate < 10.0,
            "train.learning_rate = {}: must lie between 0 and 10; 6e-4 suits small models",
            self.learning_rate
        );
        for (name, value) in [
            ("min_learning_rate_ratio", self.min_learning_rate_ratio),
            ("cooldown", self.cooldown),
            ("weight_decay", self.weight_decay),
        ] {
            ensure!((0.0..=1.0).contains(&value), "train.{name} = {value}: must lie between 0 and 1");
        }
        let LearningRates { embedding, matrices, head, scalars } = self.rates;
        let rates = [("embedding", embedding), ("matrices", matrices), ("head", head), ("scalars", scalars)];
        for (name, rate) in rates {
            ensure!(
                rate.is_none_or(|rate| rate > 0.0 && rate < 10.0),
                "train.rates.{name} = {}: must lie between 0 and 10",
                rate.unwrap_or_default()
            );
        }
        let betas = [("muon_momentum", self.muon_momentum), ("beta1", self.beta1), ("beta2", self.beta2)];
        for (name, value) in betas {
            ensure!((0.0..1.0).contains(&value), "train.{name} = {value}: must be at least 0 and below 1");
        }
        ensure!(
            self.epsilon > 0.0 && self.epsilon < 1.0,
            "train.epsilon = {}: must lie between 0 and 1; 1e-8 is usual",
            self.epsilon
        );
        ensure!(
            self.grad_clip >= 0.0 && self.grad_clip.is_finite(),
            "train.grad_clip = {}: must be 0 (off) or positive; 1.0 is usual",
            self.grad_clip
        );
        ensure!(
            self.peak_tflops.is_none_or(|peak| peak > 0.0 && peak.is_finite()),
            "train.peak_tflops = {}: must be positive; makers' data sheets give it",
            self.peak_tflops.unwrap_or_default()
        );
        ensure!(
            i64::try_from(self.seed).is_ok(),
            "train.seed = {}: must fit a signed 64-bit number, as all of TOML's do",
            self.seed
        );
        Ok(())
    }
}

/// What the finished model writes, and how it chooses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SampleConfig {
    /// Each is continued once; an empty one starts a new document.
    pub prompts: Vec<String>,
    /// Steps between two times that a base model in training continues each prompt, shown and kept in metrics.jsonl; 0 leaves it
    /// to the end.
    pub every: u64,
    /// Tokens to write after each prompt.
    pub tokens: usize,
    /// 0 always takes the likeliest token; 1 samples as predicted.
    pub temperature: f64,
    /// Only the so many likeliest tokens stay in; 0 keeps all.
    pub top_k: usize,
    /// Only the likeliest tokens that together reach this probability stay in; 1 keeps all.
    pub top_p: f64,
    /// Only tokens at least this share as likely as the likeliest stay in; 0 keeps all.
    pub min_p: f64,
    /// Above 1, tokens that the text holds already become less likely; 1 changes nothing.
    pub repetition_penalty: f64,
}

impl Default for SampleConfig {
    fn default() -> Self {
        Self {
            prompts: vec![String::new()],
            every: 0,
            tokens: 64,
            temperature: 0.8,
            top_k: 0,
            top_p: 0.95,
            min_p: 0.0,
            repetition_penalty: 1.0,
        }
    }
}

impl SampleConfig {
    /// Errors where a value makes no sense.
    pub fn check(&self) -> Result<()> {
        ensure!(
            self.temperature >= 0.0 && self.temperature <= 100.0,
            "sample.temperature = {}: must lie between 0 and 100; 0.8 is usual",
            self.temperature
        );
        ensure!(
            self.top_p > 0.0 && self.top_p <= 1.0,
            "sample.top_p = {}: must be above 0 and at most 1 (which keeps all)",
            self.top_p
        );
        ensure!(
            (0.0..=1.0).contains(&self.min_p),
            "sample.min_p = {}: must lie between 0 (which keeps all) and 1",
            self.min_p
        );
        ensure!(
            self.repetition_penalty > 0.0 && self.repetition_penalty <= 100.0,
            "sample.repetition_penalty = {}: must be above 0 and at most 100; 1 changes nothing, 1.1 is usual",
            self.repetition_penalty
        );
        ensure!(
            self.tokens <= 1 << 20,
            "sample.tokens = {}: more than {} make no sample",
            self.tokens,
            1 << 20
        );
        Ok(())
    }
}

impl RunConfig {
    /// A run of this model with every other value as it is by default.
    pub fn of(model: ModelConfig) -> Self {
        let (train, sample) = (TrainConfig::default(), SampleConfig::default());
        Self { model, train, sample, sft: None, mixture: Vec::new() }
    }

    /// Reads `path`, applies `key=value` overrides (`train.steps=100`) and checks every value.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the training config `{}`", path.display()))?;
        Self::parse(&text, overrides).with_context(|| format!("in `{}`", path.display()))
    }

    /// As [`RunConfig::load`], from text.
    pub fn parse(text: &str, overrides: &[String]) -> Result<Self> {
        let config: Self = read(text, overrides)?;
        config.model.check()?;
        config.train.check()?;
        config.sample.check()?;
        Ok(config)
    }

    /// The config with defaults written out.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).context("cannot write the training config as TOML")
    }
}

/// Reads TOML with `key=value` overrides over it.
fn read<T: serde::de::DeserializeOwned>(text: &str, overrides: &[String]) -> Result<T> {
    let mut table: toml::Table = toml::from_str(text)?;
    for entry in overrides {
        set(&mut table, entry)?;
    }
    let written = table.clone();
    depth::fill(&mut table)?;
    if overrides.is_empty() && table == written {
        // Straight from the text, so that a mistake is shown with its line.
        return Ok(toml::from_str(text)?);
    }
    Ok(table.try_into()?)
}

/// Sets one dotted key. A value that is not TOML (a bare word) is taken as a string.
fn set(table: &mut toml::Table, entry: &str) -> Result<()> {
    let Some((path, value)) = entry.split_once('=') else {
        bail!("--set `{entry}`: expected key=value, for example train.steps=100");
    };
    let value = value.trim();
    let parsed = toml::from_str::<toml::Table>(&format!("value = {value}"))
        .ok()
        .and_then(|mut line| line.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let keys: Vec<&str> = path.trim().split('.').collect();
    let (last, parents) = keys.split_last().expect("split yields at least one piece");
    let mut at = table;
    for key in parents {
        at = at
            .entry((*key).to_owned())
            .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            .as_table_mut()
            .with_context(|| format!("--set `{entry}`: `{key}` is a value, not a table"))?;
    }
    at.insert((*last).to_owned(), parsed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: &str = "[model]\nkind = \"gpt2\"\nlayers = 2\nheads = 2\nwidth = 16\ncontext = 8\n";

    #[test]
    fn defaults_fill_what_is_left_out() {
        let config = RunConfig::parse(TINY, &[]).unwrap();
        assert_eq!(config.train, TrainConfig::default());
        assert_eq!(config.model.mlp_width(), 64);
        assert!(config.model.tied());
        assert_eq!(RunConfig::parse(&config.to_toml().unwrap(), &[]).unwrap(), config);
    }

    #[test]
    fn a_run_is_no_longer_than_its_epochs_allow() {
        // 8 x 8 tokens a step.
        let config = |set: &str| RunConfig::parse(TINY, &[set.to_owned()]).unwrap();
        assert_eq!(config("train.steps=50").within_epochs(64).train.steps, 50);
        assert_eq!(config("train.max_epochs=2.5").within_epochs(640).train.steps, 25);
        assert_eq!(config("train.max_epochs=2.5").within_epochs(641).train.steps, 26);
        assert_eq!(config("train.max_epochs=2").within_epochs(3).train.steps, 1);
        assert_eq!(config("train.max_epochs=1e9").within_epochs(u64::MAX).train.steps, 1000);
        // A quarter of the tokens: a quarter of each step.
        let set = ["train.accumulate=16".into(), "train.steps=10".into(), "train.max_epochs=5".into()];
        let train = RunConfig::parse(TINY, &set).unwrap().within_epochs(16 * 64 / 2).train;
        assert_eq!((train.accumulate, train.steps), (4, 10));
    }

    #[test]
    fn overrides_replace_and_add() {
        let set =
            ["train.steps=7", "model.kind=llama3", "train.learning_rate=1e-3", "sample.prompts=[\"a\"]"];
        let config = RunConfig::parse(TINY, &set.map(String::from)).unwrap();
        assert_eq!((config.train.steps, config.model.kind), (7, ModelKind::Llama3));
        assert_eq!(config.model.mlp_width(), 64);
        assert_eq!(config.sample.prompts, ["a"]);
        assert!((config.train.learning_rate - 1e-3).abs() < 1e-12);
    }

    #[test]
    fn mistakes_are_named() {
        let check = |set: &str, expected: &str| {
            let error = format!("{:#}", RunConfig::parse(TINY, &[set.to_owned()]).unwrap_err());
            assert!(error.contains(expected), "{set}: {error}");
        };
        check("model.heads=3", "model.width = 16 is not a multiple of model.heads = 3");
        check("model.widht=16", "unknown field `widht`");
        check("train.steps=0", "train.steps = 0");
        check("train.beta2=1.0", "train.beta2 = 1");
        check("train.rates.head=-1", "train.rates.head = -1");
        check("train.rates.heads=1", "unknown field `heads`");
        check("train.optimizer=sgd", "unknown variant `sgd`");
        check("train.precision=f16", "unknown variant `f16`");
        check("sample.top_p=0.0", "sample.top_p = 0");
        check("model.softcap=0", "model.softcap = 0: must be positive");
        check("model.activation=relu", "unknown variant `relu`");
        check("train.learning_rate=nan", "train.learning_rate = NaN");
        check("nonsense", "expected key=value");
        check("model.kind.x=1", "`kind` is a value");
        let line = RunConfig::parse(&format!("{TINY}oops = 1\n"), &[]).unwrap_err().to_string();
        assert!(line.contains("line 7"), "{line}");
    }

    #[test]
    fn the_examples_in_the_repository_parse() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/train");
        for name in ["gpt2-tiny.toml", "llama3-tiny.toml", "nanochat-tiny.toml"] {
            RunConfig::load(&folder.join(name), &[]).unwrap();
        }
    }
}
