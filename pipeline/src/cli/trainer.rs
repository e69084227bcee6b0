//! Commands that `gristmill-train` does: handed over with all their arguments.

use std::ffi::OsString;

use super::Exit;
use crate::exec;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Pretrain a model on token shards (`gristmill-train pretrain`).
    #[command(disable_help_flag = true)]
    Train(Rest),
    /// Fine-tune a base model on conversations (`gristmill-train sft`).
    #[command(disable_help_flag = true)]
    Sft(Rest),
    /// Write text with a model (`gristmill-train sample`).
    #[command(disable_help_flag = true)]
    Sample(Rest),
    /// Talk to a model (`gristmill-train chat`).
    #[command(disable_help_flag = true)]
    Chat(Rest),
    /// Measure a model (`gristmill-train eval`).
    #[command(disable_help_flag = true)]
    Eval(Rest),
}

#[derive(Debug, clap::Args)]
pub struct Rest {
    /// Handed over as they are; `--help` shows them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

pub fn main(command: &Command) -> anyhow::Result<Exit> {
    let (word, rest) = match command {
        Command::Train(rest) => ("pretrain", rest),
        Command::Sft(rest) => ("sft", rest),
        Command::Sample(rest) => ("sample", rest),
        Command::Chat(rest) => ("chat", rest),
        Command::Eval(rest) => ("eval", rest),
    };
    let program = exec::trainer().unwrap_or_else(|| "gristmill-train".into());
    let status = std::process::Command::new(&program).arg(word).args(&rest.arguments).status().map_err(|error| {
        anyhow::anyhow!(
            "cannot start `gristmill-train`: {error}\nhint: `cargo build --release` makes it beside `gristmill`"
        )
    })?;
    Ok(Exit::Of(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}
