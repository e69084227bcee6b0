//! `export`: a checkpoint in the files of other programs.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};

use gristmill_train::gguf::Precision;
use gristmill_train::huggingface::Export;
use gristmill_train::{checkpoint, device, gguf, huggingface};

use super::options::open_checkpoint;

#[derive(Args)]
pub struct Arguments {
    /// A checkpoint directory, or the --out directory of a run.
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,
    /// What to write.
    #[arg(long, value_enum)]
    to: ExportFormat,
    /// How GGUF stores matrices.
    #[arg(long, value_enum, default_value_t = GgufPrecision::F16)]
    precision: GgufPrecision,
    /// A new folder (hf) or file (gguf).
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    /// config.json, model.safetensors and tokenizer.json, for transformers.
    Hf,
    /// One file, for llama.cpp.
    Gguf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum GgufPrecision {
    /// 2 bytes a value.
    F16,
    /// A byte a value and a scale for each 32.
    #[value(name = "q8_0")]
    Q8_0,
}

pub fn run(args: &Arguments) -> Result<()> {
    let (device, _) = device::open("cpu")?;
    let checkpoint = open_checkpoint(&args.checkpoint)?;
    let (model, weights) = checkpoint.model(&device)?;
    let tokenizer_json = checkpoint.tokenizer_json()?;
    match args.to {
        ExportFormat::Hf => {
            let tokenizer = tokenizer_json.is_some().then(|| checkpoint.tokenizer()).transpose()?;
            let boundary = tokenizer.as_ref().and_then(|tokenizer| {
                let id = tokenizer.bos()?;
                let (name, _) = tokenizer.specials().iter().find(|(_, special)| *special == id)?;
                Some((id, name.as_str()))
            });
            let weights = checkpoint::model_file(&model, &weights)?;
            let tokenizer = tokenizer_json.as_deref().map(|json| (json, boundary));
            huggingface::write(&args.out, &Export { model: &model, weights: &weights, tokenizer })?;
        }
        ExportFormat::Gguf => {
            let values: Vec<Vec<f32>> = weights
                .0
                .into_iter()
                .map(|w| w.into_data().try_into_vec::<f32>())
                .collect::<Result<_, _>>()
                .map_err(|error| anyhow::anyhow!("the weights are not f32: {error:?}"))?;
            let precision = match args.precision {
                GgufPrecision::F16 => Precision::F16,
                GgufPrecision::Q8_0 => Precision::Q8_0,
            };
            let remarks = gguf::write(&args.out, (&model, &values), tokenizer_json.as_deref(), precision)?;
            for remark in remarks {
                eprintln!("note: {remark}");
            }
        }
    }
    Ok(())
}
