//! `eval`: what a model of the recipe scores, by `gristmill-train`.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_yaml_ng::Value;

use crate::pretrain::default_device;
use crate::stage::{
    ArtefactRef, Artefacts, BuildContext, Declares, Found, InputStage, Process, ProcessInput, Reason,
    Runtime, Shape, StageConfig, StageError, only,
};

/// Measures the model of the stage above (`pretrain` or `sft`): scores on tasks, loss and bits per byte on held-out
/// shards, with 95 % intervals. Leaves `results.json` and `results.txt`, the same as a table.
///
/// Runs `gristmill-train eval` as a process of its own. It runs again when the model, a task file or a data file that
/// one names has changed, and nothing else does then.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Eval {
    /// Task files in lm-evaluation-harness's format, or folders of them, relative to the recipe.
    #[serde(default)]
    pub tasks: Vec<String>,
    /// Where the tasks' data files lie, relative to the recipe. Default: beside each task file.
    #[serde(default)]
    pub data: Option<String>,
    /// Ask about at most so many documents of each task; 0 asks about all.
    #[serde(default)]
    pub limit: usize,
    /// Ask a chat model as its user would: a task's text becomes a user's turn, in the template that the model was
    /// fine-tuned with. Off, the text stands bare, as for a base model.
    #[serde(default)]
    pub chat: bool,
    /// Held-out text: `{ stage = "token_shards" }`, or a folder of shards, relative to the recipe.
    #[serde(default)]
    pub shards: Option<ArtefactRef>,
    /// Score at most so many tokens of the shards; 0 scores the whole validation split.
    #[serde(default)]
    pub tokens: u64,
    /// Where it runs: `cpu`, `wgpu`, `cuda:0`, or `auto` for the first card that answers, else the CPU.
    #[serde(default = "default_device")]
    pub device: String,
}

impl StageConfig for Eval {
    const KIND: &'static str = "eval";
    const VERSION: u32 = 1;
    const SHAPE: Shape = Shape::Process;
    const REASONS: &'static [Reason] = &[];

    fn declares(&self) -> Declares {
        let mut files = self.tasks.clone();
        if let Some(ArtefactRef::Named(shards)) = &self.shards {
            files.push(shards.clone());
        }
        Declares { files, artefacts: self.shards.iter().cloned().collect(), ..Declares::default() }
    }

    fn build(&self, context: &BuildContext) -> Result<Runtime, StageError> {
        if self.tasks.is_empty() && self.shards.is_none() {
            return Err(StageError::Config(
                "nothing to measure: give `tasks = [\"eval/arithmetic.yaml\"]`, or `shards = { stage = \"token_shards\" }`"
                    .into(),
            ));
        }
        let shards = self.shards.as_ref().map(|shards| {
            Found::resolve(shards, context).map_err(|name| {
                StageError::Config(format!(
                    "`shards = \"{name}\"` is no folder; name that of token shards, or a stage: `shards = {{ stage = \"token_shards\" }}`"
                ))
            })
        });
        let data = self.data.as_ref().map(|data| context.resolve(data));
        let mut tasks = Vec::new();
        for task in &self.tasks {
            tasks.extend(task_files(&context.resolve(task)).map_err(|why| cannot_read(task, &why))?);
        }
        let mut data_files = Vec::new();
        for task in &tasks {
            let text = fs::read_to_string(task).map_err(|why| cannot_read(&task.display(), &why))?;
            let folder = data.as_deref().or(task.parent()).unwrap_or(Path::new("."));
            for name in data_files_of(&text).map_err(|why| cannot_read(&task.display(), &why))? {
                let file = folder.join(&name);
                if !file.is_file() {
                    return Err(StageError::Config(format!(
                        "the task `{}` reads `{name}`, and there is no `{}`; `data = \"FOLDER\"` says where tasks' data lies",
                        task.display(),
                        file.display()
                    )));
                }
                data_files.push(file);
            }
        }
        let shards = shards.transpose()?;
        Ok(Runtime::Process(Box::new(Measuring { config: self.clone(), tasks, data, data_files, shards })))
    }
}

fn cannot_read(task: &dyn Display, why: &dyn Display) -> StageError {
    StageError::Config(format!("cannot read the task `{task}`: {why}"))
}

