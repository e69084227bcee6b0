//! `probe`: what a chat model does not know, and the conversations that teach it to say so.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use gristmill_tokenizer::conversation::{Message, Role};

use gristmill_train::chat::{self, ChatModel};
use gristmill_train::probe::{Asked, Report, Teaching, questions, report};
use gristmill_train::random::Random;
use gristmill_train::{pretrain, progress};

use super::options::{DrawArgs, Opened};

#[derive(Args)]
pub struct Arguments {
    /// JSON lines {"question": …, "answer": …}; the answer may be a list of right ones.
    #[arg(long, value_name = "FILE")]
    questions: PathBuf,
    /// Ask each so many times.
    #[arg(short, long, default_value_t = 5, value_name = "N")]
    number: usize,
    /// Known is what at least this share of the answers gets right.
    #[arg(long, default_value_t = 0.8, value_name = "SHARE")]
    known: f64,
    /// Unknown is what at most this share gets right.
    #[arg(long, default_value_t = 0.2, value_name = "SHARE")]
    unknown: f64,
    /// What to say where the model does not know; give it several times for several ways to say it.
    #[arg(long, value_name = "TEXT", default_value = "I do not know.")]
    refusal: Vec<String>,
    /// Write conversations for the next fine-tuning here, as JSON lines that `openai_messages` reads.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    draw: DrawArgs,
}

pub fn run(args: &Arguments) -> Result<()> {
    let config = args.draw.config()?;
    ensure!(args.number >= 1, "--number 0: nothing to ask");
    let teaching = Teaching { known: args.known, unknown: args.unknown, refusals: args.refusal.clone() };
    teaching.check()?;
    let name = args.questions.display();
    let text = std::fs::read_to_string(&args.questions).with_context(|| format!("cannot read `{name}`"))?;
    let questions = questions(&text).with_context(|| format!("in `{name}`"))?;
    ensure!(!questions.is_empty(), "`{name}` holds no question");

    let Opened { checkpoint, tokenizer, model, weights } = args.draw.open()?;
    let format = chat::format_of(&checkpoint, &tokenizer)?;
    let chat = ChatModel { model: &model, weights: &weights, tokenizer: &tokenizer, format };
    let bar = progress::documents("probe", questions.len());
    let mut asked = Vec::with_capacity(questions.len());
    for (index, question) in questions.iter().enumerate() {
        let prompt = chat.prompt(&[Message::new(Role::User, question.question.clone())], config.tokens)?;
        let mut written = Vec::with_capacity(args.number);
        for time in 0..args.number {
            let mut random = Random::named(args.draw.seed, &format!("probe/{index}/{time}"));
            let answer = chat.answer(&prompt, &config, &mut random, |_| ())?;
            written.push(tokenizer.decode_lossy(&answer.ids));
        }
        asked.push(Asked { question, written });
        bar.set_position(index as u64 + 1);
    }
    bar.finish_and_clear();

    if let Some(path) = &args.out {
        let mut lines = String::new();
        for row in asked.iter().filter_map(|asked| teaching.conversation(asked)) {
            lines.push_str(&row.to_string());
            lines.push('\n');
        }
        pretrain::write_whole(path, lines.as_bytes())?;
    }
    let report = report(&asked, &teaching);
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
        return Ok(());
    }
    let Report { questions, known, unknown, unsure, answers, right, declined, wrong, wrong_share } = report;
    let (share, (low, high)) = wrong_share;
    writeln!(out, "{questions} questions: {known} known, {unknown} unknown, {unsure} unsure")?;
    writeln!(
        out,
        "{answers} answers: {right} right, {declined} declined, {wrong} wrong ({:.1} %, 95 % interval {:.1} to {:.1} %)",
        share * 100.0,
        low * 100.0,
        high * 100.0
    )?;
    Ok(())
}
