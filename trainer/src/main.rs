//! The `gristmill-train` command: what it accepts, and which module does it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::Device;
use clap::{Args, Parser, Subcommand, ValueEnum};
use gristmill_corpus::pack_plan::MixtureSource;
use gristmill_corpus::printable::printable;
use gristmill_corpus::shards::ShardSet;
use gristmill_tokenizer::Tokenizer;

use gristmill_train::chat::{ChatModel, End, Session, Validity};
use gristmill_train::checkpoint::{self, Checkpoint, DataIdentity};
use gristmill_train::config::{FineTuneConfig, RunConfig, SampleConfig};
use gristmill_train::evals::scorer::CheckpointModel;
use gristmill_train::evals::task::Task;
use gristmill_train::generate::{generate, generate_batch, prompt_ids};
use gristmill_train::gguf::Precision;
use gristmill_train::huggingface::{Export, Pretrained};
use gristmill_train::model::{Model, Weights};
use gristmill_train::optimizer::{Place, vector};
use gristmill_train::packing::Comparison;
use gristmill_train::pretrain::{Pretraining, pretrain};
use gristmill_train::random::Random;
use gristmill_train::sft::{FineTuning, sft};
use gristmill_train::step::token_tensor;
use gristmill_train::{
    bench, chat, conversations, device, evals, evaluate, gguf, huggingface, plan, progress, selftest, shards,
};

/// Pretrain, sample and measure small language models on Gristmill's token shards.
#[derive(Parser)]
#[command(name = "gristmill-train", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a model from token shards; ends with a checkpoint, its score and its samples.
    Pretrain(PretrainArgs),
    /// What a run will cost: parameters, tokens, memory, and time on known hardware. Reads no data.
    Plan(PlanArgs),
    /// Make a chat model of a base model: learn from conversations what the assistant writes.
    Sft(SftArgs),
    /// Let a checkpoint continue a prompt.
    Sample(SampleArgs),
    /// Held-out loss and bits per byte of a checkpoint on token shards.
    Eval(EvalArgs),
    /// Talk to a chat model. A base model continues what you write, line by line.
    Chat(ChatArgs),
    /// Held-out loss of a chat model, and the share of its answers that are well-formed.
    EvalChat(EvalChatArgs),
    /// Rows of token shards as a run would pack them: padding, documents cut, and what other ways would lose.
    Pack(PackArgs),
    /// Make a checkpoint of a published model: a folder with config.json, model.safetensors and tokenizer.json.
    Import(ImportArgs),
    /// Write a checkpoint for other programs: Hugging Face's folder, or one GGUF file.
    Export(ExportArgs),
    /// Logits after each of some token ids, one JSON array a line: for comparing with other programs.
    Logits(LogitsArgs),
    /// Check that a device computes what the plain CPU operations compute.
    Selftest(DeviceArgs),
    /// Training tokens a second on a fixed 13.9 M-parameter configuration.
    Bench(BenchArgs),
}

#[derive(Args)]
struct DeviceArgs {
    /// Where to compute: cpu, wgpu or cuda:N.
    #[arg(long, default_value = "cpu")]
    device: String,
}

#[derive(Args)]
struct PretrainArgs {
    /// TOML file; see configs/train.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Directory with train-*.bin and val-*.bin. One for each source of the config's [[mixture]], with its name.
    #[arg(long, value_name = "[NAME=]DIR", required = true)]
    shards: Vec<String>,
    /// The tokenizer.json that the shards were written with.
    #[arg(long, value_name = "FILE")]
    tokenizer: PathBuf,
    /// Where checkpoint/, metrics.jsonl, summary.json and sample.txt go.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Go on from the checkpoint in --out, if there is one.
    #[arg(long)]
    resume: bool,
    /// Override a config key, for example train.steps=100.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    device: DeviceArgs,
}

