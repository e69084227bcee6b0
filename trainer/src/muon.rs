//! Muon (Jordan et al. 2024, <https://kellerjordan.github.io/posts/muon/>): momentum, made orthogonal, for matrices.
//!
//! A step goes along U Vᵀ, where U S Vᵀ is the mean of gradients, looked ahead as Nesterov does: every direction in which the
//! matrix acts is changed as much as every other. U Vᵀ comes of five steps of a Newton–Schulz iteration,
//! X <- a X + (b A + c A²) X with A = X Xᵀ, whose coefficients drive singular values from 0.002 upwards into
//! 0.68 to 1.21: near 1 is near enough, and steeper at 0 is faster.
//!
//! The step is multiplied by sqrt(max(1, outputs / inputs)), so that it changes what leaves the matrix as much whatever its shape
//! (Jordan et al.; Bernstein 2025 derives it from the spectral norm): one learning rate, 0.02 by default, suits all widths.
//! Matrices that lie side by side (queries, keys and values of GPT-2) are turned each on its own. All in f32.

use burn::tensor::Tensor;
use rayon::prelude::*;

use crate::kernels::matrix::{Matrix, Target, Threads, multiply};
use crate::kernels::simd::vectorised;
use crate::model::Parameter;
use crate::optimizer::global_norm_of;

/// Highest learning rate where none is said: Jordan et al.'s.
pub const RATE: f64 = 0.02;

/// a, b and c of the iteration: of all quintics that keep singular values in bounds, one of the steepest at 0.
const COEFFICIENTS: [f32; 3] = [3.4445, -4.775, 2.0315];
const STEPS: usize = 5;
/// Added to the norm that a matrix is divided by.
const EPSILON: f32 = 1e-7;
/// Elements that one task handles.
const CHUNK: usize = 16_384;

/// What every update has in common; the moments belong to the optimiser.
pub struct Muon {
    momentum: f32,
    buffers: Buffers,
}

#[derive(Default)]
struct Buffers {
    direction: Vec<f32>,
    iteration: Iteration,
}

/// Buffers of the iteration: X (R, C) with R <= C, its successor, A and b A + c A² (R, R).
#[derive(Default)]
struct Iteration {
    x: Vec<f32>,
    next: Vec<f32>,
    a: Vec<f32>,
    polynomial: Vec<f32>,
}

/// What one update multiplies by.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// The gradient, first.
    pub clip: f32,
    /// The orthogonal direction, beside the factor of its shape.
    pub rate: f32,
    /// The weights, first: 1 less the weight decay.
    pub keep: f32,
}

vectorised! {
    /// `mean` takes the gradient up; `direction` becomes the mean with the gradient once more.
    fn look_ahead(mean: &mut [f32], direction: &mut [f32], gradient: &[f32], momentum: f32, clip: f32) {
        for ((m, d), &g) in mean.iter_mut().zip(direction).zip(gradient) {
            let g = g * clip;
            *m = momentum * *m + (1.0 - momentum) * g;
            *d = momentum * *m + (1.0 - momentum) * g;
        }
    }

    fn scaled(out: &mut [f32], from: &[f32], factor: f32) {
        for (out, &from) in out.iter_mut().zip(from) {
            *out = factor * from;
        }
    }
}

/// The factor of a matrix's shape.
fn shape_factor(inputs: usize, outputs: usize) -> f32 {
    (outputs as f32 / inputs as f32).max(1.0).sqrt()
}

impl Muon {
    /// With this decay of the mean of gradients.
    pub fn new(momentum: f64) -> Self {
        Self { momentum: momentum as f32, buffers: Buffers::default() }
    }

