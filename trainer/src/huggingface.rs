//! Models in Hugging Face's layout: a folder with `config.json`, `model.safetensors` (or its shards) and `tokenizer.json`.
//!
//! Names and layouts of tensors are those of checkpoints already (see [`Parameter`]), so that most of the work is the
//! config: everything in it that would make the model compute something else is read or refused by name.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::{Map, Value, json};

use crate::checkpoint::transpose;
use crate::config::{Activation, Gelu, ModelConfig, ModelKind, RopeScaling, RunConfig};
use crate::model::{Model, Parameter};

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const TOKENIZER: &str = "tokenizer.json";

/// A model that was read.
pub struct Pretrained {
    /// Its structure.
    pub model: Model,
    /// Its values in memory layout, in the order of [`Model::parameters`].
    pub values: Vec<Vec<f32>>,
    /// `tokenizer.json`, where there is one.
    pub tokenizer_json: Option<Vec<u8>>,
}

/// Reads a model of GPT-2's or Llama's family.
pub fn read(folder: &Path) -> Result<Pretrained> {
    let path = folder.join(CONFIG);
    let text = fs::read_to_string(&path)
        .with_context(|| format!("`{}` is no model: cannot read its {CONFIG}", folder.display()))?;
    let (config, vocabulary) = parse_config(&text).with_context(|| format!("in `{}`", path.display()))?;
    let files = weight_files(folder)?;
    let contents = files
        .iter()
        .map(|path| fs::read(path).with_context(|| format!("cannot read `{}`", path.display())))
        .collect::<Result<Vec<_>>>()?;
    let mut tensors = BTreeMap::new();
    for (path, content) in files.iter().zip(&contents) {
        let file = SafeTensors::deserialize(content)
            .with_context(|| format!("`{}` is not a safetensors file", path.display()))?;
        tensors.extend(file.tensors());
    }
    ensure!(
        config.layers <= tensors.len(),
        "`{}` holds {} tensors, fewer than the {} layers of its {CONFIG}",
        folder.display(),
        tensors.len(),
        config.layers
    );
    let model = Model::new(&config, vocabulary);
    let values =
        take(&model, &tensors).with_context(|| format!("in the weights of `{}`", folder.display()))?;
    let tokenizer = folder.join(TOKENIZER);
    let tokenizer_json = tokenizer
        .exists()
        .then(|| fs::read(&tokenizer).with_context(|| format!("cannot read `{}`", tokenizer.display())))
        .transpose()?;
    Ok(Pretrained { model, values, tokenizer_json })
}

/// `model.safetensors`, or the files that its index names.
fn weight_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let index = folder.join(INDEX);
    if folder.join(WEIGHTS).exists() || !index.exists() {
        return Ok(vec![folder.join(WEIGHTS)]);
    }
    let json = fs::read(&index).with_context(|| format!("cannot read `{}`", index.display()))?;
    let json: Value = serde_json::from_slice(&json).with_context(|| format!("in `{}`", index.display()))?;
    let map =
        json["weight_map"].as_object().with_context(|| format!("`{}` has no weight_map", index.display()))?;
    let names: BTreeSet<&str> = map.values().filter_map(Value::as_str).collect();
    let file = |name: &str| {
        // Another folder's files are none of this model's business.
        ensure!(!name.contains(['/', '\\']), "`{}` names `{name}`, outside its folder", index.display());
        Ok(folder.join(name))
    };
    names.into_iter().map(file).collect()
}

