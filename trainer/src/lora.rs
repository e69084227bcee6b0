//! Low-rank adapters (Hu et al. 2021): the base's matrices stay as they are, and what is learnt is added to
//! them as a product of two thin ones.
//!
//! A matrix W (inputs, outputs) becomes W + (alpha / rank) A B, with A (inputs, rank) and B (rank, outputs).
//! A begins as noise and B as zeros, so that the first step begins with the base model. The forward pass
//! reads the merged matrix: with its gradient G, A's is (alpha / rank) G Bᵀ and B's (alpha / rank) Aᵀ G. A
//! checkpoint's weights are the merged ones; what a resume needs besides (base matrices, A, B and their
//! moments) lies in its optimiser file.

use anyhow::{Result, ensure};
use burn::tensor::{Device, Tensor};

use crate::config::{LoraConfig, TrainConfig};
use crate::host::Compute;
use crate::loader::Batch;
use crate::model::{Model, Parameter, Weights};
use crate::optimizer::{Optimizer, Place, Update, clip_factor, global_norm, vector};
use crate::random::Random;
use crate::schedule::learning_rate;
use crate::step::{StepReport, gradients_of};

/// What is learnt instead of the matrices themselves.
pub struct Adapters {
    /// alpha / rank.
    pub scale: f64,
    /// Indices of the adapted matrices in [`Model::parameters`].
    pub targets: Vec<usize>,
    /// The base's values of those.
    pub base: Weights,
    /// A and B of each, one behind the other.
    pub parameters: Vec<Parameter>,
    /// Their values.
    pub values: Weights,
    /// Their moments.
    pub optimizer: Optimizer,
}

impl Adapters {
    /// Fresh adapters for a base's weights, seeded by `train`.
    pub fn new(
        model: &Model,
        weights: &Weights,
        lora: &LoraConfig,
        train: &TrainConfig,
        device: &Device,
    ) -> Result<Self> {
        let targets = targets(model, lora)?;
        let base = Weights(targets.iter().map(|&target| weights.0[target].clone()).collect());
        let parameters = parameters(model, &targets, lora.rank);
        let values = parameters.iter().map(|parameter| {
            if parameter.name.starts_with(B) {
                return vector(vec![0.0; parameter.len()], device);
            }
            let mut random = Random::named(train.seed, &parameter.name);
            let deviation = 1.0 / (parameter.shape[0] as f64).sqrt();
            vector((0..parameter.len()).map(|_| (random.normal() * deviation) as f32).collect(), device)
        });
        let values = Weights(values.collect());
        let optimizer = Optimizer::new(train, &parameters, device);
        Ok(Self { scale: lora.alpha / lora.rank as f64, targets, base, parameters, values, optimizer })
    }

    /// The matrices with what was learnt, in the order of [`Self::targets`].
    pub fn merged(&self) -> Vec<Tensor<1>> {
        let matrix = |i: usize| {
            let shape = &self.parameters[i].shape;
            self.values.0[i].clone().reshape([shape[0], shape[1]])
        };
        let merge = |(i, base): (usize, &Tensor<1>)| {
            let learnt = matrix(2 * i).matmul(matrix(2 * i + 1)) * self.scale;
            base.clone() + learnt.reshape([base.dims()[0]])
        };
        self.base.0.iter().enumerate().map(merge).collect()
    }

    /// Gradients of A and B of each matrix, from those of the whole model.
    pub fn gradients(&self, of_model: &[Tensor<1>]) -> Vec<Tensor<1>> {
        let mut gradients = Vec::with_capacity(self.parameters.len());
        for (i, &target) in self.targets.iter().enumerate() {
            let (a, b) = (&self.parameters[2 * i], &self.parameters[2 * i + 1]);
            let (inputs, rank, outputs) = (a.shape[0], a.shape[1], b.shape[1]);
            let gradient = of_model[target].clone().reshape([inputs, outputs]);
            let (a_values, b_values) = (
                self.values.0[2 * i].clone().reshape([inputs, rank]),
                self.values.0[2 * i + 1].clone().reshape([rank, outputs]),
            );
            let of_a = gradient.clone().matmul(b_values.transpose()) * self.scale;
            let of_b = a_values.transpose().matmul(gradient) * self.scale;
            gradients.push(of_a.reshape([a.len()]));
            gradients.push(of_b.reshape([b.len()]));
        }
        gradients
    }

