//! One optimiser step: gradients of some micro-batches, clipped, applied.

use anyhow::{Result, ensure};
use burn::tensor::{Device, Gradients, Int, Tensor, TensorData};
use xxhash_rust::xxh3::Xxh3;

use crate::config::TrainConfig;
use crate::host::{self, Compute, Memory};
use crate::kernels::rows::Sum;
use crate::loader::Batch;
use crate::lora::Adapters;
use crate::loss;
use crate::model::{Model, Parameter, Weights};
use crate::optimizer::{
    Optimizer, Place, Update, clip_factor, global_norm, global_norm_of, vector, with_all_values,
};
use crate::ranks::Ranks;
use crate::schedule::learning_rate;
use crate::sums::{Node, TreeSum};

/// A model in training: everything that an optimiser step changes.
pub struct Training {
    /// Structure.
    pub model: Model,
    /// Current values.
    pub weights: Weights,
    /// Moments.
    pub optimizer: Optimizer,
    /// Steps done.
    pub step: u64,
    /// Where it lives.
    pub device: Device,
    /// Which code computes gradients and updates.
    pub place: Place,
    /// What is learnt instead of the weights themselves, which then are the merged ones.
    pub adapters: Option<Adapters>,
    memory: HostMemory,
}

/// Buffers of the CPU path, kept from step to step.
#[derive(Default)]
struct HostMemory {
    pass: Memory,
    sum: TreeSum,
}

/// What one step reports. All of it is a pure function of the run's inputs on the CPU.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepReport {
    /// Mean loss of the step's targets, in nats a token.
    pub loss: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// From the schedule.
    pub learning_rate: f64,
    /// Targets read.
    pub tokens: u64,
}

impl Training {
    /// A fresh model, seeded by `config`.
    pub fn new(model: Model, config: &TrainConfig, device: Device, place: Place) -> Self {
        let weights = model.initial_weights(config.seed, &device);
        let optimizer = Optimizer::new(config, &model.parameters, &device);
        Self::resumed(model, weights, optimizer, 0, (device, place))
    }

    /// A model of which `step` steps are done.
    pub fn resumed(
        model: Model,
        weights: Weights,
        optimizer: Optimizer,
        step: u64,
        (device, place): (Device, Place),
    ) -> Self {
        Self { model, weights, optimizer, step, device, place, adapters: None, memory: HostMemory::default() }
    }

    /// Makes one step over `batches`, whose gradients are added and divided by all their targets.
    pub fn advance(&mut self, config: &TrainConfig, batches: &[Batch]) -> Result<StepReport> {
        self.advance_among(config, batches, 0, None)
    }

