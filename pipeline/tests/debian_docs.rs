//! `configs/debian-docs.toml` over 4,710 real captures, against what is known of each of them. Skipped, loudly, where
//! the development data is not beside the repository; the quickstart's tests are its small twin.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::read::MultiGzDecoder;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// One capture, column by column.
type Capture = BTreeMap<String, String>;

/// The truth by record id, or `None` where the data is not there.
fn truth() -> Option<BTreeMap<String, Capture>> {
    let path = root().join("../shared/data/warc_debian/truth.tsv.gz");
    let Ok(file) = fs::File::open(&path) else {
        eprintln!("SKIPPED: no `{}`: real pages are not compared with their truth", path.display());
        return None;
    };
    let mut table = String::new();
    MultiGzDecoder::new(file).read_to_string(&mut table).unwrap();
    let mut lines = table.lines().map(|line| line.split('\t').map(str::to_owned));
    let names: Vec<String> = lines.next().unwrap().collect();
    let captures = lines.map(|cells| names.iter().cloned().zip(cells).collect::<Capture>());
    Some(captures.map(|row| (row["record_id"].trim_matches(['<', '>']).to_owned(), row)).collect())
}

/// Runs a recipe and returns its funnel.
fn run(recipe: &Path, out: &Path, more: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_gristmill"))
        .args(["run", "--json", "--out"])
        .arg(out)
        .arg(recipe)
        .args(more)
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}");
    assert!(!words.contains("panicked"), "{words}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Documents of a run, as `preview --json` gives them.
fn preview(out: &Path, more: &[&str]) -> Vec<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_gristmill"))
        .arg("preview")
        .arg(out)
        .args(["--json", "-n", "1000000"])
        .args(more)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn text(document: &Value, column: &str) -> String {
    document[column].as_str().unwrap().to_owned()
}

/// Stage and reason of every rejected document, by id.
fn fates(out: &Path) -> BTreeMap<String, (String, String)> {
    let rejects = preview(out, &["--rejected"]);
    let n_rejects = rejects.len();
    let fates: BTreeMap<_, _> = rejects
        .iter()
        .map(|document| (text(document, "id"), (text(document, "stage"), text(document, "reason"))))
        .collect();
    assert_eq!(fates.len(), n_rejects, "a document was rejected twice");
    fates
}

/// In = out + rejected at each stage, and what one passes on the next gets.
fn assert_balanced(funnel: &Value, n_captures: usize) {
    let mut flowing = n_captures as u64;
    for stage in funnel["stages"].as_array().unwrap() {
        let rejected: BTreeMap<String, u64> = serde_json::from_value(stage["rejected"].clone()).unwrap();
        assert_eq!(stage["documents_in"], flowing, "{stage}");
        flowing -= rejected.values().sum::<u64>();
        assert_eq!(stage["documents_out"], flowing, "{stage}");
    }
    assert_eq!(funnel["quarantined"], Value::Array(Vec::new()));
}

/// Whether two documents of similarity `s` meet, on average: 14 bands of 8 rows.
fn promised(s: f64) -> f64 {
    1.0 - (1.0 - s.powi(8)).powi(14)
}

#[test]
fn the_recipe_keeps_and_drops_what_it_should() {
    let Some(truth) = truth() else { return };
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let recipe = root().join("configs/debian-docs.toml");
    let trainer = Path::new(env!("CARGO_BIN_EXE_gristmill")).with_file_name("gristmill-train");
    let funnel = if trainer.is_file() {
        let sets = ["train.steps=4", "train.batch=2", "train.warmup=1", "sample.tokens=4"]
            .map(|set| format!("stage.pretrain.overrides.{set}"));
        let more: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
        let funnel = run(&recipe, &out, &more);
        assert!(out.join("pretrain/sample.txt").is_file());
        funnel
    } else {
        eprintln!("SKIPPED: no `gristmill-train` beside `gristmill`: the recipe ends with its shards");
        let text = fs::read_to_string(&recipe)
            .unwrap()
            .replace("../../shared", &format!("{}/../shared", root().display()));
        let end = text.rfind("[[stage]]\nkind = \"pretrain\"").unwrap();
        let cut = folder.path().join("debian-docs.toml");
        fs::write(&cut, &text[..end]).unwrap();
        run(&cut, &out, &[])
    };
    assert_balanced(&funnel, truth.len());
    assert!(
        out.join("token_shards/meta.json").is_file()
            || out.join("token_shards").read_dir().unwrap().count() > 1
    );

    let fates = fates(&out);
    let kept = preview(&out, &["--stage", "corpus"]);
    assert_eq!(kept.len() + fates.len(), truth.len());
    // Enough to train on.
    assert!(kept.len() > 900, "{} kept", kept.len());
    let mut survivors: BTreeMap<&str, usize> = BTreeMap::new();
    for document in &kept {
        let capture = &truth[&text(document, "id")];
        *survivors.entry(&capture["payload_sha1"]).or_default() += 1;
        assert!(!text(document, "text").trim().is_empty(), "{}", capture["uri"]);
        assert_eq!(text(document, "language"), "en");
        assert_eq!(text(document, "url"), capture["uri"]);
        assert_eq!(document["offset"].as_u64().unwrap().to_string(), capture["offset"]);
    }
    for (body, n) in survivors {
        assert_eq!(n, 1, "{n} documents with the body {body} survived");
    }
    for (id, capture) in &truth {
        let fate = fates.get(id).map(|(stage, reason)| (stage.as_str(), reason.as_str()));
        let want = match capture["kind"].as_str() {
            "redirect" | "notfound" | "error" => ("crawl", "http_status"),
            "nonhtml" => ("crawl", "not_html"),
            _ if capture["http_mime"] == "text/plain" => ("crawl", "not_html"),
            _ => match (capture["blocked"].as_str(), fate) {
                ("host", _) => ("url_blocklist", "subdomain"),
                ("url", _) => ("url_blocklist", "url"),
                (_, Some((stage, reason))) => {
                    assert!(
                        !["crawl", "url_blocklist", "extract_text"].contains(&stage),
                        "{reason}: {capture:?}"
                    );
                    continue;
                }
                (_, None) => continue,
            },
        };
        assert_eq!(fate, Some(want), "{capture:?}");
    }
}

#[test]
fn duplicates_in_every_language_are_found_as_promised() {
    let Some(truth) = truth() else { return };
    let folder = tempfile::tempdir().unwrap();
    let recipe = root().join("configs/debian-duplicates.toml");
    let out = folder.path().join("out");
    assert_balanced(&run(&recipe, &out, &[]), truth.len());
    let fates = fates(&out);
    let is_dropped = |id: &str| fates.get(id).is_some_and(|(stage, _)| stage == "minhash_dedup");
    let texts: BTreeMap<String, BTreeSet<Vec<String>>> = preview(&out, &["--stage", "extract_text"])
        .iter()
        .map(|document| {
            let words: Vec<String> =
                text(document, "text").to_lowercase().split_whitespace().map(str::to_owned).collect();
            (text(document, "id"), words.windows(5).map(<[String]>::to_vec).collect())
        })
        .collect();
    let by_uri: BTreeMap<&str, &String> =
        truth.iter().map(|(id, capture)| (capture["uri"].as_str(), id)).collect();

    let mut exact: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let (mut n_found, mut n_pairs, mut expected) = (0, 0, 0.0);
    for (id, capture) in &truth {
        let Some(words) = texts.get(id) else { continue };
        if words.len() > 5 {
            let group = exact.entry(&capture["payload_sha1"]).or_default();
            group.0 += 1;
            group.1 += usize::from(!is_dropped(id));
        }
        let source = by_uri.get(capture["src_uri"].as_str());
        let Some((source, of_source)) = source.and_then(|source| Some((*source, texts.get(*source)?))) else {
            continue;
        };
        if capture["kind"] != "nd1" {
            continue;
        }
        let common = words.intersection(of_source).count();
        let similarity = common as f64 / (words.len() + of_source.len() - common).max(1) as f64;
        n_pairs += 1;
        expected += promised(similarity);
        n_found += usize::from(is_dropped(id) || is_dropped(source));
    }
    // None where all of them are like another page that came first.
    let groups: Vec<_> = exact.values().filter(|(n, _)| *n > 1).collect();
    assert!(groups.len() > 100, "{}", groups.len());
    assert!(groups.iter().all(|(_, kept)| *kept <= 1), "equal bodies survived: {groups:?}");
    // A binomial's three standard deviations at most below what the bands promise.
    let slack = 3.0 * (expected * (1.0 - expected / n_pairs as f64)).sqrt();
    assert!(n_pairs > 40);
    assert!(n_found as f64 > expected - slack, "{n_found} of {n_pairs} found, {expected:.1} promised");
}
