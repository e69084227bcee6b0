//! `gristmill tokenizer`.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use gristmill_corpus::printable::printable;
use gristmill_tokenizer::{NAMES, Pattern, PretokenCounts, Tokenizer, TrainOptions};
use rayon::prelude::*;
use serde_json::{Value, json};

use super::{Exit, lines, print};
use crate::report::rows;

mod show;
mod stats;

/// Train a byte-level BPE tokenizer, or use one.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Train on files: Parquet and JSON lines by their `text`, anything else as one plain text.
    Train {
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Ids in all: 256 bytes, merges and special tokens.
        #[arg(long, value_name = "N", default_value_t = 32_768)]
        vocab_size: usize,
        /// How text is cut before merging: gpt2, cl100k, o200k, nanochat or a regular expression.
        #[arg(long, value_name = "PATTERN", default_value = "cl100k")]
        pattern: String,
        /// Stop when the best pair occurs less often than this.
        #[arg(long, value_name = "N", default_value_t = 2)]
        minimum_pair_count: u64,
        /// Where to write the tokenizer.
        #[arg(long, value_name = "FILE", default_value = "tokenizer.json")]
        out: PathBuf,
    },
    /// Text on standard input to ids.
    Encode {
        #[command(flatten)]
        which: Which,
        /// Read JSON lines {id, text} and write {id, ids}.
        #[arg(long, conflicts_with = "show")]
        json: bool,
        /// Print the text in a colour a token, and the ids in the same colours below. `|` stands between tokens where
        /// there is no colour (NO_COLOR, or no terminal).
        #[arg(long)]
        show: bool,
    },
    /// Ids on standard input to text.
    Decode {
        #[command(flatten)]
        which: Which,
        /// Read JSON lines {id, ids} and write {id, text}.
        #[arg(long)]
        json: bool,
    },
    /// Bytes per token on files, by file and by language, beside r50k_base, cl100k_base and o200k_base; how much of the
    /// vocabulary they use; the longest tokens that they use. Files are read as `train` reads them.
    Stats {
        #[command(flatten)]
        which: Which,
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Which {
    /// r50k_base, cl100k_base or o200k_base, a tokenizer.json, a tiktoken file, or a folder that holds a tokenizer.json
    /// (such as a published stage).
    #[arg(long, value_name = "NAME_OR_FILE")]
    tokenizer: PathBuf,
}

impl Which {
    fn load(&self) -> anyhow::Result<Tokenizer> {
        let path = &self.tokenizer;
        if let Some(tokenizer) = path.to_str().and_then(Tokenizer::named) {
            return Ok(tokenizer);
        }
        if path.is_dir() {
            return Ok(Tokenizer::load(path.join("tokenizer.json"))?);
        }
        if !path.exists() {
            bail!(
                "there is no tokenizer `{}`\nhint: name {}, a tokenizer.json or a tiktoken file",
                path.display(),
                NAMES.join(", ")
            );
        }
        Ok(Tokenizer::load(path)?)
    }
}

pub fn main(arguments: &Arguments) -> anyhow::Result<Exit> {
    match &arguments.command {
        Command::Train { files, vocab_size, pattern, minimum_pair_count, out } => {
            let options = TrainOptions {
                vocab_size: *vocab_size,
                minimum_pair_count: *minimum_pair_count,
                ..TrainOptions::default()
            };
            train(files, &Pattern::parse(pattern)?, &options, out)
        }
        Command::Encode { which, json: true, .. } => {
            let tokenizer = which.load()?;
            lines::convert(std::io::stdin().lock(), |line| {
                let ids = tokenizer.encode(lines::field(line, "text")?);
                Ok(json!({"id": line["id"], "ids": ids}))
            })
        }
        Command::Encode { which, show, .. } => {
            let tokenizer = which.load()?;
            let mut text = String::new();
            std::io::stdin().lock().read_to_string(&mut text).context("standard input is no UTF-8 text")?;
            if *show {
                let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                let color = std::io::IsTerminal::is_terminal(&std::io::stdout()) && !no_color;
                print(&show::show(&tokenizer, &text, color))?;
                return Ok(Exit::Done);
            }
            let ids: Vec<String> = tokenizer.encode(&text).iter().map(u32::to_string).collect();
            print(&(ids.join(" ") + "\n"))?;
            Ok(Exit::Done)
        }
        Command::Decode { which, json: true } => {
            let tokenizer = which.load()?;
            lines::convert(std::io::stdin().lock(), |line| {
                let ids = line["ids"]
                    .as_array()
                    .context("no list `ids`; a line looks like {\"id\": …, \"ids\": […]}")?;
                let ids = ids.iter().map(id_of).collect::<anyhow::Result<Vec<u32>>>()?;
                Ok(json!({"id": line["id"], "text": tokenizer.decode_lossy(&ids)}))
            })
        }
        Command::Decode { which, json: false } => {
            let tokenizer = which.load()?;
            let mut text = String::new();
            std::io::stdin().lock().read_to_string(&mut text).context("standard input is no UTF-8 text")?;
            let ids = text
                .split(|c: char| c.is_whitespace() || c == ',')
                .filter(|word| !word.is_empty())
                .map(|word| word.parse().with_context(|| format!("`{word}` is no token id")))
                .collect::<anyhow::Result<Vec<u32>>>()?;
            print(&printable(&tokenizer.decode_lossy(&ids)))?;
            Ok(Exit::Done)
        }
        Command::Stats { which, files, json } => stats::stats(&which.load()?, files, *json),
    }
}

fn id_of(value: &Value) -> anyhow::Result<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok()).with_context(|| format!("{value} is no token id"))
}

