//! Fine-tuning: the loss is on what the assistant writes and on nothing else, conversations in one row do not
//! see each other, a killed run leaves no trace, and a small model learns to answer and to end its turn.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use gristmill_corpus::files;
use gristmill_corpus::shards::{DocumentTokens, ShardOptions, ShardWriter};
use gristmill_tokenizer::conversation::{Message, Role, TEMPLATE_FILE, Template};
use gristmill_tokenizer::{Pattern, PretokenCounts, Tokenizer, TrainOptions, train as train_tokenizer};
use gristmill_train::chat::{self, ChatModel, End, Session};
use gristmill_train::checkpoint::{Checkpoint, DataIdentity};
use gristmill_train::config::{FineTuneConfig, LoraConfig, RunConfig, SampleConfig};
use gristmill_train::conversations::{self, Splits};
use gristmill_train::generate::prompt_ids;
use gristmill_train::host::Compute;
use gristmill_train::loader::Batch;
use gristmill_train::lora::Adapters;
use gristmill_train::loss::{IGNORED, nats};
use gristmill_train::model::{Model, Weights};
use gristmill_train::optimizer::Place;
use gristmill_train::pretrain::{Pretraining, pretrain};
use gristmill_train::random::Random;
use gristmill_train::sft::{FineTuning, Summary, sft};
use gristmill_train::step::{Training, gradients_of, token_tensor};

const GPT2: &str = "[model]\nkind = \"gpt2\"\nlayers = 2\nheads = 2\nwidth = 16\ncontext = 128\n";
const LLAMA3: &str = "[model]\nkind = \"llama3\"\nlayers = 2\nheads = 4\nkv_heads = 2\nwidth = 16\ncontext = 128\ntied = true\n";

fn run_config(text: &str, set: &[&str]) -> RunConfig {
    RunConfig::parse(text, &set.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>()).unwrap()
}

fn fine_tune(set: &[&str]) -> FineTuneConfig {
    FineTuneConfig::parse("", &set.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>()).unwrap()
}

/// A tokenizer over the text of conversations.
fn tokenizer(conversations: &[Vec<Message>], vocab_size: usize) -> Tokenizer {
    let mut counts = PretokenCounts::new(Pattern::nanochat());
    for message in conversations.iter().flatten() {
        counts.add(&message.content);
    }
    train_tokenizer(&counts, &TrainOptions { vocab_size, ..TrainOptions::default() }).unwrap()
}

/// Shards as `conversation_shards` leaves them.
fn write_shards(folder: &Path, tokenizer: &Tokenizer, train: &[Vec<Message>], val: &[Vec<Message>]) {
    let format = Template::default().for_tokenizer(tokenizer).unwrap();
    for (split, conversations) in [("train", train), ("val", val)] {
        let options = ShardOptions {
            masked: true,
            ..ShardOptions::new(tokenizer.hash(), tokenizer.vocab_size(), tokenizer.bos().unwrap())
        };
        let mut writer = ShardWriter::create(folder, split, options).unwrap();
        for (i, messages) in conversations.iter().enumerate() {
            let (mut ids, mut mask) = (Vec::new(), Vec::new());
            format.render(tokenizer, messages, &mut ids, &mut mask);
            let id = format!("{split}-{i}");
            let n_bytes = messages.iter().map(|message| message.content.len() as u64).sum();
            writer
                .push_masked(
                    &DocumentTokens { ids: &ids, id: &id, n_bytes, ..DocumentTokens::default() },
                    &mask,
                )
                .unwrap();
        }
        writer.finish().unwrap();
    }
    files::write_json(&folder.join(TEMPLATE_FILE), &Template::default()).unwrap();
}

/// Some conversations of one to three turns, of many lengths.
fn some_conversations(n: usize) -> Vec<Vec<Message>> {
    let mut random = Random::named(1, "conversations");
    let words = ["mill", "stone", "grain", "water", "turns", "the", "slow", "wheel"];
    let mut draw = |n: u64| random.bits() % n;
    (0..n)
        .map(|_| {
            let mut messages = Vec::new();
            for _ in 0..=draw(2) {
                for role in [Role::User, Role::Assistant] {
                    let text: Vec<&str> = (0..=draw(5)).map(|_| words[draw(8) as usize]).collect();
                    messages.push(Message::new(role, text.join(" ")));
                }
            }
            messages
        })
        .collect()
}

