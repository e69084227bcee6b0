//! The engine's promises, over the quickstart crawl: the same bytes for any number of threads, tasks or kills;
//! reruns that do only what changed; nothing lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use gristmill_corpus::files::{self, FileEntry};
use serde_json::Value;

fn gristmill() -> Command {
    Command::new(env!("CARGO_BIN_EXE_gristmill"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A recipe over the quickstart crawl up to shards: everything but training.
fn recipe(folder: &Path) -> PathBuf {
    let crawl = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/quickstart");
    let crawl = crawl.display();
    let path = folder.join("recipe.toml");
    let recipe = format!(
        r#"
name = "engine"
seed = 3

[[stage]]
id = "crawl"
kind = "warc"
paths = ["{crawl}/crawl/*.warc.gz"]

[[stage]]
kind = "url_blocklist"
domains = ["{crawl}/blocklist/domains"]

[[stage]]
kind = "extract_text"

[[stage]]
kind = "language"
languages = ["en"]

[[stage]]
kind = "gopher_quality"

[[stage]]
kind = "minhash_dedup"
partitions = 4

[[stage]]
id = "corpus"
kind = "write_parquet"

[[stage]]
kind = "tokenizer_train"
vocab_size = 400

[[stage]]
kind = "token_shards"
tokenizer = {{ stage = "tokenizer_train" }}
validation_share = 0.1
"#
    );
    fs::write(&path, recipe).unwrap();
    path
}

/// Runs the recipe and insists on success.
fn run(recipe: &Path, out: &Path, more: &[&str]) -> Output {
    let output = gristmill().arg("run").arg(recipe).arg("--out").arg(out).args(more).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    output
}

/// Every published file with its checksum.
fn published(out: &Path) -> Vec<FileEntry> {
    ["corpus", "tokenizer_train", "token_shards"]
        .iter()
        .flat_map(|stage| files::list(&out.join(stage)).unwrap())
        .filter(|file| file.name != ".fingerprint")
        .collect()
}

#[test]
fn one_thread_two_threads_and_single_tasks_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(folder.path());
    let (one, two, tasks) = (folder.path().join("1"), folder.path().join("2"), folder.path().join("tasks"));
    run(&recipe, &one, &["--jobs", "1"]);
    run(&recipe, &two, &["--jobs", "2"]);
    assert!(published(&one).iter().any(|file| file.name == "00000.parquet" && file.bytes > 10_000));
    assert_eq!(published(&one), published(&two));

    // The same through `task` and `gate`, tasks in reverse order, as a scheduler might.
    let plan_file = folder.path().join("plan.json");
    let plan = gristmill()
        .arg("plan")
        .arg(&recipe)
        .arg("--out")
        .arg(&tasks)
        .args(["--json", "--write"])
        .arg(&plan_file)
        .output()
        .unwrap();
    let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
    for step in plan["steps"].as_array().unwrap() {
        let id = step["id"].as_str().unwrap();
        let of_step = |command: &str| {
            let mut of_step = gristmill();
            of_step.arg(command).arg("--plan").arg(&plan_file).args(["--stage", id]);
            of_step
        };
        let early = of_step("gate").output().unwrap();
        assert_eq!(early.status.code(), Some(75), "{}", text(&early.stderr));
        assert!(text(&early.stderr).contains("missing 0"), "{}", text(&early.stderr));
        for index in (0..step["tasks"].as_u64().unwrap()).rev() {
            let done = of_step("task").env("SLURM_ARRAY_TASK_ID", index.to_string()).output().unwrap();
            assert!(done.status.success(), "{}", text(&done.stderr));
        }
        assert!(of_step("gate").status().unwrap().success());
    }
    let output = run(&recipe, &tasks, &[]);
    assert!(text(&output.stderr).contains("nothing to do"), "{}", text(&output.stderr));
    assert_eq!(published(&one), published(&tasks));
}

#[test]
fn a_rerun_does_nothing_and_a_changed_threshold_does_not_extract_again() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(folder.path());
    let out = folder.path().join("out");
    let first = run(&recipe, &out, &[]);
    let again = run(&recipe, &out, &[]);
    assert!(text(&again.stderr).contains("nothing to do"), "{}", text(&again.stderr));
    assert_eq!(text(&first.stdout), text(&again.stdout), "the funnel is the same, times included");
    let changed = run(&recipe, &out, &["--set", "stage.gopher_quality.min_words=200"]);
    let words = text(&changed.stderr);
    assert!(!words.contains("] extract_text"), "{words}");
    assert!(words.contains("] gopher_quality"), "{words}");
    assert_ne!(text(&first.stdout), text(&changed.stdout));
}

/// Kills the run as soon as its store holds `commits` commit markers. Returns whether it was killed in time.
fn killed_after(child: &mut Child, store: &Path, commits: usize) -> bool {
    loop {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        let steps = fs::read_dir(store).into_iter().flatten().flatten();
        let seen: usize = steps
            .map(|step| {
                let markers = fs::read_dir(step.path().join("commits")).into_iter().flatten().flatten();
                markers.filter(|marker| !marker.file_name().to_string_lossy().starts_with('.')).count()
            })
            .sum();
        if seen >= commits {
            child.kill().unwrap();
            child.wait().unwrap();
            return true;
        }
        std::thread::yield_now();
    }
}

#[test]
fn kills_at_any_point_leave_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(folder.path());
    let calm = folder.path().join("calm");
    run(&recipe, &calm, &[]);
    let out = folder.path().join("killed");
    let mut kills = 0;
    // Each attempt gets a little further; the last one ends by itself.
    for commits in [1, 2, 3, 5, 8, 11, 12, 14] {
        let mut child = gristmill()
            .arg("run")
            .arg(&recipe)
            .arg("--out")
            .arg(&out)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        kills += usize::from(killed_after(&mut child, &out.join("store"), commits));
    }
    assert!(kills > 0, "not one attempt was killed in the middle");
    run(&recipe, &out, &[]);
    assert_eq!(published(&calm), published(&out));
}

