//! GGUF, the file that llama.cpp and its relatives run: metadata, vocabulary and weights in one.
//!
//! Layout of version 3: `GGUF`, version, numbers of tensors and of metadata entries, the entries, then name, shape, type and
//! offset of each tensor, then the data, each tensor at a multiple of 32 bytes. Shapes list the fastest dimension first.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use gristmill_tokenizer::{Pattern, Tokenizer};
use half::f16;
use serde_json::Value;

use crate::checkpoint::transpose;
use crate::config::{Activation, Gelu, ModelConfig, ModelKind};
use crate::huggingface::ensure_published;
use crate::model::{Model, Parameter, rotary_frequencies};

const ALIGNMENT: usize = 32;
/// Values that share a scale in Q8_0.
const Q8_BLOCK: usize = 32;

/// How matrices are stored; vectors and positions are f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Half precision: 2 bytes a value.
    F16,
    /// A byte a value, and an f16 scale for each 32 of a row.
    Q8_0,
}

/// The type of one tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    F32 = 0,
    F16 = 1,
    Q8_0 = 8,
}

impl Kind {
    fn bytes(self, values: usize) -> usize {
        match self {
            Self::F32 => 4 * values,
            Self::F16 => 2 * values,
            Self::Q8_0 => values / Q8_BLOCK * (2 + Q8_BLOCK),
        }
    }
}

/// One tensor under its name in GGUF.
struct Stored<'a> {
    name: String,
    /// Rows and columns of a matrix, or the length of a vector.
    shape: Vec<usize>,
    kind: Kind,
    source: Source<'a>,
}

/// Where a tensor's values come from.
enum Source<'a> {
    Parameter(&'a Parameter, &'a [f32], Rows),
    Computed(Vec<f32>),
}

/// The order of a matrix's rows.
#[derive(Clone, Copy)]
enum Rows {
    Same,
    /// Rotary pairs stand side by side in each head of this width, not half a head apart.
    Paired(usize),
}

impl Stored<'_> {
    /// The values in the order of the file.
    fn values(&self) -> Vec<f32> {
        match &self.source {
            Source::Computed(values) => values.clone(),
            Source::Parameter(parameter, values, order) => {
                let shape = &parameter.shape;
                // Embeddings lie as in memory, linear layers as (outputs, inputs).
                let values = if is_linear(parameter) {
                    transpose(values, shape[0], shape[1])
                } else {
                    values.to_vec()
                };
                match order {
                    Rows::Same => values,
                    Rows::Paired(d) => paired(&values, shape[0], *d),
                }
            }
        }
    }
}

/// Rows of rotary pairs (i, i + D/2) of each head as (2i, 2i + 1).
fn paired(values: &[f32], width: usize, d: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(values.len());
    for head in values.chunks_exact(d * width) {
        for i in 0..d / 2 {
            for row in [i, i + d / 2] {
                out.extend_from_slice(&head[row * width..(row + 1) * width]);
            }
        }
    }
    out
}

fn is_linear(parameter: &Parameter) -> bool {
    parameter.shape.len() == 2
        && !["wte.weight", "wpe.weight", "embed_tokens.weight", "lm_head.weight"]
            .iter()
            .any(|name| parameter.name.ends_with(name))
}