fn train(files: &[PathBuf], pattern: &Pattern, options: &TrainOptions, out: &Path) -> anyhow::Result<Exit> {
    let counts = files
        .par_iter()
        .map(|path| {
            let mut counts = PretokenCounts::new(pattern.clone());
            texts(path, &["text"], &mut |batch| batch.iter().for_each(|one| counts.add(&one.text)))?;
            Ok(counts)
        })
        .try_reduce(
            || PretokenCounts::new(pattern.clone()),
            |mut a, b| {
                a.merge(b)?;
                Ok::<_, anyhow::Error>(a)
            },
        )?;
    let tokenizer = gristmill_tokenizer::train(&counts, options)?;
    tokenizer.save(out)?;
    if tokenizer.vocab_size() < options.vocab_size {
        eprintln!("no more pairs: {} ids instead of {}", tokenizer.vocab_size(), options.vocab_size);
    }
    print(&format!("{}: {} ids, {} merges\n", out.display(), tokenizer.vocab_size(), tokenizer.n_merges()))?;
    Ok(Exit::Done)
}

struct Text {
    text: String,
    /// Empty where a file does not say.
    language: String,
}

/// Visits the texts of a file, batch by batch: the `text` of documents, or the whole of a plain file.
fn texts(path: &Path, columns: &[&str], visit: &mut dyn FnMut(&[Text])) -> anyhow::Result<()> {
    if rows::Format::of(path).is_err() {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        visit(&[Text { text: String::from_utf8_lossy(&bytes).into_owned(), language: String::new() }]);
        return Ok(());
    }
    let mut has_text = false;
    let mut is_empty = true;
    rows::read_all(path, Some(columns), |batch| {
        is_empty = false;
        has_text |= batch.column_by_name("text").is_some();
        let texts: Vec<Text> = (0..batch.num_rows())
            .filter_map(|row| {
                let text = rows::cell(&batch, "text", row)?;
                Some(Text { text, language: rows::cell(&batch, "language", row).unwrap_or_default() })
            })
            .collect();
        visit(&texts);
        Ok(())
    })?;
    if !has_text && !is_empty {
        bail!("`{}` has no column `text`", path.display());
    }
    Ok(())
}
