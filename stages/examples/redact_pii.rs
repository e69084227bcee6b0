//! Redacts the `text` of JSONL: `redact_pii [CONFIG.toml] < documents.jsonl > redacted.jsonl`. The configuration is the stage's own table
//! without `kind`. Bytes of text and seconds on the processor, of the median of 9 rounds, go to stderr as JSON.

use std::io::{Read, Write};

use gristmill_stages::redact_pii::RedactPii;
use processor_time::Stopwatch;
use serde_json::{Value, json};

#[path = "support/processor_time.rs"]
mod processor_time;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pii: RedactPii = match std::env::args().nth(1) {
        Some(path) => toml::from_str(&std::fs::read_to_string(path)?)?,
        None => RedactPii::default(),
    };
    let mut lines = String::new();
    std::io::stdin().read_to_string(&mut lines)?;
    let texts: Vec<String> = lines
        .lines()
        .map(|line| Ok(serde_json::from_str::<Value>(line)?["text"].as_str().unwrap_or("").to_owned()))
        .collect::<Result<_, serde_json::Error>>()?;
    let n_bytes: usize = texts.iter().map(String::len).sum();
    // A round is long enough to be measured.
    let n_passes = (200_000_000 / n_bytes.max(1)).max(1);
    let mut seconds = Vec::new();
    for _ in 0..9 {
        let watch = Stopwatch::start();
        for _ in 0..n_passes {
            let n_bytes: usize = texts.iter().map(|text| pii.redact(text).len()).sum();
            std::hint::black_box(n_bytes);
        }
        seconds.push(watch.seconds() / n_passes as f64);
    }
    seconds.sort_by(f64::total_cmp);
    eprintln!("{}", json!({ "documents": texts.len(), "bytes": n_bytes, "redact_s": seconds[4] }));
    let mut output = std::io::BufWriter::new(std::io::stdout().lock());
    for text in &texts {
        writeln!(output, "{}", json!({ "text": pii.redact(text) }))?;
    }
    Ok(())
}
