//! `import`: a checkpoint of a published model.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use gristmill_tokenizer::Tokenizer;

use gristmill_train::checkpoint::DataIdentity;
use gristmill_train::config::RunConfig;
use gristmill_train::huggingface::Pretrained;
use gristmill_train::model::Weights;
use gristmill_train::optimizer::vector;
use gristmill_train::{checkpoint, device, huggingface};

#[derive(Args)]
pub struct Arguments {
    /// The folder of a model of GPT-2's or Llama's family.
    #[arg(long, value_name = "DIR")]
    hf: PathBuf,
    /// Where the checkpoint goes.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub fn run(args: &Arguments) -> Result<()> {
    let (device, _) = device::open("cpu")?;
    let pretrained = huggingface::read(&args.hf)?;
    ensure!(
        checkpoint::latest(&args.out).is_none(),
        "`{}` already holds a checkpoint\nhint: another --out keeps both",
        args.out.display()
    );
    let Pretrained { model, values, tokenizer_json } = pretrained;
    let tokenizer = tokenizer_json
        .as_deref()
        .map(|json| {
            let path = args.hf.join("tokenizer.json");
            Tokenizer::from_json(json).with_context(|| format!("in `{}`", path.display()))
        })
        .transpose()?;
    let weights = Weights(values.into_iter().map(|values| vector(values, &device)).collect());
    let config = RunConfig::of(model.config.clone());
    let data = DataIdentity {
        tokenizer: tokenizer.as_ref().map(Tokenizer::hash).unwrap_or_default(),
        shards: "imported".to_owned(),
    };
    checkpoint::save_model(&args.out, (&model, &weights), &config, &data, tokenizer_json.as_deref())?;
    writeln!(
        std::io::stdout(),
        "{} parameters, vocabulary {}, context {}: `{}`{}",
        model.parameter_count(),
        model.vocabulary,
        model.config.context,
        args.out.display(),
        if tokenizer.is_none() {
            "; no tokenizer.json, so it can be scored and exported, not sampled"
        } else {
            ""
        }
    )?;
    Ok(())
}