/// GGUF's name for a parameter, under Hugging Face's.
fn name_of(parameter: &str) -> String {
    const NAMES: [(&str, &str); 21] = [
        ("ln_1", "attn_norm"),
        ("attn.c_attn", "attn_qkv"),
        ("attn.c_proj", "attn_output"),
        ("ln_2", "ffn_norm"),
        ("mlp.c_fc", "ffn_up"),
        ("mlp.c_proj", "ffn_down"),
        ("input_layernorm", "attn_norm"),
        ("self_attn.q_proj", "attn_q"),
        ("self_attn.k_proj", "attn_k"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("post_attention_layernorm", "ffn_norm"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
        ("mlp.down_proj", "ffn_down"),
        ("transformer.wte", "token_embd"),
        ("transformer.wpe", "position_embd"),
        ("transformer.ln_f", "output_norm"),
        ("model.embed_tokens", "token_embd"),
        ("model.norm", "output_norm"),
        ("lm_head", "output"),
    ];
    let (path, end) = parameter.rsplit_once('.').expect("every parameter is a weight or a bias of something");
    let block = path.strip_prefix("transformer.h.").or_else(|| path.strip_prefix("model.layers."));
    let (prefix, part) = match block.and_then(|rest| rest.split_once('.')) {
        Some((layer, part)) => (format!("blk.{layer}."), part),
        None => (String::new(), path),
    };
    let (_, name) = NAMES.iter().find(|(theirs, _)| *theirs == part).expect("every part has a name in GGUF");
    format!("{prefix}{name}.{end}")
}

fn tensors<'a>(model: &'a Model, values: &'a [Vec<f32>], precision: Precision) -> Vec<Stored<'a>> {
    let mut tensors: Vec<Stored<'a>> = model
        .parameters
        .iter()
        .zip(values)
        .map(|(parameter, values)| {
            let mut shape = parameter.shape.clone();
            if is_linear(parameter) {
                shape.reverse();
            }
            let kind = match (shape.as_slice(), precision) {
                ([_, _], _) if parameter.name.ends_with("wpe.weight") => Kind::F32,
                ([_, columns], Precision::Q8_0) if columns.is_multiple_of(Q8_BLOCK) => Kind::Q8_0,
                ([_, _], _) => Kind::F16,
                _ => Kind::F32,
            };
            let rotary = ["q_proj.weight", "k_proj.weight"].iter().any(|end| parameter.name.ends_with(end));
            let order = if rotary { Rows::Paired(model.config.head_width()) } else { Rows::Same };
            let source = Source::Parameter(parameter, values, order);
            Stored { name: name_of(&parameter.name), shape, kind, source }
        })
        .collect();
    if model.config.rope_scaling.is_some() {
        // The file holds by how much each frequency is divided.
        let plain = rotary_frequencies(&ModelConfig { rope_scaling: None, ..model.config.clone() });
        let stretched = rotary_frequencies(&model.config);
        let factors: Vec<f32> = plain.iter().zip(stretched).map(|(plain, slow)| plain / slow).collect();
        let shape = vec![factors.len()];
        let source = Source::Computed(factors);
        tensors.push(Stored { name: "rope_freqs.weight".to_owned(), shape, kind: Kind::F32, source });
    }
    tensors
}

/// A metadata value.
enum Meta {
    U32(u32),
    I32s(Vec<i32>),
    F32(f32),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
}

impl Meta {
    fn write(&self, out: &mut Vec<u8>) {
        let mut word = |value: u32| out.extend(value.to_le_bytes());
        match self {
            Self::U32(value) => [4, *value].into_iter().for_each(word),
            Self::F32(value) => [6, value.to_bits()].into_iter().for_each(word),
            Self::Bool(value) => {
                word(7);
                out.push(u8::from(*value));
            }
            Self::Text(text) => {
                word(8);
                write_text(text, out);
            }
            Self::I32s(values) => {
                [9, 5].into_iter().for_each(&mut word);
                out.extend((values.len() as u64).to_le_bytes());
                out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            }
            Self::Texts(texts) => {
                [9, 8].into_iter().for_each(&mut word);
                out.extend((texts.len() as u64).to_le_bytes());
                for text in texts {
                    write_text(text, out);
                }
            }
        }
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

/// Writes `model` to `path`. What comes back are remarks for the user: where a reader will differ from the model.
pub fn write(
    path: &Path,
    (model, values): (&Model, &[Vec<f32>]),
    tokenizer_json: Option<&[u8]>,
    precision: Precision,
) -> Result<Vec<String>> {
    let (reader, activation) = match model.config.kind {
        ModelKind::Gpt2 => ("llama.cpp's gpt2", Activation::Gelu),
        ModelKind::Llama3 => ("llama.cpp's llama", Activation::SwiGlu),
    };
    ensure_published(&model.config, reader, &[activation])?;
    let mut remarks = Vec::new();
    let mut metadata = describe(model, precision);
    if model.config.kind == ModelKind::Gpt2 && model.config.gelu == Gelu::Erf {
        let remark = "llama.cpp computes gpt2 with the tanh GELU, and this model was trained with the exact one: logits \
                      will differ a little";
        remarks.push(remark.to_owned());
    }
    match tokenizer_json {
        Some(json) => vocabulary(json, model.vocabulary, &mut metadata, &mut remarks)?,
        None => metadata.push(("tokenizer.ggml.model".to_owned(), Meta::Text("none".to_owned()))),
    }
    let tensors = tensors(model, values, precision);

    let mut header = b"GGUF".to_vec();
    header.extend(3_u32.to_le_bytes());
    header.extend((tensors.len() as u64).to_le_bytes());
    header.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in &metadata {
        write_text(key, &mut header);
        value.write(&mut header);
    }
    let mut offset = 0;
    for tensor in &tensors {
        write_text(&tensor.name, &mut header);
        header.extend((tensor.shape.len() as u32).to_le_bytes());
        for size in tensor.shape.iter().rev() {
            header.extend((*size as u64).to_le_bytes());
        }
        header.extend((tensor.kind as u32).to_le_bytes());
        header.extend((offset as u64).to_le_bytes());
        offset += tensor.kind.bytes(tensor.shape.iter().product()).next_multiple_of(ALIGNMENT);
    }
    header.resize(header.len().next_multiple_of(ALIGNMENT), 0);

    let write = || -> std::io::Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".partial");
        let partial = path.with_file_name(name);
        let mut out = BufWriter::new(File::create(&partial)?);
        out.write_all(&header)?;
        for tensor in &tensors {
            let mut bytes = encode(&tensor.values(), tensor.kind);
            bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
            out.write_all(&bytes)?;
        }
        out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(&partial, path)
    };
    write().with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(remarks)
}

fn describe(model: &Model, precision: Precision) -> Vec<(String, Meta)> {
    let config = &model.config;
    let (architecture, epsilon) = match config.kind {
        ModelKind::Gpt2 => ("gpt2", "attention.layer_norm_epsilon"),
        ModelKind::Llama3 => ("llama", "attention.layer_norm_rms_epsilon"),
    };
    let size = |size: usize| Meta::U32(size as u32);
    let file_type = match precision {
        Precision::F16 => 1,
        Precision::Q8_0 => 7,
    };
    let mut metadata = vec![
        ("general.architecture".to_owned(), Meta::Text(architecture.to_owned())),
        ("general.file_type".to_owned(), Meta::U32(file_type)),
        ("general.quantization_version".to_owned(), Meta::U32(2)),
    ];
    let mut entries = vec![
        ("context_length", size(config.context)),
        ("embedding_length", size(config.width)),
        ("block_count", size(config.layers)),
        ("feed_forward_length", size(config.mlp_width())),
        ("attention.head_count", size(config.heads)),
        (epsilon, Meta::F32(config.norm_epsilon as f32)),
        ("vocab_size", size(model.vocabulary)),
    ];
    if config.kind == ModelKind::Llama3 {
        entries.extend([
            ("attention.head_count_kv", size(config.kv_heads())),
            ("rope.dimension_count", size(config.head_width())),
            ("rope.freq_base", Meta::F32(config.rope_theta as f32)),
        ]);
    }
    metadata.extend(entries.into_iter().map(|(key, value)| (format!("{architecture}.{key}"), value)));
    metadata
}

/// The vocabulary as llama.cpp's byte-level BPE reads it.
fn vocabulary(
    json: &[u8],
    rows: usize,
    metadata: &mut Vec<(String, Meta)>,
    remarks: &mut Vec<String>,
) -> Result<()> {
    const NORMAL: i32 = 1;
    const CONTROL: i32 = 3;
    const UNUSED: i32 = 5;
    let tokenizer = Tokenizer::from_json(json).context("in the tokenizer")?;
    let file: Value = serde_json::from_slice(json).context("in the tokenizer")?;
    let mut tokens: Vec<String> = (0..rows).map(|id| format!("[PAD{id}]")).collect();
    let mut kinds = vec![UNUSED; rows];
    let mut place = |id: usize, text: &str, kind: i32| {
        // Rows that only an embedding of another size would have are left out.
        if let Some(slot) = tokens.get_mut(id) {
            text.clone_into(slot);
            kinds[id] = kind;
        }
    };
    for (text, id) in file["model"]["vocab"].as_object().into_iter().flatten() {
        place(id.as_u64().map_or(rows, |id| id as usize), text, NORMAL);
    }
    for (text, id) in tokenizer.specials() {
        place(*id as usize, text, CONTROL);
    }
    let merge = |merge: &Value| match merge {
        Value::String(text) => text.clone(),
        pair => pair.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
    };
    let merges = file["model"]["merges"].as_array().into_iter().flatten().map(merge).collect();

    let regex = tokenizer.pattern().regex();
    let known = [(Pattern::gpt2(), "gpt-2"), (Pattern::cl100k(), "llama-bpe"), (Pattern::o200k(), "gpt-4o")];
    let name = known.iter().find(|(pattern, _)| pattern.regex() == regex).map(|(_, name)| *name);
    if name.is_none() {
        let remark = "llama.cpp has no splitter like this tokenizer's: it is given GPT-2's, which cuts numbers and \
                      contractions otherwise; encode prompts with tokenizer.json where that matters";
        remarks.push(remark.to_owned());
    }
    metadata.extend(
        [
            ("model", Meta::Text("gpt2".to_owned())),
            ("pre", Meta::Text(name.unwrap_or("gpt-2").to_owned())),
            ("tokens", Meta::Texts(tokens)),
            ("token_type", Meta::I32s(kinds)),
            ("merges", Meta::Texts(merges)),
        ]
        .map(|(key, value)| (format!("tokenizer.ggml.{key}"), value)),
    );
    if let Some(bos) = tokenizer.bos() {
        // The token that begins a document ends the one before.
        let entries = [
            ("bos_token_id", Meta::U32(bos)),
            ("eos_token_id", Meta::U32(bos)),
            ("add_bos_token", Meta::Bool(true)),
        ];
        metadata.extend(entries.map(|(key, value)| (format!("tokenizer.ggml.{key}"), value)));
    }
    Ok(())
}

fn encode(values: &[f32], kind: Kind) -> Vec<u8> {
    match kind {
        Kind::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        Kind::F16 => values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect(),
        Kind::Q8_0 => values.chunks(Q8_BLOCK).flat_map(quantise).collect(),
    }
}

/// 32 values as an f16 scale and 32 signed bytes.
fn quantise(block: &[f32]) -> [u8; 2 + Q8_BLOCK] {
    let scale = block.iter().fold(0.0_f32, |largest, value| largest.max(value.abs())) / 127.0;
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    let mut out = [0; 2 + Q8_BLOCK];
    out[..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
    for (out, value) in out[2..].iter_mut().zip(block) {
        *out = (value * inverse).round() as i8 as u8;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RunConfig;
    use std::collections::BTreeMap;

    /// Reads back what [`write`] writes, by the format's description.
    struct Reader<'a>(&'a [u8]);

    impl Reader<'_> {
        fn bytes(&mut self, n: usize) -> &[u8] {
            let (taken, rest) = self.0.split_at(n);
            self.0 = rest;
            taken
        }

        fn u32(&mut self) -> u32 {
            u32::from_le_bytes(self.bytes(4).try_into().unwrap())
        }

        fn u64(&mut self) -> usize {
            u64::from_le_bytes(self.bytes(8).try_into().unwrap()) as usize
        }

        fn text(&mut self) -> String {
            let n = self.u64();
            String::from_utf8(self.bytes(n).to_vec()).unwrap()
        }

        fn value(&mut self, kind: u32) -> String {
            match kind {
                4 => self.u32().to_string(),
                5 => (self.u32() as i32).to_string(),
                6 => f32::from_bits(self.u32()).to_string(),
                7 => (self.bytes(1)[0] == 1).to_string(),
                8 => self.text(),
                9 => {
                    let (kind, n) = (self.u32(), self.u64());
                    (0..n).map(|_| self.value(kind)).collect::<Vec<_>>().join("|")
                }
                other => panic!("type {other}"),
            }
        }
    }

    type Tensors = BTreeMap<String, (Vec<usize>, u32, Vec<f32>)>;

    fn read(content: &[u8]) -> (BTreeMap<String, String>, Tensors) {
        let mut reader = Reader(content);
        assert_eq!(reader.bytes(4), b"GGUF");
        assert_eq!(reader.u32(), 3);
        let (n_tensors, n_entries) = (reader.u64(), reader.u64());
        let entries = (0..n_entries)
            .map(|_| {
                let key = reader.text();
                let kind = reader.u32();
                (key, reader.value(kind))
            })
            .collect();
        let infos: Vec<_> = (0..n_tensors)
            .map(|_| {
                let name = reader.text();
                let dims = reader.u32();
                let shape: Vec<usize> = (0..dims).map(|_| reader.u64()).collect();
                (name, shape, reader.u32(), reader.u64())
            })
            .collect();
        let data = &content[(content.len() - reader.0.len()).next_multiple_of(32)..];
        let half = |pair: &[u8]| f16::from_le_bytes([pair[0], pair[1]]).to_f32();
        let tensors = infos.into_iter().map(|(name, shape, kind, offset)| {
            assert_eq!(offset % 32, 0);
            let n: usize = shape.iter().product();
            let data = &data[offset..];
            let values = match kind {
                0 => data[..4 * n].chunks(4).map(|w| f32::from_le_bytes(w.try_into().unwrap())).collect(),
                1 => data[..2 * n].chunks(2).map(half).collect(),
                8 => {
                    let block = |block: &[u8]| {
                        let scale = half(&block[..2]);
                        block[2..].iter().map(|&q| scale * f32::from(q as i8)).collect::<Vec<_>>()
                    };
                    data[..n / 32 * 34].chunks(34).flat_map(block).collect()
                }
                other => panic!("type {other}"),
            };
            (name, (shape, kind, values))
        });
        (entries, tensors.collect())
    }

    fn export(text: &str, precision: Precision) -> (Model, Vec<Vec<f32>>, BTreeMap<String, String>, Tensors) {
        let model = Model::new(&RunConfig::parse(text, &[]).unwrap().model, 50);
        let weights = model.initial_weights(1, &burn::tensor::Device::flex());
        let values: Vec<Vec<f32>> =
            weights.0.iter().map(|w| w.to_data().try_into_vec::<f32>().unwrap()).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        write(&path, (&model, &values), None, precision).unwrap();
        let (entries, tensors) = read(&std::fs::read(path).unwrap());
        (model, values, entries, tensors)
    }

    const LLAMA: &str = "[model]\nkind = \"llama3\"\nlayers = 2\nheads = 4\nkv_heads = 2\nwidth = 32\ncontext = 16\n\
        mlp_width = 40\n[model.rope_scaling]\nfactor = 4.0\nlow_frequency_factor = 1.0\nhigh_frequency_factor = 4.0\n\
        original_context = 8\n";

    #[test]
    fn what_is_written_reads_back() {
        for (precision, kind, tolerance) in [(Precision::F16, 1, 1e-3), (Precision::Q8_0, 8, 1.0 / 127.0)] {
            let (model, values, entries, tensors) = export(LLAMA, precision);
            assert_eq!(entries["general.architecture"], "llama");
            assert_eq!(entries["llama.attention.head_count_kv"], "2");
            assert_eq!(entries["llama.vocab_size"], "50");
            assert_eq!(tensors.len(), model.parameters.len() + 1);
            for (parameter, values) in model.parameters.iter().zip(&values) {
                let (shape, stored_kind, stored) = &tensors[&name_of(&parameter.name)];
                assert_eq!(shape.iter().product::<usize>(), values.len());
                if parameter.shape.len() == 2 {
                    let expected = if shape[0] % 32 == 0 { kind } else { 1 };
                    assert_eq!(*stored_kind, expected, "{}", parameter.name);
                }
                // Orders differ, values do not.
                let sorted = |values: &[f32]| {
                    let mut values = values.to_vec();
                    values.sort_by(f32::total_cmp);
                    values
                };
                let largest = values.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
                for (a, b) in sorted(values).iter().zip(sorted(stored)) {
                    assert!((a - b).abs() <= largest * tolerance, "{} {a} {b}", parameter.name);
                }
            }
            // Head 1 of the queries: its pair (2, 2 + 4) stands in rows 4 and 5; memory holds (inputs, outputs).
            let q =
                model.parameters.iter().position(|p| p.name.ends_with("0.self_attn.q_proj.weight")).unwrap();
            let (_, _, stored) = &tensors["blk.0.attn_q.weight"];
            for input in 0..32 {
                for (row, output) in [(8 + 4, 8 + 2), (8 + 5, 8 + 6)] {
                    let (a, b) = (stored[row * 32 + input], values[q][input * 32 + output]);
                    assert!((a - b).abs() < 1e-3, "{a} {b}");
                }
            }
            let (_, _, factors) = &tensors["rope_freqs.weight"];
            assert!((factors[0] - 1.0).abs() > 1e-3 || (factors[3] - 4.0).abs() < 1e-5, "{factors:?}");
        }
    }

    #[test]
    fn gpt2_and_its_vocabulary() {
        use gristmill_tokenizer::{PretokenCounts, TrainOptions, train};
        let mut counts = PretokenCounts::new(Pattern::gpt2());
        counts.add("the mill grinds the grain, and the grain becomes flour");
        let options = TrainOptions { vocab_size: 270, ..TrainOptions::default() };
        let tokenizer = train(&counts, &options).unwrap();
        let text =
            "[model]\nkind = \"gpt2\"\nlayers = 1\nheads = 2\nwidth = 32\ncontext = 16\ngelu = \"tanh\"\n";
        let rows = tokenizer.vocab_size() + 2;
        let model = Model::new(&RunConfig::parse(text, &[]).unwrap().model, rows);
        let values: Vec<Vec<f32>> = model.parameters.iter().map(|p| vec![0.25; p.len()]).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.gguf");
        let json = tokenizer.to_json();
        let remarks = write(&path, (&model, &values), Some(json.as_bytes()), Precision::Q8_0).unwrap();
        assert!(remarks.is_empty(), "{remarks:?}");
        let (entries, tensors) = read(&std::fs::read(path).unwrap());
        assert_eq!(entries["tokenizer.ggml.pre"], "gpt-2");
        let tokens: Vec<&str> = entries["tokenizer.ggml.tokens"].split('|').collect();
        assert!(entries["tokenizer.ggml.merges"].contains("t h") || tokens.contains(&"th"));
        assert_eq!(entries["tokenizer.ggml.bos_token_id"], tokenizer.bos().unwrap().to_string());
        assert!(entries["tokenizer.ggml.tokens"].ends_with(&format!("[PAD{}]", rows - 1)));
        assert_eq!(tensors["position_embd.weight"].1, 0);
        assert_eq!(tensors["blk.0.ffn_up.weight"].0, [32, 128]);
        assert!(tensors["blk.0.attn_qkv.weight"].2.iter().all(|&value| (value - 0.25).abs() < 1e-3));
    }
}
