//! The words with which a run ends: what a trained model came to, read from the files that training left.

use std::fs;
use std::path::Path;

use gristmill_corpus::files;
use gristmill_corpus::printable::printable;
use serde_json::Value;

use crate::plan::{Plan, Work};

/// One paragraph for each model that the run trained or measured.
pub fn of(plan: &Plan, out: &Path) -> Vec<String> {
    plan.steps
        .iter()
        .filter(|step| matches!(step.work, Work::Process { .. }))
        .filter_map(|step| paragraph(&step.id, &out.join(&step.id)))
        .collect()
}

fn paragraph(stage: &str, folder: &Path) -> Option<String> {
    if let Ok(table) = fs::read_to_string(folder.join("results.txt")) {
        return Some(format!("`{stage}`:\n{}", printable(table.trim_end())));
    }
    let summary: Value = files::read_json(&folder.join("summary.json")).ok()??;
    let number = |key: &str| summary[key].as_f64();
    let mut text = format!("model `{stage}`");
    if let (Some(loss), Some(entropy)) = (number("val_loss"), number("unigram_entropy")) {
        let verdict = if loss < entropy { "below" } else { "not below" };
        text.push_str(&format!(
            ": validation loss {loss:.3} nats a token, {verdict} the unigram entropy of its corpus, {entropy:.3}"
        ));
    }
    if let (Some(loss), Some(base)) = (number("val_loss"), number("base_val_loss")) {
        text.push_str(&format!(
            ": validation loss {loss:.3} nats a token of what the assistant writes, {base:.3} before"
        ));
    }
    if let (Some(valid), Some(asked)) =
        (summary["format"]["valid"].as_u64(), summary["format"]["prompts"].as_u64())
    {
        text.push_str(&format!("; {valid} of {asked} answers to held-out questions are well-formed"));
    }
    if let Some(bits) = number("bits_per_byte") {
        text.push_str(&format!("; {bits:.3} bits per byte"));
    }
    if let Ok(sample) = fs::read_to_string(folder.join("sample.txt")) {
        text.push_str("\n\nIt writes:\n");
        for line in printable(&sample).lines().take(24) {
            text.push_str(&format!("  {line}\n"));
        }
    }
    Some(text.trim_end().to_owned())
}
