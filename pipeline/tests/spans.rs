//! Stages that cut copies out of texts: the same texts for any number and order of files, tasks and threads; nothing lost
//! but copies.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use gristmill_corpus::files;
use serde_json::Value;

/// Every stage of the shape, with values that do something to small documents.
const STAGES: [(&str, &str); 6] = [
    ("line_dedup", ""),
    ("paragraph_dedup", "min_words_left = 3\n"),
    ("sentence_dedup", "sentences = 2\n"),
    ("substring_dedup", "min_tokens = 6\n"),
    ("substring_dedup", "min_tokens = 6\nkeep = \"none\"\nmin_tokens_left = 4\n"),
    ("bloom_dedup", "ngram = 4\nmin_ngram = 2\nthreshold = 0.5\n"),
];

fn is_jsonl(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == "jsonl")
}

fn gristmill() -> Command {
    Command::new(env!("CARGO_BIN_EXE_gristmill"))
}

fn words(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn success(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", words(&output.stderr));
    output
}

/// Texts of three paragraphs whose lines are drawn from a few, so that lines, paragraphs, sentences and rows of words are
/// copies of each other, within documents and across.
fn texts() -> Vec<String> {
    let mut state = 7_u64;
    let mut draw = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let name =
        |n: u64| format!("{}{}", char::from(b'a' + (n / 26 % 26) as u8), char::from(b'a' + (n % 26) as u8));
    let line = |kind: u64| {
        format!(
            "The mill of {} was built by miller {}. It turns. Nobody knows why",
            name(kind),
            name(kind % 7)
        )
    };
    let mut texts = vec!["***\n\n---".to_owned(), "The only text of its kind".to_owned()];
    for i in 0..90 {
        let paragraph = |draw: &mut dyn FnMut(u64) -> u64| {
            let n = 1 + draw(3);
            (0..n).map(|_| line(draw(200))).collect::<Vec<_>>().join("\n")
        };
        let mut text = (0..3).map(|_| paragraph(&mut draw)).collect::<Vec<_>>().join("\n\n");
        if i % 3 == 0 {
            text += &format!("\nAnd {} says: this is my own line", name(i));
        }
        texts.push(text);
    }
    // Whole copies.
    texts.push(texts[5].clone());
    texts.push(texts[6].to_uppercase());
    texts
}

/// Writes the texts as documents of `n_files` files; ids go with the texts, places in files do not.
fn write_crawl(folder: &Path, n_files: usize, reverse: bool) {
    let mut documents: Vec<(usize, String)> = texts().into_iter().enumerate().collect();
    if reverse {
        documents.reverse();
    }
    for (file, part) in documents.chunks(documents.len().div_ceil(n_files)).enumerate() {
        let lines = part.iter().map(|(id, text)| {
            serde_json::json!({"id": format!("d{id}"), "url": format!("http://a.example/{id}"), "text": text}).to_string()
        });
        fs::write(folder.join(format!("{file:02}.jsonl")), lines.collect::<Vec<_>>().join("\n")).unwrap();
    }
}

fn recipe(folder: &Path, kind: &str, values: &str) -> PathBuf {
    let path = folder.join("recipe.toml");
    let recipe = format!(
        "seed = 3\n[[stage]]\nkind = \"jsonl\"\npaths = [\"*.jsonl\"]\n\n[[stage]]\nkind = \"{kind}\"\npartitions = 3\n{values}\n\
         [[stage]]\nid = \"corpus\"\nkind = \"write_jsonl\"\ncompression = \"none\"\n"
    );
    fs::write(&path, recipe).unwrap();
    path
}

/// Texts that are left, by id.
fn left(out: &Path) -> BTreeMap<String, String> {
    let mut left = BTreeMap::new();
    for file in files::list(&out.join("corpus")).unwrap() {
        if !is_jsonl(&file.name) {
            continue;
        }
        for line in fs::read_to_string(out.join("corpus").join(&file.name)).unwrap().lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            left.insert(row["id"].as_str().unwrap().to_owned(), row["text"].as_str().unwrap().to_owned());
        }
    }
    left
}

