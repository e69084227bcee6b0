//! The decoders: which parameters they have, and the forward pass over them.
//!
//! Shapes in comments: B sequences, T tokens each, S keys, C width, H query heads, K key heads, D head width,
//! V vocabulary. Every operation is one of burn's own; faster ones are tested against these.

use burn::tensor::activation::{gelu, gelu_approximate, relu, silu, softmax};
use burn::tensor::module::{embedding, layer_norm, linear};
use burn::tensor::{Device, FloatDType, Int, Tensor, TensorData};

use crate::config::{Activation, Gelu, Group, ModelConfig, ModelKind, Precision};
use crate::loss;
use crate::random::Random;

/// One parameter tensor. In memory it is a flat vector in row-major order of `shape`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The name that Hugging Face's class for this model gives it.
    pub name: String,
    /// Shape in memory: matrices are (inputs, outputs), embeddings (rows, width).
    pub shape: Vec<usize>,
    /// Whether the file holds the transpose, because the published model's linear layers are (outputs, inputs).
    pub transposed_on_disk: bool,
    /// Whether weight decay applies: matrices yes; norms, biases, embeddings and positions no.
    pub decayed: bool,
    /// Which values it shares a learning rate with.
    pub group: Group,
    /// Matrices of one shape that lie side by side in it: queries, keys and values of GPT-2.
    pub parts: usize,
    start: Start,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    Zeros,
    Ones,
    Normal,
    /// Normal, scaled by 1/sqrt(2 layers): the projections that add to the residual stream (GPT-2, section 2.3).
    Residual,
}

