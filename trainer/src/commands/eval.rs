//! `eval`: what a checkpoint scores on shards and tasks.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::{Args, Subcommand};
use gristmill_corpus::printable::printable;

use gristmill_train::evals::scorer::CheckpointModel;
use gristmill_train::evals::task::Task;
use gristmill_train::{chat, compressors, evals, evaluate, progress, shards};

use super::memorize;
use super::options::{DeviceArgs, Opened, leave_results};

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Arguments {
    #[command(subcommand)]
    other: Option<Other>,
    /// A checkpoint directory, or the --out directory of a run.
    #[arg(long, value_name = "DIR", required = true)]
    checkpoint: Option<PathBuf>,
    /// Directory with train-*.bin and val-*.bin: held-out loss and bits per byte.
    #[arg(long, value_name = "DIR", required_unless_present = "tasks")]
    shards: Option<PathBuf>,
    /// Score at most so many tokens of the shards; 0 scores the whole split.
    #[arg(long, default_value_t = 0, value_name = "N")]
    tokens: u64,
    /// Compress the same text with gzip and xz, and say in how many bits per byte.
    #[arg(long, requires = "shards")]
    compressors: bool,
    /// Task files in lm-evaluation-harness's format, or folders of them, such as configs/eval.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    tasks: Vec<PathBuf>,
    /// Where the tasks' data files lie. Default: beside each task file.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Ask about at most so many documents of each task; 0 asks about all.
    #[arg(long, default_value_t = 0, value_name = "N")]
    limit: usize,
    /// Ask a chat model as its user would: each text becomes a user's turn. A base model has no turns.
    #[arg(long, requires = "tasks")]
    chat: bool,
    /// Also leave results.json and results.txt here.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

#[derive(Subcommand)]
enum Other {
    /// How much of its training text a model gives back word for word, by how often it has read it.
    Memorize(memorize::Arguments),
}

pub fn run(args: &Arguments) -> Result<()> {
    if let Some(Other::Memorize(args)) = &args.other {
        return memorize::run(args);
    }
    let path = args.checkpoint.as_deref().expect("it is required where no other command stands");
    let Opened { checkpoint, tokenizer, model, weights } = Opened::at(path, &args.device)?;
    let chat = if args.chat { Some(chat::format_of(&checkpoint, &tokenizer)?) } else { None };
    let mut text = String::new();
    let mut report = serde_json::Map::new();
    if let Some(folder) = &args.shards {
        let splits = shards::open(folder, &tokenizer, &path.display().to_string())?;
        let rows = checkpoint.state.config.train.batch;
        let score = evaluate::score(&model, &weights, &splits.val, &tokenizer, rows, args.tokens)?;
        ensure!(score.tokens > 0, "the validation split in `{}` is empty", folder.display());
        let unigrams = evaluate::unigrams(&splits.train, &splits.val, model.vocabulary)?;
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
        writeln!(text, "validation loss    {:.4} nats/token over {} tokens", score.loss, score.tokens)?;
        writeln!(text, "bits per byte      {:.4} over {} bytes", score.bits_per_byte, score.bytes)?;
        writeln!(text, "unigram entropy    {:.4} nats/token of both splits", unigrams.entropy)?;
        writeln!(text, "unigram model      {:.4} nats/token on the validation split", unigrams.val_loss)?;
        if args.compressors {
            let compressed = compressors::compress(&splits.val, &tokenizer, args.tokens)?;
            for compressors::Compressed { compressor, bytes, bits_per_byte } in &compressed {
                writeln!(text, "{compressor:18} {bits_per_byte:.4} bits/byte, {bytes} bytes")?;
            }
            report.insert("compressors".into(), serde_json::to_value(compressed)?);
        }
    }
    if !args.tasks.is_empty() {
        let model = CheckpointModel { chat, ..CheckpointModel::new(&model, &weights, &tokenizer) };
        let scores = run_tasks(args, &model)?;
        text.push_str(&evals::run::table(&scores));
        report.insert("tasks".into(), serde_json::to_value(&scores)?);
    }
    report.insert("step".into(), checkpoint.state.step.into());
    if let Some(folder) = &args.out {
        leave_results(folder, &report, &text)?;
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::Value::Object(report))?;
    } else {
        write!(out, "{}", printable(&text))?;
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
