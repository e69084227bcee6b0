//! `bench`: how fast does a device train?

use anyhow::{Result, ensure};
use burn::tensor::Device;
use clap::Args;

use gristmill_train::bench;
use gristmill_train::config::RunConfig;
use gristmill_train::optimizer::Place;

use super::options::DeviceArgs;

#[derive(Args)]
pub struct Arguments {
    /// Steps to time.
    #[arg(long, default_value_t = 10, value_name = "N")]
    steps: u64,
    /// Override a config key, for example model.kind=llama3 or train.batch=4.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The hardware's highest speed in this precision, in TFLOP/s: prints the share that is used.
    #[arg(long, value_name = "TFLOPS")]
    peak: Option<f64>,
    #[command(flatten)]
    device: DeviceArgs,
}

pub fn run(args: &Arguments) -> Result<()> {
    ensure!(args.steps >= 1, "--steps 0: nothing to time");
    let device = args.device.open()?;
    print_speed(&mut std::io::stdout().lock(), &bench_config(&args.set)?, args.steps, args.peak, device)
}

pub fn bench_config(set: &[String]) -> Result<(RunConfig, usize)> {
    let (config, vocabulary) = bench::configuration();
    Ok((RunConfig::parse(&config.to_toml()?, set)?, vocabulary))
}

pub fn print_speed(
    out: &mut impl std::io::Write,
    (config, vocabulary): &(RunConfig, usize),
    steps: u64,
    peak: Option<f64>,
    (device, place): (Device, Place),
) -> Result<()> {
    let speed = bench::run(config, *vocabulary, steps, &device, place)?;
    let achieved = speed.tokens_per_second * speed.flops_per_token;
    writeln!(
        out,
        "{:.1} M parameters, {} x {} tokens a step, loss {:.4}: {:.0} tokens/s",
        speed.parameters as f64 / 1e6,
        config.train.batch,
        config.model.context,
        speed.loss,
        speed.tokens_per_second
    )?;
    writeln!(
        out,
        "{:.1} GFLOP/s = tokens/s x {:.1} MFLOP a token (6 x matrix parameters + 12 x layers x width x context)",
        achieved / 1e9,
        speed.flops_per_token / 1e6
    )?;
    if let Some(peak) = peak {
        writeln!(out, "MFU {:.1} % of {peak} TFLOP/s", achieved / (peak * 1e12) * 100.0)?;
    }
    Ok(())
}
