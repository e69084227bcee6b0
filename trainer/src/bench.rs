//! Training speed on a fixed configuration, and what share of the hardware's arithmetic that is.

use std::time::Instant;

use anyhow::Result;
use burn::tensor::Device;

use crate::config::{Gelu, ModelConfig, ModelKind, RunConfig, TrainConfig};
use crate::kernels::matrix::{Matrix, Target, Threads, multiply};
use crate::loader::Loader;
use crate::model::Model;
use crate::optimizer::Place;
use crate::random::Random;
use crate::step::Training;

/// What [`run`] measured.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    /// Training tokens a second: the median step's.
    pub tokens_per_second: f64,
    /// Arithmetic of one training token; see [`Model::flops_per_token`].
    pub flops_per_token: f64,
    /// Trained values.
    pub parameters: usize,
    /// Loss of the last step, in nats a token: two machines that agree on it ran the same thing.
    pub loss: f64,
}

/// 6 layers, width 384, 6 heads, vocabulary 8,192 tied, 8 sequences of 256 tokens: 13.9 M parameters.
pub fn configuration() -> (RunConfig, usize) {
    let model = ModelConfig {
        kind: ModelKind::Gpt2,
        layers: 6,
        heads: 6,
        kv_heads: None,
        width: 384,
        context: 256,
        mlp_width: None,
        activation: None,
        qk_norm: false,
        softcap: None,
        tied: None,
        gelu: Gelu::Erf,
        rope_theta: 10_000.0,
        norm_epsilon: 1e-5,
        rope_scaling: None,
    };
    let train = TrainConfig { batch: 8, ..TrainConfig::default() };
    (RunConfig { train, ..RunConfig::of(model) }, 8_192)
}

/// Operations a second of a large matrix product in f32 on all threads: the best of a few, some 20 ms in all.
pub fn product_flops() -> f64 {
    const SIZE: usize = 768;
    let (a, b) = (vec![0.5; SIZE * SIZE], vec![0.25; SIZE * SIZE]);
    let mut out = vec![0.0; SIZE * SIZE];
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let begun = Instant::now();
        let target = Target::new(&mut out, SIZE, SIZE);
        let (a, b) = (Matrix::new(&a, SIZE, SIZE), Matrix::new(&b, SIZE, SIZE));
        multiply(target, a, b, 1.0, Threads::All);
        best = best.min(begun.elapsed().as_secs_f64());
    }
    std::hint::black_box(&out);
    2.0 * (SIZE * SIZE * SIZE) as f64 / best
}

/// Times `steps` steps on made-up tokens, after two that are not timed.
pub fn run(
    config: &RunConfig,
    vocabulary: usize,
    steps: u64,
    device: &Device,
    place: Place,
) -> Result<Speed> {
    let mut random = Random::named(1, "bench");
    let tokens: Vec<u32> = (0..100_000).map(|_| (random.bits() % vocabulary as u64) as u32).collect();
    let loader = Loader::new(&tokens, config.model.context, 1)?;
    let mut training =
        Training::new(Model::new(&config.model, vocabulary), &config.train, device.clone(), place);
    let mut seconds = Vec::new();
    let mut loss = f64::NAN;
    for step in 0..steps + 2 {
        let batch = loader.rows(step * config.train.batch as u64, config.train.batch)?;
        let begun = Instant::now();
        loss = training.advance(&config.train, &[batch])?.loss;
        device.sync().map_err(|error| anyhow::anyhow!("the device failed: {error:?}"))?;
        if step >= 2 {
            seconds.push(begun.elapsed().as_secs_f64());
        }
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN);
    Ok(Speed {
        tokens_per_second: (config.train.batch * config.model.context) as f64 / median,
        flops_per_token: training.model.flops_per_token(),
        parameters: training.model.parameter_count(),
        loss,
    })
}
