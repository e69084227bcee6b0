//! How fast texts become band keys on one core: `cargo run --release -p gristmill-stages --example bench_minhash`.
//!
//! Texts are those of `../shared/data`; each set is timed as the best of seven passes after one to warm up, since other
//! work on the machine only ever makes a pass slower.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Instant;

use flate2::read::MultiGzDecoder;
use gristmill_stages::dedup::clusters::components;
use gristmill_stages::dedup::minhash::{MinHashParameters, MinHasher, Scratch};
use gristmill_stages::dedup::normalise::WordHasher;

fn main() -> std::io::Result<()> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    for (name, file) in
        [("novels", "text/eltec_eng_novels.jsonl.gz"), ("web pages", "fineweb_parity/decisions.jsonl.gz")]
    {
        let path = data.join(file);
        if !path.exists() {
            eprintln!("SKIPPED: {} is absent", path.display());
            continue;
        }
        let mut texts = Vec::new();
        for line in BufReader::new(MultiGzDecoder::new(File::open(path)?)).lines() {
            let document: serde_json::Value = serde_json::from_str(&line?)?;
            texts.push(document["text"].as_str().unwrap_or_default().to_owned());
        }
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
