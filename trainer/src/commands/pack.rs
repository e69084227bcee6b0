//! `pack`: how rows would be packed.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use gristmill_corpus::shards::ShardSet;

use gristmill_train::packing::Comparison;

#[derive(Args)]
pub struct Arguments {
    /// Directory with train-*.bin.
    #[arg(long, value_name = "DIR")]
    shards: PathBuf,
    /// Inputs in a row: the model's context.
    #[arg(long, value_name = "N")]
    row_length: u32,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Arguments) -> Result<()> {
    let set = ShardSet::open(&args.shards, "train")?;
    let lengths: Vec<u64> = set.document_lengths().collect();
    let compared = Comparison::of(&lengths, args.row_length)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&compared)?)?;
    } else {
        write!(out, "{}", compared.to_text())?;
    }
    Ok(())
}
