//! What several commands accept, and the checkpoint that they name.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use burn::tensor::Device;
use clap::Args;
use gristmill_tokenizer::Tokenizer;
use serde::Serialize;

use gristmill_train::checkpoint::Checkpoint;
use gristmill_train::config::SampleConfig;
use gristmill_train::model::{Model, Weights};
use gristmill_train::optimizer::Place;
use gristmill_train::{checkpoint, device, pretrain};

#[derive(Args)]
pub struct DeviceArgs {
    /// Where to compute: cpu, wgpu, cuda:N, or auto for the first card that answers, else the CPU.
    #[arg(long, default_value = "cpu")]
    pub device: String,
}

impl DeviceArgs {
    /// Opens the device, and says which one it is where that was left open.
    pub fn open(&self) -> Result<(Device, Place)> {
        let name = device::resolve(&self.device);
        if name != self.device {
            eprintln!("device: {name}");
        }
        device::open(name)
    }
}

#[derive(Args)]
pub struct DrawArgs {
    /// A checkpoint directory, or the --out directory of a run.
    #[arg(long, value_name = "DIR")]
    pub checkpoint: PathBuf,
    /// Tokens to write at most.
    #[arg(long, default_value_t = 128, value_name = "N")]
    pub tokens: usize,
    /// 0 always takes the likeliest token; 1 samples as predicted.
    #[arg(long, default_value_t = 0.8)]
    pub temperature: f64,
    /// Keep only the N likeliest tokens; 0 keeps all.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub top_k: usize,
    /// Keep only the likeliest tokens that together reach this probability.
    #[arg(long, default_value_t = 0.95)]
    pub top_p: f64,
    /// Keep only tokens at least this share as likely as the likeliest; 0 keeps all.
    #[arg(long, default_value_t = 0.0)]
    pub min_p: f64,
    /// Above 1, tokens that the text holds already become less likely.
    #[arg(long, default_value_t = 1.0)]
    pub repetition_penalty: f64,
    /// Equal seeds write equal text.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    #[command(flatten)]
    pub device: DeviceArgs,
}

impl DrawArgs {
    pub fn open(&self) -> Result<Opened> {
        Opened::at(&self.checkpoint, &self.device)
    }

    pub fn config(&self) -> Result<SampleConfig> {
        let config = SampleConfig {
            prompts: Vec::new(),
            every: 0,
            tokens: self.tokens,
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
        };
        config.check()?;
        Ok(config)
    }
}

/// A checkpoint, and what can be asked of it.
pub struct Opened {
    pub checkpoint: Checkpoint,
    pub tokenizer: Tokenizer,
    pub model: Model,
    pub weights: Weights,
}

impl Opened {
    /// As [`open_checkpoint`], with the weights on a device.
    pub fn at(path: &Path, device: &DeviceArgs) -> Result<Self> {
        let (device, _) = device.open()?;
        let checkpoint = open_checkpoint(path)?;
        let tokenizer = checkpoint.tokenizer()?;
        let (model, weights) = checkpoint.model(&device)?;
        Ok(Self { checkpoint, tokenizer, model, weights })
    }
}

/// Leaves results.json and results.txt in `folder`.
pub fn leave_results(folder: &Path, report: &impl Serialize, text: &str) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    pretrain::write_json(&folder.join("results.json"), report)?;
    pretrain::write_whole(&folder.join("results.txt"), text.as_bytes())
}

/// A checkpoint directory itself, or the one inside the directory of a run.
pub fn open_checkpoint(path: &Path) -> Result<Checkpoint> {
    let inside = checkpoint::latest(&path.join("checkpoint"));
    Checkpoint::open(&checkpoint::latest(path).or(inside).unwrap_or_else(|| path.to_owned()))
}
