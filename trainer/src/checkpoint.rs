//! A checkpoint: a directory that is written whole or not at all, verified when read, and enough to go on exactly.
//!
//! | file | holds |
//! |---|---|
//! | `model.safetensors` | weights under the names and in the layout of Hugging Face's classes |
//! | `optimizer.safetensors` | the optimiser's moments, in memory layout |
//! | `tokenizer.json` | a copy, so that a checkpoint alone can write text |
//! | `state.json` | step, config, fingerprints, and size and xxh3 of the files above |

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use burn::tensor::{Device, Tensor};
use gristmill_tokenizer::Tokenizer;
use safetensors::tensor::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::config::RunConfig;
use crate::lora::Adapters;
use crate::model::{Model, Parameter, Weights};
use crate::optimizer::{Optimizer, Place, vector};
use crate::step::Training;

#[cfg(target_endian = "big")]
compile_error!("checkpoints are written from memory and are little-endian");

const FORMAT: u32 = 1;
const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const TOKENIZER: &str = "tokenizer.json";
const STATE: &str = "state.json";

/// Kinds of tensors in [`OPTIMIZER`] of a run that learns through adapters, beside their moments.
const BASE: &str = "base";
const VALUE: &str = "value";

/// `state.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Version of this layout.
    pub format: u32,
    /// Optimiser steps done.
    pub step: u64,
    /// Rows of the embedding.
    pub vocabulary: usize,
    /// The run's config with its defaults.
    pub config: RunConfig,
    /// What it was trained on.
    pub data: DataIdentity,
    /// Size and checksum of the other files.
    pub files: BTreeMap<String, Checksum>,
}

/// What a run reads; a checkpoint goes on with nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataIdentity {
    /// [`Tokenizer::hash`].
    pub tokenizer: String,
    /// Hash over the checksums of the token shards.
    pub shards: String,
}

/// Size and content of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    /// Length.
    pub bytes: u64,
    /// XXH3-64 in hexadecimal.
    pub xxh3: String,
}

impl Checksum {
    fn of(content: &[u8]) -> Self {
        Self { bytes: content.len() as u64, xxh3: format!("{:016x}", xxh3_64(content)) }
    }
}

/// Writes `training` to the directory `path`, replacing what is there only when the new one is complete.
pub fn save(
    path: &Path,
    training: &Training,
    config: &RunConfig,
    data: &DataIdentity,
    tokenizer_json: &[u8],
) -> Result<()> {
    let parameters = &training.model.parameters;
    let (trained, optimizer) = match &training.adapters {
        None => (parameters, &training.optimizer),
        Some(adapters) => (&adapters.parameters, &adapters.optimizer),
    };
    let moments = [("mean", &optimizer.mean), ("mean_square", &optimizer.mean_square)];
    let moments = moments.into_iter().flat_map(|(kind, tensors)| {
        let remembered = trained.iter().zip(tensors).filter(|(_, t)| t.dims()[0] > 0);
        remembered.map(move |(p, t)| Stored::moment(kind, p, t))
    });
    let adapters = training.adapters.iter().flat_map(|adapters| {
        let base = adapters.targets.iter().map(|&target| &parameters[target]).zip(&adapters.base.0);
        let base = base.map(|(p, t)| Stored::moment(BASE, p, t));
        base.chain(
            adapters.parameters.iter().zip(&adapters.values.0).map(|(p, t)| Stored::moment(VALUE, p, t)),
        )
    });
    let moments = moments.chain(adapters);
    let contents = [
        (MODEL, model_file(&training.model, &training.weights)?),
        (OPTIMIZER, serialize(moments)?),
        (TOKENIZER, tokenizer_json.to_vec()),
    ];
    let about = (training.step, training.model.vocabulary);
    write(path, &contents, about, config, data)
        .with_context(|| format!("cannot write the checkpoint `{}`", path.display()))
}

/// As [`save`], of a model that was trained elsewhere: it writes text and is fine-tuned, but its training cannot go on.
pub fn save_model(
    path: &Path,
    (model, weights): (&Model, &Weights),
    config: &RunConfig,
    data: &DataIdentity,
    tokenizer_json: Option<&[u8]>,
) -> Result<()> {
    let mut contents = vec![(MODEL, model_file(model, weights)?)];
    contents.extend(tokenizer_json.map(|json| (TOKENIZER, json.to_vec())));
    write(path, &contents, (0, model.vocabulary), config, data)
        .with_context(|| format!("cannot write the checkpoint `{}`", path.display()))
}

