//! `eval`: what a checkpoint scores on shards and tasks.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use gristmill_corpus::printable::printable;

use gristmill_train::evals::scorer::CheckpointModel;
use gristmill_train::evals::task::Task;
use gristmill_train::{device, evals, evaluate, progress, shards};

use super::options::{DeviceArgs, open_checkpoint};

#[derive(Args)]
pub struct Arguments {
    /// A checkpoint directory, or the --out directory of a run.
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,
    /// Directory with train-*.bin and val-*.bin: held-out loss and bits per byte.
    #[arg(long, value_name = "DIR", required_unless_present = "tasks")]
    shards: Option<PathBuf>,
    /// Score at most so many tokens of the shards; 0 scores the whole split.
    #[arg(long, default_value_t = 0, value_name = "N")]
    tokens: u64,
    /// Task files in lm-evaluation-harness's format, or folders of them, such as configs/eval.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    tasks: Vec<PathBuf>,
    /// Where the tasks' data files lie. Default: beside each task file.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Ask about at most so many documents of each task; 0 asks about all.
    #[arg(long, default_value_t = 0, value_name = "N")]
    limit: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

pub fn run(args: &Arguments) -> Result<()> {
    let (device, _) = device::open(&args.device.device)?;
    let checkpoint = open_checkpoint(&args.checkpoint)?;
    let tokenizer = checkpoint.tokenizer()?;
    let (model, weights) = checkpoint.model(&device)?;
    let mut out = std::io::stdout().lock();
    let mut report = serde_json::Map::new();
    if let Some(folder) = &args.shards {
        let splits = shards::open(folder, &tokenizer, &args.checkpoint.display().to_string())?;
        let rows = checkpoint.state.config.train.batch;
        let score = evaluate::score(&model, &weights, &splits.val, &tokenizer, rows, args.tokens)?;
        ensure!(score.tokens > 0, "the validation split in `{}` is empty", folder.display());
        let unigrams = evaluate::unigrams(&splits.train, &splits.val, model.vocabulary)?;
        if args.json {
            for (name, value) in [
                ("val_loss", score.loss.into()),
                ("bits_per_byte", score.bits_per_byte.into()),
                ("val_tokens", score.tokens.into()),
                ("val_bytes", score.bytes.into()),
                ("unigram_entropy", unigrams.entropy.into()),
                ("unigram_val_loss", unigrams.val_loss.into()),
            ] {
                report.insert(name.into(), value);
            }
        } else {
            writeln!(out, "validation loss    {:.4} nats/token over {} tokens", score.loss, score.tokens)?;
            writeln!(out, "bits per byte      {:.4} over {} bytes", score.bits_per_byte, score.bytes)?;
            writeln!(out, "unigram entropy    {:.4} nats/token of both splits", unigrams.entropy)?;
            writeln!(out, "unigram model      {:.4} nats/token on the validation split", unigrams.val_loss)?;
        }
    }
    if !args.tasks.is_empty() {
        let model = CheckpointModel::new(&model, &weights, &tokenizer);
        let scores = run_tasks(args, &model)?;
        if args.json {
            report.insert("tasks".into(), serde_json::to_value(&scores)?);
        } else {
            write!(out, "{}", printable(&evals::run::table(&scores)))?;
        }
    }
    if args.json {
        report.insert("step".into(), checkpoint.state.step.into());
        writeln!(out, "{}", serde_json::Value::Object(report))?;
    }
    Ok(())
}

fn run_tasks(args: &Arguments, model: &CheckpointModel<'_>) -> Result<Vec<evals::run::Score>> {
    let mut scores = Vec::new();
    // All are read before the first is run: a mistake in the last shows at once.
    let files = evals::run::task_files(&args.tasks)?;
    let tasks =
        files.iter().map(|file| Task::load(file, args.data.as_deref())).collect::<Result<Vec<_>>>()?;
    for task in &tasks {
        let bar = progress::documents(&task.name, task.documents.len());
        scores.extend(evals::run::run(task, model, args.limit, |done| bar.set_position(done as u64))?);
        bar.finish_and_clear();
    }
    Ok(scores)
}
