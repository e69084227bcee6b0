//! `gristmill trace`.

use std::path::PathBuf;

use super::{Exit, print};
use crate::report::trace::{self, Question};

/// Lead a token back to its document: id, URL, and the record of the crawl that it came from.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gristmill trace runs/quickstart --shard train-00000 --token 1234\n  gristmill trace runs/quickstart --step 17 --row 3 --column 20"
)]
pub struct Arguments {
    /// A run's folder, a folder of token shards, or the --out of a training.
    target: PathBuf,
    /// The shard: its name in the run, such as train-00000, or a path.
    #[arg(long, value_name = "FILE", requires = "token", required_unless_present = "step")]
    shard: Option<PathBuf>,
    /// The token, counted from the shard's first.
    #[arg(long, value_name = "N", requires = "shard")]
    token: Option<u64>,
    /// The training step, counted from 0.
    #[arg(long, value_name = "S", conflicts_with = "shard")]
    step: Option<u64>,
    /// The row of the step's batch, counted over all its processes.
    #[arg(long, value_name = "R", requires = "step", default_value_t = 0)]
    row: u64,
    /// The place in the row.
    #[arg(long, value_name = "C", requires = "step", default_value_t = 0)]
    column: u64,
    /// Where the shards of a training are, if not in the run. Can be given more than once.
    #[arg(long, value_name = "DIR", requires = "step")]
    shards: Vec<PathBuf>,
    /// Of several stages with shards or trainings, the one that is meant.
    #[arg(long, value_name = "ID")]
    stage: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub fn main(arguments: &Arguments) -> anyhow::Result<Exit> {
    let question = match (&arguments.shard, arguments.token, arguments.step) {
        (Some(shard), Some(token), _) => Question::Token { shard: shard.clone(), token },
        (_, _, Some(step)) => Question::Step { step, row: arguments.row, column: arguments.column },
        _ => anyhow::bail!("say which token: --shard FILE --token N, or --step S --row R --column C"),
    };
    let origin = trace::find(&arguments.target, arguments.stage.as_deref(), &arguments.shards, &question)?;
    if arguments.json {
        super::print_json(&origin)?;
    } else {
        print(&origin.to_text())?;
    }
    Ok(Exit::Done)
}