/// The content of `model.safetensors`: names and layout are those of Hugging Face's classes.
pub fn model_file(model: &Model, weights: &Weights) -> Result<Vec<u8>> {
    serialize(model.parameters.iter().zip(&weights.0).map(|(p, w)| Stored::weight(p, w)))
}

fn write(
    path: &Path,
    contents: &[(&str, Vec<u8>)],
    (step, vocabulary): (u64, usize),
    config: &RunConfig,
    data: &DataIdentity,
) -> Result<()> {
    let state = State {
        format: FORMAT,
        step,
        vocabulary,
        config: config.clone(),
        data: data.clone(),
        files: contents.iter().map(|(name, bytes)| ((*name).to_owned(), Checksum::of(bytes))).collect(),
    };

    let partial = sibling(path, "partial");
    remove(&partial)?;
    fs::create_dir_all(&partial)?;
    for (name, bytes) in contents {
        write_file(&partial.join(name), bytes)?;
    }
    let mut json = serde_json::to_vec_pretty(&state)?;
    json.push(b'\n');
    write_file(&partial.join(STATE), &json)?;
    sync_directory(&partial)?;

    // A directory cannot replace another in one call. Between the two renames only `old` exists, which `latest`
    // knows about.
    let old = sibling(path, "old");
    if path.exists() {
        remove(&old)?;
        fs::rename(path, &old)?;
    }
    fs::rename(&partial, path)?;
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        sync_directory(parent)?;
    }
    remove(&old)
}

/// The complete checkpoint at `path`, or the one that a killed [`save`] had moved aside.
pub fn latest(path: &Path) -> Option<PathBuf> {
    [path.to_owned(), sibling(path, "old")].into_iter().find(|path| path.join(STATE).exists())
}

/// As [`latest`], after clearing away what a killed [`save`] had left beside it. For the process that writes here.
pub fn recover(path: &Path) -> Result<Option<PathBuf>> {
    let Some(found) = latest(path) else { return Ok(None) };
    if found != path {
        // Without its state it is what is left of a directory that was being removed.
        remove(path)?;
        fs::rename(&found, path).with_context(|| format!("cannot rename `{}`", found.display()))?;
    }
    for suffix in ["partial", "old"] {
        remove(&sibling(path, suffix))?;
    }
    Ok(Some(path.to_owned()))
}

/// A checkpoint whose files have been read and verified.
pub struct Checkpoint {
    /// `state.json`.
    pub state: State,
    path: PathBuf,
}

impl Checkpoint {
    /// Reads `state.json`.
    pub fn open(path: &Path) -> Result<Self> {
        let file = path.join(STATE);
        let json = fs::read(&file)
            .with_context(|| format!("`{}` is not a checkpoint: cannot read its {STATE}", path.display()))?;
        let state: State =
            serde_json::from_slice(&json).with_context(|| format!("`{}` is damaged", file.display()))?;
        ensure!(
            state.format == FORMAT,
            "`{}` has format {}, and this version reads {FORMAT}",
            file.display(),
            state.format
        );
        // Values that a damaged or hostile file could hold are checked as any config's.
        RunConfig::parse(&state.config.to_toml()?, &[])
            .with_context(|| format!("in the config of `{}`", file.display()))?;
        Ok(Self { state, path: path.to_owned() })
    }

    /// The model and its weights.
    pub fn model(&self, device: &Device) -> Result<(Model, Weights)> {
        let content = self.file(MODEL)?;
        let file = self.path.join(MODEL);
        let tensors = SafeTensors::deserialize(&content)
            .with_context(|| format!("`{}` is not a safetensors file", file.display()))?;
        let model = Model::new(&self.state.config.model, self.state.vocabulary);
        ensure!(
            tensors.len() == model.parameters.len(),
            "`{}` holds {} tensors, and the model has {}",
            file.display(),
            tensors.len(),
            model.parameters.len()
        );
        let values = model.parameters.iter().map(|parameter| {
            let mut shape = parameter.shape.clone();
            if parameter.transposed_on_disk {
                shape.reverse();
            }
            let values = read(&tensors, &parameter.name, &shape)
                .with_context(|| format!("in `{}`", file.display()))?;
            let values =
                if parameter.transposed_on_disk { transpose(&values, shape[0], shape[1]) } else { values };
            Ok(vector(values, device))
        });
        let weights = Weights(values.collect::<Result<_>>()?);
        Ok((model, weights))
    }

    /// Checksum of the weights.
    pub fn weights_checksum(&self) -> String {
        self.state.files.get(MODEL).map(|checksum| checksum.xxh3.clone()).unwrap_or_default()
    }

