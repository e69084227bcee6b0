//! The forward and backward pass of a decoder on the CPU: loops and matrix products over plain buffers that are kept from
//! step to step. [`Model::hidden_within`] and burn's automatic differentiation are its oracle.
//!
//! Shapes as in [`crate::model`]; N is B·T.

pub mod decode;

use crate::config::{Activation, Gelu, Group, ModelKind, Precision, TrainConfig};
use crate::kernels::activation::{self, Curve};
use crate::kernels::attention::{self, Back};
use crate::kernels::bf16::round;
use crate::kernels::heads::{self, Layout, Part, Rotation};
use crate::kernels::matrix::{Matrix, Target, Threads, multiply};
use crate::kernels::norm::{self, Moments};
use crate::kernels::rows::{self, Partials, Sum};
use crate::loader::Batch;
use crate::loss;
use crate::model::{Block, Id, Linear, Mlp, Model, Norm, Places, Projections, rotary_frequencies};

/// How a pass computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compute {
    /// Of what matrix products read.
    pub precision: Precision,
    /// Keep only the input of every block, and compute the rest again on the way back.
    pub recompute: bool,
}

impl Compute {
    /// As a run asks for it.
    pub fn of(config: &TrainConfig) -> Self {
        Self { precision: config.precision, recompute: config.checkpoint_activations }
    }
}

/// Buffers of a forward and backward pass. Their sizes follow the batch.
#[derive(Default)]
pub struct Memory {
    /// How the next pass computes.
    pub compute: Compute,
    /// The residual stream before each block and after the last: (N, C), layers + 1 times.
    streams: Vec<Vec<f32>>,
    /// What is kept of each block; of the latest only, if the rest is computed again.
    blocks: Vec<BlockMemory>,
    last: Normed,
    partials: Vec<f32>,
    /// Matrices as products read them, where that is not as they are.
    rounded: Vec<Vec<f32>>,
    scratch: Scratch,
}

impl Memory {
    /// Nothing yet.
    pub fn new(compute: Compute) -> Self {
        Self { compute, ..Self::default() }
    }

    /// Bytes that the buffers hold.
    pub fn bytes(&self) -> usize {
        let Scratch { rows, heads, products, gradients: [dq, dk, dv], active, inner, gate, .. } =
            &self.scratch;
        let Scratch { nothing, stream, rounded_stream, normed, logits, .. } = &self.scratch;
        let scratch = [
            rows,
            heads,
            products,
            dq,
            dk,
            dv,
            active,
            inner,
            gate,
            nothing,
            stream,
            rounded_stream,
            normed,
            logits,
        ];
        let scratch = scratch.into_iter().chain([&self.partials]).chain(&self.streams).chain(&self.rounded);
        let blocks = self.blocks.iter().flat_map(|block| {
            let BlockMemory { attention, queries, keys, values, inverses: [a, b], .. } = block;
            let BlockMemory { normalisers, mixed, between, mlp, up, gate, .. } = block;
            [
                queries,
                keys,
                values,
                a,
                b,
                normalisers,
                mixed,
                between,
                up,
                gate,
                &attention.values,
                &mlp.values,
            ]
        });
        let values: usize = scratch.chain(blocks).chain([&self.last.values]).map(Vec::len).sum();
        values * size_of::<f32>()
    }
}

/// What the way back needs of a block.
#[derive(Default)]
struct BlockMemory {
    attention: Normed,
    queries: Vec<f32>, // (B, H, T, D)
    keys: Vec<f32>,    // (B, K, T, D)
    /// Of queries and keys, where they are divided by their root mean squares.
    inverses: [Vec<f32>; 2],
    values: Vec<f32>,      // (B, K, T, D)
    normalisers: Vec<f32>, // (B, H, T)
    mixed: Vec<f32>,       // (N, H·D)
    /// The residual stream between the block's halves.
    between: Vec<f32>, // (N, C)
    mlp: Normed,
    /// Before the activation and without its bias, (N, inner).
    up: Vec<f32>,
    gate: Vec<f32>,
}

/// The output of a norm.
#[derive(Default)]
struct Normed {
    values: Vec<f32>, // (N, C)
    moments: Moments,
}

