//! How fast is it? `cargo run --release -p gristmill-tokenizer --example speed -- VOCAB_SIZE SAVE_TO.json TEXT_FILE...`
//! trains on the files (a line a document, gzipped or not), then encodes them; `-` in place of VOCAB_SIZE loads
//! SAVE_TO.json instead of training.

use gristmill_tokenizer::{Pattern, PretokenCounts, Tokenizer, TrainOptions, train};
use std::io::Read;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [vocab_size, save_to, files @ ..] = &arguments[..] else {
        return Err("usage: speed VOCAB_SIZE|- TOKENIZER.json TEXT_FILE...".into());
    };
    let mut texts = Vec::new();
    for file in files {
        let mut bytes = std::fs::read(file)?;
        if bytes.starts_with(&[0x1F, 0x8B]) {
            let mut plain = Vec::new();
            flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut plain)?;
            bytes = plain;
        }
        texts.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    let megabytes = texts.iter().map(String::len).sum::<usize>() as f64 / 1e6;
    println!("{megabytes:.1} MB of text");

    let tokenizer = if vocab_size == "-" {
        let start = Instant::now();
        let tokenizer = Tokenizer::load(save_to)?;
        println!("load: {:.3} s", start.elapsed().as_secs_f64());
        tokenizer
    } else {
        let start = Instant::now();
        let mut counts = PretokenCounts::new(Pattern::nanochat());
        for line in texts.iter().flat_map(|text| text.lines()) {
            counts.add(line);
        }
        let seconds = start.elapsed().as_secs_f64();
        println!("count: {seconds:.2} s, {:.1} MB/s, {} pre-tokens", megabytes / seconds, counts.len());
        let start = Instant::now();
        let options = TrainOptions { vocab_size: vocab_size.parse()?, ..TrainOptions::default() };
        let tokenizer = train(&counts, &options)?;
        println!("train: {:.2} s for {} merges", start.elapsed().as_secs_f64(), tokenizer.n_merges());
        tokenizer.save(save_to)?;
        tokenizer
    };

    let start = Instant::now();
    let (mut ids, mut n) = (Vec::new(), 0);
    for line in texts.iter().flat_map(|text| text.lines()) {
        ids.clear();
        tokenizer.encode_into(line, &mut ids);
        n += ids.len();
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "encode: {seconds:.2} s, {:.1} MB/s, {:.3} bytes a token",
        megabytes / seconds,
        megabytes * 1e6 / n as f64
    );
    Ok(())
}
