//! What turns gradients into new weights: AdamW with decoupled weight decay for all values, or for those that Muon does not
//! change; and clipping by the global norm.
//!
//! On the CPU one parallel pass reads gradient, moments and weight and writes them in place; elsewhere the same
//! update is made of tensor operations. Every element is computed alone, and norms are added up in fixed chunks,
//! so that results do not depend on threads.

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;

use crate::config::{Group, OptimizerKind, TrainConfig};
use crate::kernels::simd::vectorised;
use crate::model::{Parameter, Weights};
use crate::muon::{Muon, Turn};

/// Elements that one task handles. Fixed, because norms are added up chunk by chunk.
const CHUNK: usize = 16_384;

/// AdamW (Loshchilov and Hutter 2019) with its moments, and [`Muon`] for the matrices inside the blocks where it is asked for.
pub struct Optimizer {
    config: TrainConfig,
    muon: Option<Muon>,
    /// Mean of gradients, one vector a parameter.
    pub mean: Vec<Tensor<1>>,
    /// Mean of squared gradients, one vector a parameter; empty where Muon is at work, which needs none.
    pub mean_square: Vec<Tensor<1>>,
}

/// How one update is made.
#[derive(Clone, Copy, Debug)]
pub struct Update {
    /// Counts from 0.
    pub step: u64,
    /// From the schedule.
    pub learning_rate: f64,
    /// Multiplies the gradients first; see [`clip_factor`].
    pub clip: f64,
}

/// What one update multiplies by; the same for all elements of a parameter.
#[derive(Clone, Copy)]
struct Factors {
    clip: f32,
    beta1: f32,
    beta2: f32,
    /// Learning rate over the bias correction of the mean.
    rate: f32,
    /// 1 / sqrt(bias correction of the mean square).
    inverse_root: f32,
    epsilon: f32,
    /// 1 - learning rate * weight decay.
    keep: f32,
}

impl Optimizer {
    /// Moments of zero for every parameter.
    pub fn new(config: &TrainConfig, parameters: &[Parameter], device: &Device) -> Self {
        let muon = (config.optimizer == OptimizerKind::Muon).then(|| Muon::new(config.muon_momentum));
        let mut optimizer = Self { config: config.clone(), muon, mean: Vec::new(), mean_square: Vec::new() };
        optimizer.mean = parameters.iter().map(|p| Tensor::zeros([p.len()], device)).collect();
        let squares = parameters.iter().map(|p| Tensor::zeros([optimizer.squares(p)], device)).collect();
        optimizer.mean_square = squares;
        optimizer
    }

    /// How many squared gradients are remembered of a parameter: all or none.
    pub fn squares(&self, parameter: &Parameter) -> usize {
        if is_muons(self.config.optimizer, parameter) { 0 } else { parameter.len() }
    }

    /// One update of `weights` by `gradients`, both in the order of `parameters`, by the backend's operations.
    pub fn update(
        &mut self,
        parameters: &[Parameter],
        weights: &mut Weights,
        gradients: Vec<Tensor<1>>,
        update: Update,
    ) {
        for (i, (parameter, gradient)) in parameters.iter().zip(gradients).enumerate() {
            if let Some(muon) = self.muon.as_ref().filter(|_| parameter.group == Group::Matrix) {
                let turn = turn(&self.config, update);
                muon.update([&mut weights.0[i], &mut self.mean[i]], parameter, gradient, turn);
                continue;
            }
            let factors = self.factors(parameter, update);
            let state = [&mut weights.0[i], &mut self.mean[i], &mut self.mean_square[i]];
            update_on_device(state, gradient, factors);
        }
    }

    /// As [`Self::update`], by loops over the memory of the CPU backend.
    pub fn update_on_host(
        &mut self,
        parameters: &[Parameter],
        weights: &mut Weights,
        gradients: &[Vec<f32>],
        update: Update,
    ) {
        for (i, (parameter, gradient)) in parameters.iter().zip(gradients).enumerate() {
            if let Some(muon) = self.muon.as_mut().filter(|_| parameter.group == Group::Matrix) {
                let turn = turn(&self.config, update);
                with_values(&mut weights.0[i], |weight| {
                    with_values(&mut self.mean[i], |mean| {
                        muon.update_on_host([weight, mean], parameter, gradient, turn);
                    });
                });
                continue;
            }
            let factors = self.factors(parameter, update);
            update_on_host(
                [&mut weights.0[i], &mut self.mean[i], &mut self.mean_square[i]],
                gradient,
                factors,
            );
        }
    }

    fn factors(&self, parameter: &Parameter, update: Update) -> Factors {
        let TrainConfig { beta1, beta2, epsilon, .. } = self.config;
        let time = (update.step + 1) as f64;
        let rate = rate(&self.config, parameter.group, update);
        Factors {
            clip: update.clip as f32,
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            rate: (rate / (1.0 - beta1.powf(time))) as f32,
            inverse_root: (1.0 / (1.0 - beta2.powf(time)).sqrt()) as f32,
            epsilon: epsilon as f32,
            keep: if parameter.decayed { keep(&self.config, update) } else { 1.0 },
        }
    }
}

