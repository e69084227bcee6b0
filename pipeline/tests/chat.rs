//! From documents and conversations to a chat model in one recipe: it answers, nothing is done twice, and a
//! changed fine-tuning retrains the chat model alone.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use gristmill_corpus::files;
use serde_json::Value;

const RECIPE: &str = r#"
name = "tiny-chat"
seed = 1

[[stage]]
id = "pages"
kind = "jsonl"
paths = ["pages.jsonl"]

[[stage]]
id = "conversations"
kind = "sharegpt"
paths = ["conversations.jsonl"]

[[stage]]
kind = "tokenizer_train"
input = ["pages", "conversations"]
vocab_size = 320

[[stage]]
kind = "token_shards"
input = "pages"
tokenizer = { stage = "tokenizer_train" }
validation_share = 0.3

[[stage]]
kind = "pretrain"
config = "base.toml"

[[stage]]
kind = "conversation_shards"
input = "conversations"
tokenizer = { stage = "tokenizer_train" }
validation_share = 0.2

[[stage]]
kind = "sft"
base = { stage = "pretrain" }
config = "sft.toml"

[[stage]]
kind = "eval"
tasks = ["words.yaml"]
chat = true
shards = { stage = "token_shards" }
"#;

const TASK: &str = "task: words\ndataset_path: json\ndataset_kwargs:\n  data_files: {test: words.jsonl}\ntest_split: test\n\
                    output_type: multiple_choice\ndoc_to_text: \"{{q}}\"\ndoc_to_target: 0\ndoc_to_choice: [yes, no]\n";

const BASE: &str = "[model]\nkind = \"llama3\"\nlayers = 1\nheads = 2\nwidth = 32\ncontext = 64\ntied = true\n\
                    [train]\nsteps = 4\nbatch = 2\nwarmup = 1\n";
const SFT: &str =
    "[train]\nsteps = 6\nbatch = 2\nwarmup = 1\n[sample]\nprompts = [\"Word 1?\"]\ntokens = 8\n";