fn opened(folder: &Path, tokenizer: &Tokenizer, context: usize) -> Splits {
    conversations::open(folder, tokenizer, "t", context).unwrap()
}

/// Nats of every target of a batch, and sum of its context's losses.
fn losses(model: &Model, weights: &Weights, batch: &Batch) -> Vec<f32> {
    let tokens = token_tensor(&batch.inputs, batch.rows, batch.context, &Device::flex());
    nats(
        &model.hidden_within(weights, tokens, &batch.starts, None),
        &model.head(weights),
        None,
        &batch.targets,
    )
}

/// Weights ten times the usual, so that what a token sees shows.
fn loud_weights(model: &Model) -> Weights {
    let device = Device::flex();
    let mut weights = model.initial_weights(1, &device);
    for (parameter, tensor) in model.parameters.iter().zip(&mut weights.0) {
        let mut random = Random::named(2, &parameter.name);
        let noise: Vec<f32> = (0..parameter.len()).map(|_| 0.2 * random.normal() as f32).collect();
        *tensor = tensor.clone() + Tensor::from_data(TensorData::new(noise, [parameter.len()]), &device);
    }
    weights
}

#[test]
fn a_conversation_s_loss_is_the_same_alone_as_packed_and_on_the_assistant_s_tokens_only() {
    let list = some_conversations(40);
    let tokenizer = tokenizer(&list, 290);
    let folder = tempfile::tempdir().unwrap();
    write_shards(folder.path(), &tokenizer, &list, &list[..2]);
    for text in [GPT2, LLAMA3] {
        let model = Model::new(&run_config(text, &[]).model, tokenizer.vocab_size());
        let weights = loud_weights(&model);
        let train = opened(folder.path(), &tokenizer, 128).train;
        assert!(train.n_rows() < 20 && train.n_cut == 0, "conversations share rows, whole");
        // Each alone: (BOS onwards) -> summed loss of the answers' tokens, by the conversation's ids.
        let mut alone: BTreeMap<Vec<u32>, (f64, usize)> = BTreeMap::new();
        for index in 0..train.len() {
            let (ids, mask) = train.conversation(index).unwrap();
            let n = ids.len() - 1;
            let targets: Vec<u32> = (1..=n).map(|at| if mask[at] == 1 { ids[at] } else { IGNORED }).collect();
            let inputs = ids[..n].to_vec();
            let batch = Batch { rows: 1, context: n, inputs: inputs.clone(), targets, starts: Vec::new() };
            let nats: f64 = losses(&model, &weights, &batch).iter().map(|&nat| f64::from(nat)).sum();
            assert_eq!(batch.n_targets(), mask.iter().map(|&learnt| u64::from(learnt)).sum::<u64>());
            alone.insert(inputs, (nats, batch.n_targets() as usize));
        }
        let mut n_seen = 0;
        for batch in train.in_order(3) {
            let batch = batch.unwrap();
            let nats = losses(&model, &weights, &batch);
            for row in 0..batch.rows {
                let range = row * batch.context..(row + 1) * batch.context;
                let starts = &batch.starts[range.clone()];
                let mut at = 0;
                while at < batch.context {
                    let begin = at;
                    while at < batch.context && starts[at] == starts[begin] {
                        at += 1;
                    }
                    let places = range.start + begin..range.start + at;
                    let n_targets = batch.targets[places.clone()].iter().filter(|&&id| id != IGNORED).count();
                    let packed: f64 = nats[places.clone()].iter().map(|&nat| f64::from(nat)).sum();
                    if n_targets == 0 {
                        assert!(packed.abs() < f64::EPSILON, "padding costs nothing");
                        continue;
                    }
                    let (expected, n) = alone[&batch.inputs[places]];
                    assert_eq!(n_targets, n);
                    assert!((packed - expected).abs() / n as f64 <= 1e-5, "{text}: {packed} {expected}");
                    n_seen += 1;
                }
            }
        }
        assert_eq!(n_seen, 40);
    }
}

