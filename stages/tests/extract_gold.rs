//! The extractor against gold text. The pages are part of the model's training set, so this guards against
//! regressions and says nothing of new pages; `scripts/train_extractor.py` measures on hosts that a model has not seen. The small twin is
//! `golden_pages` in `extract.rs`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use gristmill_stages::html::{Options, extract};

/// Words and how often each occurs.
fn bag(text: &str) -> HashMap<String, usize> {
    let mut bag = HashMap::new();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        *bag.entry(word.to_lowercase()).or_insert(0) += 1;
    }
    bag
}

/// Harmonic mean of precision and recall over words.
fn f1(found: &str, gold: &str) -> f64 {
    let (found, gold) = (bag(found), bag(gold));
    let shared: usize =
        found.iter().map(|(word, count)| (*count).min(gold.get(word).copied().unwrap_or(0))).sum();
    let total = found.values().sum::<usize>() + gold.values().sum::<usize>();
    if total == 0 { 1.0 } else { 2.0 * shared as f64 / total as f64 }
}

#[test]
fn word_f1_does_not_fall() {
    for (set, least) in [("scrapinghub", 0.96), ("magic_article", 0.91), ("magic_forum", 0.92)] {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../shared/data/html_gold/{set}.jsonl.gz"));
        let Ok(file) = File::open(&path) else {
            eprintln!("SKIPPED: {set} is not at {}", path.display());
            continue;
        };
        let mut scores = Vec::new();
        for line in BufReader::new(MultiGzDecoder::new(file)).lines() {
            let page: serde_json::Value = serde_json::from_str(&line.expect("gzip")).expect("JSON");
            let (Some(html), Some(gold)) = (page["html"].as_str(), page["text"].as_str()) else { continue };
            scores.push(f1(&extract(html, &Options::default()).text, gold));
        }
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        assert!(mean >= least, "{set}: word F1 {mean:.3} over {} pages, was {least} or more", scores.len());
    }
}
