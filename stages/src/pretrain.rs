//! `pretrain`: a language model from token shards, by `gristmill-train`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::stage::{
    Artefacts, BuildContext, Declares, Process, Reason, Runtime, Shape, StageConfig, StageError,
};

/// Pretrains a language model on the token shards of the stage above and keeps its checkpoint, metrics and sample.
///
/// Runs `gristmill-train pretrain` as a process of its own. A run that was killed goes on from its last
/// checkpoint and ends with the same weights.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pretrain {
    /// The training configuration, a TOML file such as `train/gpt2-tiny.toml`, relative to the recipe.
    pub config: String,
    /// Changes to it, as nested tables: `overrides.train.steps = 100`.
    #[serde(default)]
    pub overrides: Map<String, Value>,
    /// Where it runs: `cpu`, `wgpu` or `cuda:0`.
    #[serde(default = "default_device")]
    pub device: String,
}

pub(crate) fn default_device() -> String {
    "cpu".into()
}

impl StageConfig for Pretrain {
    const KIND: &'static str = "pretrain";
    const VERSION: u32 = 2;
    const SHAPE: Shape = Shape::Process;
    const REASONS: &'static [Reason] = &[];

    fn declares(&self) -> Declares {
        Declares { files: vec![self.config.clone()], ..Declares::default() }
    }

    fn build(&self, context: &BuildContext) -> Result<Runtime, StageError> {
        let config = training_config(&self.config, &self.overrides, context)?;
        Ok(Runtime::Process(Box::new(Pretraining { config, device: self.device.clone() })))
    }
}

/// The training configuration in the file `name`, with `overrides` over it, as TOML.
pub(crate) fn training_config(
    name: &str,
    overrides: &Map<String, Value>,
    context: &BuildContext,
) -> Result<String, StageError> {
    let wrong = |why: String| StageError::Config(format!("training configuration `{name}`: {why}"));
    let text = fs::read_to_string(context.resolve(name)).map_err(|error| wrong(error.to_string()))?;
    let table: toml::Table = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let mut config = serde_json::to_value(table).map_err(|error| wrong(error.to_string()))?;
    overlay(&mut config, &Value::Object(overrides.clone()));
    toml::to_string(&config).map_err(|error| wrong(error.to_string()))
}

/// Puts `changes` over `target`, table by table.
fn overlay(target: &mut Value, changes: &Value) {
    match (target, changes) {
        (Value::Object(target), Value::Object(changes)) => {
            for (key, change) in changes {
                overlay(target.entry(key.clone()).or_insert(Value::Null), change);
            }
        }
        (target, changes) => *target = changes.clone(),
    }
}

struct Pretraining {
    config: String,
    device: String,
}

impl Process for Pretraining {
    fn command(&self, input: &Path, folder: &Path, _: &Artefacts) -> Result<Command, StageError> {
        let config: PathBuf = folder.join("train.toml");
        fs::write(&config, &self.config)
            .map_err(|error| StageError::Engine(format!("cannot write `{}`: {error}", config.display())))?;
        let mut command = Command::new("gristmill-train");
        command
            .args(["pretrain", "--resume", "--device", &self.device])
            .arg("--config")
            .arg(config)
            .arg("--shards")
            .arg(input)
            .arg("--tokenizer")
            .arg(input.join("tokenizer.json"))
            .arg("--out")
            .arg(folder);
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn overrides_lie_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("t.toml"), "[train]\nsteps = 10\nseed = 1\n[model]\nwidth = 8\n")
            .unwrap();
        let config: Pretrain = serde_json::from_value(json!({
            "config": "t.toml", "overrides": {"train": {"steps": 3}, "sample": {"tokens": 9}}
        }))
        .unwrap();
        let context = BuildContext { base: folder.path().to_owned(), seed: 0 };
        let Runtime::Process(process) = config.build(&context).unwrap() else { panic!("a process") };
        let command = process.command(Path::new("/in"), folder.path(), &Artefacts::new()).unwrap();
        assert!(command.get_args().any(|argument| argument == "/in/tokenizer.json"));
        let written: toml::Table =
            toml::from_str(&fs::read_to_string(folder.path().join("train.toml")).unwrap()).unwrap();
        assert_eq!(
            serde_json::to_value(written).unwrap(),
            json!({"train": {"steps": 3, "seed": 1}, "model": {"width": 8}, "sample": {"tokens": 9}})
        );
    }

    #[test]
    fn a_missing_configuration_is_named() {
        let config: Pretrain = serde_json::from_value(json!({"config": "gone.toml"})).unwrap();
        let error = config.build(&BuildContext { base: PathBuf::from("/nowhere"), seed: 0 }).err().unwrap();
        assert!(error.to_string().contains("`gone.toml`"), "{error}");
    }
}
