//! `plan`: what a run will cost.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;

use gristmill_train::config::RunConfig;
use gristmill_train::plan;

#[derive(Args)]
pub struct Arguments {
    /// TOML file; see configs/train.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Ids in the tokenizer, specials included.
    #[arg(long, value_name = "N", default_value_t = 50_257)]
    vocabulary: usize,
    /// Override a config key, for example model.depth=12.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

pub fn run(args: &Arguments) -> Result<()> {
    let config = RunConfig::load(&args.config, &args.set)?;
    ensure!(args.vocabulary >= 1, "--vocabulary 0: a tokenizer has at least one id");
    write!(std::io::stdout().lock(), "{}", plan::describe(&config, args.vocabulary))?;
    Ok(())
}
