//! Deduplication's promises: the same survivors for any number of tasks, threads, orders, kills and any memory; what is
//! kept together with what was found.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use gristmill_corpus::files::{self, FileEntry};
use serde_json::{Value, json};

fn gristmill() -> Command {
    Command::new(env!("CARGO_BIN_EXE_gristmill"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The next number of a fixed sequence.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    *state >> 33
}

fn word(number: u64) -> String {
    number.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect()
}

/// 300 documents: 60 texts of 90 words, each as it is, again, with 1, 2 and 20 other words; shuffled.
fn corpus() -> Vec<Value> {
    let mut state = 7;
    let mut documents = Vec::new();
    for text in 0..60 {
        let words: Vec<String> = (0..90).map(|_| word(next(&mut state) % 3000)).collect();
        for edits in [0, 0, 1, 2, 20] {
            let mut words = words.clone();
            for _ in 0..edits {
                let at = next(&mut state) as usize % words.len();
                words[at] = word(3000 + next(&mut state) % 3000);
            }
            let place = next(&mut state);
            let url = format!("http://{text}.example/{}", documents.len());
            documents.push((
                place,
                json!({"id": format!("{text}-{}", documents.len()), "url": url, "text": words.join(" ")}),
            ));
        }
    }
    documents.sort_by_key(|(place, document)| (*place, document["id"].to_string()));
    documents.into_iter().map(|(_, document)| document).collect()
}

/// Writes the corpus as `n` files, and a recipe over them.
fn recipe(folder: &Path, n_files: usize, partitions: usize, more: &str) -> PathBuf {
    fs::create_dir_all(folder).unwrap();
    let documents = corpus();
    for (index, some) in documents.chunks(documents.len().div_ceil(n_files)).enumerate() {
        let lines: Vec<String> = some.iter().map(ToString::to_string).collect();
        fs::write(folder.join(format!("{index:03}.jsonl")), lines.join("\n")).unwrap();
    }
    let path = folder.join("recipe.toml");
    let recipe = format!(
        r#"
name = "dedup"
seed = 3

[[stage]]
kind = "jsonl"
paths = ["*.jsonl"]

[[stage]]
kind = "exact_dedup"
partitions = 3

[[stage]]
kind = "minhash_dedup"
partitions = {partitions}
{more}

[[stage]]
kind = "write_jsonl"
compression = "none"
"#
    );
    fs::write(&path, recipe).unwrap();
    path
}

fn run(recipe: &Path, out: &Path, more: &[&str]) -> Output {
    let output = gristmill().arg("run").arg(recipe).arg("--out").arg(out).args(more).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    output
}

/// Every file that counts, in every step: names in the store are fingerprints, so equal steps have equal names.
fn results(out: &Path) -> BTreeMap<String, Vec<Vec<FileEntry>>> {
    let plan: Value = serde_json::from_slice(&fs::read(out.join("plan.json")).unwrap()).unwrap();
    let step = |step: &Value| {
        let folder = out.join("store").join(step["fingerprint"].as_str().unwrap());
        let manifest: Value =
            serde_json::from_slice(&fs::read(folder.join("manifest.json")).unwrap()).unwrap();
        let files = manifest["commits"].as_array().unwrap().iter().map(|commit| {
            // What the commit says, and nothing else lies there.
            let said: Vec<FileEntry> = serde_json::from_value(commit["files"].clone()).unwrap();
            let there =
                files::list(&folder.join("attempts").join(commit["attempt"].as_str().unwrap())).unwrap();
            assert_eq!(said, there);
            said
        });
        (step["id"].as_str().unwrap().to_owned(), files.collect())
    };
    plan["steps"].as_array().unwrap().iter().map(step).collect()
}

/// The documents that stay, in order.
fn survivors(out: &Path) -> Vec<Value> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(out.join("write_jsonl")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    let lines = files.iter().flat_map(|path| {
        let lines: Vec<Value> = fs::read_to_string(path)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        lines
    });
    lines.collect()
}

fn ids(documents: &[Value]) -> Vec<&str> {
    documents.iter().map(|document| document["id"].as_str().unwrap()).collect()
}

#[test]
fn threads_memory_and_single_tasks_in_any_order_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    // 40 partitions: forests merge in a tree of two levels.
    let recipe = recipe(&folder.path().join("in"), 7, 40, "");
    let [calm, tight, tasks] = ["calm", "tight", "tasks"].map(|name| folder.path().join(name));
    run(&recipe, &calm, &["--jobs", "2"]);
    run(&recipe, &tight, &["--jobs", "1", "--memory", "20kB"]);
    let expected = results(&calm);
    assert!(expected.contains_key("minhash_dedup.forests-3"), "{:?}", expected.keys());
    assert_eq!(expected, results(&tight));

    let plan_file = folder.path().join("plan.json");
    let plan = gristmill()
        .args(["plan", "--json", "--write"])
        .arg(&plan_file)
        .arg("--out")
        .arg(&tasks)
        .arg(&recipe)
        .output()
        .unwrap();
    let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
    for (number, step) in plan["steps"].as_array().unwrap().iter().enumerate() {
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
            let memory = ["1B", "300kB", "1GiB"][(number + index as usize) % 3];
            let done =
                of_step("task").args(["--index", &index.to_string(), "--memory", memory]).output().unwrap();
            assert!(done.status.success(), "{}", text(&done.stderr));
        }
        assert!(of_step("gate").status().unwrap().success());
    }
    run(&recipe, &tasks, &[]);
    assert_eq!(expected, results(&tasks));
}

