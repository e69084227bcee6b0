//! What a trainer must do to be believed: start at ln V, learn, leave no parameter out, see no future, depend on no
//! thread, and come back from a kill as if nothing had happened.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use gristmill_tokenizer::{Pattern, PretokenCounts, Tokenizer, TrainOptions, train as train_tokenizer};
use gristmill_train::checkpoint::{Checkpoint, DataIdentity};
use gristmill_train::config::{Precision, RunConfig, SampleConfig};
use gristmill_train::evaluate::score;
use gristmill_train::generate::{generate, generate_batch, prompt_ids};
use gristmill_train::host::{self, Compute, Memory};
use gristmill_train::kernels::rows::Sum;
use gristmill_train::loader::{Batch, Loader};
use gristmill_train::loss::{IGNORED, nats};
use gristmill_train::model::{Cache, Model, Weights, attention};
use gristmill_train::optimizer::Place;
use gristmill_train::pretrain::{Pretraining, pretrain};
use gristmill_train::random::Random;
use gristmill_train::step::{Training, gradients_of, token_tensor};

const GPT2: &str = "[model]\nkind = \"gpt2\"\nlayers = 2\nheads = 2\nwidth = 16\ncontext = 12\n";
const LLAMA3: &str =
    "[model]\nkind = \"llama3\"\nlayers = 2\nheads = 4\nkv_heads = 2\nwidth = 16\ncontext = 12\n";
/// Every switch of nanochat's at once.
const NANOCHAT: &str = "[model]\nkind = \"llama3\"\nlayers = 2\nheads = 4\nkv_heads = 2\nwidth = 16\ncontext = 12\n\
    qk_norm = true\nactivation = \"relu2\"\nsoftcap = 15\n";
const SHAPES: [&str; 6] = [
    GPT2,
    LLAMA3,
    "[model]\nkind = \"llama3\"\nlayers = 1\nheads = 2\nkv_heads = 1\nwidth = 16\ncontext = 12\ntied = true\n",
    NANOCHAT,
    "[model]\nkind = \"gpt2\"\nlayers = 2\nheads = 2\nwidth = 16\ncontext = 12\n\
        qk_norm = true\nactivation = \"relu2\"\nsoftcap = 15\ntied = false\n",
    "[model]\nkind = \"gpt2\"\nlayers = 1\nheads = 2\nwidth = 16\ncontext = 12\nactivation = \"swiglu\"\n",
];
const SWITCHES: [&str; 9] = [
    "gelu=erf",
    "gelu=tanh",
    "qk_norm=true",
    "activation=gelu",
    "activation=relu2",
    "activation=swiglu",
    "softcap=2", // logits of about 3: bent hard
    "tied=false",
    "tied=true",
];

fn config(text: &str, set: &[&str]) -> RunConfig {
    RunConfig::parse(text, &set.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>()).unwrap()
}

fn noise(name: &str, len: usize, vocabulary: u64) -> Vec<u32> {
    let mut random = Random::named(1, name);
    (0..len).map(|_| (random.bits() % vocabulary) as u32).collect()
}

fn values(tensor: &Tensor<1>) -> Vec<f32> {
    tensor.to_data().try_into_vec::<f32>().unwrap()
}

fn all_bits(weights: &Weights) -> Vec<u32> {
    weights.0.iter().flat_map(values).map(f32::to_bits).collect()
}

/// Mean nats of a batch.
fn loss(model: &Model, weights: &Weights, batch: &Batch) -> f64 {
    let tokens = token_tensor(&batch.inputs, batch.rows, batch.context, &Device::flex());
    let hidden = model.hidden_within(weights, tokens, &batch.starts, None);
    let losses = nats(&hidden, &model.head(weights), model.config.softcap, &batch.targets);
    losses.iter().map(|&nat| f64::from(nat)).sum::<f64>() / batch.n_targets() as f64
}

#[test]
fn the_first_loss_is_ln_v() {
    for text in SHAPES {
        let config = config(text, &["model.width=64"]);
        let model = Model::new(&config.model, 1000);
        let source = noise("first loss", 2000, 1000);
        let batch = Loader::new(&source, 12, 1).unwrap().rows(0, 16).unwrap();
        let first = loss(&model, &model.initial_weights(1, &Device::flex()), &batch);
        assert!((first / 1000_f64.ln() - 1.0).abs() < 0.02, "{first}");
    }
}