impl Parameter {
    /// A matrix that is trained beside a model's own; see [`crate::lora`].
    pub fn adapter(name: String, shape: [usize; 2]) -> Self {
        Self {
            name,
            shape: shape.to_vec(),
            transposed_on_disk: false,
            decayed: true,
            group: Group::Matrix,
            parts: 1,
            start: Start::Zeros,
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Never true for a checked config; here because `len` is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn initial(&self, layers: usize, seed: u64) -> Vec<f32> {
        let deviation = match self.start {
            Start::Zeros => return vec![0.0; self.len()],
            Start::Ones => return vec![1.0; self.len()],
            Start::Normal => 0.02,
            Start::Residual => 0.02 / (2.0 * layers as f64).sqrt(),
        };
        let mut random = Random::named(seed, &self.name);
        (0..self.len()).map(|_| (random.normal() * deviation) as f32).collect()
    }
}

/// Place of a parameter in [`Model::parameters`] and [`Weights`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Id(pub(crate) usize);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Linear {
    pub(crate) weight: Id,
    pub(crate) bias: Option<Id>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Norm {
    pub(crate) scale: Id,
    pub(crate) bias: Option<Id>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Projections {
    /// Queries, keys and values side by side in one matrix.
    Merged(Linear),
    Separate {
        query: Linear,
        key: Linear,
        value: Linear,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Mlp {
    /// SwiGLU's only.
    pub(crate) gate: Option<Linear>,
    pub(crate) up: Linear,
    pub(crate) down: Linear,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub(crate) attention_norm: Norm,
    pub(crate) projections: Projections,
    pub(crate) output: Linear,
    pub(crate) mlp_norm: Norm,
    pub(crate) mlp: Mlp,
}

/// The values of all parameters on one device, in the order of [`Model::parameters`].
#[derive(Clone, Debug)]
pub struct Weights(pub Vec<Tensor<1>>);

impl Weights {
    /// The same values as leaves of a new graph that keep their gradients.
    #[must_use]
    pub fn tracked(&self) -> Self {
        Self(self.0.iter().map(|w| w.clone().autodiff().require_grad()).collect())
    }
}

/// Keys and values of the tokens read so far, so that the next ones need not read them again.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    blocks: Vec<(Tensor<4>, Tensor<4>)>,
}

impl Cache {
    /// Tokens held.
    pub fn len(&self) -> usize {
        self.blocks.first().map_or(0, |(keys, _)| keys.dims()[2])
    }

    /// Whether nothing has been read yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all sequences but these.
    pub fn keep(&mut self, rows: &[usize]) {
        for (keys, values) in &mut self.blocks {
            let rows: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
            let rows =
                Tensor::<1, Int>::from_data(TensorData::new(rows.clone(), [rows.len()]), &keys.device());
            *keys = keys.clone().select(0, rows.clone());
            *values = values.clone().select(0, rows);
        }
    }

    /// Adds the newest keys and values of a block, and returns all of them.
    fn extend(&mut self, layer: usize, k: Tensor<4>, v: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        if layer == self.blocks.len() {
            self.blocks.push((k, v));
        } else {
            let (keys, values) = &mut self.blocks[layer];
            *keys = Tensor::cat(vec![keys.clone(), k], 2);
            *values = Tensor::cat(vec![values.clone(), v], 2);
        }
        self.blocks[layer].clone()
    }
}

/// The structure of a decoder. It holds no weights.
#[derive(Clone, Debug)]
pub struct Model {
    /// Shape, with its defaults filled in.
    pub config: ModelConfig,
    /// Rows of the embedding.
    pub vocabulary: usize,
    /// Every parameter, in a fixed order.
    pub parameters: Vec<Parameter>,
    /// Of what matrix products read. Models are scored and write text in f32.
    pub precision: Precision,
    pub(crate) token_embedding: Id,
    pub(crate) position_embedding: Option<Id>,
    pub(crate) blocks: Vec<Block>,
    pub(crate) final_norm: Norm,
    pub(crate) head: Id,
}

impl Model {
    /// Lays out the parameters of `config` over `vocabulary` token ids.
    pub fn new(config: &ModelConfig, vocabulary: usize) -> Self {
        let config = config.resolved();
        let mut layout = Layout { parameters: Vec::new(), transposed: config.kind == ModelKind::Llama3 };
        let (width, heads) = (config.width, config.heads * config.head_width());
        let (keys, inner) = (config.kv_heads() * config.head_width(), config.mlp_width());
        let gated = config.activation() == Activation::SwiGlu;
        let model = match config.kind {
            ModelKind::Gpt2 => {
                let token_embedding = layout.embedding("transformer.wte.weight", vocabulary, width);
                let positions = layout.embedding("transformer.wpe.weight", config.context, width);
                let blocks = (0..config.layers)
                    .map(|layer| {
                        let name = |rest: &str| format!("transformer.h.{layer}.{rest}");
                        Block {
                            attention_norm: layout.layer_norm(&name("ln_1"), width),
                            projections: Projections::Merged(layout.merged(&name("attn.c_attn"), width)),
                            output: layout.biased(&name("attn.c_proj"), heads, width, Start::Residual),
                            mlp_norm: layout.layer_norm(&name("ln_2"), width),
                            mlp: Mlp {
                                gate: gated
                                    .then(|| layout.biased(&name("mlp.c_gate"), width, inner, Start::Normal)),
                                up: layout.biased(&name("mlp.c_fc"), width, inner, Start::Normal),
                                down: layout.biased(&name("mlp.c_proj"), inner, width, Start::Residual),
                            },
                        }
                    })
                    .collect();
                let final_norm = layout.layer_norm("transformer.ln_f", width);
                let head = layout.head(&config, token_embedding, vocabulary);
                (token_embedding, Some(positions), blocks, final_norm, head)
            }
            ModelKind::Llama3 => {
                let token_embedding = layout.embedding("model.embed_tokens.weight", vocabulary, width);
                let blocks = (0..config.layers)
                    .map(|layer| {
                        let name = |rest: &str| format!("model.layers.{layer}.{rest}");
                        Block {
                            attention_norm: layout.rms_norm(&name("input_layernorm"), width),
                            projections: Projections::Separate {
                                query: layout.plain(&name("self_attn.q_proj"), width, heads, Start::Normal),
                                key: layout.plain(&name("self_attn.k_proj"), width, keys, Start::Normal),
                                value: layout.plain(&name("self_attn.v_proj"), width, keys, Start::Normal),
                            },
                            output: layout.plain(&name("self_attn.o_proj"), heads, width, Start::Residual),
                            mlp_norm: layout.rms_norm(&name("post_attention_layernorm"), width),
                            mlp: Mlp {
                                gate: gated.then(|| {
                                    layout.plain(&name("mlp.gate_proj"), width, inner, Start::Normal)
                                }),
                                up: layout.plain(&name("mlp.up_proj"), width, inner, Start::Normal),
                                down: layout.plain(&name("mlp.down_proj"), inner, width, Start::Residual),
                            },
                        }
                    })
                    .collect();
                let final_norm = layout.rms_norm("model.norm", width);
                let head = layout.head(&config, token_embedding, vocabulary);
                (token_embedding, None, blocks, final_norm, head)
            }
        };
        let (token_embedding, position_embedding, blocks, final_norm, head) = model;
        Self {
            config,
            vocabulary,
            parameters: layout.parameters,
            precision: Precision::F32,
            token_embedding,
            position_embedding,
            blocks,
            final_norm,
            head,
        }
    }

    /// Number of trained values.
    pub fn parameter_count(&self) -> usize {
        self.parameters.iter().map(Parameter::len).sum()
    }

    /// Floating-point operations of training on one token: 6 for each value in a matrix product (2 forward, 4
    /// backward), and 12 · layers · width · context for attention's two products (PaLM, appendix B).
    pub fn flops_per_token(&self) -> f64 {
        let looked_up = [Some(self.token_embedding), self.position_embedding]
            .into_iter()
            .flatten()
            .filter(|id| id.0 != self.head.0)
            .map(|id| self.parameters[id.0].len())
            .sum::<usize>();
        let attention = 12.0 * (self.config.layers * self.config.width * self.config.context) as f64;
        6.0 * (self.parameter_count() - looked_up) as f64 + attention
    }

    /// Index in [`Self::parameters`] of the output matrix (V, C).
    pub fn head_index(&self) -> usize {
        self.head.0
    }

    /// Weights before training, a pure function of the shape and `seed`.
    pub fn initial_weights(&self, seed: u64, device: &Device) -> Weights {
        let tensors = self.parameters.iter().map(|p| {
            let values = p.initial(self.config.layers, seed);
            Tensor::from_data(TensorData::new(values, [p.len()]), device)
        });
        Weights(tensors.collect())
    }

    /// The output matrix (V, C).
    pub fn head(&self, w: &Weights) -> Tensor<2> {
        self.matrix(w, self.head)
    }

    /// Logits (B·T, V) of every position.
    pub fn logits(&self, w: &Weights, tokens: Tensor<2, Int>, cache: Option<&mut Cache>) -> Tensor<2> {
        self.logits_of(self.hidden(w, tokens, cache), self.head(w))
    }

    /// Logits (N, V) from rows that left the last norm (N, C) and the output matrix (V, C).
    pub fn logits_of(&self, hidden: Tensor<2>, head: Tensor<2>) -> Tensor<2> {
        loss::capped(self.product(hidden, head.transpose()), self.config.softcap)
    }

    /// Logits (V) after the last of one sequence's tokens (1, T), which `cache` grows by.
    pub fn last_logits(&self, w: &Weights, tokens: Tensor<2, Int>, cache: &mut Cache) -> Vec<f32> {
        self.next_logits(w, tokens, &[], cache).remove(0)
    }

    /// Logits (V) after the last token of each sequence (B, T), which `cache` grows by. `starts` as for
    /// [`Self::hidden_within`].
    pub fn next_logits(
        &self,
        w: &Weights,
        tokens: Tensor<2, Int>,
        starts: &[u32],
        cache: &mut Cache,
    ) -> Vec<Vec<f32>> {
        let [b, t] = tokens.dims();
        let c = self.config.width;
        let hidden = self.hidden_within(w, tokens, starts, Some(cache)).reshape([b, t, c]);
        let last = hidden.narrow(1, t - 1, 1).reshape([b, c]);
        let logits = self.logits_of(last, self.head(w)).into_data();
        let logits = logits.try_into_vec::<f32>().expect("the model computes in f32");
        logits.chunks_exact(self.vocabulary).map(<[f32]>::to_vec).collect()
    }

    /// The residual stream after the last norm (B·T, C), from token ids (B, T).
    ///
    /// With a `cache`, `tokens` continue what it holds, and it grows by them. T plus what it holds must not
    /// exceed the model's context.
    pub fn hidden(&self, w: &Weights, tokens: Tensor<2, Int>, cache: Option<&mut Cache>) -> Tensor<2> {
        self.hidden_within(w, tokens, &[], cache)
    }

    /// As [`Self::hidden`], for rows that hold several documents: a token reads its own document only, and its
    /// position counts from there, so that each document comes out as if it stood alone.
    ///
    /// `starts` (B·T) says at which place of its row each token's document begins; empty, every row is one document.
    /// A row's places count from its first token in the `cache`.
    pub fn hidden_within(
        &self,
        w: &Weights,
        tokens: Tensor<2, Int>,
        starts: &[u32],
        mut cache: Option<&mut Cache>,
    ) -> Tensor<2> {
        let past = cache.as_ref().map_or(0, |cache| cache.len());
        let frame = self.frame(tokens.dims(), starts, past, &w.0[0].device().without_autodiff());
        let mut x = self.embedded(w, tokens, &frame);
        for layer in 0..self.blocks.len() {
            x = self.block(w, layer, x, &frame, cache.as_deref_mut());
        }
        self.last_norm(w, x)
    }

    /// What all blocks share in a pass over tokens (B, T) that follow `past` others.
    pub(crate) fn frame(&self, [b, t]: [usize; 2], starts: &[u32], past: usize, device: &Device) -> Frame {
        let places = Places { starts, rows: if starts.is_empty() { 1 } else { b }, t, past };
        let positions = places.positions();
        assert!(
            positions.iter().all(|&position| position < self.config.context),
            "callers keep sequences within the context"
        );
        let rotation = (self.config.kind == ModelKind::Llama3)
            .then(|| Rotation::new(&self.config, &positions, places.rows, device));
        let positions: Vec<i64> = positions.iter().map(|&position| position as i64).collect();
        let positions = Tensor::from_data(TensorData::new(positions, [places.rows, t]), device);
        Frame { shape: [b, t], positions, mask: places.mask(device), rotation }
    }

    /// The residual stream before the first block (B·T, C).
    pub(crate) fn embedded(&self, w: &Weights, tokens: Tensor<2, Int>, frame: &Frame) -> Tensor<2> {
        let [b, t] = frame.shape;
        let mut x = embedding(self.matrix(w, self.token_embedding), tokens); // (B, T, C)
        if let Some(id) = self.position_embedding {
            x = x + embedding(self.matrix(w, id), frame.positions.clone()); // (B or 1, T, C)
        }
        x.reshape([b * t, self.config.width])
    }

    /// The residual stream after block number `layer` from that before it (B·T, C).
    pub(crate) fn block(
        &self,
        w: &Weights,
        layer: usize,
        x: Tensor<2>,
        frame: &Frame,
        cache: Option<&mut Cache>,
    ) -> Tensor<2> {
        let [b, t] = frame.shape;
        let block = &self.blocks[layer];
        let (mut q, mut k, mut v) =
            self.queries_keys_values(w, block, self.norm(w, block.attention_norm, x.clone()), [b, t]);
        if let Some(rotation) = &frame.rotation {
            (q, k) = (rotation.apply(q), rotation.apply(k));
        }
        if self.config.qk_norm {
            (q, k) = (unit_rows(q, self.config.norm_epsilon), unit_rows(k, self.config.norm_epsilon));
        }
        if let Some(cache) = cache {
            (k, v) = cache.extend(layer, k, v);
        }
        let (q, k, v) = (self.rounded(q), self.rounded(k), self.rounded(v));
        let mixed = attention(q, k, v, frame.mask.clone()); // (B, H, T, D)
        let mixed = mixed.swap_dims(1, 2).reshape([b * t, self.config.width]);
        let x = x + self.linear(w, block.output, mixed);
        x.clone() + self.mlp(w, block.mlp, self.norm(w, block.mlp_norm, x))
    }

    /// What the output matrix reads, from the residual stream after the last block (B·T, C).
    pub(crate) fn last_norm(&self, w: &Weights, x: Tensor<2>) -> Tensor<2> {
        self.norm(w, self.final_norm, x)
    }

    /// (B·T, C) -> (B, H, T, D), (B, K, T, D), (B, K, T, D).
    fn queries_keys_values(
        &self,
        w: &Weights,
        block: &Block,
        x: Tensor<2>,
        [b, t]: [usize; 2],
    ) -> (Tensor<4>, Tensor<4>, Tensor<4>) {
        let (h, k, d) = (self.config.heads, self.config.kv_heads(), self.config.head_width());
        let split = |x: Tensor<2>, heads: usize| x.reshape([b, t, heads, d]).swap_dims(1, 2);
        match block.projections {
            Projections::Merged(merged) => {
                let merged = self.linear(w, merged, x); // (B·T, 3C)
                let part = |i: usize| merged.clone().narrow(1, i * h * d, h * d);
                (split(part(0), h), split(part(1), h), split(part(2), h))
            }
            Projections::Separate { query, key, value } => (
                split(self.linear(w, query, x.clone()), h),
                split(self.linear(w, key, x.clone()), k),
                split(self.linear(w, value, x), k),
            ),
        }
    }

    fn mlp(&self, w: &Weights, mlp: Mlp, x: Tensor<2>) -> Tensor<2> {
        let up = self.linear(w, mlp.up, x.clone());
        let inner = match mlp.gate {
            Some(gate) => silu(self.linear(w, gate, x)) * up,
            None => match (self.config.activation(), self.config.gelu) {
                (Activation::Relu2, _) => relu(up).square(),
                (_, Gelu::Erf) => gelu(up),
                (_, Gelu::Tanh) => gelu_approximate(up),
            },
        };
        self.linear(w, mlp.down, inner)
    }

    fn norm(&self, w: &Weights, norm: Norm, x: Tensor<2>) -> Tensor<2> {
        let scale = w.0[norm.scale.0].clone();
        match norm.bias {
            Some(bias) => layer_norm(x, scale, Some(w.0[bias.0].clone()), self.config.norm_epsilon),
            None => rms_norm(x, scale, self.config.norm_epsilon),
        }
    }

    fn linear(&self, w: &Weights, layer: Linear, x: Tensor<2>) -> Tensor<2> {
        let (weight, bias) = (self.matrix(w, layer.weight), layer.bias.map(|bias| w.0[bias.0].clone()));
        match (self.precision, bias) {
            (Precision::F32, bias) => linear(x, weight, bias),
            (_, None) => self.product(x, weight),
            (_, Some(bias)) => self.product(x, weight) + bias.unsqueeze(),
        }
    }

    /// A matrix product in the model's precision, in f32 again.
    fn product(&self, a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
        match self.precision {
            Precision::F32 => a.matmul(b),
            Precision::Bf16 => {
                let narrow = |x: Tensor<2>| x.cast(FloatDType::BF16);
                narrow(a).matmul(narrow(b)).cast(FloatDType::F32)
            }
        }
    }

    /// Rounded to the model's precision.
    fn rounded(&self, x: Tensor<4>) -> Tensor<4> {
        match self.precision {
            Precision::F32 => x,
            Precision::Bf16 => x.cast(FloatDType::BF16).cast(FloatDType::F32),
        }
    }

    fn matrix(&self, w: &Weights, id: Id) -> Tensor<2> {
        let shape = &self.parameters[id.0].shape;
        w.0[id.0].clone().reshape([shape[0], shape[1]])
    }
}

/// x / rms(x) * scale over the last dimension (Zhang and Sennrich 2019).
fn rms_norm(x: Tensor<2>, scale: Tensor<1>, epsilon: f64) -> Tensor<2> {
    let mean_square = x.clone().square().mean_dim(1);
    x * mean_square.add_scalar(epsilon).sqrt().recip() * scale.unsqueeze::<2>()
}

/// x / rms(x) over the last dimension, without weights.
fn unit_rows(x: Tensor<4>, epsilon: f64) -> Tensor<4> {
    let mean_square = x.clone().square().mean_dim(3);
    x * mean_square.add_scalar(epsilon).sqrt().recip()
}

/// Scaled dot-product attention: q (B, H, T, D), k and v (B, K, S, D) -> (B, H, T, D).
///
/// Query head h reads key head h / (H / K). `mask` (B or 1, 1, T, S) is added to the scores.
pub fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, mask: Option<Tensor<4>>) -> Tensor<4> {
    let [b, h, t, d] = q.dims();
    let [_, heads, s, _] = k.dims();
    let group = h / heads;
    // The queries of one group stand below each other, so that keys need not be repeated.
    let q = (q * (d as f64).sqrt().recip()).reshape([b, heads, group * t, d]);
    let mut scores = q.matmul(k.swap_dims(2, 3)).reshape([b, h, t, s]);
    if let Some(mask) = mask {
        scores = scores + mask;
    }
    let shares = softmax(scores, 3).reshape([b, heads, group * t, s]);
    shares.matmul(v).reshape([b, h, t, d])
}

/// What all blocks share in one pass.
pub(crate) struct Frame {
    shape: [usize; 2],
    positions: Tensor<2, Int>, // (B or 1, T)
    mask: Option<Tensor<4>>,
    rotation: Option<Rotation>,
}

/// Which tokens a forward pass reads: T more of each row, after `past` that a cache holds.
pub(crate) struct Places<'a> {
    /// Where the document of each token begins, (rows, T); empty: at 0.
    pub(crate) starts: &'a [u32],
    /// B, or 1 where all rows are alike.
    pub(crate) rows: usize,
    pub(crate) t: usize,
    pub(crate) past: usize,
}

impl Places<'_> {
    /// First place that the token in column `i` of `row` reads.
    fn start(&self, row: usize, i: usize) -> usize {
        self.starts.get(row * self.t + i).map_or(0, |&start| start as usize)
    }

    /// Position of every token in its document, (rows, T).
    pub(crate) fn positions(&self) -> Vec<usize> {
        let row = |row| (0..self.t).map(move |i| (self.past + i).saturating_sub(self.start(row, i)));
        (0..self.rows).flat_map(row).collect()
    }

    /// (rows, 1, T, past + T): 0 where token i may read token j, hugely negative where j lies in its future or in
    /// another document.
    fn mask(&self, device: &Device) -> Option<Tensor<4>> {
        let (t, past) = (self.t, self.past);
        if t == 1 && self.starts.is_empty() {
            return None; // the newest token reads everything
        }
        let s = past + t;
        // Finite, because -inf less -inf is not a number; its exp is exactly 0 all the same.
        let mut values = vec![-1e30_f32; self.rows * t * s];
        for (place, line) in values.chunks_mut(s).enumerate() {
            let (row, i) = (place / t, place % t);
            line[self.start(row, i).min(past + i)..=past + i].fill(0.0);
        }
        Some(Tensor::from_data(TensorData::new(values, [self.rows, 1, t, s]), device))
    }
}

/// Rotary positions (Su et al. 2021) in Hugging Face's layout: column i turns with column i + D/2.
struct Rotation {
    cos: Tensor<4>,
    sin: Tensor<4>,
}

impl Rotation {
    /// For `positions` (rows, T).
    fn new(config: &ModelConfig, positions: &[usize], rows: usize, device: &Device) -> Self {
        let frequencies = rotary_frequencies(config);
        let (half, t) = (frequencies.len(), positions.len() / rows);
        // The product is rounded to f32, as the published models compute it.
        let angle = |position: usize, frequency: f32| f64::from(position as f32 * frequency);
        let table = |f: fn(f64) -> f64| {
            let line = |&position: &usize| frequencies.iter().map(move |&w| f(angle(position, w)) as f32);
            let values: Vec<f32> = positions.iter().flat_map(line).collect();
            Tensor::from_data(TensorData::new(values, [rows, 1, t, half]), device)
        };
        Self { cos: table(f64::cos), sin: table(f64::sin) }
    }

