//! `sample`: a checkpoint continues a prompt.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use gristmill_corpus::printable::printable;

use gristmill_train::few_shot::FewShot;
use gristmill_train::generate::{generate_batch, prompt_ids};
use gristmill_train::random::Random;

use super::options::{DrawArgs, Opened};

#[derive(Args)]
pub struct Arguments {
    /// Text to continue; an empty one starts a new document. With --prompts, a question to ask instead of the file's.
    #[arg(long, default_value = "", value_name = "TEXT")]
    prompt: String,
    /// A few-shot prompt that makes a base model answer: a TOML or JSON file of an instruction, solved examples and questions, such
    /// as configs/prompts/assistant.toml. Prints each question's answer.
    #[arg(long, value_name = "FILE")]
    prompts: Option<PathBuf>,
    /// How many continuations.
    #[arg(short, long, default_value_t = 1, value_name = "N")]
    number: usize,
    /// Print one JSON object a continuation: prompt, text, ids; with --prompts also whether the answer was ended.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    draw: DrawArgs,
}

pub fn run(args: &Arguments) -> Result<()> {
    let config = args.draw.config()?;
    let Opened { tokenizer, model, weights, .. } = args.draw.open()?;
    let few_shot = args.prompts.as_deref().map(FewShot::load).transpose()?;
    let asked: Vec<&str> = match &few_shot {
        Some(few_shot) if args.prompt.is_empty() => few_shot.questions.iter().map(String::as_str).collect(),
        _ => vec![&args.prompt],
    };
    ensure!(!asked.is_empty(), "the file of --prompts holds no `questions`, and there is no --prompt to ask");
    // Each is asked `number` times.
    let asked: Vec<&str> =
        asked.into_iter().flat_map(|asked| std::iter::repeat_n(asked, args.number)).collect();
    let prompt = |asked: &&str| {
        let text = few_shot.as_ref().map_or_else(|| (*asked).to_owned(), |few_shot| few_shot.prompt(asked));
        prompt_ids(&tokenizer, &text)
    };
    let prompts: Vec<Vec<u32>> = asked.iter().map(prompt).collect();
    let context = model.config.context;
    if few_shot.is_some() {
        let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
        ensure!(
            longest < context,
            "the prompt has {longest} tokens, and the model reads {context}: nothing is left for an answer\n\
             hint: fewer or shorter examples"
        );
    }
    let mut randoms: Vec<Random> =
        (0..prompts.len()).map(|i| Random::named(args.draw.seed, &format!("sample/{i}"))).collect();
    let all = generate_batch(&model, &weights, &prompts, &config, tokenizer.bos(), &mut randoms, |_, _| ())?;
    let mut out = std::io::stdout().lock();
    if let Some(few_shot) = &few_shot {
        for (question, ids) in asked.iter().zip(all) {
            let text = tokenizer.decode_lossy(&ids);
            let (answer, ended) = few_shot.answer(&text);
            if args.json {
                let line =
                    serde_json::json!({"prompt": question, "text": answer, "ids": ids, "ended": ended});
                writeln!(out, "{line}")?;
            } else {
                let more = if ended { "" } else { " […]" };
                writeln!(out, "{}\n  {}{more}", printable(question), printable(answer))?;
            }
        }
        return Ok(());
    }
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