#[test]
fn one_batch_is_learnt_by_heart() {
    for text in SHAPES {
        let config = config(
            text,
            &["train.steps=400", "train.warmup=10", "train.learning_rate=1e-2", "train.weight_decay=0.0"],
        );
        let batch = Loader::new(&noise("by heart", 49, 50), 12, 1).unwrap().rows(0, 4).unwrap();
        let model = Model::new(&config.model, 50);
        let mut training = Training::new(model, &config.train, Device::flex(), Place::Host);
        let mut last = f64::INFINITY;
        for _ in 0..config.train.steps {
            last = training.advance(&config.train, std::slice::from_ref(&batch)).unwrap().loss;
        }
        assert!(last < 0.01, "{last}");
    }
}

/// Along a direction that is half the gradient's and half random, the loss must rise as the gradient says. Weights
/// are ten times the usual, so that norms, softmax and activations are far from linear.
#[test]
fn every_gradient_agrees_with_finite_differences() {
    let device = Device::flex();
    for text in SHAPES {
        for switch in SWITCHES {
            let config = config(text, &[&format!("model.{switch}")]);
            let model = Model::new(&config.model, 23);
            let mut weights = model.initial_weights(1, &device);
            for (parameter, tensor) in model.parameters.iter().zip(&mut weights.0) {
                let mut random = Random::named(2, &parameter.name);
                let offset: Vec<f32> = (0..parameter.len()).map(|_| 0.2 * random.normal() as f32).collect();
                *tensor =
                    tensor.clone() + Tensor::from_data(TensorData::new(offset, [parameter.len()]), &device);
            }
            let mut batch = Loader::new(&noise("differences", 400, 23), 12, 1).unwrap().rows(0, 30).unwrap();
            batch.targets[5] = IGNORED;
            let scale = (1.0 / batch.n_targets() as f64) as f32;
            for place in [Place::Host, Place::Device] {
                let (_, gradients) =
                    gradients_of(&model, &weights, &batch, scale, (place, Compute::default()));
                assert_eq!(gradients.len(), model.parameters.len());
                for (i, parameter) in model.parameters.iter().enumerate() {
                    let gradient = values(&gradients[i]);
                    let norm = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
                    // Adding one number to all scores of a row changes nothing, so a key bias has no gradient;
                    // GPT-2's lies inside c_attn.bias, whose other parts have.
                    assert!(norm > 1e-5, "{} has no gradient: {norm}", parameter.name);
                    let mut random = Random::named(3, &parameter.name);
                    let draws: Vec<f64> = (0..parameter.len()).map(|_| random.normal()).collect();
                    let draws_norm = draws.iter().map(|d| d * d).sum::<f64>().sqrt();
                    let direction: Vec<f64> = gradient
                        .iter()
                        .zip(&draws)
                        .map(|(&g, d)| f64::from(g) / norm + 0.5 * d / draws_norm)
                        .collect();
                    let expected: f64 = gradient.iter().zip(&direction).map(|(&g, d)| f64::from(g) * d).sum();
                    let at = |distance: f64| {
                        let step: Vec<f32> = direction.iter().map(|d| (d * distance) as f32).collect();
                        let mut moved = weights.clone();
                        moved.0[i] = moved.0[i].clone()
                            + Tensor::from_data(TensorData::new(step, [parameter.len()]), &device);
                        loss(&model, &moved, &batch)
                    };
                    // Fourth order, so that a step large against f32's rounding is small against the curvature; shorter
                    // where that is great (norms of short vectors, the kink in the slope's slope of a squared ReLU).
                    let slope_by =
                        |e: f64| (8.0 * (at(e) - at(-e)) - (at(2.0 * e) - at(-2.0 * e))) / (12.0 * e);
                    let (mut slope, mut error) = (f64::NAN, f64::INFINITY);
                    for e in [0.02, 0.008, 0.003] {
                        if error >= 1e-3 {
                            slope = slope_by(e);
                            error = (slope - expected).abs() / expected.abs();
                        }
                    }
                    assert!(
                        error < 1e-3,
                        "{text} {switch}: {} {place:?}: {slope} {expected} {error:.1e}",
                        parameter.name
                    );
                }
            }
        }
    }
}

#[test]
fn later_tokens_do_not_change_earlier_logits() {
    let device = Device::flex();
    for text in SHAPES {
        let model = Model::new(&config(text, &[]).model, 31);
        let weights = model.initial_weights(1, &device);
        let logits = |tokens: &[u32]| {
            let logits = model.logits(&weights, token_tensor(tokens, 1, tokens.len(), &device), None);
            logits.into_data().try_into_vec::<f32>().unwrap()
        };
        let tokens = noise("causal", 12, 31);
        let before = logits(&tokens);
        for position in 1..12 {
            let mut changed = tokens.clone();
            changed[position] = (changed[position] + 1) % 31;
            let after = logits(&changed);
            assert_eq!(before[..position * 31], after[..position * 31]);
            assert_ne!(before[position * 31..], after[position * 31..]);
        }
    }
}

