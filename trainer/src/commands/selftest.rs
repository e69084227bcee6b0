//! `selftest`: does a device compute what the CPU computes?

use std::io::Write as _;

use anyhow::Result;
use clap::Args;

use gristmill_train::optimizer::Place;
use gristmill_train::{device, selftest};

use super::bench::{bench_config, print_speed};
use super::options::DeviceArgs;

#[derive(Args)]
pub struct Arguments {
    /// Steps of `bench` to time on a device that is not the CPU; 0 leaves them out.
    #[arg(long, default_value_t = 5, value_name = "N")]
    steps: u64,
    #[command(flatten)]
    device: DeviceArgs,
}

pub fn run(args: &Arguments) -> Result<()> {
    let (device, place) = args.device.open()?;
    let (reference, _) = device::open("cpu")?;
    let mut out = std::io::stdout().lock();
    for comparison in selftest::run(&device, place, &reference)? {
        writeln!(
            out,
            "{:8} ok: gradients within {:.1e}, losses of 20 steps within {:.1e} of the plain CPU operations",
            comparison.shape, comparison.gradient, comparison.loss
        )?;
    }
    if place == Place::Device && args.steps > 0 {
        print_speed(&mut out, &bench_config(&[])?, args.steps, None, (device, place))?;
    }
    Ok(())
}
