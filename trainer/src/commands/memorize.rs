//! `eval memorize`: what a checkpoint gives back word for word.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use clap::Args;
use gristmill_corpus::pack_plan::PackPlan;

use gristmill_train::memorize::{Exposure, Extraction, extract, table};
use gristmill_train::shards;

use super::options::{DeviceArgs, Opened, leave_results};

#[derive(Args)]
pub struct Arguments {
    /// The --out directory of a pretraining run, whose pack plan says what it has read; or a checkpoint directory: every
    /// training document then counts as read once.
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,
    /// The shards that it was trained on; of a mixture one for each source, in the order of the config's [[mixture]].
    #[arg(long, value_name = "DIR", required = true)]
    shards: Vec<PathBuf>,
    /// Tokens of a document that the model reads.
    #[arg(long, default_value_t = 32, value_name = "N")]
    prompt: usize,
    /// Tokens that must come next.
    #[arg(long, default_value_t = 32, value_name = "N")]
    continuation: usize,
    /// Passages to ask about in each bucket, at most.
    #[arg(long, default_value_t = 200, value_name = "N")]
    per_bucket: usize,
    /// Documents of each split whose beginnings are candidates, at most.
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    candidates: usize,
    /// Decides which passages are asked about.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Also leave results.json and results.txt here.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

pub fn run(args: &Arguments) -> Result<()> {
    let Opened { checkpoint, tokenizer, model, weights } = Opened::at(&args.checkpoint, &args.device)?;
    let folders: Vec<&Path> = args.shards.iter().map(PathBuf::as_path).collect();
    let splits = shards::open_all(&folders, &tokenizer, &args.checkpoint.display().to_string())?;
    let has_plan = args.checkpoint.join("pack.json").is_file();
    let plan = if has_plan { Some(PackPlan::open(&args.checkpoint)?) } else { None };
    if let Some(plan) = &plan {
        let planned: Vec<_> = plan.meta().sources.iter().map(|source| source.shards.clone()).collect();
        let given: Vec<_> =
            splits.train.sources().iter().map(gristmill_corpus::shards::ShardSet::fingerprint).collect();
        ensure!(
            planned == given,
            "`{}` was not trained on these --shards: its plan has the sources {}",
            args.checkpoint.display(),
            plan.meta()
                .sources
                .iter()
                .map(|source| source.source.name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        );
    }
    let exposure = match &plan {
        Some(plan) => Exposure::Plan { plan, steps: checkpoint.state.step },
        None => Exposure::Once,
    };
    let asked = Extraction {
        prompt: args.prompt,
        continuation: args.continuation,
        per_bucket: args.per_bucket,
        candidates: args.candidates,
        seed: args.seed,
    };
    let buckets =
        extract((&model, &weights), (splits.train.sources(), splits.val.sources()), exposure, &asked)?;
    let report = serde_json::json!({
        "asked": asked, "counted_by": if plan.is_some() { "pack plan" } else { "occurrence" },
        "step": checkpoint.state.step, "buckets": buckets,
    });
    let text = table(&buckets, &asked);
    if let Some(folder) = &args.out {
        leave_results(folder, &report, &text)?;
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{report}")?;
    } else {
        write!(out, "{text}")?;
    }
    Ok(())
}