    /// As [`Self::advance`], of a step whose rows several processes share: `batches` are this one's units, of which the first
    /// is the step's unit `first`. The report is the whole step's, in every process.
    pub fn advance_among(
        &mut self,
        config: &TrainConfig,
        batches: &[Batch],
        first: usize,
        mut ranks: Option<&mut Ranks>,
    ) -> Result<StepReport> {
        if let Some(adapters) = &mut self.adapters {
            ensure!(ranks.is_none(), "adapters are learnt by one process");
            let at = (self.step, self.place);
            let report = adapters.advance(&self.model, &mut self.weights, config, batches, at)?;
            self.step += 1;
            return Ok(report);
        }
        let mut tokens: u64 = batches.iter().map(Batch::n_targets).sum();
        if let Some(ranks) = &mut ranks {
            tokens = ranks.targets(self.step, tokens)?;
        }
        let scale = (1.0 / tokens.max(1) as f64) as f32;
        let lengths: Vec<usize> = self.model.parameters.iter().map(Parameter::len).collect();
        match self.place {
            Place::Host => {
                let HostMemory { pass, sum } = &mut self.memory;
                pass.compute = Compute::of(config);
                sum.clear();
                let model = &self.model;
                let nats: Vec<f64> = with_all_values(&mut self.weights.0, |weights| {
                    let unit = |(i, batch): (usize, &Batch)| {
                        let mut values = sum.buffers(lengths.iter().copied());
                        let nats =
                            host::gradients(model, weights, batch, scale, pass, &mut values, Sum::Start);
                        sum.push(Node { first: first + i, level: 0, values });
                        nats
                    };
                    batches.iter().enumerate().map(unit).collect()
                });
                let nats = match ranks {
                    None => nats.iter().sum(),
                    Some(ranks) => ranks.reduce(&nats, sum, &lengths)?,
                };
                let gradients = std::mem::take(self.memory.sum.total().expect("a step has rows"));
                let (report, update) = self.report(config, nats, tokens, global_norm_of(&gradients))?;
                self.optimizer.update_on_host(&self.model.parameters, &mut self.weights, &gradients, update);
                *self.memory.sum.total().expect("it was there") = gradients;
                self.step += 1;
                Ok(report)
            }
            Place::Device => {
                let compute = Compute::of(config);
                let (mut nats, mut gradients) =
                    sum_of_gradients(&self.model, &self.weights, batches, scale, compute);
                if let Some(ranks) = ranks {
                    let mut sum = TreeSum::default();
                    let values = gradients.into_iter().map(to_host).collect();
                    sum.push(Node { first, level: 0, values });
                    nats = ranks.reduce(&[nats], &mut sum, &lengths)?;
                    let total = std::mem::take(sum.total().expect("a step has rows"));
                    gradients = total.into_iter().map(|values| vector(values, &self.device)).collect();
                }
                let (report, update) = self.report(config, nats, tokens, global_norm(&mut gradients))?;
                self.optimizer.update(&self.model.parameters, &mut self.weights, gradients, update);
                self.step += 1;
                Ok(report)
            }
        }
    }

    /// A hash of all weights: equal for equal bits.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Xxh3::new();
        for weight in &self.weights.0 {
            let data = weight.to_data();
            hash.update(data.as_bytes());
        }
        hash.digest()
    }

    /// What the step found, and the update that follows from it; an error where that makes no sense.
    fn report(
        &self,
        config: &TrainConfig,
        nats: f64,
        tokens: u64,
        gradient_norm: f64,
    ) -> Result<(StepReport, Update)> {
        let loss = nats / tokens.max(1) as f64;
        ensure!(
            loss.is_finite() && gradient_norm.is_finite(),
            "step {}: loss {loss}, gradient norm {gradient_norm}: the run has diverged; lower \
             train.learning_rate (now {}) or raise train.warmup (now {})",
            self.step,
            config.learning_rate,
            config.warmup
        );
        let learning_rate = learning_rate(config, self.step);
        let clip = clip_factor(gradient_norm, config.grad_clip);
        let report = StepReport { loss, gradient_norm, learning_rate, tokens };
        Ok((report, Update { step: self.step, learning_rate, clip }))
    }
}

/// Sum of the batches' losses in nats and of their gradients, by the backend's operations.
fn sum_of_gradients(
    model: &Model,
    weights: &Weights,
    batches: &[Batch],
    scale: f32,
    compute: Compute,
) -> (f64, Vec<Tensor<1>>) {
    let mut nats = 0.0;
    let mut gradients: Option<Vec<Tensor<1>>> = None;
    for batch in batches {
        let (batch_nats, more) = gradients_of(model, weights, batch, scale, (Place::Device, compute));
        nats += batch_nats;
        gradients = Some(match gradients {
            None => more,
            Some(sum) => sum.into_iter().zip(more).map(|(sum, more)| sum + more).collect(),
        });
    }
    (nats, gradients.unwrap_or_default())
}

