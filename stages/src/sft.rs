//! `sft`: a base model to a chat model, by `gristmill-train`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::pretrain::{default_device, training_config};
use crate::stage::{
    ArtefactRef, Artefacts, BuildContext, Declares, Found, InputStage, Process, ProcessInput, Reason,
    Runtime, Shape, StageConfig, StageError, only,
};

/// Fine-tunes a base model on the conversation shards of the stage above and keeps the chat model's
/// checkpoint, metrics and samples. `gristmill chat --checkpoint` talks to it.
///
/// Runs `gristmill-train sft` as a process of its own: loss on what the assistant writes only, conversations
/// packed into rows without seeing each other. A run that was killed goes on from its last checkpoint and
/// ends with the same weights.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sft {
    /// The model to begin with: `{ stage = "pretrain" }`, or the folder of a checkpoint or of a training run,
    /// relative to the recipe. It must have been trained with the tokenizer of the conversations.
    pub base: ArtefactRef,
    /// The training configuration, a TOML file such as `train/sft-tiny.toml`, relative to the recipe.
    pub config: String,
    /// Changes to it, as nested tables: `overrides.train.steps = 100`.
    #[serde(default)]
    pub overrides: Map<String, Value>,
    /// Where it runs: `cpu`, `wgpu`, `cuda:0`, or `auto` for the first card that answers, else the CPU.
    #[serde(default = "default_device")]
    pub device: String,
}

impl StageConfig for Sft {
    const KIND: &'static str = "sft";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Process;
    const REASONS: &'static [Reason] = &[];

    fn declares(&self) -> Declares {
        let mut files = vec![self.config.clone()];
        if let ArtefactRef::Named(base) = &self.base {
            files.push(base.clone());
        }
        Declares { files, artefacts: vec![self.base.clone()], ..Declares::default() }
    }

    fn build(&self, context: &BuildContext) -> Result<Runtime, StageError> {
        let config = training_config(&self.config, &self.overrides, context)?;
        let base = Found::resolve(&self.base, context).map_err(|name| {
            StageError::Config(format!(
                "`base = \"{name}\"` is no folder; name that of a checkpoint, or a stage: `base = {{ stage = \"pretrain\" }}`"
            ))
        })?;
        Ok(Runtime::Process(Box::new(FineTuning { config, base, device: self.device.clone() })))
    }
}

struct FineTuning {
    config: String,
    base: Found,
    device: String,
}

impl Process for FineTuning {
    fn accepts(&self, inputs: &[InputStage<'_>]) -> Result<(), StageError> {
        InputStage::one_of(inputs, &["conversation_shards"])
    }

    fn files(&self) -> &[PathBuf] {
        &[]
    }

    fn command(
        &self,
        inputs: &[ProcessInput],
        folder: &Path,
        artefacts: &Artefacts,
    ) -> Result<Command, StageError> {
        let config = folder.join("train.toml");
        fs::write(&config, &self.config)
            .map_err(|error| StageError::Engine(format!("cannot write `{}`: {error}", config.display())))?;
        let base = self.base.folder(artefacts)?;
        let mut command = Command::new("gristmill-train");
        command
            .args(["sft", "--resume", "--device", &self.device])
            .arg("--config")
            .arg(config)
            .arg("--base")
            .arg(base)
            .arg("--shards")
            .arg(only(inputs)?)
            .arg("--out")
            .arg(folder);
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn built(folder: &Path, base: &Value) -> Result<Box<dyn Process>, StageError> {
        fs::write(folder.join("t.toml"), "[train]\nsteps = 10\n").unwrap();
        let config: Sft = serde_json::from_value(json!({
            "base": base, "config": "t.toml", "overrides": {"train": {"steps": 3}}
        }))
        .unwrap();
        match config.build(&BuildContext { base: folder.to_owned(), seed: 0 })? {
            Runtime::Process(process) => Ok(process),
            _ => panic!("a process"),
        }
    }

    fn inputs() -> Vec<ProcessInput> {
        vec![ProcessInput { stage: "in".into(), folder: "/in".into() }]
    }

    #[test]
    fn the_base_is_what_another_stage_left_or_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let artefacts = Artefacts::from([("pretrain".to_owned(), PathBuf::from("/store/pretrain"))]);
        fs::create_dir(folder.path().join("mine")).unwrap();
        let mine = folder.path().join("mine").to_str().unwrap().to_owned();
        for (base, expected) in
            [(json!({"stage": "pretrain"}), "/store/pretrain".to_owned()), (json!("mine"), mine)]
        {
            let process = built(folder.path(), &base).unwrap();
            let command = process.command(&inputs(), folder.path(), &artefacts).unwrap();
            let arguments: Vec<_> = command.get_args().map(|argument| argument.to_str().unwrap()).collect();
            assert_eq!(arguments[..4], ["sft", "--resume", "--device", "cpu"]);
            let after = |name: &str| arguments[arguments.iter().position(|word| *word == name).unwrap() + 1];
            assert_eq!((after("--base"), after("--shards")), (expected.as_str(), "/in"));
            assert_eq!(fs::read_to_string(after("--config")).unwrap().trim(), "[train]\nsteps = 3");
        }
    }

    #[test]
    fn a_base_that_is_not_there_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let message = built(folder.path(), &json!("gone")).err().unwrap().to_string();
        assert!(message.contains("`base = \"gone\"` is no folder"), "{message}");
        let process = built(folder.path(), &json!({"stage": "pretrain"})).unwrap();
        let message = process.command(&inputs(), folder.path(), &Artefacts::new()).unwrap_err().to_string();
        assert!(message.contains("`pretrain` left nothing"), "{message}");
    }
}
