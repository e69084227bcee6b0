//! `gristmill diff`.

use std::path::PathBuf;

use serde_json::json;

use super::{Exit, print};
use crate::report::diff;

/// Compare two runs document by document: which are kept in one and dropped in the other, why, and whose text changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 no difference; 1 there are differences; 2 no such run.")]
pub struct Arguments {
    /// A run's folder.
    run_a: PathBuf,
    /// Another.
    run_b: PathBuf,
    /// How many documents to show of each change.
    #[arg(short, value_name = "N", default_value_t = 10)]
    n: usize,
    /// Print JSON, with every document that differs.
    #[arg(long)]
    json: bool,
}

pub fn main(arguments: &Arguments) -> anyhow::Result<Exit> {
    let diff = diff::of(&arguments.run_a, &arguments.run_b)?;
    if arguments.json {
        super::print_json(&json!({"same": diff.same, "counts": diff.counts(), "changes": diff.changes}))?;
    } else {
        print(&diff.to_text(arguments.n))?;
    }
    Ok(if diff.changes.is_empty() { Exit::Done } else { Exit::Finding })
}