/// Where the documents of these lengths begin, for each of their tokens.
fn starts(lengths: &[usize]) -> Vec<u32> {
    let mut at = 0;
    let document = |&length: &usize| {
        at += length;
        vec![(at - length) as u32; length]
    };
    lengths.iter().flat_map(document).collect()
}

#[test]
fn documents_in_one_row_do_not_see_each_other() {
    let device = Device::flex();
    for text in SHAPES {
        let model = Model::new(&config(text, &[]).model, 31);
        let weights = model.initial_weights(1, &device);
        let tokens = noise("documents", 24, 31);
        let rows = [[5, 1, 6], [2, 3, 7]];
        let all_starts: Vec<u32> = rows.iter().flat_map(|lengths| starts(lengths)).collect();
        let packed = model.hidden_within(&weights, token_tensor(&tokens, 2, 12, &device), &all_starts, None);
        let packed = packed.into_data().try_into_vec::<f32>().unwrap();
        let mut at = 0;
        for length in rows.concat() {
            let alone =
                model.hidden(&weights, token_tensor(&tokens[at..at + length], 1, length, &device), None);
            let alone = alone.into_data().try_into_vec::<f32>().unwrap();
            for (a, b) in alone.iter().zip(&packed[at * 16..]) {
                assert!((a - b).abs() < 1e-5, "{text} token {at}: {a} {b}");
            }
            at += length;
        }
    }
}

/// Grouped queries, one loop an index: the definition.
#[test]
fn attention_follows_its_definition() {
    let (b, h, k, t, d) = (2, 4, 2, 3, 5);
    let draw = |name: &str, heads: usize| -> Vec<f32> {
        let mut random = Random::named(1, name);
        (0..b * heads * t * d).map(|_| random.normal() as f32).collect()
    };
    let (q, keys, v) = (draw("q", h), draw("k", k), draw("v", k));
    let tensor = |values: &[f32], heads: usize| {
        Tensor::<4>::from_data(TensorData::new(values.to_vec(), [b, heads, t, d]), &Device::flex())
    };
    let mask: Vec<f32> = (0..t * t).map(|i| if i % t > i / t { -1e30 } else { 0.0 }).collect();
    let mask = Tensor::<4>::from_data(TensorData::new(mask, [1, 1, t, t]), &Device::flex());
    let out = attention(tensor(&q, h), tensor(&keys, k), tensor(&v, k), Some(mask));
    let out = out.into_data().try_into_vec::<f32>().unwrap();
    let at = |values: &[f32], heads: usize, b: usize, head: usize, t_: usize, i: usize| {
        f64::from(values[((b * heads + head) * t + t_) * d + i])
    };
    for batch in 0..b {
        for head in 0..h {
            let group = head / (h / k);
            for query in 0..t {
                let scores: Vec<f64> = (0..=query)
                    .map(|key| {
                        let dot: f64 = (0..d)
                            .map(|i| at(&q, h, batch, head, query, i) * at(&keys, k, batch, group, key, i))
                            .sum();
                        (dot / (d as f64).sqrt()).exp()
                    })
                    .collect();
                for i in 0..d {
                    let mixed: f64 =
                        scores.iter().enumerate().map(|(key, s)| s * at(&v, k, batch, group, key, i)).sum();
                    let expected = mixed / scores.iter().sum::<f64>();
                    assert!((at(&out, h, batch, head, query, i) - expected).abs() < 1e-5);
                }
            }
        }
    }
}

#[test]
fn a_cache_changes_nothing() {
    let device = Device::flex();
    for text in SHAPES {
        let model = Model::new(&config(text, &[]).model, 31);
        let weights = model.initial_weights(1, &device);
        let tokens = noise("cached", 12, 31);
        let whole = model.logits(&weights, token_tensor(&tokens, 1, 12, &device), None);
        let whole = whole.into_data().try_into_vec::<f32>().unwrap();
        // Prefill of several lengths, then pieces of one and two tokens.
        for cuts in [vec![0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], vec![0, 5, 6, 8, 12], vec![0, 12]] {
            let mut cache = Cache::default();
            for cut in cuts.windows(2) {
                let part = &tokens[cut[0]..cut[1]];
                let last =
                    model.last_logits(&weights, token_tensor(part, 1, part.len(), &device), &mut cache);
                assert_eq!(cache.len(), cut[1]);
                for (a, b) in last.iter().zip(&whole[(cut[1] - 1) * 31..]) {
                    assert!((a - b).abs() < 1e-5, "{a} {b}");
                }
            }
        }
    }
}

