//! `decontaminate` over real evaluation sets: every item is found where it stands in a page, and few pages that hold none are
//! taken for contaminated. Needs `../shared/data`; the small twin is in the stage's own tests.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, LargeStringArray};
use arrow::record_batch::RecordBatch;
use flate2::read::MultiGzDecoder;
use gristmill_corpus::{DocBatch, columns};
use gristmill_stages::Documents;
use gristmill_stages::decontaminate::Decontaminate;
use gristmill_stages::stage::{BuildContext, Map, Runtime, StageConfig};
use serde_json::{Value, json};

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data")
}

fn rows(path: &Path) -> Vec<Value> {
    let mut text = String::new();
    MultiGzDecoder::new(File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn stage(config: Value) -> Box<dyn Map> {
    let config: Decontaminate = serde_json::from_value(config).unwrap();
    match config.build(&BuildContext { base: ".".into(), seed: 0 }) {
        Ok(Runtime::Map(stage)) => stage,
        Ok(_) => panic!("a map"),
        Err(error) => panic!("{error}"),
    }
}

/// The set and item found in each text.
fn found(stage: &dyn Map, texts: &[String]) -> Vec<Option<(String, String)>> {
    let column: ArrayRef = Arc::new(texts.iter().map(Some).collect::<LargeStringArray>());
    let batch = DocBatch::new(RecordBatch::try_from_iter([(columns::TEXT, column)]).unwrap()).unwrap();
    let (documents, _) = stage.map(Documents::new(batch)).unwrap();
    let (sets, items) =
        (documents.strings("contamination_set").unwrap(), documents.strings("contamination_item").unwrap());
    let row = |row| sets.is_valid(row).then(|| (sets.value(row).to_owned(), items.value(row).to_owned()));
    (0..texts.len()).map(row).collect()
}

/// The longest string of an item.
fn longest(value: &Value) -> String {
    let inner = match value {
        Value::String(string) => return string.clone(),
        Value::Array(values) => values.iter().map(longest).collect(),
        Value::Object(fields) => fields.values().map(longest).collect(),
        _ => Vec::new(),
    };
    inner.into_iter().max_by_key(String::len).unwrap_or_default()
}

#[test]
fn items_are_found_where_they_stand() {
    let sets = data().join("eval");
    if !sets.exists() {
        eprintln!("SKIPPED: {} is absent", sets.display());
        return;
    }
    let stage = stage(json!({"sets": [sets.to_string_lossy()]}));
    let (mut n_items, mut n_found, mut n_named) = (0, 0, 0);
    for entry in std::fs::read_dir(&sets).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_file() {
            continue;
        }
        let set = path.file_name().unwrap().to_string_lossy().replace(".jsonl.gz", "");
        let items: Vec<(String, String)> = rows(&path)
            .iter()
            .enumerate()
            .map(|(index, item)| ((index + 1).to_string(), longest(item)))
            // Eight words that stand apart, so that what counts as a word does not matter.
            .filter(|(_, text)| {
                text.split_whitespace().filter(|word| word.contains(char::is_alphanumeric)).count() >= 8
            })
            .collect();
        let pages: Vec<String> = items
            .iter()
            .map(|(_, text)| format!("Today we ask: {}\n\nWhat do you think?", text.to_uppercase()))
            .collect();
        for ((name, text), found) in items.iter().zip(found(&*stage, &pages)) {
            n_items += 1;
            assert!(found.is_some(), "{set}/{name} is not found: {text}");
            n_found += 1;
            n_named += usize::from(found == Some((set.clone(), name.clone())));
        }
    }
    println!(
        "{n_found} of {n_items} items found, {n_named} of them named (others are copies of each other, or parts)"
    );
    assert!(n_items > 1000, "{n_items} items");
    assert!(n_named * 10 >= n_items * 9, "{n_named} of {n_items} items named");
}

#[test]
fn pages_without_items_are_left_alone() {
    let sets = data().join("eval");
    let pages = data().join("fineweb_parity/decisions.jsonl.gz");
    let novels = data().join("text/eltec_eng_novels.jsonl.gz");
    if !sets.exists() || !pages.exists() || !novels.exists() {
        eprintln!("SKIPPED: {} is absent", data().display());
        return;
    }
    for ngram in [13, 8] {
        let stage = stage(json!({"sets": [sets.to_string_lossy()], "ngram": ngram, "action": "mark"}));
        for path in [&pages, &novels] {
            let texts: Vec<String> =
                rows(path).iter().map(|row| row["text"].as_str().unwrap_or_default().to_owned()).collect();
            let found: Vec<(String, String)> = found(&*stage, &texts).into_iter().flatten().collect();
            println!(
                "{ngram}-grams: {} of {} texts of {}: {found:?}",
                found.len(),
                texts.len(),
                path.display()
            );
            if ngram == 13 {
                assert!(found.len() * 20 <= texts.len(), "{found:?}");
            }
        }
    }
}
