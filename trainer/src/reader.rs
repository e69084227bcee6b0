//! Reads with a model, whatever holds its weights: by our own kernels where they lie in this process's memory, by burn's
//! operations elsewhere.

use burn::tensor::{Device, Tensor, TensorData};

use crate::host::Memory;
use crate::host::decode::{self, Kept};
use crate::loader::Batch;
use crate::loss;
use crate::model::{Cache, Model, Weights};
use crate::step::token_tensor;

/// Rows of logits held at once.
const PLACES: usize = 256;

/// A model that reads sequences, and what it has read of them.
pub struct Reader<'a> {
    model: &'a Model,
    weights: &'a Weights,
    way: Way,
}

enum Way {
    Host(Box<Host>),
    Plain(Cache),
}

/// The weights as plain buffers, and buffers that are used again.
struct Host {
    values: Vec<Vec<f32>>,
    kept: Kept,
    memory: Memory,
}

impl<'a> Reader<'a> {
    /// The fastest way for the device that the weights are on. On the CPU they are copied once.
    pub fn new(model: &'a Model, weights: &'a Weights) -> Self {
        if !is_host(&weights.0[0].device()) {
            return Self::plain(model, weights);
        }
        let floats = |w: &Tensor<1>| w.to_data().try_into_vec::<f32>().expect("the model computes in f32");
        let values = weights.0.iter().map(floats).collect();
        let host = Host { values, kept: Kept::default(), memory: decode::memory() };
        Self { model, weights, way: Way::Host(Box::new(host)) }
    }

    /// By burn's operations, on any device: the oracle of the other way.
    pub fn plain(model: &'a Model, weights: &'a Weights) -> Self {
        Self { model, weights, way: Way::Plain(Cache::default()) }
    }

    /// Tokens of each sequence that have been read.
    pub fn len(&self) -> usize {
        match &self.way {
            Way::Host(host) => host.kept.len(),
            Way::Plain(cache) => cache.len(),
        }
    }

    /// Whether nothing has been read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all sequences.
    pub fn clear(&mut self) {
        match &mut self.way {
            Way::Host(host) => host.kept.clear(),
            Way::Plain(cache) => *cache = Cache::default(),
        }
    }

    /// Forgets all sequences but these, in rising order.
    pub fn keep(&mut self, rows: &[usize]) {
        match &mut self.way {
            Way::Host(host) => host.kept.keep(rows),
            Way::Plain(cache) => cache.keep(rows),
        }
    }

    /// Reads `ids` (B, T), as many more tokens of each sequence, and returns the logits (V) after the last of each. With what
    /// was read before they must not exceed the model's context. `padding` says how many tokens in front of each sequence are
    /// none, and does not change until [`Self::clear`]; empty: of no sequence.
    pub fn next_logits(&mut self, ids: &[u32], rows: usize, padding: &[u32]) -> Vec<Vec<f32>> {
        match &mut self.way {
            Way::Host(host) => {
                let Host { values, kept, memory } = &mut **host;
                let weights: Vec<&[f32]> = values.iter().map(Vec::as_slice).collect();
                decode::next_logits(self.model, &weights, (ids, rows), padding, kept, memory)
            }
            Way::Plain(cache) => {
                let t = ids.len() / rows;
                let starts: Vec<u32> =
                    padding.iter().flat_map(|&padding| std::iter::repeat_n(padding, t)).collect();
                let tokens = token_tensor(ids, rows, t, &self.weights.0[0].device());
                self.model.next_logits(self.weights, tokens, &starts, cache)
            }
        }
    }

    /// Loss of each target of a batch in nats. What was read before stays as it is.
    pub fn nats(&mut self, batch: &Batch) -> Vec<f32> {
        match &mut self.way {
            Way::Host(host) => {
                let weights: Vec<&[f32]> = host.values.iter().map(Vec::as_slice).collect();
                decode::nats(self.model, &weights, batch, &mut host.memory)
            }
            Way::Plain(_) => {
                let hidden = self.plain_hidden(batch);
                let head = self.model.head(self.weights);
                loss::nats(&hidden, &head, self.model.config.softcap, &batch.targets)
            }
        }
    }

    /// Shows the logits (V) at some places of a batch, counted over all rows: how many places came before, and the logits.
    pub fn logits_at(&mut self, batch: &Batch, places: &[usize], mut see: impl FnMut(usize, &[f32])) {
        let (width, vocabulary) = (self.model.config.width, self.model.vocabulary);
        let numbered = places.chunks(PLACES).enumerate().map(|(chunk, places)| (chunk * PLACES, places));
        match &mut self.way {
            Way::Host(host) => {
                let weights: Vec<&[f32]> = host.values.iter().map(Vec::as_slice).collect();
                let hidden = decode::hidden(self.model, &weights, batch, &mut host.memory);
                for (before, places) in numbered {
                    let chosen: Vec<f32> =
                        places.iter().flat_map(|&place| &hidden[place * width..][..width]).copied().collect();
                    let logits = decode::logits(self.model, &weights, &chosen);
                    logits.chunks(vocabulary).enumerate().for_each(|(i, logits)| see(before + i, logits));
                }
            }
            Way::Plain(_) => {
                let hidden = self.plain_hidden(batch);
                for (before, places) in numbered {
                    let indices: Vec<i64> = places.iter().map(|&place| place as i64).collect();
                    let indices =
                        Tensor::from_data(TensorData::new(indices, [places.len()]), &hidden.device());
                    let chosen = hidden.clone().select(0, indices);
                    let logits = self.model.logits_of(chosen, self.model.head(self.weights)).into_data();
                    let logits = logits.try_into_vec::<f32>().expect("the model computes in f32");
                    logits.chunks(vocabulary).enumerate().for_each(|(i, logits)| see(before + i, logits));
                }
            }
        }
    }

    fn plain_hidden(&self, batch: &Batch) -> Tensor<2> {
        let tokens = token_tensor(&batch.inputs, batch.rows, batch.context, &self.weights.0[0].device());
        self.model.hidden_within(self.weights, tokens, &batch.starts, None)
    }
}

#[cfg(feature = "flex")]
fn is_host(device: &Device) -> bool {
    *device == Device::flex()
}

#[cfg(not(feature = "flex"))]
fn is_host(_device: &Device) -> bool {
    false
}
