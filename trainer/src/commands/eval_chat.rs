//! `eval-chat`: how a chat model answers the conversations held out.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use gristmill_train::chat::{ChatModel, Validity};
use gristmill_train::{chat, conversations, evaluate};

use super::options::{DrawArgs, Opened};

#[derive(Args)]
pub struct Arguments {
    /// Directory with the conversations held out: val-*.bin and their .mask files.
    #[arg(long, value_name = "DIR")]
    shards: PathBuf,
    /// Ask at most so many held-out questions; 0 asks all.
    #[arg(long, default_value_t = 0, value_name = "N")]
    questions: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    draw: DrawArgs,
}

pub fn run(args: &Arguments) -> Result<()> {
    let config = args.draw.config()?;
    let Opened { checkpoint, tokenizer, model, weights } = args.draw.open()?;
    let format = chat::format_of(&checkpoint, &tokenizer)?;
    let name = args.draw.checkpoint.display().to_string();
    let val = conversations::open(&args.shards, &tokenizer, &name, model.config.context)?.val;
    let rows = val.in_order(checkpoint.state.config.train.batch);
    let score = evaluate::score_batches(&model, &weights, &tokenizer, rows)?;
    let chat = ChatModel { model: &model, weights: &weights, tokenizer: &tokenizer, format };
    let format = chat::validity(&chat, &val, &config, args.draw.seed, args.questions)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        let report = serde_json::json!({
            "val_loss": score.loss,
            "bits_per_byte": score.bits_per_byte,
            "val_tokens": score.tokens,
            "conversations": val.len(),
            "format": format,
            "step": checkpoint.state.step,
        });
        writeln!(out, "{report}")?;
        return Ok(());
    }
    writeln!(
        out,
        "validation loss {:.4} nats/token, {:.4} bits/byte over {} tokens of answers in {} conversations",
        score.loss,
        score.bits_per_byte,
        score.tokens,
        val.len()
    )?;
    print_validity(&mut out, &format)
}

pub fn print_validity(out: &mut impl std::io::Write, format: &Validity) -> Result<()> {
    writeln!(
        out,
        "{} of {} answers to held-out questions are well-formed ({:.1} %): {} did not end, {} held a foreign special \
         token; {} are the held-out answer",
        format.valid,
        format.prompts,
        format.valid_share * 100.0,
        format.unended,
        format.foreign,
        format.exact
    )?;
    Ok(())
}
