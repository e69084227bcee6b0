//! `gristmill stats`.

use std::path::PathBuf;

use super::{Exit, print};
use crate::report::stats;

/// Count what a run kept and dropped: the funnel, lengths of text, languages or groups.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gristmill stats runs/quickstart\n  gristmill stats runs/quickstart --by dump\n  gristmill stats runs/quickstart --by \"left(date, 7)\""
)]
pub struct Arguments {
    /// A run's folder.
    run: PathBuf,
    /// Group documents by a column or an SQL expression over columns [default: language].
    #[arg(long, value_name = "COLUMN")]
    by: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub fn main(arguments: &Arguments) -> anyhow::Result<Exit> {
    let stats = stats::of(&arguments.run, arguments.by.as_deref())?;
    if arguments.json {
        super::print_json(&stats)?;
    } else {
        print(&stats.to_text())?;
    }
    Ok(Exit::Done)
}
