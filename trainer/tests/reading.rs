//! Reading by our own kernels gives what burn's operations give, at every position.

use burn::tensor::{Device, Tensor, TensorData};
use gristmill_train::config::{RunConfig, SampleConfig};
use gristmill_train::generate::generate_with;
use gristmill_train::loader::Batch;
use gristmill_train::loss::IGNORED;
use gristmill_train::model::{Model, Weights};
use gristmill_train::random::Random;
use gristmill_train::reader::Reader;

const VOCABULARY: usize = 31;
const CONTEXT: usize = 90;

const SHAPES: [&str; 5] = [
    "kind = \"gpt2\"\nlayers = 2\nheads = 2\nwidth = 16\n",
    "kind = \"gpt2\"\nlayers = 1\nheads = 4\nwidth = 24\ngelu = \"tanh\"\n",
    "kind = \"llama3\"\nlayers = 2\nheads = 4\nkv_heads = 2\nwidth = 16\n",
    "kind = \"llama3\"\nlayers = 2\nheads = 4\nkv_heads = 1\nwidth = 32\ntied = true\n",
    "kind = \"llama3\"\nlayers = 2\nheads = 2\nwidth = 16\nqk_norm = true\nsoftcap = 3.0\nactivation = \"relu2\"\n",
];

fn noise(name: &str, len: usize) -> Vec<u32> {
    let mut random = Random::named(1, name);
    (0..len).map(|_| (random.bits() % VOCABULARY as u64) as u32).collect()
}

/// A model whose weights are far from their small beginnings, so that nothing is nearly linear.
fn model(shape: &str) -> (Model, Weights) {
    let config = RunConfig::parse(&format!("[model]\ncontext = {CONTEXT}\n{shape}"), &[]).unwrap();
    let model = Model::new(&config.model, VOCABULARY);
    let device = Device::flex();
    let mut weights = model.initial_weights(1, &device);
    for (parameter, tensor) in model.parameters.iter().zip(&mut weights.0) {
        let mut random = Random::named(2, &parameter.name);
        let offset: Vec<f32> = (0..parameter.len()).map(|_| 0.2 * random.normal() as f32).collect();
        *tensor = tensor.clone() + Tensor::from_data(TensorData::new(offset, [parameter.len()]), &device);
    }
    (model, weights)
}

fn close(a: &[f32], b: &[f32], what: &str) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{what}: {a} {b}");
    }
}

#[test]
fn every_next_token_is_judged_alike() {
    for shape in SHAPES {
        let (model, weights) = model(shape);
        for padding in [vec![], vec![0_u32, 7, 3]] {
            let (mut fast, mut plain) = (Reader::new(&model, &weights), Reader::plain(&model, &weights));
            assert!(fast.is_empty());
            // Nine tokens at once, then one by one up to the context: past the room that is made at first.
            let prompt = noise("prompt", 3 * 9);
            let mut rows = 3;
            let mut padding = padding.clone();
            let (a, b) = (fast.next_logits(&prompt, 3, &padding), plain.next_logits(&prompt, 3, &padding));
            close(&a.concat(), &b.concat(), shape);
            for at in 9..CONTEXT {
                if at == 40 {
                    // One of three ends.
                    for reader in [&mut fast, &mut plain] {
                        reader.keep(&[0, 2]);
                    }
                    rows = 2;
                    if !padding.is_empty() {
                        padding.remove(1);
                    }
                }
                let ids = noise(&format!("token {at}"), rows);
                let (a, b) =
                    (fast.next_logits(&ids, rows, &padding), plain.next_logits(&ids, rows, &padding));
                close(&a.concat(), &b.concat(), &format!("{shape} at {at}"));
                assert_eq!((fast.len(), plain.len()), (at + 1, at + 1));
            }
            // What was read is forgotten, and so is how much room it took.
            fast.clear();
            plain.clear();
            let (a, b) = (fast.next_logits(&prompt[..5], 1, &[]), plain.next_logits(&prompt[..5], 1, &[]));
            close(&a.concat(), &b.concat(), shape);
            // Several more tokens at once are read one by one.
            let more = [fast.next_logits(&prompt[5..9], 1, &[]), plain.next_logits(&prompt[5..9], 1, &[])];
            close(&more[0].concat(), &more[1].concat(), shape);
        }
    }
}

#[test]
fn every_target_costs_alike() {
    for shape in SHAPES {
        let (model, weights) = model(shape);
        let (mut fast, mut plain) = (Reader::new(&model, &weights), Reader::plain(&model, &weights));
        let tokens = noise("batch", 2 * CONTEXT + 1);
        let mut targets = tokens[1..].to_vec();
        targets[3] = IGNORED;
        let lengths = [[70, 1, 19], [30, 30, 30]];
        let starts = lengths.iter().flat_map(|lengths| {
            let mut at = 0;
            lengths.iter().flat_map(move |&length| {
                at += length;
                vec![(at - length) as u32; length]
            })
        });
        let starts: Vec<u32> = starts.collect();
        for starts in [Vec::new(), starts] {
            let batch = Batch {
                rows: 2,
                context: CONTEXT,
                inputs: tokens[..2 * CONTEXT].to_vec(),
                targets: targets.clone(),
                starts,
            };
            close(&fast.nats(&batch), &plain.nats(&batch), shape);
            let places = [0, 5, 89, 90, 179];
            let mut seen = [Vec::new(), Vec::new()];
            for (reader, seen) in [&mut fast, &mut plain].into_iter().zip(&mut seen) {
                reader.logits_at(&batch, &places, |i, logits| {
                    assert_eq!(i * VOCABULARY, seen.len());
                    seen.extend_from_slice(logits);
                });
            }
            close(&seen[0], &seen[1], shape);
        }
    }
}

#[test]
fn the_same_text_is_written() {
    let config =
        SampleConfig { tokens: 150, temperature: 0.7, repetition_penalty: 1.1, ..SampleConfig::default() };
    for shape in SHAPES {
        let (model, weights) = model(shape);
        let prompts = [noise("a", 5), noise("b", 12), noise("c", 1)];
        let [fast, plain] =
            [Reader::new(&model, &weights), Reader::plain(&model, &weights)].map(|mut reader| {
                let mut randoms: Vec<Random> = (0..3).map(|i| Random::named(i, "text")).collect();
                // Longer than the context: the newest half is read again.
                generate_with(&mut reader, CONTEXT, &prompts, &config, [4], &mut randoms, |_, _| ()).unwrap()
            });
        assert_eq!(fast, plain, "{shape}");
    }
}