/// Sum of the batch's losses in nats, and the gradient of `scale` times it, in the order of the parameters.
pub fn gradients_of(
    model: &Model,
    weights: &Weights,
    batch: &Batch,
    scale: f32,
    (place, compute): (Place, Compute),
) -> (f64, Vec<Tensor<1>>) {
    let device = weights.0[0].device();
    match place {
        Place::Host => {
            let mut gradients = host::gradient_buffers(model);
            let nats = with_all_values(&mut weights.0.clone(), |weights| {
                host::gradients(
                    model,
                    weights,
                    batch,
                    scale,
                    &mut Memory::new(compute),
                    &mut gradients,
                    Sum::Start,
                )
            });
            (nats, gradients.into_iter().map(|gradient| vector(gradient, &device)).collect())
        }
        Place::Device => {
            let model = &Model { precision: compute.precision, ..model.clone() };
            if compute.recompute {
                return recomputed(model, weights, batch, scale);
            }
            let leaves = weights.tracked();
            let tokens = token_tensor(&batch.inputs, batch.rows, batch.context, &device);
            let hidden = model.hidden_within(&leaves, tokens, &batch.starts, None);
            let nats = loss::of_logits(model.logits_of(hidden, model.head(&leaves)), &batch.targets);
            let mut graph = (nats.clone().sum() * scale).backward();
            let nats = sum(&nats.inner().into_data().try_into_vec::<f32>().expect("losses are f32"));
            let gradient =
                |leaf: &Tensor<1>| leaf.grad_remove(&mut graph).expect("every parameter takes part");
            (nats, leaves.0.iter().map(gradient).collect())
        }
    }
}

fn to_host(gradient: Tensor<1>) -> Vec<f32> {
    gradient.into_data().try_into_vec::<f32>().expect("gradients are f32")
}

/// As [`gradients_of`], by the backend's operations, with a graph of no more than one block at a time: each is computed again
/// from its input, and the gradient of its output is sent back through it.
fn recomputed(model: &Model, weights: &Weights, batch: &Batch, scale: f32) -> (f64, Vec<Tensor<1>>) {
    let device = weights.0[0].device();
    let tokens = token_tensor(&batch.inputs, batch.rows, batch.context, &device);
    let frame = model.frame(tokens.dims(), &batch.starts, 0, &device);
    let mut streams = vec![model.embedded(weights, tokens.clone(), &frame)];
    for layer in 0..model.config.layers {
        let before = streams[layer].clone();
        streams.push(model.block(weights, layer, before, &frame, None));
    }

    let mut gradients: Vec<Option<Tensor<1>>> = vec![None; weights.0.len()];
    let mut collect = |leaves: &Weights, graph: &mut Gradients| {
        for (sum, leaf) in gradients.iter_mut().zip(&leaves.0) {
            if let Some(more) = leaf.grad_remove(graph) {
                *sum = Some(match sum.take() {
                    None => more,
                    Some(sum) => sum + more,
                });
            }
        }
    };
    let leaf = |streams: &mut Vec<Tensor<2>>| {
        streams.pop().expect("one stream more than blocks").autodiff().require_grad()
    };
    let leaves = weights.tracked();
    let last = leaf(&mut streams);
    let hidden = model.last_norm(&leaves, last.clone());
    let nats = loss::of_logits(model.logits_of(hidden, model.head(&leaves)), &batch.targets);
    let mut graph = (nats.clone().sum() * scale).backward();
    let nats = sum(&nats.inner().into_data().try_into_vec::<f32>().expect("losses are f32"));
    collect(&leaves, &mut graph);
    let mut outer = last.grad_remove(&mut graph).expect("the loss depends on it");
    for layer in (0..model.config.layers).rev() {
        let (leaves, before) = (weights.tracked(), leaf(&mut streams));
        let after = model.block(&leaves, layer, before.clone(), &frame, None);
        let mut graph = (after * outer.autodiff()).sum().backward();
        collect(&leaves, &mut graph);
        outer = before.grad_remove(&mut graph).expect("a block's output depends on its input");
    }
    let leaves = weights.tracked();
    let first = model.embedded(&leaves, tokens, &frame);
    collect(&leaves, &mut (first * outer.autodiff()).sum().backward());
    let all = gradients.into_iter().map(|gradient| gradient.expect("every parameter takes part"));
    (nats, all.collect())
}

fn sum(nats: &[f32]) -> f64 {
    nats.iter().map(|&nat| f64::from(nat)).sum()
}

/// Token ids (rows, columns) on a device.
pub fn token_tensor(ids: &[u32], rows: usize, columns: usize, device: &Device) -> Tensor<2, Int> {
    let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
    Tensor::from_data(TensorData::new(ids, [rows, columns]), device)
}