#[test]
fn accumulation_divides_by_the_tokens_of_the_whole_window() {
    let config = config(GPT2, &[]);
    let source = noise("accumulate", 500, 23);
    let loader = Loader::new(&source, 12, 1).unwrap();
    let mut whole = loader.rows(0, 8).unwrap();
    // Uneven: the first half has 3 targets, the second all.
    whole.targets[3..48].fill(IGNORED);
    let parts = |n: usize| -> Vec<Batch> {
        let part = whole.inputs.len() / n;
        let cut = |values: &[u32], i: usize| values[i * part..(i + 1) * part].to_vec();
        let batch = |i| Batch {
            rows: 8 / n,
            context: 12,
            inputs: cut(&whole.inputs, i),
            targets: cut(&whole.targets, i),
            starts: Vec::new(),
        };
        (0..n).map(batch).collect()
    };
    for place in [Place::Host, Place::Device] {
        let run = |batches: &[Batch]| {
            let model = Model::new(&config.model, 23);
            let mut training = Training::new(model, &config.train, Device::flex(), place);
            (0..3).map(|_| training.advance(&config.train, batches).unwrap()).collect::<Vec<_>>()
        };
        let once = run(&parts(1));
        for n in [2, 4] {
            for (one, several) in once.iter().zip(run(&parts(n))) {
                assert_eq!(one.tokens, several.tokens);
                assert!((one.loss - several.loss).abs() < 1e-6, "{one:?} {several:?}");
                let apart = (one.gradient_norm - several.gradient_norm).abs();
                assert!(apart < 1e-6 * one.gradient_norm.max(1.0), "{one:?} {several:?}");
            }
        }
    }
}

/// Large enough that matrix products, reductions and our own loops are all split over threads.
#[test]
fn the_number_of_threads_changes_no_bit() {
    let sizes =
        ["model.width=128", "model.heads=4", "model.kv_heads=4", "model.context=96", "model.layers=2"];
    let muon = [&sizes[..], &ALL_SWITCHES].concat();
    let runs = SHAPES.map(|text| (text, &sizes[..])).into_iter().chain([(GPT2, &muon[..])]);
    for (text, set) in runs {
        let config = config(text, set);
        let source = noise("threads", 5000, 2000);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let loader = Loader::new(&source, 96, 1).unwrap();
                let model = Model::new(&config.model, 2000);
                let mut training = Training::new(model, &config.train, Device::flex(), Place::Host);
                for step in 0..2 {
                    training.advance(&config.train, &[loader.rows(step * 8, 8).unwrap()]).unwrap();
                }
                all_bits(&training.weights)
            })
        };
        let one = run(1);
        for threads in [2, 3] {
            assert!(one == run(threads), "{threads} threads differ from one");
        }
    }
}

/// A small corpus, its tokenizer, and its tokens.
struct Corpus {
    tokenizer: Tokenizer,
    train: Vec<u32>,
    val: Vec<u32>,
    val_bytes: u64,
}

fn corpus() -> Corpus {
    let words = ["mill", "stone", "grain", "water", "turns", "the", "a", "slow", "wheel", "grinds"];
    let mut random = Random::named(1, "corpus");
    let documents: Vec<String> = (0..300)
        .map(|_| {
            (0..12).map(|_| words[(random.uniform().powi(2) * 10.0) as usize]).collect::<Vec<_>>().join(" ")
                + ".\n"
        })
        .collect();
    let mut counts = PretokenCounts::new(Pattern::nanochat());
    for document in &documents {
        counts.add(document);
    }
    let options = TrainOptions { vocab_size: 300, ..TrainOptions::default() };
    let tokenizer = train_tokenizer(&counts, &options).unwrap();
    let tokens = |documents: &[String]| documents.iter().flat_map(|d| prompt_ids(&tokenizer, d)).collect();
    let (train, val) = (tokens(&documents[..270]), tokens(&documents[270..]));
    let val_bytes = documents[270..].iter().map(|d| d.len() as u64).sum();
    Corpus { tokenizer, train, val, val_bytes }
}

fn identity(name: &str) -> DataIdentity {
    DataIdentity { tokenizer: "t".into(), shards: name.into() }
}

fn job<'a>(corpus: &'a Corpus, config: &'a RunConfig, json: &'a [u8], out: &'a Path) -> Pretraining<'a> {
    Pretraining {
        config,
        train: &corpus.train,
        sources: &[],
        val: &corpus.val,
        tokenizer: &corpus.tokenizer,
        tokenizer_json: json,
        data: identity("s"),
        out,
        resume: false,
        device: Device::flex(),
        place: Place::Host,
        stop_after: None,
    }
}