    /// Makes step number `step` over `batches` and merges it into `weights`.
    pub fn advance(
        &mut self,
        model: &Model,
        weights: &mut Weights,
        config: &TrainConfig,
        batches: &[Batch],
        (step, place): (u64, Place),
    ) -> Result<StepReport> {
        let tokens: u64 = batches.iter().map(Batch::n_targets).sum();
        let scale = (1.0 / tokens.max(1) as f64) as f32;
        let compute = Compute::of(config);
        let (mut nats, mut sum): (f64, Option<Vec<Tensor<1>>>) = (0.0, None);
        for batch in batches {
            let (batch_nats, of_model) = gradients_of(model, weights, batch, scale, (place, compute));
            let more = self.gradients(&of_model);
            nats += batch_nats;
            sum = Some(match sum {
                None => more,
                Some(sum) => sum.into_iter().zip(more).map(|(sum, more)| sum + more).collect(),
            });
        }
        let mut gradients = sum.unwrap_or_default();
        let gradient_norm = global_norm(&mut gradients);
        let loss = nats / tokens.max(1) as f64;
        ensure!(
            loss.is_finite() && gradient_norm.is_finite(),
            "step {step}: loss {loss}, gradient norm {gradient_norm}: the run has diverged; lower \
             train.learning_rate (now {}) or raise train.warmup (now {})",
            config.learning_rate,
            config.warmup
        );
        let learning_rate = learning_rate(config, step);
        let clip = clip_factor(gradient_norm, config.grad_clip);
        let update = Update { step, learning_rate, clip };
        self.optimizer.update(&self.parameters, &mut self.values, gradients, update);
        for (&target, merged) in self.targets.iter().zip(self.merged()) {
            weights.0[target] = merged;
        }
        Ok(StepReport { loss, gradient_norm, learning_rate, tokens })
    }
}

const A: &str = "lora_a.";
const B: &str = "lora_b.";

/// A and B of every adapted matrix.
pub fn parameters(model: &Model, targets: &[usize], rank: usize) -> Vec<Parameter> {
    let pair = |&target: &usize| {
        let Parameter { name, shape, .. } = &model.parameters[target];
        [
            Parameter::adapter(format!("{A}{name}"), [shape[0], rank]),
            Parameter::adapter(format!("{B}{name}"), [rank, shape[1]]),
        ]
    };
    targets.iter().flat_map(pair).collect()
}

/// The matrices that a configuration names: those inside the blocks whose names hold one of its words, or all
/// of them.
pub fn targets(model: &Model, lora: &LoraConfig) -> Result<Vec<usize>> {
    let inside = model.parameters.iter().enumerate().filter(|(index, parameter)| {
        parameter.decayed && parameter.shape.len() == 2 && *index != model.head_index()
    });
    let all: Vec<(usize, &str)> = inside.map(|(index, parameter)| (index, parameter.name.as_str())).collect();
    for word in &lora.matrices {
        ensure!(
            all.iter().any(|(_, name)| name.contains(word.as_str())),
            "lora.matrices: no matrix is called `{word}`; those of the first block are `{}`",
            all.iter()
                .map(|(_, name)| *name)
                .filter(|name| name.contains(".0."))
                .collect::<Vec<_>>()
                .join("`, `")
        );
    }
    let named = |name: &str| lora.matrices.is_empty() || lora.matrices.iter().any(|word| name.contains(word));
    let targets: Vec<usize> = all.iter().filter(|(_, name)| named(name)).map(|(index, _)| *index).collect();
    for &target in &targets {
        let shape = &model.parameters[target].shape;
        ensure!(
            lora.rank <= shape[0].min(shape[1]),
            "lora.rank = {}: `{}` is {} x {}, and a rank above the smaller side adds nothing",
            lora.rank,
            model.parameters[target].name,
            shape[0],
            shape[1]
        );
    }
    Ok(targets)
}