/// Values of every parameter, and an error where a tensor is missing or left over.
fn take(model: &Model, tensors: &BTreeMap<String, TensorView<'_>>) -> Result<Vec<Vec<f32>>> {
    let mut unread: BTreeSet<&str> = tensors.keys().map(String::as_str).collect();
    let mut find = |name: &str| {
        // Published files of the bare decoder lack the prefix.
        let short = name.split_once('.').map_or(name, |(_, rest)| rest);
        let found = [name, short].into_iter().find(|name| tensors.contains_key(*name))?;
        unread.remove(found);
        tensors.get(found)
    };
    let mut values = Vec::with_capacity(model.parameters.len());
    for parameter in &model.parameters {
        let tensor = find(&parameter.name).with_context(|| format!("no tensor `{}`", parameter.name))?;
        values.push(load(parameter, tensor)?);
    }
    if model.config.tied()
        && let Some(head) = find("lm_head.weight")
    {
        let head = floats("lm_head.weight", head)?;
        ensure!(
            head == values[model.head_index()],
            "`lm_head.weight` differs from the embedding, although tie_word_embeddings says that they are one"
        );
    }
    // Constants that older versions saved along: causal masks and rotary frequencies.
    let constants = [".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq"];
    unread.retain(|name| !constants.iter().any(|end| name.ends_with(end)));
    ensure!(
        unread.is_empty(),
        "unknown tensors, which this model would ignore: {}",
        unread.iter().take(5).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    );
    Ok(values)
}

fn load(parameter: &Parameter, tensor: &TensorView<'_>) -> Result<Vec<f32>> {
    let mut shape = parameter.shape.clone();
    if parameter.transposed_on_disk {
        shape.reverse();
    }
    ensure!(
        tensor.shape() == shape,
        "tensor `{}` is {:?}, expected {shape:?}",
        parameter.name,
        tensor.shape()
    );
    let values = floats(&parameter.name, tensor)?;
    Ok(if parameter.transposed_on_disk { transpose(&values, shape[0], shape[1]) } else { values })
}

fn floats(name: &str, tensor: &TensorView<'_>) -> Result<Vec<f32>> {
    let data = tensor.data();
    let pairs = || data.chunks_exact(2).map(|pair| [pair[0], pair[1]]);
    Ok(match tensor.dtype() {
        Dtype::F32 => data
            .chunks_exact(4)
            .map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            .collect(),
        Dtype::F16 => pairs().map(|pair| f16::from_le_bytes(pair).to_f32()).collect(),
        Dtype::BF16 => pairs().map(|pair| bf16::from_le_bytes(pair).to_f32()).collect(),
        other => bail!("tensor `{name}` is {other:?}: expected F32, F16 or BF16"),
    })
}

/// A JSON object that remembers what was asked of it, for errors that name the key.
struct Keys<'a>(&'a Map<String, Value>);

impl Keys<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    fn size(&self, key: &str) -> Result<usize> {
        self.size_or_none(key)?.with_context(|| format!("no `{key}`"))
    }

    fn size_or_none(&self, key: &str) -> Result<Option<usize>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
        Ok(Some(size.with_context(|| format!("`{key}` is {value}, expected a whole number"))?))
    }

    fn number(&self, key: &str, default: Option<f64>) -> Result<f64> {
        match self.get(key) {
            None => default.with_context(|| format!("no `{key}`")),
            Some(value) => value.as_f64().with_context(|| format!("`{key}` is {value}, expected a number")),
        }
    }

    fn flag(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => {
                value.as_bool().with_context(|| format!("`{key}` is {value}, expected true or false"))
            }
        }
    }

    fn text<'a>(&'a self, key: &str, default: &'a str) -> Result<&'a str> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => value.as_str().with_context(|| format!("`{key}` is {value}, expected a text")),
        }
    }

    /// Errors unless a switch that changes the model is at the value that this one has.
    fn expect(&self, key: &str, only: bool) -> Result<()> {
        ensure!(self.flag(key, only)? == only, "`{key}` is {}: only {only} is supported", !only);
        Ok(())
    }
}

/// Shape and vocabulary from the text of `config.json`.
fn parse_config(text: &str) -> Result<(ModelConfig, usize)> {
    let json: Value = serde_json::from_str(text)?;
    let keys = Keys(json.as_object().context("expected an object")?);
    let config = match keys.text("model_type", "")? {
        "gpt2" => gpt2_config(&keys)?,
        "llama" => llama_config(&keys)?,
        other => bail!("`model_type` is \"{other}\": expected \"gpt2\" or \"llama\""),
    };
    // As any config's, values are checked by the rules of training configs.
    let run = RunConfig::of(config);
    let config = RunConfig::parse(&run.to_toml()?, &[])?.model;
    let vocabulary = keys.size("vocab_size")?;
    ensure!((1..=1 << 24).contains(&vocabulary), "`vocab_size` is {vocabulary}: must be 1 to {}", 1 << 24);
    Ok((config, vocabulary))
}

