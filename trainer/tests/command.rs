//! The `gristmill-train` command on a small corpus: what it leaves, what it prints, and how it fails.

use std::path::Path;
use std::process::{Command, Output};

use gristmill_corpus::shards::{DocumentTokens, ShardOptions, ShardWriter};
use gristmill_tokenizer::{Pattern, PretokenCounts, TrainOptions, train};
use gristmill_train::generate::prompt_ids;
use gristmill_train::pretrain::Summary;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gristmill-train")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn write_corpus(folder: &Path) {
    let names = ["miller", "farmer", "baker", "carter"];
    let goods = ["grain", "flour", "bread", "oats", "barley"];
    let documents: Vec<String> = (0..240_usize)
        .map(|i| {
            let (name, good) = (names[i % 4], goods[i * 7 % 5]);
            format!(
                "The {name} sells {good}. Whoever buys {good} from the {name} pays {} coins.\n",
                i % 9 + 1
            )
        })
        .collect();
    let mut counts = PretokenCounts::new(Pattern::nanochat());
    for document in &documents {
        counts.add(document);
    }
    let tokenizer = train(&counts, &TrainOptions { vocab_size: 320, ..TrainOptions::default() }).unwrap();
    tokenizer.save(folder.join("tokenizer.json")).unwrap();
    for (split, documents) in [("train", &documents[..200]), ("val", &documents[200..])] {
        let bos = tokenizer.bos().unwrap();
        let options = ShardOptions::new(tokenizer.hash(), tokenizer.vocab_size(), bos);
        let mut writer = ShardWriter::create(&folder.join("shards"), split, options).unwrap();
        for document in documents {
            let ids = prompt_ids(&tokenizer, document);
            let n_bytes = document.len() as u64;
            writer
                .push(&DocumentTokens { ids: &ids, id: document, n_bytes, ..DocumentTokens::default() })
                .unwrap();
        }
        writer.finish().unwrap();
    }
}

#[test]
fn the_example_configs_train_and_what_they_leave_can_be_used() {
    let folder = tempfile::tempdir().unwrap();
    write_corpus(folder.path());
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (shards, tokenizer) = (path("shards"), path("tokenizer.json"));
    for name in ["gpt2-tiny", "llama3-tiny"] {
        let config = format!("{}/../configs/train/{name}.toml", env!("CARGO_MANIFEST_DIR"));
        let out = path(name);
        let arguments = [
            "pretrain",
            "--config",
            &config,
            "--shards",
            &shards,
            "--tokenizer",
            &tokenizer,
            "--out",
            &out,
            "--resume",
            "--set",
            "train.steps=60",
            "--set",
            "train.warmup=5",
        ];
        let output = run(&arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("unigram entropy"), "{}", text(&output.stdout));
        let read = |file: &str| std::fs::read_to_string(folder.path().join(name).join(file)).unwrap();
        let summary: Summary = serde_json::from_str(&read("summary.json")).unwrap();
        assert!(summary.val_loss < summary.unigram_entropy, "{summary:?}");
        assert_eq!(read("metrics.jsonl").lines().count(), 61);
        assert!(read("sample.txt").contains("--- 1\nThe"), "{}", read("sample.txt"));

        let sample =
            ["sample", "--checkpoint", &out, "--prompt", "The", "-n", "2", "--tokens", "8", "--json"];
        let samples = run(&sample);
        assert!(samples.status.success(), "{}", text(&samples.stderr));
        assert_eq!(text(&samples.stdout).lines().count(), 2);
        assert_eq!(samples.stdout, run(&sample).stdout);
        let eval = run(&["eval", "--checkpoint", &out, "--shards", &shards, "--json"]);
        let report: serde_json::Value = serde_json::from_slice(&eval.stdout).unwrap();
        assert_eq!(report["val_loss"].as_f64(), Some(summary.val_loss));

        let again = run(&arguments[..arguments.len() - 4]
            .iter()
            .filter(|a| **a != "--resume")
            .copied()
            .collect::<Vec<_>>());
        assert_eq!(again.status.code(), Some(2));
        assert!(text(&again.stderr).contains("already holds a checkpoint"), "{}", text(&again.stderr));
    }
}

#[test]
fn mistakes_end_with_a_message_and_no_panic() {
    for (arguments, expected) in [
        (&["sample", "--checkpoint", "nowhere"][..], "is not a checkpoint"),
        (&["sample", "--checkpoint", "nowhere", "--top-p", "0"], "sample.top_p = 0"),
        (&["bench", "--device", "tpu"], "unknown device `tpu`"),
        (&["bench", "--set", "model.heads=7"], "not a multiple of model.heads = 7"),
        (&["pretrain", "--config", "no.toml", "--shards", "s", "--tokenizer", "t", "--out", "o"], "no.toml"),
        (&["rlhf"], "unrecognized subcommand"),
        (&["sft", "--config", "no.toml", "--base", "b", "--shards", "s", "--out", "o"], "no.toml"),
        (&["chat", "--checkpoint", "nowhere", "--prompt", "Hi"], "is not a checkpoint"),
    ] {
        let output = run(arguments);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains(expected) && !message.contains("panicked"), "{arguments:?}: {message}");
    }
}
