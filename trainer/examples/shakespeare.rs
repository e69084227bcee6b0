//! Trains `configs/train/shakespeare-char.toml` on the characters of one text, its first nine tenths against its last.
//!
//!     cargo run --release --workspace --example shakespeare -- tinyshakespeare.txt OUT

use std::path::Path;

use anyhow::{Context, Result, ensure};
use gristmill_tokenizer::{Pattern, PretokenCounts, TrainOptions, train};
use gristmill_train::checkpoint::DataIdentity;
use gristmill_train::config::RunConfig;
use gristmill_train::device;
use gristmill_train::pretrain::{Pretraining, pretrain};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [text, out, set @ ..] = arguments.as_slice() else {
        anyhow::bail!("usage: shakespeare TEXT OUT [KEY=VALUE]...");
    };
    let text = std::fs::read_to_string(text).with_context(|| format!("cannot read `{text}`"))?;
    ensure!(text.is_ascii(), "a text beyond ASCII has more bytes than characters");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/train/shakespeare-char.toml");
    let config = RunConfig::load(&path, set)?;
    // Without merges every byte is a token: the losses are those of characters.
    let counts = PretokenCounts::new(Pattern::gpt2());
    let tokenizer = train(&counts, &TrainOptions { vocab_size: 256 + 16, ..TrainOptions::default() })?;
    let ids = tokenizer.encode(&text);
    ensure!(ids.len() == text.len(), "{} tokens of {} characters", ids.len(), text.len());
    let (learnt, held) = ids.split_at(ids.len() * 9 / 10);
    let (learnt, held) = (learnt.to_vec(), held.to_vec());
    let (device, place) = device::open("cpu")?;
    let summary = pretrain(&Pretraining {
        config: &config,
        train: &learnt,
        sources: &[],
        val: &held,
        tokenizer: &tokenizer,
        tokenizer_json: tokenizer.to_json().as_bytes(),
        data: DataIdentity { tokenizer: tokenizer.hash(), shards: "shakespeare".to_owned() },
        out: Path::new(out),
        resume: false,
        device,
        place,
        stop_after: None,
    })?;
    println!("{}", serde_json::to_string_pretty(&summary.expect("nothing stops it early"))?);
    Ok(())
}