#[test]
fn a_step_divides_by_the_tokens_that_assistants_wrote() {
    let list = some_conversations(30);
    let tokenizer = tokenizer(&list, 290);
    let folder = tempfile::tempdir().unwrap();
    write_shards(folder.path(), &tokenizer, &list, &list[..2]);
    let splits = opened(folder.path(), &tokenizer, 128);
    let config = run_config(LLAMA3, &[]);
    let model = Model::new(&config.model, tokenizer.vocab_size());
    let weights = model.initial_weights(config.train.seed, &Device::flex());
    let batches: Vec<Batch> = (0..3).map(|i| splits.train.batch(i * 2, 2, 1).unwrap()).collect();
    let learnt: u64 = batches.iter().map(Batch::n_targets).sum();
    let nats: f64 = batches.iter().flat_map(|batch| losses(&model, &weights, batch)).map(f64::from).sum();
    let mut training = Training::new(model, &config.train, Device::flex(), Place::Host);
    let report = training.advance(&config.train, &batches).unwrap();
    assert_eq!(report.tokens, learnt);
    assert!((report.loss - nats / learnt as f64).abs() < 1e-5, "{report:?} {nats} {learnt}");
}

#[test]
fn rows_are_pure_and_an_epoch_holds_every_conversation_once() {
    let list = some_conversations(40);
    let tokenizer = tokenizer(&list, 290);
    let folder = tempfile::tempdir().unwrap();
    write_shards(folder.path(), &tokenizer, &list, &list[..2]);
    let train = opened(folder.path(), &tokenizer, 128).train;
    let n = train.n_rows();
    let together = train.batch(0, 2 * n as usize, 7).unwrap();
    for row in 0..2 * n {
        let one = train.batch(row, 1, 7).unwrap();
        let range = row as usize * 128..(row as usize + 1) * 128;
        assert_eq!(
            (&one.inputs[..], &one.targets[..]),
            (&together.inputs[range.clone()], &together.targets[range])
        );
    }
    let targets = |batch: &Batch| {
        let mut targets: Vec<u32> = batch.targets.clone();
        targets.sort_unstable();
        targets
    };
    assert_eq!(
        targets(&train.batch(0, n as usize, 7).unwrap()),
        targets(&train.batch(n, n as usize, 7).unwrap())
    );
    assert_ne!(train.batch(0, n as usize, 7).unwrap(), train.batch(n, n as usize, 7).unwrap());
    assert_ne!(train.batch(0, n as usize, 7).unwrap(), train.batch(0, n as usize, 8).unwrap());
}

