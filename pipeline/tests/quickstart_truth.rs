//! The quickstart's funnel, page by page: what `truth.tsv` says should become of each capture is what becomes of it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What the extractor gets wrong today: it keeps the buttons under each post of a forum, which then repeat.
const KNOWN: [&str; 2] = ["http://forum.clocks.test/t/212", "http://forum.clocks.test/t/104"];

fn rows(run: &Path, more: &[&str]) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_gristmill"))
        .arg("preview")
        .arg(run)
        .args(["-n", "1000", "--json"])
        .args(more)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_capture_ends_where_its_truth_says() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    let folder = tempfile::tempdir().unwrap();
    // The recipe without its last stages, which drop nothing, so that this test needs no trainer.
    let recipe = std::fs::read_to_string(configs.join("quickstart.toml")).unwrap();
    let recipe = recipe.split("[[stage]]\nkind = \"tokenizer_train\"").next().unwrap();
    let recipe = recipe.replace("quickstart/", &format!("{}/quickstart/", configs.display()));
    let path = folder.path().join("recipe.toml");
    std::fs::write(&path, recipe).unwrap();
    let out = folder.path().join("out");
    let run = Command::new(env!("CARGO_BIN_EXE_gristmill"))
        .arg("run")
        .arg(&path)
        .arg("--out")
        .arg(&out)
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));

    let text = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let mut became: BTreeMap<String, String> = BTreeMap::new();
    for row in rows(&out, &[]) {
        became.insert(text(&row, "id"), "kept".into());
    }
    for row in rows(&out, &["--rejected"]) {
        became.insert(text(&row, "id"), format!("dropped {}:{}", text(&row, "stage"), text(&row, "reason")));
    }

    let truth = std::fs::read_to_string(configs.join("quickstart/truth.tsv")).unwrap();
    let mut clusters: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut judged = 0;
    for line in truth.lines().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        let (id, url, expected) = (cells[2].trim_matches(['<', '>']), cells[3], cells[8]);
        if expected.ends_with('?') || KNOWN.contains(&url) {
            continue;
        }
        judged += 1;
        // A damaged record has lost its id.
        let Some(fate) = became.get(id) else {
            if !expected.contains("damaged_record") {
                wrong.push(format!("{url}: expected {expected}, but it is nowhere"));
            }
            continue;
        };
        if let Some(rest) = expected.strip_prefix("one of cluster ") {
            let cluster = rest.split(' ').next().unwrap().to_owned();
            clusters.entry(cluster).or_default().push(fate.clone());
            continue;
        }
        let expected_fates = expected.split(';').next().unwrap();
        let (verb, reasons) = expected_fates.split_once(' ').unwrap_or((expected_fates, ""));
        let fits = match verb {
            "kept" => fate == "kept",
            _ => reasons.split(" or ").any(|reason| {
                fate.strip_prefix("dropped ")
                    .is_some_and(|fate| fate == reason || fate.starts_with(&format!("{reason}:")))
            }),
        };
        if !fits {
            wrong.push(format!("{url}: expected {expected}, but it was {fate}"));
        }
    }
    assert!(judged > 400, "{judged}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(clusters.len() >= 10);
    for (cluster, fates) in clusters {
        let kept = fates.iter().filter(|fate| *fate == "kept").count();
        let dropped = fates.iter().filter(|fate| *fate == "dropped minhash_dedup:near_duplicate").count();
        assert_eq!((kept, dropped), (1, fates.len() - 1), "cluster {cluster}: {fates:?}");
    }
}