#[test]
fn survivors_do_not_depend_on_how_documents_are_split() {
    let folder = tempfile::tempdir().unwrap();
    let mut answers = Vec::new();
    for (n_files, partitions) in [(1, 1), (4, 16), (60, 5)] {
        let name = n_files.to_string();
        let recipe = recipe(&folder.path().join(&name), n_files, partitions, "");
        let out = folder.path().join(format!("out-{name}"));
        run(&recipe, &out, &[]);
        answers.push(survivors(&out));
    }
    let without_places = |documents: &[Value]| -> Vec<Value> {
        let mut documents = documents.to_vec();
        for document in &mut documents {
            for place in ["file_path", "offset"] {
                document.as_object_mut().unwrap().remove(place);
            }
        }
        documents
    };
    let one = without_places(&answers[0]);
    assert_eq!(one, without_places(&answers[1]));
    assert_eq!(one, without_places(&answers[2]));
    // All copies go, as do most texts with an edit or two; a text with twenty other words is another.
    assert!((60..=140).contains(&one.len()), "{}", one.len());
    for document in &one {
        assert!(document["minhash_cluster_size"].as_u64() >= Some(1), "{document}");
    }
    let documents: u64 = one.iter().map(|document| document["minhash_cluster_size"].as_u64().unwrap()).sum();
    assert_eq!(documents, 300 - 60, "each that exact_dedup left is in one cluster");
}

/// Parts that one task reads together, as plans of thousands of splits have them.
#[test]
fn a_task_may_read_several_parts() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(&folder.path().join("in"), 7, 4, "");
    let (calm, grouped) = (folder.path().join("calm"), folder.path().join("grouped"));
    run(&recipe, &calm, &[]);
    let plan_file = folder.path().join("plan.json");
    let mut plan: Value = serde_json::from_slice(&fs::read(calm.join("plan.json")).unwrap()).unwrap();
    plan["store"] = json!(grouped.join("store"));
    let keys =
        plan["steps"].as_array_mut().unwrap().iter_mut().find(|step| step["id"] == "minhash_dedup.keys");
    let keys = keys.unwrap();
    keys["work"]["head"]["parts"]["per_task"] = json!(3);
    keys["tasks"] = json!(3);
    fs::create_dir(&grouped).unwrap();
    fs::write(&plan_file, plan.to_string()).unwrap();
    fs::write(grouped.join("plan.json"), plan.to_string()).unwrap();
    for step in plan["steps"].as_array().unwrap() {
        for index in 0..step["tasks"].as_u64().unwrap() {
            let task = gristmill()
                .args([
                    "task",
                    "--index",
                    &index.to_string(),
                    "--stage",
                    step["id"].as_str().unwrap(),
                    "--plan",
                ])
                .arg(&plan_file)
                .output()
                .unwrap();
            assert!(task.status.success(), "{}", text(&task.stderr));
        }
        let gate = gristmill()
            .args(["gate", "--stage", step["id"].as_str().unwrap(), "--plan"])
            .arg(&plan_file)
            .status();
        assert!(gate.unwrap().success());
    }
    let (calm, grouped) = (results(&calm), results(&grouped));
    assert_eq!(grouped["minhash_dedup.keys"].len(), 3);
    for step in ["minhash_dedup.forests", "minhash_dedup.clusters", "write_jsonl"] {
        assert_eq!(calm[step], grouped[step], "{step}");
    }
}

