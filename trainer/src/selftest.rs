//! Does a device compute what the plain operations on the CPU compute? For anyone who has the hardware.

use anyhow::{Result, ensure};
use burn::tensor::Device;

use crate::config::RunConfig;
use crate::host::Compute;
use crate::loader::Loader;
use crate::model::Model;
use crate::optimizer::Place;
use crate::random::Random;
use crate::step::{Training, gradients_of};

const SHAPES: [(&str, &str); 3] = [
    ("gpt2", "kind = \"gpt2\"\nlayers = 2\nheads = 2\nwidth = 32\ncontext = 32\n"),
    ("llama3", "kind = \"llama3\"\nlayers = 2\nheads = 4\nkv_heads = 2\nwidth = 32\ncontext = 32\n"),
    (
        "nanochat",
        "kind = \"llama3\"\nlayers = 2\nheads = 4\nwidth = 32\ncontext = 32\nqk_norm = true\nactivation = \"relu2\"\nsoftcap = 15\n",
    ),
];
const VOCABULARY: usize = 97;
const STEPS: u64 = 20;

/// Largest differences between a device and the plain CPU path, for one model shape.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Which shape.
    pub shape: &'static str,
    /// Largest difference of a gradient over the largest gradient of its tensor.
    pub gradient: f64,
    /// Largest difference of a loss over 20 steps, in nats.
    pub loss: f64,
}

/// Compares `device` with the plain operations on `reference`, and errors where they differ by more than rounding.
pub fn run(device: &Device, place: Place, reference: &Device) -> Result<Vec<Comparison>> {
    let comparisons: Vec<Comparison> = SHAPES
        .iter()
        .map(|(shape, text)| compare(shape, text, device, place, reference))
        .collect::<Result<_>>()?;
    for comparison in &comparisons {
        ensure!(
            comparison.gradient < 1e-4 && comparison.loss < 1e-3,
            "the {} model differs from the CPU's: gradients by {:.1e} (allowed 1e-4), losses over {STEPS} steps by \
             {:.1e} (allowed 1e-3)",
            comparison.shape,
            comparison.gradient,
            comparison.loss
        );
    }
    Ok(comparisons)
}

fn compare(
    shape: &'static str,
    text: &str,
    device: &Device,
    place: Place,
    reference: &Device,
) -> Result<Comparison> {
    let config = RunConfig::parse(&format!("[model]\n{text}"), &[])?;
    let model = Model::new(&config.model, VOCABULARY);
    // A chain that a model can learn: each token decides the next, but for some noise.
    let mut random = Random::named(1, "selftest");
    let mut token = 0_u64;
    let tokens: Vec<u32> = (0..20_000)
        .map(|_| {
            token = (token * 5 + 3 + random.bits() % 3) % VOCABULARY as u64;
            token as u32
        })
        .collect();
    let loader = Loader::new(&tokens, config.model.context, 1)?;

    let batch = loader.rows(0, config.train.batch)?;
    let gradients = |device: &Device, place| {
        gradients_of(
            &model,
            &model.initial_weights(1, device),
            &batch,
            1.0 / 256.0,
            (place, Compute::default()),
        )
        .1
    };
    let mut gradient = 0.0_f64;
    for (here, there) in gradients(device, place).into_iter().zip(gradients(reference, Place::Device)) {
        let values = |tensor: burn::tensor::Tensor<1>| {
            tensor.into_data().try_into_vec::<f32>().expect("gradients are f32")
        };
        let (here, there) = (values(here), values(there));
        let largest = there.iter().fold(1e-12_f32, |largest, value| largest.max(value.abs()));
        for (a, b) in here.iter().zip(&there) {
            gradient = gradient.max(f64::from((a - b).abs() / largest));
        }
    }

    let losses = |device: &Device, place| -> Result<Vec<f64>> {
        let mut training = Training::new(model.clone(), &config.train, device.clone(), place);
        let rows = config.train.batch;
        (0..STEPS)
            .map(|step| Ok(training.advance(&config.train, &[loader.rows(step * rows as u64, rows)?])?.loss))
            .collect()
    };
    let (here, there) = (losses(device, place)?, losses(reference, Place::Device)?);
    let loss = here.iter().zip(&there).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    Ok(Comparison { shape, gradient, loss })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_path_agrees_with_the_plain_one() {
        let device = Device::flex();
        let comparisons = run(&device, Place::Host, &device).unwrap();
        assert_eq!(comparisons.len(), 3);
    }
}
