//! The `gristmill-train` command on a small corpus: what it leaves, what it prints, and how it fails.

use std::process::{Command, Output};

use common::write_corpus;
use gristmill_train::pretrain::Summary;

mod common;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gristmill-train")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
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
            "--set",
            "sample.every=25",
        ];
        let output = run(&arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("unigram entropy"), "{}", text(&output.stdout));
        let read = |file: &str| std::fs::read_to_string(folder.path().join(name).join(file)).unwrap();
        let summary: Summary = serde_json::from_str(&read("summary.json")).unwrap();
        assert!(summary.val_loss < summary.unigram_entropy, "{summary:?}");
        // 60 steps, a validation, and two prompts continued after steps 25 and 50.
        let metrics = read("metrics.jsonl");
        assert_eq!(metrics.lines().count(), 65);
        let samples: Vec<serde_json::Value> = metrics
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .filter(|line: &serde_json::Value| line.get("text").is_some())
            .collect();
        assert_eq!((&samples[2]["step"], &samples[3]["prompt"]), (&50.into(), &"The".into()));
        let said = text(&output.stderr);
        assert!(
            said.contains("step 50: The|") && said.contains(" bits/byte  norm ") && said.contains("MFU "),
            "{said}"
        );
        assert!(read("sample.txt").contains("--- 1\nThe"), "{}", read("sample.txt"));

        let sample =
            ["sample", "--checkpoint", &out, "--prompt", "The", "-n", "2", "--tokens", "8", "--json"];
        let samples = run(&sample);
        assert!(samples.status.success(), "{}", text(&samples.stderr));
        assert_eq!(text(&samples.stdout).lines().count(), 2);
        assert_eq!(samples.stdout, run(&sample).stdout);
        // A base model's chat continues what it is given, and has no turns for a system to begin.
        let chat = ["chat", "--checkpoint", &out, "--prompt", "The", "--tokens", "4"];
        let line = run(&[&chat[..], &["--json"]].concat());
        let line: serde_json::Value = serde_json::from_slice(&line.stdout).unwrap();
        assert_eq!((line["ids"].as_array().unwrap().len(), &line["ended"]), (4, &false.into()));
        let refused = run(&[&chat[..], &["--system", "Be brief."]].concat());
        assert_eq!(refused.status.code(), Some(2));
        assert!(
            text(&refused.stderr).contains("--system: this is a base model"),
            "{}",
            text(&refused.stderr)
        );
        let eval = run(&["eval", "--checkpoint", &out, "--shards", &shards, "--json"]);
        let report: serde_json::Value = serde_json::from_slice(&eval.stdout).unwrap();
        assert_eq!(report["val_loss"].as_f64(), Some(summary.val_loss));

        let again = run(&arguments[..arguments.len() - 6]
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

/// Whether or not a device was built in, and whether or not its driver is there: an error that says what would work, or an
/// answer; never a panic.
#[test]
fn a_device_that_is_not_there_is_an_error() {
    for device in ["wgpu", "cuda:0", "cuda:99"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gristmill-train"));
        command.args(["selftest", "--steps", "0", "--device", device]);
        // Neither Vulkan's loader nor OpenGL's finds a driver.
        command.env("VK_DRIVER_FILES", "/nonexistent").env("VK_ICD_FILENAMES", "/nonexistent");
        let output = command.env("LIBGL_DRIVERS_PATH", "/nonexistent").output().unwrap();
        let message = text(&output.stderr);
        assert!(!message.contains("panicked"), "{device}: {message}");
        if !output.status.success() {
            assert_eq!(output.status.code(), Some(2), "{device}: {message}");
            assert!(message.contains(device) || message.contains("cuda"), "{device}: {message}");
            assert!(message.contains("`--device cpu` works everywhere"), "{device}: {message}");
        }
        let built_in =
            (device == "wgpu" && cfg!(feature = "wgpu")) || (device != "wgpu" && cfg!(feature = "cuda"));
        assert!(built_in || message.contains("--features "), "{device}: {message}");
    }
}