#[test]
fn documents_in_are_documents_out_and_dropped_at_every_stage() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(folder.path());
    let output = run(&recipe, &folder.path().join("out"), &["--json"]);
    let funnel: Value = serde_json::from_slice(&output.stdout).unwrap();
    let stages = funnel["stages"].as_array().unwrap();
    let names: Vec<&str> = stages.iter().map(|stage| stage["stage"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        ["crawl", "url_blocklist", "extract_text", "language", "gopher_quality", "minhash_dedup"]
    );
    let mut flowing = None;
    for stage in stages {
        let number = |key: &str| stage[key].as_u64().unwrap();
        let rejected: u64 = stage["rejected"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
        assert_eq!(number("documents_in"), number("documents_out") + rejected, "{stage}");
        assert_eq!(flowing.unwrap_or(number("documents_in")), number("documents_in"), "{stage}");
        flowing = Some(number("documents_out"));
    }
    let rejected = |stage: usize, reason: &str| stages[stage]["rejected"][reason].as_u64().unwrap_or(0);
    assert_eq!(rejected(0, "damaged_record"), 1);
    assert!(rejected(5, "near_duplicate") >= 10);
}

#[test]
fn branches_meet_again_and_a_missing_file_is_quarantined() {
    let folder = tempfile::tempdir().unwrap();
    let line = |id: usize, text: &str| {
        format!("{{\"id\":\"{id}\",\"url\":\"http://a.example/{id}\",\"text\":\"{text}\"}}\n")
    };
    let lines: String = (0..10)
        .map(|id| {
            line(id, if id % 2 == 0 { "short text" } else { "a much longer text of the mill by the river" })
        })
        .collect();
    fs::write(folder.path().join("a.jsonl"), lines).unwrap();
    let recipe = folder.path().join("recipe.toml");
    fs::write(
        &recipe,
        r#"
[[stage]]
kind = "jsonl"
paths = ["a.jsonl", "gone.jsonl"]

[[stage]]
kind = "gopher_quality"
id = "long"
input = "jsonl"
min_words = 5
min_stop_words = 0
min_mean_word_length = 0.0

[[stage]]
kind = "gopher_quality"
id = "short"
input = "jsonl"
min_words = 1
max_words = 5
min_stop_words = 0
min_mean_word_length = 0.0

[[stage]]
kind = "write_jsonl"
input = ["long", "short"]
compression = "none"
"#,
    )
    .unwrap();
    let out = folder.path().join("out");
    let output = gristmill().arg("run").arg(&recipe).arg("--out").arg(&out).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("gone.jsonl"), "{}", text(&output.stdout));
    let written: String = (0..4)
        .filter_map(|index| fs::read_to_string(out.join(format!("write_jsonl/{index:05}.jsonl"))).ok())
        .collect();
    let mut ids: Vec<u64> = written
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().parse().unwrap())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..10).collect::<Vec<_>>(), "{written}");
}
