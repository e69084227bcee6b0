//! `pretrain`: a model from token shards.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use gristmill_corpus::pack_plan::MixtureSource;
use gristmill_tokenizer::Tokenizer;

use gristmill_train::checkpoint::DataIdentity;
use gristmill_train::config::RunConfig;
use gristmill_train::loader::TokenSource as _;
use gristmill_train::pretrain::{Pretraining, pretrain, pretrain_among};
use gristmill_train::shards;

use super::options::DeviceArgs;
use super::processes::{ProcessArgs, Started};

#[derive(Args)]
pub struct Arguments {
    /// TOML file; see configs/train.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Directory with train-*.bin and val-*.bin. One for each source of the config's [[mixture]], with its name.
    #[arg(long, value_name = "[NAME=]DIR", required = true)]
    shards: Vec<String>,
    /// The tokenizer.json that the shards were written with.
    #[arg(long, value_name = "FILE")]
    tokenizer: PathBuf,
    /// Where checkpoint/, metrics.jsonl, summary.json and sample.txt go.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Go on from the checkpoint in --out, if there is one.
    #[arg(long)]
    resume: bool,
    /// Override a config key, for example train.steps=100.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    processes: ProcessArgs,
}

pub fn run(args: &Arguments) -> Result<()> {
    let config = RunConfig::load(&args.config, &args.set)?;
    let (rendezvous, started) = args.processes.rendezvous()?.unzip();
    let (device, place) = args.device.open()?;
    let tokenizer_json = std::fs::read(&args.tokenizer)
        .with_context(|| format!("cannot read the tokenizer `{}`", args.tokenizer.display()))?;
    let tokenizer = Tokenizer::from_json(&tokenizer_json)
        .with_context(|| format!("in `{}`", args.tokenizer.display()))?;
    let mixture = mixture(&config.mixture, &args.shards)?;
    let folders: Vec<&Path> = mixture.iter().map(|(_, folder)| folder.as_path()).collect();
    let splits = shards::open_all(&folders, &tokenizer, &args.tokenizer.display().to_string())?;
    let sources: Vec<_> =
        mixture.iter().map(|(source, _)| source.clone()).zip(splits.train.sources()).collect();
    let (wanted, config) = (config.clone(), config.within_epochs(splits.train.n_tokens()));
    if config != wanted {
        let length = |config: &RunConfig| {
            let RunConfig { model, train, .. } = config;
            format!("{} steps of {} tokens", train.steps, train.batch * train.accumulate * model.context)
        };
        eprintln!("train.max_epochs: {} instead of {}", length(&config), length(&wanted));
    }
    let job = Pretraining {
        config: &config,
        train: &splits.train,
        sources: &sources,
        val: &splits.val,
        tokenizer: &tokenizer,
        tokenizer_json: &tokenizer_json,
        data: DataIdentity { tokenizer: tokenizer.hash(), shards: splits.fingerprint.clone() },
        out: &args.out,
        resume: args.resume,
        device,
        place,
        stop_after: None,
    };
    let summary = match rendezvous {
        None => pretrain(&job)?,
        Some(rendezvous) => pretrain_among(&job, rendezvous)?,
    };
    started.map_or(Ok(()), Started::wait)?;
    // Of several processes only the first has one.
    let Some(summary) = summary else { return Ok(()) };
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "validation loss {:.4} nats/token, {:.4} bits/byte over {} tokens; unigram entropy {:.4} nats/token \
         (the unigram model's own validation loss: {:.4})",
        summary.val_loss,
        summary.bits_per_byte,
        summary.val_tokens,
        summary.unigram_entropy,
        summary.unigram_val_loss
    )?;
    Ok(())
}

/// The folder of each source: by name where the config mixes several.
fn mixture(sources: &[MixtureSource], shards: &[String]) -> Result<Vec<(MixtureSource, PathBuf)>> {
    if sources.is_empty() {
        let [folder] = shards else {
            bail!("{} --shards, and the config has no [[mixture]] that says how to mix them", shards.len());
        };
        return Ok(vec![(MixtureSource::only("shards"), folder.into())]);
    }
    let mut named = BTreeMap::new();
    for given in shards {
        let (name, folder) = given
            .split_once('=')
            .with_context(|| format!("--shards {given}: the config has a [[mixture]]; say NAME={given}"))?;
        ensure!(named.insert(name, folder).is_none(), "--shards {name}=… is given twice");
    }
    let of = |source: &MixtureSource| {
        let folder = named
            .remove(source.name.as_str())
            .with_context(|| format!("the mixture has a source `{0}`: give --shards {0}=DIR", source.name))?;
        Ok((source.clone(), folder.into()))
    };
    let found = sources.iter().map(of).collect::<Result<_>>()?;
    if let Some(name) = shards
        .iter()
        .filter_map(|given| given.split_once('='))
        .map(|(name, _)| name)
        .find(|name| sources.iter().all(|source| source.name != *name))
    {
        bail!("--shards {name}=…: the config's [[mixture]] has no source of that name");
    }
    Ok(found)
}
