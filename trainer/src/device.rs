//! Where a run computes: parsing `--device`, and finding out whether it is there before any work is done.

use anyhow::{Result, anyhow, bail};
use burn::tensor::{Device, Tensor};

use crate::optimizer::Place;

/// What `--device` accepts.
pub const FORMS: &str = "auto, cpu, wgpu or cuda:N";

/// What `auto` stands for here: the first card that was built in and answers, else the CPU. Other names stay as they are.
pub fn resolve(name: &str) -> &str {
    match name {
        "auto" if cuda(0).is_ok() => "cuda:0",
        "auto" if wgpu_card().is_ok() => "wgpu",
        "auto" => "cpu",
        name => name,
    }
}

/// Opens the device that `name` asks for, and proves with one small sum that it works.
///
/// Errors with what would work: the feature to build with, or the driver that is missing.
pub fn open(name: &str) -> Result<(Device, Place)> {
    let name = resolve(name);
    match name.split_once(':').map_or((name, None), |(kind, index)| (kind, Some(index))) {
        ("cpu", None) => cpu(),
        ("wgpu", None) => wgpu().map(|device| (device, Place::Device)),
        ("cuda", index) => {
            let index = index.unwrap_or("0").parse::<usize>().map_err(|_| {
                anyhow!("unknown device `{name}`: expected a number after `cuda:`, for example cuda:0")
            })?;
            cuda(index).map(|device| (device, Place::Device))
        }
        _ => bail!("unknown device `{name}`: expected {FORMS}"),
    }
}

#[cfg(feature = "flex")]
#[expect(clippy::unnecessary_wraps, reason = "without the feature it is an error")]
fn cpu() -> Result<(Device, Place)> {
    Ok((Device::flex(), Place::Host))
}

#[cfg(not(feature = "flex"))]
fn cpu() -> Result<(Device, Place)> {
    bail!("this binary was built without the feature `flex`, which the device `cpu` needs")
}

#[cfg(feature = "wgpu")]
fn wgpu() -> Result<Device> {
    let open = || Device::wgpu(burn::tensor::DeviceKind::DefaultDevice);
    probe("wgpu", "a graphics driver with Vulkan, Metal or DirectX 12", open)
}

/// As [`wgpu`], by a card of its own alone: graphics in software are slower than the CPU's own path.
#[cfg(feature = "wgpu")]
fn wgpu_card() -> Result<Device> {
    use burn::tensor::DeviceKind::{DiscreteGpu, IntegratedGpu};
    let open = |kind| probe("wgpu", "a graphics card", move || Device::wgpu(kind));
    open(DiscreteGpu(0)).or_else(|_| open(IntegratedGpu(0)))
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Result<Device> {
    Err(not_built("wgpu"))
}

#[cfg(not(feature = "wgpu"))]
fn wgpu_card() -> Result<Device> {
    wgpu()
}

#[cfg(feature = "cuda")]
fn cuda(index: usize) -> Result<Device> {
    let name = format!("cuda:{index}");
    probe(&name, "an NVIDIA card of that number and its driver (libcuda)", || Device::cuda(index))
}

#[cfg(not(feature = "cuda"))]
fn cuda(_index: usize) -> Result<Device> {
    Err(not_built("cuda"))
}

#[cfg(not(all(feature = "wgpu", feature = "cuda")))]
fn not_built(feature: &str) -> anyhow::Error {
    anyhow!(
        "this binary was built without the device `{feature}`\nhint: `cargo install --path trainer --features \
         {feature}` builds it in; `--device cpu` works everywhere"
    )
}

/// Runs a sum on the device. Backends panic where the driver is missing, so the panic is caught and explained.
#[cfg_attr(not(any(feature = "wgpu", feature = "cuda")), allow(dead_code))]
fn probe(name: &str, needs: &str, open: impl FnOnce() -> Device + std::panic::UnwindSafe) -> Result<Device> {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = std::panic::catch_unwind(|| {
        let device = open();
        let sum = Tensor::<1>::ones([64], &device).sum().into_data();
        (device, sum.iter::<f32>().next())
    });
    std::panic::set_hook(hook);
    match result {
        Ok((device, Some(sum))) if (sum - 64.0).abs() < 1e-6 => Ok(device),
        Ok((_, sum)) => bail!("the device `{name}` adds up 64 ones to {sum:?}: it cannot be trusted"),
        Err(panic) => {
            let reason = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no reason given");
            bail!(
                "the device `{name}` does not answer: {}\nhint: it needs {needs}; `--device cpu` works everywhere",
                reason.lines().next().unwrap_or_default()
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_devices_say_what_would_work() {
        for name in ["", "gpu", "cpu:0", "cuda:x", "CUDA"] {
            let error = open(name).err().unwrap().to_string();
            assert!(error.contains("expected"), "{name}: {error}");
        }
        assert!(open("cpu").is_ok());
    }

    #[cfg(not(any(feature = "cuda", feature = "wgpu")))]
    #[test]
    fn without_a_card_auto_is_the_cpu() {
        assert_eq!(resolve("auto"), "cpu");
        assert!(open("auto").is_ok());
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_device_that_was_not_built_in_says_how_to() {
        let error = open("cuda:0").err().unwrap().to_string();
        assert!(error.contains("--features cuda") && error.contains("--device cpu"), "{error}");
    }

    #[test]
    fn a_panicking_driver_becomes_an_error() {
        let error = probe("cuda:0", "a driver", || panic!("libcuda.so not found")).err().unwrap().to_string();
        assert!(error.contains("libcuda.so not found") && error.contains("needs a driver"), "{error}");
    }
}
