//! What was read more often is given back more often, and how often it was read is counted right.

use std::path::Path;
use std::process::Command;

use burn::tensor::Device;
use gristmill_corpus::pack_plan::{MixtureSource, PackPlan, PlanOptions};
use gristmill_corpus::shards::{DocumentTokens, ShardOptions, ShardWriter};
use gristmill_tokenizer::{Pattern, PretokenCounts, Tokenizer, TrainOptions, train as train_tokenizer};
use gristmill_train::checkpoint::{Checkpoint, DataIdentity};
use gristmill_train::config::RunConfig;
use gristmill_train::memorize::{Bucket, Exposure, Extraction, extract};
use gristmill_train::optimizer::Place;
use gristmill_train::pretrain::{Pretraining, pretrain};
use gristmill_train::random::Random;
use gristmill_train::shards;

const EXPOSURES: [usize; 3] = [1, 8, 64];
const PASSAGES: usize = 6;

/// Noise, so that nothing can be guessed: 6 documents for each number of exposures, and 6 held out.
fn write_shards(folder: &Path, tokenizer: &Tokenizer) {
    let bos = tokenizer.bos().unwrap();
    let mut random = Random::named(1, "passages");
    let mut passage = || -> Vec<u32> {
        let noise = (0..23).map(|_| (random.bits() % 256) as u32);
        std::iter::once(bos).chain(noise).collect()
    };
    let write = |split: &str, documents: &[Vec<u32>]| {
        let options = ShardOptions::new(tokenizer.hash(), tokenizer.vocab_size(), bos);
        let mut writer = ShardWriter::create(folder, split, options).unwrap();
        for (i, ids) in documents.iter().enumerate() {
            let id = format!("{split}-{i}");
            let n_bytes = ids.len() as u64 - 1;
            writer.push(&DocumentTokens { ids, id: &id, n_bytes, ..DocumentTokens::default() }).unwrap();
        }
        writer.finish().unwrap();
    };
    let train: Vec<_> = EXPOSURES
        .iter()
        .flat_map(|&n| (0..PASSAGES).map(move |_| n))
        .flat_map(|n| vec![passage(); n])
        .collect();
    write("train", &train);
    let mut held_out: Vec<_> = (0..PASSAGES).map(|_| passage()).collect();
    // Training has read this one all the same.
    held_out.push(train[0].clone());
    write("val", &held_out);
}

const ASKED: Extraction =
    Extraction { prompt: 8, continuation: 8, per_bucket: 50, candidates: 1000, seed: 1 };

#[test]
fn extraction_rises_with_exposure() {
    let folder = tempfile::tempdir().unwrap();
    let mut counts = PretokenCounts::new(Pattern::nanochat());
    counts.add("nothing to merge");
    let tokenizer =
        train_tokenizer(&counts, &TrainOptions { vocab_size: 280, ..TrainOptions::default() }).unwrap();
    tokenizer.save(folder.path().join("tokenizer.json")).unwrap();
    let shards_folder = folder.path().join("shards");
    write_shards(&shards_folder, &tokenizer);
    let splits = shards::open(&shards_folder, &tokenizer, "t").unwrap();
    // A document a row, two rows a step: one epoch.
    let n_rows = PASSAGES as u64 * EXPOSURES.iter().sum::<usize>() as u64;
    let text = "[model]\nkind = \"gpt2\"\nlayers = 2\nheads = 2\nwidth = 64\ncontext = 24\n\
                [train]\nbatch = 2\nlearning_rate = 4e-3\nwarmup = 10\nweight_decay = 0.0\neval_every = 0\n";
    let config = RunConfig::parse(text, &[format!("train.steps={}", n_rows / 2)]).unwrap();
    let out = folder.path().join("run");
    let only = MixtureSource::only("shards");
    let sources = [(only.clone(), &splits.train.sources()[0])];
    pretrain(&Pretraining {
        config: &config,
        train: &splits.train,
        sources: &sources,
        val: &splits.val,
        tokenizer: &tokenizer,
        tokenizer_json: &std::fs::read(folder.path().join("tokenizer.json")).unwrap(),
        data: DataIdentity { tokenizer: tokenizer.hash(), shards: splits.fingerprint.clone() },
        out: &out,
        resume: false,
        device: Device::flex(),
        place: Place::Host,
        stop_after: None,
    })
    .unwrap();

    let (model, weights) = Checkpoint::open(&out.join("checkpoint")).unwrap().model(&Device::flex()).unwrap();
    let ask = |exposure| {
        let texts = (splits.train.sources(), splits.val.sources());
        extract((&model, &weights), texts, exposure, &ASKED).unwrap()
    };
    let plan = PackPlan::open(&out).unwrap();
    let buckets = ask(Exposure::Plan { plan: &plan, steps: config.train.steps });
    let exposures = |buckets: &[Bucket]| buckets.iter().map(|bucket| bucket.exposures).collect::<Vec<_>>();
    assert_eq!(exposures(&buckets), [(0, 0), (1, 1), (8, 15), (64, 127)]);
    assert!(
        buckets.iter().all(|bucket| (bucket.passages, bucket.asked) == (PASSAGES, PASSAGES)),
        "{buckets:?}"
    );
    assert_eq!((buckets[0].verbatim, buckets[3].verbatim), (0, PASSAGES), "{buckets:?}");
    assert!(buckets.windows(2).all(|pair| pair[0].share <= pair[1].share), "{buckets:?}");
    let agreeing: Vec<f64> = buckets.iter().map(|bucket| bucket.agreeing_tokens).collect();
    assert!(agreeing[1] < agreeing[2] && agreeing[2] < agreeing[3], "{agreeing:?}");
    let (low, high) = buckets[3].interval;
    assert!(low < 1.0 && high >= 1.0 - 1e-12, "a share of few is no point: {low} {high}");

    // One epoch is every document once; a plan of two counts twice; one that was not begun, nothing.
    assert_eq!(ask(Exposure::Once), buckets);
    let options = PlanOptions {
        packing: config.train.packing,
        row_length: 24,
        seed: 5,
        rows_per_step: 2,
        steps: n_rows,
    };
    let twice = PackPlan::prepare(&folder.path().join("twice"), &sources, &options).unwrap();
    let of_twice = |steps| exposures(&ask(Exposure::Plan { plan: &twice, steps }));
    assert_eq!(of_twice(n_rows), [(0, 0), (2, 3), (16, 31), (128, 255)]);
    assert_eq!(of_twice(0), [(0, 0)]);

    // The command says the same.
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let output = Command::new(env!("CARGO_BIN_EXE_gristmill-train"))
        .args(["eval", "memorize", "--checkpoint", &path(&out), "--shards", &path(&shards_folder)])
        .args(["--prompt", "8", "--continuation", "8", "--json"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["counted_by"], "pack plan");
    assert_eq!(report["buckets"], serde_json::to_value(&buckets).unwrap());

    let too_long = Extraction { continuation: 20, ..ASKED };
    let texts = (splits.train.sources(), splits.val.sources());
    let error = extract((&model, &weights), texts, Exposure::Once, &too_long).unwrap_err().to_string();
    assert!(error.contains("need a context of 29"), "{error}");
}