fn gpt2_config(keys: &Keys<'_>) -> Result<ModelConfig> {
    keys.expect("scale_attn_weights", true)?;
    keys.expect("scale_attn_by_inverse_layer_idx", false)?;
    keys.expect("add_cross_attention", false)?;
    let (activation, gelu) = match keys.text("activation_function", "gelu_new")? {
        "gelu" => (Activation::Gelu, Gelu::Erf),
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => (Activation::Gelu, Gelu::Tanh),
        "relu2" => (Activation::Relu2, Gelu::default()),
        other => {
            bail!("`activation_function` is \"{other}\": expected \"gelu\", \"gelu_new\" or \"relu2\"")
        }
    };
    Ok(ModelConfig {
        kind: ModelKind::Gpt2,
        layers: keys.size("n_layer")?,
        heads: keys.size("n_head")?,
        kv_heads: None,
        width: keys.size("n_embd")?,
        context: keys.size("n_positions")?,
        mlp_width: keys.size_or_none("n_inner")?,
        activation: Some(activation),
        qk_norm: false,
        softcap: None,
        tied: Some(keys.flag("tie_word_embeddings", true)?),
        gelu,
        rope_theta: 10_000.0,
        rope_scaling: None,
        norm_epsilon: keys.number("layer_norm_epsilon", Some(1e-5))?,
    })
}

fn llama_config(keys: &Keys<'_>) -> Result<ModelConfig> {
    keys.expect("attention_bias", false)?;
    keys.expect("mlp_bias", false)?;
    let activation = keys.text("hidden_act", "silu")?;
    ensure!(activation == "silu", "`hidden_act` is \"{activation}\": only \"silu\" is supported");
    let (width, heads) = (keys.size("hidden_size")?, keys.size("num_attention_heads")?);
    if let Some(head_width) = keys.size_or_none("head_dim")? {
        ensure!(
            head_width.checked_mul(heads) == Some(width),
            "`head_dim` is {head_width}: only hidden_size / num_attention_heads is supported ({width} / {heads})"
        );
    }
    // Newer files have one table for all that rotary positions need.
    let rope = ["rope_parameters", "rope_scaling"].into_iter().find_map(|key| keys.get(key));
    let rope =
        rope.map(|table| table.as_object().context("rotary parameters are not an object")).transpose()?;
    let nothing = Map::new();
    let rope = Keys(rope.unwrap_or(&nothing));
    let theta = rope.number("rope_theta", Some(keys.number("rope_theta", Some(10_000.0))?))?;
    let scaling = match rope.text("rope_type", rope.text("type", "default")?)? {
        "default" => None,
        "llama3" => Some(RopeScaling {
            factor: rope.number("factor", None)?,
            low_frequency_factor: rope.number("low_freq_factor", None)?,
            high_frequency_factor: rope.number("high_freq_factor", None)?,
            original_context: rope.size("original_max_position_embeddings")?,
        }),
        other => bail!("rotary positions are scaled by \"{other}\": expected \"default\" or \"llama3\""),
    };
    Ok(ModelConfig {
        kind: ModelKind::Llama3,
        layers: keys.size("num_hidden_layers")?,
        heads,
        kv_heads: keys.size_or_none("num_key_value_heads")?,
        width,
        context: keys.size("max_position_embeddings")?,
        mlp_width: Some(keys.size("intermediate_size")?),
        activation: None,
        qk_norm: false,
        softcap: None,
        tied: Some(keys.flag("tie_word_embeddings", false)?),
        gelu: Gelu::default(),
        rope_theta: theta,
        rope_scaling: scaling,
        norm_epsilon: keys.number("rms_norm_eps", Some(1e-6))?,
    })
}