#[derive(Args)]
struct PlanArgs {
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

#[derive(Args)]
struct SftArgs {
    /// TOML file with [train], [sample] and perhaps [lora]; see configs/train/sft-tiny.toml. The model's shape is its base's.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The base model: a checkpoint directory, or the --out directory of a pretraining run.
    #[arg(long, value_name = "DIR")]
    base: PathBuf,
    /// Directory with train-*.bin, val-*.bin, their .mask files and template.json, as `conversation_shards` leaves them.
    #[arg(long, value_name = "DIR")]
    shards: PathBuf,
    /// Where checkpoint/, metrics.jsonl, summary.json and sample.txt go.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Go on from the checkpoint in --out, if there is one.
    #[arg(long)]
    resume: bool,
    /// Override a config key, for example train.steps=100.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    device: DeviceArgs,
}

#[derive(Args)]
struct PackArgs {
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

#[derive(Args)]
struct DrawArgs {
    /// A checkpoint directory, or the --out directory of a run.
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,
    /// Tokens to write at most.
    #[arg(long, default_value_t = 128, value_name = "N")]
    tokens: usize,
    /// 0 always takes the likeliest token; 1 samples as predicted.
    #[arg(long, default_value_t = 0.8)]
    temperature: f64,
    /// Keep only the N likeliest tokens; 0 keeps all.
    #[arg(long, default_value_t = 0, value_name = "N")]
    top_k: usize,
    /// Keep only the likeliest tokens that together reach this probability.
    #[arg(long, default_value_t = 0.95)]
    top_p: f64,
    /// Keep only tokens at least this share as likely as the likeliest; 0 keeps all.
    #[arg(long, default_value_t = 0.0)]
    min_p: f64,
    /// Above 1, tokens that the text holds already become less likely.
    #[arg(long, default_value_t = 1.0)]
    repetition_penalty: f64,
    /// Equal seeds write equal text.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    device: DeviceArgs,
}

#[derive(Args)]
struct SampleArgs {
    /// Text to continue; an empty one starts a new document.
    #[arg(long, default_value = "", value_name = "TEXT")]
    prompt: String,
    /// How many continuations.
    #[arg(short, long, default_value_t = 1, value_name = "N")]
    number: usize,
    /// Print one JSON object a continuation: prompt, text, ids.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    draw: DrawArgs,
}

#[derive(Args)]
struct ChatArgs {
    /// What the system says before the first turn (chat models only).
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Say this and end with the answer, instead of reading standard input.
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// Print one JSON object an answer: prompt, text, ids, ended.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    draw: DrawArgs,
}

#[derive(Args)]
struct EvalChatArgs {
    /// Directory with the conversations held out: val-*.bin and their .mask files.
    #[arg(long, value_name = "DIR")]
    shards: PathBuf,
    /// Ask at most so many held-out questions; 0 asks all.
    #[arg(long, default_value_t = 0, value_name = "N")]
    questions: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    draw: DrawArgs,
}

#[derive(Args)]
struct EvalArgs {
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

#[derive(Args)]
struct ImportArgs {
    /// The folder of a model of GPT-2's or Llama's family.
    #[arg(long, value_name = "DIR")]
    hf: PathBuf,
    /// Where the checkpoint goes.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Args)]
struct LogitsArgs {
    /// A checkpoint directory, or the --out directory of a run.
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,
    /// Token ids, for example 1,5,9.
    #[arg(long, value_delimiter = ',', required = true)]
    ids: Vec<u32>,
    #[command(flatten)]
    device: DeviceArgs,
}

#[derive(Args)]
struct ExportArgs {
    /// A checkpoint directory, or the --out directory of a run.
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,
    /// What to write.
    #[arg(long, value_enum)]
    to: ExportFormat,
    /// How GGUF stores matrices.
    #[arg(long, value_enum, default_value_t = GgufPrecision::F16)]
    precision: GgufPrecision,
    /// A new folder (hf) or file (gguf).
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    /// config.json, model.safetensors and tokenizer.json, for transformers.
    Hf,
    /// One file, for llama.cpp.
    Gguf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum GgufPrecision {
    /// 2 bytes a value.
    F16,
    /// A byte a value and a scale for each 32.
    #[value(name = "q8_0")]
    Q8_0,
}

#[derive(Args)]
struct BenchArgs {
    /// Steps to time.
    #[arg(long, default_value_t = 10, value_name = "N")]
    steps: u64,
    /// Override a config key, for example model.kind=llama3 or train.batch=4.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The hardware's highest speed in this precision, in TFLOP/s: prints the share that is used.
    #[arg(long, value_name = "TFLOPS")]
    peak: Option<f64>,
    #[command(flatten)]
    device: DeviceArgs,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Pretrain(args) => run_pretrain(&args),
        Command::Plan(args) => run_plan(&args),
        Command::Sft(args) => run_sft(&args),
        Command::Sample(args) => run_sample(&args),
        Command::Eval(args) => run_eval(&args),
        Command::Pack(args) => run_pack(&args),
        Command::Chat(args) => run_chat(&args),
        Command::EvalChat(args) => run_eval_chat(&args),
        Command::Import(args) => run_import(&args),
        Command::Export(args) => run_export(&args),
        Command::Logits(args) => run_logits(&args),
        Command::Selftest(args) => run_selftest(&args),
        Command::Bench(args) => run_bench(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", printable(&format!("{error:#}")));
            ExitCode::from(2)
        }
    }
}

/// Whether the reader of our output has gone, as `| head` does.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
}

fn run_pretrain(args: &PretrainArgs) -> Result<()> {
    let config = RunConfig::load(&args.config, &args.set)?;
    let (device, place) = device::open(&args.device.device)?;
    let tokenizer_json = std::fs::read(&args.tokenizer)
        .with_context(|| format!("cannot read the tokenizer `{}`", args.tokenizer.display()))?;
    let tokenizer = Tokenizer::from_json(&tokenizer_json)
        .with_context(|| format!("in `{}`", args.tokenizer.display()))?;
    let mixture = mixture(&config.mixture, &args.shards)?;
    let folders: Vec<&Path> = mixture.iter().map(|(_, folder)| folder.as_path()).collect();
    let splits = shards::open_all(&folders, &tokenizer, &args.tokenizer.display().to_string())?;
    let sources: Vec<_> =
        mixture.iter().map(|(source, _)| source.clone()).zip(splits.train.sources()).collect();
    let summary = pretrain(&Pretraining {
        config: &config,
        train: &splits.train,
        sources: &sources,
        val: &splits.val,
        tokenizer: &tokenizer,
        tokenizer_json: &tokenizer_json,
        data: DataIdentity { tokenizer: tokenizer.hash(), shards: splits.fingerprint.clone() },
        out: &args.out,
        resume: args.resume,
        device,
        place,
        stop_after: None,
    })?;
    let summary = summary.expect("only tests stop early");
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "validation loss {:.4} nats/token, {:.4} bits/byte over {} tokens; unigram entropy {:.4} nats/token \
         (the unigram model's own validation loss: {:.4})",
        summary.val_loss,
        summary.bits_per_byte,
        summary.val_tokens,
        summary.unigram_entropy,
        summary.unigram_val_loss
    )?;
    Ok(())
}

fn run_plan(args: &PlanArgs) -> Result<()> {
    let config = RunConfig::load(&args.config, &args.set)?;
    ensure!(args.vocabulary >= 1, "--vocabulary 0: a tokenizer has at least one id");
    write!(std::io::stdout().lock(), "{}", plan::describe(&config, args.vocabulary))?;
    Ok(())
}

/// The folder of each source: by name where the config mixes several.
fn mixture(sources: &[MixtureSource], shards: &[String]) -> Result<Vec<(MixtureSource, PathBuf)>> {
    if sources.is_empty() {
        let [folder] = shards else {
            bail!("{} --shards, and the config has no [[mixture]] that says how to mix them", shards.len());
        };
        return Ok(vec![(MixtureSource::only("shards"), folder.into())]);
    }
    let mut named = BTreeMap::new();
    for given in shards {
        let (name, folder) = given
            .split_once('=')
            .with_context(|| format!("--shards {given}: the config has a [[mixture]]; say NAME={given}"))?;
        ensure!(named.insert(name, folder).is_none(), "--shards {name}=… is given twice");
    }
    let of = |source: &MixtureSource| {
        let folder = named
            .remove(source.name.as_str())
            .with_context(|| format!("the mixture has a source `{0}`: give --shards {0}=DIR", source.name))?;
        Ok((source.clone(), folder.into()))
    };
    let found = sources.iter().map(of).collect::<Result<_>>()?;
    if let Some(name) = shards
        .iter()
        .filter_map(|given| given.split_once('='))
        .map(|(name, _)| name)
        .find(|name| sources.iter().all(|source| source.name != *name))
    {
        bail!("--shards {name}=…: the config's [[mixture]] has no source of that name");
    }
    Ok(found)
}

fn run_pack(args: &PackArgs) -> Result<()> {
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

/// A checkpoint directory itself, or the one inside the directory of a run.
fn open_checkpoint(path: &Path) -> Result<Checkpoint> {
    let inside = checkpoint::latest(&path.join("checkpoint"));
    Checkpoint::open(&checkpoint::latest(path).or(inside).unwrap_or_else(|| path.to_owned()))
}

impl DrawArgs {
    fn config(&self) -> Result<SampleConfig> {
        let config = SampleConfig {
            prompts: Vec::new(),
            tokens: self.tokens,
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
        };
        config.check()?;
        Ok(config)
    }
}

fn run_sample(args: &SampleArgs) -> Result<()> {
    let config = args.draw.config()?;
    let (device, _) = device::open(&args.draw.device.device)?;
    let checkpoint = open_checkpoint(&args.draw.checkpoint)?;
    let tokenizer = checkpoint.tokenizer()?;
    let (model, weights) = checkpoint.model(&device)?;
    let prompts = vec![prompt_ids(&tokenizer, &args.prompt); args.number];
    let mut randoms: Vec<Random> =
        (0..args.number).map(|i| Random::named(args.draw.seed, &format!("sample/{i}"))).collect();
    let all = generate_batch(&model, &weights, &prompts, &config, tokenizer.bos(), &mut randoms, |_, _| ())?;
    let mut out = std::io::stdout().lock();
    for (i, ids) in all.into_iter().enumerate() {
        let text = tokenizer.decode_lossy(&ids);
        if args.json {
            let line = serde_json::json!({"prompt": args.prompt, "text": text, "ids": ids});
            writeln!(out, "{line}")?;
        } else {
            if i > 0 {
                writeln!(out, "---")?;
            }
            writeln!(out, "{}{}", printable(&args.prompt), printable(&text))?;
        }
    }
    Ok(())
}

fn run_eval(args: &EvalArgs) -> Result<()> {
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

fn run_tasks(args: &EvalArgs, model: &CheckpointModel<'_>) -> Result<Vec<evals::run::Score>> {
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

fn run_sft(args: &SftArgs) -> Result<()> {
    let config = FineTuneConfig::load(&args.config, &args.set)?;
    let (device, place) = device::open(&args.device.device)?;
    let base = open_checkpoint(&args.base)?;
    let tokenizer = base.tokenizer()?;
    let context = base.state.config.model.context;
    let name = args.base.display().to_string();
    let conversations = conversations::open(&args.shards, &tokenizer, &name, context)?;
    let summary = sft(&FineTuning {
        config: &config,
        base: &base,
        conversations: &conversations,
        out: &args.out,
        resume: args.resume,
        device,
        place,
        stop_after: None,
    })?;
    let summary = summary.expect("only tests stop early");
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "validation loss {:.4} nats/token over {} tokens of answers (the base model's: {:.4})",
        summary.val_loss, summary.val_tokens, summary.base_val_loss
    )?;
    print_validity(&mut out, &summary.format)
}

fn print_validity(out: &mut impl std::io::Write, format: &Validity) -> Result<()> {
    writeln!(
        out,
        "{} of {} answers to held-out questions are well-formed ({:.1} %): {} did not end, {} held a foreign special \
         token; {} are the held-out answer",
        format.valid,
        format.prompts,
        format.valid_share * 100.0,
        format.unended,
        format.foreign,
        format.exact
    )?;
    Ok(())
}

fn run_eval_chat(args: &EvalChatArgs) -> Result<()> {
    let config = args.draw.config()?;
    let (device, _) = device::open(&args.draw.device.device)?;
    let checkpoint = open_checkpoint(&args.draw.checkpoint)?;
    let tokenizer = checkpoint.tokenizer()?;
    let format = chat::format_of(&checkpoint, &tokenizer)?;
    let (model, weights) = checkpoint.model(&device)?;
    let name = args.draw.checkpoint.display().to_string();
    let val = conversations::open(&args.shards, &tokenizer, &name, model.config.context)?.val;
    let rows = val.in_order(checkpoint.state.config.train.batch);
    let score = evaluate::score_batches(&model, &weights, &tokenizer, rows)?;
    let chat = ChatModel { model: &model, weights: &weights, tokenizer: &tokenizer, format };
    let format = chat::validity(&chat, &val, &config, args.draw.seed, args.questions)?;
    let mut out = std::io::stdout().lock();
    if args.json {
        let report = serde_json::json!({
            "val_loss": score.loss,
            "bits_per_byte": score.bits_per_byte,
            "val_tokens": score.tokens,
            "conversations": val.len(),
            "format": format,
            "step": checkpoint.state.step,
        });
        writeln!(out, "{report}")?;
        return Ok(());
    }
    writeln!(
        out,
        "validation loss {:.4} nats/token, {:.4} bits/byte over {} tokens of answers in {} conversations",
        score.loss,
        score.bits_per_byte,
        score.tokens,
        val.len()
    )?;
    print_validity(&mut out, &format)
}

fn run_chat(args: &ChatArgs) -> Result<()> {
    let config = args.draw.config()?;
    let (device, _) = device::open(&args.draw.device.device)?;
    let checkpoint = open_checkpoint(&args.draw.checkpoint)?;
    let tokenizer = checkpoint.tokenizer()?;
    let (model, weights) = checkpoint.model(&device)?;
    if checkpoint.state.config.sft.is_none() {
        ensure!(
            args.system.is_none(),
            "--system: this is a base model, which knows no turns\nhint: `gristmill-train sft` makes a chat model of it"
        );
        return continue_lines(args, &config, &tokenizer, &model, &weights);
    }
    let format = chat::format_of(&checkpoint, &tokenizer)?;
    let chat = ChatModel { model: &model, weights: &weights, tokenizer: &tokenizer, format };
    let mut session = Session { chat, config, messages: Vec::new() };
    session.set_system(args.system.as_deref().unwrap_or_default());
    let on_terminal = std::io::stdin().is_terminal() && args.prompt.is_none();
    if on_terminal {
        eprintln!("/system TEXT sets what the system says, /reset forgets all turns, an empty line ends.");
    }
    let mut lines = Lines::new(args.prompt.as_deref());
    let mut out = std::io::stdout().lock();
    let mut turn = 0;
    while let Some(line) = lines.read()? {
        if line == "/reset" {
            session.reset();
            continue;
        }
        if let Some(text) = line.strip_prefix("/system") {
            session.set_system(text.trim());
            continue;
        }
        let mut random = Random::named(args.draw.seed, &format!("chat/{turn}"));
        turn += 1;
        let answered = session.say(&line, &mut random, |text| {
            if args.json { Ok(()) } else { write!(out, "{}", printable(text)).and_then(|()| out.flush()) }
        });
        let (text, answer) = match answered {
            Ok(answered) => answered,
            // A message that is too long is no reason to end a conversation.
            Err(error) if on_terminal && !is_closed_pipe(&error) => {
                eprintln!("error: {}", printable(&format!("{error:#}")));
                continue;
            }
            Err(error) => return Err(error),
        };
        let ended = answer.end == End::Turn;
        if args.json {
            let line = serde_json::json!({"prompt": line, "text": text, "ids": answer.ids, "ended": ended});
            writeln!(out, "{line}")?;
        } else {
            writeln!(out, "{}", if ended { "" } else { " […]" })?;
        }
        out.flush()?;
    }
    Ok(())
}

/// What a person says: one line that was given, or standard input to its first empty line.
struct Lines<'a> {
    given: Option<&'a str>,
    input: Option<std::io::Lines<std::io::StdinLock<'static>>>,
}

impl<'a> Lines<'a> {
    fn new(given: Option<&'a str>) -> Self {
        Self { given, input: given.is_none().then(|| std::io::stdin().lock().lines()) }
    }

    fn read(&mut self) -> Result<Option<String>> {
        let Some(input) = &mut self.input else { return Ok(self.given.take().map(str::to_owned)) };
        if std::io::stdin().is_terminal() {
            eprint!("> ");
        }
        let line = input.next().transpose().context("cannot read standard input as UTF-8 text")?;
        Ok(line.filter(|line| !line.is_empty()))
    }
}

/// A base model's chat: it continues each line.
fn continue_lines(
    args: &ChatArgs,
    config: &SampleConfig,
    tokenizer: &Tokenizer,
    model: &Model,
    weights: &Weights,
) -> Result<()> {
    eprintln!(
        "this is a base model: it continues what you write and knows no turns or answers. An empty line ends."
    );
    let mut lines = Lines::new(args.prompt.as_deref());
    let mut out = std::io::stdout().lock();
    let mut turn = 0;
    while let Some(line) = lines.read()? {
        let mut random = Random::named(args.draw.seed, &format!("chat/{turn}"));
        turn += 1;
        let prompt = prompt_ids(tokenizer, &line);
        // Shown as it is written, up to the last whole character.
        let (mut ids, mut shown) = (Vec::new(), 0);
        let mut failure = Ok(());
        generate(model, weights, &prompt, config, tokenizer.bos(), &mut random, |id| {
            ids.push(id);
            let text = tokenizer.decode_lossy(&ids);
            let whole = text.trim_end_matches('\u{fffd}').len();
            if whole > shown && failure.is_ok() && !args.json {
                failure = write!(out, "{}", printable(&text[shown..whole])).and_then(|()| out.flush());
                shown = whole;
            }
        })?;
        failure?;
        if args.json {
            let text = tokenizer.decode_lossy(&ids);
            write!(out, "{}", serde_json::json!({"prompt": line, "text": text, "ids": ids, "ended": false}))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn run_import(args: &ImportArgs) -> Result<()> {
    let (device, _) = device::open("cpu")?;
    let pretrained = huggingface::read(&args.hf)?;
    ensure!(
        checkpoint::latest(&args.out).is_none(),
        "`{}` already holds a checkpoint\nhint: another --out keeps both",
        args.out.display()
    );
    let Pretrained { model, values, tokenizer_json } = pretrained;
    let tokenizer = tokenizer_json
        .as_deref()
        .map(|json| {
            let path = args.hf.join("tokenizer.json");
            Tokenizer::from_json(json).with_context(|| format!("in `{}`", path.display()))
        })
        .transpose()?;
    let weights = Weights(values.into_iter().map(|values| vector(values, &device)).collect());
    let config = RunConfig::of(model.config.clone());
    let data = DataIdentity {
        tokenizer: tokenizer.as_ref().map(Tokenizer::hash).unwrap_or_default(),
        shards: "imported".to_owned(),
    };
    checkpoint::save_model(&args.out, (&model, &weights), &config, &data, tokenizer_json.as_deref())?;
    writeln!(
        std::io::stdout(),
        "{} parameters, vocabulary {}, context {}: `{}`{}",
        model.parameter_count(),
        model.vocabulary,
        model.config.context,
        args.out.display(),
        if tokenizer.is_none() {
            "; no tokenizer.json, so it can be scored and exported, not sampled"
        } else {
            ""
        }
    )?;
    Ok(())
}

fn run_export(args: &ExportArgs) -> Result<()> {
    let (device, _) = device::open("cpu")?;
    let checkpoint = open_checkpoint(&args.checkpoint)?;
    let (model, weights) = checkpoint.model(&device)?;
    let tokenizer_json = checkpoint.tokenizer_json()?;
    match args.to {
        ExportFormat::Hf => {
            let tokenizer = tokenizer_json.is_some().then(|| checkpoint.tokenizer()).transpose()?;
            let boundary = tokenizer.as_ref().and_then(|tokenizer| {
                let id = tokenizer.bos()?;
                let (name, _) = tokenizer.specials().iter().find(|(_, special)| *special == id)?;
                Some((id, name.as_str()))
            });
            let weights = checkpoint::model_file(&model, &weights)?;
            let tokenizer = tokenizer_json.as_deref().map(|json| (json, boundary));
            huggingface::write(&args.out, &Export { model: &model, weights: &weights, tokenizer })?;
        }
        ExportFormat::Gguf => {
            let values: Vec<Vec<f32>> = weights
                .0
                .into_iter()
                .map(|w| w.into_data().try_into_vec::<f32>())
                .collect::<Result<_, _>>()
                .map_err(|error| anyhow::anyhow!("the weights are not f32: {error:?}"))?;
            let precision = match args.precision {
                GgufPrecision::F16 => Precision::F16,
                GgufPrecision::Q8_0 => Precision::Q8_0,
            };
            let remarks = gguf::write(&args.out, (&model, &values), tokenizer_json.as_deref(), precision)?;
            for remark in remarks {
                eprintln!("note: {remark}");
            }
        }
    }
    Ok(())
}

fn run_logits(args: &LogitsArgs) -> Result<()> {
    let (device, _) = device::open(&args.device.device)?;
    let (model, weights) = open_checkpoint(&args.checkpoint)?.model(&device)?;
    let (n, context) = (args.ids.len(), model.config.context);
    ensure!(n <= context, "{n} token ids, and the model reads at most {context} (model.context)");
    if let Some(id) = args.ids.iter().find(|&&id| id as usize >= model.vocabulary) {
        anyhow::bail!("token id {id}: the vocabulary has {}", model.vocabulary);
    }
    let logits = model.logits(&weights, token_tensor(&args.ids, 1, n, &device), None);
    let logits = logits.into_data();
    let logits =
        logits.as_slice::<f32>().map_err(|error| anyhow::anyhow!("the logits are not f32: {error:?}"))?;
    let mut out = std::io::stdout().lock();
    for row in logits.chunks_exact(model.vocabulary) {
        writeln!(out, "{}", serde_json::to_string(row)?)?;
    }
    Ok(())
}

fn run_selftest(args: &DeviceArgs) -> Result<()> {
    let (device, place) = device::open(&args.device)?;
    let (reference, _) = device::open("cpu")?;
    let mut out = std::io::stdout().lock();
    for comparison in selftest::run(&device, place, &reference)? {
        writeln!(
            out,
            "{:8} ok: gradients within {:.1e}, losses of 20 steps within {:.1e} of the plain CPU operations",
            comparison.shape, comparison.gradient, comparison.loss
        )?;
    }
    if place == Place::Device {
        print_speed(&mut out, &bench_config(&[])?, 5, None, (device, place))?;
    }
    Ok(())
}

fn bench_config(set: &[String]) -> Result<(RunConfig, usize)> {
    let (config, vocabulary) = bench::configuration();
    Ok((RunConfig::parse(&config.to_toml()?, set)?, vocabulary))
}

fn run_bench(args: &BenchArgs) -> Result<()> {
    ensure!(args.steps >= 1, "--steps 0: nothing to time");
    let device = device::open(&args.device.device)?;
    print_speed(&mut std::io::stdout().lock(), &bench_config(&args.set)?, args.steps, args.peak, device)
}

fn print_speed(
    out: &mut impl std::io::Write,
    (config, vocabulary): &(RunConfig, usize),
    steps: u64,
    peak: Option<f64>,
    (device, place): (Device, Place),
) -> Result<()> {
    let speed = bench::run(config, *vocabulary, steps, &device, place)?;
    let achieved = speed.tokens_per_second * speed.flops_per_token;
    writeln!(
        out,
        "{:.1} M parameters, {} x {} tokens a step, loss {:.4}: {:.0} tokens/s",
        speed.parameters as f64 / 1e6,
        config.train.batch,
        config.model.context,
        speed.loss,
        speed.tokens_per_second
    )?;
    writeln!(
        out,
        "{:.1} GFLOP/s = tokens/s x {:.1} MFLOP a token (6 x matrix parameters + 12 x layers x width x context)",
        achieved / 1e9,
        speed.flops_per_token / 1e6
    )?;
    if let Some(peak) = peak {
        writeln!(out, "MFU {:.1} % of {peak} TFLOP/s", achieved / (peak * 1e12) * 100.0)?;
    }
    Ok(())
}