/// The task file itself, or those of a folder, as `gristmill-train` finds them.
fn task_files(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// The names in a task's `dataset_kwargs.data_files`: one, or one a split. What else a task says is the trainer's to judge.
fn data_files_of(task: &str) -> Result<Vec<String>, serde_yaml_ng::Error> {
    let task: Value = serde_yaml_ng::from_str(task)?;
    let files = task.get("dataset_kwargs").and_then(|kwargs| kwargs.get("data_files"));
    Ok(match files {
        Some(Value::String(name)) => vec![name.clone()],
        Some(Value::Mapping(splits)) => {
            splits.values().filter_map(Value::as_str).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    })
}

struct Measuring {
    config: Eval,
    tasks: Vec<PathBuf>,
    data: Option<PathBuf>,
    data_files: Vec<PathBuf>,
    shards: Option<Found>,
}

impl Process for Measuring {
    fn accepts(&self, inputs: &[InputStage<'_>]) -> Result<(), StageError> {
        InputStage::one_of(inputs, &["pretrain", "sft"])
    }

    fn files(&self) -> &[PathBuf] {
        &self.data_files
    }

    fn command(
        &self,
        inputs: &[ProcessInput],
        folder: &Path,
        artefacts: &Artefacts,
    ) -> Result<Command, StageError> {
        let mut command = Command::new("gristmill-train");
        command.args(["eval", "--device", &self.config.device]).arg("--checkpoint").arg(only(inputs)?);
        if !self.tasks.is_empty() {
            command.arg("--tasks").args(&self.tasks);
            command.args(["--limit", &self.config.limit.to_string()]);
        }
        if let Some(data) = &self.data {
            command.arg("--data").arg(data);
        }
        if self.config.chat {
            command.arg("--chat");
        }
        if let Some(shards) = &self.shards {
            command.arg("--shards").arg(shards.folder(artefacts)?);
            command.args(["--tokens", &self.config.tokens.to_string()]);
        }
        command.arg("--out").arg(folder);
        Ok(command)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TASK: &str =
        "task: t\ndataset_path: json\ndataset_kwargs:\n  data_files: {test: rows.jsonl, train: more.jsonl}\n";

    fn built(folder: &Path, config: serde_json::Value) -> Result<Box<dyn Process>, StageError> {
        let config: Eval = serde_json::from_value(config).unwrap();
        match config.build(&BuildContext { base: folder.to_owned(), seed: 0 })? {
            Runtime::Process(process) => Ok(process),
            _ => panic!("a process"),
        }
    }

    #[test]
    fn tasks_bring_the_files_that_they_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::create_dir(path.join("tasks")).unwrap();
        fs::write(path.join("tasks/b.yaml"), TASK).unwrap();
        fs::write(path.join("tasks/README.md"), "no task").unwrap();
        for name in ["rows.jsonl", "more.jsonl"] {
            fs::write(path.join(name), "{}\n").unwrap();
        }
        let message = built(path, json!({"tasks": ["tasks"]})).err().unwrap().to_string();
        assert!(message.contains("reads `rows.jsonl`") && message.contains("`data = "), "{message}");

        let process =
            built(path, json!({"tasks": ["tasks"], "data": ".", "limit": 9, "chat": true})).unwrap();
        let names: Vec<_> = process.files().iter().map(|file| file.file_name().unwrap()).collect();
        assert_eq!(names, ["rows.jsonl", "more.jsonl"]);
        let inputs = [ProcessInput { stage: "sft".into(), folder: "/store/sft".into() }];
        let command = process.command(&inputs, Path::new("/out"), &Artefacts::new()).unwrap();
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_str().unwrap()).collect();
        assert_eq!(arguments[..5], ["eval", "--device", "cpu", "--checkpoint", "/store/sft"]);
        assert_eq!(arguments[5], "--tasks");
        assert!(arguments[6].ends_with("tasks/b.yaml"), "{arguments:?}");
        assert_eq!(arguments[7..9], ["--limit", "9"]);
        assert!(arguments.ends_with(&["--chat", "--out", "/out"]), "{arguments:?}");
    }

    #[test]
    fn shards_are_another_stages_or_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let process =
            built(folder.path(), json!({"shards": {"stage": "token_shards"}, "tokens": 50})).unwrap();
        let inputs = [ProcessInput { stage: "pretrain".into(), folder: "/store/model".into() }];
        let artefacts = Artefacts::from([("token_shards".to_owned(), PathBuf::from("/store/shards"))]);
        let command = process.command(&inputs, Path::new("/out"), &artefacts).unwrap();
        let arguments: Vec<_> = command.get_args().map(|argument| argument.to_str().unwrap()).collect();
        assert_eq!(arguments[5..9], ["--shards", "/store/shards", "--tokens", "50"]);
        let message = built(folder.path(), json!({"shards": "gone"})).err().unwrap().to_string();
        assert!(message.contains("`shards = \"gone\"` is no folder"), "{message}");
    }

    #[test]
    fn mistakes_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let message = built(folder.path(), json!({})).err().unwrap().to_string();
        assert!(message.contains("nothing to measure"), "{message}");
        let message = built(folder.path(), json!({"tasks": ["gone.yaml"]})).err().unwrap().to_string();
        assert!(message.contains("gone.yaml"), "{message}");
        fs::write(folder.path().join("bad.yaml"), "a: [").unwrap();
        let message = built(folder.path(), json!({"tasks": ["bad.yaml"]})).err().unwrap().to_string();
        assert!(message.contains("cannot read the task") && message.contains("bad.yaml"), "{message}");
        fs::write(folder.path().join("none.yaml"), "task: t\n").unwrap();
        let process = built(folder.path(), json!({"tasks": ["none.yaml"]})).unwrap();
        let shards = [InputStage { id: "token_shards", kind: "token_shards" }];
        let message = process.accepts(&shards).unwrap_err().to_string();
        assert!(message.contains("`pretrain` or `sft`") && message.contains("`token_shards`"), "{message}");
    }
}