    /// The content of `tokenizer.json`; `None` where the model came without one.
    pub fn tokenizer_json(&self) -> Result<Option<Vec<u8>>> {
        self.state.files.contains_key(TOKENIZER).then(|| self.file(TOKENIZER)).transpose()
    }

    /// The tokenizer that the model was trained with.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        let file = self.path.join(TOKENIZER);
        let tokenizer = Tokenizer::from_json(&self.file(TOKENIZER)?)
            .with_context(|| format!("in `{}`", file.display()))?;
        // Published models may have more rows than tokens: sizes that suit the hardware.
        ensure!(
            tokenizer.vocab_size() <= self.state.vocabulary,
            "`{}` has {} tokens, and the model {}",
            file.display(),
            tokenizer.vocab_size(),
            self.state.vocabulary
        );
        Ok(tokenizer)
    }

    /// Everything that training goes on with.
    pub fn training(&self, device: Device, place: Place) -> Result<Training> {
        let (model, weights) = self.model(&device)?;
        let config = &self.state.config;
        let mut optimizer = Optimizer::new(&config.train, &[], &device);
        let mut adapters = match config.sft.as_ref().and_then(|sft| sft.lora.as_ref()) {
            None => None,
            Some(lora) => Some(Adapters::new(&model, &weights, lora, &config.train, &device)?),
        };
        let content = self.file(OPTIMIZER)?;
        let file = self.path.join(OPTIMIZER);
        let tensors = SafeTensors::deserialize(&content)
            .with_context(|| format!("`{}` is not a safetensors file", file.display()))?;
        let stored = |kind: &str, parameter: &Parameter| -> Result<Tensor<1>> {
            let values = read(&tensors, &moment_name(kind, parameter), &[parameter.len()])
                .with_context(|| format!("in `{}`", file.display()))?;
            Ok(vector(values, &device))
        };
        let all = |kind: &str, parameters: &[Parameter]| -> Result<Vec<Tensor<1>>> {
            parameters.iter().map(|parameter| stored(kind, parameter)).collect()
        };
        if let Some(adapters) = &mut adapters {
            let targets = adapters.targets.iter().map(|&target| stored(BASE, &model.parameters[target]));
            adapters.base = Weights(targets.collect::<Result<_>>()?);
            adapters.values = Weights(all(VALUE, &adapters.parameters)?);
            adapters.optimizer.mean = all("mean", &adapters.parameters)?;
            adapters.optimizer.mean_square = all("mean_square", &adapters.parameters)?;
        } else {
            optimizer.mean = all("mean", &model.parameters)?;
            let square = |parameter: &Parameter| match optimizer.squares(parameter) {
                0 => Ok(Tensor::zeros([0], &device)),
                _ => stored("mean_square", parameter),
            };
            optimizer.mean_square = model.parameters.iter().map(square).collect::<Result<_>>()?;
        }
        let mut training = Training::resumed(model, weights, optimizer, self.state.step, (device, place));
        training.adapters = adapters;
        Ok(training)
    }

    /// Errors, naming each difference, where going on would not be the same run.
    pub fn ensure_same_run(&self, config: &RunConfig, vocabulary: usize, data: &DataIdentity) -> Result<()> {
        let then = (&self.state.config, self.state.vocabulary, &self.state.data);
        let differences =
            differences(then, (config, vocabulary, data), ("in the checkpoint", "now"), &WITHOUT_EFFECT)?;
        ensure!(
            differences.is_empty(),
            "the checkpoint `{}` belongs to another run and cannot go on here:\n  {}\nhint: undo the change, or \
             start afresh in another --out",
            self.path.display(),
            differences.join("\n  ")
        );
        Ok(())
    }

    fn file(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.path.join(name);
        let content = fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let Some(expected) = self.state.files.get(name) else {
            bail!("`{}` does not list `{name}`", self.path.join(STATE).display());
        };
        ensure!(
            Checksum::of(&content) == *expected,
            "`{}` is damaged: its {} bytes do not have the checksum in {STATE}",
            path.display(),
            content.len()
        );
        Ok(content)
    }
}

/// Keys of `[train]` that change no weight.
const WITHOUT_EFFECT: [&str; 5] =
    ["eval_every", "checkpoint_every", "val_tokens", "log_every", "peak_tflops"];