/// Whether Muon changes a parameter, and remembers no squared gradients of it.
pub fn is_muons(optimizer: OptimizerKind, parameter: &Parameter) -> bool {
    optimizer == OptimizerKind::Muon && parameter.group == Group::Matrix
}

/// The learning rate of a group: it follows the schedule of all.
fn rate(config: &TrainConfig, group: Group, update: Update) -> f64 {
    let highest = config.rate(group);
    // Exactly the schedule's where the group has no rate of its own.
    if highest.to_bits() == config.learning_rate.to_bits() {
        update.learning_rate
    } else {
        update.learning_rate / config.learning_rate * highest
    }
}

/// What weight decay leaves of a weight.
fn keep(config: &TrainConfig, update: Update) -> f32 {
    (1.0 - update.learning_rate * config.weight_decay) as f32
}

fn turn(config: &TrainConfig, update: Update) -> Turn {
    let rate = rate(config, Group::Matrix, update) as f32;
    Turn { clip: update.clip as f32, rate, keep: keep(config, update) }
}

/// Where gradients and updates are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this process's memory, by loops of our own: for the CPU backend, whose tensors lie there anyway.
    Host,
    /// By the backend's tensor operations: for GPUs, and as oracle.
    Device,
}

fn update_on_device([weight, mean, mean_square]: [&mut Tensor<1>; 3], gradient: Tensor<1>, f: Factors) {
    let gradient = gradient * f.clip;
    let next_mean = mean.clone() * f.beta1 + gradient.clone() * (1.0 - f.beta1);
    let next_square = mean_square.clone() * f.beta2 + gradient.square() * (1.0 - f.beta2);
    let root = next_square.clone().sqrt() * f.inverse_root + f.epsilon;
    *weight = weight.clone() * f.keep - next_mean.clone() / root * f.rate;
    *mean = next_mean;
    *mean_square = next_square;
}

fn update_on_host([weight, mean, mean_square]: [&mut Tensor<1>; 3], gradient: &[f32], f: Factors) {
    with_values(weight, |weight| {
        with_values(mean, |mean| {
            with_values(mean_square, |mean_square| {
                weight
                    .par_chunks_mut(CHUNK)
                    .zip(mean.par_chunks_mut(CHUNK))
                    .zip(mean_square.par_chunks_mut(CHUNK))
                    .zip(gradient.par_chunks(CHUNK))
                    .for_each(|(((weight, mean), mean_square), gradient)| {
                        update_chunk(weight, mean, mean_square, gradient, f);
                    });
            });
        });
    });
}

vectorised! {
    fn update_chunk(weight: &mut [f32], mean: &mut [f32], mean_square: &mut [f32], gradient: &[f32], f: Factors) {
        for (((w, m), v), &g) in weight.iter_mut().zip(mean).zip(mean_square).zip(gradient) {
            let g = g * f.clip;
            *m = *m * f.beta1 + g * (1.0 - f.beta1);
            *v = *v * f.beta2 + g * g * (1.0 - f.beta2);
            *w = *w * f.keep - *m / (v.sqrt() * f.inverse_root + f.epsilon) * f.rate;
        }
    }

    fn sum_of_squares(values: &[f32]) -> f64 {
        // Eight lanes, so that the loop is not bound by the latency of one addition.
        let mut lanes = [0.0_f64; 8];
        for block in values.chunks(8) {
            for (lane, &value) in lanes.iter_mut().zip(block) {
                *lane += f64::from(value) * f64::from(value);
            }
        }
        lanes.iter().sum()
    }
}

const F32: &str = "weights, moments and gradients are f32";

/// Lends the elements of a tensor of the CPU backend, without a copy where nobody else holds it.
fn with_values(tensor: &mut Tensor<1>, change: impl FnOnce(&mut [f32])) {
    let device = tensor.device();
    let taken = std::mem::replace(tensor, Tensor::empty([0], &device));
    let mut data = taken.into_data();
    change(data.as_mut_slice::<f32>().expect(F32));
    *tensor = Tensor::from_data(data, &device);
}

/// Lends the elements of all tensors of the CPU backend, without a copy where nobody else holds them.
pub fn with_all_values<R>(tensors: &mut [Tensor<1>], read: impl FnOnce(&[&[f32]]) -> R) -> R {
    let devices: Vec<Device> = tensors.iter().map(Tensor::device).collect();
    let take = |(tensor, device): (&mut Tensor<1>, &Device)| {
        std::mem::replace(tensor, Tensor::empty([0], device)).into_data()
    };
    let data: Vec<TensorData> = tensors.iter_mut().zip(&devices).map(take).collect();
    let values: Vec<&[f32]> = data.iter().map(|data| data.as_slice::<f32>().expect(F32)).collect();
    let result = read(&values);
    for ((tensor, data), device) in tensors.iter_mut().zip(data).zip(&devices) {
        *tensor = Tensor::from_data(data, device);
    }
    result
}