    /// Changes a matrix (inputs, outputs) and its mean of gradients, by loops and matrix products in memory.
    pub fn update_on_host(
        &mut self,
        [weight, mean]: [&mut [f32]; 2],
        parameter: &Parameter,
        gradient: &[f32],
        turn: Turn,
    ) {
        let (inputs, columns) = (parameter.shape[0], parameter.shape[1]);
        let outputs = columns / parameter.parts;
        let Buffers { direction, iteration } = &mut self.buffers;
        direction.resize(weight.len(), 0.0);
        mean.par_chunks_mut(CHUNK)
            .zip(direction.par_chunks_mut(CHUNK))
            .zip(gradient.par_chunks(CHUNK))
            .for_each(|((mean, direction), gradient)| {
                look_ahead(mean, direction, gradient, self.momentum, turn.clip);
            });
        let rate = turn.rate * shape_factor(inputs, outputs);
        for part in 0..parameter.parts {
            let first = part * outputs;
            // The shorter side comes first, where A is smaller.
            let tall = inputs > outputs;
            let (rows, width) = (inputs.min(outputs), inputs.max(outputs));
            iteration.x.resize(rows * width, 0.0);
            for i in 0..inputs {
                let from = &direction[i * columns + first..][..outputs];
                if tall {
                    for (j, &value) in from.iter().enumerate() {
                        iteration.x[j * inputs + i] = value;
                    }
                } else {
                    iteration.x[i * outputs..][..outputs].copy_from_slice(from);
                }
            }
            iteration.run(rows, width);
            let x = &iteration.x;
            for i in 0..inputs {
                let to = &mut weight[i * columns + first..][..outputs];
                for (j, weight) in to.iter_mut().enumerate() {
                    let turned = if tall { x[j * inputs + i] } else { x[i * outputs + j] };
                    *weight = *weight * turn.keep - rate * turned;
                }
            }
        }
    }

    /// As [`Self::update_on_host`], by the backend's operations.
    pub fn update(
        &self,
        [weight, mean]: [&mut Tensor<1>; 2],
        parameter: &Parameter,
        gradient: Tensor<1>,
        turn: Turn,
    ) {
        let (inputs, columns) = (parameter.shape[0], parameter.shape[1]);
        let outputs = columns / parameter.parts;
        let gradient = gradient * (turn.clip * (1.0 - self.momentum));
        *mean = mean.clone() * self.momentum + gradient.clone();
        let direction = (mean.clone() * self.momentum + gradient).reshape([inputs, columns]);
        let turned = (0..parameter.parts)
            .map(|part| orthogonal(direction.clone().narrow(1, part * outputs, outputs)))
            .collect();
        let turned = Tensor::cat(turned, 1).reshape([inputs * columns]);
        *weight = weight.clone() * turn.keep - turned * (turn.rate * shape_factor(inputs, outputs));
    }
}

impl Iteration {
    /// Replaces `x` (R, C) by an orthogonal matrix near it.
    fn run(&mut self, rows: usize, width: usize) {
        let Self { x, next, a, polynomial } = self;
        next.resize(rows * width, 0.0);
        a.resize(rows * rows, 0.0);
        polynomial.resize(rows * rows, 0.0);
        let norm = global_norm_of(&[x.as_slice()]) as f32;
        let scale = |out: &mut [f32], from: &[f32], factor: f32| {
            out.par_chunks_mut(CHUNK)
                .zip(from.par_chunks(CHUNK))
                .for_each(|(out, from)| scaled(out, from, factor));
        };
        scale(next, x, 1.0 / (norm + EPSILON));
        std::mem::swap(x, next);
        let [first, third, fifth] = COEFFICIENTS;
        for _ in 0..STEPS {
            let view = Matrix::new(x, rows, width);
            multiply(Target::new(a, rows, rows), view, view.transposed(), 1.0, Threads::All);
            scale(polynomial, a, third);
            let square = Matrix::new(a, rows, rows);
            let target = Target::new(polynomial, rows, rows).adding(true);
            multiply(target, square, square, fifth, Threads::All);
            scale(next, x, first);
            let target = Target::new(next, rows, width).adding(true);
            multiply(target, Matrix::new(polynomial, rows, rows), view, 1.0, Threads::All);
            std::mem::swap(x, next);
        }
    }
}

