//! `logits`: what a checkpoint computes, number by number.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use gristmill_train::step::token_tensor;

use super::options::{DeviceArgs, open_checkpoint};

#[derive(Args)]
pub struct Arguments {
    /// A checkpoint directory, or the --out directory of a run.
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,
    /// Token ids, for example 1,5,9.
    #[arg(long, value_delimiter = ',', required = true)]
    ids: Vec<u32>,
    #[command(flatten)]
    device: DeviceArgs,
}

pub fn run(args: &Arguments) -> Result<()> {
    let (device, _) = args.device.open()?;
    let (model, weights) = open_checkpoint(&args.checkpoint)?.model(&device)?;
    let (n, context) = (args.ids.len(), model.config.context);
    ensure!(n <= context, "{n} token ids, and the model reads at most {context} (model.context)");
    if let Some(id) = args.ids.iter().find(|&&id| id as usize >= model.vocabulary) {
        anyhow::bail!("token id {id}: the vocabulary has {}", model.vocabulary);
    }
    let logits = model.logits(&weights, token_tensor(&args.ids, 1, n, &device), None);
    let logits = logits.into_data();
    let logits =
        logits.as_slice::<f32>().map_err(|error| anyhow::anyhow!("the logits are not f32: {error:?}"))?;
    let mut out = std::io::stdout().lock();
    for row in logits.chunks_exact(model.vocabulary) {
        writeln!(out, "{}", serde_json::to_string(row)?)?;
    }
    Ok(())
}