    /// (B, H, T, D) -> (B, H, T, D).
    fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let half = x.dims()[3] / 2;
        let (first, second) = (x.clone().narrow(3, 0, half), x.narrow(3, half, half));
        let turned = first.clone() * self.cos.clone() - second.clone() * self.sin.clone();
        Tensor::cat(vec![turned, second * self.cos.clone() + first * self.sin.clone()], 3)
    }
}

/// By how much each pair of columns turns from one position to the next (D/2), in the published models' own precision.
pub fn rotary_frequencies(config: &ModelConfig) -> Vec<f32> {
    let d = config.head_width();
    let plain = |i: usize| config.rope_theta.powf(-2.0 * i as f64 / d as f64) as f32;
    let Some(scaling) = &config.rope_scaling else { return (0..d / 2).map(plain).collect() };
    let (low, high) = (scaling.low_frequency_factor as f32, scaling.high_frequency_factor as f32);
    let context = scaling.original_context as f32;
    let stretched = |frequency: f32| {
        // How many waves fit into the original context.
        let waves = context / (std::f32::consts::TAU / frequency);
        let kept = ((waves - low) / (high - low)).clamp(0.0, 1.0);
        (1.0 - kept) * frequency / scaling.factor as f32 + kept * frequency
    };
    (0..d / 2).map(plain).map(stretched).collect()
}

