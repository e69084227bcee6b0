//! Documents take different ways by what an earlier stage says of them, and that stage looks at each only once.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

fn gristmill(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gristmill")).args(arguments).output().unwrap()
}

fn succeeds(arguments: &[&str]) -> String {
    let output = gristmill(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn write_lines(path: &Path, rows: impl Iterator<Item = Value>) {
    fs::write(path, rows.map(|row| row.to_string() + "\n").collect::<String>()).unwrap();
}

/// A field of every line that a stage published, sorted.
fn published(out: &Path, stage: &str, field: &str) -> Vec<String> {
    let mut values = Vec::new();
    for entry in fs::read_dir(out.join(stage)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        for line in fs::read_to_string(path).unwrap().lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            values.push(row[field].as_str().map_or_else(|| row[field].to_string(), str::to_owned));
        }
    }
    values.sort();
    values
}

#[test]
fn each_language_goes_its_own_way_and_the_model_reads_each_text_once() {
    let folder = tempfile::tempdir().unwrap();
    let texts = [
        ("en", "The wheel of the old mill turns slowly when the river is low in summer."),
        ("de", "Das Rad der alten Mühle dreht sich langsam, wenn der Fluss wenig Wasser hat."),
        ("fr", "La roue du vieux moulin tourne lentement quand la rivière est basse en été."),
        ("de2", "Der Müller schläft, und die Steine stehen still, bis das Wasser wieder steigt."),
    ];
    write_lines(
        &folder.path().join("in.jsonl"),
        texts.iter().map(|(id, text)| json!({"id": id, "text": text})),
    );
    let recipe = folder.path().join("routes.toml");
    let stages = r#"
name = "routes"
seed = 1
[[stage]]
kind = "jsonl"
paths = ["in.jsonl"]
[[stage]]
kind = "language"
score_columns = ["de"]
[[stage]]
id = "german"
kind = "where"
keep = 'language == "de"'
[[stage]]
id = "german_corpus"
kind = "write_jsonl"
compression = "none"
[[stage]]
id = "others"
kind = "where"
input = "language"
keep = 'language in ["fr", "en"] and language_score_de < 0.5'
[[stage]]
id = "other_corpus"
kind = "write_jsonl"
compression = "none"
"#;
    fs::write(&recipe, stages).unwrap();
    let (recipe, out) = (recipe.to_str().unwrap(), folder.path().join("out"));
    let plan: Value = serde_json::from_str(&succeeds(&["plan", recipe, "--json"])).unwrap();
    let runs_the_model = |step: &&Value| step.to_string().contains("\"stage\":\"language\"");
    let n_steps = plan["steps"].as_array().unwrap().iter().filter(runs_the_model).count();
    assert_eq!(n_steps, 1, "{plan}");
    succeeds(&["run", recipe, "--out", out.to_str().unwrap()]);
    assert_eq!(published(&out, "german_corpus", "id"), ["de", "de2"]);
    assert_eq!(published(&out, "other_corpus", "id"), ["en", "fr"]);
}

/// Texts about two things, no two equal.
fn texts(about: &str, n: usize) -> impl Iterator<Item = Value> {
    (0..n).map(move |i| json!({"id": format!("{about}{i}"), "text": format!("number {i} of the {about}s is a {about}")}))
}

#[test]
fn a_classifier_is_trained_and_used_in_one_recipe() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    write_lines(&file("mills.jsonl"), texts("mill", 60));
    write_lines(&file("boats.jsonl"), texts("boat", 60));
    write_lines(
        &file("crawl.jsonl"),
        ["mill", "boat"].into_iter().flat_map(|about| texts(about, 70).skip(60)),
    );
    let recipe = file("recipe.toml");
    let stages = r#"
name = "classified"
seed = 1
[[stage]]
id = "labelled"
kind = "jsonl"
paths = ["mills.jsonl", "boats.jsonl"]
[[stage]]
kind = "classifier_train"
labels = { mill = "file_path == 'mills.jsonl'", boat = "file_path == 'boats.jsonl'" }
settings = { dimension = 8, buckets = 1000 }
[[stage]]
id = "crawl"
kind = "jsonl"
paths = ["crawl.jsonl"]
[[stage]]
kind = "classify"
name = "topic"
model = { stage = "classifier_train" }
label = "mill"
min_score = 0.5
bands = [0.6]
[[stage]]
id = "corpus"
kind = "write_jsonl"
compression = "none"
"#;
    fs::write(&recipe, stages).unwrap();
    let recipe = recipe.to_str().unwrap();
    succeeds(&["check", recipe]);
    let out = folder.path().join("out");
    let out = out.to_str().unwrap();
    let why = |id: &str| -> Value {
        let text = succeeds(&["why", recipe, id, "--out", out, "--json"]);
        let stages: Value = serde_json::from_str(&text).unwrap();
        let stages = stages["stages"].as_array().unwrap().clone();
        stages.into_iter().find(|stage| stage["kind"] == "classify").unwrap()
    };
    assert_eq!(why("boat65")["verdict"], "unknown");
    succeeds(&["run", recipe, "--out", out]);
    let kept = published(Path::new(out), "corpus", "id");
    assert!(kept.len() == 10 && kept.iter().all(|id| id.starts_with("mill")), "{kept:?}");
    assert_eq!(published(Path::new(out), "corpus", "topic_band"), ["1"; 10]);
    assert_eq!(why("boat65")["reason"], "score_too_low");
    let report = fs::read_to_string(Path::new(out).join("classifier_train/report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["macro_f1"], 1.0, "{report}");
}

#[test]
fn the_command_trains_from_sets_and_from_a_labelled_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    write_lines(Path::new(&file("mills.jsonl")), texts("mill", 60));
    write_lines(Path::new(&file("boats.jsonl")), texts("boat", 60));
    let labelled = ["mill", "boat"].into_iter().flat_map(|about| {
        texts(about, 60).map(move |mut row| {
            row["quality"] = json!(about);
            row
        })
    });
    write_lines(Path::new(&file("all.jsonl")), labelled);
    let train = |sets: &[&str], out: &str| -> Value {
        let fixed = ["--out", out, "--json", "--dimension", "8", "--buckets", "1000"];
        serde_json::from_str(&succeeds(&[&["classifier", "train"], sets, &fixed].concat())).unwrap()
    };
    let sets = [format!("mill={}", file("mills.jsonl")), format!("boat={}", file("boats.jsonl"))];
    let by_set = train(&[&sets[0], &sets[1]], &file("one.bin"));
    let by_field = train(&[&file("all.jsonl"), "--label-field", "quality"], &file("two.bin"));
    assert_eq!(by_set, by_field);
    assert_eq!(fs::read(file("one.bin")).unwrap(), fs::read(file("two.bin")).unwrap());
    assert_eq!((&by_set["macro_f1"], &by_set["labels"][0]["label"]), (&json!(1.0), &json!("boat")));
    let text = succeeds(&["classifier", "train", &sets[0], &sets[1], "--out", &file("one.bin")]);
    assert!(text.contains("precision") && text.contains("`boat` was called"), "{text}");

    for (sets, part) in [
        (vec![sets[0].as_str()], "two or more labels"),
        (vec![&sets[0], "mills.jsonl"], "`mills.jsonl` names no label"),
        (vec![&sets[0], "boat=gone.jsonl"], "gone.jsonl"),
    ] {
        let output = gristmill(&[&["classifier", "train"], &sets[..], &["--out", &file("x.bin")]].concat());
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && message.contains(part), "{message}");
    }
}
