//! Tabulates the switches of `[model]` and `[train]` on the characters of one text: the validation loss of short runs of a tiny
//! model, each with several seeds, and how far from the plain run of the same seed each lies.
//!
//!     cargo run --release --workspace --example switches -- tinyshakespeare.txt [STEPS [SEEDS [SWITCHES]...]]
//!
//! SWITCHES, one argument a run, replace the table's own runs: "gpt2", "gpt2 model.softcap=30 train.precision=bf16".

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use gristmill_tokenizer::{Pattern, PretokenCounts, TrainOptions, train};
use gristmill_train::config::RunConfig;
use gristmill_train::device;
use gristmill_train::evaluate::score;
use gristmill_train::loader::Loader;
use gristmill_train::model::Model;
use gristmill_train::step::Training;

/// The plain run of a kind comes before the switches that it is compared with.
const RUNS: [&str; 17] = [
    "gpt2",
    "gpt2 model.qk_norm=true",
    "gpt2 model.activation=relu2",
    "gpt2 model.activation=swiglu",
    "gpt2 model.softcap=15",
    "gpt2 model.tied=false",
    "gpt2 train.learning_rate=5e-3",
    "gpt2 train.optimizer=muon",
    "gpt2 train.optimizer=muon train.rates.matrices=0.04",
    "gpt2 train.precision=bf16",
    "gpt2 train.checkpoint_activations=true",
    "llama3",
    "llama3 model.qk_norm=true",
    "llama3 model.activation=relu2",
    "llama3 model.softcap=15",
    "llama3 train.optimizer=muon",
    "llama3 model.qk_norm=true model.activation=relu2 model.softcap=15 train.optimizer=muon",
];

/// A run of 64 characters of context, 12 rows a step.
const PLAIN: &str = "[model]\nkind = \"gpt2\"\nlayers = 4\nheads = 4\nwidth = 96\ncontext = 64\n\
    [train]\nbatch = 12\nlearning_rate = 2e-3\nwarmup = 20\nval_tokens = 30000\n";

/// Half the width of a 95 % interval over that of a standard error, by Student's t at 1, 2, ... degrees of freedom.
const STUDENT: [f64; 6] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, numbers @ ..] = arguments.as_slice() else {
        anyhow::bail!("usage: switches TEXT [STEPS [SEEDS [SWITCHES]...]]");
    };
    let number = |i: usize, default: u64| numbers.get(i).map_or(Ok(default), |n| n.parse());
    let (steps, seeds) = (number(0, 200)?, number(1, 3)?);
    ensure!((2..=7).contains(&seeds), "SEEDS = {seeds}: must be 2 to 7, for an interval");
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{path}`"))?;
    ensure!(text.is_ascii(), "`{path}`: a text beyond ASCII has more bytes than characters");
    let counts = PretokenCounts::new(Pattern::gpt2());
    let tokenizer = train(&counts, &TrainOptions { vocab_size: 256 + 16, ..TrainOptions::default() })?;
    let ids = tokenizer.encode(&text);
    let (learnt, held) = ids.split_at(ids.len() * 9 / 10);
    let (learnt, held) = (learnt.to_vec(), held.to_vec());
    let (device, place) = device::open("cpu")?;

    println!("| model | switch | parameters | validation loss, nats a character | to the plain run | s |");
    println!("|---|---|---|---|---|---|");
    let mut plain = Vec::new();
    let own: Vec<&str> = numbers.iter().skip(2).map(String::as_str).collect();
    let runs = if own.is_empty() { RUNS.to_vec() } else { own };
    for run in runs {
        let (kind, switch) = run.split_once(' ').unwrap_or((run, ""));
        let begun = Instant::now();
        let mut losses = Vec::new();
        let mut parameters = 0;
        for seed in 1..=seeds {
            let mut set: Vec<String> = switch.split_whitespace().map(str::to_owned).collect();
            set.extend([
                format!("model.kind={kind}"),
                format!("train.steps={steps}"),
                format!("train.seed={seed}"),
            ]);
            let config = RunConfig::parse(PLAIN, &set)?;
            let loader = Loader::new(&learnt, config.model.context, seed)?;
            let model = Model::new(&config.model, tokenizer.vocab_size());
            parameters = model.parameter_count();
            let mut training = Training::new(model, &config.train, device.clone(), place);
            for step in 0..steps {
                let batch = loader.rows(step * config.train.batch as u64, config.train.batch)?;
                training.advance(&config.train, &[batch])?;
            }
            let (model, weights, train) = (&training.model, &training.weights, &config.train);
            losses.push(score(model, weights, &held, &tokenizer, 64, train.val_tokens)?.loss);
        }
        if switch.is_empty() {
            plain.clone_from(&losses);
        }
        // The same seed has the same data and, but for the switch, the same first weights.
        let apart: Vec<f64> = losses.iter().zip(&plain).map(|(loss, plain)| loss - plain).collect();
        let seconds = begun.elapsed().as_secs_f64() / seeds as f64;
        let to_plain =
            if plain.is_empty() || switch.is_empty() { String::new() } else { interval(&apart, true) };
        println!(
            "| {kind} | {} | {parameters} | {} | {to_plain} | {seconds:.0} |",
            switch.replace("model.", "").replace("train.", ""),
            interval(&losses, false)
        );
    }
    println!("\n{steps} steps, {seeds} seeds; ± is half a 95 % interval (Student's t) over seeds.");
    Ok(())
}

/// Mean and half a 95 % interval.
fn interval(values: &[f64], signed: bool) -> String {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    let half = STUDENT[values.len() - 2] * (variance / n).sqrt();
    if signed { format!("{mean:+.4} ± {half:.4}") } else { format!("{mean:.4} ± {half:.4}") }
}