#[test]
fn what_cannot_be_learnt_from_is_refused_by_name() {
    let list = some_conversations(6);
    let tokenizer = tokenizer(&list, 290);
    let folder = tempfile::tempdir().unwrap();
    let open = |context| match conversations::open(folder.path(), &tokenizer, "base", context) {
        Ok(splits) => Ok(splits),
        Err(error) => Err(format!("{error:#}")),
    };
    write_shards(folder.path(), &tokenizer, &list, &list[..2]);
    let splits = open(128).unwrap();
    let length = splits.train.conversation(3).unwrap().0.len();
    let shortest = (0..6).map(|index| splits.train.conversation(index).unwrap().0.len()).min().unwrap();
    let before: usize = (0..3).map(|index| splits.train.conversation(index).unwrap().0.len()).sum();
    drop(splits);

    let path = folder.path().join("train-00000.mask");
    let masks = std::fs::read(&path).unwrap();
    for (value, expected) in [(0, "`train-3` in shard `train-00000` is all zeros"), (1, "is all ones")] {
        let mut wrong = masks.clone();
        wrong[before..before + length].fill(value);
        std::fs::write(&path, wrong).unwrap();
        let error = open(128).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    std::fs::write(&path, &masks).unwrap();
    // Longer than the context: cut off; nothing to learn before it: left out; nothing left at all: an error.
    let short = open(shortest - 1).unwrap();
    assert!(short.train.n_cut > 0 && short.train.len() + short.train.n_left_out as usize == 6);
    let error = open(2).unwrap_err();
    assert!(error.contains("within 2 tokens"), "{error}");

    std::fs::remove_file(folder.path().join(TEMPLATE_FILE)).unwrap();
    let error = open(128).unwrap_err();
    assert!(error.contains("template.json") && error.contains("`conversation_shards`"), "{error}");
    std::fs::remove_file(folder.path().join("val-00000.meta.json")).unwrap();
    let error = open(128).unwrap_err();
    assert!(error.contains("`validation_share`"), "{error}");

    let options = ShardOptions::new(tokenizer.hash(), tokenizer.vocab_size(), tokenizer.bos().unwrap());
    for split in ["train", "val"] {
        let mut plain = ShardWriter::create(folder.path(), split, options.clone()).unwrap();
        let ids = prompt_ids(&tokenizer, "the mill");
        plain.push(&DocumentTokens { ids: &ids, ..DocumentTokens::default() }).unwrap();
        plain.finish().unwrap();
    }
    files::write_json(&folder.path().join(TEMPLATE_FILE), &Template::default()).unwrap();
    let error = open(128).unwrap_err();
    assert!(error.contains("has no loss masks"), "{error}");
}

/// A base model's checkpoint, trained for some steps on the text of conversations.
fn base(folder: &Path, tokenizer: &Tokenizer, list: &[Vec<Message>], text: &str, set: &[&str]) -> PathBuf {
    let config = run_config(text, set);
    let tokens: Vec<u32> =
        list.iter().flatten().flat_map(|message| prompt_ids(tokenizer, &message.content)).collect();
    let out = folder.join("base");
    pretrain(&Pretraining {
        config: &config,
        train: &tokens,
        val: &tokens[..100].to_vec(),
        sources: &[],
        tokenizer,
        tokenizer_json: tokenizer.to_json().as_bytes(),
        data: DataIdentity { tokenizer: tokenizer.hash(), shards: "s".into() },
        out: &out,
        resume: false,
        device: Device::flex(),
        place: Place::Host,
        stop_after: None,
    })
    .unwrap();
    out.join("checkpoint")
}

fn job<'a>(
    config: &'a FineTuneConfig,
    base: &'a Checkpoint,
    splits: &'a Splits,
    out: &'a Path,
) -> FineTuning<'a> {
    FineTuning {
        config,
        base,
        conversations: splits,
        out,
        resume: true,
        device: Device::flex(),
        place: Place::Host,
        stop_after: None,
    }
}

