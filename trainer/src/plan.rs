//! What a run will cost, before it starts: parameters, tokens, operations, memory, time.

use std::fmt::Write as _;

use crate::config::{Group, Precision, RunConfig};
use crate::model::{Model, Parameter};
use crate::optimizer::is_muons;

/// Hardware that estimates are made for: name, f32 peak in TFLOP/s outside of tensor cores, memory in GiB. From the
/// makers' data sheets.
pub const HARDWARE: [(&str, f64, f64); 5] = [
    ("h100", 66.9, 80.0),
    ("h200", 66.9, 141.0),
    ("a100", 19.5, 80.0),
    ("rtx4090", 82.6, 24.0),
    ("l4", 30.3, 24.0),
];

/// Shares of the peak that trainers reach in practice: a poor, a usual and a very good one.
const SHARES: [f64; 3] = [0.2, 0.4, 0.5];

/// The cost of one run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Trained values.
    pub parameters: u64,
    /// Of them in the embedding and the output.
    pub embedding: u64,
    /// Sequences' tokens in one optimiser step.
    pub step_tokens: u64,
    /// Tokens of the whole run.
    pub tokens: u64,
    /// Floating-point operations of the whole run, with those that are made again.
    pub flops: f64,
    /// Weights, gradients and moments in f32, and rounded matrices.
    pub state_bytes: u64,
    /// On the CPU: sums of gradients over 2^n micro-batches that wait for their other half (`crate::sums`), at most.
    pub waiting_bytes: u64,
    /// What the backward pass needs of one forward pass, at most.
    pub activation_bytes: u64,
}

/// Counts. `vocabulary` is the tokenizer's.
pub fn cost(config: &RunConfig, vocabulary: usize) -> Cost {
    let model = Model::new(&config.model, vocabulary);
    let shape = &model.config;
    let parameters = model.parameter_count() as u64;
    let pass_tokens = (config.train.batch * shape.context) as u64;
    let step_tokens = pass_tokens * config.train.accumulate as u64;
    let tokens = step_tokens * config.train.steps;
    let matrices = if shape.tied() { 1 } else { 2 };
    // Korthikanti et al. 2022, section 4.1, in f32: a block keeps 34 values of 16 bits a token and column, of which 16
    // belong to an MLP of four widths, and 5 for each head and pair of tokens, which plain attention keeps.
    let mlp = shape.mlp_width() as f64 / (4.0 * shape.width as f64);
    let block = 2.0 * (18.0 + 16.0 * mlp) * shape.width as f64 + 10.0 * (shape.heads * shape.context) as f64;
    let layers = shape.layers as f64;
    let recompute = config.train.checkpoint_activations;
    // A block's input is one value of 32 bits a column.
    let kept = if recompute { 4.0 * shape.width as f64 * layers + block } else { block * layers };
    let activations = pass_tokens as f64 * kept;
    let bytes = |parameter: &Parameter| {
        // Weight, gradient, mean; Muon needs no second moment.
        let squares = if is_muons(config.train.optimizer, parameter) { 0 } else { 4 };
        let matrix = matches!(parameter.group, Group::Matrix | Group::Head);
        let rounded = if config.train.precision == Precision::Bf16 && matrix { 4 } else { 0 };
        (parameter.len() * (12 + squares + rounded)) as u64
    };
    Cost {
        parameters,
        embedding: (matrices * vocabulary * shape.width) as u64,
        step_tokens,
        tokens,
        // A forward pass more than the usual one and its backward pass, which costs two.
        flops: model.flops_per_token() * tokens as f64 * if recompute { 4.0 / 3.0 } else { 1.0 },
        state_bytes: model.parameters.iter().map(bytes).sum(),
        waiting_bytes: 4 * parameters * u64::from(config.train.accumulate.ilog2()),
        activation_bytes: activations as u64,
    }
}

