//! `selftest`: does a device compute what the CPU computes?

use std::io::Write as _;

use anyhow::Result;

use gristmill_train::optimizer::Place;
use gristmill_train::{device, selftest};

use super::bench::{bench_config, print_speed};
use super::options::DeviceArgs;

pub fn run(args: &DeviceArgs) -> Result<()> {
    let (device, place) = device::open(&args.device)?;
    let (reference, _) = device::open("cpu")?;
    let mut out = std::io::stdout().lock();
    for comparison in selftest::run(&device, place, &reference)? {
        writeln!(
            out,
            "{:8} ok: gradients within {:.1e}, losses of 20 steps within {:.1e} of the plain CPU operations",
            comparison.shape, comparison.gradient, comparison.loss
        )?;
    }
    if place == Place::Device {
        print_speed(&mut out, &bench_config(&[])?, 5, None, (device, place))?;
    }
    Ok(())
}