/// Collects parameters while the structure is built.
struct Layout {
    parameters: Vec<Parameter>,
    transposed: bool,
}

impl Layout {
    fn add(&mut self, name: &str, shape: Vec<usize>, group: Group, start: Start) -> Id {
        self.parameters.push(Parameter {
            name: name.to_owned(),
            shape,
            transposed_on_disk: false,
            decayed: matches!(group, Group::Matrix | Group::Head),
            group,
            parts: 1,
            start,
        });
        Id(self.parameters.len() - 1)
    }

    fn embedding(&mut self, name: &str, rows: usize, width: usize) -> Id {
        self.add(name, vec![rows, width], Group::Embedding, Start::Normal)
    }

    /// The embedding again, or a matrix (V, C) like it, so that both forms share one output path.
    fn head(&mut self, config: &ModelConfig, embedding: Id, vocabulary: usize) -> Id {
        if config.tied() {
            return embedding;
        }
        self.add("lm_head.weight", vec![vocabulary, config.width], Group::Head, Start::Normal)
    }

    fn plain(&mut self, name: &str, inputs: usize, outputs: usize, start: Start) -> Linear {
        let weight = self.add(&format!("{name}.weight"), vec![inputs, outputs], Group::Matrix, start);
        self.parameters[weight.0].transposed_on_disk = self.transposed;
        Linear { weight, bias: None }
    }

    fn biased(&mut self, name: &str, inputs: usize, outputs: usize, start: Start) -> Linear {
        let layer = self.plain(name, inputs, outputs, start);
        Linear {
            bias: Some(self.add(&format!("{name}.bias"), vec![outputs], Group::Scalar, Start::Zeros)),
            ..layer
        }
    }

    /// Queries, keys and values side by side.
    fn merged(&mut self, name: &str, width: usize) -> Linear {
        let layer = self.biased(name, width, 3 * width, Start::Normal);
        self.parameters[layer.weight.0].parts = 3;
        layer
    }

    fn rms_norm(&mut self, name: &str, width: usize) -> Norm {
        Norm {
            scale: self.add(&format!("{name}.weight"), vec![width], Group::Scalar, Start::Ones),
            bias: None,
        }
    }

    fn layer_norm(&mut self, name: &str, width: usize) -> Norm {
        let norm = self.rms_norm(name, width);
        Norm {
            bias: Some(self.add(&format!("{name}.bias"), vec![width], Group::Scalar, Start::Zeros)),
            ..norm
        }
    }
}