/// Every difference between what two runs do, in a line: `train.seed: 1 THERE, 2 HERE`. `ignored` are keys of `[train]`.
pub(crate) fn differences(
    then: (&RunConfig, usize, &DataIdentity),
    now: (&RunConfig, usize, &DataIdentity),
    (there, here): (&str, &str),
    ignored: &[&str],
) -> Result<Vec<String>> {
    let mut differences = Vec::new();
    let mut compare = |name: &str, then: &dyn std::fmt::Display, now: &dyn std::fmt::Display| {
        let (then, now) = (then.to_string(), now.to_string());
        if then != now {
            differences.push(format!("{name}: {then} {there}, {now} {here}"));
        }
    };
    compare("tokenizer", &then.2.tokenizer, &now.2.tokenizer);
    compare("shards", &then.2.shards, &now.2.shards);
    compare("vocabulary", &then.1, &now.1);
    let kind = |config: &RunConfig| if config.sft.is_some() { "a chat model" } else { "a base model" };
    compare("kind", &kind(then.0), &kind(now.0));
    let (then, now) = (comparable(then.0, ignored)?, comparable(now.0, ignored)?);
    for (section, values) in &then {
        let others = now.get(section).and_then(toml::Value::as_table);
        let (Some(values), Some(others)) = (values.as_table(), others) else { continue };
        for (key, value) in values {
            match others.get(key) {
                Some(other) => compare(&format!("{section}.{key}"), value, other),
                None => compare(&format!("{section}.{key}"), value, &"nothing"),
            }
        }
        for (key, other) in others.iter().filter(|(key, _)| !values.contains_key(*key)) {
            compare(&format!("{section}.{key}"), &"nothing", other);
        }
    }
    Ok(differences)
}

/// What decides the weights, as tables of `[model]` and `[train]`.
fn comparable(config: &RunConfig, ignored: &[&str]) -> Result<toml::Table> {
    let resolved = RunConfig { model: config.model.resolved(), ..config.clone() };
    let mut table = toml::Table::try_from(resolved)?;
    table.remove("sample");
    if let Some(train) = table.get_mut("train").and_then(toml::Value::as_table_mut) {
        for key in ignored {
            train.remove(*key);
        }
    }
    Ok(table)
}

/// One tensor on its way into a file.
struct Stored {
    name: String,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Stored {
    fn weight(parameter: &Parameter, tensor: &Tensor<1>) -> Self {
        let values = floats(tensor);
        if parameter.transposed_on_disk {
            let (rows, columns) = (parameter.shape[0], parameter.shape[1]);
            Self::new(parameter.name.clone(), vec![columns, rows], &transpose(&values, rows, columns))
        } else {
            Self::new(parameter.name.clone(), parameter.shape.clone(), &values)
        }
    }

    fn moment(kind: &str, parameter: &Parameter, tensor: &Tensor<1>) -> Self {
        Self::new(moment_name(kind, parameter), vec![parameter.len()], &floats(tensor))
    }

    fn new(name: String, shape: Vec<usize>, values: &[f32]) -> Self {
        Self { name, shape, bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect() }
    }
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

fn serialize(tensors: impl Iterator<Item = Stored>) -> Result<Vec<u8>> {
    // transformers refuses a file that does not say which framework's layout it has.
    let metadata = [("format".to_owned(), "pt".to_owned())].into();
    Ok(safetensors::serialize(tensors.map(|tensor| (tensor.name.clone(), tensor)), Some(metadata))?)
}

fn moment_name(kind: &str, parameter: &Parameter) -> String {
    format!("{kind}.{}", parameter.name)
}

fn floats(tensor: &Tensor<1>) -> Vec<f32> {
    tensor.to_data().try_into_vec::<f32>().expect("weights and moments are f32")
}

fn read(tensors: &SafeTensors<'_>, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    let tensor = tensors.tensor(name).with_context(|| format!("no tensor `{name}`"))?;
    ensure!(
        tensor.dtype() == Dtype::F32 && tensor.shape() == shape,
        "tensor `{name}` is {:?} {:?}, expected F32 {shape:?}",
        tensor.dtype(),
        tensor.shape()
    );
    let words = tensor.data().chunks_exact(4);
    Ok(words.map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect())
}

/// (rows, columns) row-major -> (columns, rows) row-major.
pub fn transpose(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| values[row * columns + column])).collect()
}

fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{}`", path.display()))
        }
        _ => Ok(()),
    }
}

fn write_file(path: &Path, content: &[u8]) -> Result<()> {
    let mut file = File::create(path)?;
    file.write_all(content)?;
    file.sync_all()?;
    Ok(())
}

fn sync_directory(path: &Path) -> Result<()> {
    // Windows cannot open a directory as a file, and needs no such call.
    if cfg!(unix) {
        File::open(path)?.sync_all()?;
    }
    Ok(())
}