/// What every block uses again.
#[derive(Default)]
struct Scratch {
    rows: Vec<f32>,           // (N, (H + 2K)·D)
    heads: Vec<f32>,          // (B, H, T, D)
    products: Vec<f32>,       // (B, H, T)
    gradients: [Vec<f32>; 3], // of queries, keys and values
    active: Vec<f32>,         // (N, inner)
    inner: Vec<f32>,          // (N, inner)
    gate: Vec<f32>,           // (N, inner)
    /// The gradient of a bias that is not there.
    nothing: Vec<f32>, // (inner)
    stream: Vec<f32>,         // (N, C)
    /// The same as products read it, where that is not as it is.
    rounded_stream: Vec<f32>, // (N, C)
    normed: Vec<f32>,         // (N, C)
    logits: Vec<f32>,
}

/// Gradients of all parameters, and whether they begin a sum or add to one.
struct Gradients<'a> {
    values: &'a mut [Vec<f32>],
    sum: Sum,
}

impl Gradients<'_> {
    /// Of a matrix (inputs, outputs) that turned rows of `input` (N, inputs) into rows whose gradient is `output`.
    fn matrix(&mut self, weight: Id, input: Matrix<'_>, output: Matrix<'_>, [inputs, outputs]: [usize; 2]) {
        let target = Target::new(&mut self.values[weight.0], inputs, outputs);
        let target = target.adding(self.sum == Sum::Continue);
        multiply(target, input.transposed(), output, 1.0, Threads::All);
    }

    fn bias(&mut self, bias: Option<Id>, output: &[f32], buffer: &mut Vec<f32>) {
        if let Some(bias) = bias {
            let out = &mut self.values[bias.0];
            let width = out.len();
            rows::column_sums(output, width, out, self.sum, buffer);
        }
    }

    fn norm(
        &mut self,
        ids: Norm,
        norm: norm::Norm<'_>,
        (input, moments): (&[f32], &Moments),
        gradient: &[f32],
        stream: &mut [f32],
        buffer: &mut Vec<f32>,
    ) {
        let (scale, bias) = match ids.bias {
            None => (&mut self.values[ids.scale.0], None),
            Some(bias) => {
                let [scale, bias] =
                    self.values.get_disjoint_mut([ids.scale.0, bias.0]).expect("a norm's parameters differ");
                (scale, Some(bias.as_mut_slice()))
            }
        };
        norm::backward(norm, input, moments, gradient, stream, (scale, bias), self.sum, buffer);
    }
}

/// One batch on its way through the model.
struct Pass<'a> {
    model: &'a Model,
    weights: &'a [&'a [f32]],
    /// Matrices as products read them; empty: as they are.
    rounded: &'a [Vec<f32>],
    precision: Precision,
    batch: &'a Batch,
    positions: Vec<usize>,
    rotation: Option<Rotation>,
    /// The bias of a layer without one, before an activation that adds it: zeros, (inner).
    no_bias: Vec<f32>,
}

/// Gradient buffers for every parameter of `model`.
pub fn gradient_buffers(model: &Model) -> Vec<Vec<f32>> {
    model.parameters.iter().map(|parameter| vec![0.0; parameter.len()]).collect()
}

/// Sum of the batch's losses in nats; `gradients` become that of `scale` times it, or grow by it.
pub fn gradients(
    model: &Model,
    weights: &[&[f32]],
    batch: &Batch,
    scale: f32,
    memory: &mut Memory,
    gradients: &mut [Vec<f32>],
    sum: Sum,
) -> f64 {
    let precision = memory.compute.precision;
    let mut rounded = std::mem::take(&mut memory.rounded);
    if precision == Precision::F32 {
        rounded.clear();
    } else {
        round_matrices(model, weights, &mut rounded, precision);
    }
    let pass = Pass::new(model, weights, (&rounded, precision), batch);
    pass.forward(memory);
    let mut gradients = Gradients { values: gradients, sum };
    let nats = pass.head(memory, scale, &mut gradients);
    pass.backward(memory, &mut gradients);
    memory.rounded = rounded;
    nats
}