/// `config.json` of a model; `boundary` is the token between documents.
pub fn config_json(model: &Model, boundary: Option<u32>) -> Value {
    let config = &model.config;
    let mut json = match config.kind {
        ModelKind::Gpt2 => json!({
            "architectures": ["GPT2LMHeadModel"],
            "model_type": "gpt2",
            "n_layer": config.layers,
            "n_head": config.heads,
            "n_embd": config.width,
            "n_positions": config.context,
            "n_inner": config.mlp_width(),
            "activation_function": match (config.activation(), config.gelu) {
                (Activation::Relu2, _) => "relu2",
                (_, Gelu::Erf) => "gelu",
                (_, Gelu::Tanh) => "gelu_new",
            },
            "layer_norm_epsilon": config.norm_epsilon,
            "embd_pdrop": 0.0,
            "attn_pdrop": 0.0,
            "resid_pdrop": 0.0,
        }),
        ModelKind::Llama3 => {
            let mut rope = json!({"rope_theta": config.rope_theta, "rope_type": "default"});
            if let Some(scaling) = &config.rope_scaling {
                rope = json!({
                    "rope_theta": config.rope_theta,
                    "rope_type": "llama3",
                    "factor": scaling.factor,
                    "low_freq_factor": scaling.low_frequency_factor,
                    "high_freq_factor": scaling.high_frequency_factor,
                    "original_max_position_embeddings": scaling.original_context,
                });
            }
            let mut json = json!({
                "architectures": ["LlamaForCausalLM"],
                "model_type": "llama",
                "num_hidden_layers": config.layers,
                "num_attention_heads": config.heads,
                "num_key_value_heads": config.kv_heads(),
                "hidden_size": config.width,
                "head_dim": config.head_width(),
                "max_position_embeddings": config.context,
                "intermediate_size": config.mlp_width(),
                "hidden_act": "silu",
                "rms_norm_eps": config.norm_epsilon,
                "attention_bias": false,
                "mlp_bias": false,
                // Older readers take the first two of these, newer ones the third.
                "rope_theta": config.rope_theta,
                "rope_parameters": rope,
            });
            if config.rope_scaling.is_some() {
                json["rope_scaling"] = json["rope_parameters"].clone();
            }
            json
        }
    };
    json["vocab_size"] = json!(model.vocabulary);
    json["tie_word_embeddings"] = json!(config.tied());
    json["torch_dtype"] = json!("float32");
    json["bos_token_id"] = json!(boundary);
    json["eos_token_id"] = json!(boundary);
    json
}

/// What [`write()`] writes.
pub struct Export<'a> {
    /// Structure.
    pub model: &'a Model,
    /// The content of `model.safetensors`.
    pub weights: &'a [u8],
    /// The content of `tokenizer.json`, and the token between documents with its text.
    pub tokenizer: Option<(&'a [u8], Option<Boundary<'a>>)>,
}

/// The token between documents, and its text.
pub type Boundary<'a> = (u32, &'a str);

/// Errors, naming every switch of `config` that `reader` knows nothing of and would leave out.
pub fn ensure_published(config: &ModelConfig, reader: &str, activations: &[Activation]) -> Result<()> {
    let mut unknown = Vec::new();
    if config.qk_norm {
        unknown.push("model.qk_norm = true".to_owned());
    }
    if let Some(cap) = config.softcap {
        unknown.push(format!("model.softcap = {cap}"));
    }
    if !activations.contains(&config.activation()) {
        unknown.push(format!("model.activation = \"{}\"", config.activation()));
    }
    ensure!(
        unknown.is_empty(),
        "{reader} would compute something else: it has no {}\nhint: `gristmill-train` samples, chats and evaluates \
         such a model; to export one, train it without",
        unknown.join(", no ")
    );
    Ok(())
}

