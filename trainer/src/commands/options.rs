//! What several commands accept, and the checkpoint that they name.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;

use gristmill_train::checkpoint;
use gristmill_train::checkpoint::Checkpoint;
use gristmill_train::config::SampleConfig;

#[derive(Args)]
pub struct DeviceArgs {
    /// Where to compute: cpu, wgpu or cuda:N.
    #[arg(long, default_value = "cpu")]
    pub device: String,
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

/// A checkpoint directory itself, or the one inside the directory of a run.
pub fn open_checkpoint(path: &Path) -> Result<Checkpoint> {
    let inside = checkpoint::latest(&path.join("checkpoint"));
    Checkpoint::open(&checkpoint::latest(path).or(inside).unwrap_or_else(|| path.to_owned()))
}
