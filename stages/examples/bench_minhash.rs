//! How fast texts become band keys on one core: `cargo run --release -p gristmill-stages --example bench_minhash`.
//! With `--jsonl FILE [--passes N]` the texts of one file, for `scripts/compare_minhash.py`: processor seconds as JSON.
//!
//! Texts are those of `../shared/data`; each set is timed as the best of seven passes after one to warm up, since other
//! work on the machine only ever makes a pass slower.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::time::Instant;

use flate2::read::MultiGzDecoder;
use gristmill_stages::dedup::components::components;
use gristmill_stages::dedup::minhash::{MinHashParameters, MinHasher, Scratch};
use gristmill_stages::dedup::normalise::WordHasher;

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(file) = argument(&arguments, "--jsonl") {
        let passes = argument(&arguments, "--passes").and_then(|n| n.parse().ok()).unwrap_or(5);
        return for_comparison(Path::new(file), passes);
    }
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    for (name, file) in
        [("novels", "text/eltec_eng_novels.jsonl.gz"), ("web pages", "fineweb_parity/decisions.jsonl.gz")]
    {
        let path = data.join(file);
        if !path.exists() {
            eprintln!("SKIPPED: {} is absent", path.display());
            continue;
        }
        let texts = read(MultiGzDecoder::new(File::open(path)?))?;
        bench(name, &texts);
        if name == "novels" {
            bench("snippets of 800 bytes", &snippets(&texts, 800));
        }
    }
    bench(
        "Russian (made up)",
        &vec![
            "Мельница перемалывает зерно в муку, и хлеб пекут каждое утро. ".repeat(60);
            500
        ],
    );
    bench("Chinese (made up)", &vec!["磨坊把谷物磨成面粉，每天早上都烤面包。".repeat(60); 500]);
    bench_components();
    Ok(())
}

fn argument<'a>(arguments: &'a [String], name: &str) -> Option<&'a String> {
    arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1))
}

fn read(file: impl Read) -> std::io::Result<Vec<String>> {
    let text = |line: std::io::Result<String>| -> std::io::Result<String> {
        let document: serde_json::Value = serde_json::from_str(&line?)?;
        Ok(document["text"].as_str().unwrap_or_default().to_owned())
    };
    BufReader::new(file).lines().map(text).collect()
}

/// Peers are measured by processor time, which other work on the machine disturbs less.
fn for_comparison(file: &Path, passes: u32) -> std::io::Result<()> {
    let texts = read(File::open(file)?)?;
    let hasher = MinHasher::new(MinHashParameters::default());
    let (mut scratch, mut keys, mut sketch) = (Scratch::default(), Vec::new(), Vec::new());
    let mut least = |with_sketch: bool| {
        let pass = |_| {
            let start = processor_seconds();
            for text in &texts {
                if with_sketch {
                    hasher.keys_and_sketch(text, &mut scratch, &mut keys, &mut sketch);
                } else {
                    hasher.keys(text, &mut scratch, &mut keys);
                }
                black_box((&keys, &sketch));
            }
            processor_seconds() - start
        };
        (0..passes).map(pass).fold(f64::MAX, f64::min)
    };
    let (keys_s, keys_and_sketches_s) = (least(false), least(true));
    println!("{}", serde_json::json!({"keys_s": keys_s, "keys_and_sketches_s": keys_and_sketches_s}));
    Ok(())
}

/// Of this process, in hundredths; Linux alone says.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn snippets(texts: &[String], bytes: usize) -> Vec<String> {
    let cut = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    texts.iter().flat_map(|text| text.as_bytes().chunks(bytes).map(cut)).collect()
}

fn bench(name: &str, texts: &[String]) {
    let bytes: usize = texts.iter().map(String::len).sum();
    let hasher = MinHasher::new(MinHashParameters::default());
    let (mut scratch, mut keys) = (Scratch::default(), Vec::new());
    let all = best(|| {
        for text in texts {
            hasher.keys(text, &mut scratch, &mut keys);
            black_box(&keys);
        }
    });
    let (mut words, mut hashes) = (WordHasher::default(), Vec::new());
    let mut n_words = 0;
    let split = best(|| {
        n_words = 0;
        for text in texts {
            words.hash_words(text, &mut hashes, |hashes| {
                n_words += hashes.len();
                hashes.clear();
            });
        }
    });
    println!(
        "{name}: {:.0} MB/s, {:.0} documents/s; words alone {:.0} MB/s ({:.2} MB, {} documents, {n_words} words)",
        bytes as f64 / all / 1e6,
        texts.len() as f64 / all,
        bytes as f64 / split / 1e6,
        bytes as f64 / 1e6,
        texts.len()
    );
}

fn bench_components() {
    let n_docs = 10_000_000_u64;
    // Stars of a seeded graph: half of the documents have an edge to one of the 1,000 before them.
    let edges: Vec<(u64, u64)> = (1..n_docs)
        .map(|i| (i, i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20))
        .filter(|(_, random)| random % 2 == 0)
        .map(|(i, random)| (i.saturating_sub(1 + random / 2 % 1000), i))
        .collect();
    let seconds = best(|| {
        black_box(components(n_docs, edges.iter().copied()));
    });
    println!(
        "components: {:.1} M edges/s ({n_docs} documents, {} edges)",
        edges.len() as f64 / seconds / 1e6,
        edges.len()
    );
}

fn best(mut work: impl FnMut()) -> f64 {
    work();
    let pass = |_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    };
    (0..7).map(pass).fold(f64::MAX, f64::min)
}