/// Every matrix that a product reads, rounded; nothing for the other parameters.
fn round_matrices(model: &Model, weights: &[&[f32]], rounded: &mut Vec<Vec<f32>>, precision: Precision) {
    rounded.resize_with(weights.len(), Vec::new);
    for (i, (parameter, weight)) in model.parameters.iter().zip(weights).enumerate() {
        if parameter.group == Group::Matrix || i == model.head.0 {
            rounded[i].clear();
            rounded[i].extend_from_slice(weight);
            round(precision, &mut rounded[i]);
        }
    }
}

impl<'a> Pass<'a> {
    fn new(
        model: &'a Model,
        weights: &'a [&'a [f32]],
        (rounded, precision): (&'a [Vec<f32>], Precision),
        batch: &'a Batch,
    ) -> Self {
        let rows = if batch.starts.is_empty() { 1 } else { batch.rows };
        let places = Places { starts: &batch.starts, rows, t: batch.context, past: 0 };
        let positions = places.positions();
        assert!(
            positions.iter().all(|&position| position < model.config.context),
            "callers keep sequences within the context"
        );
        let rotation = (model.config.kind == ModelKind::Llama3)
            .then(|| Rotation::new(&rotary_frequencies(&model.config), &positions));
        let no_bias = vec![0.0; model.config.mlp_width()];
        Self { model, weights, rounded, precision, batch, positions, rotation, no_bias }
    }

