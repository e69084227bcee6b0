//! One optimiser step: gradients of some micro-batches, clipped, applied.

use anyhow::{Result, ensure};
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::config::TrainConfig;
use crate::loader::Batch;
use crate::lora::Adapters;
use crate::loss::{self, HeadGradient};
use crate::model::{Model, Weights};
use crate::optimizer::{AdamW, Place, Update, clip_factor, global_norm};
use crate::schedule::learning_rate;

/// A model in training: everything that an optimiser step changes.
pub struct Training {
    /// Structure.
    pub model: Model,
    /// Current values.
    pub weights: Weights,
    /// Moments.
    pub optimizer: AdamW,
    /// Steps done.
    pub step: u64,
    /// Where it lives.
    pub device: Device,
    /// Which code does element-wise work.
    pub place: Place,
    /// What is learnt instead of the weights themselves, which then are the merged ones.
    pub adapters: Option<Adapters>,
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
        let optimizer = AdamW::new(config, &model.parameters, &device);
        Self { model, weights, optimizer, step: 0, device, place, adapters: None }
    }

    /// Makes one step over `batches`, whose gradients are added and divided by all their targets.
    pub fn advance(&mut self, config: &TrainConfig, batches: &[Batch]) -> Result<StepReport> {
        if let Some(adapters) = &mut self.adapters {
            let at = (self.step, self.place);
            let report = adapters.advance(&self.model, &mut self.weights, config, batches, at)?;
            self.step += 1;
            return Ok(report);
        }
        let tokens: u64 = batches.iter().map(Batch::n_targets).sum();
        let scale = (1.0 / tokens.max(1) as f64) as f32;
        let mut nats = 0.0;
        let mut gradients: Option<Vec<Tensor<1>>> = None;
        for batch in batches {
            let (batch_nats, more) = gradients_of(&self.model, &self.weights, batch, scale, self.place);
            nats += batch_nats;
            gradients = Some(match gradients {
                None => more,
                Some(sum) => sum.into_iter().zip(more).map(|(sum, more)| sum + more).collect(),
            });
        }
        let mut gradients = gradients.unwrap_or_default();
        let gradient_norm = global_norm(&mut gradients);
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
        let update = Update {
            step: self.step,
            learning_rate,
            clip: clip_factor(gradient_norm, config.grad_clip),
            place: self.place,
        };
        self.optimizer.update(&self.model.parameters, &mut self.weights, gradients, update);
        self.step += 1;
        Ok(StepReport { loss, gradient_norm, learning_rate, tokens })
    }
}

/// Sum of the batch's losses in nats, and the gradient of `scale` times it, in the order of the parameters.
pub fn gradients_of(
    model: &Model,
    weights: &Weights,
    batch: &Batch,
    scale: f32,
    place: Place,
) -> (f64, Vec<Tensor<1>>) {
    let leaves = weights.tracked();
    let device = weights.0[0].device();
    let tokens = token_tensor(&batch.inputs, batch.rows, batch.context, &device);
    let hidden = model.hidden_within(&leaves, tokens, &batch.starts, None);
    let (nats, mut graph, head_gradient) = match place {
        Place::Host => {
            let HeadGradient { nats, hidden: outer, head } =
                loss::head_gradient(&hidden.clone().inner(), &model.head(weights), &batch.targets, scale);
            // The gradient of sum(hidden * constant) to hidden is the constant: backward continues from there.
            (sum(&nats), (hidden * outer).sum().backward(), Some(head))
        }
        Place::Device => {
            let nats = loss::plain_nats(hidden, model.head(&leaves), &batch.targets);
            let graph = (nats.clone().sum() * scale).backward();
            (sum(&nats.inner().into_data().try_into_vec::<f32>().expect("losses are f32")), graph, None)
        }
    };
    let mut gradients: Vec<Option<Tensor<1>>> =
        leaves.0.iter().map(|leaf| leaf.grad_remove(&mut graph)).collect();
    if let Some(head) = head_gradient {
        let slot = &mut gradients[model.head_index()];
        let head = head.reshape([model.parameters[model.head_index()].len()]);
        *slot = Some(match slot.take() {
            None => head,
            Some(embedding) => embedding + head,
        });
    }
    let complete = gradients.into_iter().map(|g| g.expect("every parameter takes part in the loss"));
    (nats, complete.collect())
}

fn sum(nats: &[f32]) -> f64 {
    nats.iter().map(|&nat| f64::from(nat)).sum()
}

/// Token ids (rows, columns) on a device.
pub fn token_tensor(ids: &[u32], rows: usize, columns: usize, device: &Device) -> Tensor<2, Int> {
    let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
    Tensor::from_data(TensorData::new(ids, [rows, columns]), device)
}
