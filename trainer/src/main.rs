//! The `gristmill-train` command. Each of its commands is a file in `commands/`.

mod commands;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use gristmill_corpus::printable::printable;

use commands::{
    bench, chat, eval, eval_chat, export, import, logits, pack, plan, pretrain, probe, sample, selftest, sft,
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
    Pretrain(pretrain::Arguments),
    /// What a run will cost: parameters, tokens, memory, and time on known hardware. Reads no data.
    Plan(plan::Arguments),
    /// Make a chat model of a base model: learn from conversations what the assistant writes.
    Sft(sft::Arguments),
    /// Let a checkpoint continue a prompt.
    Sample(sample::Arguments),
    /// Held-out loss and bits per byte of a checkpoint on token shards.
    Eval(eval::Arguments),
    /// Talk to a chat model. A base model continues what you write, line by line.
    Chat(chat::Arguments),
    /// Held-out loss of a chat model, and the share of its answers that are well-formed.
    EvalChat(eval_chat::Arguments),
    /// Find what a chat model does not know, and write conversations that teach it to say so.
    Probe(probe::Arguments),
    /// Rows of token shards as a run would pack them: padding, documents cut, and what other ways would lose.
    Pack(pack::Arguments),
    /// Make a checkpoint of a published model: a folder with config.json, model.safetensors and tokenizer.json.
    Import(import::Arguments),
    /// Write a checkpoint for other programs: Hugging Face's folder, or one GGUF file.
    Export(export::Arguments),
    /// Logits after each of some token ids, one JSON array a line: for comparing with other programs.
    Logits(logits::Arguments),
    /// Check that a device computes what the plain CPU operations compute.
    Selftest(selftest::Arguments),
    /// Training tokens a second on a fixed 13.9 M-parameter configuration.
    Bench(bench::Arguments),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Pretrain(args) => pretrain::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Sft(args) => sft::run(&args),
        Command::Sample(args) => sample::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Probe(args) => probe::run(&args),
        Command::Pack(args) => pack::run(&args),
        Command::Chat(args) => chat::run(&args),
        Command::EvalChat(args) => eval_chat::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Logits(args) => logits::run(&args),
        Command::Selftest(args) => selftest::run(&args),
        Command::Bench(args) => bench::run(&args),
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
