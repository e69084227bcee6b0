//! Tokens a second of validation and of sampling: by our own kernels, and by burn's operations.
//!
//!     cargo run --release -p gristmill-train --example reading_speed [-- ROUNDS]
//!
//! The model is that of `gristmill-train bench`; both ways take turns in one process. Medians of wall time are printed, and
//! the ratio of processor time, which other work on the machine disturbs less (Linux only).

use std::time::Instant;

use anyhow::Result;
use burn::tensor::Device;
use gristmill_train::bench;
use gristmill_train::config::SampleConfig;
use gristmill_train::generate::generate_with;
use gristmill_train::loader::Loader;
use gristmill_train::model::Model;
use gristmill_train::random::Random;
use gristmill_train::reader::Reader;

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// Processor time of all threads so far, in seconds, as Linux counts it: in hundredths.
fn processor() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which is in parentheses, fields 14 and 15 of all are user and system time.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn main() -> Result<()> {
    let rounds: usize = std::env::args().nth(1).map_or(Ok(3), |rounds| rounds.parse())?;
    let (config, vocabulary) = bench::configuration();
    let model = Model::new(&config.model, vocabulary);
    let weights = model.initial_weights(1, &Device::flex());
    let mut random = Random::named(1, "bench");
    let tokens: Vec<u32> = (0..20_000).map(|_| (random.bits() % vocabulary as u64) as u32).collect();
    let loader = Loader::new(&tokens, config.model.context, 1)?;
    let (rows, context) = (config.train.batch, config.model.context);
    let batch = loader.rows(0, rows)?;
    let sample = SampleConfig { tokens: 128, ..SampleConfig::default() };
    let work = |name: &str, n_tokens: usize, work: &mut dyn FnMut(&mut Reader<'_>) -> Result<f64>| {
        let mut seconds = [Vec::new(), Vec::new()];
        let (mut results, mut busy) = ([0.0; 2], [0.0; 2]);
        for _ in 0..rounds {
            for (way, reader) in
                [Reader::new(&model, &weights), Reader::plain(&model, &weights)].iter_mut().enumerate()
            {
                let (begun, busy_before) = (Instant::now(), processor());
                results[way] = work(reader)?;
                seconds[way].push(begun.elapsed().as_secs_f64());
                busy[way] += processor() - busy_before;
            }
        }
        let [ours, plain] = seconds.map(|seconds| n_tokens as f64 / median(seconds));
        println!(
            "{name}: {ours:.0} tokens/s, burn's operations {plain:.0}: {:.2} x, {:.2} x by processor time (results {:.6} and {:.6})",
            ours / plain,
            busy[1] / busy[0],
            results[0],
            results[1]
        );
        anyhow::Ok(())
    };
    work("validation", rows * context, &mut |reader| {
        Ok(reader.nats(&batch).iter().map(|&nats| f64::from(nats)).sum::<f64>() / (rows * context) as f64)
    })?;
    for n in [1, 8] {
        work(&format!("sampling {n} at once after 64 tokens"), 128 * n, &mut |reader| {
            let prompts: Vec<Vec<u32>> = (0..n).map(|i| tokens[i * 64..(i + 1) * 64].to_vec()).collect();
            let mut randoms: Vec<Random> = (0..n).map(|i| Random::named(i as u64, "speed")).collect();
            let all = generate_with(reader, context, &prompts, &sample, None, &mut randoms, |_, _| ())?;
            Ok(all.concat().iter().map(|&id| f64::from(id)).sum::<f64>() / (128 * n) as f64)
        })?;
    }
    Ok(())
}
