//! The arrows between the crates, as the architecture draws them.

use std::collections::BTreeMap;
use std::process::Command;

/// Crate, and the crates of ours that it may know, for its tests too.
const ARROWS: &[(&str, &[&str])] = &[
    ("gristmill-corpus", &[]),
    ("gristmill-tokenizer", &[]),
    ("gristmill-stages", &["gristmill-corpus", "gristmill-tokenizer"]),
    ("gristmill", &["gristmill-corpus", "gristmill-stages", "gristmill-tokenizer"]),
    ("gristmill-train", &["gristmill-corpus", "gristmill-tokenizer"]),
];

fn dependencies() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |value: &serde_json::Value| value["name"].as_str().unwrap().to_owned();
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            (name(package), package["dependencies"].as_array().unwrap().iter().map(name).collect())
        })
        .collect()
}

#[test]
fn crates_know_only_the_crates_below_them() {
    let found = dependencies();
    let drawn: Vec<&str> = ARROWS.iter().map(|(crate_, _)| *crate_).collect();
    for (crate_, dependencies) in &found {
        let Some((_, allowed)) = ARROWS.iter().find(|(drawn, _)| drawn == crate_) else {
            panic!("`{crate_}` is new: draw its arrows here and in ARCHITECTURE.md");
        };
        for dependency in dependencies.iter().filter(|dependency| drawn.contains(&dependency.as_str())) {
            assert!(allowed.contains(&dependency.as_str()), "`{crate_}` must not know `{dependency}`");
        }
    }
    assert_eq!(found.len(), ARROWS.len(), "a crate is gone: {found:?}");
}

#[test]
fn only_the_engine_uses_polars_and_only_its_reports() {
    for (crate_, dependencies) in dependencies() {
        assert!(
            crate_ == "gristmill" || !dependencies.iter().any(|dependency| dependency == "polars"),
            "`{crate_}` uses polars"
        );
    }
    let mut open = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut n_files = 0;
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        n_files += 1;
        let source = std::fs::read_to_string(&path).unwrap();
        let uses = source.contains("use polars") || source.contains("polars::");
        assert!(!uses || path.components().any(|part| part.as_os_str() == "report"), "{}", path.display());
    }
    assert!(n_files > 30);
}
