//! The recipe that goes from WARC files to a chat model, with every step and hardly any training.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn gristmill(arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_gristmill")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn one_command_goes_from_warc_files_to_a_chat_model_that_is_measured() {
    if !Path::new(env!("CARGO_BIN_EXE_gristmill")).with_file_name("gristmill-train").is_file() {
        eprintln!("SKIPPED: no `gristmill-train` beside `gristmill`");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let recipe = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../configs/speedrun.toml");
    let recipe = recipe.to_str().unwrap();
    let small = [
        "run",
        recipe,
        "--out",
        out,
        "--set",
        "stage.pretrain.overrides.train.steps=3",
        "--set",
        "stage.pretrain.overrides.train.accumulate=1",
        "--set",
        "stage.sft.overrides.train.steps=3",
        "--set",
        "stage.eval_base.tokens=500",
        "--set",
        "stage.eval_base.limit=3",
        "--set",
        "stage.eval_chat.limit=3",
    ];
    let first = gristmill(&small);
    let words = String::from_utf8_lossy(&first.stderr).into_owned();
    let estimate = words.find("h100 ").expect("what the run costs on other hardware is said");
    assert!(estimate < words.find("step 1/3").unwrap(), "before it trains: {words}");
    let funnel = String::from_utf8_lossy(&first.stdout).into_owned();
    for expected in
        ["minhash_dedup", "decontaminate", "model `pretrain`", "model `sft`", "`eval_base`:", "`eval_chat`:"]
    {
        assert!(funnel.contains(expected), "`{expected}` is missing in {funnel}");
    }
    let read = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(folder.path().join(name)).unwrap()).unwrap()
    };
    let (base, chat) = (read("eval_base/results.json"), read("eval_chat/results.json"));
    assert!(base["bits_per_byte"].as_f64().unwrap() > 0.0 && chat.get("bits_per_byte").is_none());
    for results in [&base, &chat] {
        assert_eq!(
            (&results["tasks"][0]["task"], &results["tasks"][0]["documents"]),
            (&"arithmetic".into(), &3.into())
        );
    }
    let answer = gristmill(&[
        "chat",
        "--checkpoint",
        &format!("{out}/sft"),
        "--prompt",
        "What is 2+2?",
        "--tokens",
        "4",
        "--json",
    ]);
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert!(answer["text"].is_string(), "{answer}");
    assert!(String::from_utf8_lossy(&gristmill(&small).stderr).contains("nothing to do"));
}