fn write_inputs(folder: &Path) {
    let (mut pages, mut conversations) = (String::new(), String::new());
    for n in 0..30 {
        let page = serde_json::json!({
            "id": format!("p{n}"), "url": format!("http://h{n}.example/"), "text": format!("Page {n} of the mill. ").repeat(6),
        });
        writeln!(pages, "{page}").unwrap();
        let turn = |from: &str, value: String| serde_json::json!({"from": from, "value": value});
        let turns = [turn("human", format!("Word {n}?")), turn("gpt", format!("It is {n} <|iam_end|>."))];
        writeln!(conversations, "{}", serde_json::json!({"id": format!("c{n}"), "conversations": turns}))
            .unwrap();
    }
    conversations.push_str("{\"conversations\": [{\"from\": \"human\", \"value\": \"Anyone?\"}]}\n");
    for (name, text) in [
        ("pages.jsonl", pages.as_str()),
        ("conversations.jsonl", &conversations),
        ("base.toml", BASE),
        ("sft.toml", SFT),
        ("chat.toml", RECIPE),
        ("words.yaml", TASK),
        ("words.jsonl", "{\"q\": \"Word 1?\"}\n{\"q\": \"Word 2?\"}\n"),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
}

fn gristmill(folder: &Path, arguments: &[&str]) -> Output {
    let output =
        Command::new(env!("CARGO_BIN_EXE_gristmill")).current_dir(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The steps that a run with this change would do.
fn to_do(folder: &Path, recipe: &str, set: &str) -> Vec<String> {
    let plan = gristmill(folder, &["plan", recipe, "--out", "out", "--set", set]);
    let lines = String::from_utf8_lossy(&plan.stdout).into_owned();
    let open = lines.lines().filter(|line| line.contains("  to do  "));
    open.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

fn has_trainer() -> bool {
    let there = Path::new(env!("CARGO_BIN_EXE_gristmill")).with_file_name("gristmill-train").is_file();
    if !there {
        eprintln!(
            "SKIPPED: no `gristmill-train` beside `gristmill`; stages/src/sft.rs tests what it is told"
        );
    }
    there
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    write_inputs(folder.path());
    let path = folder.path().to_owned();
    (folder, path)
}

#[test]
fn one_recipe_goes_to_a_chat_model_and_reruns_do_what_changed() {
    if !has_trainer() {
        return;
    }
    let (_guard, path) = folder();
    let first = gristmill(&path, &["run", "chat.toml", "--out", "out"]);
    let words = String::from_utf8_lossy(&first.stdout).into_owned();
    assert!(words.contains("no_answer 1"), "{words}");
    assert!(words.contains("model `sft`: validation loss"), "{words}");
    let summary: Value =
        serde_json::from_slice(&fs::read(path.join("out/sft/summary.json")).unwrap()).unwrap();
    let count = |key: &str| summary[key].as_u64().unwrap();
    assert_eq!(count("conversations") + count("val_conversations"), 30);

    let answer = gristmill(
        &path,
        &["chat", "--checkpoint", "out/sft", "--prompt", "Word 1?", "--tokens", "4", "--json"],
    );
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(answer["prompt"], "Word 1?");
    assert!(answer["ended"].is_boolean() && answer["text"].is_string(), "{answer}");

    // Measured again from the checkpoint, it is what the run said.
    let trainer = Path::new(env!("CARGO_BIN_EXE_gristmill")).with_file_name("gristmill-train");
    let measured = Command::new(trainer)
        .current_dir(&path)
        .args(["eval-chat", "--checkpoint", "out/sft", "--shards", "out/conversation_shards", "--json"])
        .output()
        .unwrap();
    let measured: Value = serde_json::from_slice(&measured.stdout).unwrap();
    assert_eq!(measured["val_loss"], summary["val_loss"]);
    assert_eq!(measured["format"]["prompts"], summary["val_conversations"]);

    let again = gristmill(&path, &["run", "chat.toml", "--out", "out"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("nothing to do"));
    let to_do = |set: &str| to_do(&path, "chat.toml", set);
    assert_eq!(to_do("stage.eval.limit=1"), ["eval"]);
    assert_eq!(to_do("stage.sft.overrides.train.steps=7"), ["sft", "eval"]);
    assert_eq!(
        to_do("stage.conversation_shards.template=\"<|iam_start|>{role}\\n{content}<|iam_end|>\\n\""),
        ["conversation_shards.parts", "conversation_shards", "sft", "eval"]
    );
    assert_eq!(to_do("stage.pretrain.overrides.train.steps=5"), ["pretrain", "sft", "eval"]);

    // A task is judged anew when its file or the rows that it names are others; no model is trained for that.
    let results = |name: &str| fs::read_to_string(path.join("out/eval").join(name)).unwrap();
    let measured: Value = serde_json::from_str(&results("results.json")).unwrap();
    assert_eq!(
        (&measured["tasks"][0]["task"], &measured["tasks"][0]["documents"]),
        (&"words".into(), &2.into())
    );
    assert!(measured["bits_per_byte"].as_f64().unwrap() > 0.0);
    assert!(words.contains("`eval`:") && words.contains(results("results.txt").trim_end()), "{words}");
    fs::write(path.join("words.jsonl"), "{\"q\": \"Word 1?\"}\n").unwrap();
    assert_eq!(to_do("seed=1"), ["eval"]);
    gristmill(&path, &["run", "chat.toml", "--out", "out"]);
    let measured: Value = serde_json::from_str(&results("results.json")).unwrap();
    assert_eq!(measured["tasks"][0]["documents"], 1);
    fs::write(path.join("words.yaml"), TASK.replace("[yes, no]", "[yes, no, perhaps]")).unwrap();
    assert_eq!(to_do("seed=1"), ["eval"]);
}

/// Two sources of documents, each behind a filter of its own, are mixed into one model.
#[test]
fn a_changed_filter_retrains_what_reads_it_and_nothing_else() {
    if !has_trainer() {
        return;
    }
    let (_guard, path) = folder();
    let mixed = r#"
name = "mixed"
seed = 1

[[stage]]
id = "pages"
kind = "jsonl"
paths = ["pages.jsonl"]

[[stage]]
id = "early"
kind = "where"
input = "pages"
keep = "id < 'p2'"

[[stage]]
id = "late"
kind = "where"
input = "pages"
keep = "id >= 'p2'"

[[stage]]
kind = "tokenizer_train"
input = "pages"
vocab_size = 320

[[stage]]
id = "early_shards"
kind = "token_shards"
input = "early"
tokenizer = { stage = "tokenizer_train" }
validation_share = 0.3

[[stage]]
id = "late_shards"
kind = "token_shards"
input = "late"
tokenizer = { stage = "tokenizer_train" }
validation_share = 0.3

[[stage]]
id = "both"
kind = "pretrain"
input = ["early_shards", "late_shards"]
config = "base.toml"
overrides.mixture = [{ name = "early_shards", weight = 3.0 }, { name = "late_shards" }]

[[stage]]
id = "eval_both"
kind = "eval"
shards = { stage = "late_shards" }

[[stage]]
id = "one"
kind = "pretrain"
input = "early_shards"
config = "base.toml"

[[stage]]
id = "eval_one"
kind = "eval"
tasks = ["words.yaml"]
"#;
    fs::write(path.join("mixed.toml"), mixed).unwrap();
    gristmill(&path, &["run", "mixed.toml", "--out", "out"]);
    let plan: Value = serde_json::from_slice(&fs::read(path.join("out/both/pack.json")).unwrap()).unwrap();
    let drawn = |source: usize| plan["sources"][source]["n_drawn"].as_u64().unwrap();
    assert_eq!((&plan["sources"][0]["name"], drawn(0), drawn(1)), (&"early_shards".into(), 6, 2));
    let to_do = |set: &str| to_do(&path, "mixed.toml", set);
    assert_eq!(to_do("seed=1"), [""; 0]);
    let changed = "stage.late.keep=\"id >= 'p21'\"";
    assert_eq!(to_do(changed), ["late_shards.parts", "late_shards", "both", "eval_both"]);
    let trainings = ["early_shards.parts", "early_shards", "both", "eval_both", "one", "eval_one"];
    assert_eq!(to_do("stage.early.keep=\"id < 'p19'\""), trainings);
}

#[test]
fn shards_of_conversations_are_the_same_for_any_number_of_jobs() {
    let (_guard, path) = folder();
    // The recipe without its training, which needs no second look here.
    let without = RECIPE
        .split("[[stage]]")
        .filter(|stage| !["base.toml", "sft.toml", "words.yaml"].iter().any(|name| stage.contains(name)));
    fs::write(path.join("shards.toml"), without.collect::<Vec<_>>().join("[[stage]]")).unwrap();
    let list = |jobs: &str| {
        gristmill(&path, &["run", "shards.toml", "--out", jobs, "--jobs", jobs]);
        files::list(&path.join(jobs).join("conversation_shards")).unwrap()
    };
    let (one, two) = (list("1"), list("2"));
    assert!(one.iter().any(|file| file.name == "train-00000.mask"), "{one:?}");
    assert_eq!(one, two);
}
