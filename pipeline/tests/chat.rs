//! From documents and conversations to a chat model in one recipe: it answers, nothing is done twice, and a changed
//! fine-tuning retrains the chat model alone.

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
"#;

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

    let again = gristmill(&path, &["run", "chat.toml", "--out", "out"]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("nothing to do"));
    let to_do = |set: &str| {
        let plan = gristmill(&path, &["plan", "chat.toml", "--out", "out", "--set", set]);
        let lines = String::from_utf8_lossy(&plan.stdout).into_owned();
        let open = lines.lines().filter(|line| line.contains("  to do  "));
        open.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(to_do("stage.sft.overrides.train.steps=7"), ["sft"]);
    assert_eq!(
        to_do("stage.conversation_shards.template=\"<|iam_start|>{role}\\n{content}<|iam_end|>\\n\""),
        ["conversation_shards.parts", "conversation_shards", "sft"]
    );
    assert_eq!(to_do("stage.pretrain.overrides.train.steps=5"), ["pretrain", "sft"]);
}

#[test]
fn shards_of_conversations_are_the_same_for_any_number_of_jobs() {
    let (_guard, path) = folder();
    // The recipe without its training, which needs no second look here.
    let without =
        RECIPE.split("[[stage]]").filter(|stage| !stage.contains("base.toml") && !stage.contains("sft.toml"));
    fs::write(path.join("shards.toml"), without.collect::<Vec<_>>().join("[[stage]]")).unwrap();
    let list = |jobs: &str| {
        gristmill(&path, &["run", "shards.toml", "--out", jobs, "--jobs", jobs]);
        files::list(&path.join(jobs).join("conversation_shards")).unwrap()
    };
    let (one, two) = (list("1"), list("2"));
    assert!(one.iter().any(|file| file.name == "train-00000.mask"), "{one:?}");
    assert_eq!(one, two);
}