/// A reducer opens no more than a thousand files of keys: with more splits, a task reads several.
#[test]
fn thousands_of_splits_leave_at_most_a_thousand_files_of_keys() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipe.toml");
    let files: Vec<String> = (0..2500).map(|n| format!("\"{n}.jsonl\"")).collect();
    let files = files.join(", ");
    fs::write(
        &path,
        format!("[[stage]]\nkind = \"jsonl\"\npaths = [{files}]\n\n[[stage]]\nkind = \"exact_dedup\"\n"),
    )
    .unwrap();
    let plan = gristmill().arg("plan").arg(&path).arg("--json").output().unwrap();
    let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
    let tasks: BTreeMap<&str, u64> = plan["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| (step["id"].as_str().unwrap(), step["tasks"].as_u64().unwrap()))
        .collect();
    assert_eq!((tasks["jsonl"], tasks["exact_dedup.keys"], tasks["exact_dedup"]), (2500, 834, 2500));
}

#[test]
fn kills_at_any_point_leave_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(&folder.path().join("in"), 7, 20, "");
    let (calm, killed) = (folder.path().join("calm"), folder.path().join("killed"));
    run(&recipe, &calm, &[]);
    let mut kills = 0;
    for commits in [8, 12, 16, 20, 24, 30, 36, 42, 48] {
        let mut child = gristmill()
            .arg("run")
            .arg(&recipe)
            .arg("--out")
            .arg(&killed)
            .args(["--memory", "20kB"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        loop {
            if child.try_wait().unwrap().is_some() {
                break;
            }
            let steps = fs::read_dir(killed.join("store")).into_iter().flatten().flatten();
            let seen: usize = steps
                .map(|step| fs::read_dir(step.path().join("commits")).into_iter().flatten().flatten().count())
                .sum();
            if seen >= commits {
                child.kill().unwrap();
                child.wait().unwrap();
                kills += 1;
                break;
            }
            std::thread::yield_now();
        }
    }
    assert!(kills > 0, "not one attempt was killed in the middle");
    run(&recipe, &killed, &[]);
    assert_eq!(results(&calm), results(&killed));
}

#[test]
fn a_column_decides_who_stays() {
    let folder = tempfile::tempdir().unwrap();
    let offsets = |name: &str, survivor: &str| {
        let recipe = recipe(&folder.path().join(name), 1, 4, &format!("survivor = {survivor}\nverify = 0"));
        let out = folder.path().join(format!("out-{name}"));
        run(&recipe, &out, &[]);
        let survivors = survivors(&out);
        let by_cluster: BTreeMap<u64, u64> = survivors
            .iter()
            .map(|document| {
                (document["minhash_cluster_id"].as_u64().unwrap(), document["offset"].as_u64().unwrap())
            })
            .collect();
        assert_eq!(by_cluster.len(), survivors.len(), "one of each cluster");
        by_cluster
    };
    let (first, lowest) = (offsets("first", "\"first\""), offsets("low", "{ lowest = \"offset\" }"));
    let highest = offsets("high", "{ highest = \"offset\" }");
    assert_eq!(first, lowest);
    assert_eq!(first.keys().collect::<Vec<_>>(), highest.keys().collect::<Vec<_>>());
    assert!(first.iter().all(|(cluster, offset)| highest[cluster] >= *offset));
    assert!(first.iter().filter(|(cluster, offset)| highest[cluster] > **offset).count() > 30);
    // A column that is not there is a mistake before anything runs.
    let recipe = recipe(&folder.path().join("none"), 1, 4, "survivor = { highest = \"score\" }");
    let check = gristmill().arg("check").arg(&recipe).output().unwrap();
    assert_eq!(check.status.code(), Some(2));
    assert!(text(&check.stderr).contains("needs the column `score`"), "{}", text(&check.stderr));
}

/// A second crawl against the first: what the first has is dropped, without its text, and nothing of the first comes out.
#[test]
fn a_crawl_is_compared_with_an_earlier_run() {
    let folder = tempfile::tempdir().unwrap();
    let first = recipe(&folder.path().join("first"), 3, 4, "");
    // Half of the first crawl again, and one page that is new.
    let second =
        recipe(&folder.path().join("second"), 1, 4, "against = [\"../out-first\"]\nsurvivor = \"longest\"");
    let file = folder.path().join("second/000.jsonl");
    let page =
        json!({"id": "new", "url": "", "text": (0..90).map(|n| word(9000 + n) + " ").collect::<String>()});
    let lines = fs::read_to_string(&file).unwrap();
    let half: Vec<&str> = lines.lines().skip(150).collect();
    fs::write(&file, format!("{}\n{page}\n{page}\n", half.join("\n"))).unwrap();
    let early =
        gristmill().arg("run").arg(&second).arg("--out").arg(folder.path().join("x")).output().unwrap();
    assert_eq!(early.status.code(), Some(2), "{}", text(&early.stderr));
    assert!(text(&early.stderr).contains("no earlier run is there"), "{}", text(&early.stderr));

    let (out_first, out) = (folder.path().join("out-first"), folder.path().join("out"));
    run(&first, &out_first, &[]);
    // The old documents are not needed any more, nor their Parquet files.
    for entry in fs::read_dir(folder.path().join("first")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            fs::remove_file(path).unwrap();
        }
    }
    run(&second, &out, &[]);
    let found = survivors(&out);
    assert_eq!(ids(&found), ["new"], "only what the first crawl has not");
    let again = run(&second, &out, &[]);
    assert!(text(&again.stderr).contains("nothing to do"), "{}", text(&again.stderr));
    let shown = gristmill()
        .arg("preview")
        .arg(&out)
        .args(["--stage", "minhash_dedup", "--clusters"])
        .output()
        .unwrap();
    assert!(text(&shown.stdout).contains("(of an earlier run)"), "{}", text(&shown.stdout));

    let other = fs::read_to_string(&second).unwrap().replace("partitions = 4", "partitions = 5");
    fs::write(&second, other).unwrap();
    let wrong = gristmill().arg("run").arg(&second).arg("--out").arg(&out).output().unwrap();
    assert!(text(&wrong.stderr).contains("its keys are made otherwise"), "{}", text(&wrong.stderr));
}

