//! `sample`: a checkpoint continues a prompt.

use std::io::Write as _;

use anyhow::Result;
use clap::Args;
use gristmill_corpus::printable::printable;

use gristmill_train::device;
use gristmill_train::generate::{generate_batch, prompt_ids};
use gristmill_train::random::Random;

use super::options::{DrawArgs, open_checkpoint};

#[derive(Args)]
pub struct Arguments {
    /// Text to continue; an empty one starts a new document.
    #[arg(long, default_value = "", value_name = "TEXT")]
    prompt: String,
    /// How many continuations.
    #[arg(short, long, default_value_t = 1, value_name = "N")]
    number: usize,
    /// Print one JSON object a continuation: prompt, text, ids.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    draw: DrawArgs,
}

pub fn run(args: &Arguments) -> Result<()> {
    let config = args.draw.config()?;
    let (device, _) = device::open(&args.draw.device.device)?;
    let checkpoint = open_checkpoint(&args.draw.checkpoint)?;
    let tokenizer = checkpoint.tokenizer()?;
    let (model, weights) = checkpoint.model(&device)?;
    let prompts = vec![prompt_ids(&tokenizer, &args.prompt); args.number];
    let mut randoms: Vec<Random> =
        (0..args.number).map(|i| Random::named(args.draw.seed, &format!("sample/{i}"))).collect();
    let all = generate_batch(&model, &weights, &prompts, &config, tokenizer.bos(), &mut randoms, |_, _| ())?;
    let mut out = std::io::stdout().lock();
    for (i, ids) in all.into_iter().enumerate() {
        let text = tokenizer.decode_lossy(&ids);
        if args.json {
            let line = serde_json::json!({"prompt": args.prompt, "text": text, "ids": ids});
            writeln!(out, "{line}")?;
        } else {
            if i > 0 {
                writeln!(out, "---")?;
            }
            writeln!(out, "{}{}", printable(&args.prompt), printable(&text))?;
        }
    }
    Ok(())
}