    fn weight(&self, id: Id) -> &'a [f32] {
        self.weights[id.0]
    }

    /// The values of a matrix as products read it.
    fn factor(&self, id: Id) -> &'a [f32] {
        self.rounded.get(id.0).map_or(self.weights[id.0], Vec::as_slice)
    }

    /// A matrix (inputs, outputs) as products read it.
    fn matrix(&self, id: Id) -> Matrix<'a> {
        let [inputs, outputs] = self.shape(id);
        Matrix::new(self.factor(id), inputs, outputs)
    }

    /// Makes `values` what products read.
    fn round(&self, values: &mut [f32]) {
        round(self.precision, values);
    }

    /// Prepares the gradient of the residual stream for products.
    fn round_stream(&self, scratch: &mut Scratch) {
        if self.precision != Precision::F32 {
            sized(&mut scratch.rounded_stream, scratch.stream.len());
            scratch.rounded_stream.copy_from_slice(&scratch.stream);
            self.round(&mut scratch.rounded_stream);
        }
    }

    /// Which of them products read: the gradient of the residual stream, or what [`Self::round_stream`] made of it.
    fn stream<'b>(&self, exact: &'b [f32], rounded: &'b [f32]) -> &'b [f32] {
        if self.precision == Precision::F32 { exact } else { rounded }
    }

    fn shape(&self, id: Id) -> [usize; 2] {
        let shape = &self.model.parameters[id.0].shape;
        [shape[0], shape[1]]
    }

    fn n(&self) -> usize {
        self.batch.rows * self.batch.context
    }

    fn norm(&self, norm: Norm) -> norm::Norm<'a> {
        norm::Norm {
            scale: self.weight(norm.scale),
            bias: norm.bias.map(|bias| self.weight(bias)),
            epsilon: self.model.config.norm_epsilon as f32,
        }
    }

    fn normalise(&self, norm: Norm, input: &[f32], out: &mut Normed) {
        sized(&mut out.values, input.len());
        norm::forward(self.norm(norm), input, &mut out.values, &mut out.moments);
        // The way back of a norm does not read what it put out.
        self.round(&mut out.values);
    }

    fn rows<'b>(&self, values: &'b [f32]) -> Matrix<'b> {
        Matrix::new(values, self.n(), values.len() / self.n())
    }

    fn attention_shape(&self) -> attention::Shape<'a> {
        let config = &self.model.config;
        attention::Shape {
            tokens: self.batch.context,
            group: config.heads / config.kv_heads(),
            key_heads: config.kv_heads(),
            width: config.head_width(),
            starts: &self.batch.starts,
        }
    }

    /// Columns of queries and of keys (as of values) in the rows between projections and heads.
    fn columns(&self) -> (usize, usize) {
        let config = &self.model.config;
        (config.heads * config.head_width(), config.kv_heads() * config.head_width())
    }

    fn layout(&self, column: usize, heads: usize) -> Layout {
        let (queries, keys) = self.columns();
        let width = self.model.config.head_width();
        Layout { tokens: self.batch.context, stride: queries + 2 * keys, column, heads, width }
    }

    fn forward(&self, memory: &mut Memory) {
        let (n, c) = (self.n(), self.model.config.width);
        let blocks = &self.model.blocks;
        memory.streams.resize_with(blocks.len() + 1, Vec::new);
        let kept = if memory.compute.recompute { 1 } else { blocks.len() };
        memory.blocks.resize_with(kept, BlockMemory::default);
        for stream in &mut memory.streams {
            sized(stream, n * c);
        }
        self.embed(&mut memory.streams[0]);
        for (layer, block) in blocks.iter().enumerate() {
            let [before, after] =
                memory.streams.get_disjoint_mut([layer, layer + 1]).expect("two streams of a block");
            let kept = &mut memory.blocks[layer % kept];
            self.mix(block, before, kept, &mut memory.scratch);
            self.open(block, kept);
            self.think(block, kept, after, &mut memory.scratch);
        }
        let stream = memory.streams.last().expect("there is one stream more than blocks");
        self.normalise(self.model.final_norm, stream, &mut memory.last);
    }

    /// The stream (N, C) that enters the first block.
    fn embed(&self, stream: &mut [f32]) {
        let positions = self.model.position_embedding.map(|id| (self.weight(id), self.positions.as_slice()));
        let tokens = (self.weight(self.model.token_embedding), self.batch.inputs.as_slice());
        rows::embed(stream, tokens, positions, self.model.config.width);
    }

    /// The first half of a block: `kept.between` = `before` + attention.
    fn mix(&self, block: &Block, before: &[f32], kept: &mut BlockMemory, scratch: &mut Scratch) {
        self.project(block, before, kept, scratch);
        let config = &self.model.config;
        let (n, t, d) = (self.n(), self.batch.context, config.head_width());
        let (queries, h) = (config.heads * d, config.heads);
        sized(&mut scratch.heads, n * queries);
        sized(&mut kept.normalisers, n * h);
        let inputs = [&kept.queries[..], &kept.keys, &kept.values];
        attention::forward(self.attention_shape(), inputs, &mut scratch.heads, &mut kept.normalisers);
        sized(&mut kept.mixed, n * queries);
        let part = Part { heads: &scratch.heads, count: h, rotated: false };
        heads::merge(&mut kept.mixed, &[part], (t, d), None, None);
        self.round(&mut kept.mixed);
        sized(&mut kept.between, before.len());
        self.add_linear(block.output, before, &kept.mixed, &mut kept.between);
    }

    /// Queries, keys and values of a block, as heads.
    fn project(&self, block: &Block, before: &[f32], kept: &mut BlockMemory, scratch: &mut Scratch) {
        let config = &self.model.config;
        let (n, d) = (self.n(), config.head_width());
        let (queries, keys) = self.columns();
        let stride = queries + 2 * keys;
        self.normalise(block.attention_norm, before, &mut kept.attention);
        let normed = self.rows(&kept.attention.values);
        sized(&mut scratch.rows, n * stride);
        let mut bias = None;
        match block.projections {
            Projections::Merged(merged) => {
                bias = merged.bias.map(|bias| self.weight(bias));
                let target = Target::new(&mut scratch.rows, n, stride);
                multiply(target, normed, self.matrix(merged.weight), 1.0, Threads::All);
            }
            Projections::Separate { query, key, value } => {
                for (layer, column, columns) in
                    [(query, 0, queries), (key, queries, keys), (value, queries + keys, keys)]
                {
                    let target = Target::wide(&mut scratch.rows[column..], n, columns, stride);
                    multiply(target, normed, self.matrix(layer.weight), 1.0, Threads::All);
                }
            }
        }
        sized(&mut kept.queries, n * queries);
        sized(&mut kept.keys, n * keys);
        sized(&mut kept.values, n * keys);
        let rotation = self.rotation.as_ref();
        let (h, k) = (config.heads, config.kv_heads());
        heads::split(&mut kept.queries, &scratch.rows, self.layout(0, h), bias, rotation);
        heads::split(&mut kept.keys, &scratch.rows, self.layout(queries, k), bias, rotation);
        heads::split(&mut kept.values, &scratch.rows, self.layout(queries + keys, k), bias, None);
        if config.qk_norm {
            let [of_queries, of_keys] = &mut kept.inverses;
            norm::unit_rows(&mut kept.queries, d, config.norm_epsilon as f32, of_queries);
            norm::unit_rows(&mut kept.keys, d, config.norm_epsilon as f32, of_keys);
        }
        for values in [&mut kept.queries, &mut kept.keys, &mut kept.values] {
            self.round(values);
        }
    }

    /// Into the second half of a block: what its MLP computes before the activation.
    fn open(&self, block: &Block, kept: &mut BlockMemory) {
        let inner = self.n() * self.model.config.mlp_width();
        self.normalise(block.mlp_norm, &kept.between, &mut kept.mlp);
        let normed = &kept.mlp.values;
        let Mlp { gate, up, .. } = block.mlp;
        sized(&mut kept.up, inner);
        match gate {
            // The activation adds the bias.
            None => self.linear(Linear { bias: None, ..up }, normed, &mut kept.up),
            Some(gate) => {
                sized(&mut kept.gate, inner);
                self.linear(gate, normed, &mut kept.gate);
                self.linear(up, normed, &mut kept.up);
            }
        }
    }

    /// The rest of the second half: `after` = `kept.between` + MLP.
    fn think(&self, block: &Block, kept: &BlockMemory, after: &mut [f32], scratch: &mut Scratch) {
        sized(&mut scratch.active, kept.up.len());
        let Mlp { gate, up, down } = block.mlp;
        match gate {
            None => activation::curve(self.curve(), &mut scratch.active, &kept.up, self.bias(up)),
            Some(_) => activation::swiglu(&mut scratch.active, &kept.gate, &kept.up),
        }
        self.round(&mut scratch.active);
        self.add_linear(down, &kept.between, &scratch.active, after);
    }

    /// The activation of an MLP without a gate.
    fn curve(&self) -> Curve {
        let config = &self.model.config;
        match (config.activation(), config.gelu) {
            (Activation::Relu2, _) => Curve::Relu2,
            (_, Gelu::Erf) => Curve::Erf,
            (_, Gelu::Tanh) => Curve::Tanh,
        }
    }

    /// The bias of a layer before an activation that adds it.
    fn bias(&self, layer: Linear) -> &[f32] {
        layer.bias.map_or(&self.no_bias, |bias| self.weight(bias))
    }

    /// `out` = `input` · weight, plus the bias where there is one.
    fn linear(&self, layer: Linear, input: &[f32], out: &mut [f32]) {
        let [inputs, outputs] = self.shape(layer.weight);
        if let Some(bias) = layer.bias {
            rows::fill(out, self.weight(bias));
        }
        let target = Target::new(out, self.n(), outputs).adding(layer.bias.is_some());
        let input = Matrix::new(input, self.n(), inputs);
        multiply(target, input, self.matrix(layer.weight), 1.0, Threads::All);
    }

    /// `after` = `before` + `input` · weight + bias.
    fn add_linear(&self, layer: Linear, before: &[f32], input: &[f32], after: &mut [f32]) {
        let [inputs, outputs] = self.shape(layer.weight);
        rows::copy_with_bias(after, before, layer.bias.map(|bias| self.weight(bias)), outputs);
        let target = Target::new(after, self.n(), outputs).adding(true);
        multiply(target, Matrix::new(input, self.n(), inputs), self.matrix(layer.weight), 1.0, Threads::All);
    }

    /// Losses, and what they send back to the last norm's output (in `scratch.normed`) and to the output matrix.
    fn head(&self, memory: &mut Memory, scale: f32, gradients: &mut Gradients<'_>) -> f64 {
        let scratch = &mut memory.scratch;
        sized(&mut scratch.normed, memory.last.values.len());
        let nats = loss::head_gradient(
            (&memory.last.values, self.factor(self.model.head), self.model.config.softcap),
            (&self.batch.targets, scale, self.precision),
            &mut scratch.normed,
            (&mut gradients.values[self.model.head.0], gradients.sum),
            &mut scratch.logits,
        );
        nats.iter().map(|&nat| f64::from(nat)).sum()
    }

    fn backward(&self, memory: &mut Memory, gradients: &mut Gradients<'_>) {
        let c = self.model.config.width;
        let Memory { compute, streams, blocks, last, partials, scratch, .. } = memory;
        sized(&mut scratch.stream, self.n() * c);
        scratch.stream.fill(0.0);
        let input = (streams[self.model.blocks.len()].as_slice(), &last.moments);
        let ids = self.model.final_norm;
        gradients.norm(ids, self.norm(ids), input, &scratch.normed, &mut scratch.stream, partials);
        for (layer, block) in self.model.blocks.iter().enumerate().rev() {
            let kept = if compute.recompute { &mut blocks[0] } else { &mut blocks[layer] };
            // What the last block kept is still there.
            if compute.recompute && layer + 1 < self.model.blocks.len() {
                self.mix(block, &streams[layer], kept, scratch);
                self.open(block, kept);
            }
            self.think_back(block, kept, scratch, partials, gradients);
            self.mix_back(block, &streams[layer], kept, scratch, partials, gradients);
        }
        let ids = self.batch.inputs.iter().map(|&id| id as usize);
        let positions = self.positions.iter().copied().cycle();
        if let Some(id) = self.model.position_embedding {
            let table = &mut gradients.values[id.0];
            if gradients.sum == Sum::Start {
                table.fill(0.0);
            }
            rows::scatter(table, &scratch.stream, positions, c);
        }
        let table = self.model.token_embedding;
        // Where it is the output matrix too, its gradient has begun.
        if gradients.sum == Sum::Start && table.0 != self.model.head.0 {
            gradients.values[table.0].fill(0.0);
        }
        rows::scatter(&mut gradients.values[table.0], &scratch.stream, ids, c);
    }

    fn think_back(
        &self,
        block: &Block,
        kept: &BlockMemory,
        scratch: &mut Scratch,
        partials: &mut Vec<f32>,
        gradients: &mut Gradients<'_>,
    ) {
        let n = self.n();
        let inner = n * self.model.config.mlp_width();
        let Mlp { gate, up, down } = block.mlp;
        gradients.bias(down.bias, &scratch.stream, partials);
        sized(&mut scratch.inner, inner);
        self.round_stream(scratch);
        let stream = self.stream(&scratch.stream, &scratch.rounded_stream);
        self.linear_back(down, stream, &mut scratch.inner, false);
        match gate {
            None => {
                sized(&mut scratch.nothing, self.no_bias.len());
                activation::curve_backward(
                    self.curve(),
                    &mut scratch.inner,
                    &mut scratch.active,
                    (&kept.up, self.bias(up)),
                    up.bias.map_or(&mut scratch.nothing, |bias| &mut gradients.values[bias.0]),
                    gradients.sum,
                    partials,
                );
            }
            Some(gate) => {
                sized(&mut scratch.gate, inner);
                activation::swiglu_backward(
                    &mut scratch.inner,
                    &mut scratch.gate,
                    &mut scratch.active,
                    &kept.gate,
                    &kept.up,
                );
                gradients.bias(gate.bias, &scratch.gate, partials);
                gradients.bias(up.bias, &scratch.inner, partials);
            }
        }
        for values in [&mut scratch.active, &mut scratch.inner, &mut scratch.gate] {
            self.round(values);
        }
        let stream = self.rows(stream);
        gradients.matrix(down.weight, self.rows(&scratch.active), stream, self.shape(down.weight));
        let normed = self.rows(&kept.mlp.values);
        gradients.matrix(up.weight, normed, self.rows(&scratch.inner), self.shape(up.weight));
        self.linear_back(up, &scratch.inner, &mut scratch.normed, false);
        if let Some(gate) = gate {
            gradients.matrix(gate.weight, normed, self.rows(&scratch.gate), self.shape(gate.weight));
            self.linear_back(gate, &scratch.gate, &mut scratch.normed, true);
        }
        let ids = block.mlp_norm;
        let input = (kept.between.as_slice(), &kept.mlp.moments);
        gradients.norm(ids, self.norm(ids), input, &scratch.normed, &mut scratch.stream, partials);
    }

    fn mix_back(
        &self,
        block: &Block,
        before: &[f32],
        kept: &BlockMemory,
        scratch: &mut Scratch,
        partials: &mut Vec<f32>,
        gradients: &mut Gradients<'_>,
    ) {
        let config = &self.model.config;
        let (n, t, d) = (self.n(), self.batch.context, config.head_width());
        let (h, k) = (config.heads, config.kv_heads());
        let (queries, keys) = self.columns();
        let stride = queries + 2 * keys;
        gradients.bias(block.output.bias, &scratch.stream, partials);
        let output = block.output.weight;
        // The gradient of the mixed values, as rows and then as heads.
        sized(&mut scratch.rows, n * stride);
        self.round_stream(scratch);
        let stream = self.stream(&scratch.stream, &scratch.rounded_stream);
        gradients.matrix(output, self.rows(&kept.mixed), self.rows(stream), self.shape(output));
        self.linear_back(block.output, stream, &mut scratch.rows[..n * queries], false);
        self.round(&mut scratch.rows[..n * queries]);
        sized(&mut scratch.heads, n * queries);
        sized(&mut scratch.products, n * h);
        let layout = Layout { tokens: t, stride: queries, column: 0, heads: h, width: d };
        heads::split_with_products(
            &mut scratch.heads,
            &mut scratch.products,
            &scratch.rows[..n * queries],
            &kept.mixed,
            layout,
        );
        let [dq, dk, dv] = &mut scratch.gradients;
        sized(dq, n * queries);
        sized(dk, n * keys);
        sized(dv, n * keys);
        attention::backward(
            self.attention_shape(),
            [&kept.queries, &kept.keys, &kept.values],
            Back { normalisers: &kept.normalisers, gradient: &scratch.heads, products: &scratch.products },
            [dq, dk, dv],
        );
        if config.qk_norm {
            norm::unit_rows_backward(dq, &kept.queries, d, &kept.inverses[0]);
            norm::unit_rows_backward(dk, &kept.keys, d, &kept.inverses[1]);
        }
        let parts = [
            Part { heads: dq, count: h, rotated: true },
            Part { heads: dk, count: k, rotated: true },
            Part { heads: dv, count: k, rotated: false },
        ];
        let rotation = self.rotation.as_ref();
        let normed = self.rows(&kept.attention.values);
        match block.projections {
            Projections::Merged(merged) => {
                let mut sums = Partials::new(partials, n, stride);
                heads::merge(&mut scratch.rows, &parts, (t, d), rotation, Some(&mut sums));
                if let Some(bias) = merged.bias {
                    sums.finish(0, &mut gradients.values[bias.0], gradients.sum);
                }
                self.round(&mut scratch.rows);
                let rows = self.rows(&scratch.rows);
                gradients.matrix(merged.weight, normed, rows, self.shape(merged.weight));
                self.linear_back(merged, &scratch.rows, &mut scratch.normed, false);
            }
            Projections::Separate { query, key, value } => {
                heads::merge(&mut scratch.rows, &parts, (t, d), rotation, None);
                self.round(&mut scratch.rows);
                for (layer, column, columns) in
                    [(query, 0, queries), (key, queries, keys), (value, queries + keys, keys)]
                {
                    let rows = Matrix::wide(&scratch.rows[column..], n, columns, stride);
                    gradients.matrix(layer.weight, normed, rows, self.shape(layer.weight));
                    let target = Target::new(&mut scratch.normed, n, config.width).adding(column > 0);
                    multiply(target, rows, self.matrix(layer.weight).transposed(), 1.0, Threads::All);
                }
            }
        }
        let ids = block.attention_norm;
        let input = (before, &kept.attention.moments);
        gradients.norm(ids, self.norm(ids), input, &scratch.normed, &mut scratch.stream, partials);
    }

    /// The gradient of a layer's input from that of its output.
    fn linear_back(&self, layer: Linear, output: &[f32], input: &mut [f32], add: bool) {
        let [inputs, outputs] = self.shape(layer.weight);
        let target = Target::new(input, self.n(), inputs).adding(add);
        let output = Matrix::new(output, self.n(), outputs);
        multiply(target, output, self.matrix(layer.weight).transposed(), 1.0, Threads::All);
    }
}

/// Makes `buffer` hold `len` values; which ones does not matter.
fn sized(buffer: &mut Vec<f32>, len: usize) {
    if buffer.len() != len {
        buffer.resize(len, 0.0);
    }
}
