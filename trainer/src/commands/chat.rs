//! `chat`: a conversation in the terminal.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Context, Result, ensure};
use clap::Args;
use gristmill_corpus::printable::printable;
use gristmill_tokenizer::Tokenizer;

use gristmill_train::chat;
use gristmill_train::chat::{ChatModel, End, Session};
use gristmill_train::config::SampleConfig;
use gristmill_train::generate::{Streamed, generate, prompt_ids};
use gristmill_train::model::{Model, Weights};
use gristmill_train::random::Random;

use super::options::{DrawArgs, Opened};
use crate::is_closed_pipe;

#[derive(Args)]
pub struct Arguments {
    /// What the system says before the first turn (chat models only).
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Say this and end with the answer, instead of reading standard input.
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// Answer the model's calls of a calculator, `{"name": "calculator", "arguments": {"expression": "6 * 7"}}` on a line, and let
    /// it go on. It computes, and does nothing else.
    #[arg(long)]
    tools: bool,
    /// Print one JSON object an answer: prompt, text, ids, ended, and with --tools the calls.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    draw: DrawArgs,
}

pub fn run(args: &Arguments) -> Result<()> {
    let config = args.draw.config()?;
    let Opened { checkpoint, tokenizer, model, weights } = args.draw.open()?;
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
        let show = |text: &str| {
            if args.json { Ok(()) } else { write!(out, "{}", printable(text)).and_then(|()| out.flush()) }
        };
        let answered = if args.tools {
            session.say_with_tools(&line, &mut random, show)
        } else {
            session.say(&line, &mut random, show).map(|(text, answer)| (text, answer, Vec::new()))
        };
        let (text, answer, calls) = match answered {
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
            let mut line =
                serde_json::json!({"prompt": line, "text": text, "ids": answer.ids, "ended": ended});
            if args.tools {
                line["calls"] = serde_json::to_value(calls)?;
            }
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
    args: &Arguments,
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
        let mut streamed = Streamed::new(tokenizer);
        let mut shown = Ok(());
        let ids = generate(model, weights, &prompt, config, tokenizer.bos(), &mut random, |id| {
            let new = streamed.push(id);
            if shown.is_ok() && !args.json && !new.is_empty() {
                shown = write!(out, "{}", printable(&new)).and_then(|()| out.flush());
            }
        })?;
        shown?;
        if args.json {
            let text = tokenizer.decode_lossy(&ids);
            write!(out, "{}", serde_json::json!({"prompt": line, "text": text, "ids": ids, "ended": false}))?;
        }
        writeln!(out)?;
    }
    Ok(())
}