/// As [`Iteration::run`], by the backend's operations, of a matrix with either side the longer.
fn orthogonal(x: Tensor<2>) -> Tensor<2> {
    let [rows, columns] = x.dims();
    let tall = rows > columns;
    let x = if tall { x.transpose() } else { x };
    let norm = x.clone().square().sum().sqrt().reshape([1, 1]) + EPSILON;
    let mut x = x / norm;
    let [first, third, fifth] = COEFFICIENTS;
    for _ in 0..STEPS {
        let a = x.clone().matmul(x.clone().transpose());
        let polynomial = a.clone() * third + a.clone().matmul(a) * fifth;
        x = x.clone() * first + polynomial.matmul(x);
    }
    if tall { x.transpose() } else { x }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::config::RunConfig;
    use crate::model::Model;
    use crate::optimizer::vector;
    use crate::random::Random;

    type Plain = Vec<Vec<f64>>;

    fn product(a: &Plain, b: &Plain) -> Plain {
        let element = |row: &Vec<f64>, j: usize| row.iter().zip(b).map(|(a, b)| a * b[j]).sum();
        a.iter().map(|row| (0..b[0].len()).map(|j| element(row, j)).collect()).collect()
    }

    fn transposed(a: &Plain) -> Plain {
        (0..a[0].len()).map(|j| a.iter().map(|row| row[j]).collect()).collect()
    }

    fn combined(a: &Plain, by_a: f64, b: &Plain, by_b: f64) -> Plain {
        let row =
            |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| by_a * a + by_b * b).collect();
        a.iter().zip(b).map(row).collect()
    }

    /// The iteration by its definition, one loop an index, in f64.
    fn plain(x: &Plain) -> Plain {
        let norm = x.iter().flatten().map(|x| x * x).sum::<f64>().sqrt();
        let mut x = combined(x, 1.0 / norm, x, 0.0);
        for _ in 0..5 {
            let a = product(&x, &transposed(&x));
            let polynomial = combined(&a, -4.775, &product(&a, &a), 2.0315);
            x = combined(&x, 3.4445, &product(&polynomial, &x), 1.0);
        }
        x
    }

    fn noise(name: &str, rows: usize, columns: usize) -> Plain {
        let mut random = Random::named(1, name);
        (0..rows).map(|_| (0..columns).map(|_| random.normal()).collect()).collect()
    }

    /// A matrix with orthogonal rows: I - 2 v vᵀ / |v|².
    fn reflection(name: &str, n: usize) -> Plain {
        let v = noise(name, n, 1);
        let square: f64 = v.iter().map(|v| v[0] * v[0]).sum();
        let identity: Plain = (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
        combined(&identity, 1.0, &product(&v, &transposed(&v)), -2.0 / square)
    }

    fn fast(x: &Plain) -> Vec<f32> {
        let values = x.iter().flatten().map(|&x| x as f32).collect();
        let mut iteration = Iteration { x: values, ..Iteration::default() };
        iteration.run(x.len(), x[0].len());
        iteration.x
    }

    #[test]
    fn the_iteration_follows_its_definition() {
        for (rows, columns) in [(1, 1), (1, 5), (8, 8), (16, 48), (70, 130)] {
            let x = noise("iteration", rows, columns);
            let values: Vec<f32> = x.iter().flatten().map(|&x| x as f32).collect();
            let device = Device::flex();
            let tensor = vector(values, &device).reshape([rows, columns]);
            let back = |x: Tensor<2>| x.into_data().try_into_vec::<f32>().unwrap();
            let on_device = back(orthogonal(tensor.clone()));
            let tall = back(orthogonal(tensor.transpose()).transpose());
            let plain: Vec<f64> = plain(&x).concat();
            for (i, (a, b)) in fast(&x).iter().zip(plain).enumerate() {
                assert!((f64::from(*a) - b).abs() < 1e-4, "{rows} {columns} {a} {b}");
                assert!((a - on_device[i]).abs() < 1e-4 && (a - tall[i]).abs() < 1e-4);
            }
        }
    }

    #[test]
    fn what_comes_out_is_nearly_orthogonal() {
        // U S Vᵀ with singular values over two and a half orders of magnitude: U P Vᵀ must come out, all of P near 1.
        let n = 24;
        let (u, v) = (reflection("u", n), reflection("v", n));
        let values: Vec<f64> = (0..n).map(|i| 10_f64.powf(-2.5 * i as f64 / (n - 1) as f64)).collect();
        let diagonal = |values: &[f64]| -> Plain {
            (0..n).map(|i| (0..n).map(|j| if i == j { values[i] } else { 0.0 }).collect()).collect()
        };
        let x = product(&product(&u, &diagonal(&values)), &v);
        let out: Plain = fast(&x).chunks(n).map(|row| row.iter().map(|&x| f64::from(x)).collect()).collect();
        let inside = product(&product(&transposed(&u), &out), &transposed(&v));
        for (i, row) in inside.iter().enumerate() {
            for (j, &value) in row.iter().enumerate() {
                if i == j {
                    assert!((0.65..1.21).contains(&value), "{i}: {value} of {}", values[i]);
                } else {
                    assert!(value.abs() < 1e-3, "{i} {j}: {value}");
                }
            }
        }
        assert!(fast(&vec![vec![0.0; 4]; 2]).iter().all(|&x| x == 0.0), "nothing to turn");
    }

    #[test]
    fn matrices_side_by_side_are_turned_each_on_its_own() {
        let text = "[model]\nkind = \"gpt2\"\nlayers = 1\nheads = 2\nwidth = 8\ncontext = 4\n";
        let model = Model::new(&RunConfig::parse(text, &[]).unwrap().model, 11);
        let merged = model.parameters.iter().find(|p| p.name.ends_with("c_attn.weight")).unwrap();
        let (up, down) = (
            model.parameters.iter().find(|p| p.name.ends_with("c_fc.weight")).unwrap(),
            model.parameters.iter().find(|p| p.name.ends_with("mlp.c_proj.weight")).unwrap(),
        );
        let turn = Turn { clip: 0.5, rate: 0.1, keep: 0.9 };
        for parameter in [merged, up, down] {
            let (inputs, columns) = (parameter.shape[0], parameter.shape[1]);
            let outputs = columns / parameter.parts;
            let gradients = [noise("first", inputs, columns), noise("second", inputs, columns)];
            let start: Vec<f32> =
                noise("weights", inputs, columns).concat().iter().map(|&x| x as f32).collect();
            let mut muon = Muon::new(0.95);
            let (mut weight, mut mean) = (start.clone(), vec![0.0; start.len()]);
            let device = Device::flex();
            let (mut on_device, mut device_mean) =
                (vector(start.clone(), &device), vector(mean.clone(), &device));
            let mut expected: Vec<f64> = start.iter().map(|&x| f64::from(x)).collect();
            let mut plain_mean = vec![0.0; start.len()];
            for gradient in &gradients {
                let values: Vec<f32> = gradient.concat().iter().map(|&x| x as f32).collect();
                muon.update_on_host([&mut weight, &mut mean], parameter, &values, turn);
                let tensors = [&mut on_device, &mut device_mean];
                muon.update(tensors, parameter, vector(values.clone(), &device), turn);
                // By the definition, with the gradient halved.
                let mut direction = vec![0.0; start.len()];
                for (i, g) in gradient.concat().iter().enumerate() {
                    plain_mean[i] = 0.95 * plain_mean[i] + 0.05 * 0.5 * g;
                    direction[i] = 0.95 * plain_mean[i] + 0.05 * 0.5 * g;
                }
                for part in 0..parameter.parts {
                    let columns_of =
                        |i: usize| i * columns + part * outputs..i * columns + (part + 1) * outputs;
                    let x: Plain = (0..inputs).map(|i| direction[columns_of(i)].to_vec()).collect();
                    let turned = plain(&x);
                    let factor = (outputs as f64 / inputs as f64).max(1.0).sqrt();
                    for (i, turned) in turned.iter().enumerate() {
                        for (weight, turned) in expected[columns_of(i)].iter_mut().zip(turned) {
                            *weight = 0.9 * *weight - 0.1 * factor * turned;
                        }
                    }
                }
            }
            let on_device = on_device.into_data().try_into_vec::<f32>().unwrap();
            for ((a, b), expected) in weight.iter().zip(&on_device).zip(&expected) {
                assert!((f64::from(*a) - expected).abs() < 1e-4, "{} {a} {expected}", parameter.name);
                assert!((a - b).abs() < 1e-4, "{} {a} {b}", parameter.name);
            }
        }
    }
}
