//! `bench-tiktoken-rs NAME TEXTS.jsonl PASSES` encodes every `text` with tiktoken-rs, one thread, and prints as JSON the
//! processor time of each pass in seconds, and bytes, tokens and a digest of the ids.

use std::io::BufRead;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, texts, passes] = &arguments[..] else {
        return Err("usage: bench-tiktoken-rs NAME TEXTS.jsonl PASSES".into());
    };
    let tokenizer = match &name[..] {
        "r50k_base" => tiktoken_rs::r50k_base()?,
        "cl100k_base" => tiktoken_rs::cl100k_base()?,
        "o200k_base" => tiktoken_rs::o200k_base()?,
        _ => return Err(format!("no vocabulary `{name}`").into()),
    };
    let mut documents = Vec::new();
    for line in std::io::BufReader::new(std::fs::File::open(texts)?).lines() {
        let line: serde_json::Value = serde_json::from_str(&line?)?;
        documents.push(line["text"].as_str().ok_or("a line without `text`")?.to_owned());
    }
    let (mut seconds, mut tokens, mut digest) = (Vec::new(), 0, 0_u64);
    for _ in 0..passes.parse()? {
        (tokens, digest) = (0, 0);
        let began = processor_seconds()?;
        for text in &documents {
            for id in tokenizer.encode_ordinary(text) {
                tokens += 1;
                digest = (digest ^ u64::from(id)).wrapping_mul(0x0000_0100_0000_01B3);
            }
        }
        seconds.push(processor_seconds()? - began);
    }
    let bytes: usize = documents.iter().map(String::len).sum();
    println!(
        "{}",
        serde_json::json!({"seconds": seconds, "bytes": bytes, "tokens": tokens, "digest": format!("{digest:016x}")})
    );
    Ok(())
}

/// Of this process, to the nanosecond: what Linux counts for its only thread.
fn processor_seconds() -> std::io::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/schedstat")?;
    let nanoseconds = stat.split(' ').next().and_then(|n| n.parse::<f64>().ok());
    nanoseconds.map(|n| n / 1e9).ok_or_else(|| std::io::Error::other("/proc/self/schedstat is no list of numbers"))
}