#[test]
fn the_same_texts_for_any_files_tasks_and_threads() {
    for (kind, values) in STAGES {
        let mut expected = None;
        // So little memory makes dozens of runs of a task's keys.
        let ways = [
            (1, false, "1", "40kB"),
            (1, true, "2", "1GiB"),
            (4, false, "2", "2GiB"),
            (23, true, "3", "8GiB"),
        ];
        for (n_files, reverse, jobs, memory) in ways {
            let folder = tempfile::tempdir().unwrap();
            write_crawl(folder.path(), n_files, reverse);
            let recipe = recipe(folder.path(), kind, values);
            let out = folder.path().join("out");
            let run = success(
                gristmill()
                    .arg("run")
                    .arg(&recipe)
                    .arg("--out")
                    .arg(&out)
                    .args(["--jobs", jobs, "--memory", memory, "--json"]),
            );
            let funnel: Value = serde_json::from_slice(&run.stdout).unwrap();
            let left = left(&out);
            let stage = &funnel["stages"][1];
            let number = |key: &str| stage[key].as_u64().unwrap();
            let rejected: u64 =
                stage["rejected"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
            assert_eq!(number("documents_in"), texts().len() as u64);
            assert_eq!(number("documents_in"), number("documents_out") + rejected, "{stage}");
            assert_eq!(number("documents_out"), left.len() as u64);
            assert!(number("bytes_out") < number("bytes_in"), "{kind} did nothing: {stage}");
            let expected = expected.get_or_insert_with(|| left.clone());
            assert_eq!(left, *expected, "{kind} over {n_files} files, reverse {reverse}, {jobs} threads");
        }
    }
}

#[test]
fn single_tasks_in_any_order_give_the_same_bytes() {
    let (kind, values) = STAGES[3];
    let folder = tempfile::tempdir().unwrap();
    write_crawl(folder.path(), 5, false);
    let recipe = recipe(folder.path(), kind, values);
    let (whole, tasks) = (folder.path().join("whole"), folder.path().join("tasks"));
    success(gristmill().arg("run").arg(&recipe).arg("--out").arg(&whole));
    let plan_file = folder.path().join("plan.json");
    let plan = success(
        gristmill()
            .arg("plan")
            .arg(&recipe)
            .arg("--out")
            .arg(&tasks)
            .args(["--json", "--write"])
            .arg(&plan_file),
    );
    let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
    let steps: Vec<&str> =
        plan["steps"].as_array().unwrap().iter().filter_map(|step| step["id"].as_str()).collect();
    let parts = ["keys", "marks", "keys2", "marks2"].map(|part| format!("substring_dedup.{part}"));
    assert_eq!(steps, [&["jsonl"], &parts.each_ref().map(String::as_str)[..], &["corpus"]].concat());
    for step in plan["steps"].as_array().unwrap() {
        let of_step = |command: &str| {
            let mut of_step = gristmill();
            of_step
                .arg(command)
                .arg("--plan")
                .arg(&plan_file)
                .args(["--stage", step["id"].as_str().unwrap()]);
            of_step
        };
        for index in (0..step["tasks"].as_u64().unwrap()).rev() {
            success(of_step("task").env("SLURM_ARRAY_TASK_ID", index.to_string()));
        }
        success(&mut of_step("gate"));
    }
    success(gristmill().arg("run").arg(&recipe).arg("--out").arg(&tasks));
    let bytes = |out: &Path| {
        files::list(&out.join("corpus"))
            .unwrap()
            .into_iter()
            .filter(|file| is_jsonl(&file.name))
            .collect::<Vec<_>>()
    };
    assert_eq!(bytes(&whole).len(), 5);
    assert_eq!(bytes(&whole), bytes(&tasks));
}

#[test]
fn every_line_stays_once_and_rejects_say_why() {
    let folder = tempfile::tempdir().unwrap();
    write_crawl(folder.path(), 4, false);
    let recipe = recipe(folder.path(), "line_dedup", "");
    let out = folder.path().join("out");
    success(gristmill().arg("run").arg(&recipe).arg("--out").arg(&out));
    let left = left(&out);
    let normal =
        |line: &str| line.to_lowercase().replace(|c: char| c.is_ascii_digit(), "0").replace("00", "0");
    let has_words = |line: &&str| line.chars().any(char::is_alphanumeric);
    let before: BTreeSet<String> = texts()
        .iter()
        .flat_map(|text| text.lines().filter(has_words).map(normal).collect::<Vec<_>>())
        .collect();
    let mut after: Vec<String> = left
        .values()
        .flat_map(|text| text.lines().filter(has_words).map(normal).collect::<Vec<_>>())
        .collect();
    after.sort();
    assert_eq!(after, before.into_iter().collect::<Vec<_>>());

    // A document that went, and one that stayed.
    let gone = (0..texts().len()).find(|id| !left.contains_key(&format!("d{id}"))).unwrap();
    let preview = success(gristmill().arg("preview").arg(&out).args([
        "--stage",
        "line_dedup",
        "--rejected",
        "--json",
        "-n",
        "500",
    ]));
    let preview = words(&preview.stdout);
    assert!(
        preview.contains("all_lines_duplicate") && preview.contains(&format!("\"d{gone}\"")),
        "{preview}"
    );
    let why = |id: usize| {
        let why = gristmill()
            .arg("why")
            .arg(&recipe)
            .arg(format!("d{id}"))
            .arg("--out")
            .arg(&out)
            .output()
            .unwrap();
        assert!(why.status.success(), "{}", words(&why.stderr));
        words(&why.stdout)
    };
    assert!(why(gone).contains("drop all_lines_duplicate"), "{}", why(gone));
    assert!(why(1).contains("cut out"), "{}", why(1));
}

#[test]
fn stages_follow_each_other_and_branches_meet() {
    let folder = tempfile::tempdir().unwrap();
    write_crawl(folder.path(), 3, false);
    let path = folder.path().join("recipe.toml");
    let recipe = r#"
[[stage]]
kind = "jsonl"
paths = ["00.jsonl"]

[[stage]]
id = "others"
kind = "jsonl"
paths = ["01.jsonl", "02.jsonl"]

[[stage]]
kind = "line_dedup"
input = ["jsonl", "others"]

[[stage]]
kind = "sentence_dedup"
sentences = 1

[[stage]]
kind = "exact_dedup"

[[stage]]
kind = "substring_dedup"
min_tokens = 5

[[stage]]
id = "corpus"
kind = "write_jsonl"
compression = "none"
"#;
    fs::write(&path, recipe).unwrap();
    let out = folder.path().join("out");
    let run = success(gristmill().arg("run").arg(&path).arg("--out").arg(&out).arg("--json"));
    let funnel: Value = serde_json::from_slice(&run.stdout).unwrap();
    let mut flowing = None;
    for stage in funnel["stages"].as_array().unwrap().iter().skip(2) {
        let number = |key: &str| stage[key].as_u64().unwrap();
        assert_eq!(flowing.unwrap_or(texts().len() as u64), number("documents_in"), "{stage}");
        flowing = Some(number("documents_out"));
    }
    // One sentence is left of all that are equal.
    let left = left(&out).into_values().collect::<Vec<_>>().join("\n");
    assert_eq!(left.to_lowercase().matches("it turns").count(), 1, "{left}");
}

/// Text of every document of two runs, the second over the second half of the files.
fn left_by_two(first: &str, second: &str) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let folder = tempfile::tempdir().unwrap();
    write_crawl(folder.path(), 4, false);
    let run = |name: &str, paths: &str, values: &str| {
        let recipe = folder.path().join(format!("{name}.toml"));
        let text = format!(
            "[[stage]]\nkind = \"jsonl\"\npaths = [{paths}]\n\n[[stage]]\nkind = \"line_dedup\"\n{values}\n\
             [[stage]]\nid = \"corpus\"\nkind = \"write_jsonl\"\ncompression = \"none\"\n"
        );
        fs::write(&recipe, text).unwrap();
        let out = folder.path().join(name);
        success(gristmill().arg("run").arg(&recipe).arg("--out").arg(&out));
        left(&out)
    };
    (run("first", "\"00.jsonl\", \"01.jsonl\"", first), run("second", "\"02.jsonl\", \"03.jsonl\"", second))
}

#[test]
fn an_earlier_run_counts_as_seen() {
    let lines = |left: &BTreeMap<String, String>| -> Vec<String> {
        let lines =
            left.values().flat_map(|text| text.lines()).filter(|line| line.contains(char::is_alphanumeric));
        lines.map(str::to_lowercase).collect()
    };
    let (first, second) = left_by_two("", "against = [\"first\"]\n");
    let mut both = [lines(&first), lines(&second)].concat();
    let n = both.len();
    both.sort();
    both.dedup();
    assert_eq!(both.len(), n, "no line is in both");
    let all: BTreeSet<String> = texts()
        .iter()
        .flat_map(|text| text.lines().map(str::to_lowercase).collect::<Vec<_>>())
        .filter(|line| line.contains(char::is_alphanumeric))
        .collect();
    assert_eq!(both, all.into_iter().collect::<Vec<_>>());
    let (same, alone) = left_by_two("", "");
    assert_eq!(same, first);
    assert!(lines(&alone).len() > lines(&second).len());
    // No copy stays, not even the only one here, where an earlier run has it.
    let (_, none) = left_by_two("", "against = [\"first\"]\nkeep = \"none\"\n");
    assert!(lines(&none).iter().all(|line| lines(&second).contains(line)));
}