/// The Euclidean norm of all gradients together.
///
/// They are borrowed mutably only because reading a tensor in place means taking it apart.
pub fn global_norm(gradients: &mut [Tensor<1>]) -> f64 {
    with_all_values(gradients, |gradients| global_norm_of(gradients))
}

/// As [`global_norm`], over buffers.
pub fn global_norm_of<T: AsRef<[f32]>>(gradients: &[T]) -> f64 {
    let squares = gradients.iter().map(|values| {
        // Collected in order before the last sum: a parallel sum would depend on the threads.
        let parts: Vec<f64> = values.as_ref().par_chunks(CHUNK).map(sum_of_squares).collect();
        parts.iter().sum::<f64>()
    });
    f64::sqrt(squares.sum())
}

/// Factor that brings a gradient of norm `norm` down to `limit`; 1 where it is below or `limit` is 0.
pub fn clip_factor(norm: f64, limit: f64) -> f64 {
    if limit > 0.0 && norm > limit { limit / norm } else { 1.0 }
}

/// A vector on a device, from values.
pub fn vector(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let len = values.len();
    Tensor::from_data(TensorData::new(values, [len]), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ModelConfig, ModelKind, RunConfig};
    use crate::model::Model;
    use crate::random::Random;

    fn tiny() -> (TrainConfig, Model) {
        let text = "[model]\nkind = \"gpt2\"\nlayers = 1\nheads = 2\nwidth = 8\ncontext = 4\n";
        let config = RunConfig::parse(text, &[]).unwrap();
        let model: ModelConfig = config.model;
        assert_eq!(model.kind, ModelKind::Gpt2);
        (config.train, Model::new(&model, 11))
    }

    #[test]
    fn host_and_device_agree_and_follow_the_paper() {
        let (config, model) = tiny();
        let device = Device::flex();
        let run = |place| {
            let mut weights = model.initial_weights(1, &device);
            let mut adam = Optimizer::new(&config, &model.parameters, &device);
            for step in 0..3 {
                let gradients = model.parameters.iter().map(|p| {
                    let mut random = Random::named(step, &p.name);
                    (0..p.len()).map(|_| random.normal() as f32).collect::<Vec<f32>>()
                });
                let update = Update { step, learning_rate: 0.1, clip: 0.5 };
                match place {
                    Place::Host => {
                        let gradients: Vec<Vec<f32>> = gradients.collect();
                        adam.update_on_host(&model.parameters, &mut weights, &gradients, update);
                    }
                    Place::Device => {
                        let gradients = gradients.map(|values| vector(values, &device)).collect();
                        adam.update(&model.parameters, &mut weights, gradients, update);
                    }
                }
            }
            weights
        };
        let (host, on_device, start) =
            (run(Place::Host), run(Place::Device), model.initial_weights(1, &device));
        for (i, parameter) in model.parameters.iter().enumerate() {
            let read = |w: &Weights| w.0[i].to_data().try_to_vec::<f32>().unwrap();
            for (j, (a, b)) in read(&host).iter().zip(read(&on_device)).enumerate() {
                assert!((a - b).abs() < 1e-6, "{} {a} {b}", parameter.name);
                // The same element by the formulas of the paper, in f64.
                let (mut w, mut m, mut v) = (f64::from(read(&start)[j]), 0.0, 0.0);
                for step in 0..3_u64 {
                    let mut random = Random::named(step, &parameter.name);
                    let g = 0.5 * (0..=j).map(|_| random.normal() as f32).last().map_or(0.0, f64::from);
                    m = 0.9 * m + 0.1 * g;
                    v = 0.95 * v + 0.05 * g * g;
                    let t = (step + 1) as i32;
                    let (mh, vh) = (m / (1.0 - 0.9_f64.powi(t)), v / (1.0 - 0.95_f64.powi(t)));
                    let decay = if parameter.shape.len() == 2
                        && !parameter.name.contains(".wte")
                        && !parameter.name.contains(".wpe")
                    {
                        0.1
                    } else {
                        0.0
                    };
                    w -= 0.1 * (mh / (vh.sqrt() + 1e-8) + decay * w);
                }
                assert!((f64::from(*a) - w).abs() < 1e-5, "{} {a} {w}", parameter.name);
            }
        }
    }

    #[test]
    fn clipping_uses_the_norm_of_all_gradients() {
        let device = Device::flex();
        let mut gradients = [vector(vec![3.0], &device), vector(vec![0.0, 4.0], &device)];
        assert!((global_norm(&mut gradients) - 5.0).abs() < 1e-12);
        assert!((clip_factor(5.0, 1.0) - 0.2).abs() < 1e-12);
        for (norm, limit) in [(0.5, 1.0), (5.0, 0.0), (0.0, 1.0)] {
            assert!((clip_factor(norm, limit) - 1.0).abs() < f64::EPSILON);
        }
    }
}
