//! `gristmill export`.

use std::path::PathBuf;

use super::{Exit, print};
use crate::report::export::{self, Format};

/// Write token shards in the format of another trainer. (Megatron-LM and datatrove read them as they are.)
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gristmill export runs/quickstart --to llmc --out fineweb\n  gristmill export runs/quickstart/token_shards --to nanochat --out base_data"
)]
pub struct Arguments {
    /// A run's folder, or a folder of token shards.
    target: PathBuf,
    /// The format.
    #[arg(long, value_enum, value_name = "FORMAT")]
    to: Format,
    /// A new folder for the files.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Of several stages with shards, the one that is meant.
    #[arg(long, value_name = "ID")]
    stage: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub fn main(arguments: &Arguments) -> anyhow::Result<Exit> {
    let written =
        export::export(&arguments.target, arguments.stage.as_deref(), arguments.to, &arguments.out)?;
    if arguments.json {
        super::print_json(&written)?;
    } else {
        print(&format!(
            "{}: {} files, {} documents, {} tokens\n",
            arguments.out.display(),
            written.n_files,
            written.n_documents,
            written.n_tokens
        ))?;
    }
    Ok(Exit::Done)
}
