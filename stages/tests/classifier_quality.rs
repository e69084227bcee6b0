//! Does a classifier that is trained on people's judgement of pages do better than calling all pages the same?

use std::io::Read;
use std::path::Path;

use gristmill_stages::classifier::{Examples, Settings, train};
use serde_json::Value;

/// 278 pages, 154 of them called good: with so few, one split says little, so five are made.
#[test]
fn people_s_judgement_of_pages_can_be_learnt() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/quality/dclm_human_quality.jsonl.gz");
    let Ok(file) = std::fs::File::open(&path) else {
        eprintln!("SKIPPED: people_s_judgement_of_pages_can_be_learnt needs `{}`", path.display());
        return;
    };
    let mut lines = String::new();
    flate2::read::MultiGzDecoder::new(file).read_to_string(&mut lines).expect("gzipped UTF-8");
    let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let (mut macro_f1, mut majority_f1, mut good_f1) = (0.0, 0.0, 0.0);
    let n_seeds = 5;
    for seed in 0..n_seeds {
        let mut examples = Examples::new(seed);
        for row in &rows {
            let label = if row["label"] == 1 { "good" } else { "bad" };
            examples.add(label, row["text"].as_str().expect("a text")).expect("every page has one label");
        }
        let report =
            train(&examples, &Settings::default(), &folder.path().join("model.bin")).expect("enough pages");
        let good = report.labels.iter().find(|row| row.label == "good").expect("both labels are held out");
        println!(
            "seed {seed}: {} held out, accuracy {:.3}, mean F1 {:.3}, F1 of good {:.3}; majority {:.3}, {:.3}",
            report.n_held_out,
            report.accuracy,
            report.macro_f1,
            good.f1,
            report.majority.accuracy,
            report.majority.macro_f1
        );
        macro_f1 += report.macro_f1 / n_seeds as f64;
        majority_f1 += report.majority.macro_f1 / n_seeds as f64;
        good_f1 += good.f1 / n_seeds as f64;
    }
    println!("mean F1 {macro_f1:.3}, F1 of good {good_f1:.3}; majority's mean F1 {majority_f1:.3}");
    assert!(macro_f1 > majority_f1 + 0.25, "{macro_f1:.3} against {majority_f1:.3}");
}