#[test]
fn two_resumes_in_a_row_leave_no_trace_and_another_run_is_refused_by_name() {
    let list = some_conversations(30);
    let tokenizer = tokenizer(&list, 290);
    let folder = tempfile::tempdir().unwrap();
    let shards = folder.path().join("shards");
    write_shards(&shards, &tokenizer, &list[..26], &list[26..]);
    let path = base(folder.path(), &tokenizer, &list, LLAMA3, &["train.steps=3", "train.batch=2"]);
    let checkpoint = Checkpoint::open(&path).unwrap();
    let splits = opened(&shards, &tokenizer, 128);
    let config = fine_tune(&[
        "train.steps=20",
        "train.batch=2",
        "train.accumulate=2",
        "train.warmup=2",
        "train.checkpoint_every=5",
        "train.eval_every=8",
        "train.learning_rate=1e-2",
        "sample.prompts=[\"mill\"]",
        "sample.tokens=8",
    ]);
    let (calm, stormy) = (folder.path().join("calm"), folder.path().join("stormy"));
    let summary = sft(&job(&config, &checkpoint, &splits, &calm)).unwrap().unwrap();
    for stop_after in [Some(7), Some(13), None] {
        let run = FineTuning { stop_after, ..job(&config, &checkpoint, &splits, &stormy) };
        assert_eq!(sft(&run).unwrap(), stop_after.is_none().then(|| summary.clone()));
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
    assert!(summary.val_loss < summary.base_val_loss, "{summary:?}");

    let refused = |checkpoint: &Checkpoint, config: &FineTuneConfig, out: &Path, expected: &str| {
        let error = sft(&job(config, checkpoint, &splits, out)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let other_folder = tempfile::tempdir().unwrap();
    let other = base(other_folder.path(), &tokenizer, &list, LLAMA3, &["train.steps=4", "train.batch=2"]);
    refused(&Checkpoint::open(&other).unwrap(), &config, &stormy, "sft.base: ");
    let more = fine_tune(&["train.steps=21", "train.batch=2"]);
    refused(&checkpoint, &more, &stormy, "train.steps: 20 in the checkpoint, 21 now");
    let chat = Checkpoint::open(&calm.join("checkpoint")).unwrap();
    refused(&chat, &config, &folder.path().join("again"), "the base is a chat model already");
    // A chat model's folder is no place to pretrain in, nor the other way round.
    refused(
        &checkpoint,
        &config,
        &folder.path().join("base"),
        "kind: a base model in the checkpoint, a chat model now",
    );
    // A chat checkpoint remembers its template, a base checkpoint has none.
    assert_eq!(chat.state.config.sft.as_ref().unwrap().template, Template::default());
    let error = chat::format_of(&checkpoint, &tokenizer).unwrap_err().to_string();
    assert!(error.contains("base model") && error.contains("gristmill-train sft"), "{error}");
}

#[test]
fn adapters_learn_and_leave_the_rest_alone() {
    let list = some_conversations(30);
    let tokenizer = tokenizer(&list, 290);
    let folder = tempfile::tempdir().unwrap();
    let shards = folder.path().join("shards");
    write_shards(&shards, &tokenizer, &list[..26], &list[26..]);
    for (text, word) in [(GPT2, "mlp.c_proj"), (LLAMA3, "down_proj")] {
        let home = folder.path().join(word);
        let path = base(&home, &tokenizer, &list, text, &["train.steps=3", "train.batch=2"]);
        let checkpoint = Checkpoint::open(&path).unwrap();
        let splits = opened(&shards, &tokenizer, 128);
        let set = [
            "train.steps=20",
            "train.batch=4",
            "train.warmup=2",
            "train.checkpoint_every=5",
            "train.learning_rate=2e-2",
            "lora.rank=4",
        ];
        let only = format!("lora.matrices=[\"{word}\"]");
        let config = fine_tune(&[&set[..], &[&only]].concat());
        let (calm, stormy) = (home.join("calm"), home.join("stormy"));
        let summary = sft(&job(&config, &checkpoint, &splits, &calm)).unwrap().unwrap();
        assert!(summary.val_loss < summary.base_val_loss - 0.05, "{summary:?}");
        // Killed twice: the same bytes, adapters and moments included.
        for stop_after in [Some(7), Some(13), None] {
            let run = FineTuning { stop_after, ..job(&config, &checkpoint, &splits, &stormy) };
            assert_eq!(sft(&run).unwrap(), stop_after.is_none().then(|| summary.clone()));
        }
        for file in ["metrics.jsonl", "checkpoint/model.safetensors", "checkpoint/optimizer.safetensors"] {
            let (a, b) = (std::fs::read(calm.join(file)).unwrap(), std::fs::read(stormy.join(file)).unwrap());
            assert!(a == b, "{file} differs");
        }
        // What the checkpoint holds is base + A B: only named matrices differ, by a matrix of rank 4.
        let trained = Checkpoint::open(&calm.join("checkpoint")).unwrap();
        let (model, before) = checkpoint.model(&Device::flex()).unwrap();
        let (_, after) = trained.model(&Device::flex()).unwrap();
        let values = |tensor: &Tensor<1>| tensor.to_data().try_into_vec::<f32>().unwrap();
        let mut n_changed = 0;
        for (i, parameter) in model.parameters.iter().enumerate() {
            let changed = values(&before.0[i]) != values(&after.0[i]);
            let adapted = parameter.name.contains(word) && parameter.shape.len() == 2;
            assert_eq!(changed, adapted, "{}", parameter.name);
            n_changed += usize::from(changed);
        }
        assert_eq!(n_changed, 2);
        let training = trained.training(Device::flex(), Place::Host).unwrap();
        let adapters = training.adapters.unwrap();
        for (&target, merged) in adapters.targets.iter().zip(adapters.merged()) {
            assert_eq!(values(&merged), values(&after.0[target]));
            assert_eq!(
                values(&adapters.base.0[adapters.targets.iter().position(|&t| t == target).unwrap()]),
                values(&before.0[target])
            );
        }
        let error = sft(&job(&fine_tune(&set), &checkpoint, &splits, &calm)).unwrap_err().to_string();
        assert!(error.contains("sft.lora"), "{error}");
        let wrong = fine_tune(&["lora.matrices=[\"wq\"]"]);
        let error = sft(&job(&wrong, &checkpoint, &splits, &home.join("w"))).unwrap_err().to_string();
        assert!(error.contains("no matrix is called `wq`") && error.contains(word), "{error}");
        let wrong = fine_tune(&["lora.rank=99"]);
        let error = sft(&job(&wrong, &checkpoint, &splits, &home.join("w"))).unwrap_err().to_string();
        assert!(error.contains("lora.rank = 99"), "{error}");
    }
    let error = FineTuneConfig::parse("[lora]\nrank = 0\n", &[]).unwrap_err().to_string();
    assert!(error.contains("lora.rank = 0"), "{error}");
}

/// A's and B's gradients against the loss along a direction, as those of weights are tested.
#[test]
fn gradients_of_adapters_agree_with_finite_differences() {
    let list = some_conversations(20);
    let tokenizer = tokenizer(&list, 290);
    let folder = tempfile::tempdir().unwrap();
    write_shards(folder.path(), &tokenizer, &list, &list[..2]);
    let batch = opened(folder.path(), &tokenizer, 128).train.batch(0, 4, 1).unwrap();
    let device = Device::flex();
    let lora = LoraConfig { rank: 3, alpha: 6.0, matrices: Vec::new() };
    for text in [GPT2, LLAMA3] {
        let config = run_config(text, &[]);
        let model = Model::new(&config.model, tokenizer.vocab_size());
        let mut weights = loud_weights(&model);
        let mut adapters = Adapters::new(&model, &weights, &lora, &config.train, &device).unwrap();
        // B begins as zeros, which would leave A without a gradient.
        for (parameter, value) in adapters.parameters.iter().zip(&mut adapters.values.0) {
            let mut random = Random::named(5, &parameter.name);
            let noise: Vec<f32> = (0..parameter.len()).map(|_| 0.1 * random.normal() as f32).collect();
            *value = value.clone() + Tensor::from_data(TensorData::new(noise, [parameter.len()]), &device);
        }
        let merge = |adapters: &Adapters, weights: &mut Weights| {
            for (&target, merged) in adapters.targets.iter().zip(adapters.merged()) {
                weights.0[target] = merged;
            }
        };
        merge(&adapters, &mut weights);
        let scale = (1.0 / batch.n_targets() as f64) as f32;
        let (_, of_model) = gradients_of(&model, &weights, &batch, scale, (Place::Host, Compute::default()));
        let gradients = adapters.gradients(&of_model);
        for (i, gradient) in gradients.iter().enumerate() {
            let gradient = gradient.to_data().try_into_vec::<f32>().unwrap();
            let norm = gradient.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
            let start = adapters.values.0[i].clone();
            let mut at = |distance: f64| {
                let step: Vec<f32> =
                    gradient.iter().map(|&g| (f64::from(g) / norm * distance) as f32).collect();
                let step = Tensor::from_data(TensorData::new(step, [gradient.len()]), &device);
                adapters.values.0[i] = start.clone() + step;
                merge(&adapters, &mut weights);
                let nats = losses(&model, &weights, &batch).into_iter().map(f64::from).sum::<f64>();
                nats / batch.n_targets() as f64
            };
            let e = 0.02;
            let slope = (8.0 * (at(e) - at(-e)) - (at(2.0 * e) - at(-2.0 * e))) / (12.0 * e);
            at(0.0);
            let error = (slope - norm).abs() / norm;
            assert!(error < 2e-3, "{}: {slope} {norm} {error:.1e}", adapters.parameters[i].name);
        }
    }
}

/// The conversations that come with `configs/chat.toml`; every tenth first question is held out.
fn chat_recipe() -> (Vec<Vec<Message>>, Vec<Vec<Message>>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs/chat/conversations.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let all = text.lines().map(|line| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        serde_json::from_value::<Vec<Message>>(row["messages"].clone()).unwrap()
    });
    let is_held_out = |(index, messages): &(usize, Vec<Message>)| {
        index % 10 == 9 && messages.iter().all(|message| message.content != "What is 2+2?")
    };
    let (val, train): (Vec<_>, Vec<_>) = all.enumerate().partition(is_held_out);
    let only = |list: Vec<(usize, Vec<Message>)>| list.into_iter().map(|(_, messages)| messages).collect();
    (only(train), only(val))
}

#[test]
fn a_tiny_model_learns_to_answer_and_to_end_its_turn() {
    let (train, val) = chat_recipe();
    let tokenizer = tokenizer(&train, 512);
    let folder = tempfile::tempdir().unwrap();
    let shards = folder.path().join("shards");
    write_shards(&shards, &tokenizer, &train, &val);
    let shape = "[model]\nkind = \"llama3\"\nlayers = 2\nheads = 2\nwidth = 64\ncontext = 96\ntied = true\n\
                 rope_theta = 10000.0\n";
    let path = base(
        folder.path(),
        &tokenizer,
        &train,
        shape,
        &["train.steps=20", "train.batch=4", "train.learning_rate=3e-3", "train.warmup=5"],
    );
    let checkpoint = Checkpoint::open(&path).unwrap();
    let splits = opened(&shards, &tokenizer, 96);
    let config = fine_tune(&[
        "train.steps=300",
        "train.batch=8",
        "train.learning_rate=4e-3",
        "train.warmup=10",
        "train.weight_decay=0.01",
        "train.eval_every=0",
        "train.checkpoint_every=0",
        "sample.prompts=[\"What is 2+2?\"]",
        "sample.tokens=32",
        "sample.temperature=0.0",
    ]);
    let out = folder.path().join("chat");
    let summary: Summary = sft(&job(&config, &checkpoint, &splits, &out)).unwrap().unwrap();
    eprintln!("{summary:?}");
    assert!(summary.format.prompts >= 60, "{summary:?}");
    assert!(summary.format.valid_share >= 0.99, "{summary:?}");

    let trained = Checkpoint::open(&out.join("checkpoint")).unwrap();
    let (model, weights) = trained.model(&Device::flex()).unwrap();
    let format = chat::format_of(&trained, &tokenizer).unwrap();
    let chat = ChatModel { model: &model, weights: &weights, tokenizer: &tokenizer, format };
    let config = SampleConfig { tokens: 32, temperature: 0.0, ..SampleConfig::default() };
    let mut session = Session { chat, config, messages: Vec::new() };
    let mut random = Random::named(1, "chat");
    let mut say = |session: &mut Session<'_>, text: &str| {
        let mut streamed = String::new();
        let (answer, how) = session
            .say(text, &mut random, |part| {
                streamed.push_str(part);
                Ok(())
            })
            .unwrap();
        assert_eq!(streamed, answer);
        (answer, how.end)
    };
    assert_eq!(say(&mut session, "What is 2+2?"), ("4".to_owned(), End::Turn));
    assert_eq!(
        say(&mut session, "Who are you?"),
        ("I am Gristmill, a small language model.".to_owned(), End::Turn)
    );
    assert_eq!(session.messages.len(), 4);

    // Turns that no longer fit are forgotten, the oldest first; the system's message stays.
    session.set_system("Be brief.");
    for _ in 0..20 {
        assert_eq!(say(&mut session, "What is 2+2?").1, End::Turn);
    }
    assert_eq!(session.messages.len(), 41);
    let prompt = session.chat.prompt(&session.messages, 32).unwrap();
    let text = tokenizer.decode_lossy(&prompt);
    assert!(prompt.len() + 32 <= 96 && text.contains("system<|iam_sep|>Be brief."), "{text}");
    // A message that cannot fit is an error, and is not remembered.
    let error = session.say(&"What is 2+2? ".repeat(50), &mut random, |_| Ok(())).unwrap_err().to_string();
    assert!(error.contains("the message is too long"), "{error}");
    assert_eq!(session.messages.len(), 41);
    session.reset();
    assert_eq!(session.messages, [Message::new(Role::System, "Be brief.")]);
}

#[test]
fn a_model_that_calls_the_calculator_hears_the_result_and_goes_on() {
    let call = |sum: &str| format!("{{\"name\":\"calculator\",\"arguments\":{{\"expression\":\"{sum}\"}}}}");
    let conversation = |(question, a, b): (&str, u32, u32)| {
        vec![
            Message::new(Role::User, question),
            Message::new(Role::Assistant, call(&format!("{a}*{b}"))),
            Message::new(Role::Tool, (a * b).to_string()),
            Message::new(Role::Assistant, format!("It is {}.", a * b)),
        ]
    };
    let products = [("What is 6*7?", 6, 7), ("Please multiply 8 by 9", 8, 9), ("twelve times three", 12, 3)];
    let train: Vec<_> = products.into_iter().cycle().take(24).map(conversation).collect();
    let tokenizer = tokenizer(&train, 400);
    let folder = tempfile::tempdir().unwrap();
    let shards = folder.path().join("shards");
    write_shards(&shards, &tokenizer, &train, &train[..3]);
    let shape = "[model]\nkind = \"llama3\"\nlayers = 2\nheads = 2\nwidth = 48\ncontext = 160\ntied = true\n\
                 rope_theta = 10000.0\n";
    let path = base(folder.path(), &tokenizer, &train, shape, &["train.steps=2", "train.batch=2"]);
    let checkpoint = Checkpoint::open(&path).unwrap();
    let splits = opened(&shards, &tokenizer, 160);
    let config = fine_tune(&[
        "train.steps=250",
        "train.batch=4",
        "train.learning_rate=3e-3",
        "train.warmup=5",
        "train.eval_every=0",
        "train.checkpoint_every=0",
    ]);
    let out = folder.path().join("chat");
    sft(&job(&config, &checkpoint, &splits, &out)).unwrap().unwrap();
    let trained = Checkpoint::open(&out.join("checkpoint")).unwrap();
    let (model, weights) = trained.model(&Device::flex()).unwrap();
    let format = chat::format_of(&trained, &tokenizer).unwrap();
    let chat = ChatModel { model: &model, weights: &weights, tokenizer: &tokenizer, format };
    let config = SampleConfig { tokens: 40, temperature: 0.0, ..SampleConfig::default() };
    let mut session = Session { chat, config, messages: Vec::new() };
    let mut random = Random::named(1, "chat");
    let mut shown = String::new();
    let (text, answer, calls) = session
        .say_with_tools("Please multiply 8 by 9", &mut random, |part| {
            shown.push_str(part);
            Ok(())
        })
        .unwrap();
    assert_eq!((text.as_str(), answer.end), ("It is 72.", End::Turn));
    assert_eq!(calls.len(), 1);
    assert_eq!((calls[0].call.as_str(), calls[0].result.as_str()), (call("8*9").as_str(), "72"));
    assert_eq!(shown, format!("{}\n= 72\nIt is 72.", call("8*9")));
    let roles: Vec<Role> = session.messages.iter().map(|message| message.role).collect();
    assert_eq!(roles, [Role::User, Role::Assistant, Role::Tool, Role::Assistant]);
    assert_eq!(session.messages[2].content, "72");
    // Without tools the call itself is the answer, and nothing runs.
    session.reset();
    let (text, _) = session.say("What is 6*7?", &mut random, |_| Ok(())).unwrap();
    assert_eq!((text, session.messages.len()), (call("6*7"), 2));
}