#[test]
fn clusters_are_shown_with_their_true_similarity() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(&folder.path().join("in"), 3, 4, "");
    let out = folder.path().join("out");
    run(&recipe, &out, &[]);
    let preview = |more: &[&str]| {
        let output = gristmill().arg("preview").arg(&out).args(more).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let clusters = preview(&["--stage", "minhash_dedup", "--clusters", "-n", "5", "--json"]);
    let clusters: Value = serde_json::from_str(&clusters).unwrap();
    let clusters = clusters.as_array().unwrap();
    assert_eq!(clusters.len(), 5);
    let survivors = survivors(&out);
    let kept = ids(&survivors);
    let mut size_before = u64::MAX;
    for cluster in clusters {
        let (size, documents) = (cluster["size"].as_u64().unwrap(), cluster["documents"].as_array().unwrap());
        assert!(size <= size_before && size as usize == documents.len(), "{cluster}");
        size_before = size;
        for (place, document) in documents.iter().enumerate() {
            assert_eq!(document["kept"], json!(place == 0));
            assert_eq!(kept.contains(&document["id"].as_str().unwrap()), place == 0);
            let jaccard = document["jaccard"].as_f64().unwrap();
            assert!(
                if place == 0 { jaccard > 1.0 - 1e-12 } else { (0.5..1.0).contains(&jaccard) },
                "{cluster}"
            );
            let number = |url: &Value| url.as_str().unwrap().split('.').next().map(str::to_owned);
            assert_eq!(number(&document["url"]), number(&documents[0]["url"]), "of one text");
        }
    }
    let words = preview(&["--stage", "exact_dedup", "--clusters", "-n", "1"]);
    assert!(words.contains(": 2 documents\n  kept     1.000  http://"), "{words}");
    let which = gristmill().arg("preview").arg(&out).arg("--clusters").output().unwrap();
    assert!(text(&which.stderr).contains("exact_dedup, minhash_dedup"), "{}", text(&which.stderr));
    let none =
        gristmill().arg("preview").arg(&out).args(["--clusters", "--stage", "jsonl"]).output().unwrap();
    assert!(text(&none.stderr).contains("`jsonl` finds no clusters"), "{}", text(&none.stderr));
}
