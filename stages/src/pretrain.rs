//! `pretrain`: a language model from token shards, by `gristmill-train`.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::stage::{
    Artefacts, BuildContext, Declares, InputStage, Process, ProcessInput, Reason, Runtime, Shape,
    StageConfig, StageError,
};

/// Pretrains a language model on the token shards of the stage above and keeps its checkpoint, metrics and sample.
///
/// Several sources: `input = ["web", "books"]` names the stages, and the configuration's `mixture` says how much of each
/// (`overrides.mixture = [{ name = "web", weight = 3.0 }, { name = "books", max_epochs = 2 }]`): `weight` is the source's share
/// of the rows over the sum of all, `max_epochs` how often it is read at most. All must have one tokenizer.
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
    /// Where it runs: `cpu`, `wgpu`, `cuda:0`, or `auto` for the first card that answers, else the CPU.
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
        let mixture = mixture(&config)
            .map_err(|why| StageError::Config(format!("training configuration `{}`: {why}", self.config)))?;
        Ok(Runtime::Process(Box::new(Pretraining { config, mixture, device: self.device.clone() })))
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

/// The names of the sources in a training configuration's `[[mixture]]`; none where one source is read.
fn mixture(config: &str) -> Result<Vec<String>, String> {
    let table: toml::Table = toml::from_str(config).map_err(|error| error.to_string())?;
    let Some(sources) = table.get("mixture") else { return Ok(Vec::new()) };
    let names = sources.as_array().map(|sources| {
        sources.iter().map(|source| source.get("name")?.as_str().map(str::to_owned)).collect::<Option<_>>()
    });
    names.flatten().ok_or_else(|| "each source of the `mixture` needs a `name`".into())
}

struct Pretraining {
    config: String,
    mixture: Vec<String>,
    device: String,
}

impl Process for Pretraining {
    fn accepts(&self, inputs: &[InputStage<'_>]) -> Result<(), StageError> {
        let kinds = ["token_shards", "conversation_shards"];
        if self.mixture.is_empty() && inputs.len() > 1 {
            let names: Vec<_> = inputs.iter().map(|input| format!("{{ name = {:?} }}", input.id)).collect();
            return Err(StageError::Config(format!(
                "it reads {} stages, and nothing says how to mix them: `overrides.mixture = [{}]`",
                inputs.len(),
                names.join(", ")
            )));
        }
        if let Some(name) = self.mixture.iter().find(|name| inputs.iter().all(|input| input.id != **name)) {
            return Err(StageError::Config(format!(
                "the `mixture` has a source `{name}`, and no input is called that: `input = {:?}`",
                self.mixture
            )));
        }
        inputs.iter().try_for_each(|input| {
            if !self.mixture.is_empty() && !self.mixture.iter().any(|name| name == input.id) {
                return Err(StageError::Config(format!(
                    "the `mixture` does not say how much of its input `{0}` to read: add `{{ name = \"{0}\" }}`",
                    input.id
                )));
            }
            InputStage::one_of(&[*input], &kinds)
        })
    }

    fn files(&self) -> &[PathBuf] {
        &[]
    }

    fn command(&self, inputs: &[ProcessInput], folder: &Path, _: &Artefacts) -> Result<Command, StageError> {
        let first = inputs.first().ok_or_else(|| StageError::Engine("nothing to read".into()))?;
        let config: PathBuf = folder.join("train.toml");
        fs::write(&config, &self.config)
            .map_err(|error| StageError::Engine(format!("cannot write `{}`: {error}", config.display())))?;
        let mut command = Command::new("gristmill-train");
        command
            .args(["pretrain", "--resume", "--device", &self.device])
            .arg("--config")
            .arg(config)
            .arg("--tokenizer")
            .arg(first.folder.join("tokenizer.json"))
            .arg("--out")
            .arg(folder);
        for input in inputs {
            // The trainer asks for names exactly where there is a mixture.
            let name = if self.mixture.is_empty() { String::new() } else { format!("{}=", input.stage) };
            let mut source = OsString::from(name);
            source.push(&input.folder);
            command.arg("--shards").arg(source);
        }
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn inputs(stages: &[&str]) -> Vec<ProcessInput> {
        let of = |stage: &&str| ProcessInput {
            stage: (*stage).to_owned(),
            folder: PathBuf::from(format!("/store/{stage}")),
        };
        stages.iter().map(of).collect()
    }

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
        let command = process.command(&inputs(&["in"]), folder.path(), &Artefacts::new()).unwrap();
        assert!(command.get_args().any(|argument| argument == "/store/in/tokenizer.json"));
        assert!(command.get_args().any(|argument| argument == "/store/in"));
        let written: toml::Table =
            toml::from_str(&fs::read_to_string(folder.path().join("train.toml")).unwrap()).unwrap();
        assert_eq!(
            serde_json::to_value(written).unwrap(),
            json!({"train": {"steps": 3, "seed": 1}, "model": {"width": 8}, "sample": {"tokens": 9}})
        );
    }

    #[test]
    fn a_mixture_names_its_inputs() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("t.toml"), "[train]\nsteps = 10\n").unwrap();
        let build = |overrides: Value| -> Result<Box<dyn Process>, StageError> {
            let config = json!({"config": "t.toml", "overrides": overrides});
            let config: Pretrain = serde_json::from_value(config).unwrap();
            match config.build(&BuildContext { base: folder.path().to_owned(), seed: 0 })? {
                Runtime::Process(process) => Ok(process),
                _ => panic!("a process"),
            }
        };
        let mixed = build(json!({"mixture": [{"name": "web", "weight": 3.0}, {"name": "books"}]})).unwrap();
        let command = mixed.command(&inputs(&["books", "web"]), folder.path(), &Artefacts::new()).unwrap();
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_str().unwrap()).collect();
        assert!(arguments.ends_with(&["--shards", "books=/store/books", "--shards", "web=/store/web"]));

        let stages = |ids: &[&'static str]| {
            ids.iter().map(|id| InputStage { id, kind: "token_shards" }).collect::<Vec<_>>()
        };
        let wrong = |process: &dyn Process, ids: &[&'static str]| {
            process.accepts(&stages(ids)).unwrap_err().to_string()
        };
        mixed.accepts(&stages(&["books", "web"])).unwrap();
        let message = wrong(&*mixed, &["web"]);
        assert!(message.contains("`input = [\"web\", \"books\"]`"), "{message}");
        let message = wrong(&*mixed, &["web", "books", "code"]);
        assert!(message.contains("add `{ name = \"code\" }`"), "{message}");
        let plain = build(json!({})).unwrap();
        plain.accepts(&stages(&["web"])).unwrap();
        let message = wrong(&*plain, &["web", "books"]);
        assert!(message.contains("[{ name = \"web\" }, { name = \"books\" }]"), "{message}");
        let message = plain.accepts(&[InputStage { id: "x", kind: "sft" }]).unwrap_err().to_string();
        assert!(message.contains("`x` is a `sft`"), "{message}");
        let message = build(json!({"mixture": [{"weight": 3.0}]})).err().unwrap().to_string();
        assert!(message.contains("`t.toml`") && message.contains("`name`"), "{message}");
    }

    #[test]
    fn a_missing_configuration_is_named() {
        let config: Pretrain = serde_json::from_value(json!({"config": "gone.toml"})).unwrap();
        let error = config.build(&BuildContext { base: PathBuf::from("/nowhere"), seed: 0 }).err().unwrap();
        assert!(error.to_string().contains("`gone.toml`"), "{error}");
    }
}
