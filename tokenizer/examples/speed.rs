//! How fast is it? What scripts/compare_tokenizer.py and scripts/compare_tokenizer_training.py run beside its peers.
//!
//! `cargo run --release -p gristmill-tokenizer --example speed -- …`, with texts as JSON lines {text}, one thread, and
//! processor time in seconds, as JSON:
//!
//! - `encode TOKENIZER TEXTS.jsonl PASSES`: of each pass, and bytes, tokens and a digest of the ids. The first pass finds
//!   the cache of pieces empty.
//! - `ids TOKENIZER TEXTS.jsonl`: the ids, a JSON list a line.
//! - `train VOCAB_SIZE PATTERN TEXTS.jsonl OUT.json`: of counting and of learning. TOKENIZER is a name such as
//!   `cl100k_base` or a file.

use gristmill_tokenizer::{Pattern, PretokenCounts, Tokenizer, TrainOptions, train};
use std::io::{BufRead, Write};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["encode", tokenizer, file, passes] => encode(&load(tokenizer)?, &texts(file)?, passes.parse()?),
        ["ids", tokenizer, file] => {
            let (tokenizer, mut out) = (load(tokenizer)?, std::io::stdout().lock());
            for text in texts(file)? {
                writeln!(out, "{:?}", tokenizer.encode(&text))?;
            }
            Ok(())
        }
        ["train", vocab_size, pattern, file, out] => learn(vocab_size.parse()?, pattern, &texts(file)?, out),
        _ => Err("usage: speed encode TOKENIZER TEXTS PASSES | ids TOKENIZER TEXTS | train VOCAB_SIZE PATTERN TEXTS OUT"
            .into()),
    }
}

fn load(name_or_file: &str) -> Result<Tokenizer> {
    Ok(Tokenizer::named(name_or_file).map_or_else(|| Tokenizer::load(name_or_file), Ok)?)
}

fn texts(file: &str) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for line in std::io::BufReader::new(std::fs::File::open(file)?).lines() {
        let line: serde_json::Value = serde_json::from_str(&line?)?;
        texts.push(line["text"].as_str().ok_or("a line without `text`")?.to_owned());
    }
    Ok(texts)
}

fn encode(tokenizer: &Tokenizer, texts: &[String], passes: usize) -> Result<()> {
    let (mut seconds, mut ids, mut tokens, mut digest) = (Vec::new(), Vec::new(), 0, 0_u64);
    for _ in 0..passes {
        (tokens, digest) = (0, 0);
        let began = processor_seconds()?;
        for text in texts {
            ids.clear();
            tokenizer.encode_into(text, &mut ids);
            tokens += ids.len();
            digest =
                ids.iter().fold(digest, |sum, id| (sum ^ *id as u64).wrapping_mul(0x0000_0100_0000_01B3));
        }
        seconds.push(processor_seconds()? - began);
    }
    let bytes: usize = texts.iter().map(String::len).sum();
    let digest = format!("{digest:016x}");
    println!(
        "{}",
        serde_json::json!({"seconds": seconds, "bytes": bytes, "tokens": tokens, "digest": digest})
    );
    Ok(())
}

fn learn(vocab_size: usize, pattern: &str, texts: &[String], out: &str) -> Result<()> {
    rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global()?;
    let began = processor_seconds()?;
    let mut counts = PretokenCounts::new(Pattern::parse(pattern)?);
    for text in texts {
        counts.add(text);
    }
    let counted = processor_seconds()?;
    let options = TrainOptions { vocab_size, specials: Vec::new(), ..TrainOptions::default() };
    let tokenizer = train(&counts, &options)?;
    let learned = processor_seconds()?;
    tokenizer.save(out)?;
    println!(
        "{}",
        serde_json::json!({
            "count_seconds": counted - began, "learn_seconds": learned - counted,
            "pretokens": counts.len(), "merges": tokenizer.n_merges(),
        })
    );
    Ok(())
}

/// Of this process, to the nanosecond: what Linux counts for its only thread.
fn processor_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds: f64 = stat.split(' ').next().unwrap_or_default().parse()?;
    Ok(nanoseconds / 1e9)
}
