//! The command, killed again and again in the midst of its work, leaves what it leaves undisturbed: the same bytes.
#![cfg(unix)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use common::write_corpus;
use gristmill_train::checkpoint::{self, Checkpoint};
use gristmill_train::random::Random;

mod common;

const KILLS: usize = 20;
const STEPS: u64 = 400;
const CHECKPOINT_EVERY: u64 = 5;
const SIGKILL: i32 = 9;

const CONFIG: &str = "
[model]
kind = \"gpt2\"
layers = 2
heads = 2
width = 16
context = 12
[train]
batch = 2
accumulate = 2
warmup = 5
learning_rate = 1e-2
checkpoint_every = 5
eval_every = 7
val_tokens = 100
log_every = 1
[sample]
prompts = [\"The\"]
tokens = 8
every = 11
";

/// Everything that a run leaves. Which bytes are in them depends on no clock.
const LEFT: [&str; 8] = [
    "metrics.jsonl",
    "events.out.tfevents.0.gristmill",
    "summary.json",
    "sample.txt",
    "checkpoint/model.safetensors",
    "checkpoint/optimizer.safetensors",
    "checkpoint/tokenizer.json",
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

    fn start(&self, out: &str, steps: u64) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gristmill-train"));
        command.args(["pretrain", "--resume", "--set", &format!("train.steps={steps}")]);
        for (flag, name) in [
            ("--config", "run.toml"),
            ("--shards", "shards"),
            ("--tokenizer", "tokenizer.json"),
            ("--out", out),
        ] {
            command.arg(flag).arg(self.path(name));
        }
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Runs to the end.
    fn finish(&self, out: &str, steps: u64) {
        let mut child = self.start(out, steps);
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(child.wait().unwrap().success(), "{said}");
    }

    fn assert_same(&self, a: &str, b: &str) {
        for file in LEFT {
            let read = |out: &str| fs::read(self.path(out).join(file)).unwrap();
            assert!(read(a) == read(b), "{file} differs");
        }
        let mut names: Vec<_> =
            fs::read_dir(self.path(b)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        let partial = |name: &std::ffi::OsString| name.to_string_lossy().ends_with("partial");
        assert!(!names.iter().any(|name| partial(name) || name == "checkpoint.old"), "{names:?}");
    }
}

/// Where a process is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    /// As soon as it says that it goes on, before a step.
    Resuming,
    /// As soon as it says that the step is done: it is then in the midst of the next, of a validation or of a checkpoint.
    AfterStep(u64),
    /// As soon as the step's checkpoint begins to be written.
    Writing(u64),
}

/// Reads what the process says up to the moment, kills it, and returns whether the kill came in time.
fn kill(mut child: Child, out: &Path, when: When) -> bool {
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let step = match when {
        When::Resuming => 0,
        When::AfterStep(step) | When::Writing(step) => step,
    };
    let found = lines.by_ref().map(|line| step_of(&line.unwrap())).any(|at| at >= Some(step));
    if let When::Writing(step) = when {
        // Files have no lines to wait for: look until the next checkpoint is there, whole or not.
        let partial = out.join("checkpoint.partial");
        while !partial.exists() && step_in(out) < Some(step) && child.try_wait().unwrap().is_none() {
            std::thread::yield_now();
        }
    }
    child.kill().unwrap();
    drop::<std::io::Lines<BufReader<ChildStderr>>>(lines);
    found && child.wait().unwrap().signal() == Some(SIGKILL)
}

/// The step that a line speaks of: 0 where it tells how the run begins.
fn step_of(line: &str) -> Option<u64> {
    if line.contains(" parameters; ") {
        return Some(0);
    }
    line.strip_prefix("step ")?.split_once('/')?.0.parse().ok()
}

/// The step of the newest whole checkpoint.
fn step_in(out: &Path) -> Option<u64> {
    let path = checkpoint::latest(&out.join("checkpoint"))?;
    // It may be replaced between the two.
    Checkpoint::open(&path).ok().map(|checkpoint| checkpoint.state.step)
}

#[test]
fn twenty_kills_leave_no_trace() {
    let corpus = Corpus::new();
    let out = corpus.path("stormy");
    let mut random = Random::named(7, "kills");
    let (mut killed, mut while_writing, mut history) = (0, 0, Vec::new());
    while killed < KILLS {
        let done = step_in(&out).unwrap_or(0);
        assert!(done + 50 < STEPS, "{killed} kills in {done} steps: {history:?}");
        let next = done + 1 + random.bits() % 12;
        let when = match random.bits() % 4 {
            0 => When::Resuming,
            1 => When::AfterStep(next),
            _ => When::Writing(next.next_multiple_of(CHECKPOINT_EVERY)),
        };
        assert!(kill(corpus.start("stormy", STEPS), &out, when), "{when:?} came too late: {history:?}");
        killed += 1;
        while_writing += usize::from(out.join("checkpoint.partial").exists());
        history.push((when, step_in(&out)));
    }
    eprintln!("{while_writing} of {killed} kills left half a checkpoint: {history:?}");
    corpus.finish("stormy", STEPS);
    corpus.finish("calm", STEPS);
    corpus.assert_same("calm", "stormy");
}

/// A directory cannot be replaced in one call: every state that a kill may leave, one after the other.
#[test]
fn a_kill_between_any_two_files_of_a_checkpoint_loses_nothing() {
    let corpus = Corpus::new();
    corpus.finish("calm", 10);
    // The checkpoint after step 5, and the one after step 10 that is to replace it.
    let mut child = corpus.start("early", 10);
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| step_of(&line.unwrap()) == Some(6)));
    child.kill().unwrap();
    child.wait().unwrap();
    // It may have come further; then its metrics go further too, and both are cut back alike.
    let early = corpus.path("early/checkpoint");
    let whole = corpus.path("calm/checkpoint");
    let files = ["model.safetensors", "optimizer.safetensors", "tokenizer.json", "state.json"];
    let copy = |from: &Path, to: &Path, n_whole: usize, cut: bool| {
        fs::create_dir_all(to).unwrap();
        for file in &files[..n_whole] {
            fs::copy(from.join(file), to.join(file)).unwrap();
        }
        if cut {
            let content = fs::read(from.join(files[n_whole])).unwrap();
            fs::write(to.join(files[n_whole]), &content[..content.len() / 2]).unwrap();
        }
    };
    let mut states = Vec::new();
    for n_whole in 0..=4 {
        for cut in [false, true] {
            if n_whole < 4 || !cut {
                // Files are written …
                states.push((Some("checkpoint"), None, Some((n_whole, cut))));
                // … the old directory is removed, once the new one is in its place …
                states.push((Some("checkpoint.new"), Some((n_whole, cut)), None));
            }
        }
    }
    // … and between the two renames there is none of this name.
    states.push((None, Some((4, false)), Some((4, false))));
    for (i, (in_place, old, partial)) in states.into_iter().enumerate() {
        let name = format!("state-{i}");
        let out = corpus.path(&name);
        fs::create_dir_all(&out).unwrap();
        for file in ["metrics.jsonl", "events.out.tfevents.0.gristmill"] {
            fs::copy(corpus.path("calm").join(file), out.join(file)).unwrap();
        }
        match in_place {
            Some("checkpoint") => copy(&early, &out.join("checkpoint"), 4, false),
            Some(_) => copy(&whole, &out.join("checkpoint"), 4, false),
            None => (),
        }
        if let Some((n_whole, cut)) = old {
            // `remove_dir_all` goes in any order: the last to be written may be the first to go.
            copy(&early, &out.join("checkpoint.old"), n_whole, cut);
        }
        if let Some((n_whole, cut)) = partial {
            copy(&whole, &out.join("checkpoint.partial"), n_whole, cut);
        }
        assert!(step_in(&out).is_some_and(|step| step >= 5), "state {i}");
        corpus.finish(&name, 10);
        corpus.assert_same("calm", &name);
    }
}
