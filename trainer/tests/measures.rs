//! Commands that look at a trained model beside other things: compressors, and a base model that is asked by examples.

use std::process::{Command, Output};

use gristmill_corpus::shards::{DocumentTokens, ShardOptions, ShardWriter};
use gristmill_tokenizer::{Pattern, PretokenCounts, TrainOptions, train};
use gristmill_train::generate::prompt_ids;
use serde_json::Value;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gristmill-train")).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_base_model_answers_by_examples_and_is_measured_beside_compressors() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let goods = ["grain", "flour", "bread", "oats", "barley", "rye"];
    // Every document is a list of questions and answers in one form: what continues it is an answer in that form.
    let documents: Vec<String> = (0..180_usize)
        .map(|i| {
            let line = |k: usize| {
                let good = goods[(i * (k + 1) + k) % goods.len()];
                format!("Q: {good}\nA: {good} it is\n\n")
            };
            (0..4).map(line).collect()
        })
        .collect();
    let mut counts = PretokenCounts::new(Pattern::nanochat());
    for document in &documents {
        counts.add(document);
    }
    let tokenizer = train(&counts, &TrainOptions { vocab_size: 300, ..TrainOptions::default() }).unwrap();
    tokenizer.save(path("tokenizer.json")).unwrap();
    for (split, documents) in [("train", &documents[..160]), ("val", &documents[160..])] {
        let options = ShardOptions::new(tokenizer.hash(), tokenizer.vocab_size(), tokenizer.bos().unwrap());
        let mut writer = ShardWriter::create(&folder.path().join("shards"), split, options).unwrap();
        for document in documents {
            let ids = prompt_ids(&tokenizer, document);
            let n_bytes = document.len() as u64;
            writer
                .push(&DocumentTokens { ids: &ids, id: document, n_bytes, ..DocumentTokens::default() })
                .unwrap();
        }
        writer.finish().unwrap();
    }
    let config = "[model]\nkind = \"gpt2\"\nlayers = 2\nheads = 2\nwidth = 32\ncontext = 96\n\
                  [train]\nsteps = 1000\nmax_epochs = 12\nbatch = 4\nlearning_rate = 5e-3\nwarmup = 10\neval_every = 0\n";
    std::fs::write(path("t.toml"), config).unwrap();
    let (shards, out) = (path("shards"), path("out"));
    let trained = run(&[
        "pretrain",
        "--config",
        &path("t.toml"),
        "--shards",
        &shards,
        "--tokenizer",
        &path("tokenizer.json"),
        "--out",
        &out,
    ]);
    stdout(&trained);
    let words = String::from_utf8_lossy(&trained.stderr).into_owned();
    assert!(words.contains("train.max_epochs: ") && words.contains("instead of 1000 steps"), "{words}");
    assert!(
        words.contains("parameters ") && words.contains("h100 "),
        "the estimate stands before the first step: {words}"
    );

    let eval = ["eval", "--checkpoint", &out, "--shards", &shards, "--compressors"];
    let table = stdout(&run(&eval));
    let report: Value = serde_json::from_str(&stdout(&run(&[&eval[..], &["--json"]].concat()))).unwrap();
    for (index, name) in ["gzip -9", "xz -9e"].into_iter().enumerate() {
        let compressed = &report["compressors"][index];
        assert_eq!(compressed["compressor"], name);
        let bits = compressed["bits_per_byte"].as_f64().unwrap();
        assert!(
            (bits - compressed["bytes"].as_f64().unwrap() * 8.0 / report["val_bytes"].as_f64().unwrap())
                .abs()
                < 0.02
        );
        assert!(table.contains(&format!("{name:18} {bits:.4} bits/byte")), "{table}");
    }

    let prompts = "template = \"Q: {question}\\nA: {answer}\\n\\n\"\nquestions = [\"flour\", \"rye\"]\n\
                   [[example]]\nquestion = \"oats\"\nanswer = \"oats it is\"\n\
                   [[example]]\nquestion = \"grain\"\nanswer = \"grain it is\"\n";
    std::fs::write(path("p.toml"), prompts).unwrap();
    let sample = |more: &[&str]| {
        let arguments = ["sample", "--checkpoint", &out, "--prompts", &path("p.toml"), "--temperature", "0"];
        stdout(&run(&[&arguments[..], &["--tokens", "24", "--json"], more].concat()))
    };
    let answers: Vec<Value> = sample(&[]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 2);
    for (answer, question) in answers.iter().zip(["flour", "rye"]) {
        assert_eq!((&answer["prompt"], &answer["ended"]), (&question.into(), &true.into()), "{answers:?}");
        assert!(answer["text"].as_str().unwrap().ends_with(" it is"), "{answers:?}");
    }
    let one: Value = serde_json::from_str(&sample(&["--prompt", "bread"])).unwrap();
    assert_eq!(one["prompt"], "bread");
    let wrong = run(&["sample", "--checkpoint", &out, "--prompts", &path("gone.toml")]);
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("gone.toml"));
}
