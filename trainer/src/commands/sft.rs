//! `sft`: a chat model of a base model.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use gristmill_train::config::FineTuneConfig;
use gristmill_train::conversations;
use gristmill_train::sft::{FineTuning, sft};

use super::eval_chat::print_validity;
use super::options::{DeviceArgs, open_checkpoint};

#[derive(Args)]
pub struct Arguments {
    /// TOML file with [train], [sample] and perhaps [lora]; see configs/train/sft-tiny.toml. The model's shape is its base's.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The base model: a checkpoint directory, or the --out directory of a pretraining run.
    #[arg(long, value_name = "DIR")]
    base: PathBuf,
    /// Directory with train-*.bin, val-*.bin, their .mask files and template.json, as `conversation_shards` leaves them.
    #[arg(long, value_name = "DIR")]
    shards: PathBuf,
    /// Where checkpoint/, metrics.jsonl, summary.json and sample.txt go.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Go on from the checkpoint in --out, if there is one.
    #[arg(long)]
    resume: bool,
    /// Override a config key, for example train.steps=100.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    device: DeviceArgs,
}

pub fn run(args: &Arguments) -> Result<()> {
    let config = FineTuneConfig::load(&args.config, &args.set)?;
    let (device, place) = args.device.open()?;
    let base = open_checkpoint(&args.base)?;
    let tokenizer = base.tokenizer()?;
    let context = base.state.config.model.context;
    let name = args.base.display().to_string();
    let conversations = conversations::open(&args.shards, &tokenizer, &name, context)?;
    let summary = sft(&FineTuning {
        config: &config,
        base: &base,
        conversations: &conversations,
        out: &args.out,
        resume: args.resume,
        device,
        place,
        stop_after: None,
    })?;
    let summary = summary.expect("only tests stop early");
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "validation loss {:.4} nats/token over {} tokens of answers (the base model's: {:.4})",
        summary.val_loss, summary.val_tokens, summary.base_val_loss
    )?;
    print_validity(&mut out, &summary.format)
}