/// For people: the cost, and the time on each kind of hardware.
pub fn describe(config: &RunConfig, vocabulary: usize) -> String {
    let cost = cost(config, vocabulary);
    let model = &config.model;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:12} {value}");
    };
    line(
        "model",
        format!(
            "{:?}, {} layers, width {}, {} heads, context {}, vocabulary {vocabulary}",
            model.kind, model.layers, model.width, model.heads, model.context
        ),
    );
    line(
        "parameters",
        format!("{} ({} of them embedding and output)", count(cost.parameters), count(cost.embedding)),
    );
    line(
        "tokens",
        format!(
            "{} in {} steps of {}; {:.1} a parameter",
            count(cost.tokens),
            config.train.steps,
            count(cost.step_tokens),
            cost.tokens as f64 / cost.parameters as f64
        ),
    );
    line("operations", format!("{:.2e} floating-point operations", cost.flops));
    let gib = |bytes: u64| bytes as f64 / (1_u64 << 30) as f64;
    let memory = gib(cost.state_bytes + cost.activation_bytes);
    line(
        "memory",
        format!(
            "about {memory:.2} GiB in f32: {:.2} weights, gradients and moments, {:.2} activations of {} sequences",
            gib(cost.state_bytes),
            gib(cost.activation_bytes),
            config.train.batch
        ),
    );
    if cost.waiting_bytes > 0 {
        line(
            "",
            format!(
                "on the CPU {:.2} GiB more, in which gradients of {} micro-batches are added in pairs",
                gib(cost.waiting_bytes),
                config.train.accumulate
            ),
        );
    }
    for (name, tera, memory_gib) in HARDWARE {
        let time = |share: f64| duration(cost.flops / (tera * 1e12 * share));
        let [poor, usual, good] = SHARES.map(time);
        let room = if memory <= memory_gib { "" } else { "; does not fit: make train.batch smaller" };
        line(
            name,
            format!("{usual} at 40 % of its {tera} TFLOP/s in f32 ({poor} at 20 %, {good} at 50 %){room}"),
        );
    }
    text.push_str(
        "The times are estimates from data sheets; `bench` measures the machine that it runs on.\n",
    );
    text
}

/// 12.3 M and the like.
fn count(n: u64) -> String {
    let n_ = n as f64;
    match n {
        0..10_000 => n.to_string(),
        10_000..1_000_000 => format!("{:.1} k", n_ / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} M", n_ / 1e6),
        _ => format!("{:.2} G", n_ / 1e9),
    }
}

fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpt2_small_costs_what_its_paper_and_llm_c_say() {
        let config = RunConfig::parse("[model]\nkind = \"gpt2\"\ndepth = 12\n", &[]).unwrap();
        let cost = cost(&config, 50_257);
        assert_eq!(cost.parameters, 124_439_808);
        assert_eq!(cost.step_tokens, 1 << 19);
        // 6 operations a value and token, and attention's share.
        assert!(cost.flops / (6.0 * cost.parameters as f64 * cost.tokens as f64) > 1.0);
        assert!(cost.flops / (6.0 * cost.parameters as f64 * cost.tokens as f64) < 1.2);
        let text = describe(&config, 50_257);
        assert!(text.contains("124.4 M") && text.contains("h100"), "{text}");
    }

    #[test]
    fn switches_change_the_memory() {
        let text = "[model]\nkind = \"gpt2\"\ndepth = 12\n";
        let with = |set: &str| cost(&RunConfig::parse(text, &[set.to_owned()]).unwrap(), 50_257);
        let plain = with("train.optimizer=adamw");
        assert_eq!(plain.state_bytes, 16 * plain.parameters);
        // The blocks' matrices, 12 layers of 12 x 768², have one moment less.
        let matrices = 12 * 12 * 768 * 768;
        assert_eq!(with("train.optimizer=muon").state_bytes, plain.state_bytes - 4 * matrices);
        assert_eq!(with("train.precision=bf16").state_bytes, plain.state_bytes + 4 * matrices);
        assert_eq!(with("train.accumulate=1").waiting_bytes, 0);
        assert_eq!(with("train.accumulate=12").waiting_bytes, 12 * plain.parameters);
        let again = with("train.checkpoint_activations=true");
        assert!(again.activation_bytes * 8 < plain.activation_bytes, "{again:?}");
        assert!((again.flops / plain.flops - 4.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let config = RunConfig::parse("[model]\nkind = \"llama3\"\ndepth = 40\n", &[]).unwrap();
        assert!(describe(&config, 128_256).contains("does not fit"));
    }
}
