//! `gristmill preview`.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use super::Exit;
use crate::report::clusters;
use crate::report::preview::{self, Question};

/// Show documents: of a run, or of a Parquet, JSONL or WARC file.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  gristmill preview runs/quickstart\n  gristmill preview runs/quickstart --rejected=gopher_short_doc\n  gristmill preview runs/quickstart --stage minhash_dedup --clusters\n  gristmill preview crawl.warc.gz -n 3\n  gristmill preview runs/quickstart --where \"language = 'en' AND length(text) > 500\" --json"
)]
pub struct Arguments {
    /// A run's folder, or a file of documents.
    target: PathBuf,
    /// Of a run: what this stage kept or dropped [default: the last that keeps documents; with --rejected all].
    #[arg(long, value_name = "ID")]
    stage: Option<String>,
    /// Show what was dropped, for this reason or for any.
    #[arg(long, value_name = "REASON", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    rejected: Option<String>,
    /// Show the largest clusters of duplicates that a stage found, with addresses and their true Jaccard similarity to the
    /// document that stays. `-n` clusters, ten documents of each.
    #[arg(long, conflicts_with_all = ["rejected", "condition"])]
    clusters: bool,
    /// Only documents for which an SQL expression over the columns holds.
    #[arg(long = "where", value_name = "SQL")]
    condition: Option<String>,
    /// How many.
    #[arg(short, value_name = "N", default_value_t = 10)]
    n: usize,
    /// Print one JSON object a document.
    #[arg(long)]
    json: bool,
}

pub fn main(arguments: &Arguments) -> anyhow::Result<Exit> {
    if arguments.clusters {
        return show_clusters(arguments);
    }
    let question = Question {
        stage: arguments.stage.clone(),
        rejected: arguments.rejected.clone(),
        condition: arguments.condition.clone(),
        n: arguments.n,
    };
    let batches = preview::pick(&arguments.target, &question)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    if arguments.json {
        preview::write_json(&mut out, &batches)?;
    } else {
        preview::write_text(&mut out, &batches, super::width())?;
    }
    out.flush()?;
    if batches.is_empty() && arguments.n > 0 {
        eprintln!("no document fits");
    }
    Ok(Exit::Done)
}

fn show_clusters(arguments: &Arguments) -> anyhow::Result<Exit> {
    let found = clusters::largest(&arguments.target, arguments.stage.as_deref(), arguments.n)?;
    if arguments.json {
        super::print_json(&found)?;
    } else {
        let mut out = BufWriter::new(std::io::stdout().lock());
        clusters::write_text(&mut out, &found, super::width())?;
        out.flush()?;
    }
    if found.is_empty() && arguments.n > 0 {
        eprintln!("no document has a duplicate");
    }
    Ok(Exit::Done)
}
