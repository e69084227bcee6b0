//! The whole model against what the C++ printed, and against broken files.

use super::*;
use crate::assets;

/// `tests/data/language_golden.tsv`: text, then label and probability of the three best, by the C++ over lid.176.ftz.
const GOLDEN: &str = include_str!("../../tests/data/language_golden.tsv");

fn lid() -> Model {
    Model::from_bytes(assets::find("lid.176.ftz").expect("vendored").bytes).expect("a good model")
}

#[test]
fn labels_and_probabilities_are_those_of_the_reference() {
    let model = lid();
    let mut scratch = Scratch::default();
    let mut n_checked = 0;
    for line in GOLDEN.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let found = model.predict(fields[0], 3, &mut scratch).to_vec();
        for (prediction, expected) in found.iter().zip(fields[1..].chunks(2)) {
            let probability: f32 = expected[1].parse().unwrap();
            assert!((prediction.probability - probability).abs() < 1e-4, "{line}: {prediction:?}");
            let label = model.label(prediction.label);
            // Labels of equal probability may change places.
            let of_expected = model.label_index(expected[0]).unwrap();
            let again = model.probability(fields[0], of_expected, &mut scratch).unwrap();
            assert!(label == expected[0] || (again - probability).abs() < 1e-4, "{line}: {label}");
            n_checked += 1;
        }
    }
    assert!(n_checked > 200, "{n_checked}");
}

#[test]
fn a_line_feed_is_a_space() {
    let (model, mut scratch) = (lid(), Scratch::default());
    let spaced = model.best("Ceci est un petit texte", &mut scratch);
    assert_eq!(model.best("Ceci\nest un\r\n\n petit\ttexte\n", &mut scratch), spaced);
    assert_eq!(model.label(spaced.unwrap().label), "fr");
}

#[test]
fn asking_for_no_label_or_an_unknown_one_gives_none() {
    let (model, mut scratch) = (lid(), Scratch::default());
    assert_eq!(model.predict("text", 0, &mut scratch), []);
    assert_eq!(model.probability("text", 176, &mut scratch), None);
    assert_eq!(model.predict("text", 1_000, &mut scratch).len(), 176);
    assert_eq!(model.label_index("xx"), None);
}

#[test]
fn accuracy_on_the_development_set_is_the_references() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/lid/lid_dev.tsv.gz");
    let Ok(packed) = std::fs::File::open(path) else {
        eprintln!("SKIPPED: {path} is absent; the golden file stands in for it");
        return;
    };
    let mut rows = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(packed), &mut rows).unwrap();
    let (model, mut scratch) = (lid(), Scratch::default());
    let mut by_kind = std::collections::BTreeMap::<&str, (u32, u32)>::new();
    for row in rows.lines().skip(1) {
        let fields: Vec<&str> = row.split('\t').collect();
        let [_, wanted, kind, text] = fields[..] else { panic!("four columns: {row}") };
        if !wanted.is_empty() {
            let best = model.best(text, &mut scratch).unwrap();
            let (right, all) = by_kind.entry(kind).or_default();
            *right += (model.label(best.label) == wanted) as u32;
            *all += 1;
        }
    }
    let accuracy: Vec<(&str, String)> = by_kind
        .iter()
        .map(|(&kind, &(right, all))| (kind, format!("{:.3}", right as f64 / all as f64)))
        .collect();
    assert_eq!(accuracy.len(), 4, "{accuracy:?}");
    for (kind, share) in [
        ("lingua-sentences", "0.896"),
        ("lingua-word-pairs", "0.661"),
        ("lingua-single-words", "0.510"),
        ("udhr", "0.712"),
    ] {
        let found = accuracy.iter().find(|(name, _)| *name == kind);
        assert_eq!(found.map(|(_, found)| found.as_str()), Some(share), "{accuracy:?}");
    }
}

#[test]
fn broken_files_are_errors() {
    let good = assets::find("lid.176.ftz").expect("vendored").bytes;
    let message = |bytes: &[u8]| Model::from_bytes(bytes).unwrap_err().to_string();
    assert!(message(b"").contains("the magic number needs 4 bytes"), "{}", message(b""));
    assert!(message(b"<!doctype html>").contains("magic number"));
    // Every cut of the head, and a sample of cuts of the rest.
    for length in (0..2_000).chain((2_000..good.len()).step_by(40_961)) {
        assert!(Model::from_bytes(&good[..length]).is_err(), "cut at {length}");
    }
    // Any changed word of the head: an error or a model that predicts something, never a panic.
    let mut scratch = Scratch::default();
    for offset in (0..100).step_by(4) {
        for value in [-1_i32, 0, 1, i32::MAX, i32::MIN] {
            let mut bytes = good.to_vec();
            bytes[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
            if let Ok(model) = Model::from_bytes(&bytes) {
                model.predict("a text of some words", 2, &mut scratch);
            }
        }
    }
}

#[test]
fn a_small_dense_model_gives_the_probabilities_worked_out_by_hand() {
    // Two labels, two words, dimension 2, softmax, no n-grams.
    let mut bytes = Vec::new();
    for value in [793_712_314, 12, 2, 5, 5, 1, 5, 1, 3, 3, 0, 0, 0, 100] {
        bytes.extend(i32::to_le_bytes(value));
    }
    bytes.extend(1e-4_f64.to_le_bytes());
    for value in [4_i32, 2, 2] {
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend(10_i64.to_le_bytes());
    bytes.extend((-1_i64).to_le_bytes());
    for (name, kind) in [("good", 0_u8), ("bad", 0), ("__label__yes", 1), ("__label__no", 1)] {
        bytes.extend(name.bytes().chain([0]));
        bytes.extend(5_i64.to_le_bytes());
        bytes.push(kind);
    }
    let mut matrix = |mark: u8, rows: [[f32; 2]; 2]| {
        bytes.push(mark);
        bytes.extend(2_i64.to_le_bytes());
        bytes.extend(2_i64.to_le_bytes());
        rows.iter().flatten().for_each(|value| bytes.extend(value.to_le_bytes()));
    };
    matrix(0, [[1.0, 0.0], [0.0, 1.0]]);
    matrix(0, [[2.0, 0.0], [0.0, 2.0]]);
    let model = Model::from_bytes(&bytes).unwrap();
    let mut scratch = Scratch::default();
    let found = model.predict("good good bad", 2, &mut scratch).to_vec();
    assert_eq!(model.label(found[0].label), "yes");
    // Hidden (2/3, 1/3), scores (4/3, 2/3): softmax of a difference of 2/3.
    let expected = 1.0 / (1.0 + (-2.0_f32 / 3.0).exp());
    assert!((found[0].probability - expected).abs() < 2e-5, "{found:?}");
    assert!((found[0].probability + found[1].probability - 1.0).abs() < 4e-5);
    assert_eq!(model.predict("unknown words only", 1, &mut scratch), []);
}
