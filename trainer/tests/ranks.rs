//! Several processes that train one model: the model that one process makes, and an end with a reason where one fails.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use burn::tensor::Device;
use common::write_corpus;
use gristmill_train::checkpoint::DataIdentity;
use gristmill_train::config::RunConfig;
use gristmill_train::loader::Loader;
use gristmill_train::loss::IGNORED;
use gristmill_train::metrics::Metric;
use gristmill_train::model::Model;
use gristmill_train::optimizer::Place;
use gristmill_train::random::Random;
use gristmill_train::ranks::{Identity, Ranks, Rendezvous};
use gristmill_train::step::{StepReport, Training};

mod common;

const CONFIG: &str = "
[model]
kind = \"llama3\"
layers = 2
heads = 4
kv_heads = 2
width = 32
context = 48
[train]
steps = 24
batch = 3
accumulate = 4
warmup = 5
learning_rate = 2e-3
checkpoint_every = 5
eval_every = 8
log_every = 1
[sample]
prompts = [\"The\"]
tokens = 8
every = 9
";

/// What differs between two runs of equal bits: nothing.
const LEFT: [&str; 6] = [
    "metrics.jsonl",
    "summary.json",
    "sample.txt",
    "checkpoint/model.safetensors",
    "checkpoint/optimizer.safetensors",
    "checkpoint/state.json",
];

struct Corpus {
    folder: tempfile::TempDir,
}

impl Corpus {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        write_corpus(folder.path());
        fs::write(folder.path().join("run.toml"), CONFIG).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, out: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gristmill-train"));
        command.arg("pretrain").env("RAYON_NUM_THREADS", "1").stdout(Stdio::piped()).stderr(Stdio::piped());
        for (flag, name) in [
            ("--config", "run.toml"),
            ("--shards", "shards"),
            ("--tokenizer", "tokenizer.json"),
            ("--out", out),
        ] {
            command.arg(flag).arg(self.path(name));
        }
        command.args(more);
        command
    }

    fn run(&self, out: &str, more: &[&str]) {
        let output = self.command(out, more).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 1);
    }

    /// Loss and norm of each step.
    fn trace(&self, out: &str) -> Vec<(u64, f64, f64, u64)> {
        let text = fs::read_to_string(self.path(out).join("metrics.jsonl")).unwrap();
        let step = |line: &str| match serde_json::from_str(line).unwrap() {
            Metric::Step { step, loss, gradient_norm, tokens, .. } => {
                Some((step, loss, gradient_norm, tokens))
            }
            _ => None,
        };
        text.lines().filter_map(step).collect()
    }

    fn assert_same_bytes(&self, a: &str, b: &str) {
        for file in LEFT {
            let read = |out: &str| fs::read(self.path(out).join(file)).unwrap();
            assert!(read(a) == read(b), "{file} differs between {a} and {b}");
        }
    }

    /// Process 0 of `n`, listening; the address that it says, and the rest of what it says.
    fn first(
        &self,
        out: &str,
        n: &str,
        more: &[&str],
    ) -> (Child, String, BufReader<std::process::ChildStderr>) {
        let place = ["--world-size", n, "--rank", "0", "--rendezvous", "127.0.0.1:0"];
        let mut child = self.command(out, &[&place, more].concat()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let address = line.trim().rsplit(' ').next().unwrap().to_owned();
        (child, address, lines)
    }

    fn other(&self, out: &str, (n, rank): (&str, &str), address: &str, more: &[&str]) -> Command {
        let place = ["--world-size", n, "--rank", rank, "--rendezvous", address];
        self.command(out, &[&place, more].concat())
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits for an end that must be a failure, and what it said.
fn failure(mut child: Child, mut lines: impl std::io::Read) -> String {
    let mut text = String::new();
    lines.read_to_string(&mut text).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(2), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

fn read_to_step(lines: &mut impl std::io::BufRead, step: u64) {
    let wanted = format!("step {step}/");
    assert!(lines.lines().any(|line| line.unwrap().starts_with(&wanted)), "step {step} never came");
}

#[test]
fn whole_micro_batches_give_the_same_bits_for_any_number_of_processes() {
    let corpus = Corpus::new();
    corpus.run("one", &[]);
    for n in ["2", "3", "4"] {
        corpus.run(n, &["--processes", n]);
        corpus.assert_same_bytes("one", n);
    }
}

#[test]
fn micro_batches_that_are_cut_give_the_same_losses_within_rounding() {
    let corpus = Corpus::new();
    for accumulate in ["1", "2"] {
        let set = ["--set", &format!("train.accumulate={accumulate}")];
        let one = format!("one-{accumulate}");
        corpus.run(&one, &set);
        let alone = corpus.trace(&one);
        // Documents of unlike lengths leave unlike padding: processes have different numbers of targets.
        let mut counts: Vec<u64> = alone.windows(2).map(|pair| pair[1].3 - pair[0].3).collect();
        counts.dedup();
        assert!(counts.len() > 10, "{counts:?}");
        for n in ["2", "3"] {
            if n == accumulate {
                continue; // whole micro-batches
            }
            let name = format!("{n}-{accumulate}");
            corpus.run(&name, &[&set[..], &["--processes", n]].concat());
            let shared = corpus.trace(&name);
            assert_eq!(alone.len(), shared.len());
            let mut largest = 0.0_f64;
            for (a, b) in alone.iter().zip(&shared) {
                assert_eq!((a.0, a.3), (b.0, b.3));
                largest = largest.max((a.1 - b.1).abs()).max((a.2 - b.2).abs());
            }
            eprintln!("{n} processes, accumulate {accumulate}: losses and norms within {largest:.1e}");
            assert!(largest < 1e-6, "{n} processes, accumulate {accumulate}: {largest}");
        }
    }
}

#[test]
fn a_run_goes_on_with_any_number_of_processes() {
    let corpus = Corpus::new();
    corpus.run("calm", &[]);
    for (n, step) in [("3", 7), ("1", 12), ("2", 18)] {
        let mut child = corpus.command("moved", &["--resume", "--processes", n]).spawn().unwrap();
        read_to_step(&mut BufReader::new(child.stderr.take().unwrap()), step);
        child.kill().unwrap();
        child.wait().unwrap();
    }
    corpus.run("moved", &["--resume", "--processes", "4"]);
    corpus.assert_same_bytes("calm", "moved");
}

#[test]
fn when_one_dies_all_end_and_say_why() {
    let corpus = Corpus::new();
    let long = ["--set", "train.steps=100000"];
    for victim in [0, 1, 2] {
        let out = format!("dead-{victim}");
        let (first, address, mut lines) = corpus.first(&out, "3", &long);
        let mut others: Vec<Child> = ["1", "2"]
            .iter()
            .map(|rank| corpus.other(&out, ("3", rank), &address, &long).spawn().unwrap())
            .collect();
        read_to_step(&mut lines, 3);
        let mut all = vec![first];
        all.append(&mut others);
        all[victim].kill().unwrap();
        all[victim].wait().unwrap();
        for (rank, mut child) in all.into_iter().enumerate() {
            if rank == victim {
                continue;
            }
            let text = match child.stderr.take() {
                Some(stderr) => failure(child, stderr),
                None => failure(child, &mut lines),
            };
            let expected = if rank == 0 || victim == 0 {
                format!("process {victim} has gone")
            } else {
                format!("process 0 has ended the run: process {victim} has gone")
            };
            assert!(text.contains(&expected), "victim {victim}, process {rank}: {text}");
        }
    }
}

#[test]
fn processes_that_were_asked_for_different_things_do_not_begin() {
    let corpus = Corpus::new();
    corpus.run("further", &["--set", "train.checkpoint_every=10"]);
    let cases: [(&str, &[&str], &str); 4] = [
        ("3", &[], "--world-size: 2 in process 0, 3 in this one"),
        (
            "2",
            &["--set", "train.learning_rate=1e-3"],
            "train.learning_rate: 0.002 in process 0, 0.001 in process 1",
        ),
        (
            "2",
            &["--set", "train.checkpoint_every=6"],
            "train.checkpoint_every: 5 in process 0, 6 in process 1",
        ),
        ("2", &["--set", "model.layers=3"], "model.layers: 2 in process 0, 3 in process 1"),
    ];
    for (i, (n, more, expected)) in cases.into_iter().enumerate() {
        let out = format!("case-{i}");
        let (first, address, lines) = corpus.first(&out, "2", &[]);
        let second = corpus.other(&out, (n, "1"), &address, more).output().unwrap();
        assert_eq!(second.status.code(), Some(2));
        let (a, b) = (failure(first, lines), said(&second));
        assert!(a.contains(expected) && b.contains(expected), "{expected}: {a}\n{b}");
        assert!(!corpus.path(&out).join("checkpoint").exists());
    }
    // The same config in another state.
    let set = ["--set", "train.checkpoint_every=10", "--resume"];
    let (first, address, lines) = corpus.first("further", "2", &set);
    let second = corpus.other("fresh", ("2", "1"), &address, &set).output().unwrap();
    let (a, b) = (failure(first, lines), said(&second));
    let expected = "step: 24 in process 0, 0 in process 1";
    assert!(a.contains(expected) && b.contains(expected), "{a}\n{b}");
}

#[test]
fn other_shards_are_refused_by_name() {
    let corpus = Corpus::new();
    let other = tempfile::tempdir().unwrap();
    common::write_documents(other.path(), 230);
    let (first, address, lines) = corpus.first("out", "2", &[]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_gristmill-train"));
    command.args(["pretrain", "--world-size", "2", "--rank", "1", "--rendezvous", &address, "--config"]);
    command.arg(corpus.path("run.toml")).arg("--shards").arg(other.path().join("shards"));
    command.arg("--tokenizer").arg(other.path().join("tokenizer.json"));
    let second = command.arg("--out").arg(corpus.path("out")).output().unwrap();
    let (a, b) = (failure(first, lines), said(&second));
    for text in [a, b] {
        assert!(text.contains("shards: ") && text.contains(" in process 0, "), "{text}");
    }
}

#[test]
fn strangers_are_ignored_and_nobody_waits_for_ever() {
    let corpus = Corpus::new();
    let (mut first, address, mut lines) = corpus.first("out", "2", &[]);
    let mut stranger = TcpStream::connect(&address).unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\nHost: mill\r\n\r\n").unwrap();
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert!(line.contains("is no process of this run"), "{line}");
    let second = corpus.other("out", ("2", "1"), &address, &[]).output().unwrap();
    assert!(second.status.success(), "{}", said(&second));
    lines.read_to_string(&mut line).unwrap();
    assert!(first.wait().unwrap().success(), "{line}");
    corpus.run("one", &[]);
    corpus.assert_same_bytes("one", "out");

    // Nobody comes; nobody listens.
    let (first, address, lines) = corpus.first("alone", "2", &["--timeout", "1"]);
    let text = failure(first, lines);
    assert!(text.contains("1 of 2 processes have come within 1 s"), "{text}");
    let late = corpus.other("alone", ("2", "1"), &address, &["--timeout", "1"]).output().unwrap();
    assert!(said(&late).contains(&format!("no process 0 at `{address}`")), "{}", said(&late));
    for (more, expected) in [
        (&["--processes", "13"][..], "13 processes cannot share a step of 12 rows"),
        (&["--processes", "0"], "--processes 0"),
        (&["--world-size", "2", "--rank", "2", "--rendezvous", &address], "--rank 2: with --world-size 2"),
        (&["--world-size", "2", "--rank", "0", "--rendezvous", "nowhere"], "cannot listen on `nowhere`"),
    ] {
        let output = corpus.command("wrong", more).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(said(&output).contains(expected), "{}", said(&output));
    }
}

/// Gradients of a device's operations are shared as those of our own kernels are.
#[test]
fn devices_share_steps_too() {
    let config = RunConfig::parse(CONFIG, &["train.batch=4".into(), "train.accumulate=1".into()]).unwrap();
    let identity = || Identity {
        version: "1".into(),
        config: config.clone(),
        vocabulary: 50,
        data: DataIdentity { tokenizer: "t".into(), shards: "s".into() },
    };
    let mut random = Random::named(1, "tokens");
    let tokens: Vec<u32> = (0..2000).map(|_| (random.bits() % 50) as u32).collect();
    let train = |place: Place, rank: usize, n: usize, ranks: Option<&mut Ranks>| {
        let loader = Loader::new(&tokens, config.model.context, 1).unwrap();
        let mut training = Training::new(Model::new(&config.model, 50), &config.train, Device::flex(), place);
        let mut ranks = ranks;
        let reports: Vec<StepReport> = (0..5)
            .map(|step| {
                let mut batch = loader.rows(step * 4 + (rank * 4 / n) as u64, 4 / n).unwrap();
                if rank == 0 {
                    batch.targets[..30].fill(IGNORED);
                }
                training.advance_among(&config.train, &[batch], rank, ranks.as_deref_mut()).unwrap()
            })
            .collect();
        (reports, training.fingerprint())
    };
    let timeout = Duration::from_mins(1);
    let (alone, _) = train(Place::Device, 0, 1, None);
    let first = Rendezvous::listen("127.0.0.1:0", 2, timeout).unwrap();
    let address = first.address().unwrap();
    let (here, there) = std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let me = Rendezvous::connect(&address, 2, 1, timeout).unwrap();
            train(Place::Device, 1, 2, Some(&mut me.meet(&identity()).unwrap()))
        });
        let here = train(Place::Device, 0, 2, Some(&mut first.meet(&identity()).unwrap()));
        (here, other.join().unwrap())
    });
    assert_eq!(here, there);
    for (a, b) in alone.iter().zip(&here.0) {
        assert_eq!(a.tokens, b.tokens);
        let difference = (a.loss - b.loss).abs().max((a.gradient_norm - b.gradient_norm).abs());
        assert!(difference < 1e-6, "{a:?} {b:?}");
    }
}