const RUN: [&str; 6] = [
    "train.steps=40",
    "train.batch=4",
    "train.accumulate=2",
    "train.warmup=4",
    "train.checkpoint_every=5",
    "train.eval_every=8",
];

/// How else a run may compute, all at once.
const ALL_SWITCHES: [&str; 5] = [
    "train.optimizer=muon",
    "train.rates.embedding=0.02",
    "train.rates.scalars=0.005",
    "train.precision=bf16",
    "train.checkpoint_activations=true",
];

#[test]
fn two_resumes_in_a_row_leave_no_trace() {
    let corpus = corpus();
    let json = corpus.tokenizer.to_json().into_bytes();
    let runs: [(&str, &[&str]); 5] = [
        (GPT2, &[]),
        (LLAMA3, &[]),
        (NANOCHAT, &["train.optimizer=muon"]),
        (LLAMA3, &["train.precision=bf16"]),
        (GPT2, &ALL_SWITCHES),
    ];
    for (text, set) in runs {
        let mut config = config(text, &[&RUN[..], set].concat());
        config.train.learning_rate = 1e-2;
        config.sample.prompts = vec![String::new(), "the mill".to_owned()];
        let folder = tempfile::tempdir().unwrap();
        let (calm, stormy) = (folder.path().join("calm"), folder.path().join("stormy"));
        let summary = pretrain(&job(&corpus, &config, &json, &calm)).unwrap().unwrap();
        // Stopped between checkpoints (steps 7 and 23), so that steps are lost and done again.
        for stop_after in [Some(7), Some(23), None] {
            let run = Pretraining { resume: true, stop_after, ..job(&corpus, &config, &json, &stormy) };
            assert_eq!(pretrain(&run).unwrap(), stop_after.is_none().then(|| summary.clone()));
        }
        for file in [
            "metrics.jsonl",
            "summary.json",
            "sample.txt",
            "checkpoint/model.safetensors",
            "checkpoint/optimizer.safetensors",
            "checkpoint/state.json",
        ] {
            let (a, b) = (std::fs::read(calm.join(file)).unwrap(), std::fs::read(stormy.join(file)).unwrap());
            assert!(a == b, "{file} differs");
        }
        assert!(summary.val_loss < summary.unigram_entropy, "{summary:?}");
        let metrics = std::fs::read_to_string(calm.join("metrics.jsonl")).unwrap();
        assert_eq!(metrics.lines().count(), 40 + 5);
        // Once more after the end: nothing to train, the same summary.
        let again = Pretraining { resume: true, ..job(&corpus, &config, &json, &calm) };
        assert_eq!(pretrain(&again).unwrap(), Some(summary));
        assert_eq!(std::fs::read_to_string(calm.join("metrics.jsonl")).unwrap(), metrics);
        // And without --resume: refused.
        let error = pretrain(&job(&corpus, &config, &json, &calm)).unwrap_err().to_string();
        assert!(error.contains("already holds a checkpoint"), "{error}");
    }
}