/// Writes a folder that transformers reads; it must not exist yet.
pub fn write(folder: &Path, export: &Export<'_>) -> Result<()> {
    let config = &export.model.config;
    match config.kind {
        ModelKind::Gpt2 => {
            ensure_published(config, "GPT2LMHeadModel", &[Activation::Gelu, Activation::Relu2])?;
        }
        ModelKind::Llama3 => ensure_published(config, "LlamaForCausalLM", &[Activation::SwiGlu])?,
    }
    ensure!(
        !folder.exists(),
        "`{}` exists: name a new folder, so that no other model's files stay beside this one's",
        folder.display()
    );
    let boundary = export.tokenizer.and_then(|(_, boundary)| boundary);
    let mut files = vec![
        (WEIGHTS, export.weights.to_vec()),
        (CONFIG, pretty(&config_json(export.model, boundary.map(|(id, _)| id)))?),
    ];
    if let Some((json, boundary)) = export.tokenizer {
        files.push((TOKENIZER, json.to_vec()));
        let text = boundary.map(|(_, text)| text);
        let config = json!({
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": export.model.config.context,
            "clean_up_tokenization_spaces": false,
            "bos_token": text,
            "eos_token": text,
        });
        files.push(("tokenizer_config.json", pretty(&config)?));
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
    for (name, content) in files {
        let path = folder.join(name);
        fs::write(&path, content).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(())
}

fn pretty(json: &Value) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(json)?;
    text.push(b'\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LLAMA: &str = r#"{"model_type": "llama", "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "hidden_size": 32, "intermediate_size": 48, "max_position_embeddings": 64,
        "rms_norm_eps": 1e-6, "vocab_size": 11, "rope_theta": 500000.0, "rope_scaling": {"rope_type": "llama3",
        "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16}}"#;
    const GPT2: &str = r#"{"model_type": "gpt2", "n_layer": 2, "n_head": 2, "n_embd": 16, "n_positions": 8,
        "vocab_size": 11, "activation_function": "gelu_new", "n_inner": null}"#;

    #[test]
    fn configs_survive_the_way_out_and_back() {
        let untied = GPT2
            .replace("gelu_new", "relu2")
            .replace("\"n_inner\"", "\"tie_word_embeddings\": false, \"n_inner\"");
        for text in [LLAMA, GPT2, &untied] {
            let (config, vocabulary) = parse_config(text).unwrap();
            let model = Model::new(&config, vocabulary);
            let again = parse_config(&config_json(&model, Some(3)).to_string()).unwrap();
            assert_eq!((model.config, vocabulary), (again.0.resolved(), again.1));
        }
        let (config, _) = parse_config(LLAMA).unwrap();
        assert_eq!(config.rope_scaling.unwrap().original_context, 16);
        assert_eq!(parse_config(GPT2).unwrap().0.gelu, Gelu::Tanh);
        let (config, _) = parse_config(&untied).unwrap();
        assert_eq!((config.activation(), config.tied()), (Activation::Relu2, false));
    }

    #[test]
    fn what_would_change_the_model_is_refused_by_name() {
        let set = |text: &str, key: &str, value: Value| {
            let mut json: Value = serde_json::from_str(text).unwrap();
            json[key] = value;
            format!("{:#}", parse_config(&json.to_string()).unwrap_err())
        };
        for (text, key, value) in [
            (LLAMA, "attention_bias", json!(true)),
            (LLAMA, "hidden_act", json!("gelu")),
            (LLAMA, "head_dim", json!(16)),
            (LLAMA, "num_hidden_layers", json!(-1)),
            (LLAMA, "vocab_size", json!(0)),
            (GPT2, "scale_attn_by_inverse_layer_idx", json!(true)),
            (GPT2, "activation_function", json!("relu")),
            (GPT2, "n_embd", json!("wide")),
            (GPT2, "tie_word_embeddings", json!("no")),
        ] {
            let error = set(text, key, value);
            assert!(error.contains(key), "{key}: {error}");
        }
        assert!(set(GPT2, "model_type", json!("bert")).contains("expected \"gpt2\" or \"llama\""));
        assert!(set(GPT2, "n_head", json!(3)).contains("not a multiple"));
        let yarn = json!({"rope_type": "yarn", "factor": 2.0});
        assert!(set(LLAMA, "rope_scaling", yarn).contains("yarn"));
    }
}