#[test]
fn another_run_s_checkpoint_is_refused_by_name() {
    let corpus = corpus();
    let json = corpus.tokenizer.to_json().into_bytes();
    let config_a = config(GPT2, &RUN);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    let run = Pretraining { stop_after: Some(6), ..job(&corpus, &config_a, &json, out) };
    assert_eq!(pretrain(&run).unwrap(), None);
    let refused = |config: &RunConfig, data: DataIdentity, expected: &str| {
        let run = Pretraining { resume: true, data, ..job(&corpus, config, &json, out) };
        let error = pretrain(&run).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let with = |entry: &str| config(GPT2, &[&RUN[..], &[entry]].concat());
    refused(&with("model.width=32"), identity("s"), "model.width: 16 in the checkpoint, 32 now");
    refused(&with("train.seed=2"), identity("s"), "train.seed: 1 in the checkpoint, 2 now");
    refused(&config_a, identity("other"), "shards: s in the checkpoint, other now");
    // What does not touch the weights may change.
    let other = with("train.eval_every=3");
    let run = Pretraining { resume: true, stop_after: Some(8), ..job(&corpus, &other, &json, out) };
    assert_eq!(pretrain(&run).unwrap(), None);
}

#[test]
fn a_damaged_checkpoint_is_refused_by_name() {
    let corpus = corpus();
    let json = corpus.tokenizer.to_json().into_bytes();
    let config = config(GPT2, &RUN);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path();
    pretrain(&Pretraining { stop_after: Some(6), ..job(&corpus, &config, &json, out) }).unwrap();
    let checkpoint = out.join("checkpoint");
    for file in ["model.safetensors", "optimizer.safetensors", "tokenizer.json", "state.json"] {
        let path = checkpoint.join(file);
        let content = std::fs::read(&path).unwrap();
        let mut damaged = content.clone();
        damaged[content.len() / 2] ^= 0x55;
        for bad in [&damaged[..], &content[..content.len() / 2], &[]] {
            std::fs::write(&path, bad).unwrap();
            let opened = Checkpoint::open(&checkpoint).and_then(|checkpoint| {
                checkpoint.tokenizer()?;
                checkpoint.training(Device::flex(), Place::Host)
            });
            let error = format!("{:#}", opened.err().expect(file));
            assert!(error.contains(file) || file == "state.json", "{error}");
        }
        std::fs::write(&path, content).unwrap();
    }
    assert!(Checkpoint::open(&checkpoint).unwrap().training(Device::flex(), Place::Host).is_ok());
    let error = Checkpoint::open(&out.join("nowhere")).err().unwrap().to_string();
    assert!(error.contains("is not a checkpoint"), "{error}");
}

#[test]
fn bits_per_byte_count_every_byte_of_the_text() {
    let corpus = corpus();
    let model = Model::new(&config(GPT2, &[]).model, corpus.tokenizer.vocab_size());
    let weights = model.initial_weights(1, &Device::flex());
    let all = score(&model, &weights, &corpus.val, &corpus.tokenizer, 4, 0).unwrap();
    assert_eq!((all.bytes, all.tokens), (corpus.val_bytes, corpus.val.len() as u64 - 1));
    let bits = all.loss * all.tokens as f64 / 2_f64.ln() / all.bytes as f64;
    assert!((all.bits_per_byte - bits).abs() < 1e-9);
    // Batches are a matter of speed, not of value.
    let other = score(&model, &weights, &corpus.val, &corpus.tokenizer, 7, 0).unwrap();
    assert!((all.loss - other.loss).abs() < 1e-6);
    assert_eq!(score(&model, &weights, &corpus.val, &corpus.tokenizer, 4, 10).unwrap().tokens, 10);
}

#[test]
fn samples_follow_their_seed_and_outgrow_the_context() {
    let device = Device::flex();
    for text in SHAPES {
        let model = Model::new(&config(text, &[]).model, 31);
        let weights = model.initial_weights(1, &device);
        let draw = |seed: u64, prompt: &[u32], tokens: usize| {
            let config = SampleConfig { tokens, temperature: 1.0, top_p: 1.0, ..SampleConfig::default() };
            let mut random = Random::named(seed, "sample");
            let mut seen = Vec::new();
            let ids =
                generate(&model, &weights, prompt, &config, None, &mut random, |id| seen.push(id)).unwrap();
            assert_eq!(ids, seen);
            ids
        };
        assert_eq!(draw(1, &[3], 40).len(), 40);
        assert_eq!(draw(1, &[3], 40), draw(1, &[3], 40));
        assert_ne!(draw(1, &[3], 40), draw(2, &[3], 40));
        assert_eq!(draw(1, &noise("long prompt", 50, 31), 3).len(), 3);
        assert!(draw(1, &[3], 0).is_empty());
    }
}

/// Kernels of their own against burn's operations and its automatic differentiation, where rows hold several documents.
#[test]
fn gradients_within_documents_equal_the_plain_ones() {
    let device = Device::flex();
    for (text, switch) in SHAPES.iter().flat_map(|text| SWITCHES.map(|switch| (text, switch))) {
        // More tokens than attention's blocks of queries, and a start in the midst of one.
        let set = ["model.context=150", &format!("model.{switch}")];
        let model = Model::new(&config(text, &set).model, 23);
        let weights = model.initial_weights(1, &device);
        let tokens = noise("documents", 301, 23);
        let batch = Batch {
            rows: 2,
            context: 150,
            inputs: tokens[..300].to_vec(),
            targets: tokens[1..].to_vec(),
            starts: [starts(&[70, 1, 79]), starts(&[100, 50])].concat(),
        };
        let (nats, gradients) =
            gradients_of(&model, &weights, &batch, 0.01, (Place::Host, Compute::default()));
        let (plain_nats, plain) =
            gradients_of(&model, &weights, &batch, 0.01, (Place::Device, Compute::default()));
        assert!((nats - plain_nats).abs() < 1e-2, "{nats} {plain_nats}");
        for ((parameter, a), b) in model.parameters.iter().zip(&gradients).zip(&plain) {
            let (a, b) = (values(a), values(b));
            let largest = b.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            for (a, b) in a.iter().zip(&b) {
                assert!(
                    (a - b).abs() <= 1e-4 * largest,
                    "{text} {switch}: {} {a} {b} of {largest}",
                    parameter.name
                );
            }
        }
    }
}

/// Host gradients of two batches, one after the other, and the bytes that were kept.
fn summed(model: &Model, weights: &[&[f32]], batches: &[Batch], compute: Compute) -> (Vec<u64>, usize) {
    let mut memory = Memory::new(compute);
    let mut gradients = host::gradient_buffers(model);
    let mut bits = Vec::new();
    for (batch, sum) in batches.iter().zip([Sum::Start, Sum::Continue]) {
        let nats = host::gradients(model, weights, batch, 0.01, &mut memory, &mut gradients, sum);
        bits.push(nats.to_bits());
    }
    bits.extend(gradients.concat().iter().map(|value| u64::from(value.to_bits())));
    (bits, memory.bytes())
}

#[test]
fn blocks_that_are_computed_again_give_the_same_bits_in_less_memory() {
    for text in SHAPES {
        let model = Model::new(&config(text, &["model.layers=6", "model.context=32"]).model, 23);
        let weights = model.initial_weights(1, &Device::flex());
        let weights: Vec<Vec<f32>> = weights.0.iter().map(values).collect();
        let weights: Vec<&[f32]> = weights.iter().map(Vec::as_slice).collect();
        let source = noise("again", 900, 23);
        let loader = Loader::new(&source, 32, 1).unwrap();
        let batches = [loader.rows(0, 8).unwrap(), loader.rows(8, 8).unwrap()];
        for precision in [Precision::F32, Precision::Bf16] {
            let run = |recompute| summed(&model, &weights, &batches, Compute { precision, recompute });
            let ((kept, bytes), (again, fewer)) = (run(false), run(true));
            assert!(kept == again, "{text} {precision:?}");
            assert!(fewer * 2 < bytes, "{text}: {fewer} of {bytes} bytes");
        }
        // By the backend's operations, which keep a graph of one block at a time.
        let tensors = model.initial_weights(1, &Device::flex());
        let on_device = |recompute| {
            let compute = Compute { precision: Precision::F32, recompute };
            gradients_of(&model, &tensors, &batches[0], 0.01, (Place::Device, compute))
        };
        let ((nats, kept), (nats_again, again)) = (on_device(false), on_device(true));
        // burn norms tensors without a graph by other loops: alike up to rounding.
        assert!((nats - nats_again).abs() < 1e-6 * nats, "{text} {nats} {nats_again}");
        for ((parameter, a), b) in model.parameters.iter().zip(&kept).zip(&again) {
            assert!(apart(&values(a), &values(b)) < 1e-5, "{text} {}", parameter.name);
        }
    }
}

/// Distance of two vectors over the length of the second.
fn apart(a: &[f32], b: &[f32]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    let difference = norm(&mut a.iter().zip(b).map(|(a, b)| f64::from(a - b)));
    difference / norm(&mut b.iter().map(|&b| f64::from(b)))
}

#[test]
fn bf16_gradients_are_near_those_of_f32_and_of_hardware_that_rounds_alike() {
    for text in SHAPES {
        let model = Model::new(&config(text, &["model.width=32"]).model, 23);
        let weights = model.initial_weights(1, &Device::flex());
        let batch = Loader::new(&noise("bf16", 400, 23), 12, 1).unwrap().rows(0, 30).unwrap();
        let gradients = |place, precision| {
            let compute = Compute { precision, recompute: false };
            gradients_of(&model, &weights, &batch, 0.01, (place, compute)).1
        };
        let exact = gradients(Place::Host, Precision::F32);
        let host = gradients(Place::Host, Precision::Bf16);
        let device = gradients(Place::Device, Precision::Bf16);
        for (((parameter, exact), host), device) in
            model.parameters.iter().zip(&exact).zip(&host).zip(&device)
        {
            let (exact, host, device) = (values(exact), values(host), values(device));
            let (to_exact, to_device) = (apart(&host, &exact), apart(&host, &device));
            assert!(to_exact > 0.0 && to_exact < 0.02, "{text} {}: {to_exact}", parameter.name);
            assert!(to_device < 0.02, "{text} {}: {to_device}", parameter.name);
        }
    }
}

#[test]
fn a_run_in_bf16_learns_as_one_in_f32() {
    let corpus = corpus();
    for text in [GPT2, LLAMA3, NANOCHAT] {
        let losses = |precision: &str| -> Vec<f64> {
            let config = config(
                text,
                &["train.steps=60", "train.learning_rate=1e-2", &format!("train.precision={precision}")],
            );
            let loader = Loader::new(&corpus.train, 12, 1).unwrap();
            let model = Model::new(&config.model, corpus.tokenizer.vocab_size());
            let mut training = Training::new(model, &config.train, Device::flex(), Place::Host);
            (0..60)
                .map(|step| {
                    training.advance(&config.train, &[loader.rows(step * 8, 8).unwrap()]).unwrap().loss
                })
                .collect()
        };
        let (f32, bf16) = (losses("f32"), losses("bf16"));
        assert_ne!(f32, bf16);
        let furthest = f32.iter().zip(&bf16).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(furthest < 0.05, "{text} {furthest}");
        assert!(bf16[59] < bf16[0] - 1.0, "{bf16:?}");
    }
}

#[test]
fn muon_learns_one_batch_by_heart() {
    for text in SHAPES {
        let set =
            ["train.optimizer=muon", "train.steps=300", "train.learning_rate=1e-2", "train.weight_decay=0.0"];
        let config = config(text, &set);
        let batch = Loader::new(&noise("by heart", 49, 50), 12, 1).unwrap().rows(0, 4).unwrap();
        for place in [Place::Host, Place::Device] {
            let model = Model::new(&config.model, 50);
            let mut training = Training::new(model, &config.train, Device::flex(), place);
            let mut last = f64::INFINITY;
            for _ in 0..config.train.steps {
                last = training.advance(&config.train, std::slice::from_ref(&batch)).unwrap().loss;
            }
            assert!(last < 0.01, "{text} {place:?} {last}");
        }
    }
}

#[test]
fn a_batch_of_prompts_is_continued_as_each_alone() {
    let device = Device::flex();
    for text in SHAPES {
        let model = Model::new(&config(text, &[]).model, 31);
        let weights = model.initial_weights(1, &device);
        let prompts: Vec<Vec<u32>> =
            [3, 9, 1, 12].iter().map(|&n| noise(&format!("prompt of {n}"), n, 31)).collect();
        // Logits at every position: rows with padding in front against rows alone.
        let padded: Vec<u32> =
            prompts.iter().flat_map(|p| std::iter::repeat_n(0, 12 - p.len()).chain(p.clone())).collect();
        let padding: Vec<u32> = prompts.iter().flat_map(|p| vec![(12 - p.len()) as u32; 12]).collect();
        let mut cache = Cache::default();
        let together =
            model.next_logits(&weights, token_tensor(&padded, 4, 12, &device), &padding, &mut cache);
        for (prompt, together) in prompts.iter().zip(&together) {
            let alone = model.last_logits(
                &weights,
                token_tensor(prompt, 1, prompt.len(), &device),
                &mut Cache::default(),
            );
            for (a, b) in alone.iter().zip(together) {
                assert!((a - b).abs() < 1e-5, "{a} {b}");
            }
        }
        let randoms = || (0..4).map(|i| Random::named(1, &format!("{i}"))).collect::<Vec<_>>();
        let config = |tokens: usize| SampleConfig {
            tokens,
            temperature: 0.0,
            repetition_penalty: 1.3,
            ..SampleConfig::default()
        };
        let short: Vec<Vec<u32>> = prompts.iter().map(|p| p[..p.len().min(9)].to_vec()).collect();
        let alone = |stops: &[u32]| -> Vec<Vec<u32>> {
            let each = short.iter().zip(randoms());
            each.map(|(prompt, mut random)| {
                let stops = stops.iter().copied();
                generate(&model, &weights, prompt, &config(3), stops, &mut random, |_| ()).unwrap()
            })
            .collect()
        };
        let together = |prompts: &[Vec<u32>], tokens: usize, stops: &[u32]| {
            let (stops, mut randoms) = (stops.iter().copied(), randoms());
            generate_batch(&model, &weights, prompts, &config(tokens), stops, &mut randoms, |_, _| ())
                .unwrap()
        };
        assert_eq!(alone(&[]), together(&short, 3, &[]));
        // Stop tokens end some rows while others go on.
        let stops = [alone(&[])[0][1], alone(&[])[2][2]];
        let stopped = together(&short, 3, &stops);
        assert_eq!(alone(&stops), stopped);
        assert!(stopped[0].len() < 2 && stopped.iter().flatten().all(|id| !stops.contains(id)));
        // Past the context rows go on from their newest half.
        assert!(together(&prompts, 30, &[]).iter().all(|ids| ids.len() == 30));
    }
}
